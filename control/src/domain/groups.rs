//! Groups and members as clients see them (spec: group.md 4, 5; sync.md 3).

use super::caller::Caller;
use crate::app::App;
use crate::store::groups::STATUS_DISMISSED;
use crate::store::{Changes, Group, Log, Member, Page};
use ringwire_protocol::error::ApiError;
use ringwire_protocol::id_hash::id_hash;
use ringwire_protocol::pb::group::{
    GetFullGroupMemberUserIDsResp, GetFullJoinGroupIDsResp, GetIncrementalGroupMemberReq,
    GetIncrementalGroupMemberResp, GetIncrementalJoinGroupResp, GetJoinedGroupListResp,
};
use ringwire_protocol::pb::sdkws::{GroupInfo, GroupMemberFullInfo};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Elements of a batch answer from which on the other groups are left for the next call.
const BATCH_ELEMENTS: usize = 500;

/// The caller must be a member of the group, or an admin.
///
/// # Errors
/// 1002.
pub async fn require_member(app: &App, caller: &Caller, group_id: &str) -> Result<(), ApiError> {
    if caller.admin {
        return Ok(());
    }
    let member = app
        .stores
        .groups
        .members_by_id(group_id, std::slice::from_ref(&caller.user_id))
        .await?;
    if member.is_empty() {
        return Err(ApiError::no_permission(format!(
            "not a member of group {group_id}"
        )));
    }
    Ok(())
}

/// A page of the groups a user is in.
///
/// # Errors
/// 500 when the store cannot answer.
pub async fn joined(
    app: &App,
    user_id: &str,
    page: Page,
) -> Result<GetJoinedGroupListResp, ApiError> {
    let (total, groups) = app.stores.groups.joined(user_id, page).await?;
    Ok(GetJoinedGroupListResp {
        total: unsigned(total),
        groups: groups.into_iter().map(info).collect(),
    })
}

/// The groups with these ids, dismissed ones too; unknown ids are left out.
///
/// # Errors
/// 500 when the store cannot answer.
pub async fn by_id(app: &App, ids: &[String]) -> Result<Vec<GroupInfo>, ApiError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(app
        .stores
        .groups
        .get(ids)
        .await?
        .into_iter()
        .map(info)
        .collect())
}

/// What changed in the set of a user's groups (spec: sync.md 3.2).
///
/// # Errors
/// 500 when the store cannot answer.
pub async fn incremental_joined(
    app: &App,
    user_id: &str,
    version_id: &str,
    version: u64,
) -> Result<GetIncrementalJoinGroupResp, ApiError> {
    // The version first, the records after it: what changes in between is delivered again.
    let changes = app
        .stores
        .versions
        .changes(Log::Joined, user_id, version_id, version)
        .await?;
    Ok(GetIncrementalJoinGroupResp {
        insert: by_id(app, &changes.inserted).await?,
        update: by_id(app, &changes.updated).await?,
        delete: changes.deleted,
        version: changes.head.version,
        version_id: changes.head.version_id,
        full: changes.full,
        sort_version: 0,
    })
}

/// Ids of all groups of a user, unless the client's hash says that it has them (spec: sync.md 4).
///
/// # Errors
/// 500 when the store cannot answer.
pub async fn full_joined_ids(
    app: &App,
    user_id: &str,
    hash: u64,
) -> Result<GetFullJoinGroupIDsResp, ApiError> {
    let full = app.stores.versions.full_ids(Log::Joined, user_id).await?;
    let equal = id_hash(&full.ids) == hash;
    Ok(GetFullJoinGroupIDsResp {
        version: full.head.version,
        version_id: full.head.version_id,
        equal,
        group_i_ds: if equal { Vec::new() } else { full.ids },
    })
}

/// The same for the members of a group.
///
/// # Errors
/// 500 when the store cannot answer.
pub async fn full_member_ids(
    app: &App,
    group_id: &str,
    hash: u64,
) -> Result<GetFullGroupMemberUserIDsResp, ApiError> {
    let full = app.stores.versions.full_ids(Log::Members, group_id).await?;
    let equal = id_hash(&full.ids) == hash;
    Ok(GetFullGroupMemberUserIDsResp {
        version: full.head.version,
        version_id: full.head.version_id,
        equal,
        user_i_ds: if equal { Vec::new() } else { full.ids },
    })
}

/// What changed among the members of several groups (spec: sync.md 3.4).
///
/// A group that is unknown, dismissed or not the caller's is left out rather than failing the call:
/// one stale group would block the sync of all. Unchanged groups have an entry, since clients give up
/// on an empty answer.
///
/// # Errors
/// 500 when the store cannot answer.
pub async fn incremental_members(
    app: &App,
    caller: &Caller,
    requests: Vec<GetIncrementalGroupMemberReq>,
) -> Result<BTreeMap<String, GetIncrementalGroupMemberResp>, ApiError> {
    let mut seen = HashSet::new();
    let mut wanted: Vec<GetIncrementalGroupMemberReq> = requests
        .into_iter()
        .filter(|one| seen.insert(one.group_id.clone()))
        .collect();
    let ids: Vec<String> = wanted.iter().map(|one| one.group_id.clone()).collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut groups: HashMap<String, Group> = app
        .stores
        .groups
        .get(&ids)
        .await?
        .into_iter()
        .filter(|group| group.status != STATUS_DISMISSED)
        .map(|group| (group.group_id.clone(), group))
        .collect();
    if !caller.admin {
        let mine = app.stores.groups.memberships(&caller.user_id, &ids).await?;
        let mine: HashSet<String> = mine.into_iter().map(|member| member.group_id).collect();
        groups.retain(|group_id, _| mine.contains(group_id));
    }
    wanted.retain(|one| groups.contains_key(&one.group_id));
    let held: Vec<(String, String, u64)> = wanted
        .into_iter()
        .map(|one| (one.group_id, one.version_id, one.version))
        .collect();
    let mut answers = BTreeMap::new();
    if held.is_empty() {
        return Ok(answers);
    }
    let changes = app
        .stores
        .versions
        .changes_of_many(Log::Members, &held)
        .await?;
    let mut elements = 0;
    for ((group_id, _, _), changes) in held.into_iter().zip(changes) {
        elements += changes.len();
        let group = if changes.full || changes.info_changed || !changes.is_empty() {
            // Read again: the group must not be older than the version of the answer.
            app.stores
                .groups
                .get(std::slice::from_ref(&group_id))
                .await?
                .into_iter()
                .next()
        } else {
            None
        };
        let answer = member_changes(app, &group_id, changes, group).await?;
        answers.insert(group_id, answer);
        if elements >= BATCH_ELEMENTS {
            break;
        }
    }
    Ok(answers)
}

async fn member_changes(
    app: &App,
    group_id: &str,
    changes: Changes,
    group: Option<Group>,
) -> Result<GetIncrementalGroupMemberResp, ApiError> {
    Ok(GetIncrementalGroupMemberResp {
        insert: members_by_id(app, group_id, &changes.inserted).await?,
        update: members_by_id(app, group_id, &changes.updated).await?,
        delete: changes.deleted,
        version: changes.head.version,
        version_id: changes.head.version_id,
        full: changes.full,
        group: group.map(info),
        sort_version: changes.sort_version,
    })
}

/// Those of `user_ids` who are members.
///
/// # Errors
/// 500 when the store cannot answer.
pub async fn members_by_id(
    app: &App,
    group_id: &str,
    user_ids: &[String],
) -> Result<Vec<GroupMemberFullInfo>, ApiError> {
    if user_ids.is_empty() {
        return Ok(Vec::new());
    }
    let members = app.stores.groups.members_by_id(group_id, user_ids).await?;
    Ok(members.into_iter().map(member_info).collect())
}

/// A count as the unsigned 32-bit field that carries it.
pub fn unsigned(count: i64) -> u32 {
    u32::try_from(count).unwrap_or(if count < 0 { 0 } else { u32::MAX })
}

/// A group as clients see it.
pub fn info(group: Group) -> GroupInfo {
    GroupInfo {
        group_id: group.group_id,
        group_name: group.name,
        notification: group.notification,
        introduction: group.introduction,
        face_url: group.face_url,
        owner_user_id: group.owner_id,
        create_time: group.create_time,
        member_count: unsigned(group.member_count),
        ex: group.ex,
        status: group.status,
        creator_user_id: group.creator_id,
        group_type: group.group_type,
        need_verification: group.need_verification,
        look_member_info: group.look_member_info,
        apply_member_friend: group.apply_member_friend,
        notification_update_time: group.notification_update_time,
        notification_user_id: group.notification_user_id,
    }
}

/// A member as clients see it.
pub fn member_info(member: Member) -> GroupMemberFullInfo {
    GroupMemberFullInfo {
        group_id: member.group_id,
        user_id: member.user_id,
        role_level: member.role,
        join_time: member.join_time,
        nickname: member.nickname,
        face_url: member.face_url,
        app_manger_level: 0,
        join_source: member.join_source,
        operator_user_id: member.operator_id,
        ex: member.ex,
        mute_end_time: member.mute_end_time,
        inviter_user_id: member.inviter_id,
    }
}
