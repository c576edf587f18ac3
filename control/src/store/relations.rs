//! Friends, blacks and friend requests (spec: relation.md 2).

use super::{Page, StoreResult};
use async_trait::async_trait;

/// One side of a friendship: `friend_id` is in `owner_id`'s list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Friend {
    /// Whose list.
    pub owner_id: String,
    /// Who is in it.
    pub friend_id: String,
    /// The owner's name for the friend.
    pub remark: String,
    /// Unix milliseconds.
    pub create_time: i64,
    /// 1 imported, 2 by application.
    pub add_source: i32,
    /// Who did it.
    pub operator_id: String,
    /// Free text.
    pub ex: String,
    /// Pinned.
    pub is_pinned: bool,
}

/// A friend row to insert.
pub type NewFriend = Friend;

/// A blacklist entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Black {
    /// Whose list.
    pub owner_id: String,
    /// Who is blocked.
    pub block_id: String,
    /// Unix milliseconds.
    pub create_time: i64,
    /// Always 0 in 3.8.
    pub add_source: i32,
    /// Who did it.
    pub operator_id: String,
    /// Free text.
    pub ex: String,
}

/// Relations between users.
#[async_trait]
pub trait RelationStore: Send + Sync {
    /// Total and page of an owner's friends: pinned first, then by insertion.
    ///
    /// # Errors
    /// Database failures.
    async fn friends(&self, owner_id: &str, page: Page) -> StoreResult<(i64, Vec<Friend>)>;

    /// An owner's friends among these ids, in the order of `ids`, each once.
    ///
    /// # Errors
    /// Database failures.
    async fn friends_by_id(&self, owner_id: &str, ids: &[String]) -> StoreResult<Vec<Friend>>;

    /// All friend ids of an owner: pinned first, then by insertion.
    ///
    /// # Errors
    /// Database failures.
    async fn friend_ids(&self, owner_id: &str) -> StoreResult<Vec<String>>;

    /// Total and page of an owner's blacklist, by insertion.
    ///
    /// # Errors
    /// Database failures.
    async fn blacks(&self, owner_id: &str, page: Page) -> StoreResult<(i64, Vec<Black>)>;

    /// Pending friend requests to the user created after `after` (Unix milliseconds; 0 = all).
    ///
    /// # Errors
    /// Database failures.
    async fn unhandled_requests(&self, user_id: &str, after: i64) -> StoreResult<i64>;

    /// Inserts friend rows that do not exist yet and bumps the log of each owner who got one, once
    /// (spec: sync.md 2.2). Returns (owner, friend) of the rows inserted.
    ///
    /// # Errors
    /// Database failures.
    async fn add_friends(&self, friends: &[NewFriend]) -> StoreResult<Vec<(String, String)>>;

    /// Removes friends from an owner's list and bumps his log once (delete) for those that were in
    /// it. Returns them.
    ///
    /// # Errors
    /// Database failures.
    async fn remove_friends(
        &self,
        owner_id: &str,
        friend_ids: &[String],
        now: i64,
    ) -> StoreResult<Vec<String>>;

    /// Adds to the blacklist; an existing entry gets the new `ex`.
    ///
    /// # Errors
    /// Database failures.
    async fn add_black(&self, black: &Black) -> StoreResult<()>;
}
