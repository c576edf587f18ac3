//! Friends and blacks as clients see them (spec: relation.md 2, 3.6, 3.12, 3.13).
//!
//! Times of these calls are in seconds.

use super::users::{self, public_info};
use crate::app::App;
use crate::store::{Black, Friend, Log, Page, StoreResult, Stores, User};
use ringwire_protocol::error::ApiError;
use ringwire_protocol::id_hash::id_hash;
use ringwire_protocol::pb::relation::{
    GetFullFriendUserIDsResp, GetIncrementalFriendsResp, GetPaginationBlacksResp,
    GetPaginationFriendsResp,
};
use ringwire_protocol::pb::sdkws::{BlackInfo, FriendInfo, PublicUserInfo, UserInfo};
use std::collections::HashMap;

/// A page of an owner's friends.
///
/// # Errors
/// 500 when the store cannot answer.
pub async fn page(
    app: &App,
    owner_id: &str,
    page: Page,
) -> Result<GetPaginationFriendsResp, ApiError> {
    let (total, friends) = app.stores.relations.friends(owner_id, page).await?;
    Ok(GetPaginationFriendsResp {
        friends_info: infos(&app.stores, friends).await?,
        total: users::total(total),
    })
}

/// Those of `ids` who are friends of the owner.
///
/// # Errors
/// 500 when the store cannot answer.
pub async fn by_id(app: &App, owner_id: &str, ids: &[String]) -> Result<Vec<FriendInfo>, ApiError> {
    let friends = app.stores.relations.friends_by_id(owner_id, ids).await?;
    Ok(infos(&app.stores, friends).await?)
}

/// What changed since the version the client holds (spec: sync.md 3.1).
///
/// # Errors
/// 500 when the store cannot answer.
pub async fn incremental(
    app: &App,
    owner_id: &str,
    version_id: &str,
    version: u64,
) -> Result<GetIncrementalFriendsResp, ApiError> {
    // The version first, the records after it: what changes in between is delivered again.
    let changes = app
        .stores
        .versions
        .changes(Log::Friends, owner_id, version_id, version)
        .await?;
    Ok(GetIncrementalFriendsResp {
        insert: by_id(app, owner_id, &changes.inserted).await?,
        update: by_id(app, owner_id, &changes.updated).await?,
        delete: changes.deleted,
        version: changes.head.version,
        version_id: changes.head.version_id,
        full: changes.full,
        sort_version: changes.sort_version,
    })
}

/// All friend ids, unless the client's hash says that it has them (spec: sync.md 4).
///
/// # Errors
/// 500 when the store cannot answer.
pub async fn full_ids(
    app: &App,
    owner_id: &str,
    hash: u64,
) -> Result<GetFullFriendUserIDsResp, ApiError> {
    let full = app.stores.versions.full_ids(Log::Friends, owner_id).await?;
    let equal = id_hash(&full.ids) == hash;
    Ok(GetFullFriendUserIDsResp {
        version: full.head.version,
        version_id: full.head.version_id,
        equal,
        user_i_ds: if equal { Vec::new() } else { full.ids },
    })
}

/// A page of an owner's blacklist.
///
/// # Errors
/// 500 when the store cannot answer.
pub async fn blacks(
    app: &App,
    owner_id: &str,
    page: Page,
) -> Result<GetPaginationBlacksResp, ApiError> {
    let (total, blacks) = app.stores.relations.blacks(owner_id, page).await?;
    let profiles = profiles(
        &app.stores,
        blacks.iter().map(|black| black.block_id.clone()).collect(),
    )
    .await?;
    let blacks = blacks
        .into_iter()
        .map(|black| black_info(black, &profiles))
        .collect();
    Ok(GetPaginationBlacksResp {
        blacks,
        total: users::total(total),
    })
}

async fn profiles(stores: &Stores, ids: Vec<String>) -> StoreResult<HashMap<String, User>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let found = stores.users.get(&ids).await?;
    Ok(found
        .into_iter()
        .map(|user| (user.user_id.clone(), user))
        .collect())
}

async fn infos(stores: &Stores, friends: Vec<Friend>) -> StoreResult<Vec<FriendInfo>> {
    let profiles = profiles(
        stores,
        friends
            .iter()
            .map(|friend| friend.friend_id.clone())
            .collect(),
    )
    .await?;
    Ok(friends
        .into_iter()
        .map(|friend| friend_info(friend, &profiles))
        .collect())
}

/// SDKs read `friendUser` without looking whether it is there: it always is, with the id at least.
fn friend_info(friend: Friend, profiles: &HashMap<String, User>) -> FriendInfo {
    let user = match profiles.get(&friend.friend_id) {
        Some(user) => UserInfo {
            user_id: user.user_id.clone(),
            nickname: user.nickname.clone(),
            face_url: user.face_url.clone(),
            ex: user.ex.clone(),
            ..UserInfo::default()
        },
        None => UserInfo {
            user_id: friend.friend_id,
            ..UserInfo::default()
        },
    };
    FriendInfo {
        owner_user_id: friend.owner_id,
        remark: friend.remark,
        create_time: friend.create_time.div_euclid(1000),
        friend_user: Some(user),
        add_source: friend.add_source,
        operator_user_id: friend.operator_id,
        ex: friend.ex,
        is_pinned: friend.is_pinned,
    }
}

/// As with friends, `blackUserInfo` is always there.
fn black_info(black: Black, profiles: &HashMap<String, User>) -> BlackInfo {
    let user = match profiles.get(&black.block_id) {
        Some(user) => public_info(user),
        None => PublicUserInfo {
            user_id: black.block_id,
            ..PublicUserInfo::default()
        },
    };
    BlackInfo {
        owner_user_id: black.owner_id,
        create_time: black.create_time.div_euclid(1000),
        black_user_info: Some(user),
        add_source: black.add_source,
        operator_user_id: black.operator_id,
        ex: black.ex,
    }
}
