//! Requests of clients that control answers: 1001, 1002, 1005, 1006, 1007, 2003 (spec: gateway.md 5).

use super::Link;
use super::registry::Core;
use crate::domain::{pull, sync};
use prost::Message;
use ringwire_link::ToGateway;
use ringwire_link::message::Call;
use ringwire_protocol::error::ApiError;
use ringwire_protocol::pb;
use std::sync::Arc;
use tracing::warn;

/// reqIdentifiers.
const NEWEST_SEQ: i32 = 1001;
const PULL_BY_RANGES: i32 = 1002;
const PULL_BY_SEQS: i32 = 1005;
const READ_AND_MAX_SEQS: i32 = 1006;
const LAST_MESSAGES: i32 = 1007;
const LOGOUT: i32 = 2003;

/// Calls of one core that may wait. Each waits for journals and the database at most
/// [`super::Settings::call_timeout`].
pub(super) const CALLS_WAITING: usize = 16_384;

/// Calls of one core that read the database at the same time.
pub(super) const CALLS_READING: usize = 32;

fn decode<M: Message + Default>(data: &[u8]) -> Result<M, ApiError> {
    M::decode(data).map_err(|_| ApiError::args("the request does not decode"))
}

impl Link {
    pub(super) fn called(self: &Arc<Self>, core: &Core, correlation: u64, call: Call) {
        let core = core.clone();
        let Ok(place) = Arc::clone(&core.connection.calls).try_acquire_owned() else {
            return reply(
                &core,
                correlation,
                Err(ApiError::internal("too many calls wait")),
            );
        };
        let link = Arc::clone(self);
        tokio::spawn(async move {
            let answer = async {
                let limit = link.settings.call_timeout;
                if !link
                    .stored
                    .wait(&core.key.gateway, &call.after, limit)
                    .await
                {
                    return Err(ApiError::internal(
                        "the messages sent before are not stored yet",
                    ));
                }
                let _reading = core.connection.calls_reading.acquire().await;
                link.call(&call).await
            };
            let answer = tokio::select! {
                answer = tokio::time::timeout(link.settings.call_timeout, answer) => answer,
                // Nobody would hear it.
                () = core.connection.closed() => return,
            };
            reply(
                &core,
                correlation,
                answer.unwrap_or_else(|_| {
                    Err(ApiError::internal("the store did not answer in time"))
                }),
            );
            drop(place);
        });
    }

    async fn call(&self, call: &Call) -> Result<Vec<u8>, ApiError> {
        let own = |user_id: &str| {
            if call.user_id == user_id || self.settings.admins.contains(&call.user_id) {
                Ok(())
            } else {
                Err(ApiError::no_permission(
                    "userID is neither the caller's nor is he an admin",
                ))
            }
        };
        let stores = &self.stores;
        let messages = stores.messages.as_ref();
        match call.kind {
            NEWEST_SEQ => {
                let request: pb::sdkws::GetMaxSeqReq = decode(&call.data)?;
                own(&request.user_id)?;
                Ok(sync::newest_seqs(stores, &request.user_id)
                    .await?
                    .encode_to_vec())
            }
            PULL_BY_RANGES => {
                let request: pb::sdkws::PullMessageBySeqsReq = decode(&call.data)?;
                own(&request.user_id)?;
                Ok(pull::by_ranges(messages, &request).await?.encode_to_vec())
            }
            PULL_BY_SEQS => {
                let mut request: pb::msg::GetSeqMessageReq = decode(&call.data)?;
                request.user_id.clone_from(&call.user_id);
                Ok(pull::by_seqs(messages, &request).await?.encode_to_vec())
            }
            READ_AND_MAX_SEQS => {
                let request: pb::msg::GetConversationsHasReadAndMaxSeqReq = decode(&call.data)?;
                if request.user_id.is_empty() {
                    return Err(ApiError::args("userID is empty"));
                }
                own(&request.user_id)?;
                Ok(sync::read_and_max_seqs(stores, &request)
                    .await?
                    .encode_to_vec())
            }
            LAST_MESSAGES => {
                let mut request: pb::msg::GetLastMessageReq = decode(&call.data)?;
                request.user_id.clone_from(&call.user_id);
                Ok(pull::last_messages(messages, &request)
                    .await?
                    .encode_to_vec())
            }
            LOGOUT => {
                let request: pb::push::DelUserPushTokenReq = decode(&call.data)?;
                if !(1..=11).contains(&request.platform_id) {
                    return Err(ApiError::args("platformID"));
                }
                // There are no push tokens to delete before offline push exists.
                Ok(pb::push::DelUserPushTokenResp::default().encode_to_vec())
            }
            _ => Err(ApiError::args("control does not answer this request")),
        }
    }
}

fn reply(core: &Core, correlation: u64, answer: Result<Vec<u8>, ApiError>) {
    let body = match answer {
        Ok(data) => ToGateway::CallReply {
            err_code: 0,
            err_msg: String::new(),
            data,
        },
        Err(error) => ToGateway::CallReply {
            err_code: error.code,
            err_msg: error.message.into_owned(),
            data: Vec::new(),
        },
    };
    // One that is too large for a frame must not end the connection of all users.
    if let Err(error) = core.connection.try_send(correlation, &body) {
        warn!(%error, "an answer to a client is too large");
        let error = ApiError::internal("the answer is too large");
        let refusal = ToGateway::CallReply {
            err_code: error.code,
            err_msg: error.message.into_owned(),
            data: Vec::new(),
        };
        core.connection.send(correlation, &refusal);
    }
}
