//! Reading conversation records (spec: conversation.md 2.1, sync.md 3.5, 4). Callers have checked that
//! the owner may be read.

use crate::store::{ConversationRecord, Log, Page, StoreResult, Stores};
use ringwire_protocol::error::ApiError;
use ringwire_protocol::id_hash::id_hash;
use ringwire_protocol::pb::conversation::{
    Conversation, GetFullOwnerConversationIDsResp, GetIncrementalConversationResp,
    GetOwnerConversationResp,
};

fn shown(records: Vec<ConversationRecord>) -> Vec<Conversation> {
    records.into_iter().map(Conversation::from).collect()
}

/// Records of an owner by id; unknown ids are left out.
///
/// # Errors
/// 500 when the store fails.
pub async fn by_id(
    stores: &Stores,
    owner_id: &str,
    ids: &[String],
) -> Result<Vec<Conversation>, ApiError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(shown(stores.conversations.get(owner_id, ids).await?))
}

/// One record.
///
/// # Errors
/// 1004 when the owner has none of this id; 500 when the store fails.
pub async fn one(stores: &Stores, owner_id: &str, id: &str) -> Result<Conversation, ApiError> {
    let found = by_id(stores, owner_id, &[id.to_owned()]).await?;
    found
        .into_iter()
        .next()
        .ok_or_else(|| ApiError::not_found("conversation"))
}

/// All records of an owner.
///
/// # Errors
/// 500 when the store fails.
pub async fn all(stores: &Stores, owner_id: &str) -> StoreResult<Vec<Conversation>> {
    Ok(shown(stores.conversations.all(owner_id).await?))
}

/// A page of an owner's records; without a page only the total.
///
/// # Errors
/// 500 when the store fails.
pub async fn page(
    stores: &Stores,
    owner_id: &str,
    page: Option<Page>,
) -> StoreResult<GetOwnerConversationResp> {
    let (total, records) = stores
        .conversations
        .page(owner_id, page.unwrap_or(Page::first(0)))
        .await?;
    Ok(GetOwnerConversationResp {
        total,
        conversations: shown(records),
    })
}

/// What changed since the version a client holds.
///
/// # Errors
/// 500 when the store fails.
pub async fn incremental(
    stores: &Stores,
    owner_id: &str,
    version_id: &str,
    version: u64,
) -> Result<GetIncrementalConversationResp, ApiError> {
    // The version first, the records after it: what changes in between is delivered again.
    let changes = stores
        .versions
        .changes(Log::Conversations, owner_id, version_id, version)
        .await?;
    Ok(GetIncrementalConversationResp {
        insert: by_id(stores, owner_id, &changes.inserted).await?,
        update: by_id(stores, owner_id, &changes.updated).await?,
        delete: changes.deleted,
        version: changes.head.version,
        version_id: changes.head.version_id,
        full: changes.full,
    })
}

/// All conversation ids, unless the client's hash says that it has them.
///
/// # Errors
/// 500 when the store fails.
pub async fn full_ids(
    stores: &Stores,
    owner_id: &str,
    hash: u64,
) -> StoreResult<GetFullOwnerConversationIDsResp> {
    let full = stores
        .versions
        .full_ids(Log::Conversations, owner_id)
        .await?;
    let equal = id_hash(&full.ids) == hash;
    Ok(GetFullOwnerConversationIDsResp {
        version: full.head.version,
        version_id: full.head.version_id,
        equal,
        conversation_i_ds: if equal { Vec::new() } else { full.ids },
    })
}
