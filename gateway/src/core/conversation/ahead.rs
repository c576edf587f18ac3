//! Senders whose clocks run ahead.
//!
//! The duplicate check takes a message for new when it says it was made after everything the table
//! has forgotten. A clock that runs ahead makes a message say so that is old by now; this remembers
//! how far each such sender got.

use ringwire_link::message::SenderAhead;
use std::collections::HashMap;

/// Senders remembered by name; beyond it the latest time of them all holds for everybody, which costs
/// questions to control but never lets a duplicate through.
const NAMED: usize = 64;

/// The latest `createTime` that lay ahead, by sender.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    by_sender: HashMap<String, i64>,
    anybody: Option<i64>,
}

impl Ahead {
    /// A message of this sender lay ahead.
    pub(super) fn add(&mut self, send_id: &str, create_time: i64) {
        if let Some(latest) = self.by_sender.get_mut(send_id) {
            *latest = (*latest).max(create_time);
        } else if !send_id.is_empty() && self.by_sender.len() < NAMED {
            self.by_sender.insert(send_id.to_owned(), create_time);
        } else {
            self.anybody = self.anybody.max(Some(create_time));
        }
    }

    /// What control knows of it.
    pub(super) fn learn(&mut self, senders: Vec<SenderAhead>) {
        for sender in senders {
            self.add(&sender.send_id, sender.create_time);
        }
    }

    /// A message of this sender made no later than this may be an old one.
    pub(super) fn of(&self, send_id: &str) -> i64 {
        let named = self.by_sender.get(send_id).copied();
        named.max(self.anybody).unwrap_or(i64::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_time_of_a_sender_holds() {
        let mut ahead = Ahead::default();
        assert_eq!(ahead.of("a"), i64::MIN);
        ahead.add("a", 7);
        ahead.add("a", 5);
        assert_eq!((ahead.of("a"), ahead.of("b")), (7, i64::MIN));
        ahead.learn(vec![SenderAhead {
            send_id: String::new(),
            create_time: 6,
        }]);
        assert_eq!((ahead.of("a"), ahead.of("b")), (7, 6));
    }

    #[test]
    fn too_many_to_name_hold_for_everybody() {
        let mut ahead = Ahead::default();
        for n in 0..200 {
            ahead.add(&format!("u{n}"), n);
        }
        assert_eq!(ahead.by_sender.len(), NAMED);
        assert_eq!(ahead.of("stranger"), 199);
        assert_eq!(ahead.of("u1"), 199);
    }
}
