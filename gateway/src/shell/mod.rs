//! The shell: what runs cores on monoio and turns their actions into I/O.
//!
//! One thread a core, each with its own io_uring. Whatever completes (bytes, writes, journal, link,
//! rings, timers) is given to the core's [`Machine`] as an event at once; the turn then ends once for
//! all that was ready, and its actions are performed. So everything that was ready together shares
//! one ring wake-up, one journal write and one send a session.

mod accept;
mod clock;
mod committer;
mod conn;
mod control_link;
mod counters;
mod drive;
mod hub;
mod metrics;
mod notify;
mod perform;
mod pin;
pub mod process;
mod recover;
mod rings;
mod segments;
mod start;
mod turn;
mod wake;

pub use counters::{Kind, Sample};
pub use recover::{JournalError, recover};
pub use segments::{HeaderOf, SegmentPaths, lock_folder};
pub use start::{End, Options, Running, StartError, start};

use crate::core::{Event, Now, Out};

/// What the shell drives: a core, or in the shell's own tests a script.
pub trait Machine {
    /// Takes one event. Actions left in `out` are performed after [`Machine::finish_turn`].
    fn handle(&mut self, now: Now, event: Event<'_>, out: &mut Out);

    /// Ends a turn: everything that was ready has been handled.
    fn finish_turn(&mut self, now: Now, out: &mut Out);

    /// Monotonic milliseconds at which a [`Event::Tick`] is needed; `None` when nothing is timed.
    fn deadline(&self) -> Option<u64>;

    /// Everything needed to serve every request is here.
    fn ready(&self) -> bool;

    /// After [`Event::Shutdown`]: nothing is left to make durable, to answer or to send.
    fn drained(&self) -> bool {
        true
    }

    /// Counters and gauges for the metrics endpoint, taken only when somebody asks.
    fn samples(&self, into: &mut Vec<Sample>) {
        let _ = into;
    }
}

/// Exit codes of the gateway process.
pub mod exit {
    /// Stopped by SIGTERM or SIGINT, everything flushed.
    pub const OK: i32 = 0;
    /// A second signal, or the time for flushing ran out.
    pub const UNCLEAN: i32 = 1;
    /// The command line or the configuration is not valid.
    pub const CONFIG: i32 = 2;
    /// The machine refuses what is needed: an address, io_uring, a thread.
    pub const START: i32 = 3;
    /// The journal cannot be used: damaged, unreadable, or in use by another gateway.
    pub const JOURNAL: i32 = 4;
    /// A journal write or sync failed while running.
    pub const JOURNAL_IO: i32 = 5;
    /// A defect: something that must never happen did.
    pub const FATAL: i32 = 6;
}

/// Logs and ends the process: going on would break a promise.
pub(crate) fn die(code: i32, reason: &str) -> ! {
    tracing::error!(code, "{reason}");
    std::process::exit(code);
}
