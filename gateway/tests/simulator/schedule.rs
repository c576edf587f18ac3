//! Virtual time: what happens when. Things due at the same moment happen in the order they were
//! scheduled in; a [`Lane`] keeps the order of a stream whatever delays are drawn.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

struct Entry<T> {
    at: u64,
    serial: u64,
    what: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.serial) == (other.at, other.serial)
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.serial).cmp(&(self.at, self.serial))
    }
}

/// Everything that will happen.
pub(crate) struct Schedule<T> {
    entries: BinaryHeap<Entry<T>>,
    serial: u64,
}

impl<T> Schedule<T> {
    pub(crate) fn new() -> Self {
        Self {
            entries: BinaryHeap::new(),
            serial: 0,
        }
    }

    pub(crate) fn at(&mut self, at: u64, what: T) {
        self.serial += 1;
        self.entries.push(Entry {
            at,
            serial: self.serial,
            what,
        });
    }

    pub(crate) fn next(&mut self) -> Option<(u64, T)> {
        self.entries.pop().map(|entry| (entry.at, entry.what))
    }
}

/// First in, first out, with delays.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Lane {
    last: u64,
}

impl Lane {
    /// When something sent now with this delay arrives.
    pub(crate) fn arrival(&mut self, now: u64, delay: u64) -> u64 {
        self.last = self.last.max(now + delay);
        self.last
    }
}
