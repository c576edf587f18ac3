//! Groups, members and join requests (spec: group.md 2).

use super::{Page, StoreResult};
use async_trait::async_trait;

/// Role of a group's owner.
pub const ROLE_OWNER: i32 = 100;
/// Role of a group's admins.
pub const ROLE_ADMIN: i32 = 60;
/// Role of ordinary members.
pub const ROLE_MEMBER: i32 = 20;
/// Status of a dismissed group.
pub const STATUS_DISMISSED: i32 = 2;

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    /// groupID.
    pub group_id: String,
    /// Name.
    pub name: String,
    /// Announcement.
    pub notification: String,
    /// Introduction.
    pub introduction: String,
    /// Face URL.
    pub face_url: String,
    /// Unix milliseconds.
    pub create_time: i64,
    /// Free text.
    pub ex: String,
    /// 0 ok, 2 dismissed, 3 muted.
    pub status: i32,
    /// Who created it.
    pub creator_id: String,
    /// 0 normal, 1 super, 2 working.
    pub group_type: i32,
    /// needVerification.
    pub need_verification: i32,
    /// lookMemberInfo.
    pub look_member_info: i32,
    /// applyMemberFriend.
    pub apply_member_friend: i32,
    /// When the announcement was set, Unix milliseconds; 0 = never.
    pub notification_update_time: i64,
    /// Who set it.
    pub notification_user_id: String,
    /// Computed on reading: the member of role 100, "" without one.
    pub owner_id: String,
    /// Computed on reading.
    pub member_count: i64,
}

/// A member. On reading, an empty nickname or face URL is filled with the user's own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Member {
    /// Group.
    pub group_id: String,
    /// User.
    pub user_id: String,
    /// Nickname in the group.
    pub nickname: String,
    /// Face URL in the group.
    pub face_url: String,
    /// [`ROLE_OWNER`], [`ROLE_ADMIN`] or [`ROLE_MEMBER`].
    pub role: i32,
    /// Unix milliseconds.
    pub join_time: i64,
    /// 1 by admin, 2 invitation, 3 search, 4 QR code.
    pub join_source: i32,
    /// Who invited.
    pub inviter_id: String,
    /// Who made the change.
    pub operator_id: String,
    /// Unix milliseconds until which the member is muted; 0 = not.
    pub mute_end_time: i64,
    /// Free text.
    pub ex: String,
}

/// A member to insert.
pub type NewMember = Member;

/// `filter` of the member list (spec: group.md 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemberFilter {
    /// Everyone.
    #[default]
    All,
    /// Owner.
    Owner,
    /// Admins.
    Admins,
    /// Ordinary members.
    Ordinary,
    /// Admins and ordinary members.
    AdminsAndOrdinary,
    /// Owner and admins.
    OwnerAndAdmins,
}

/// Groups and their members.
#[async_trait]
pub trait GroupStore: Send + Sync {
    /// Groups (dismissed ones too) in the order of `ids`, each once, unknown ones left out.
    ///
    /// # Errors
    /// Database failures.
    async fn get(&self, ids: &[String]) -> StoreResult<Vec<Group>>;

    /// Total and page of the groups a user is in: own role descending, then by joining; dismissed
    /// groups are left out.
    ///
    /// # Errors
    /// Database failures.
    async fn joined(&self, user_id: &str, page: Page) -> StoreResult<(i64, Vec<Group>)>;

    /// All ids of [`GroupStore::joined`].
    ///
    /// # Errors
    /// Database failures.
    async fn joined_ids(&self, user_id: &str) -> StoreResult<Vec<String>>;

    /// Total and page of members: role descending, then by joining. `keyword`: literal,
    /// case-insensitive substring of the shown nickname; "" = everyone.
    ///
    /// # Errors
    /// Database failures.
    async fn members(
        &self,
        group_id: &str,
        filter: MemberFilter,
        keyword: &str,
        page: Page,
    ) -> StoreResult<(i64, Vec<Member>)>;

    /// Members among these users, in the order of `user_ids`, each once.
    ///
    /// # Errors
    /// Database failures.
    async fn members_by_id(&self, group_id: &str, user_ids: &[String]) -> StoreResult<Vec<Member>>;

    /// The user's membership in each of these groups; groups he is not in are left out.
    ///
    /// # Errors
    /// Database failures.
    async fn memberships(&self, user_id: &str, group_ids: &[String]) -> StoreResult<Vec<Member>>;

    /// All member ids in member order.
    ///
    /// # Errors
    /// Database failures.
    async fn member_ids(&self, group_id: &str) -> StoreResult<Vec<String>>;

    /// Pending join requests to groups where the user is owner or admin, made after `after` (Unix
    /// milliseconds; 0 = all).
    ///
    /// # Errors
    /// Database failures.
    async fn unhandled_requests(&self, user_id: &str, after: i64) -> StoreResult<i64>;

    /// Creates a group with its members: one bump of the members log, one of each member's log of
    /// joined groups (spec: sync.md 2.2). `group_id` of the members is not looked at.
    ///
    /// # Errors
    /// `Duplicate` when the id is taken; `Invalid` for an id longer than [`super::users::MAX_ID_BYTES`].
    async fn create(&self, group: &Group, members: &[NewMember]) -> StoreResult<()>;
}
