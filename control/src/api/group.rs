//! `/group/*`: the reading calls that SDKs make at login (spec: group.md 4, 5).

use super::check;
use crate::app::App;
use crate::domain::caller::Caller;
use crate::domain::groups;
use crate::store::MemberFilter;
use ringwire_protocol::error::ApiError;
use ringwire_protocol::pb::group::{
    BatchGetIncrementalGroupMemberReq, BatchGetIncrementalGroupMemberResp,
    GetFullGroupMemberUserIDsReq, GetFullGroupMemberUserIDsResp, GetFullJoinGroupIDsReq,
    GetFullJoinGroupIDsResp, GetGroupApplicationUnhandledCountReq,
    GetGroupApplicationUnhandledCountResp, GetGroupMemberListReq, GetGroupMemberListResp,
    GetGroupMembersInfoReq, GetGroupMembersInfoResp, GetGroupsInfoReq, GetGroupsInfoResp,
    GetIncrementalJoinGroupReq, GetIncrementalJoinGroupResp, GetJoinedGroupListReq,
    GetJoinedGroupListResp,
};

/// Groups by id.
pub(super) async fn get_groups_info(
    app: &App,
    _: Caller,
    request: GetGroupsInfoReq,
) -> Result<GetGroupsInfoResp, ApiError> {
    check::list("groupIDs", &request.group_i_ds)?;
    Ok(GetGroupsInfoResp {
        group_infos: groups::by_id(app, &request.group_i_ds).await?,
    })
}

/// Members by id.
pub(super) async fn get_group_members_info(
    app: &App,
    caller: Caller,
    request: GetGroupMembersInfoReq,
) -> Result<GetGroupMembersInfoResp, ApiError> {
    check::present("groupID", &request.group_id)?;
    check::list("userIDs", &request.user_i_ds)?;
    groups::require_member(app, &caller, &request.group_id).await?;
    Ok(GetGroupMembersInfoResp {
        members: groups::members_by_id(app, &request.group_id, &request.user_i_ds).await?,
    })
}

/// A page of members: owner, admins, then the others.
pub(super) async fn get_group_member_list(
    app: &App,
    caller: Caller,
    request: GetGroupMemberListReq,
) -> Result<GetGroupMemberListResp, ApiError> {
    check::present("groupID", &request.group_id)?;
    let page = check::page(request.pagination.as_ref())?;
    let filter = match request.filter {
        0 => MemberFilter::All,
        1 => MemberFilter::Owner,
        2 => MemberFilter::Admins,
        3 => MemberFilter::Ordinary,
        4 => MemberFilter::AdminsAndOrdinary,
        5 => MemberFilter::OwnerAndAdmins,
        _ => return Err(ApiError::args("filter is invalid")),
    };
    groups::require_member(app, &caller, &request.group_id).await?;
    let (total, members) = app
        .stores
        .groups
        .members(&request.group_id, filter, &request.keyword, page)
        .await?;
    Ok(GetGroupMemberListResp {
        total: groups::unsigned(total),
        members: members.into_iter().map(groups::member_info).collect(),
    })
}

/// A page of the groups a user is in.
pub(super) async fn get_joined_group_list(
    app: &App,
    caller: Caller,
    request: GetJoinedGroupListReq,
) -> Result<GetJoinedGroupListResp, ApiError> {
    check::present("fromUserID", &request.from_user_id)?;
    let page = check::page(request.pagination.as_ref())?;
    caller.require_self(&request.from_user_id)?;
    groups::joined(app, &request.from_user_id, page).await
}

/// Groups joined and left since a version.
pub(super) async fn get_incremental_join_groups(
    app: &App,
    caller: Caller,
    request: GetIncrementalJoinGroupReq,
) -> Result<GetIncrementalJoinGroupResp, ApiError> {
    check::present("userID", &request.user_id)?;
    caller.require_self(&request.user_id)?;
    groups::incremental_joined(app, &request.user_id, &request.version_id, request.version).await
}

/// Members that changed since a version, for several groups.
pub(super) async fn get_incremental_group_members_batch(
    app: &App,
    caller: Caller,
    request: BatchGetIncrementalGroupMemberReq,
) -> Result<BatchGetIncrementalGroupMemberResp, ApiError> {
    check::short_list("reqList", &request.req_list)?;
    let resp_list = groups::incremental_members(app, &caller, request.req_list).await?;
    Ok(BatchGetIncrementalGroupMemberResp { resp_list })
}

/// All member ids of a group.
pub(super) async fn get_full_group_member_user_ids(
    app: &App,
    caller: Caller,
    request: GetFullGroupMemberUserIDsReq,
) -> Result<GetFullGroupMemberUserIDsResp, ApiError> {
    check::present("groupID", &request.group_id)?;
    groups::require_member(app, &caller, &request.group_id).await?;
    groups::full_member_ids(app, &request.group_id, request.id_hash).await
}

/// All group ids of a user.
pub(super) async fn get_full_join_group_ids(
    app: &App,
    caller: Caller,
    request: GetFullJoinGroupIDsReq,
) -> Result<GetFullJoinGroupIDsResp, ApiError> {
    check::present("userID", &request.user_id)?;
    caller.require_self(&request.user_id)?;
    groups::full_joined_ids(app, &request.user_id, request.id_hash).await
}

/// How many requests to join wait for an answer of this owner or admin.
pub(super) async fn get_group_application_unhandled_count(
    app: &App,
    caller: Caller,
    request: GetGroupApplicationUnhandledCountReq,
) -> Result<GetGroupApplicationUnhandledCountResp, ApiError> {
    check::present("userID", &request.user_id)?;
    caller.require_self(&request.user_id)?;
    let count = app
        .stores
        .groups
        .unhandled_requests(&request.user_id, request.time)
        .await?;
    Ok(GetGroupApplicationUnhandledCountResp { count })
}
