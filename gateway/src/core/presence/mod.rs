//! Who watches whose online state (spec: gateway.md 5.3, 10).
//!
//! A user's home core knows on which platforms he is online and which cores watch him. A watching core
//! knows which of its sessions asked. Both tables live here; what is online comes from the sessions.

use crate::core::event::{ConnId, CoreId};
use std::collections::HashMap;
use std::sync::Arc;

/// Platforms as a set of bits; bit n is platform n.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Platforms(u16);

impl Platforms {
    /// Adds a platform, 1..=11.
    pub fn add(&mut self, platform: i32) {
        self.0 |= 1 << (platform & 15);
    }

    /// Platform ids, ascending.
    pub fn ids(self) -> Vec<i32> {
        (0..16).filter(|n| self.0 & 1 << n != 0).collect()
    }

    /// Offline.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The two tables.
#[derive(Debug, Default)]
pub struct Presence {
    /// Home side: cores that watch a user whose home is here.
    watchers: HashMap<Box<str>, Vec<CoreId>>,
    /// Watching side: sessions here that are told of a user.
    watched: HashMap<Arc<str>, Vec<ConnId>>,
}

impl Presence {
    /// Users watched by sessions here.
    pub fn watched_len(&self) -> usize {
        self.watched.len()
    }

    /// A core wants to know about a user of this core.
    pub fn add_watcher(&mut self, user: &str, core: CoreId) {
        let cores = self.watchers.entry(user.into()).or_default();
        if !cores.contains(&core) {
            cores.push(core);
        }
    }

    /// It no longer does.
    pub fn remove_watcher(&mut self, user: &str, core: CoreId) {
        let Some(cores) = self.watchers.get_mut(user) else {
            return;
        };
        cores.retain(|c| *c != core);
        if cores.is_empty() {
            self.watchers.remove(user);
        }
    }

    /// Cores to tell of a change.
    pub fn watchers(&self, user: &str) -> &[CoreId] {
        self.watchers.get(user).map_or(&[], Vec::as_slice)
    }

    /// A session here watches the user. The caller knows that it did not before.
    pub fn watch(&mut self, user: &Arc<str>, conn: ConnId) {
        self.watched.entry(user.clone()).or_default().push(conn);
    }

    /// It stops. `true`: no session here watches the user any more; tell his home core.
    pub fn unwatch(&mut self, user: &str, conn: ConnId) -> bool {
        let Some(conns) = self.watched.get_mut(user) else {
            return false;
        };
        conns.retain(|c| *c != conn);
        let last = conns.is_empty();
        if last {
            self.watched.remove(user);
        }
        last
    }

    /// Whether any session here watches the user.
    pub fn is_watched(&self, user: &str) -> bool {
        self.watched.contains_key(user)
    }

    /// Sessions here to tell of a change of the user.
    pub fn watching(&self, user: &str) -> &[ConnId] {
        self.watched.get(user).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_a_set_in_order() {
        let mut set = Platforms::default();
        assert!(set.is_empty());
        for platform in [11, 5, 1, 5] {
            set.add(platform);
        }
        assert_eq!(set.ids(), [1, 5, 11]);
    }

    #[test]
    fn the_home_core_is_told_only_of_the_last_session() {
        let mut presence = Presence::default();
        let user: Arc<str> = "u".into();
        presence.watch(&user, ConnId(1));
        presence.watch(&user, ConnId(2));
        assert!(!presence.unwatch("u", ConnId(1)));
        assert_eq!(presence.watching("u"), [ConnId(2)]);
        assert!(presence.unwatch("u", ConnId(2)));
        assert!(!presence.unwatch("u", ConnId(2)), "already told");
        presence.add_watcher("u", 3);
        presence.add_watcher("u", 3);
        assert_eq!(presence.watchers("u"), [3]);
        presence.remove_watcher("u", 3);
        assert!(presence.watchers("u").is_empty());
    }
}
