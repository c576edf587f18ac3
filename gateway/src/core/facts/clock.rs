//! A bounded map that forgets what was not used lately (second chance).

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Entries looked at for each one inserted beyond the limit, so that one insertion stays cheap.
const STEPS: usize = 16;

#[derive(Debug)]
struct Slot<V> {
    value: V,
    used: bool,
}

/// A map of at most `limit` entries, more only while what it holds may not be forgotten.
#[derive(Debug)]
pub struct Clock<K, V> {
    limit: usize,
    slots: HashMap<K, Slot<V>>,
    /// Keys in the order they are considered; each key of `slots` once, removed ones may linger.
    hand: VecDeque<K>,
}

impl<K: Eq + Hash + Clone, V> Clock<K, V> {
    /// An empty map.
    pub fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            slots: HashMap::new(),
            hand: VecDeque::new(),
        }
    }

    /// Entries held.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The value, marked as used.
    pub fn get<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let slot = self.slots.get_mut(key)?;
        slot.used = true;
        Some(&mut slot.value)
    }

    /// The value; not a use.
    pub fn peek<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.slots.get_mut(key).map(|slot| &mut slot.value)
    }

    /// Whether it is held; not a use.
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.slots.contains_key(key)
    }

    /// Inserts; forgets others beyond the limit for which `may_go` is true.
    pub fn insert(&mut self, key: K, value: V, may_go: impl Fn(&V) -> bool) {
        if let Some(slot) = self.slots.get_mut(&key) {
            *slot = Slot { value, used: true };
            return;
        }
        // Each is looked at once at most: what was used since the last insertion survives this one.
        let mut steps = STEPS.min(self.hand.len());
        while (self.slots.len() >= self.limit || self.hand.len() >= self.limit.saturating_mul(2))
            && steps > 0
        {
            steps -= 1;
            let Some(candidate) = self.hand.pop_front() else {
                break;
            };
            match self.slots.get_mut(&candidate) {
                None => {}
                Some(slot) if slot.used || !may_go(&slot.value) => {
                    slot.used = false;
                    self.hand.push_back(candidate);
                }
                Some(_) => {
                    self.slots.remove(&candidate);
                }
            }
        }
        self.hand.push_back(key.clone());
        self.slots.insert(key, Slot { value, used: false });
    }

    /// Forgets one.
    pub fn remove<Q>(&mut self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.slots.remove(key);
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.slots.clear();
        self.hand.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_outlives_what_is_not() {
        let mut clock = Clock::new(4);
        for key in 0..4 {
            clock.insert(key, key, |_| true);
        }
        clock.get(&0);
        for key in 4..7 {
            clock.insert(key, key, |_| true);
        }
        assert!(clock.len() <= 4);
        assert!(clock.contains(&0));
        assert!(!clock.contains(&1));
    }

    #[test]
    fn what_may_not_go_stays() {
        let mut clock = Clock::new(2);
        for key in 0..5 {
            clock.insert(key, key, |v| *v != 0);
        }
        assert!(clock.contains(&0));
        assert!(clock.len() <= 3);
    }

    #[test]
    fn removing_and_inserting_again_does_not_grow_the_hand() {
        let mut clock = Clock::new(8);
        for _ in 0..1000 {
            clock.insert(1, 1, |_| true);
            clock.remove(&1);
        }
        assert!(clock.hand.len() <= 16);
    }
}
