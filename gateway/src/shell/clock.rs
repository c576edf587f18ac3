//! The time of a turn.

use crate::core::Now;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Monotonic time since the process started, the same origin for all cores.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    /// Both clocks, now.
    pub(crate) fn now(&self) -> Now {
        let unix_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_millis() as i64);
        Now {
            mono_ms: self.origin.elapsed().as_millis() as u64,
            unix_ms,
        }
    }

    /// The instant of a monotonic time.
    pub(crate) fn instant(&self, mono_ms: u64) -> Instant {
        self.origin + std::time::Duration::from_millis(mono_ms)
    }
}
