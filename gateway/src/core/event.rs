//! What goes into a core and what comes out of it.

use super::ring::RingItem;
use bytes::Bytes;
use ringwire_link::{ToControl, ToGateway};
use std::net::SocketAddr;

/// Number of a core within its gateway, from 0.
pub type CoreId = u16;

/// A connection, unique within the gateway process and never used twice. The shell chooses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// The time of an event, read once per turn by the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Monotonic milliseconds since the process started.
    pub mono_ms: u64,
    /// Unix milliseconds.
    pub unix_ms: i64,
}

/// Something that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// A TCP connection was accepted on this core; its upgrade request is still to come.
    Accepted {
        /// The connection.
        conn: ConnId,
        /// Remote address.
        peer: SocketAddr,
    },
    /// A connection whose upgrade request another core parsed now lives here (see [`Action::HandOver`]).
    HandedOver {
        /// The connection, same id as before.
        conn: ConnId,
        /// Remote address.
        peer: SocketAddr,
        /// The bytes read so far, from the first byte of the request: this core parses it again.
        received: Vec<u8>,
    },
    /// Bytes were received.
    Received {
        /// From where.
        conn: ConnId,
        /// What; only valid during the call.
        bytes: &'a [u8],
    },
    /// The connection is gone (end of stream, reset, or closed after [`Action::Close`]). Nothing
    /// refers to it any more. Comes exactly once for each connection that was not handed over (and may
    /// come for one whose hand-over found it gone: the core has forgotten it then).
    Closed {
        /// Which.
        conn: ConnId,
    },
    /// A connection was lost at its hand-over: for want of a descriptor, or because it ended before its
    /// [`Action::HandOver`] was performed. No core has it; it is only counted no longer.
    LostAtHandOver,
    /// The [`Action::Write`] in progress for this connection is complete.
    Written {
        /// Which.
        conn: ConnId,
    },
    /// An item from another core's ring.
    Ring {
        /// The other core.
        from: CoreId,
        /// The item.
        item: RingItem,
    },
    /// The link to control is connected (preambles exchanged); the core says Hello.
    LinkUp,
    /// The link is lost. Questions in flight have no answer.
    LinkDown,
    /// A frame from control.
    Link {
        /// Correlation id, 0 = none.
        correlation: u64,
        /// The body.
        body: ToGateway,
    },
    /// The [`Action::JournalWrite`] in progress is durable.
    JournalSynced,
    /// Bytes asked for by [`Action::JournalRead`].
    JournalRead {
        /// Position of the first byte.
        position: u64,
        /// Exactly the length asked for.
        bytes: Bytes,
    },
    /// The segment asked for by [`Action::SegmentCreate`] exists with its full size.
    SegmentReady {
        /// Which.
        segment: u64,
    },
    /// It could not be made (disk full). The core refuses sends and asks again later.
    SegmentFailed {
        /// Which.
        segment: u64,
        /// For people.
        reason: String,
    },
    /// Time passed; comes at the latest when the core's deadline asks for it, never more
    /// often than once a second without another event.
    Tick,
    /// The process is stopping: close sessions with 1001 (going away), finish what is in the journal.
    Shutdown,
}

/// Something the shell must do. Actions are done in order; none blocks the core.
#[derive(Debug)]
pub enum Action {
    /// Send these frames, in order, as few system calls as possible. At most one Write is in progress
    /// per connection; [`Event::Written`] ends it.
    Write {
        /// To where.
        conn: ConnId,
        /// Whole WebSocket frames (or the bytes of an HTTP reply).
        frames: Vec<Bytes>,
    },
    /// Close the connection once the Write in progress, if any, is done (or failed).
    /// [`Event::Closed`] follows.
    Close {
        /// Which.
        conn: ConnId,
    },
    /// Stop reading from this connection.
    PauseReading {
        /// Which.
        conn: ConnId,
    },
    /// Read again.
    ResumeReading {
        /// Which.
        conn: ConnId,
    },
    /// Move the connection to the user's home core with everything received so far. This core hears
    /// nothing more of it.
    HandOver {
        /// Which.
        conn: ConnId,
        /// Where to.
        to: CoreId,
        /// Remote address.
        peer: SocketAddr,
        /// Bytes received so far.
        received: Vec<u8>,
    },
    /// Put an item on the ring to another core. Never to itself. In order per target; never lost.
    Ring {
        /// Where to.
        to: CoreId,
        /// The item.
        item: RingItem,
    },
    /// Send a frame to control. Dropped by the shell while the link is down.
    Link {
        /// Correlation id, 0 = none.
        correlation: u64,
        /// The body.
        body: ToControl,
    },
    /// Write these bytes at the position and make them durable (write, then fdatasync). At most one
    /// is in progress. A failure of either ends the process: it is never retried.
    JournalWrite {
        /// Segment, by number.
        segment: u64,
        /// Offset in the segment's file.
        offset: u64,
        /// Whole records.
        bytes: Bytes,
    },
    /// Read bytes that were written before. At most one is in progress.
    JournalRead {
        /// Which journal (another core's when draining an orphan).
        journal: u16,
        /// Segment, by number.
        segment: u64,
        /// Offset in the segment's file.
        offset: u64,
        /// How many bytes.
        length: usize,
        /// Position of the first byte, repeated in the event.
        position: u64,
    },
    /// Make the next segment: full size, zeroed or recycled, durable directory entry.
    SegmentCreate {
        /// Which.
        segment: u64,
    },
    /// The segment is stored in full: recycle or delete its file.
    SegmentRelease {
        /// Which journal.
        journal: u16,
        /// Which segment.
        segment: u64,
    },
    /// Something that must never happen did (for example control stored more than was written):
    /// log it and end the process.
    Fatal {
        /// For people.
        reason: String,
    },
}
