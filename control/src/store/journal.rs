//! What gateways stream: journal batches become rows (spec: message.md 6.2-6.4).

use super::StoreResult;
use async_trait::async_trait;
use ringwire_link::message::JournalPosition;
use ringwire_link::record::{Record, TokenKickRecord};

/// Consecutive records of one journal.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalBatch {
    /// Gateway.
    pub gateway: String,
    /// Its journal.
    pub journal: u16,
    /// Position of the first record.
    pub from: u64,
    /// Position after the last record.
    pub to: u64,
    /// The records, in order.
    pub records: Vec<Record>,
}

/// A conversation record made because a message needed it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CreatedConversation {
    /// Whose record.
    pub owner_id: String,
    /// Conversation.
    pub conversation_id: String,
}

/// What applying batches did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Applied {
    /// Messages that were new.
    pub messages: u64,
    /// Conversation records created; their owners' logs are bumped.
    pub created: Vec<CreatedConversation>,
    /// Token kicks found. The token rows are marked already; whoever keeps token states in memory
    /// follows. Repeated when a batch is replayed: the answer to an earlier commit may have been lost.
    pub token_kicks: Vec<TokenKickRecord>,
    /// For each batch, in order: stored up to here now.
    pub positions: Vec<JournalPosition>,
}

/// Journals of the gateways.
#[async_trait]
pub trait JournalStore: Send + Sync {
    /// Applies batches in one transaction: messages (a message stored before is left alone), max seqs, the
    /// senders' read seqs, missing conversation records, version logs, token kicks, and the journals'
    /// positions. A batch that ends at or before the stored position changes nothing; one that overlaps it is
    /// applied whole, which is harmless. `now`: Unix milliseconds.
    ///
    /// # Errors
    /// `Gap` when a batch starts beyond the stored position of its journal (0 for a journal never
    /// seen); `SeqTaken` when another message is stored under a seq; `Record` when a message does not
    /// decode; `Unstorable` when the database will never take it; `Busy` when trying again may help.
    async fn apply(&self, batches: &[JournalBatch], now: i64) -> StoreResult<Applied>;

    /// Stored positions of all journals of a gateway, by journal.
    ///
    /// # Errors
    /// Database failures.
    async fn positions(&self, gateway: &str) -> StoreResult<Vec<JournalPosition>>;

    /// Sets a position by hand: for a journal that begins anew, or an operator's repair.
    ///
    /// # Errors
    /// Database failures.
    async fn set_position(&self, gateway: &str, position: JournalPosition) -> StoreResult<()>;

    /// Names and highest owner epochs of the gateways seen, by name.
    ///
    /// # Errors
    /// Database failures.
    async fn gateways(&self) -> StoreResult<Vec<(String, u32)>>;

    /// Forgets epoch and positions of a gateway: for an operator who gives up its journals.
    ///
    /// # Errors
    /// Database failures.
    async fn forget(&self, gateway: &str) -> StoreResult<()>;

    /// Raises the highest owner epoch seen of a gateway to `epoch` and returns the highest.
    ///
    /// # Errors
    /// Database failures.
    async fn raise_epoch(&self, gateway: &str, epoch: u32) -> StoreResult<u32>;
}
