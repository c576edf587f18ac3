//! The owner side of a core: everything that orders, judges and makes durable.

use super::board::Board;
use super::event::{CoreId, Now};
use super::journal::{ConversationHead, JournalSpan};
use super::out::Out;
use super::ring::RingItem;
use bytes::Bytes;
use ringwire_link::ToGateway;
use ringwire_link::facts::FactChange;
use ringwire_link::message::{JournalPosition, Welcome};
use std::collections::HashSet;
use std::sync::Arc;

/// What the owner side is told at the start.
#[derive(Debug, Clone)]
pub struct OwnerConfig {
    /// This core.
    pub core: CoreId,
    /// Cores of the gateway.
    pub cores: u16,
    /// Configured admins.
    pub admin_user_ids: HashSet<String>,
    /// `shared.friend_verify`.
    pub friend_verify: bool,
    /// `gateway.journal_segment_bytes`.
    pub segment_bytes: u64,
    /// `gateway.journal_max_bytes`.
    pub journal_max_bytes: u64,
    /// `gateway.max_facts`.
    pub max_facts: usize,
    /// `gateway.max_conversations`.
    pub max_conversations: usize,
    /// `gateway.tail_messages`.
    pub tail_messages: usize,
    /// Random per process start; server message ids come from it.
    pub id_seed: [u8; 16],
    /// The gateway's board.
    pub board: Arc<Board>,
}

/// What recovery found for a core. Built by [`super::journal::seeds`].
#[derive(Debug, Default)]
pub struct OwnerSeed {
    /// Epoch to write with, the same for every core of the gateway.
    pub epoch: u32,
    /// The core's own journal; `None` when it has no segment yet.
    pub own: Option<JournalSpan>,
    /// Journals of a former run with more cores, which this core streams out.
    pub orphans: Vec<JournalSpan>,
    /// Conversations this core owns that have records in any journal, by id.
    pub conversations: Vec<(String, ConversationHead)>,
}

/// Counters and levels for metrics.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct OwnerStats {
    /// Messages accepted (stored or not).
    pub accepted: u64,
    /// Messages refused.
    pub refused: u64,
    /// Messages answered as duplicates.
    pub duplicates: u64,
    /// Journal writes made durable.
    pub commits: u64,
    /// Bytes made durable.
    pub committed_bytes: u64,
    /// Bytes of the own journal that control has not stored yet.
    pub unstored_bytes: u64,
    /// Conversations held.
    pub conversations: u64,
    /// Facts held.
    pub facts: u64,
    /// Messages waiting for facts, a conversation's state or a duplicate check.
    pub waiting: u64,
    /// Token kick records given up because the journal was full for too long.
    pub kicks_dropped: u64,
}

/// The owner side of one core. Every method may leave actions and ring items in `out`; call
/// [`Owner::finish_turn`] once per turn after the last of them.
#[derive(Debug)]
pub struct Owner {
    config: OwnerConfig,
    seed: OwnerSeed,
    stats: OwnerStats,
}

impl Owner {
    /// Starts from what recovery found.
    pub fn new(config: OwnerConfig, seed: OwnerSeed) -> Self {
        Self {
            config,
            seed,
            stats: OwnerStats::default(),
        }
    }

    /// Epoch and first positions of the journals this core streams, for Hello.
    pub fn hello(&self) -> (u32, Vec<JournalPosition>) {
        (self.seed.epoch, Vec::new())
    }

    /// An item for the owner side: Send, Publish, PublishDone, TokenKick. Others are ignored.
    pub fn ring(&mut self, _now: Now, _from: CoreId, _item: RingItem, _out: &mut Out) {}

    /// Control welcomed this core.
    pub fn link_up(&mut self, _now: Now, _welcome: &Welcome, _out: &mut Out) {}

    /// The link is lost: what waits for it is refused now.
    pub fn link_down(&mut self, _now: Now, _out: &mut Out) {}

    /// A frame from control: Facts, Conversations, Duplicate (by correlation), Stored, Publish.
    pub fn link(&mut self, _now: Now, _correlation: u64, _body: ToGateway, _out: &mut Out) {}

    /// The world changed. In force when this returns.
    pub fn fact_changes(&mut self, _now: Now, _changes: &[FactChange], _out: &mut Out) {}

    /// The journal write in progress is durable.
    pub fn journal_synced(&mut self, _now: Now, _out: &mut Out) {}

    /// Bytes asked for by `Action::JournalRead`.
    pub fn journal_read(&mut self, _now: Now, _position: u64, _bytes: &Bytes, _out: &mut Out) {}

    /// The segment asked for exists.
    pub fn segment_ready(&mut self, _now: Now, _segment: u64, _out: &mut Out) {}

    /// It could not be made.
    pub fn segment_failed(&mut self, _now: Now, _segment: u64, _reason: &str, _out: &mut Out) {}

    /// Time passed.
    pub fn tick(&mut self, _now: Now, _out: &mut Out) {}

    /// Monotonic milliseconds of the next [`Owner::tick`] that is needed. Due at once after the start.
    pub fn deadline(&self) -> Option<u64> {
        None
    }

    /// Ends a turn: sends the questions gathered in it and starts the next journal write. Leaves
    /// actions only, no ring items for this core.
    pub fn finish_turn(&mut self, _now: Now, _out: &mut Out) {}

    /// The process is stopping: new messages are refused, what is in the journal is finished.
    pub fn shutdown(&mut self, _now: Now, _out: &mut Out) {}

    /// Whether nothing is left to make durable or to answer.
    pub fn drained(&self) -> bool {
        true
    }

    /// Counters.
    pub fn stats(&self) -> OwnerStats {
        let _ = &self.config;
        self.stats
    }
}
