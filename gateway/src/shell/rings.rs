//! Rings between cores: one bounded lock-free queue for each ordered pair of cores.
//!
//! A full ring never loses or reorders: what does not fit waits in order on the sender's side and
//! moves on as soon as the receiver has made room. That overflow is bounded by what cores may have in
//! flight: requests of sessions (pipeline of a session times sessions), pushes for committed messages
//! (bounded by the journal), and hand-overs (bounded by the connection limit).

use super::counters::Sample;
use super::wake::Wake;
use crate::core::{ConnId, CoreId, RingItem};
use crossbeam_queue::{ArrayQueue, SegQueue};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

/// What travels on a ring.
#[derive(Debug)]
pub(crate) enum RingMail {
    /// Between the machines.
    Item(RingItem),
    /// A connection on its way to its home core.
    Moved(Box<MovedConnection>),
}

/// A connection between two cores.
#[derive(Debug)]
pub(crate) struct MovedConnection {
    pub(crate) socket: OwnedFd,
    pub(crate) conn: ConnId,
    pub(crate) peer: SocketAddr,
    pub(crate) received: Vec<u8>,
}

/// Messages to a core from threads that are no cores. Rare, so their queue has no bound of its own:
/// each sender has one thing in flight.
#[derive(Debug)]
pub(crate) enum Mail {
    /// Outcome of making a segment.
    Segment {
        segment: u64,
        result: Result<(), String>,
    },
    /// Somebody wants to see the counters.
    Samples(mpsc::Sender<Vec<Sample>>),
    /// Begin to stop.
    Shutdown,
    /// Leave the loop.
    Stop,
}

#[derive(Debug)]
struct Ring {
    queue: ArrayQueue<RingMail>,
    /// The sender has items that did not fit.
    blocked: AtomicBool,
}

/// All rings, wake-ups and mailboxes of a gateway.
#[derive(Debug)]
pub(crate) struct Rings {
    cores: usize,
    rings: Box<[Ring]>,
    wakes: Box<[Wake]>,
    mailboxes: Box<[SegQueue<Mail>]>,
}

impl Rings {
    /// Rings for `cores` cores, `capacity` items each.
    pub(crate) fn new(cores: u16, capacity: usize) -> io::Result<Self> {
        let cores = usize::from(cores);
        let ring = |_| Ring {
            queue: ArrayQueue::new(capacity),
            blocked: AtomicBool::new(false),
        };
        Ok(Self {
            cores,
            rings: (0..cores * cores).map(ring).collect(),
            wakes: (0..cores).map(|_| Wake::new()).collect::<io::Result<_>>()?,
            mailboxes: (0..cores).map(|_| SegQueue::new()).collect(),
        })
    }

    fn ring(&self, from: usize, to: usize) -> &Ring {
        &self.rings[from * self.cores + to]
    }

    /// Puts mail into a core's mailbox and wakes it.
    pub(crate) fn post(&self, to: CoreId, mail: Mail) {
        let to = usize::from(to);
        self.mailboxes[to].push(mail);
        self.wakes[to].signal();
    }
}

/// One core's end of all its rings.
#[derive(Debug)]
pub(crate) struct Port {
    me: usize,
    rings: Arc<Rings>,
    overflow: RefCell<Vec<VecDeque<RingMail>>>,
    touched: RefCell<Vec<bool>>,
    waiting: Cell<usize>,
}

impl Port {
    pub(crate) fn new(me: CoreId, rings: Arc<Rings>) -> Self {
        let cores = rings.cores;
        Self {
            me: usize::from(me),
            rings,
            overflow: RefCell::new((0..cores).map(|_| VecDeque::new()).collect()),
            touched: RefCell::new(vec![false; cores]),
            waiting: Cell::new(0),
        }
    }

    /// Whether `to` names another core.
    pub(crate) fn reaches(&self, to: CoreId) -> bool {
        usize::from(to) < self.rings.cores && usize::from(to) != self.me
    }

    pub(crate) fn wake(&self) -> &Wake {
        &self.rings.wakes[self.me]
    }

    /// Puts an item on the ring to another core. The core hears of it at the next [`Port::signal`].
    pub(crate) fn send(&self, to: CoreId, mail: RingMail) {
        let to = usize::from(to);
        self.touched.borrow_mut()[to] = true;
        let mut overflow = self.overflow.borrow_mut();
        let waiting = &mut overflow[to];
        let ring = self.rings.ring(self.me, to);
        let left = if waiting.is_empty() {
            ring.queue.push(mail).err()
        } else {
            Some(mail)
        };
        if let Some(mail) = left {
            waiting.push_back(mail);
            self.waiting.set(self.waiting.get() + 1);
        }
    }

    /// Moves what did not fit before, as far as it fits now. Returns whether anything moved.
    pub(crate) fn flush(&self) -> bool {
        let before = self.waiting.get();
        if before == 0 {
            return false;
        }
        for (to, waiting) in self.overflow.borrow_mut().iter_mut().enumerate() {
            if waiting.is_empty() {
                continue;
            }
            let ring = self.rings.ring(self.me, to);
            // Said before trying: if the ring is still full after this, the receiver, which makes room
            // first and looks at the flag then, will see it.
            ring.blocked.store(true, Ordering::SeqCst);
            while let Some(mail) = waiting.pop_front() {
                if let Err(mail) = ring.queue.push(mail) {
                    waiting.push_front(mail);
                    break;
                }
                self.waiting.set(self.waiting.get() - 1);
                self.touched.borrow_mut()[to] = true;
            }
            if waiting.is_empty() {
                ring.blocked.store(false, Ordering::SeqCst);
            }
        }
        self.waiting.get() < before
    }

    /// Wakes the cores that were sent to since the last call.
    pub(crate) fn signal(&self) {
        for (to, touched) in self.touched.borrow_mut().iter_mut().enumerate() {
            if std::mem::take(touched) {
                self.rings.wakes[to].signal();
            }
        }
    }

    /// Takes what the other cores sent, at most a ring's capacity from each.
    pub(crate) fn receive(&self, mut take: impl FnMut(CoreId, RingMail)) {
        for from in (0..self.rings.cores).filter(|f| *f != self.me) {
            let ring = self.rings.ring(from, self.me);
            let mut left = ring.queue.capacity();
            let mut any = false;
            while left > 0
                && let Some(mail) = ring.queue.pop()
            {
                take(from as CoreId, mail);
                left -= 1;
                any = true;
            }
            if any && ring.blocked.swap(false, Ordering::SeqCst) {
                self.rings.wakes[from].signal();
            }
        }
    }

    /// Takes mail from other threads.
    pub(crate) fn mail(&self) -> Option<Mail> {
        self.rings.mailboxes[self.me].pop()
    }

    /// Whether anything waits to be received.
    pub(crate) fn has_work(&self) -> bool {
        let mut froms = (0..self.rings.cores).filter(|f| *f != self.me);
        !self.rings.mailboxes[self.me].is_empty()
            || froms.any(|f| !self.rings.ring(f, self.me).queue.is_empty())
    }

    /// Items that wait for room on full rings.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.get()
    }
}
