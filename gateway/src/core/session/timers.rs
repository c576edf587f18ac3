//! Times at which connections want to be looked at, in whole seconds.
//!
//! An entry is never removed: a connection remembers when its valid entry is due, and entries that say
//! otherwise are passed over. A busy session moves its deadline all the time and still has one entry.

use crate::core::event::ConnId;
use std::collections::BTreeMap;

/// Entries by second.
#[derive(Debug, Default)]
pub(super) struct Timers {
    slots: BTreeMap<u64, Vec<ConnId>>,
}

impl Timers {
    /// Adds an entry due at `at_ms` or up to a second later. Returns when, in milliseconds.
    pub(super) fn add(&mut self, conn: ConnId, at_ms: u64) -> u64 {
        let second = at_ms.div_ceil(1_000).max(1);
        self.slots.entry(second).or_default().push(conn);
        second * 1_000
    }

    /// Takes the entries of one second that is due, with the time they were due.
    pub(super) fn due(&mut self, now_ms: u64) -> Option<(u64, Vec<ConnId>)> {
        let entry = self
            .slots
            .first_entry()
            .filter(|e| e.key() * 1_000 <= now_ms)?;
        let (second, conns) = entry.remove_entry();
        Some((second * 1_000, conns))
    }

    /// When the first entry is due.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.slots
            .first_key_value()
            .map(|(second, _)| second * 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_in_order_and_never_early() {
        let mut timers = Timers::default();
        assert_eq!(timers.add(ConnId(1), 2_001), 3_000);
        assert_eq!(timers.add(ConnId(2), 1_000), 1_000);
        assert_eq!(timers.deadline(), Some(1_000));
        assert!(timers.due(999).is_none());
        assert_eq!(timers.due(9_000), Some((1_000, vec![ConnId(2)])));
        assert_eq!(timers.due(9_000), Some((3_000, vec![ConnId(1)])));
        assert!(timers.due(9_000).is_none());
    }
}
