//! Recovery: reads the segments of a journal back after a stop or a crash.

use super::layout::{self, Seal};
use crate::core::owner::OwnerSeed;
use prost::Message as _;
use ringwire_link::message::KnownMessage;
use ringwire_link::record::{self, Record, TokenKickRecord};
use ringwire_protocol::pb::sdkws::MsgData;
use ringwire_protocol::{conversation_id, slot};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

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

impl ConversationHead {
    fn merge(&mut self, other: Self) {
        if other.max_seq > self.max_seq {
            self.max_seq = other.max_seq;
            self.last_send_time = other.last_send_time;
        }
        self.recent.extend(other.recent);
        self.recent.sort_by_key(|m| m.seq);
        self.recent.dedup_by_key(|m| m.seq);
        self.foreign |= other.foreign;
    }
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

impl RecoveryError {
    /// The segment that is wrong: which file of which journal.
    pub fn segment(&self) -> (u16, u64) {
        let (Self::Header {
            journal, segment, ..
        }
        | Self::Mismatch {
            journal, segment, ..
        }
        | Self::Missing { journal, segment }
        | Self::Damaged {
            journal, segment, ..
        }) = self;
        (*journal, *segment)
    }
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
    first: Option<u64>,
    last_segment: u64,
    /// Where the next record should stand.
    position: u64,
    /// Epoch of the last record taken; epochs never fall along a journal, so a record of an older one
    /// is what a cut-off write of a former run left behind.
    epoch: u32,
    max_epoch: u32,
    /// The first unreadable place: the end, unless something behind it says otherwise.
    ended: Option<u64>,
    cut_bytes: u64,
    conversations: HashMap<String, ConversationHead>,
    token_kicks: Vec<TokenKickRecord>,
}

impl Recovery {
    /// For journal `journal` with segments of `segment_bytes`.
    pub fn new(journal: u16, segment_bytes: u64) -> Self {
        Self {
            journal,
            segment_bytes,
            first: None,
            last_segment: 0,
            position: 0,
            epoch: 0,
            max_epoch: 0,
            ended: None,
            cut_bytes: 0,
            conversations: HashMap::new(),
            token_kicks: Vec::new(),
        }
    }

    /// The whole bytes of a segment's file. Segments come in ascending order.
    ///
    /// # Errors
    /// [`RecoveryError`]: the gateway must not start.
    pub fn feed(&mut self, segment: u64, bytes: &[u8]) -> Result<(), RecoveryError> {
        let header = layout::read_header(bytes).map_err(|error| RecoveryError::Header {
            journal: self.journal,
            segment,
            error,
        })?;
        self.expect(
            segment,
            "journal number",
            header.journal.into(),
            self.journal.into(),
        )?;
        self.expect(segment, "segment number", header.segment, segment)?;
        self.expect(
            segment,
            "segment size",
            header.segment_bytes,
            self.segment_bytes,
        )?;
        self.expect(segment, "length", bytes.len() as u64, self.segment_bytes)?;
        if self.first.is_none() {
            self.position = layout::first_position(segment, self.segment_bytes);
            self.first = Some(self.position);
        } else if segment != self.last_segment + 1 {
            return Err(RecoveryError::Missing {
                journal: self.journal,
                segment: self.last_segment + 1,
            });
        }
        self.last_segment = segment;
        self.max_epoch = self.max_epoch.max(header.epoch);
        if self.ended.is_some() {
            self.search(segment, bytes, layout::HEADER_LEN)
        } else {
            self.walk(segment, bytes)
        }
    }

    /// The result; `None` when no segment was fed.
    ///
    /// # Errors
    /// [`RecoveryError`]: the gateway must not start.
    pub fn finish(self) -> Result<Option<Recovered>, RecoveryError> {
        let Some(first) = self.first else {
            return Ok(None);
        };
        if self.ended.is_none() {
            // The last segment is sealed, and a seal is written only once the next segment exists.
            return Err(RecoveryError::Missing {
                journal: self.journal,
                segment: self.last_segment + 1,
            });
        }
        let span = JournalSpan {
            journal: self.journal,
            first,
            end: self.position,
            last_segment: self.last_segment,
        };
        Ok(Some(Recovered {
            span,
            max_epoch: self.max_epoch,
            cut_bytes: self.cut_bytes,
            conversations: self.conversations,
            token_kicks: self.token_kicks,
        }))
    }

    fn expect(
        &self,
        segment: u64,
        what: &'static str,
        found: u64,
        expected: u64,
    ) -> Result<(), RecoveryError> {
        if found == expected {
            return Ok(());
        }
        Err(RecoveryError::Mismatch {
            journal: self.journal,
            segment,
            what,
            found,
            expected,
        })
    }

    /// Takes records until the seal, or until something is not readable.
    fn walk(&mut self, segment: u64, bytes: &[u8]) -> Result<(), RecoveryError> {
        let mut offset = layout::HEADER_LEN;
        loop {
            let rest = bytes.get(offset..).unwrap_or_default();
            if let Some(seal) = Seal::read(rest, self.position)
                && seal.epoch >= self.epoch
            {
                self.position = layout::first_position(segment + 1, self.segment_bytes);
                return Ok(());
            }
            let Ok((header, record, length)) = record::read(rest, self.position) else {
                break;
            };
            if header.epoch < self.epoch || self.take(record).is_none() {
                break;
            }
            self.epoch = header.epoch;
            self.max_epoch = self.max_epoch.max(header.epoch);
            offset += length;
            self.position += length as u64;
        }
        self.ended = Some(self.position);
        self.search(segment, bytes, offset)
    }

    /// Looks behind the end for something that was written when the end was already durable.
    fn search(&mut self, segment: u64, bytes: &[u8], from: usize) -> Result<(), RecoveryError> {
        let base = segment * self.segment_bytes;
        let mut offset = from;
        while let Some(rest) = bytes
            .get(offset..)
            .filter(|rest| rest.len() >= record::HEADER_LEN)
        {
            let position = base + offset as u64;
            // Records and seals both name their position here.
            if rest[8..16] != position.to_le_bytes() {
                offset += 8;
                continue;
            }
            let (durable, epoch, length) = if let Some(seal) = Seal::read(rest, position) {
                (seal.durable, seal.epoch, layout::SEAL_LEN)
            } else if let Ok(header) = record::check(rest, position) {
                (header.durable, header.epoch, header.record_len())
            } else {
                offset += 8;
                continue;
            };
            if durable > self.position {
                let (segment, offset) = layout::place(self.position, self.segment_bytes);
                return Err(RecoveryError::Damaged {
                    journal: self.journal,
                    segment,
                    offset,
                    durable,
                });
            }
            self.max_epoch = self.max_epoch.max(epoch);
            if epoch >= self.epoch {
                self.cut_bytes = position + length as u64 - self.position;
            }
            offset += length;
        }
        Ok(())
    }

    fn take(&mut self, record: Record) -> Option<()> {
        match record {
            Record::TokenKick(kick) => self.token_kicks.push(kick),
            Record::Message(message) => {
                let msg = MsgData::decode(message.msg).ok()?;
                let head = self
                    .conversations
                    .entry(message.conversation_id)
                    .or_default();
                if head.ordering_key.is_empty() {
                    head.ordering_key = ordering_key(&msg);
                }
                head.max_seq = head.max_seq.max(msg.seq);
                head.last_send_time = msg.send_time;
                head.recent.push(KnownMessage {
                    send_id: msg.send_id,
                    client_msg_id: msg.client_msg_id,
                    server_msg_id: msg.server_msg_id,
                    send_time: msg.send_time,
                    create_time: msg.create_time,
                    seq: msg.seq,
                });
            }
        }
        Some(())
    }
}

/// Ordering key of a message's lane (spec: message.md 1.4).
pub fn ordering_key(msg: &MsgData) -> String {
    if msg.session_type == conversation_id::SESSION_GROUP {
        msg.group_id.clone()
    } else {
        conversation_id::ordering_key_of_users(&msg.send_id, &msg.recv_id)
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
pub fn seeds(journals: Vec<Recovered>, cores: u16) -> Seeds {
    let cores = cores.max(1);
    let epoch = journals
        .iter()
        .map(|j| j.max_epoch)
        .max()
        .unwrap_or(0)
        .saturating_add(1);
    let entries = journals
        .iter()
        .map(|j| usize::from(j.span.journal) + 1)
        .max()
        .unwrap_or(0)
        .max(cores.into());
    let mut seeds = Seeds {
        epoch,
        positions: vec![0; entries],
        owners: (0..cores)
            .map(|_| OwnerSeed {
                epoch,
                ..OwnerSeed::default()
            })
            .collect(),
        token_kicks: vec![Vec::new(); cores.into()],
    };
    let mut merged: HashMap<String, ConversationHead> = HashMap::new();
    for journal in journals {
        let number = journal.span.journal;
        if journal.span.end > layout::HEADER_LEN as u64 {
            seeds.positions[usize::from(number)] = journal.span.end;
        }
        let streamer = &mut seeds.owners[usize::from(number % cores)];
        if number < cores {
            streamer.own = Some(journal.span);
        } else {
            streamer.orphans.push(journal.span);
        }
        for kick in journal.token_kicks {
            seeds.token_kicks[usize::from(slot::core_of(&kick.user_id, cores))].push(kick);
        }
        for (id, mut head) in journal.conversations {
            head.foreign = slot::core_of(&head.ordering_key, cores) != number;
            match merged.entry(id) {
                Entry::Vacant(entry) => drop(entry.insert(head)),
                Entry::Occupied(mut entry) => entry.get_mut().merge(head),
            }
        }
    }
    for (id, head) in merged {
        let owner = slot::core_of(&head.ordering_key, cores);
        seeds.owners[usize::from(owner)]
            .conversations
            .push((id, head));
    }
    seeds
}
