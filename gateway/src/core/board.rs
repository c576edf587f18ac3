//! The board: how far every journal of this gateway is committed, readable by every core.
//!
//! A login sync must not miss a message sequenced before it (invariant 4): the home core reads the
//! board when it hands a request to control, and control answers once it has stored that far. A core
//! raises its entry before it acknowledges or delivers anything of a commit.

use ringwire_link::message::JournalPosition;
use std::sync::atomic::{AtomicU64, Ordering};

/// Committed positions, one a journal (orphans of a former run with more cores included).
#[derive(Debug)]
pub struct Board {
    positions: Box<[AtomicU64]>,
}

impl Board {
    /// All journals at the positions that recovery found (index = journal number; 0 = empty).
    pub fn new(positions: &[u64]) -> Self {
        Self {
            positions: positions.iter().map(|p| AtomicU64::new(*p)).collect(),
        }
    }

    /// Raises a journal's committed position.
    pub fn raise(&self, journal: u16, position: u64) {
        if let Some(entry) = self.positions.get(usize::from(journal)) {
            entry.fetch_max(position, Ordering::Release);
        }
    }

    /// Every journal that has committed anything.
    pub fn vector(&self) -> Vec<JournalPosition> {
        let read = |(journal, entry): (usize, &AtomicU64)| {
            let position = entry.load(Ordering::Acquire);
            (position > 0).then_some(JournalPosition {
                journal: journal as u16,
                position,
            })
        };
        self.positions.iter().enumerate().filter_map(read).collect()
    }
}
