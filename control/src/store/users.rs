//! Registered users and client configuration (spec: user.md 1-3, 5.3).

use super::{OutboxMessage, Page, StoreResult};
use async_trait::async_trait;
use std::collections::BTreeMap;

/// Longest user or group id in bytes that can be stored: two of them and a prefix must fit an index key.
pub const MAX_ID_BYTES: usize = 512;

/// A registered user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    /// userID.
    pub user_id: String,
    /// Nickname.
    pub nickname: String,
    /// Face URL.
    pub face_url: String,
    /// Free text.
    pub ex: String,
    /// Registration, Unix milliseconds.
    pub create_time: i64,
    /// appMangerLevel.
    pub level: i32,
    /// globalRecvMsgOpt.
    pub global_recv_opt: i32,
}

/// Fields to write; `None` leaves a field as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserPatch {
    /// Nickname.
    pub nickname: Option<String>,
    /// Face URL.
    pub face_url: Option<String>,
    /// Free text.
    pub ex: Option<String>,
    /// globalRecvMsgOpt.
    pub global_recv_opt: Option<i32>,
}

/// A user before and after an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserUpdate {
    /// As stored before.
    pub old: User,
    /// As stored now; equal to `old` when nothing changed.
    pub new: User,
}

/// Which users a page lists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserFilter {
    /// appMangerLevels to list; empty = all.
    pub levels: Vec<i32>,
    /// Literal, case-insensitive substring of the userID; empty = not given.
    pub user_id: String,
    /// The same for the nickname. With both given, either may match.
    pub nickname: String,
}

/// Answer to `/statistics/user/register`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RegisterCounts {
    /// All users.
    pub total: i64,
    /// Registered before `start`.
    pub before: i64,
    /// Day (UTC, Unix milliseconds / 86,400,000) -> users registered in [start, end) on it; days without are absent.
    pub days: BTreeMap<i64, i64>,
}

/// One client configuration entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// "" = for everyone.
    pub user_id: String,
    /// Key.
    pub key: String,
    /// Value.
    pub value: String,
}

/// Users and client configuration.
#[async_trait]
pub trait UserStore: Send + Sync {
    /// Registers all users in one transaction; `create_time` is taken as given.
    ///
    /// # Errors
    /// `Duplicate` with the first id (in the order given) that is registered or repeated; `Invalid`
    /// for an id longer than [`MAX_ID_BYTES`]. Nothing is registered then.
    async fn insert(&self, users: &[User]) -> StoreResult<()>;

    /// The users with these ids: in the order of `ids`, each once, unknown ones left out.
    ///
    /// # Errors
    /// Database failures.
    async fn get(&self, ids: &[String]) -> StoreResult<Vec<User>>;

    /// Writes the given fields, and `effects` into the outbox in the same transaction. With
    /// `effects_if_changed`, effects are written only when a field really changed.
    ///
    /// # Errors
    /// `NotFound` for an unknown user.
    async fn update(
        &self,
        user_id: &str,
        patch: &UserPatch,
        effects: Vec<OutboxMessage>,
        effects_if_changed: bool,
    ) -> StoreResult<UserUpdate>;

    /// Which of these ids are registered: in the order of `ids`, each once.
    ///
    /// # Errors
    /// Database failures.
    async fn existing(&self, ids: &[String]) -> StoreResult<Vec<String>>;

    /// Total and page of the users that pass the filter, by (create_time, user_id).
    ///
    /// # Errors
    /// Database failures.
    async fn page(&self, filter: &UserFilter, page: Page) -> StoreResult<(i64, Vec<User>)>;

    /// Total and page of all user ids, by (create_time, user_id).
    ///
    /// # Errors
    /// Database failures.
    async fn page_ids(&self, page: Page) -> StoreResult<(i64, Vec<String>)>;

    /// Counts of registrations; `start` and `end` in Unix milliseconds, half open.
    ///
    /// # Errors
    /// Database failures.
    async fn register_counts(&self, start: i64, end: i64) -> StoreResult<RegisterCounts>;

    /// Inserts the configured admins or renames existing ones, keeping everything else of them.
    /// `admins`: (user id, nickname); new ones get `level` (spec: api.md 7).
    ///
    /// # Errors
    /// Database failures.
    async fn ensure_admins(
        &self,
        admins: &[(String, String)],
        level: i32,
        now: i64,
    ) -> StoreResult<()>;

    /// Entries of exactly this user id ("" = the global ones), by key.
    ///
    /// # Errors
    /// Database failures.
    async fn client_config(&self, user_id: &str) -> StoreResult<BTreeMap<String, String>>;

    /// Upserts entries of this user id.
    ///
    /// # Errors
    /// Database failures.
    async fn set_client_config(
        &self,
        user_id: &str,
        entries: &BTreeMap<String, String>,
    ) -> StoreResult<()>;

    /// Deletes entries of exactly this user id; unknown keys are ignored.
    ///
    /// # Errors
    /// Database failures.
    async fn delete_client_config(&self, user_id: &str, keys: &[String]) -> StoreResult<()>;

    /// Total and page of entries by (user_id, key); non-empty arguments are exact filters.
    ///
    /// # Errors
    /// Database failures.
    async fn page_client_config(
        &self,
        user_id: &str,
        key: &str,
        page: Page,
    ) -> StoreResult<(i64, Vec<ClientConfig>)>;
}
