//! Conversation records: one a (owner, conversation) (spec: conversation.md 1).

use super::{Page, StoreResult};
use async_trait::async_trait;
use ringwire_protocol::pb::conversation::Conversation;

/// A stored record. `min_seq` and `max_seq` are filled from the owner's seq row, the one source of truth.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConversationRecord {
    /// Whose record.
    pub owner_id: String,
    /// Conversation.
    pub conversation_id: String,
    /// 1 single, 3 group, 4 notification account.
    pub conversation_type: i32,
    /// The peer (types 1 and 4), else "".
    pub user_id: String,
    /// The group (type 3), else "".
    pub group_id: String,
    /// 0 receive, 1 do not, 2 without offline push.
    pub recv_msg_opt: i32,
    /// Pinned.
    pub is_pinned: bool,
    /// Burn after reading.
    pub is_private_chat: bool,
    /// Seconds.
    pub burn_duration: i32,
    /// 0 none, 1 me, 2 all, 3 all and me, 4 announcement.
    pub group_at_type: i32,
    /// Opaque.
    pub attached_info: String,
    /// Opaque.
    pub ex: String,
    /// First visible seq; 0 = no limit.
    pub min_seq: i64,
    /// Last visible seq; 0 = no limit.
    pub max_seq: i64,
    /// Own view is cleared automatically.
    pub is_msg_destruct: bool,
    /// After so many seconds.
    pub msg_destruct_time: i64,
    /// Last run of the clearing, Unix milliseconds; 0 = never.
    pub latest_msg_destruct_time: i64,
    /// Unix milliseconds.
    pub create_time: i64,
}

impl From<ConversationRecord> for Conversation {
    fn from(r: ConversationRecord) -> Self {
        Self {
            owner_user_id: r.owner_id,
            conversation_id: r.conversation_id,
            recv_msg_opt: r.recv_msg_opt,
            conversation_type: r.conversation_type,
            user_id: r.user_id,
            group_id: r.group_id,
            is_pinned: r.is_pinned,
            attached_info: r.attached_info,
            is_private_chat: r.is_private_chat,
            group_at_type: r.group_at_type,
            ex: r.ex,
            burn_duration: r.burn_duration,
            min_seq: r.min_seq,
            max_seq: r.max_seq,
            msg_destruct_time: r.msg_destruct_time,
            latest_msg_destruct_time: r.latest_msg_destruct_time,
            is_msg_destruct: r.is_msg_destruct,
        }
    }
}

/// A record to create with default settings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NewConversation {
    /// Whose record.
    pub owner_id: String,
    /// Conversation.
    pub conversation_id: String,
    /// 1, 3 or 4.
    pub conversation_type: i32,
    /// The peer, or "".
    pub user_id: String,
    /// The group, or "".
    pub group_id: String,
}

/// Conversation records. "In order" is the order of creation.
#[async_trait]
pub trait ConversationStore: Send + Sync {
    /// Records of an owner in the order of `ids`, each once, unknown ones left out.
    ///
    /// # Errors
    /// Database failures.
    async fn get(&self, owner_id: &str, ids: &[String]) -> StoreResult<Vec<ConversationRecord>>;

    /// All records of an owner, in order.
    ///
    /// # Errors
    /// Database failures.
    async fn all(&self, owner_id: &str) -> StoreResult<Vec<ConversationRecord>>;

    /// Total and page of an owner's records, in order; pages are stable while rows are added.
    ///
    /// # Errors
    /// Database failures.
    async fn page(&self, owner_id: &str, page: Page)
    -> StoreResult<(i64, Vec<ConversationRecord>)>;

    /// All conversation ids of an owner, in order.
    ///
    /// # Errors
    /// Database failures.
    async fn ids(&self, owner_id: &str) -> StoreResult<Vec<String>>;

    /// Ids of pinned records, in order.
    ///
    /// # Errors
    /// Database failures.
    async fn pinned_ids(&self, owner_id: &str) -> StoreResult<Vec<String>>;

    /// Ids of records with recvMsgOpt 2, in order.
    ///
    /// # Errors
    /// Database failures.
    async fn not_notify_ids(&self, owner_id: &str) -> StoreResult<Vec<String>>;

    /// Creates the records that are missing and bumps each owner's log once (insert). Returns
    /// (owner, conversation) of the created ones.
    ///
    /// # Errors
    /// Database failures.
    async fn ensure(
        &self,
        records: &[NewConversation],
        now: i64,
    ) -> StoreResult<Vec<(String, String)>>;

    /// Writes all settings of existing records (everything but the keys, type, peer, group, seqs and
    /// create_time) and bumps the log of each owner one of whose records really changed, once (update).
    /// Records that do not exist are ignored. Returns (owner, conversation) of the changed ones.
    ///
    /// # Errors
    /// Database failures.
    async fn save(&self, records: &[ConversationRecord]) -> StoreResult<Vec<(String, String)>>;

    /// Deletes records of an owner; messages and seqs stay. The log is bumped once a record (delete;
    /// spec: sync.md 2.2). Returns the ids that were there.
    ///
    /// # Errors
    /// Database failures.
    async fn remove(&self, owner_id: &str, ids: &[String], now: i64) -> StoreResult<Vec<String>>;
}
