//! Messages from clients (1003): what the session alone can judge and fill (spec: message.md 2).

use super::conn::{ConnKey, ReplyHead, Waiting};
use super::home::Home;
use crate::core::event::Now;
use crate::core::out::Out;
use crate::core::ring::{RingItem, SendDone, SendItem};
use bytes::Bytes;
use prost::Message;
use ringwire_protocol::content_type::{OA_NOTIFICATION, is_notification};
use ringwire_protocol::conversation_id::{
    SESSION_GROUP, SESSION_NOTIFICATION, SESSION_SINGLE, ordering_key_of_users,
};
use ringwire_protocol::error::{ApiError, ErrorCode};
use ringwire_protocol::message_limits;
use ringwire_protocol::options;
use ringwire_protocol::pb::msg::SendMsgResp;
use ringwire_protocol::pb::sdkws::MsgData;
use ringwire_protocol::slot::core_of;

/// msgFrom of a user's message.
const FROM_USER: i32 = 100;

impl Home {
    pub(super) fn send_message(
        &mut self,
        key: ConnKey,
        now: Now,
        head: ReplyHead,
        data: Bytes,
        out: &mut Out,
    ) {
        let (per_second, burst) = (self.config.limits.send_rate, self.config.limits.send_burst);
        let Some(session) = self.session(key) else {
            return;
        };
        if !session.rate.take(per_second, burst, now.mono_ms) {
            self.stats.rate_limited += 1;
            self.reply(
                key,
                head,
                Err(ApiError::new(ErrorCode::TooManyRequests, "")),
                out,
            );
            return;
        }
        let (user, admin, platform) = (session.user.clone(), session.admin, session.platform.id());
        let request = session.requests;
        let Some(conn) = self.conns.get(key).map(|c| c.id) else {
            return;
        };
        match judge(&data, &user, admin, platform) {
            Ok(msg) => {
                let lane = match msg.session_type {
                    SESSION_GROUP => core_of(&msg.group_id, self.config.cores),
                    _ => core_of(
                        &ordering_key_of_users(&msg.send_id, &msg.recv_id),
                        self.config.cores,
                    ),
                };
                let operation_id = head.operation_id.clone();
                self.stats.sends += 1;
                self.await_outcome(key, now, head, Waiting::Owner);
                let item = SendItem {
                    home: self.config.core,
                    conn,
                    request,
                    operation_id,
                    admin,
                    msg,
                };
                out.ring(lane, RingItem::Send(Box::new(item)));
            }
            Err(error) => self.reply(key, head, Err(error), out),
        }
    }

    /// The owner core's verdict.
    pub(super) fn send_done(&mut self, now: Now, done: SendDone, out: &mut Out) {
        let Some(key) = self.open(done.conn) else {
            return;
        };
        let Some(current) = self.session(key).and_then(|s| s.current.as_ref()) else {
            return;
        };
        if current.number != done.request || !matches!(current.what, Waiting::Owner) {
            return;
        }
        let result = done.result.map(|reply| {
            let reply = SendMsgResp {
                server_msg_id: reply.server_msg_id,
                client_msg_id: reply.client_msg_id,
                send_time: reply.send_time,
                modify: None,
            };
            Bytes::from(reply.encode_to_vec())
        });
        self.finish(key, now, result, out);
    }
}

/// Checks 2 to 5 of message.md 2, and what the server fills in without looking at the world.
fn judge(data: &[u8], user: &str, admin: bool, platform: i32) -> Result<MsgData, ApiError> {
    let mut msg = MsgData::decode(data).map_err(|_| ApiError::internal("data does not decode"))?;
    if msg.send_id.is_empty() {
        return Err(ApiError::args("sendID is empty"));
    }
    if msg.content.is_empty() {
        return Err(ApiError::args("content is empty"));
    }
    if (msg.session_type == SESSION_NOTIFICATION) != (msg.content_type == OA_NOTIFICATION) {
        return Err(ApiError::args(
            "sessionType 4 and contentType 1400 belong together",
        ));
    }
    if msg.send_id != user && !admin {
        return Err(ApiError::no_permission("sendID is not the session's user"));
    }
    // Notifications skip the checks of ordinary messages, so only those who may forge them send them.
    if is_notification(msg.content_type) && !admin {
        return Err(ApiError::no_permission(
            "content types 1000 to 5000 are the server's",
        ));
    }
    if !matches!(
        msg.session_type,
        SESSION_SINGLE | SESSION_GROUP | SESSION_NOTIFICATION
    ) {
        return Err(ApiError::args("unknown sessionType"));
    }
    message_limits::check(&msg, data.len())?;
    msg.seq = 0;
    msg.server_msg_id.clear();
    msg.sender_platform_id = platform;
    if !admin {
        msg.send_time = 0;
        msg.msg_from = FROM_USER;
        if let Some(chat) = msg.options.get_mut(options::IS_NOT_NOTIFICATION) {
            *chat = true;
        }
    }
    options::force(msg.content_type, &mut msg.options);
    Ok(msg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringwire_protocol::content_type;

    fn message() -> MsgData {
        MsgData {
            send_id: "u".into(),
            recv_id: "v".into(),
            session_type: 1,
            content_type: 101,
            content: Bytes::from_static(b"{}"),
            seq: 7,
            send_time: 5,
            msg_from: 200,
            sender_platform_id: 9,
            server_msg_id: "forged".into(),
            ..MsgData::default()
        }
    }

    fn judged(msg: &MsgData, admin: bool) -> Result<MsgData, i32> {
        judge(&msg.encode_to_vec(), "u", admin, 2).map_err(|e| e.code)
    }

    #[test]
    fn an_ordinary_user_forges_nothing() {
        let mut msg = message();
        msg.options.insert("isNotNotification".into(), false);
        msg.options.insert("notPrivate".into(), false);
        let sent = judged(&msg, false).expect("accepted");
        assert_eq!(
            (
                sent.seq,
                sent.send_time,
                sent.msg_from,
                sent.sender_platform_id
            ),
            (0, 0, 100, 2)
        );
        assert_eq!(sent.server_msg_id, "");
        assert!(options::is_on(&sent.options, "isNotNotification"));
        assert!(
            !options::is_on(&sent.options, "notPrivate"),
            "what is the user's to choose stays"
        );
    }

    #[test]
    fn an_admin_may_date_and_notify() {
        let mut msg = message();
        msg.send_id = "other".into();
        msg.content_type = content_type::BUSINESS;
        msg.options.insert("isNotNotification".into(), false);
        let sent = judged(&msg, true).expect("accepted");
        assert_eq!((sent.seq, sent.send_time, sent.msg_from), (0, 5, 200));
        assert!(!options::is_on(&sent.options, "isNotNotification"));
        assert_eq!(judged(&msg, false), Err(1002));
    }

    #[test]
    fn checks_come_in_their_order() {
        let refused = |change: &dyn Fn(&mut MsgData)| {
            let mut msg = message();
            change(&mut msg);
            judged(&msg, false).expect_err("refused")
        };
        assert_eq!(
            judge(b"\xff", "u", false, 1).expect_err("refused").code,
            500
        );
        assert_eq!(refused(&|m| m.send_id.clear()), 1001);
        assert_eq!(refused(&|m| m.content.clear()), 1001);
        assert_eq!(refused(&|m| m.session_type = 4), 1001);
        assert_eq!(refused(&|m| m.content_type = 1400), 1001);
        assert_eq!(refused(&|m| m.send_id = "x".into()), 1002);
        for forbidden in [1000, 1508, 2200, 5000] {
            assert_eq!(refused(&|m| m.content_type = forbidden), 1002);
        }
        assert_eq!(refused(&|m| m.session_type = 2), 1001);
        assert_eq!(
            refused(&|m| m.content = vec![0; message_limits::MAX_MESSAGE].into()),
            1001
        );
    }

    #[test]
    fn ids_that_no_index_or_cache_should_hold_are_refused() {
        let changes: [fn(&mut MsgData); 4] = [
            |m| m.recv_id = "v".repeat(message_limits::MAX_ID + 1),
            |m| m.recv_id = "v\0".into(),
            |m| (m.session_type, m.group_id) = (3, "g".repeat(message_limits::MAX_ID + 1)),
            |m| m.client_msg_id = "c".repeat(message_limits::MAX_CLIENT_MSG_ID + 1),
        ];
        for change in changes {
            let mut msg = message();
            change(&mut msg);
            assert_eq!(judged(&msg, false), Err(1001));
            assert_eq!(judged(&msg, true), Err(1001), "admins too");
        }
    }

    #[test]
    fn typing_is_never_stored_even_without_options() {
        let mut msg = message();
        msg.content_type = content_type::TYPING;
        let sent = judged(&msg, false).expect("accepted");
        assert!(!options::is_on(&sent.options, options::HISTORY));
        assert!(!options::is_on(&sent.options, options::SENDER_SYNC));
    }
}
