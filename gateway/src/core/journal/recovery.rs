//! Recovery: reads the segments of a journal back after a stop or a crash.

use super::layout;
use crate::core::owner::OwnerSeed;
use ringwire_link::message::KnownMessage;
use ringwire_link::record::TokenKickRecord;
use std::collections::HashMap;

/// Where a journal begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalSpan {
    /// Journal number.
    pub journal: u16,
    /// First position still there.
    pub first: u64,
    /// Where the next record goes (or would go).
    pub end: u64,
    /// Highest segment that has a file; it may be one beyond the segment of `end`.
    pub last_segment: u64,
}

/// What the journals know of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConversationHead {
    /// Ordering key of its lane.
    pub ordering_key: String,
    /// Highest seq.
    pub max_seq: i64,
    /// sendTime of that message.
    pub last_send_time: i64,
    /// All its messages in the journals, ascending by seq.
    pub recent: Vec<KnownMessage>,
    /// Some of them stand in a journal other than that of the core that owns it now.
    pub foreign: bool,
}

/// Why a journal cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// The header of a segment.
    #[error("journal {journal}, segment {segment}: {error}")]
    Header {
        /// Which journal.
        journal: u16,
        /// Which segment.
        segment: u64,
        /// What is wrong.
        error: layout::HeaderError,
    },
    /// The file belongs elsewhere: its header names another journal, segment or size.
    #[error(
        "journal {journal}, segment {segment}: the file {what} is {found}, expected {expected}"
    )]
    Mismatch {
        /// Which journal.
        journal: u16,
        /// Which segment.
        segment: u64,
        /// What does not match.
        what: &'static str,
        /// As found.
        found: u64,
        /// As expected.
        expected: u64,
    },
    /// A segment between others is not there.
    #[error("journal {journal}: segment {segment} is missing")]
    Missing {
        /// Which journal.
        journal: u16,
        /// Which segment.
        segment: u64,
    },
    /// Acknowledged messages cannot be read.
    #[error(
        "journal {journal}, segment {segment}, offset {offset}: unreadable although position {durable} was already durable; \
         acknowledged messages are damaged, so the gateway does not start"
    )]
    Damaged {
        /// Which journal.
        journal: u16,
        /// Which segment.
        segment: u64,
        /// Where in its file.
        offset: u64,
        /// A later record says that everything before this was durable.
        durable: u64,
    },
}

/// A journal read back.
#[derive(Debug, Clone, PartialEq)]
pub struct Recovered {
    /// Where it begins and ends.
    pub span: JournalSpan,
    /// Highest epoch seen; 0 when none.
    pub max_epoch: u32,
    /// Bytes of an unfinished write that were cut off.
    pub cut_bytes: u64,
    /// Conversations with records, by id.
    pub conversations: HashMap<String, ConversationHead>,
    /// Tokens kicked, in order.
    pub token_kicks: Vec<TokenKickRecord>,
}

/// Reads one journal, segment by segment.
#[derive(Debug)]
pub struct Recovery {
    journal: u16,
    segment_bytes: u64,
}

impl Recovery {
    /// For journal `journal` with segments of `segment_bytes`.
    pub fn new(journal: u16, segment_bytes: u64) -> Self {
        Self {
            journal,
            segment_bytes,
        }
    }

    /// The whole bytes of a segment's file. Segments come in ascending order.
    ///
    /// # Errors
    /// [`RecoveryError`]: the gateway must not start.
    pub fn feed(&mut self, _segment: u64, _bytes: &[u8]) -> Result<(), RecoveryError> {
        let _ = (self.journal, self.segment_bytes);
        Ok(())
    }

    /// The result; `None` when no segment was fed.
    ///
    /// # Errors
    /// [`RecoveryError`]: the gateway must not start.
    pub fn finish(self) -> Result<Option<Recovered>, RecoveryError> {
        Ok(None)
    }
}

/// What every core starts from.
#[derive(Debug, Default)]
pub struct Seeds {
    /// Epoch of this run; goes into segment headers.
    pub epoch: u32,
    /// Committed positions for the board, one a journal.
    pub positions: Vec<u64>,
    /// One a core.
    pub owners: Vec<OwnerSeed>,
    /// Token kicks of users, one list a home core, in journal order.
    pub token_kicks: Vec<Vec<TokenKickRecord>>,
}

/// Distributes recovered journals over the cores of this run.
pub fn seeds(_journals: Vec<Recovered>, _cores: u16) -> Seeds {
    Seeds::default()
}
