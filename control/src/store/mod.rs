//! The durable store: SQLite (default) or PostgreSQL behind one trait an aggregate.
//!
//! Times are Unix milliseconds unless a name ends in `_s` (seconds). Every change bumps its version
//! logs and writes its outbox rows in the same transaction as the rows themselves (spec: sync.md 7).
//! Nothing here judges: permissions and rules are `domain`'s.

pub mod conversations;
pub mod error;
pub mod facts;
pub mod groups;
pub mod journal;
pub mod messages;
pub mod outbox;
pub mod relations;
mod sql;
pub mod tokens;
pub mod users;
pub mod versions;

pub use conversations::{ConversationRecord, ConversationStore, NewConversation};
pub use error::StoreError;
pub use facts::FactStore;
pub use groups::{Group, GroupStore, Member, MemberFilter, NewMember};
pub use journal::{Applied, CreatedConversation, JournalBatch, JournalStore};
pub use messages::{MessageStore, RangeQuery, StoredMessage, UserWindows, Window};
pub use outbox::{OutboxMessage, OutboxRow, OutboxStore};
pub use relations::{Black, Friend, NewFriend, RelationStore};
pub use tokens::{NewToken, TokenDecision, TokenId, TokenRow, TokenStore};
pub use users::{ClientConfig, RegisterCounts, User, UserFilter, UserPatch, UserStore, UserUpdate};
pub use versions::{Changes, FullIds, Head, Log, VersionStore};

use std::sync::Arc;

/// Result of a store operation.
pub type StoreResult<T> = Result<T, StoreError>;

/// A slice of an ordered list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Rows to leave out.
    pub offset: i64,
    /// Rows to return; 0 or less returns none, with the total still right.
    pub limit: i64,
}

impl Page {
    /// The page of `sdkws.RequestPagination`: `number` counts from 1. Never overflows.
    pub fn numbered(number: i32, show: i32) -> Self {
        let limit = i64::from(show.max(0));
        Self {
            offset: (i64::from(number) - 1).max(0) * limit,
            limit,
        }
    }

    /// The first `limit` rows.
    pub fn first(limit: i64) -> Self {
        Self { offset: 0, limit }
    }
}

/// Everything durable, one handle an aggregate. Cheap to clone.
#[derive(Clone)]
pub struct Stores {
    /// Registered users and client configuration.
    pub users: Arc<dyn UserStore>,
    /// Token states.
    pub tokens: Arc<dyn TokenStore>,
    /// Friends, blacks, friend requests.
    pub relations: Arc<dyn RelationStore>,
    /// Groups, members, join requests.
    pub groups: Arc<dyn GroupStore>,
    /// Conversation records.
    pub conversations: Arc<dyn ConversationStore>,
    /// Stored messages and seqs.
    pub messages: Arc<dyn MessageStore>,
    /// Version logs.
    pub versions: Arc<dyn VersionStore>,
    /// Messages control still has to publish.
    pub outbox: Arc<dyn OutboxStore>,
    /// What gateways have streamed.
    pub journal: Arc<dyn JournalStore>,
    /// What gateways must know to judge a message.
    pub facts: Arc<dyn FactStore>,
}
