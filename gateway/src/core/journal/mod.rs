//! The journal of an owner core: layout, recovery, group commit and streaming to control.
//!
//! At the start, every journal that has files is read back by a [`Recovery`] (whole segments,
//! ascending), journals of cores that no longer exist too; [`seeds`] then says what each core starts
//! from. Nothing is cut off on disk: the next record simply goes where the readable ones end, and its
//! epoch, higher than all before, outdates whatever an unfinished write left behind that place.

pub mod layout;
pub mod recovery;
pub mod stream;
#[cfg(test)]
mod tests;
pub mod writer;

pub use recovery::{
    ConversationHead, JournalSpan, Recovered, Recovery, RecoveryError, Seeds, ordering_key, seeds,
};
pub use stream::StreamError;
pub use writer::{Ordinal, Refusal};

use super::board::Board;
use super::event::{Action, CoreId, Now};
use super::out::Out;
use ringwire_link::message::JournalPosition;
use ringwire_link::record::Record;
use std::sync::Arc;
use stream::Streams;
use writer::Writer;

/// A core's own journal and its streams to control.
#[derive(Debug)]
pub struct Journal {
    number: u16,
    writer: Writer,
    streams: Streams,
    board: Arc<Board>,
    /// A reason to end the process was reported; nothing is done any more.
    dead: bool,
    commits: u64,
    committed_bytes: u64,
}

impl Journal {
    /// Of core `core`, going on from what recovery found.
    pub fn new(
        core: CoreId,
        epoch: u32,
        segment_bytes: u64,
        max_bytes: u64,
        own: Option<JournalSpan>,
        orphans: &[JournalSpan],
        board: Arc<Board>,
    ) -> Self {
        let start = layout::first_position(0, segment_bytes);
        let fresh = JournalSpan {
            journal: core,
            first: start,
            end: start,
            last_segment: 0,
        };
        Self {
            number: core,
            writer: Writer::new(epoch, segment_bytes, max_bytes, own),
            streams: Streams::new(own.unwrap_or(fresh), orphans, segment_bytes),
            board,
            dead: false,
            commits: 0,
            committed_bytes: 0,
        }
    }

    /// The writing end.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Writes made durable and their bytes.
    pub fn totals(&self) -> (u64, u64) {
        (self.commits, self.committed_bytes)
    }

    /// First position still there of each journal this core streams.
    pub fn firsts(&self) -> Vec<JournalPosition> {
        self.streams.firsts()
    }

    /// Takes a record for which [`Writer::room`] said yes.
    pub fn push(&mut self, record: Record) -> Ordinal {
        self.writer.push(record)
    }

    /// Takes a token kick; `false` when too many wait already.
    pub fn push_kick(&mut self, record: Record) -> bool {
        self.writer.push_kick(record)
    }

    /// Starts what can be started.
    pub fn flush(&mut self, now: Now, out: &mut Out) {
        if !self.dead {
            self.writer.flush(now, out);
        }
    }

    /// The write in progress is durable: raises the board, streams on, and returns the last ordinal
    /// that may be acknowledged now.
    pub fn synced(&mut self, out: &mut Out) -> Option<Ordinal> {
        if self.dead {
            return None;
        }
        let commit = self.writer.synced()?;
        let records_end = commit.start + commit.records.len() as u64;
        self.board.raise(self.number, records_end);
        self.commits += 1;
        self.committed_bytes += commit.records.len() as u64;
        let streamed = self
            .streams
            .committed(commit.start, commit.records, commit.end, out);
        self.check(streamed, out)?;
        Some(commit.ordinal)
    }

    /// Control is there.
    pub fn welcome(&mut self, stored: &[JournalPosition], out: &mut Out) {
        let result = self.streams.welcome(stored, out);
        if let Some(position) = self.check(result, out) {
            self.writer.stored(position);
        }
    }

    /// Control is away.
    pub fn link_down(&mut self) {
        self.streams.link_down();
    }

    /// Control stored more.
    pub fn stored(&mut self, at: JournalPosition, out: &mut Out) {
        let result = self.streams.stored(at, out);
        if let Some(position) = self.check(result, out) {
            self.writer.stored(position);
        }
    }

    /// Bytes asked for.
    pub fn read(&mut self, position: u64, bytes: &[u8], out: &mut Out) {
        let result = self.streams.read(position, bytes, out);
        self.check(result, out);
    }

    /// A segment exists now.
    pub fn segment_ready(&mut self, segment: u64) {
        self.writer.segment_ready(segment);
    }

    /// A segment could not be made.
    pub fn segment_failed(&mut self, now: Now, segment: u64) {
        self.writer.segment_failed(now, segment);
    }

    fn check<T>(&mut self, result: Result<T, StreamError>, out: &mut Out) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                if !self.dead {
                    self.dead = true;
                    out.act(Action::Fatal {
                        reason: error.to_string(),
                    });
                }
                None
            }
        }
    }
}
