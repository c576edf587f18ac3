//! What each request does (spec: gateway.md 5, message.md 7).

use super::conn::{ConnKey, ReplyHead, Waiting};
use super::home::{GroupsFact, Home};
use crate::core::event::Now;
use crate::core::out::Out;
use crate::core::ws::CloseCode;
use bytes::Bytes;
use prost::Message;
use ringwire_link::ToControl;
use ringwire_link::message::Call;
use ringwire_protocol::envelope::Request;
use ringwire_protocol::error::ApiError;
use ringwire_protocol::pb::msg::{
    GetConversationsHasReadAndMaxSeqReq, GetLastMessageReq, GetSeqMessageReq,
};
use ringwire_protocol::pb::push::DelUserPushTokenReq;
use ringwire_protocol::pb::sdkws::{GetMaxSeqReq, PullMessageBySeqsReq, SetAppBackgroundStatusReq};
use ringwire_protocol::platform::Platform;
use ringwire_protocol::req;

/// What becomes of a request that the session alone has judged.
enum Verdict {
    Answer(Result<Bytes, ApiError>),
    /// To control, with this data.
    Control(Vec<u8>),
    /// The same, once the fan-out index knows the user's groups: what is sequenced after the answer's
    /// state must reach the session as a push.
    ControlAfterGroups(Vec<u8>),
}

fn decode<M: Message + Default>(data: &[u8]) -> Result<M, ApiError> {
    M::decode(data).map_err(|_| ApiError::internal("data does not decode"))
}

fn own(user: &str, wanted: &str, admin: bool) -> Result<(), ApiError> {
    if admin || user == wanted {
        Ok(())
    } else {
        Err(ApiError::no_permission("userID is not the session's user"))
    }
}

impl Home {
    pub(super) fn dispatch(&mut self, key: ConnKey, now: Now, request: Request, out: &mut Out) {
        let Request {
            req_identifier: id,
            operation_id,
            msg_incr,
            data,
            ..
        } = request;
        let head = ReplyHead {
            id,
            operation_id,
            msg_incr,
        };
        let named = matches!(
            id,
            req::PULL_BY_RANGE
                | req::PULL_BY_LIST
                | req::GET_HAS_READ_AND_MAX_SEQ
                | req::SET_BACKGROUND
        );
        if named && (head.operation_id.is_empty() || head.msg_incr.is_empty()) {
            self.reply(
                key,
                head,
                Err(ApiError::internal("operationID or msgIncr is empty")),
                out,
            );
            return;
        }
        match id {
            req::SEND_MSG => self.send_message(key, now, head, data, out),
            req::SUBSCRIBE_ONLINE => self.subscribe_online(key, now, head, &data, out),
            _ if req::is_request(id) => {
                let verdict = self
                    .judge(key, id, &data)
                    .unwrap_or_else(|error| Verdict::Answer(Err(error)));
                match verdict {
                    Verdict::Answer(result) => {
                        // A logout ends the session however it was answered.
                        let refused_logout =
                            id == req::LOGOUT && result.as_ref().is_err_and(|e| e.code != 500);
                        self.reply(key, head, result, out);
                        if refused_logout {
                            self.end(
                                key,
                                super::home::End::Close(CloseCode::Normal, "logged out"),
                                out,
                            );
                        }
                    }
                    Verdict::Control(data) => self.call(key, now, head, data, out),
                    Verdict::ControlAfterGroups(data) => {
                        self.call_after_groups(key, now, head, data, out)
                    }
                }
            }
            _ => self.bad_input(key, CloseCode::Policy, "unknown reqIdentifier", out),
        }
    }

    /// Checks arguments and access of everything but 1003 and 2005.
    fn judge(&mut self, key: ConnKey, id: i32, data: &[u8]) -> Result<Verdict, ApiError> {
        let Some(session) = self.session(key) else {
            return Err(ApiError::internal("session is gone"));
        };
        let (user, admin) = (&*session.user, session.admin);
        // Reading with somebody else's id is an admin's right; for others it is their own, always.
        let force = |asked: &mut String| {
            if !admin || asked.is_empty() {
                user.clone_into(asked);
            }
        };
        Ok(match id {
            req::GET_MAX_SEQ => {
                let asked: GetMaxSeqReq = decode(data)?;
                own(user, &asked.user_id, admin)?;
                Verdict::ControlAfterGroups(data.to_vec())
            }
            req::PULL_BY_RANGE => {
                let asked: PullMessageBySeqsReq = decode(data)?;
                own(user, &asked.user_id, admin)?;
                Verdict::Control(data.to_vec())
            }
            req::PULL_BY_LIST => {
                let mut asked: GetSeqMessageReq = decode(data)?;
                force(&mut asked.user_id);
                Verdict::Control(asked.encode_to_vec())
            }
            req::GET_HAS_READ_AND_MAX_SEQ => {
                let asked: GetConversationsHasReadAndMaxSeqReq = decode(data)?;
                if asked.user_id.is_empty() {
                    return Err(ApiError::args("userID is empty"));
                }
                own(user, &asked.user_id, admin)?;
                Verdict::ControlAfterGroups(data.to_vec())
            }
            req::GET_LAST_MESSAGE => {
                let mut asked: GetLastMessageReq = decode(data)?;
                force(&mut asked.user_id);
                Verdict::Control(asked.encode_to_vec())
            }
            req::LOGOUT => {
                let mut asked: DelUserPushTokenReq = decode(data)?;
                if asked.user_id.is_empty() {
                    return Err(ApiError::args("userID is empty"));
                }
                if Platform::from_id(asked.platform_id).is_none() {
                    return Err(ApiError::args("platformID is not known"));
                }
                user.clone_into(&mut asked.user_id);
                Verdict::Control(asked.encode_to_vec())
            }
            req::SET_BACKGROUND => {
                let asked: SetAppBackgroundStatusReq = decode(data)?;
                session.background = asked.is_background;
                Verdict::Answer(Ok(Bytes::new()))
            }
            _ => Verdict::Answer(Err(ApiError::args("not implemented"))),
        })
    }

    /// Hands a request to control, with how far all journals are committed now: the answer comes from a
    /// store that has all of it.
    fn call(&mut self, key: ConnKey, now: Now, head: ReplyHead, data: Vec<u8>, out: &mut Out) {
        let Some(conn) = self.conns.get(key) else {
            return;
        };
        let Some(session) = conn.session() else {
            return;
        };
        if !self.link {
            let logout = head.id == req::LOGOUT;
            self.reply(key, head, Err(ApiError::internal("control is away")), out);
            if logout {
                self.end(
                    key,
                    super::home::End::Close(CloseCode::Normal, "logged out"),
                    out,
                );
            }
            return;
        }
        let correlation = self.correlations.fresh();
        let call = Call {
            kind: head.id,
            user_id: session.user.to_string(),
            platform_id: session.platform.id(),
            operation_id: head.operation_id.clone(),
            data,
            after: self.board.vector(),
        };
        self.calls.insert(correlation, (conn.id, session.requests));
        out.link(correlation, ToControl::Call(call));
        self.await_outcome(key, now, head, Waiting::Control { correlation });
    }

    fn call_after_groups(
        &mut self,
        key: ConnKey,
        now: Now,
        head: ReplyHead,
        data: Vec<u8>,
        out: &mut Out,
    ) {
        let Some(user_key) = self.session(key).map(|s| s.user_key) else {
            return;
        };
        if self.link && self.users[user_key].groups != GroupsFact::Known {
            self.await_outcome(key, now, head, Waiting::Groups { data });
        } else {
            self.call(key, now, head, data, out);
        }
    }

    /// The index knows the groups of the session's user now.
    pub(super) fn groups_known(&mut self, key: ConnKey, now: Now, out: &mut Out) {
        let Some(session) = self.session(key) else {
            return;
        };
        if !session
            .current
            .as_ref()
            .is_some_and(|c| matches!(c.what, Waiting::Groups { .. }))
        {
            return;
        }
        let Some(current) = session.current.take() else {
            return;
        };
        if let Waiting::Groups { data } = current.what {
            self.call(key, now, current.head, data, out);
            self.pump(key, now, out);
        }
    }
}
