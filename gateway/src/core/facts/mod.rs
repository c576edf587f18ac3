//! Facts of the owner side: kept while they are true, fetched once when needed.

pub mod clock;

use clock::Clock;
use ringwire_link::facts::{Fact, FactChange, FactKey, GroupFact, MemberFact, PairFact, UserFact};
use std::collections::HashMap;

/// Most keys of one question to control.
pub const MAX_KEYS: usize = 1_000;

/// A message that waits: its lane, and its number, so that a late answer does not touch its successor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Waiter {
    /// Ordering key of the lane.
    pub lane: String,
    /// Number of the message.
    pub job: u64,
}

#[derive(Debug, Default)]
struct Fetch {
    waiters: Vec<Waiter>,
    /// The fact changed while it was being fetched: what arrives may be the old value.
    changed: bool,
}

/// What an answer of control leads to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    /// These may be tried again.
    pub ready: Vec<Waiter>,
    /// These cannot be judged.
    pub failed: Vec<Waiter>,
}

/// The cache of one core. Bounded by its limit; fetches under way are bounded by the messages waiting.
#[derive(Debug)]
pub struct Facts {
    known: Clock<FactKey, Fact>,
    fetches: HashMap<FactKey, Fetch>,
    /// Keys to ask for at the end of the turn.
    wanted: Vec<FactKey>,
}

impl Facts {
    /// Empty, for at most `limit` facts.
    pub fn new(limit: usize) -> Self {
        Self {
            known: Clock::new(limit),
            fetches: HashMap::new(),
            wanted: Vec::new(),
        }
    }

    /// Facts held.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// A user; `None` when the fact is not here, `Some(None)` when there is no such user.
    pub fn user(&mut self, user_id: &str) -> Option<Option<UserFact>> {
        match self.known.get(&FactKey::User(user_id.into()))? {
            Fact::User(fact) => Some(fact.clone()),
            _ => None,
        }
    }

    /// What two users are to each other, `a` <= `b`.
    pub fn pair(&mut self, a: &str, b: &str) -> Option<PairFact> {
        match self.known.get(&FactKey::Pair(a.into(), b.into()))? {
            Fact::Pair(fact) => Some(fact.clone()),
            _ => None,
        }
    }

    /// A group.
    pub fn group(&mut self, group_id: &str) -> Option<Option<GroupFact>> {
        match self.known.get(&FactKey::Group(group_id.into()))? {
            Fact::Group(fact) => Some(fact.clone()),
            _ => None,
        }
    }

    /// A member of a group.
    pub fn member(&mut self, group_id: &str, user_id: &str) -> Option<Option<MemberFact>> {
        let key = FactKey::Member {
            group_id: group_id.into(),
            user_id: user_id.into(),
        };
        match self.known.get(&key)? {
            Fact::Member(fact) => Some(fact.clone()),
            _ => None,
        }
    }

    /// Whether the fact is here.
    pub fn knows(&self, key: &FactKey) -> bool {
        self.known.contains(key)
    }

    /// `waiter` needs this fact: it is asked for unless that is under way.
    pub fn want(&mut self, key: FactKey, waiter: &Waiter) {
        if let Some(fetch) = self.fetches.get_mut(&key) {
            if !fetch.waiters.contains(waiter) {
                fetch.waiters.push(waiter.clone());
            }
            return;
        }
        self.wanted.push(key.clone());
        self.fetches.insert(
            key,
            Fetch {
                waiters: vec![waiter.clone()],
                changed: false,
            },
        );
    }

    /// The next question to control, if any.
    pub fn question(&mut self) -> Option<Vec<FactKey>> {
        if self.wanted.is_empty() {
            return None;
        }
        let keys = self.wanted.len().min(MAX_KEYS);
        Some(self.wanted.drain(..keys).collect())
    }

    /// Control answered a question.
    pub fn arrived(&mut self, keys: Vec<FactKey>, answer: Result<Vec<Fact>, String>) -> Arrived {
        let mut arrived = Arrived::default();
        let values = match answer {
            Ok(values) if values.len() == keys.len() => values.into_iter().map(Some).collect(),
            _ => vec![None; keys.len()],
        };
        for (key, value) in keys.into_iter().zip(values) {
            let Some(fetch) = self.fetches.get_mut(&key) else {
                continue;
            };
            if fetch.changed {
                fetch.changed = false;
                self.wanted.push(key);
                continue;
            }
            let waiters = self
                .fetches
                .remove(&key)
                .map(|f| f.waiters)
                .unwrap_or_default();
            match value.filter(|value| matches(&key, value)) {
                Some(value) => {
                    self.known.insert(key, value, |_| true);
                    arrived.ready.extend(waiters);
                }
                None => arrived.failed.extend(waiters),
            }
        }
        arrived
    }

    /// The link is lost: nothing under way will be answered.
    pub fn link_down(&mut self) -> Vec<Waiter> {
        self.wanted.clear();
        self.fetches
            .drain()
            .flat_map(|(_, fetch)| fetch.waiters)
            .collect()
    }

    /// Nothing known can be trusted any more.
    pub fn forget_all(&mut self) {
        self.known.clear();
        self.fetches
            .values_mut()
            .for_each(|fetch| fetch.changed = true);
    }

    /// The world changed.
    pub fn changed(&mut self, change: &FactChange) {
        match change {
            FactChange::User(user) => self.forget(&FactKey::User(user.clone())),
            FactChange::Pair(a, b) => self.forget(&FactKey::Pair(a.clone(), b.clone())),
            // A dismissed group refuses before its members are looked at, and never comes back.
            FactChange::Group(group) | FactChange::GroupGone(group) => {
                self.forget(&FactKey::Group(group.clone()))
            }
            FactChange::Members { group_id, user_ids }
            | FactChange::Joined { group_id, user_ids }
            | FactChange::Left { group_id, user_ids } => {
                for user_id in user_ids {
                    self.forget(&FactKey::Member {
                        group_id: group_id.clone(),
                        user_id: user_id.clone(),
                    });
                }
            }
            FactChange::Conversation(_) | FactChange::Token(_) => {}
        }
    }

    fn forget(&mut self, key: &FactKey) {
        self.known.remove(key);
        if let Some(fetch) = self.fetches.get_mut(key) {
            // A question that has not left yet is answered with the new value.
            fetch.changed = !self.wanted.contains(key);
        }
    }
}

/// Whether control answered with the kind of value that the key names.
fn matches(key: &FactKey, fact: &Fact) -> bool {
    matches!(
        (key, fact),
        (FactKey::User(_), Fact::User(_))
            | (FactKey::Pair(..), Fact::Pair(_))
            | (FactKey::Group(_), Fact::Group(_))
            | (FactKey::Member { .. }, Fact::Member(_))
            | (FactKey::UserGroups(_), Fact::UserGroups(_))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiter(job: u64) -> Waiter {
        Waiter {
            lane: "a_b".into(),
            job,
        }
    }

    fn user(level: i32) -> Fact {
        Fact::User(Some(UserFact {
            level,
            global_recv_opt: 0,
        }))
    }

    #[test]
    fn a_fact_is_asked_for_once() {
        let key = FactKey::User("a".into());
        let mut facts = Facts::new(10);
        facts.want(key.clone(), &waiter(1));
        facts.want(key.clone(), &waiter(2));
        assert_eq!(facts.question(), Some(vec![key.clone()]));
        facts.want(key.clone(), &waiter(3));
        assert_eq!(facts.question(), None);
        let arrived = facts.arrived(vec![key], Ok(vec![user(1)]));
        assert_eq!(arrived.ready, [waiter(1), waiter(2), waiter(3)]);
        assert_eq!(
            facts.user("a"),
            Some(Some(UserFact {
                level: 1,
                global_recv_opt: 0
            }))
        );
    }

    #[test]
    fn a_change_during_a_fetch_repeats_it() {
        let key = FactKey::User("a".into());
        let mut facts = Facts::new(10);
        facts.want(key.clone(), &waiter(1));
        assert!(facts.question().is_some());
        facts.changed(&FactChange::User("a".into()));
        assert_eq!(
            facts.arrived(vec![key.clone()], Ok(vec![user(1)])),
            Arrived::default()
        );
        assert_eq!(facts.user("a"), None);
        assert_eq!(facts.question(), Some(vec![key.clone()]));
        assert_eq!(
            facts.arrived(vec![key], Ok(vec![user(2)])).ready,
            [waiter(1)]
        );
        assert_eq!(
            facts.user("a"),
            Some(Some(UserFact {
                level: 2,
                global_recv_opt: 0
            }))
        );
    }

    #[test]
    fn an_error_or_a_wrong_kind_fails_who_waits() {
        let key = FactKey::User("a".into());
        let mut facts = Facts::new(10);
        for answer in [Err("down".into()), Ok(vec![]), Ok(vec![Fact::Group(None)])] {
            facts.want(key.clone(), &waiter(1));
            assert!(facts.question().is_some());
            assert_eq!(facts.arrived(vec![key.clone()], answer).failed, [waiter(1)]);
            assert!(!facts.knows(&key));
        }
    }

    #[test]
    fn members_are_forgotten_with_every_change_that_names_them() {
        let key = FactKey::Member {
            group_id: "g".into(),
            user_id: "a".into(),
        };
        let mut facts = Facts::new(10);
        let (group_id, user_ids) = ("g".to_string(), vec!["a".to_string()]);
        for change in [
            FactChange::Members {
                group_id: group_id.clone(),
                user_ids: user_ids.clone(),
            },
            FactChange::Joined {
                group_id: group_id.clone(),
                user_ids: user_ids.clone(),
            },
            FactChange::Left { group_id, user_ids },
        ] {
            facts.want(key.clone(), &waiter(1));
            assert!(facts.question().is_some());
            facts.arrived(vec![key.clone()], Ok(vec![Fact::Member(None)]));
            assert!(facts.knows(&key));
            facts.changed(&change);
            assert!(!facts.knows(&key));
        }
    }
}
