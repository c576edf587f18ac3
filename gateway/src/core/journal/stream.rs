//! Streaming committed records to control, and giving stored segments back.
//!
//! Fresh commits are sent from memory; what is no longer there (control was away or slow, or the
//! journal of a former run) is read back from disk.

use super::layout::{self, Seal};
use super::recovery::JournalSpan;
use crate::core::event::Action;
use crate::core::out::Out;
use bytes::Bytes;
use ringwire_link::ToControl;
use ringwire_link::message::JournalPosition;
use ringwire_link::record::{self, RecordError};
use std::collections::VecDeque;

/// Bytes under way to control that it has not stored, a journal.
pub const WINDOW_BYTES: usize = 8 << 20;

/// Frames under way, a journal. While control is busy the next frame grows instead.
pub const WINDOW_FRAMES: usize = 4;

/// Most bytes of a frame, unless a single record is larger.
pub const FRAME_BYTES: usize = 1 << 20;

/// Bytes of one read: no record is larger.
const READ_BYTES: u64 = (1 << 20) + (64 << 10);

/// Bytes of fresh commits kept for sending.
const MEMORY_BYTES: usize = 8 << 20;

/// Something is wrong beyond repair; the process must end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// Control knows more than the journal.
    #[error(
        "control has stored journal {journal} up to {stored}, but it was only written up to {end}: \
         the journal folder is not the one that belongs to this database"
    )]
    Beyond {
        /// Which journal.
        journal: u16,
        /// What control said.
        stored: u64,
        /// What is there.
        end: u64,
    },
    /// Control knows less than what was given back as stored.
    #[error(
        "control has stored journal {journal} up to {stored}, but it begins at {first}: \
         messages that were stored are gone from the database"
    )]
    Before {
        /// Which journal.
        journal: u16,
        /// What control said.
        stored: u64,
        /// What is there.
        first: u64,
    },
    /// Bytes that were durable do not read back.
    #[error("journal {journal} does not read back at {position}: {error}")]
    Unreadable {
        /// Which journal.
        journal: u16,
        /// Where.
        position: u64,
        /// Why.
        error: RecordError,
    },
}

/// One journal on its way to control.
#[derive(Debug)]
struct Stream {
    journal: u16,
    /// First segment that still has a file.
    first_segment: u64,
    /// Where the next frame begins.
    next: u64,
    /// Where committed records end (or the next segment begins).
    end: u64,
    stored: u64,
    under_way: VecDeque<(u64, usize)>,
    under_way_bytes: usize,
}

impl Stream {
    fn new(span: JournalSpan, segment_bytes: u64) -> Self {
        Self {
            journal: span.journal,
            first_segment: layout::place(span.first, segment_bytes).0,
            next: span.first,
            end: span.end,
            stored: span.first,
            under_way: VecDeque::new(),
            under_way_bytes: 0,
        }
    }

    fn open(&self) -> bool {
        self.next < self.end
            && self.under_way_bytes < WINDOW_BYTES
            && self.under_way.len() < WINDOW_FRAMES
    }

    fn send(&mut self, bytes: Vec<u8>, to: u64, out: &mut Out) {
        self.under_way.push_back((to, bytes.len()));
        self.under_way_bytes += bytes.len();
        out.link(
            0,
            ToControl::Journal {
                journal: self.journal,
                from: self.next,
                to,
                bytes,
            },
        );
        self.next = to;
    }

    fn stored(&mut self, position: u64) -> Result<(), StreamError> {
        if position > self.end {
            return Err(StreamError::Beyond {
                journal: self.journal,
                stored: position,
                end: self.end,
            });
        }
        self.stored = self.stored.max(position);
        while let Some((to, length)) = self.under_way.front().copied()
            && to <= self.stored
        {
            self.under_way_bytes -= length;
            self.under_way.pop_front();
        }
        Ok(())
    }
}

/// A commit still in memory.
#[derive(Debug)]
struct Fresh {
    start: u64,
    records: Bytes,
    end: u64,
}

/// All journals that this core streams: its own first, then orphans.
#[derive(Debug)]
pub struct Streams {
    segment_bytes: u64,
    connected: bool,
    streams: Vec<Stream>,
    fresh: VecDeque<Fresh>,
    fresh_bytes: usize,
    /// Stream and position of the read in progress.
    reading: Option<(usize, u64)>,
}

impl Streams {
    /// The own journal and orphans.
    pub fn new(own: JournalSpan, orphans: &[JournalSpan], segment_bytes: u64) -> Self {
        let streams = std::iter::once(&own)
            .chain(orphans)
            .map(|span| Stream::new(*span, segment_bytes))
            .collect();
        Self {
            segment_bytes,
            connected: false,
            streams,
            fresh: VecDeque::new(),
            fresh_bytes: 0,
            reading: None,
        }
    }

    /// First position still there, of each journal.
    pub fn firsts(&self) -> Vec<JournalPosition> {
        let first = |s: &Stream| JournalPosition {
            journal: s.journal,
            position: layout::first_position(s.first_segment, self.segment_bytes),
        };
        self.streams.iter().map(first).collect()
    }

    /// Control is there and has stored this much. Returns the own journal's stored position.
    ///
    /// # Errors
    /// [`StreamError`].
    pub fn welcome(
        &mut self,
        stored: &[JournalPosition],
        out: &mut Out,
    ) -> Result<u64, StreamError> {
        self.connected = true;
        for stream in &mut self.streams {
            let named = stored
                .iter()
                .find(|p| p.journal == stream.journal)
                .map_or(0, |p| p.position);
            let first = layout::first_position(stream.first_segment, self.segment_bytes);
            if named < first && stream.first_segment > 0 {
                return Err(StreamError::Before {
                    journal: stream.journal,
                    stored: named,
                    first,
                });
            }
            stream.under_way.clear();
            stream.under_way_bytes = 0;
            stream.stored(named.max(first))?;
            stream.next = stream.stored;
        }
        self.release(out);
        self.pump(out)?;
        Ok(self.streams.first().map_or(0, |own| own.stored))
    }

    /// Control is away.
    pub fn link_down(&mut self) {
        self.connected = false;
    }

    /// The own journal committed more.
    ///
    /// # Errors
    /// [`StreamError`].
    pub fn committed(
        &mut self,
        start: u64,
        records: Bytes,
        end: u64,
        out: &mut Out,
    ) -> Result<(), StreamError> {
        if let Some(own) = self.streams.first_mut() {
            own.end = end;
        }
        self.fresh_bytes += records.len();
        self.fresh.push_back(Fresh {
            start,
            records,
            end,
        });
        while self.fresh_bytes > MEMORY_BYTES
            && let Some(old) = self.fresh.pop_front()
        {
            self.fresh_bytes -= old.records.len();
        }
        self.pump(out)
    }

    /// Control stored more of a journal. Returns the own journal's stored position.
    ///
    /// # Errors
    /// [`StreamError`].
    pub fn stored(&mut self, at: JournalPosition, out: &mut Out) -> Result<u64, StreamError> {
        if let Some(stream) = self.streams.iter_mut().find(|s| s.journal == at.journal) {
            stream.stored(at.position)?;
        }
        self.release(out);
        self.pump(out)?;
        Ok(self.streams.first().map_or(0, |own| own.stored))
    }

    /// Bytes asked for.
    ///
    /// # Errors
    /// [`StreamError`].
    pub fn read(&mut self, position: u64, bytes: &[u8], out: &mut Out) -> Result<(), StreamError> {
        let Some((index, asked)) = self.reading else {
            return Ok(());
        };
        if asked != position {
            return Ok(());
        }
        self.reading = None;
        self.release(out);
        if let Some(stream) = self.streams.get_mut(index)
            && self.connected
            && stream.next == position
        {
            let (length, sealed) =
                whole_records(bytes, position).map_err(|error| StreamError::Unreadable {
                    journal: stream.journal,
                    position,
                    error,
                })?;
            let to = if sealed {
                layout::first_position(
                    layout::place(position, self.segment_bytes).0 + 1,
                    self.segment_bytes,
                )
            } else {
                position + length as u64
            };
            stream.send(bytes[..length].to_vec(), to, out);
        }
        self.pump(out)
    }

    fn pump(&mut self, out: &mut Out) -> Result<(), StreamError> {
        if !self.connected {
            return Ok(());
        }
        if let Some(own) = self.streams.first_mut() {
            while own.open() {
                let after = self.fresh.partition_point(|f| f.end <= own.next);
                let Some(fresh) = self.fresh.get(after).filter(|f| f.start <= own.next) else {
                    break;
                };
                let mut bytes = Vec::new();
                let mut to = own.next;
                for fresh in self.fresh.range(after..) {
                    let from = (to - fresh.start) as usize;
                    let rest = fresh.records.get(from..).unwrap_or_default();
                    let room = FRAME_BYTES.saturating_sub(bytes.len());
                    let length = if rest.len() <= room {
                        rest.len()
                    } else {
                        cut(rest, room, bytes.is_empty())
                    };
                    bytes.extend_from_slice(&rest[..length]);
                    to = if length == rest.len() {
                        fresh.end
                    } else {
                        to + length as u64
                    };
                    // A frame ends with its segment, so that control can count positions along its bytes.
                    if length < rest.len() || to != fresh.start + fresh.records.len() as u64 {
                        break;
                    }
                }
                debug_assert!(fresh.start <= own.next && to > own.next);
                if to == own.next {
                    break;
                }
                own.send(bytes, to, out);
            }
        }
        if self.reading.is_none()
            && let Some(index) = self.streams.iter().position(Stream::open)
        {
            let stream = &self.streams[index];
            let (segment, offset) = layout::place(stream.next, self.segment_bytes);
            let committed_here = stream.end - stream.next;
            let length = committed_here
                .min(self.segment_bytes - offset)
                .min(READ_BYTES) as usize;
            self.reading = Some((index, stream.next));
            let (journal, position) = (stream.journal, stream.next);
            out.act(Action::JournalRead {
                journal,
                segment,
                offset,
                length,
                position,
            });
        }
        Ok(())
    }

    /// Gives back segments that are stored in full; never the one that holds the end, nor one that is
    /// being read.
    fn release(&mut self, out: &mut Out) {
        for (index, stream) in self.streams.iter_mut().enumerate() {
            let read = self
                .reading
                .filter(|(of, _)| *of == index)
                .map_or(u64::MAX, |(_, position)| position);
            let kept = stream.end.min(stream.stored).min(read);
            while stream.first_segment < layout::place(kept, self.segment_bytes).0 {
                out.act(Action::SegmentRelease {
                    journal: stream.journal,
                    segment: stream.first_segment,
                });
                stream.first_segment += 1;
            }
        }
    }
}

/// Length of the whole records at the start of `bytes` that fit `room`; at least one when `force`.
fn cut(bytes: &[u8], room: usize, force: bool) -> usize {
    let mut length = 0;
    while let Some(head) = bytes[length..].first_chunk::<4>() {
        let next = length + record::padded(record::HEADER_LEN + u32::from_le_bytes(*head) as usize);
        if next > bytes.len() || (next > room && !(force && length == 0)) {
            break;
        }
        length = next;
    }
    length
}

/// Length of the whole, sound records at the start of `bytes` within one frame, and whether the seal
/// follows.
fn whole_records(bytes: &[u8], position: u64) -> Result<(usize, bool), RecordError> {
    let mut length = 0;
    loop {
        let (rest, at) = (&bytes[length..], position + length as u64);
        if Seal::read(rest, at).is_some() {
            return Ok((length, true));
        }
        match record::check(rest, at) {
            Ok(header) if length > 0 && length + header.record_len() > FRAME_BYTES => {
                return Ok((length, false));
            }
            Ok(header) => length += header.record_len(),
            Err(_) if length > 0 => return Ok((length, false)),
            Err(error) => return Err(error),
        }
        if length >= bytes.len() {
            return Ok((bytes.len(), false));
        }
    }
}
