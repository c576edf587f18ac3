//! `/friend/*`: the reading calls that SDKs make at login (spec: relation.md 3).

use super::check;
use crate::app::App;
use crate::domain::caller::Caller;
use crate::domain::friends;
use ringwire_protocol::error::ApiError;
use ringwire_protocol::pb::relation::{
    GetDesignatedFriendsReq, GetDesignatedFriendsResp, GetFullFriendUserIDsReq,
    GetFullFriendUserIDsResp, GetIncrementalFriendsReq, GetIncrementalFriendsResp,
    GetPaginationBlacksReq, GetPaginationBlacksResp, GetPaginationFriendsReq,
    GetPaginationFriendsResp, GetSelfUnhandledApplyCountReq, GetSelfUnhandledApplyCountResp,
};

/// A page of friends, in display order.
pub(super) async fn get_friend_list(
    app: &App,
    caller: Caller,
    request: GetPaginationFriendsReq,
) -> Result<GetPaginationFriendsResp, ApiError> {
    check::present("userID", &request.user_id)?;
    let page = check::page(request.pagination.as_ref())?;
    caller.require_self(&request.user_id)?;
    friends::page(app, &request.user_id, page).await
}

/// Those of the given users who are friends.
pub(super) async fn get_designated_friends(
    app: &App,
    caller: Caller,
    request: GetDesignatedFriendsReq,
) -> Result<GetDesignatedFriendsResp, ApiError> {
    check::present("ownerUserID", &request.owner_user_id)?;
    check::list("friendUserIDs", &request.friend_user_i_ds)?;
    check::unique("friendUserIDs", &request.friend_user_i_ds)?;
    caller.require_self(&request.owner_user_id)?;
    let friends_info =
        friends::by_id(app, &request.owner_user_id, &request.friend_user_i_ds).await?;
    Ok(GetDesignatedFriendsResp { friends_info })
}

/// Friends that changed since a version.
pub(super) async fn get_incremental_friends(
    app: &App,
    caller: Caller,
    request: GetIncrementalFriendsReq,
) -> Result<GetIncrementalFriendsResp, ApiError> {
    check::present("userID", &request.user_id)?;
    caller.require_self(&request.user_id)?;
    friends::incremental(app, &request.user_id, &request.version_id, request.version).await
}

/// All friend ids.
pub(super) async fn get_full_friend_user_ids(
    app: &App,
    caller: Caller,
    request: GetFullFriendUserIDsReq,
) -> Result<GetFullFriendUserIDsResp, ApiError> {
    check::present("userID", &request.user_id)?;
    caller.require_self(&request.user_id)?;
    friends::full_ids(app, &request.user_id, request.id_hash).await
}

/// A page of the blacklist.
pub(super) async fn get_black_list(
    app: &App,
    caller: Caller,
    request: GetPaginationBlacksReq,
) -> Result<GetPaginationBlacksResp, ApiError> {
    check::present("userID", &request.user_id)?;
    let page = check::page(request.pagination.as_ref())?;
    caller.require_self(&request.user_id)?;
    friends::blacks(app, &request.user_id, page).await
}

/// How many friend requests wait for an answer.
pub(super) async fn get_self_unhandled_apply_count(
    app: &App,
    caller: Caller,
    request: GetSelfUnhandledApplyCountReq,
) -> Result<GetSelfUnhandledApplyCountResp, ApiError> {
    check::present("userID", &request.user_id)?;
    caller.require_self(&request.user_id)?;
    let count = app
        .stores
        .relations
        .unhandled_requests(&request.user_id, request.time)
        .await?;
    Ok(GetSelfUnhandledApplyCountResp { count })
}
