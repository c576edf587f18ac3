//! Version logs (spec: sync.md 1-4, 6, 7). They are written by the operations that change the rows.

use super::StoreResult;
use async_trait::async_trait;

/// Changes in one answer beyond which the client is told to download everything.
pub const MAX_CHANGES: usize = 200;

/// Which log. Its key is a user id, for [`Log::Members`] a group id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Log {
    /// A user's friends.
    Friends = 1,
    /// A group's members and info.
    Members = 2,
    /// A user's groups.
    Joined = 3,
    /// A user's conversation records.
    Conversations = 4,
}

/// State of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// 24 lower-case hex digits.
    pub version_id: String,
    /// At least 1.
    pub version: u64,
}

/// What changed since a version the client holds. Read the records after this, never before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Current state.
    pub head: Head,
    /// The client must download everything; all lists are empty then.
    pub full: bool,
    /// Ids deleted.
    pub deleted: Vec<String>,
    /// Ids inserted, by version.
    pub inserted: Vec<String>,
    /// Ids updated, by version.
    pub updated: Vec<String>,
    /// Version of the last change of the list's order inside the range, else 0.
    pub sort_version: u64,
    /// The group's info changed inside the range.
    pub info_changed: bool,
}

impl Changes {
    /// Elements in the answer.
    pub fn len(&self) -> usize {
        self.deleted.len() + self.inserted.len() + self.updated.len()
    }

    /// Whether no element changed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A log's state and the complete id list of the same snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullIds {
    /// State of the log.
    pub head: Head,
    /// Ids in display order (spec: sync.md 4).
    pub ids: Vec<String>,
}

/// Version logs.
#[async_trait]
pub trait VersionStore: Send + Sync {
    /// The decision of sync.md 3 for what a client says it holds. A missing log is created.
    ///
    /// # Errors
    /// Database failures.
    async fn changes(
        &self,
        log: Log,
        key: &str,
        version_id: &str,
        version: u64,
    ) -> StoreResult<Changes>;

    /// The same for several keys of one log in one snapshot, in the order given: (key, version_id, version).
    ///
    /// # Errors
    /// Database failures.
    async fn changes_of_many(
        &self,
        log: Log,
        clients: &[(String, String, u64)],
    ) -> StoreResult<Vec<Changes>>;

    /// State and all ids. A missing log is created.
    ///
    /// # Errors
    /// Database failures.
    async fn full_ids(&self, log: Log, key: &str) -> StoreResult<FullIds>;
}
