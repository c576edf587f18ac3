//! `/conversation/*`: the reading calls (spec: conversation.md 2).

use super::check;
use crate::app::App;
use crate::domain::caller::Caller;
use crate::domain::conversation_list;
use crate::store::Page;
use ringwire_protocol::error::ApiError;
use ringwire_protocol::pb::conversation::{
    GetAllConversationsReq, GetAllConversationsResp, GetConversationReq, GetConversationResp,
    GetConversationsReq, GetConversationsResp, GetFullOwnerConversationIDsReq,
    GetFullOwnerConversationIDsResp, GetIncrementalConversationReq, GetIncrementalConversationResp,
    GetNotNotifyConversationIDsReq, GetNotNotifyConversationIDsResp, GetOwnerConversationReq,
    GetOwnerConversationResp, GetPinnedConversationIDsReq, GetPinnedConversationIDsResp,
};

/// Most ids in one `get_conversations`: SDKs send all that they do not know in one call.
const MAX_IDS: usize = 10_000;

/// One record.
pub(super) async fn get_conversation(
    app: &App,
    caller: Caller,
    request: GetConversationReq,
) -> Result<GetConversationResp, ApiError> {
    check::present("conversationID", &request.conversation_id)?;
    check::present("ownerUserID", &request.owner_user_id)?;
    caller.require_self(&request.owner_user_id)?;
    let conversation = conversation_list::one(
        &app.stores,
        &request.owner_user_id,
        &request.conversation_id,
    )
    .await?;
    Ok(GetConversationResp {
        conversation: Some(conversation),
    })
}

/// Records by id.
pub(super) async fn get_conversations(
    app: &App,
    caller: Caller,
    request: GetConversationsReq,
) -> Result<GetConversationsResp, ApiError> {
    check::present("ownerUserID", &request.owner_user_id)?;
    if request.conversation_i_ds.is_empty() {
        return Err(ApiError::args("conversationIDs is empty"));
    }
    if request.conversation_i_ds.len() > MAX_IDS {
        return Err(ApiError::args(format!(
            "conversationIDs has more than {MAX_IDS} entries"
        )));
    }
    caller.require_self(&request.owner_user_id)?;
    let (owner, ids) = (&request.owner_user_id, &request.conversation_i_ds);
    Ok(GetConversationsResp {
        conversations: conversation_list::by_id(&app.stores, owner, ids).await?,
    })
}

/// All records.
pub(super) async fn get_all_conversations(
    app: &App,
    caller: Caller,
    request: GetAllConversationsReq,
) -> Result<GetAllConversationsResp, ApiError> {
    check::present("ownerUserID", &request.owner_user_id)?;
    caller.require_self(&request.owner_user_id)?;
    Ok(GetAllConversationsResp {
        conversations: conversation_list::all(&app.stores, &request.owner_user_id).await?,
    })
}

/// A page of records. Without a pagination only the total is told, as OpenIM does.
pub(super) async fn get_owner_conversation(
    app: &App,
    caller: Caller,
    request: GetOwnerConversationReq,
) -> Result<GetOwnerConversationResp, ApiError> {
    caller.require_self(&request.user_id)?;
    let page: Option<Page> = match request.pagination.as_ref() {
        Some(pagination) => Some(check::page(Some(pagination))?),
        None => None,
    };
    Ok(conversation_list::page(&app.stores, &request.user_id, page).await?)
}

/// What changed since a version.
pub(super) async fn get_incremental_conversations(
    app: &App,
    caller: Caller,
    request: GetIncrementalConversationReq,
) -> Result<GetIncrementalConversationResp, ApiError> {
    check::present("userID", &request.user_id)?;
    caller.require_self(&request.user_id)?;
    let GetIncrementalConversationReq {
        user_id,
        version_id,
        version,
    } = &request;
    conversation_list::incremental(&app.stores, user_id, version_id, *version).await
}

/// All ids, unless the client has them.
pub(super) async fn get_full_conversation_ids(
    app: &App,
    caller: Caller,
    request: GetFullOwnerConversationIDsReq,
) -> Result<GetFullOwnerConversationIDsResp, ApiError> {
    check::present("userID", &request.user_id)?;
    caller.require_self(&request.user_id)?;
    Ok(conversation_list::full_ids(&app.stores, &request.user_id, request.id_hash).await?)
}

/// Ids of the records that get no offline push.
pub(super) async fn get_not_notify_conversation_ids(
    app: &App,
    caller: Caller,
    request: GetNotNotifyConversationIDsReq,
) -> Result<GetNotNotifyConversationIDsResp, ApiError> {
    caller.require_self(&request.user_id)?;
    let ids = app
        .stores
        .conversations
        .not_notify_ids(&request.user_id)
        .await?;
    Ok(GetNotNotifyConversationIDsResp {
        conversation_i_ds: ids,
    })
}

/// Ids of the pinned records.
pub(super) async fn get_pinned_conversation_ids(
    app: &App,
    caller: Caller,
    request: GetPinnedConversationIDsReq,
) -> Result<GetPinnedConversationIDsResp, ApiError> {
    caller.require_self(&request.user_id)?;
    let ids = app
        .stores
        .conversations
        .pinned_ids(&request.user_id)
        .await?;
    Ok(GetPinnedConversationIDsResp {
        conversation_i_ds: ids,
    })
}
