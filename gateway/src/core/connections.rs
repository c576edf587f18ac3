//! How many connections the gateway holds, counted over all cores at accept.

use std::sync::atomic::{AtomicU32, Ordering};

/// What a newly accepted connection may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A session.
    Free,
    /// All places are taken: it is read only far enough to be told so (1601).
    Taken,
    /// Even the places of those who are being told are taken: it is told at once.
    Flooded,
}

/// The count, shared by all cores.
#[derive(Debug)]
pub struct Connections {
    live: AtomicU32,
    max: u32,
}

impl Connections {
    /// Room for `max` connections.
    pub fn new(max: u32) -> Self {
        Self {
            live: AtomicU32::new(0),
            max,
        }
    }

    /// Counts a connection. Every call needs its [`Connections::leave`].
    pub fn enter(&self) -> Place {
        let before = self.live.fetch_add(1, Ordering::Relaxed);
        if before < self.max {
            Place::Free
        } else if before - self.max < self.max / 8 + 64 {
            Place::Taken
        } else {
            Place::Flooded
        }
    }

    /// A counted connection is gone.
    pub fn leave(&self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }

    /// Connections now.
    pub fn live(&self) -> u32 {
        self.live.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_limit_some_are_told_and_the_rest_at_once() {
        let connections = Connections::new(8);
        let places: Vec<Place> = (0..8 + 1 + 64 + 1).map(|_| connections.enter()).collect();
        assert!(places[..8].iter().all(|p| *p == Place::Free));
        assert!(places[8..73].iter().all(|p| *p == Place::Taken));
        assert_eq!(places[73], Place::Flooded);
        (0..67).for_each(|_| connections.leave());
        assert_eq!((connections.live(), connections.enter()), (7, Place::Free));
    }
}
