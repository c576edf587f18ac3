//! `/msg/*`: what a client asks of stored messages (spec: message.md 7). The same functions answer
//! the WebSocket requests 1001, 1002 and 1006.

use super::check;
use crate::app::App;
use crate::domain::caller::Caller;
use crate::domain::{pull, sync};
use ringwire_protocol::error::ApiError;
use ringwire_protocol::pb::msg::{
    GetConversationsHasReadAndMaxSeqReq, GetConversationsHasReadAndMaxSeqResp,
};
use ringwire_protocol::pb::sdkws::{
    GetMaxSeqReq, GetMaxSeqResp, PullMessageBySeqsReq, PullMessageBySeqsResp,
};

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
