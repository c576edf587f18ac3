//! How many messages a session may send, or how often an address may fail: a bucket that fills steadily.

/// A bucket. Starts full.
#[derive(Debug)]
pub(super) struct Rate {
    /// Thousandths of a message.
    level: u64,
    filled_ms: u64,
}

impl Rate {
    pub(super) fn new(burst: u32, now_ms: u64) -> Self {
        Self {
            level: u64::from(burst.max(1)) * 1_000,
            filled_ms: now_ms,
        }
    }

    /// Takes one message; `false` when there is none left. `per_second` 0 is no limit.
    pub(super) fn take(&mut self, per_second: u32, burst: u32, now_ms: u64) -> bool {
        let granted = self.has(per_second, burst, now_ms);
        if granted && per_second > 0 {
            self.level -= 1_000;
        }
        granted
    }

    /// Whether one is left.
    pub(super) fn has(&mut self, per_second: u32, burst: u32, now_ms: u64) -> bool {
        if per_second == 0 {
            return true;
        }
        let elapsed = now_ms.saturating_sub(self.filled_ms);
        self.filled_ms = now_ms;
        let filled = self
            .level
            .saturating_add(elapsed.saturating_mul(u64::from(per_second)));
        self.level = filled.min(u64::from(burst.max(1)) * 1_000);
        self.level >= 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_steady_rate() {
        let mut rate = Rate::new(3, 0);
        assert_eq!((0..5).filter(|_| rate.take(2, 3, 0)).count(), 3);
        assert!(!rate.take(2, 3, 499));
        assert!(rate.take(2, 3, 500));
        assert_eq!(
            (0..9).filter(|_| rate.take(2, 3, 1_000_000)).count(),
            3,
            "never more than the burst"
        );
        assert!(
            (0..1_000).all(|_| rate.take(0, 3, 1_000_000)),
            "0 is no limit"
        );
    }
}
