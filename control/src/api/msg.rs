//! `/msg/*`: what a client asks of stored messages (spec: message.md 7), and sending by back-ends
//! (message.md 5). The same functions answer the WebSocket requests 1001, 1002 and 1006.

use super::check;
use crate::app::App;
use crate::domain::caller::Caller;
use crate::domain::send::{self, SendRequest};
use crate::domain::{pull, sync};
use ringwire_protocol::error::ApiError;
use ringwire_protocol::pb::msg::{
    GetConversationsHasReadAndMaxSeqReq, GetConversationsHasReadAndMaxSeqResp,
};
use ringwire_protocol::pb::sdkws::{
    GetMaxSeqReq, GetMaxSeqResp, PullMessageBySeqsReq, PullMessageBySeqsResp,
};
use serde::Serialize;

/// Newest seqs of all conversations of a user.
pub(super) async fn newest_seq(
    app: &App,
    caller: Caller,
    request: GetMaxSeqReq,
) -> Result<GetMaxSeqResp, ApiError> {
    check::present("userID", &request.user_id)?;
    caller.require_self(&request.user_id)?;
    sync::newest_seqs(&app.stores, &request.user_id).await
}

/// Messages by ranges of seqs.
pub(super) async fn pull_msg_by_seq(
    app: &App,
    caller: Caller,
    request: PullMessageBySeqsReq,
) -> Result<PullMessageBySeqsResp, ApiError> {
    check::present("userID", &request.user_id)?;
    caller.require_self(&request.user_id)?;
    pull::by_ranges(app.stores.messages.as_ref(), &request).await
}

/// Read and newest seqs of a user's conversations.
pub(super) async fn get_conversations_has_read_and_max_seq(
    app: &App,
    caller: Caller,
    request: GetConversationsHasReadAndMaxSeqReq,
) -> Result<GetConversationsHasReadAndMaxSeqResp, ApiError> {
    check::present("userID", &request.user_id)?;
    caller.require_self(&request.user_id)?;
    sync::read_and_max_seqs(&app.stores, &request).await
}

/// What a back-end learns of the message it sent. `modify` of the wire is there only when a webhook
/// changed the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sent {
    #[serde(rename = "serverMsgID")]
    server_msg_id: String,
    #[serde(rename = "clientMsgID")]
    client_msg_id: String,
    send_time: i64,
}

/// Sends a message as any user.
pub(super) async fn send_msg(
    app: &App,
    caller: Caller,
    request: SendRequest,
) -> Result<Sent, ApiError> {
    caller.require_admin()?;
    let sent = send::send(app, &caller.operation_id, request).await?;
    Ok(Sent {
        server_msg_id: sent.server_msg_id,
        client_msg_id: sent.client_msg_id,
        send_time: sent.send_time,
    })
}
