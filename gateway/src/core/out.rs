//! Where a core's two sides leave what they want done.

use super::event::{Action, CoreId};
use super::ring::RingItem;
use ringwire_link::ToControl;
use std::collections::VecDeque;

/// Actions for the shell and ring items for this very core, in order. Reused from turn to turn.
#[derive(Debug)]
pub struct Out {
    me: CoreId,
    /// For the shell.
    pub actions: Vec<Action>,
    /// Items this core sent to itself; the core works them off before its turn ends.
    pub local: VecDeque<RingItem>,
}

impl Out {
    /// An empty one for core `me`.
    pub fn new(me: CoreId) -> Self {
        Self {
            me,
            actions: Vec::new(),
            local: VecDeque::new(),
        }
    }

    /// The core this belongs to.
    pub fn me(&self) -> CoreId {
        self.me
    }

    /// Something for the shell.
    pub fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// An item for a core, which may be this one.
    pub fn ring(&mut self, to: CoreId, item: RingItem) {
        if to == self.me {
            self.local.push_back(item);
        } else {
            self.actions.push(Action::Ring { to, item });
        }
    }

    /// A frame for control; `correlation` 0 for a frame that neither asks nor answers.
    pub fn link(&mut self, correlation: u64, body: ToControl) {
        self.actions.push(Action::Link { correlation, body });
    }
}

/// Hands out correlation ids, so that an answer finds the side that asked: ids of the home side leave
/// remainder 1 by 4, those of the owner side remainder 3.
#[derive(Debug)]
pub struct Correlations {
    next: u64,
}

impl Correlations {
    /// Ids of the home side.
    pub fn home() -> Self {
        Self { next: 1 }
    }

    /// Ids of the owner side.
    pub fn owner() -> Self {
        Self { next: 3 }
    }

    /// A fresh id.
    pub fn fresh(&mut self) -> u64 {
        let id = self.next;
        self.next += 4;
        id
    }

    /// Whether an answer with this id belongs to the home side.
    pub fn is_home(id: u64) -> bool {
        id % 4 == 1
    }
}
