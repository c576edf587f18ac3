//! What the tasks of one core share.

use super::clock::Clock;
use super::committer::Committer;
use super::conn::Conn;
use super::control_link::LinkQueue;
use super::counters::{Counters, Sample, add};
use super::notify::Notify;
use super::rings::Port;
use super::{Machine, die, exit};
use crate::core::{Action, ConnId, CoreId, Event, Now, Out};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Bytes read from a connection at once. One buffer a core: idle connections hold none.
const READ_BUFFER: usize = 64 << 10;

/// One core's shell: its machine and everything around it. Lives on one thread; no borrow of a cell is
/// held across an await.
pub(crate) struct Hub<M> {
    pub(crate) me: CoreId,
    pub(crate) clock: Clock,
    driven: RefCell<Driven<M>>,
    /// Set when a turn is due.
    pub(crate) due: Notify,
    pub(crate) conns: RefCell<HashMap<ConnId, Rc<Conn>, BuildHasherDefault<IdHasher>>>,
    /// Events that came up while actions were performed.
    pub(crate) later: RefCell<VecDeque<Later>>,
    next_conn: Cell<u64>,
    /// Sockets of all cores, against the most there may be.
    pub(crate) sockets: Arc<Sockets>,
    pub(crate) port: Port,
    pub(crate) link: LinkQueue,
    pub(crate) committer: Committer,
    pub(crate) counters: Counters,
    pub(crate) read_buffer: RefCell<Box<[u8]>>,
    /// Set when the process is stopping: no more connections are accepted.
    pub(crate) stopping: Cell<bool>,
    pub(crate) stop_accepting: Notify,
    /// Set when this core may leave its loop.
    pub(crate) stop: Cell<bool>,
    /// Told to the process while stopping: nothing is left to do here.
    pub(crate) quiet: Arc<AtomicBool>,
}

/// An event raised by the shell itself.
#[derive(Debug)]
pub(crate) enum Later {
    Closed(ConnId),
    LostAtHandOver,
    SegmentReady(u64),
    SegmentFailed(u64, String),
    Shutdown,
}

struct Driven<M> {
    machine: M,
    out: Out,
    spare: Vec<Action>,
    now: Option<Now>,
}

impl<M> Driven<M> {
    fn now(&mut self, clock: &Clock) -> Now {
        *self.now.get_or_insert_with(|| clock.now())
    }
}

/// Parts of a hub that the caller made.
pub(crate) struct HubParts<M> {
    pub(crate) me: CoreId,
    pub(crate) clock: Clock,
    pub(crate) machine: M,
    pub(crate) port: Port,
    pub(crate) committer: Committer,
    pub(crate) quiet: Arc<AtomicBool>,
    pub(crate) sockets: Arc<Sockets>,
}

impl<M: Machine> Hub<M> {
    pub(crate) fn new(parts: HubParts<M>) -> Self {
        let out = Out::new(parts.me);
        Self {
            me: parts.me,
            clock: parts.clock,
            driven: RefCell::new(Driven {
                machine: parts.machine,
                out,
                spare: Vec::new(),
                now: None,
            }),
            due: Notify::default(),
            conns: RefCell::default(),
            later: RefCell::default(),
            next_conn: Cell::new(1),
            sockets: parts.sockets,
            port: parts.port,
            link: LinkQueue::default(),
            committer: parts.committer,
            counters: Counters::default(),
            read_buffer: RefCell::new(vec![0; READ_BUFFER].into()),
            stopping: Cell::new(false),
            stop_accepting: Notify::default(),
            stop: Cell::new(false),
            quiet: parts.quiet,
        }
    }

    /// A connection id that no other core chooses.
    pub(crate) fn fresh_conn(&self) -> ConnId {
        let n = self.next_conn.replace(self.next_conn.get() + 1);
        ConnId(u64::from(self.me) << 48 | n)
    }

    /// Gives the machine an event and makes a turn due.
    pub(crate) fn event(&self, event: Event<'_>) {
        {
            let mut driven = self.driven.borrow_mut();
            let now = driven.now(&self.clock);
            let Driven { machine, out, .. } = &mut *driven;
            machine.handle(now, event, out);
        }
        self.make_due();
    }

    /// Makes a turn due. Until it has run nobody needs to signal this core.
    pub(crate) fn make_due(&self) {
        if self.due.notify() {
            self.port.wake().stay_awake();
        }
    }

    /// Raises an event at the start of the next turn.
    pub(crate) fn raise(&self, event: Later) {
        self.later.borrow_mut().push_back(event);
        self.make_due();
    }

    /// Ends the machine's turn and takes its actions.
    pub(crate) fn end_turn(&self) -> Vec<Action> {
        let mut driven = self.driven.borrow_mut();
        let now = driven.now(&self.clock);
        let Driven {
            machine,
            out,
            spare,
            now: turn_now,
        } = &mut *driven;
        machine.finish_turn(now, out);
        *turn_now = None;
        if !out.local.is_empty() {
            die(
                exit::FATAL,
                "a core left items for itself at the end of its turn",
            );
        }
        add(&self.counters.turns, 1);
        std::mem::replace(&mut out.actions, std::mem::take(spare))
    }

    /// Gives the emptied action buffer back for the next turn.
    pub(crate) fn recycle(&self, actions: Vec<Action>) {
        self.driven.borrow_mut().spare = actions;
    }

    /// When the machine needs a tick.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.driven.borrow().machine.deadline()
    }

    /// Logs when the core becomes ready or is no longer.
    pub(crate) fn note_readiness(&self) {
        let ready = self.driven.borrow().machine.ready();
        if self.counters.ready.replace(ready.into()) != u64::from(ready) {
            match ready {
                true => tracing::info!(core = self.me, "core is ready"),
                false => tracing::warn!(core = self.me, "core is not ready: no link to control"),
            }
        }
    }

    /// All numbers of this core.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.counters
            .connections
            .set(self.conns.borrow().len() as u64);
        self.counters.ring_waiting.set(self.port.waiting() as u64);
        self.counters
            .link_queued_bytes
            .set(self.link.queued() as u64);
        let mut samples = Vec::new();
        self.counters.samples(&mut samples);
        self.driven.borrow().machine.samples(&mut samples);
        samples
    }

    /// Whether nothing is under way on this core.
    pub(crate) fn is_quiet(&self) -> bool {
        self.conns.borrow().is_empty()
            && self.later.borrow().is_empty()
            && self.port.waiting() == 0
            && !self.port.has_work()
            && self.committer.is_idle()
            && self.driven.borrow().machine.drained()
            && (self.link.queued() == 0 || !self.link.is_up())
    }
}

/// Counts the sockets of clients over all cores. Bounded, so that clients can never take the descriptors
/// that journal and link need.
#[derive(Debug)]
pub(crate) struct Sockets {
    open: AtomicU32,
    max: u32,
}

impl Sockets {
    /// Room for `max`.
    pub(crate) fn new(max: u32) -> Self {
        Self {
            open: AtomicU32::new(0),
            max,
        }
    }

    /// Whether there is room for one more; several cores may find so at once.
    pub(crate) fn have_room(&self) -> bool {
        self.open.load(Ordering::Relaxed) < self.max
    }

    pub(crate) fn opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Spreads connection ids, which are counters, over the table.
#[derive(Debug, Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        // Odd multiplier: consecutive ids differ in the high bits, which the table looks at first.
        self.0 = (self.0 ^ value)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(26);
    }
}
