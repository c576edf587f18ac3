//! Messages that control sends when the world changes (spec: sync.md 8-10, user.md 8).
//!
//! They are written into the outbox in the transaction of the change. Their clientMsgID makes
//! publishing one twice harmless.

use super::caller::Caller;
use crate::clock::unix_ms;
use crate::store::OutboxMessage;
use prost::Message as _;
use ringwire_link::message::Publish;
use ringwire_protocol::content_type::USER_INFO_UPDATED;
use ringwire_protocol::conversation_id::{SESSION_SINGLE, ordering_key_of_users};
use ringwire_protocol::error::ApiError;
use ringwire_protocol::notification;
use ringwire_protocol::pb::sdkws::{MsgData, UserInfoUpdatedTips};
use serde::Serialize;

/// msgFrom of what the system says.
const FROM_SYSTEM: i32 = 200;

/// 1303: the operator changed the user's profile or options.
///
/// # Errors
/// 500, and none in practice: the tips can always be written.
pub fn user_info_updated(caller: &Caller, user_id: &str) -> Result<OutboxMessage, ApiError> {
    let tips = UserInfoUpdatedTips {
        user_id: user_id.to_owned(),
    };
    to_user(caller, USER_INFO_UPDATED, user_id, &tips)
}

/// A notification from the operator to one user; both users' devices get it.
fn to_user<T: Serialize>(
    caller: &Caller,
    content_type: i32,
    user_id: &str,
    tips: &T,
) -> Result<OutboxMessage, ApiError> {
    let how = notification::defaults(content_type)
        .ok_or_else(|| ApiError::internal(format!("{content_type} is no notification")))?;
    let content =
        notification::content(tips).map_err(|error| ApiError::internal(error.to_string()))?;
    let msg = MsgData {
        send_id: caller.user_id.clone(),
        recv_id: user_id.to_owned(),
        client_msg_id: random_id()?,
        session_type: SESSION_SINGLE,
        msg_from: FROM_SYSTEM,
        content_type,
        content: content.into(),
        create_time: unix_ms(),
        options: notification::options(how, caller.user_id == user_id),
        offline_push_info: how
            .push
            .map(|text| ringwire_protocol::pb::sdkws::OfflinePushInfo {
                title: text.title.to_owned(),
                desc: text.desc.to_owned(),
                ..Default::default()
            }),
        ..MsgData::default()
    };
    Ok(OutboxMessage {
        lane: ordering_key_of_users(&caller.user_id, user_id),
        publish: Publish {
            msg: msg.encode_to_vec(),
            operation_id: caller.operation_id.clone(),
            check: false,
            also: Vec::new(),
        },
    })
}

/// 32 hex digits that never come again.
pub(super) fn random_id() -> Result<String, ApiError> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::caller::tests::caller;

    #[test]
    fn a_profile_change_is_told_online_only_and_in_the_users_own_lane() {
        let sent = user_info_updated(&caller("u", false), "u").unwrap();
        assert_eq!(sent.lane, "u_u");
        let msg = MsgData::decode(sent.publish.msg.as_slice()).unwrap();
        assert_eq!(
            (msg.send_id.as_str(), msg.recv_id.as_str(), msg.content_type),
            ("u", "u", 1303)
        );
        assert_eq!(&msg.content[..], br#"{"detail":"{\"userID\":\"u\"}"}"#);
        assert!(
            !msg.options["history"]
                && !msg.options["isNotNotification"]
                && msg.options["senderSync"]
        );
        assert_eq!(msg.client_msg_id.len(), 32);
        assert_ne!(msg.client_msg_id, random_id().unwrap());
    }
}
