//! Messages that back-ends send over HTTP (spec: message.md 5.1).

use super::message_content::{self, Object};
use super::notification::random_id;
use crate::app::App;
use crate::clock::unix_ms;
use prost::Message as _;
use ringwire_link::message::Publish;
use ringwire_protocol::content_type::{AT_TEXT, OA_NOTIFICATION};
use ringwire_protocol::conversation_id::{
    self, SESSION_GROUP, SESSION_NOTIFICATION, SESSION_SINGLE,
};
use ringwire_protocol::error::{ApiError, ErrorCode};
use ringwire_protocol::message_limits;
use ringwire_protocol::options::{
    CONVERSATION_UPDATE, HISTORY, OFFLINE_PUSH, Options, PERSISTENT, SENDER_SYNC,
};
use ringwire_protocol::pb::msg::SendMsgResp;
use ringwire_protocol::pb::sdkws::{MsgData, OfflinePushInfo};
use serde::Deserialize;
use serde_json::{Value, json};

/// msgFrom of what the system says.
const FROM_SYSTEM: i32 = 200;

/// Level from which a user may send notifications as an account.
const SYSTEM_ACCOUNT_LEVEL: i32 = 2;

/// Body of `/msg/send_msg`. A missing field and `null` are alike.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SendRequest {
    /// Who sends.
    #[serde(rename = "sendID")]
    pub send_id: Option<String>,
    /// Who receives (session types 1 and 4).
    #[serde(rename = "recvID")]
    pub recv_id: Option<String>,
    /// The group (session type 3).
    #[serde(rename = "groupID")]
    pub group_id: Option<String>,
    /// Ours: makes sending again harmless. Without it every call sends a new message.
    #[serde(rename = "clientMsgID")]
    pub client_msg_id: Option<String>,
    /// Carried along.
    pub sender_nickname: Option<String>,
    /// Carried along.
    #[serde(rename = "senderFaceURL")]
    pub sender_face_url: Option<String>,
    /// Carried along.
    #[serde(rename = "senderPlatformID")]
    pub sender_platform_id: Option<i32>,
    /// The content, by `content_type`.
    pub content: Option<Object>,
    /// contentType.
    pub content_type: Option<i32>,
    /// sessionType.
    pub session_type: Option<i32>,
    /// Pushed to who is online, not stored.
    pub is_online_only: Option<bool>,
    /// No push by the operating system.
    pub not_offline_push: Option<bool>,
    /// Unix milliseconds; 0 = now.
    pub send_time: Option<i64>,
    /// Text of the operating system's push.
    pub offline_push_info: Option<PushInfo>,
    /// Free text.
    pub ex: Option<String>,
}

/// Text of the operating system's push.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PushInfo {
    /// Title.
    pub title: Option<String>,
    /// Text.
    pub desc: Option<String>,
    /// Free text.
    pub ex: Option<String>,
    /// Sound on iOS.
    #[serde(rename = "iOSPushSound")]
    pub ios_push_sound: Option<String>,
    /// Whether the badge counts.
    #[serde(rename = "iOSBadgeCount")]
    pub ios_badge_count: Option<bool>,
    /// Opaque.
    pub signal_info: Option<String>,
}

/// Sends a message as `request.send_id`; the gateway judges it as if that user sent it. The caller has
/// been found to be an admin.
///
/// # Errors
/// 1001 for what cannot be sent, 1101 or 1002 for a notification from somebody who is no notification
/// account, the gateway's refusal, 500 when no gateway takes it.
pub async fn send(
    app: &App,
    operation_id: &str,
    request: SendRequest,
) -> Result<SendMsgResp, ApiError> {
    let own_id = request
        .client_msg_id
        .as_ref()
        .is_some_and(|id| !id.is_empty());
    let msg = build(request)?;
    if msg.content_type == OA_NOTIFICATION {
        let sender = app
            .stores
            .users
            .get(std::slice::from_ref(&msg.send_id))
            .await?;
        let sender = sender
            .first()
            .ok_or_else(|| ApiError::new(ErrorCode::UserIDNotFound, "sendID"))?;
        if sender.level < SYSTEM_ACCOUNT_LEVEL {
            return Err(ApiError::no_permission("sendID is no notification account"));
        }
    }
    // The gateway knows the newest messages. An older one looks new to it, as every call is made now.
    if own_id && let Some(first) = sent_before(app, &msg).await? {
        return Ok(first);
    }
    let publish = Publish {
        msg: msg.encode_to_vec(),
        operation_id: operation_id.to_owned(),
        check: true,
        also: Vec::new(),
    };
    app.gateways.publish(publish).await
}

/// The first answer to a message that is stored already.
async fn sent_before(app: &App, msg: &MsgData) -> Result<Option<SendMsgResp>, ApiError> {
    let conversation = match msg.session_type {
        SESSION_GROUP => conversation_id::group(&msg.group_id),
        SESSION_NOTIFICATION => conversation_id::notification_account(&msg.send_id, &msg.recv_id),
        _ => conversation_id::single(&msg.send_id, &msg.recv_id),
    };
    let (messages, id) = (&app.stores.messages, &msg.client_msg_id);
    let found = messages
        .find_duplicate(&conversation, &msg.send_id, id)
        .await?;
    Ok(found.map(|first| SendMsgResp {
        server_msg_id: first.server_msg_id,
        client_msg_id: first.client_msg_id,
        send_time: first.send_time,
        ..SendMsgResp::default()
    }))
}

fn build(request: SendRequest) -> Result<MsgData, ApiError> {
    let required = |name: &'static str| move || ApiError::args(format!("{name} is required"));
    let filled = |value: Option<String>| value.filter(|text| !text.is_empty());
    let send_id = filled(request.send_id).ok_or_else(required("sendID"))?;
    let content = request.content.ok_or_else(required("content"))?;
    let content_type = request
        .content_type
        .filter(|n| *n != 0)
        .ok_or_else(required("contentType"))?;
    let mut session_type = request
        .session_type
        .filter(|n| *n != 0)
        .ok_or_else(required("sessionType"))?;
    let recv_id = filled(request.recv_id);
    let group_id = filled(request.group_id);
    match session_type {
        SESSION_SINGLE | SESSION_NOTIFICATION => {
            recv_id.as_ref().ok_or_else(required("recvID"))?;
        }
        SESSION_GROUP => {
            group_id.as_ref().ok_or_else(required("groupID"))?;
        }
        _ => return Err(ApiError::args("unknown sessionType")),
    }
    message_content::check(content_type, &content)?;
    let mut at_user_id_list = Vec::new();
    let mut text = message_content::compact(&content);
    match content_type {
        AT_TEXT => at_user_id_list = message_content::mentioned(&content)?,
        OA_NOTIFICATION => {
            recv_id.as_ref().ok_or_else(required("recvID"))?;
            session_type = SESSION_NOTIFICATION;
            text = json!({ "detail": Value::String(text) }).to_string();
        }
        _ if session_type == SESSION_NOTIFICATION => {
            return Err(ApiError::args(
                "sessionType 4 carries contentType 1400 only",
            ));
        }
        _ => {}
    }
    let client_msg_id = match filled(request.client_msg_id) {
        Some(id) => id,
        None => random_id()?,
    };
    let msg = MsgData {
        send_id,
        recv_id: recv_id
            .filter(|_| session_type != SESSION_GROUP)
            .unwrap_or_default(),
        group_id: group_id
            .filter(|_| session_type == SESSION_GROUP)
            .unwrap_or_default(),
        client_msg_id,
        sender_platform_id: request.sender_platform_id.unwrap_or_default(),
        sender_nickname: request.sender_nickname.unwrap_or_default(),
        sender_face_url: request.sender_face_url.unwrap_or_default(),
        session_type,
        msg_from: FROM_SYSTEM,
        content_type,
        content: text.into(),
        send_time: request.send_time.unwrap_or_default().max(0),
        create_time: unix_ms(),
        options: options(
            request.is_online_only.unwrap_or_default(),
            request.not_offline_push.unwrap_or_default(),
        ),
        offline_push_info: request.offline_push_info.map(OfflinePushInfo::from),
        at_user_id_list,
        ex: request.ex.unwrap_or_default(),
        ..MsgData::default()
    };
    message_limits::check(&msg, msg.encoded_len())?;
    Ok(msg)
}

fn options(online_only: bool, not_offline_push: bool) -> Options {
    let mut options = Options::new();
    if online_only {
        for key in [HISTORY, PERSISTENT, SENDER_SYNC, CONVERSATION_UPDATE] {
            options.insert(key.to_owned(), false);
        }
    }
    if not_offline_push {
        options.insert(OFFLINE_PUSH.to_owned(), false);
    }
    options
}

impl From<PushInfo> for OfflinePushInfo {
    fn from(info: PushInfo) -> Self {
        Self {
            title: info.title.unwrap_or_default(),
            desc: info.desc.unwrap_or_default(),
            ex: info.ex.unwrap_or_default(),
            i_os_push_sound: info.ios_push_sound.unwrap_or_default(),
            i_os_badge_count: info.ios_badge_count.unwrap_or_default(),
            signal_info: info.signal_info.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(body: Value) -> SendRequest {
        serde_json::from_value(body).expect("a request")
    }

    fn built(body: Value) -> MsgData {
        build(request(body)).expect("can be sent")
    }

    #[test]
    fn a_message_is_built_as_back_ends_know_it() {
        let msg = built(json!({
            "sendID": "a", "recvID": "b", "groupID": "ignored", "senderNickname": "A", "content": {"content": "hi"},
            "contentType": 101, "sessionType": 1, "notOfflinePush": true, "ex": null, "sendTime": 7,
            "offlinePushInfo": {"title": "t", "iOSBadgeCount": true},
        }));
        assert_eq!(
            (
                msg.send_id.as_str(),
                msg.recv_id.as_str(),
                msg.group_id.as_str()
            ),
            ("a", "b", "")
        );
        assert_eq!(&msg.content[..], br#"{"content":"hi"}"#);
        assert_eq!(
            (
                msg.msg_from,
                msg.status,
                msg.send_time,
                msg.client_msg_id.len()
            ),
            (200, 0, 7, 32)
        );
        assert_eq!(msg.options, [("offlinePush".to_owned(), false)].into());
        let push = msg.offline_push_info.expect("given");
        assert_eq!((push.title.as_str(), push.i_os_badge_count), ("t", true));
        let group = built(json!({
            "sendID": "a", "groupID": "g", "content": {"text": "x", "atUserList": ["u"]}, "contentType": 106,
            "sessionType": 3, "isOnlineOnly": true, "clientMsgID": "mine",
        }));
        assert_eq!(
            (group.group_id.as_str(), group.client_msg_id.as_str()),
            ("g", "mine")
        );
        assert_eq!(group.at_user_id_list, ["u"]);
        let off: Vec<&str> = group.options.keys().map(String::as_str).collect();
        assert_eq!(
            off,
            ["conversationUpdate", "history", "persistent", "senderSync"]
        );
        let notice = built(json!({
            "sendID": "oa", "recvID": "b", "contentType": 1400, "sessionType": 1,
            "content": {"text": "t", "notificationType": 1, "notificationName": "n"},
        }));
        assert_eq!(notice.session_type, 4);
        let expected =
            br#"{"detail":"{\"notificationName\":\"n\",\"notificationType\":1,\"text\":\"t\"}"}"#;
        assert_eq!(&notice.content[..], expected);
    }

    #[test]
    fn what_cannot_be_sent_is_named() {
        let good = json!({"sendID": "a", "recvID": "b", "content": {"content": "x"}, "contentType": 101, "sessionType": 1});
        let cases = [
            ("sendID", json!("")),
            ("recvID", json!(null)),
            ("content", json!(null)),
            ("contentType", json!(0)),
            ("contentType", json!(2101)),
            ("sessionType", json!(0)),
            ("sessionType", json!(2)),
            ("sessionType", json!(4)),
            ("clientMsgID", json!("x".repeat(129))),
            ("sendID", json!("x".repeat(257))),
            ("recvID", json!("x".repeat(257))),
            ("recvID", json!("x\0")),
        ];
        assert!(build(request(good.clone())).is_ok());
        for (key, value) in cases {
            let mut body = good.clone();
            body[key] = value;
            let error = build(request(body.clone())).expect_err("refused");
            assert_eq!(error.code, 1001, "{body}");
            assert!(error.detail.contains(key), "{body}: {}", error.detail);
        }
        let mut large = good.clone();
        large["content"]["content"] = json!("x".repeat(640 << 10));
        assert_eq!(build(request(large)).expect_err("refused").code, 1001);
        let group = json!({"sendID": "a", "content": {"content": "x"}, "contentType": 101, "sessionType": 3});
        assert!(
            build(request(group))
                .expect_err("refused")
                .detail
                .contains("groupID")
        );
    }
}
