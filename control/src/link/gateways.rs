//! The gateways as the rest of control sees them: [`Gateways`] over the connected cores.

use super::Link;
use super::connection::AskError;
use super::registry::Core;
use async_trait::async_trait;
use futures_util::future::join_all;
use prost::Message as _;
use ringwire_link::facts::FactChange;
use ringwire_link::message::{Publish, SessionInfo};
use ringwire_link::{ToControl, ToGateway};
use ringwire_protocol::conversation_id::{
    SESSION_GROUP, SESSION_NOTIFICATION, SESSION_SINGLE, ordering_key_of_users,
};
use ringwire_protocol::error::{ApiError, ErrorCode};
use ringwire_protocol::pb::msg::SendMsgResp;
use ringwire_protocol::pb::sdkws::MsgData;
use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;
use tracing::warn;

use crate::ports::Gateways;

/// Users in one question for sessions.
const SESSION_QUESTION: usize = 1000;

/// Time a question for sessions or a kick may take.
const SESSION_LIMIT: Duration = Duration::from_secs(3);

/// The lane a message is ordered in, as the gateway computes it. `None` for session types that
/// cannot be sent.
pub(super) fn lane_of(msg: &MsgData) -> Option<String> {
    match msg.session_type {
        SESSION_SINGLE | SESSION_NOTIFICATION => {
            Some(ordering_key_of_users(&msg.send_id, &msg.recv_id))
        }
        SESSION_GROUP => Some(msg.group_id.clone()),
        _ => None,
    }
}

/// An error code of the gateway as an error of the API.
fn refusal(code: i32, detail: String) -> ApiError {
    match ErrorCode::ALL.iter().find(|known| **known as i32 == code) {
        Some(known) => ApiError::new(*known, detail),
        None => ApiError {
            code,
            message: Cow::Borrowed("ServerInternalError"),
            detail: detail.into(),
        },
    }
}

impl Link {
    /// Publishes a decoded message to the owner core of its lane.
    pub(super) async fn publish_in(
        &self,
        lane: &str,
        client_msg_id: &str,
        publish: Publish,
    ) -> Result<SendMsgResp, ApiError> {
        let Some(core) = self.registry.owner_of(lane) else {
            return Err(ApiError::internal(AskError::Gone.to_string()));
        };
        let limit = self.settings.publish_timeout;
        match core
            .connection
            .ask(&ToGateway::Publish(publish), limit)
            .await
        {
            Ok(ToControl::Published {
                err_code: 0,
                server_msg_id,
                send_time,
                ..
            }) => Ok(SendMsgResp {
                server_msg_id,
                client_msg_id: client_msg_id.to_owned(),
                send_time,
                modify: None,
            }),
            Ok(ToControl::Published {
                err_code,
                err_detail,
                ..
            }) => Err(refusal(err_code, err_detail)),
            Ok(_) => Err(self.mismatch(&core)),
            Err(AskError::TooLarge) => Err(ApiError::args(AskError::TooLarge.to_string())),
            Err(error) => Err(ApiError::internal(error.to_string())),
        }
    }

    fn mismatch(&self, core: &Core) -> ApiError {
        core.connection
            .close("an answer was of another kind than its question".into());
        ApiError::internal(AskError::Mismatch.to_string())
    }
}

#[async_trait]
impl Gateways for Link {
    async fn apply(&self, changes: Vec<FactChange>) {
        if changes.is_empty() {
            return;
        }
        let (version, cores) = self.registry.publish_changes(changes);
        let limit = self.settings.facts_timeout;
        join_all(cores.iter().map(|core| async move {
            if tokio::time::timeout(limit, core.connection.wait_applied(version))
                .await
                .is_err()
            {
                core.connection
                    .close(format!("the core did not apply change {version} in time"));
            }
        }))
        .await;
    }

    async fn publish(&self, publish: Publish) -> Result<SendMsgResp, ApiError> {
        let msg = MsgData::decode(publish.msg.as_slice())
            .map_err(|_| ApiError::args("msgData does not decode"))?;
        let lane = lane_of(&msg).ok_or_else(|| ApiError::args("unknown sessionType"))?;
        self.publish_in(&lane, &msg.client_msg_id, publish).await
    }

    fn outbox_ready(&self) {
        self.outbox_wake.notify_one();
    }

    async fn kick(&self, user_id: &str, platforms: &[i32]) -> u32 {
        let question = ToGateway::Kick {
            user_id: user_id.to_owned(),
            platforms: platforms.to_vec(),
        };
        let homes = self.registry.homes_of(user_id);
        let closed = join_all(homes.iter().map(|core| async {
            match core.connection.ask(&question, SESSION_LIMIT).await {
                Ok(ToControl::Kicked { closed }) => closed,
                Ok(_) => {
                    self.mismatch(core);
                    0
                }
                Err(error) => {
                    warn!(gateway = core.key.gateway, core = core.key.core, %error, "kick was not answered");
                    0
                }
            }
        }))
        .await;
        closed.iter().sum()
    }

    async fn sessions(&self, user_ids: &[String]) -> Vec<SessionInfo> {
        let mut questions: Vec<(Core, Vec<String>)> = Vec::new();
        let mut open: HashMap<u64, usize> = HashMap::new();
        let cores = self.registry.cores();
        for user_id in user_ids {
            for core in cores.iter().filter(|core| core.is_home_of(user_id)) {
                let at = *open.entry(core.connection.id).or_insert_with(|| {
                    questions.push((core.clone(), Vec::new()));
                    questions.len() - 1
                });
                questions[at].1.push(user_id.clone());
                if questions[at].1.len() == SESSION_QUESTION {
                    open.remove(&core.connection.id);
                }
            }
        }
        let answers = join_all(questions.into_iter().map(|(core, user_ids)| async move {
            match core.connection.ask(&ToGateway::QuerySessions { user_ids }, SESSION_LIMIT).await {
                Ok(ToControl::Sessions { sessions }) => sessions,
                Ok(_) => {
                    self.mismatch(&core);
                    Vec::new()
                }
                Err(error) => {
                    warn!(gateway = core.key.gateway, core = core.key.core, %error, "sessions were not told");
                    Vec::new()
                }
            }
        }))
        .await;
        answers.into_iter().flatten().collect()
    }

    fn platforms(&self, user_id: &str) -> Vec<i32> {
        self.presence.platforms(user_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_and_its_notifications_share_a_lane() {
        let msg = |session_type, send: &str, recv: &str, group: &str| MsgData {
            session_type,
            send_id: send.into(),
            recv_id: recv.into(),
            group_id: group.into(),
            ..MsgData::default()
        };
        assert_eq!(lane_of(&msg(1, "b", "a", "")).as_deref(), Some("a_b"));
        assert_eq!(lane_of(&msg(4, "a", "b", "")).as_deref(), Some("a_b"));
        assert_eq!(lane_of(&msg(3, "a", "g", "g")).as_deref(), Some("g"));
        assert_eq!(lane_of(&msg(2, "a", "b", "g")), None);
    }

    #[test]
    fn a_refusal_keeps_its_code_and_gets_its_name() {
        let error = refusal(1302, "d".into());
        assert_eq!(
            (error.code, error.message.as_ref(), error.detail.as_ref()),
            (1302, "BlockedByPeer", "d")
        );
        assert_eq!(refusal(77, String::new()).code, 77);
    }
}
