//! Group commit: gathers records, writes what has gathered as soon as the write before it is durable.

use super::layout::{self, Seal};
use super::recovery::JournalSpan;
use crate::core::event::{Action, Now};
use crate::core::out::Out;
use bytes::Bytes;
use prost::Message as _;
use ringwire_link::record::{self, Record};
use std::collections::VecDeque;

/// Most bytes of one write, unless a single record is larger.
pub const MAX_WRITE: usize = 4 << 20;

/// Most bytes that may gather behind a write in progress; beyond it messages are refused.
pub const MAX_GATHERED: u64 = 32 << 20;

/// Most token kicks that may wait for a full journal.
pub const MAX_WAITING_KICKS: usize = 65_536;

/// Time between attempts to make a segment, milliseconds.
pub const RETRY_MS: u64 = 1_000;

/// Number of a record in the order of this run, from 1; joins what waits to the commit it waits for.
pub type Ordinal = u64;

/// Why a record cannot be taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too much is not stored by control yet, or the disk is full.
    #[error("journal full")]
    Full,
    /// More came than the disk takes.
    #[error("journal busy")]
    Busy,
    /// The record can never fit.
    #[error("message too large for the journal")]
    TooLarge,
}

/// A write that became durable.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The last record in it (and all before).
    pub ordinal: Ordinal,
    /// Position of its first byte.
    pub start: u64,
    /// Its records, without a seal.
    pub records: Bytes,
    /// Where the journal goes on: behind its last record, or at the next segment.
    pub end: u64,
}

/// The writing end of a core's own journal.
#[derive(Debug)]
pub struct Writer {
    epoch: u32,
    segment_bytes: u64,
    max_bytes: u64,
    segment: u64,
    offset: u64,
    /// Highest segment with a file.
    ready: Option<u64>,
    asked: Option<u64>,
    retry_at: Option<u64>,
    /// The last attempt to make a segment failed.
    failing: bool,
    gathered: VecDeque<(Record, usize)>,
    gathered_bytes: u64,
    waiting_kicks: usize,
    last: Ordinal,
    writing: Option<Commit>,
    committed: Ordinal,
    /// Ends of commits that control has not stored yet.
    ends: VecDeque<(Ordinal, u64)>,
    stored: u64,
    stored_ordinal: Ordinal,
}

impl Writer {
    /// Goes on where `span` ends, or begins a new journal. Everything recovered counts as ordinal 1.
    pub fn new(epoch: u32, segment_bytes: u64, max_bytes: u64, span: Option<JournalSpan>) -> Self {
        let end = span.map_or(layout::first_position(0, segment_bytes), |s| s.end);
        let (segment, offset) = layout::place(end, segment_bytes);
        Self {
            epoch,
            segment_bytes,
            max_bytes,
            segment,
            offset,
            ready: span.map(|s| s.last_segment),
            asked: None,
            retry_at: Some(0),
            failing: false,
            gathered: VecDeque::new(),
            gathered_bytes: 0,
            waiting_kicks: 0,
            last: 1,
            writing: None,
            committed: 1,
            ends: VecDeque::from([(1, end)]),
            stored: span.map_or(end, |s| s.first),
            stored_ordinal: 0,
        }
    }

    /// Where the next record goes once everything gathered before is written.
    pub fn end(&self) -> u64 {
        self.segment * self.segment_bytes + self.offset
    }

    /// Segment that the next write goes to.
    pub fn segment(&self) -> u64 {
        self.segment
    }

    /// The last record taken.
    pub fn last(&self) -> Ordinal {
        self.last
    }

    /// The last record known durable.
    pub fn committed(&self) -> Ordinal {
        self.committed
    }

    /// The last record known stored by control.
    pub fn stored_ordinal(&self) -> Ordinal {
        self.stored_ordinal
    }

    /// Bytes that control has not stored yet, gathered ones included.
    pub fn unstored_bytes(&self) -> u64 {
        self.end().saturating_sub(self.stored) + self.gathered_bytes
    }

    /// Whether nothing waits for the disk.
    pub fn idle(&self) -> bool {
        self.writing.is_none() && self.gathered.is_empty()
    }

    /// Bytes of a record as written.
    pub fn record_len(record: &Record) -> usize {
        let payload = match record {
            Record::Message(m) => m.encoded_len(),
            Record::TokenKick(t) => t.encoded_len(),
        };
        record::padded(record::HEADER_LEN + payload)
    }

    /// Whether records of these lengths can be taken now.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn room(&self, lengths: &[usize]) -> Result<(), Refusal> {
        if lengths
            .iter()
            .any(|l| *l > layout::max_record(self.segment_bytes))
        {
            return Err(Refusal::TooLarge);
        }
        let sum: u64 = lengths.iter().map(|l| *l as u64).sum();
        if self.unstored_bytes() + sum > self.max_bytes {
            return Err(Refusal::Full);
        }
        let left = self.segment_bytes - self.offset - layout::SEAL_LEN as u64;
        let beyond = !self.has(self.segment)
            || (!self.has(self.segment + 1) && self.gathered_bytes + sum > left);
        if self.failing && beyond {
            return Err(Refusal::Full);
        }
        if self.gathered_bytes + sum > MAX_GATHERED {
            Err(Refusal::Busy)
        } else {
            Ok(())
        }
    }

    /// Takes a record for which there is [`Writer::room`].
    pub fn push(&mut self, record: Record) -> Ordinal {
        let length = Self::record_len(&record);
        self.gathered_bytes += length as u64;
        self.gathered.push_back((record, length));
        self.last += 1;
        self.last
    }

    /// Takes a token kick; it may wait for a full journal. `false` when too many do.
    pub fn push_kick(&mut self, record: Record) -> bool {
        if self.waiting_kicks >= MAX_WAITING_KICKS
            || Self::record_len(&record) > layout::max_record(self.segment_bytes)
        {
            return false;
        }
        self.waiting_kicks += 1;
        self.push(record);
        true
    }

    fn has(&self, segment: u64) -> bool {
        self.ready.is_some_and(|ready| ready >= segment)
    }

    /// Asks for segments in advance and starts a write if none is in progress.
    pub fn flush(&mut self, now: Now, out: &mut Out) {
        self.write(out);
        let half_full = self.offset + self.gathered_bytes > self.segment_bytes / 2;
        let wanted = if half_full {
            self.segment + 1
        } else {
            self.segment
        };
        let due = self.retry_at.is_none_or(|at| at <= now.mono_ms);
        if !self.has(wanted) && self.asked.is_none() && due {
            let next = self.ready.map_or(self.segment, |ready| ready + 1);
            self.asked = Some(next);
            out.act(Action::SegmentCreate { segment: next });
        } else if self.has(wanted) {
            self.retry_at = None;
        }
    }

    fn write(&mut self, out: &mut Out) {
        if self.writing.is_some() || self.gathered.is_empty() || !self.has(self.segment) {
            return;
        }
        let (segment, offset, start) = (self.segment, self.offset, self.end());
        let room = (self.segment_bytes - offset) as usize - layout::SEAL_LEN;
        let mut bytes = Vec::new();
        let mut ordinal = self.last - self.gathered.len() as u64;
        let mut full = false;
        while let Some((record, length)) = self.gathered.front() {
            if bytes.len() + length > room {
                full = true;
                break;
            }
            if !bytes.is_empty() && bytes.len() + length > MAX_WRITE {
                break;
            }
            // Writes are one at a time, so everything before this one is durable by now.
            record::append(
                record,
                start + bytes.len() as u64,
                start,
                self.epoch,
                &mut bytes,
            );
            self.gathered_bytes -= *length as u64;
            if matches!(record, Record::TokenKick(_)) {
                self.waiting_kicks -= 1;
            }
            ordinal += 1;
            self.gathered.pop_front();
        }
        let length = bytes.len();
        self.offset += length as u64;
        if full && self.has(segment + 1) {
            Seal {
                position: self.end(),
                durable: start,
                epoch: self.epoch,
            }
            .append(&mut bytes);
            (self.segment, self.offset) = (segment + 1, layout::HEADER_LEN as u64);
        } else if length == 0 {
            return;
        }
        let bytes = Bytes::from(bytes);
        self.writing = Some(Commit {
            ordinal,
            start,
            records: bytes.slice(..length),
            end: self.end(),
        });
        out.act(Action::JournalWrite {
            segment,
            offset,
            bytes,
        });
    }

    /// The write in progress is durable.
    pub fn synced(&mut self) -> Option<Commit> {
        let commit = self.writing.take()?;
        self.committed = commit.ordinal;
        self.ends.push_back((commit.ordinal, commit.end));
        Some(commit)
    }

    /// Control stored everything before `position`.
    pub fn stored(&mut self, position: u64) {
        self.stored = self.stored.max(position);
        while let Some((ordinal, end)) = self.ends.front().copied()
            && end <= self.stored
        {
            self.stored_ordinal = ordinal;
            self.ends.pop_front();
        }
    }

    /// A segment exists now.
    pub fn segment_ready(&mut self, segment: u64) {
        if self.asked == Some(segment) {
            self.asked = None;
            self.retry_at = None;
            self.failing = false;
            self.ready = Some(segment);
        }
    }

    /// A segment could not be made; asked for again after [`RETRY_MS`].
    pub fn segment_failed(&mut self, now: Now, segment: u64) {
        if self.asked == Some(segment) {
            self.asked = None;
            self.failing = true;
            self.retry_at = Some(now.mono_ms + RETRY_MS);
        }
    }

    /// When [`Writer::flush`] has something to do again.
    pub fn deadline(&self) -> Option<u64> {
        if self.asked.is_some() {
            None
        } else {
            self.retry_at
        }
    }
}
