//! One connection and, once it is upgraded, its session.

use super::rate::Rate;
use super::upgrade::Upgrade;
use crate::core::event::ConnId;
use crate::core::ws;
use bytes::Bytes;
use ringwire_protocol::envelope::Encoding;
use ringwire_protocol::platform::Platform;
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

/// Index of a connection in its core; used again after the connection is gone.
pub(super) type ConnKey = usize;

/// First 16 bytes of the SHA-256 of a token.
pub(super) type Fingerprint = [u8; 16];

/// A connection on this core.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) id: ConnId,
    pub(super) peer: SocketAddr,
    /// What a proxy said of the client's address. Anybody can say anything: for logs only.
    pub(super) forwarded: Option<Box<str>>,
    pub(super) phase: Phase,
    pub(super) queue: Queue,
    /// It is in the list of connections to flush at the end of the turn.
    pub(super) dirty: bool,
    /// Nothing more is queued; close when the queue is out.
    pub(super) closing: bool,
    /// The shell was told to close.
    pub(super) close_sent: bool,
    /// When its entry in the timers is due; 0 = it has none.
    pub(super) timer_due: u64,
}

/// How far a connection has come.
#[derive(Debug)]
pub(super) enum Phase {
    /// Waiting for the whole upgrade request.
    Head(Box<Head>),
    /// The request is read; the token's state is not known yet.
    Token(Box<AwaitingToken>),
    /// A session.
    Open(Box<Session>),
    /// On its way out.
    Over,
}

#[derive(Debug)]
pub(super) struct Head {
    pub(super) received: Vec<u8>,
    pub(super) deadline: u64,
    /// Accepted although all places were taken, only to be told so.
    pub(super) over_limit: bool,
}

#[derive(Debug)]
pub(super) struct AwaitingToken {
    pub(super) upgrade: Upgrade,
    /// Bytes after the request head.
    pub(super) rest: Vec<u8>,
    pub(super) deadline: u64,
}

/// What waits for the socket of one connection.
#[derive(Debug, Default)]
pub(super) struct Queue {
    frames: Vec<Bytes>,
    /// Bytes in `frames` and in the write in progress.
    bytes: usize,
    in_flight: usize,
    /// When the write in progress began; `None` = there is none.
    writing_since: Option<u64>,
}

impl Queue {
    /// Adds a frame. `false`: more than `limit` bytes wait already; the receiver is too slow.
    pub(super) fn push(&mut self, frame: Bytes, limit: usize) -> bool {
        if self.bytes > limit {
            return false;
        }
        self.bytes += frame.len();
        self.frames.push(frame);
        true
    }

    /// Everything that waits, as one write, unless one is in progress.
    pub(super) fn take(&mut self, now_ms: u64) -> Option<(Vec<Bytes>, usize)> {
        if self.writing_since.is_some() || self.frames.is_empty() {
            return None;
        }
        self.writing_since = Some(now_ms);
        self.in_flight = self.bytes;
        Some((std::mem::take(&mut self.frames), self.bytes))
    }

    /// The write in progress is complete.
    pub(super) fn written(&mut self) {
        self.bytes -= self.in_flight;
        self.in_flight = 0;
        self.writing_since = None;
    }

    /// Forgets what was not handed out.
    pub(super) fn discard(&mut self) {
        self.frames = Vec::new();
        self.bytes = self.in_flight;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) fn writing_since(&self) -> Option<u64> {
        self.writing_since
    }
}

/// An authenticated connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) user: Arc<str>,
    /// The user's index in this core.
    pub(super) user_key: usize,
    pub(super) platform: Platform,
    pub(super) token: Fingerprint,
    /// Unix milliseconds.
    pub(super) token_expires: i64,
    pub(super) admin: bool,
    pub(super) encoding: Encoding,
    pub(super) gzip: bool,
    pub(super) background: bool,
    pub(super) decoder: ws::Decoder,
    /// Binary messages behind the request in progress.
    pub(super) waiting: VecDeque<Bytes>,
    pub(super) waiting_bytes: usize,
    pub(super) paused: bool,
    pub(super) current: Option<Box<Current>>,
    /// Number of the last request begun.
    pub(super) requests: u64,
    pub(super) last_heard: u64,
    pub(super) last_ping: u64,
    pub(super) rate: Rate,
    /// Users whose changes it is told (2005).
    pub(super) watching: HashSet<Arc<str>>,
    /// Older sessions with the same token, asked for a sign of life when this one says something.
    pub(super) supersedes: Vec<ConnId>,
    /// Monotonic milliseconds by which a newer session of the same client wants it heard.
    pub(super) probed_until: Option<u64>,
}

/// The request in progress: there is at most one a session.
#[derive(Debug)]
pub(super) struct Current {
    /// Tells its outcome from that of a request given up.
    pub(super) number: u64,
    pub(super) head: ReplyHead,
    pub(super) what: Waiting,
    /// When it is given up; `None` = it surely gets an outcome.
    pub(super) deadline: Option<u64>,
}

/// What a reply repeats of its request.
#[derive(Debug, Clone, Default)]
pub(super) struct ReplyHead {
    pub(super) id: i32,
    pub(super) operation_id: String,
    pub(super) msg_incr: String,
}

/// What a request waits for.
#[derive(Debug)]
pub(super) enum Waiting {
    /// Control's answer.
    Control { correlation: u64 },
    /// The user's groups; then `data` goes to control.
    Groups { data: Vec<u8> },
    /// The owner core's verdict.
    Owner,
    /// The states of users (2005) from `cores` cores.
    Online {
        cores: usize,
        /// In the order of the request.
        users: Vec<String>,
        states: HashMap<String, Vec<i32>>,
    },
}

impl Conn {
    pub(super) fn new(id: ConnId, peer: SocketAddr, phase: Phase) -> Self {
        Self {
            id,
            peer,
            forwarded: None,
            phase,
            queue: Queue::default(),
            dirty: false,
            closing: false,
            close_sent: false,
            timer_due: 0,
        }
    }

    /// The remote address as it goes to logs.
    pub(super) fn remote(&self) -> String {
        match &self.forwarded {
            Some(forwarded) => format!("{}_{forwarded}", self.peer),
            None => self.peer.to_string(),
        }
    }

    pub(super) fn session(&self) -> Option<&Session> {
        match &self.phase {
            Phase::Open(session) => Some(session),
            _ => None,
        }
    }

    pub(super) fn session_mut(&mut self) -> Option<&mut Session> {
        match &mut self.phase {
            Phase::Open(session) => Some(session),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_write_takes_all_and_the_next_waits_for_it() {
        let mut queue = Queue::default();
        assert!(queue.push(Bytes::from_static(b"one"), 100));
        assert!(queue.push(Bytes::from_static(b"two"), 100));
        let (frames, bytes) = queue.take(5).expect("a write");
        assert_eq!(
            (frames.len(), bytes, queue.writing_since()),
            (2, 6, Some(5))
        );
        assert!(queue.push(Bytes::from_static(b"three"), 100));
        assert!(queue.take(6).is_none(), "one at a time");
        queue.written();
        assert_eq!(queue.take(7).expect("the rest").1, 5);
    }

    #[test]
    fn the_limit_counts_the_write_in_progress() {
        let mut queue = Queue::default();
        assert!(
            queue.push(Bytes::from(vec![0; 10]), 5),
            "a single frame always fits"
        );
        queue.take(1).expect("a write");
        assert!(!queue.push(Bytes::from_static(b"x"), 5));
        queue.written();
        assert!(queue.push(Bytes::from_static(b"x"), 5));
    }
}
