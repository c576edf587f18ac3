//! Which local users are in which group, so that a group's message costs work only for the members
//! who are online here.

mod push;

pub use push::PushFrames;

use slab::Slab;
use std::collections::HashMap;
use std::sync::Arc;

/// A user's place in a group and the group's place in the user's list, so that leaving costs the same
/// in a group of ten and of a hundred thousand.
#[derive(Debug, Clone, Copy)]
struct Joined {
    group: usize,
    position: usize,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    user: usize,
    /// Index in the user's list.
    slot: usize,
}

#[derive(Debug)]
struct Group {
    id: Arc<str>,
    members: Vec<Member>,
}

/// Index of groups with members online on this core. Users go by their key in the core.
#[derive(Debug, Default)]
pub struct Groups {
    groups: Slab<Group>,
    by_id: HashMap<Arc<str>, usize>,
    users: HashMap<usize, Vec<Joined>>,
}

impl Groups {
    /// Groups with a member here.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The user is in the group from now on. Joining twice is joining once.
    pub fn join(&mut self, user: usize, group_id: &str) {
        let group = match self.by_id.get(group_id) {
            Some(key) => *key,
            None => {
                let id: Arc<str> = group_id.into();
                let key = self.groups.insert(Group {
                    id: id.clone(),
                    members: Vec::new(),
                });
                self.by_id.insert(id, key);
                key
            }
        };
        let joined = self.users.entry(user).or_default();
        if joined.iter().any(|j| j.group == group) {
            return;
        }
        let members = &mut self.groups[group].members;
        let slot = joined.len();
        joined.push(Joined {
            group,
            position: members.len(),
        });
        members.push(Member { user, slot });
    }

    /// The user is no longer in the group.
    pub fn leave(&mut self, user: usize, group_id: &str) {
        let Some(group) = self.by_id.get(group_id).copied() else {
            return;
        };
        let slot = self
            .users
            .get(&user)
            .and_then(|joined| joined.iter().position(|j| j.group == group));
        if let Some(slot) = slot {
            self.remove(user, slot);
        }
    }

    /// The user is in exactly these groups.
    pub fn replace(&mut self, user: usize, group_ids: &[String]) {
        self.drop_user(user);
        for id in group_ids {
            self.join(user, id);
        }
    }

    /// The user has no session here any more.
    pub fn drop_user(&mut self, user: usize) {
        while let Some(last) = self
            .users
            .get(&user)
            .map(Vec::len)
            .and_then(|n| n.checked_sub(1))
        {
            self.remove(user, last);
        }
        self.users.remove(&user);
    }

    /// The group has no members any more.
    pub fn gone(&mut self, group_id: &str) {
        while let Some(group) = self.by_id.get(group_id)
            && let Some(member) = self.groups[*group].members.last().copied()
        {
            self.remove(member.user, member.slot);
        }
    }

    /// Keys of the group's members here.
    pub fn members(&self, group_id: &str) -> impl Iterator<Item = usize> {
        let group = self
            .by_id
            .get(group_id)
            .and_then(|key| self.groups.get(*key));
        group.map_or(&[][..], |g| &g.members).iter().map(|m| m.user)
    }

    fn remove(&mut self, user: usize, slot: usize) {
        let Some(joined) = self.users.get_mut(&user) else {
            return;
        };
        let Joined { group, position } = joined.swap_remove(slot);
        // The entry that took its place in the user's list stands elsewhere now.
        let moved = joined.get(slot).copied();
        if joined.is_empty() {
            self.users.remove(&user);
        }
        if let Some(moved) = moved {
            self.groups[moved.group].members[moved.position].slot = slot;
        }
        let members = &mut self.groups[group].members;
        members.swap_remove(position);
        if let Some(moved) = members.get(position).copied()
            && let Some(joined) = self.users.get_mut(&moved.user)
        {
            joined[moved.slot].position = position;
        }
        if self.groups[group].members.is_empty() {
            let empty = self.groups.remove(group);
            self.by_id.remove(&empty.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[derive(Debug, Clone)]
    enum Step {
        Join(usize, u8),
        Leave(usize, u8),
        Replace(usize, Vec<u8>),
        Drop(usize),
        Gone(u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let (user, group) = (0usize..6, 0u8..5);
        proptest::collection::vec(
            prop_oneof![
                4 => (user.clone(), group.clone()).prop_map(|(u, g)| Step::Join(u, g)),
                2 => (user.clone(), group.clone()).prop_map(|(u, g)| Step::Leave(u, g)),
                1 => (user.clone(), proptest::collection::vec(0u8..5, 0..5)).prop_map(|(u, g)| Step::Replace(u, g)),
                1 => user.prop_map(Step::Drop),
                1 => group.prop_map(Step::Gone),
            ],
            0..80,
        )
    }

    proptest! {
        #[test]
        fn the_index_is_a_set_of_pairs(steps in steps()) {
            let name = |g: u8| format!("g{g}");
            let mut index = Groups::default();
            let mut model: BTreeMap<u8, BTreeSet<usize>> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Join(u, g) => {
                        index.join(u, &name(g));
                        model.entry(g).or_default().insert(u);
                    }
                    Step::Leave(u, g) => {
                        index.leave(u, &name(g));
                        model.entry(g).or_default().remove(&u);
                    }
                    Step::Replace(u, groups) => {
                        index.replace(u, &groups.iter().map(|g| name(*g)).collect::<Vec<_>>());
                        for g in 0..5 {
                            let members = model.entry(g).or_default();
                            if groups.contains(&g) { members.insert(u); } else { members.remove(&u); }
                        }
                    }
                    Step::Drop(u) => {
                        index.drop_user(u);
                        model.values_mut().for_each(|m| { m.remove(&u); });
                    }
                    Step::Gone(g) => {
                        index.gone(&name(g));
                        model.remove(&g);
                    }
                }
                for g in 0..5 {
                    let got: Vec<usize> = index.members(&name(g)).collect();
                    let set: BTreeSet<usize> = got.iter().copied().collect();
                    prop_assert_eq!(got.len(), set.len());
                    prop_assert_eq!(&set, model.entry(g).or_default());
                }
                prop_assert_eq!(index.len(), model.values().filter(|m| !m.is_empty()).count());
            }
        }
    }
}
