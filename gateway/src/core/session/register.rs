//! Users with sessions here: the index of sessions, the groups they are in, and what is told of their
//! presence.

use super::conn::{ConnKey, Phase, Session};
use super::home::{GroupsFact, GroupsQuestion, Home, User};
use crate::core::event::{ConnId, CoreId, Now};
use crate::core::out::Out;
use crate::core::presence::Platforms;
use crate::core::ring::RingItem;
use ringwire_link::ToControl;
use ringwire_link::facts::{Fact, FactChange, FactKey};
use ringwire_link::message::UserPlatforms;
use ringwire_protocol::slot::core_of;
use std::collections::BTreeMap;

/// Keys one question to control may hold.
const QUESTION_KEYS: usize = 1_000;

/// Users one presence frame or ring item may hold.
const PRESENCE_USERS: usize = 5_000;

/// Pause after control failed to read facts, milliseconds.
const RETRY_MS: u64 = 1_000;

impl Home {
    /// The session exists from now on: it gets its user's pushes.
    pub(super) fn register(&mut self, key: ConnKey, mut session: Session) {
        let user_key = match self.by_name.get(&session.user) {
            Some(user_key) => *user_key,
            None => {
                let user_key = self.users.insert(User {
                    id: session.user.clone(),
                    sessions: Vec::new(),
                    reported: Platforms::default(),
                    groups: GroupsFact::Wanted,
                    dirty: false,
                });
                self.by_name.insert(session.user.clone(), user_key);
                // Without control the next Welcome gathers everybody who is still here then.
                if self.link {
                    self.wanted.push(session.user.clone());
                }
                user_key
            }
        };
        session.user = self.users[user_key].id.clone();
        session.user_key = user_key;
        self.users[user_key].sessions.push(key);
        self.stats.sessions += 1;
        self.mark_user(user_key);
        if let Some(conn) = self.conns.get_mut(key) {
            conn.phase = Phase::Open(Box::new(session));
        }
    }

    /// The session is over: nothing refers to it any more.
    pub(super) fn unregister(
        &mut self,
        key: ConnKey,
        conn: ConnId,
        session: &Session,
        out: &mut Out,
    ) {
        self.stats.sessions -= 1;
        if let Some(user) = self.users.get_mut(session.user_key) {
            user.sessions.retain(|k| *k != key);
            self.mark_user(session.user_key);
        }
        if let Some(current) = &session.current {
            self.forget_request(current);
        }
        let mut unwatched: BTreeMap<CoreId, Vec<String>> = BTreeMap::new();
        for user in &session.watching {
            if self.presence.unwatch(user, conn) {
                unwatched
                    .entry(core_of(user, self.config.cores))
                    .or_default()
                    .push(user.to_string());
            }
        }
        for (core, users) in unwatched {
            out.ring(core, RingItem::Unwatch { users });
        }
    }

    fn mark_user(&mut self, user_key: usize) {
        let user = &mut self.users[user_key];
        if !user.dirty {
            user.dirty = true;
            self.dirty_users.push(user_key);
        }
    }

    pub(super) fn platforms(&self, user_key: usize) -> Platforms {
        let mut platforms = Platforms::default();
        for key in &self.users[user_key].sessions {
            if let Some(session) = self.conns.get(*key).and_then(|c| c.session()) {
                platforms.add(session.platform.id());
            }
        }
        platforms
    }

    /// Ends the turn for users: tells real changes of presence, forgets users without sessions, asks
    /// for groups. May leave ring items for this core.
    pub(crate) fn end_of_turn(&mut self, out: &mut Out) {
        let mut changes = Vec::new();
        let mut told: BTreeMap<CoreId, Vec<(String, Vec<i32>)>> = BTreeMap::new();
        for user_key in std::mem::take(&mut self.dirty_users) {
            let platforms = self.platforms(user_key);
            let user = &mut self.users[user_key];
            user.dirty = false;
            let id = user.id.clone();
            let changed = user.reported != platforms;
            user.reported = platforms;
            if user.sessions.is_empty() {
                self.users.remove(user_key);
                self.by_name.remove(&id);
                self.groups.drop_user(user_key);
            }
            if changed {
                for core in self.presence.watchers(&id) {
                    told.entry(*core)
                        .or_default()
                        .push((id.to_string(), platforms.ids()));
                }
                changes.push(UserPlatforms {
                    user_id: id.to_string(),
                    platforms: platforms.ids(),
                });
            }
        }
        if self.link {
            send_presence(changes, false, out);
        }
        for (core, users) in told {
            out.ring(core, RingItem::Online { request: 0, users });
        }
        self.ask_groups(out);
    }

    /// After every Welcome: everybody who is online here, so that control forgets what it knew.
    pub(super) fn send_presence_snapshot(&mut self, out: &mut Out) {
        let mut online = Vec::new();
        for user_key in self.users.iter().map(|(key, _)| key).collect::<Vec<_>>() {
            let platforms = self.platforms(user_key);
            if !platforms.is_empty() {
                online.push(UserPlatforms {
                    user_id: self.users[user_key].id.to_string(),
                    platforms: platforms.ids(),
                });
            }
        }
        if online.is_empty() {
            out.link(
                0,
                ToControl::Presence {
                    snapshot: true,
                    users: Vec::new(),
                },
            );
        }
        send_presence(online, true, out);
    }

    // ---- groups of users -------------------------------------------------------------------------

    fn ask_groups(&mut self, out: &mut Out) {
        if !self.link {
            return;
        }
        let mut wanted = std::mem::take(&mut self.wanted);
        wanted.retain(|user| {
            self.by_name
                .get(user)
                .is_some_and(|key| self.users[*key].groups == GroupsFact::Wanted)
        });
        wanted.sort_unstable();
        wanted.dedup();
        for users in wanted.chunks(QUESTION_KEYS) {
            let correlation = self.correlations.fresh();
            let mut keys = Vec::with_capacity(users.len());
            for user in users {
                if let Some(user_key) = self.by_name.get(user) {
                    self.users[*user_key].groups = GroupsFact::Asked {
                        correlation,
                        again: false,
                    };
                }
                keys.push(FactKey::UserGroups(user.to_string()));
            }
            self.questions.insert(
                correlation,
                GroupsQuestion {
                    users: users.to_vec(),
                    again: false,
                },
            );
            out.link(correlation, ToControl::FetchFacts { keys });
        }
    }

    /// Control's answer to a question for groups.
    pub(super) fn groups_answer(
        &mut self,
        now: Now,
        correlation: u64,
        facts: Result<Vec<Fact>, String>,
        out: &mut Out,
    ) {
        let Some(question) = self.questions.remove(&correlation) else {
            return;
        };
        let facts = match facts {
            Ok(facts) => facts,
            Err(reason) => {
                tracing::warn!(
                    reason,
                    "control could not read the groups of users; asking again"
                );
                Vec::new()
            }
        };
        let mut facts = facts.into_iter();
        for user in question.users {
            let fact = facts.next();
            let Some(user_key) = self.by_name.get(&user).copied() else {
                continue;
            };
            let GroupsFact::Asked {
                correlation: asked,
                again,
            } = self.users[user_key].groups
            else {
                continue;
            };
            if asked != correlation {
                continue;
            }
            if again || question.again {
                self.users[user_key].groups = GroupsFact::Wanted;
                self.wanted.push(user);
            } else if let Some(Fact::UserGroups(groups)) = fact {
                self.groups.replace(user_key, &groups);
                self.users[user_key].groups = GroupsFact::Known;
                for key in self.users[user_key].sessions.clone() {
                    self.groups_known(key, now, out);
                }
            } else {
                self.users[user_key].groups = GroupsFact::Wanted;
                self.wanted_later.push(user);
                self.retry_at.get_or_insert(now.mono_ms + RETRY_MS);
            }
        }
    }

    /// Time to ask again for what control could not read.
    pub(super) fn retry_groups(&mut self, now: Now) {
        if self.retry_at.is_some_and(|at| at <= now.mono_ms) {
            self.retry_at = None;
            self.wanted.append(&mut self.wanted_later);
        }
    }

    /// Everything asked for is lost; with `all`, everything known is to be asked for again. What the
    /// index holds stays in force until it is replaced.
    pub(super) fn forget_groups(&mut self, all: bool) {
        self.questions.clear();
        self.wanted.clear();
        self.wanted_later.clear();
        self.retry_at = None;
        for (_, user) in &mut self.users {
            if all || user.groups != GroupsFact::Known {
                user.groups = GroupsFact::Wanted;
                self.wanted.push(user.id.clone());
            }
        }
    }

    /// Changes of who is in which group.
    pub(super) fn group_change(&mut self, change: &FactChange) {
        match change {
            FactChange::Joined { group_id, user_ids } => {
                for user in user_ids {
                    if let Some(user_key) = self.membership_changes(user) {
                        self.groups.join(user_key, group_id);
                    }
                }
            }
            FactChange::Left { group_id, user_ids } => {
                for user in user_ids {
                    if let Some(user_key) = self.membership_changes(user) {
                        self.groups.leave(user_key, group_id);
                    }
                }
            }
            FactChange::GroupGone(group_id) => {
                self.groups.gone(group_id);
                self.questions
                    .values_mut()
                    .for_each(|question| question.again = true);
            }
            _ => {}
        }
    }

    fn membership_changes(&mut self, user: &str) -> Option<usize> {
        let user_key = self.by_name.get(user).copied()?;
        if let GroupsFact::Asked { again, .. } = &mut self.users[user_key].groups {
            *again = true;
        }
        Some(user_key)
    }
}

fn send_presence(mut users: Vec<UserPlatforms>, snapshot: bool, out: &mut Out) {
    while !users.is_empty() {
        let rest = users.split_off(users.len().min(PRESENCE_USERS));
        out.link(0, ToControl::Presence { snapshot, users });
        users = rest;
    }
}
