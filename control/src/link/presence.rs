//! Who is online where, as the cores report it.

use super::registry::CoreKey;
use ringwire_link::message::UserPlatforms;
use std::collections::{BTreeSet, HashMap};
use std::sync::{PoisonError, RwLock};

#[derive(Debug, Default)]
struct CorePresence {
    /// The connection that reported last.
    connection: u64,
    users: HashMap<String, Vec<i32>>,
}

/// Platforms of online users. Bounded by the sessions that the gateways hold.
#[derive(Debug, Default)]
pub(super) struct PresenceMap {
    cores: RwLock<HashMap<CoreKey, CorePresence>>,
}

impl PresenceMap {
    /// Takes over a report. The first snapshot frame of a connection replaces what its core said on
    /// an earlier one; further snapshot frames and changes add to it.
    pub(super) fn report(
        &self,
        core: &CoreKey,
        connection: u64,
        snapshot: bool,
        users: Vec<UserPlatforms>,
    ) {
        let mut cores = self.cores.write().unwrap_or_else(PoisonError::into_inner);
        let known = cores.entry(core.clone()).or_default();
        if connection < known.connection {
            // The last words of a connection that was replaced.
            return;
        }
        if snapshot && known.connection != connection {
            known.users.clear();
            known.connection = connection;
        }
        for user in users {
            if user.platforms.is_empty() {
                known.users.remove(&user.user_id);
            } else {
                known.users.insert(user.user_id, user.platforms);
            }
        }
    }

    /// Forgets what a core said on this connection or before; nothing when a later one reported.
    pub(super) fn forget(&self, core: &CoreKey, connection: u64) {
        let mut cores = self.cores.write().unwrap_or_else(PoisonError::into_inner);
        if cores
            .get(core)
            .is_some_and(|known| known.connection <= connection)
        {
            cores.remove(core);
        }
    }

    /// Platforms on which a user is online, ascending, without repeats.
    pub(super) fn platforms(&self, user_id: &str) -> Vec<i32> {
        let cores = self.cores.read().unwrap_or_else(PoisonError::into_inner);
        let all: BTreeSet<i32> = cores
            .values()
            .filter_map(|c| c.users.get(user_id))
            .flatten()
            .copied()
            .collect();
        all.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(core: u16) -> CoreKey {
        CoreKey {
            gateway: "g".into(),
            core,
        }
    }

    fn online(user: &str, platforms: &[i32]) -> Vec<UserPlatforms> {
        vec![UserPlatforms {
            user_id: user.into(),
            platforms: platforms.to_vec(),
        }]
    }

    #[test]
    fn a_snapshot_in_parts_replaces_what_an_earlier_connection_said() {
        let map = PresenceMap::default();
        map.report(&key(0), 1, true, online("a", &[1]));
        map.report(&key(0), 2, true, online("b", &[2]));
        map.report(&key(0), 2, true, online("c", &[3]));
        assert_eq!(
            (map.platforms("a"), map.platforms("b"), map.platforms("c")),
            (vec![], vec![2], vec![3])
        );
        map.report(&key(0), 2, false, online("b", &[]));
        assert!(map.platforms("b").is_empty());
    }

    #[test]
    fn platforms_of_several_cores_are_joined_in_order() {
        let map = PresenceMap::default();
        map.report(&key(0), 1, true, online("a", &[5, 7]));
        map.report(
            &CoreKey {
                gateway: "h".into(),
                core: 0,
            },
            2,
            true,
            online("a", &[1, 5]),
        );
        assert_eq!(map.platforms("a"), [1, 5, 7]);
    }

    #[test]
    fn a_late_end_of_an_old_connection_forgets_nothing_of_the_new_one() {
        let map = PresenceMap::default();
        map.report(&key(0), 2, true, online("a", &[1]));
        map.forget(&key(0), 1);
        map.report(&key(0), 1, false, online("a", &[]));
        assert_eq!(map.platforms("a"), [1]);
        map.forget(&key(0), 2);
        assert!(map.platforms("a").is_empty());
    }
}
