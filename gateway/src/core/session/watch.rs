//! Watching who is online (2005; spec: gateway.md 5.3).

use super::conn::{ConnKey, ReplyHead, Waiting};
use super::home::Home;
use crate::core::event::{CoreId, Now};
use crate::core::fanout::PushFrames;
use crate::core::out::Out;
use crate::core::ring::RingItem;
use bytes::Bytes;
use prost::Message;
use ringwire_protocol::envelope::Response;
use ringwire_protocol::error::ApiError;
use ringwire_protocol::pb::sdkws::{
    SubUserOnlineStatus, SubUserOnlineStatusElem, SubUserOnlineStatusTips,
};
use ringwire_protocol::req;
use ringwire_protocol::slot::core_of;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Longest user id that is watched, bytes; longer ones do not exist and are answered as offline.
const MAX_USER_ID: usize = 256;

fn tips(users: impl IntoIterator<Item = (String, Vec<i32>)>) -> Bytes {
    let elem = |(user_id, online_platform_i_ds)| SubUserOnlineStatusElem {
        user_id,
        online_platform_i_ds,
    };
    let tips = SubUserOnlineStatusTips {
        subscribers: users.into_iter().map(elem).collect(),
    };
    Bytes::from(tips.encode_to_vec())
}

impl Home {
    pub(super) fn subscribe_online(
        &mut self,
        key: ConnKey,
        now: Now,
        head: ReplyHead,
        data: &[u8],
        out: &mut Out,
    ) {
        let Ok(asked) = SubUserOnlineStatus::decode(data) else {
            self.reply(
                key,
                head,
                Err(ApiError::internal("data does not decode")),
                out,
            );
            return;
        };
        let (cores, most) = (self.config.cores, self.config.limits.max_watched as usize);
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        let id = conn.id;
        let Some(session) = conn.session_mut() else {
            return;
        };
        let mut unwatched: BTreeMap<CoreId, Vec<String>> = BTreeMap::new();
        for user in &asked.unsubscribe_user_id {
            if session.watching.remove(user.as_str()) && self.presence.unwatch(user, id) {
                unwatched
                    .entry(core_of(user, cores))
                    .or_default()
                    .push(user.clone());
            }
        }
        let mut watched: BTreeMap<CoreId, BTreeSet<&str>> = BTreeMap::new();
        for user in &asked.subscribe_user_id {
            if user.len() > MAX_USER_ID {
                continue;
            }
            watched
                .entry(core_of(user, cores))
                .or_default()
                .insert(user);
            if session.watching.len() < most && !session.watching.contains(user.as_str()) {
                let user: Arc<str> = user.as_str().into();
                self.presence.watch(&user, id);
                session.watching.insert(user);
            }
        }
        let number = session.requests;
        for (core, users) in unwatched {
            out.ring(core, RingItem::Unwatch { users });
        }
        if watched.is_empty() {
            let offline = asked
                .subscribe_user_id
                .into_iter()
                .map(|user| (user, Vec::new()));
            self.reply(key, head, Ok(tips(offline)), out);
            return;
        }
        let request = self.correlations.fresh();
        self.watch_requests.insert(request, (id, number));
        let count = watched.len();
        for (core, users) in watched {
            // Beyond the limit the state is told once: watched and let go in one breath.
            let beyond: Vec<String> = users
                .iter()
                .filter(|user| !self.presence.is_watched(user))
                .map(|user| (*user).to_owned())
                .collect();
            let users = users.into_iter().map(str::to_owned).collect();
            out.ring(core, RingItem::Watch { users, request });
            if !beyond.is_empty() {
                out.ring(core, RingItem::Unwatch { users: beyond });
            }
        }
        let what = Waiting::Online {
            cores: count,
            users: asked.subscribe_user_id,
            states: HashMap::new(),
        };
        self.await_outcome(key, now, head, what);
    }

    /// A core watches users of this one.
    pub(super) fn watch(&mut self, from: CoreId, users: Vec<String>, request: u64, out: &mut Out) {
        let mut states = Vec::with_capacity(users.len());
        for user in users {
            self.presence.add_watcher(&user, from);
            let platforms = self
                .by_name
                .get(user.as_str())
                .map(|key| self.platforms(*key).ids());
            states.push((user, platforms.unwrap_or_default()));
        }
        if request != 0 {
            out.ring(
                from,
                RingItem::Online {
                    request,
                    users: states,
                },
            );
        }
    }

    /// The state of watched users: an answer, or a change.
    pub(super) fn online(
        &mut self,
        now: Now,
        request: u64,
        users: Vec<(String, Vec<i32>)>,
        out: &mut Out,
    ) {
        if request == 0 {
            for (user, platforms) in users {
                self.online_changed(user, platforms, out);
            }
            return;
        }
        let Some((conn, number)) = self.watch_requests.get(&request).copied() else {
            return;
        };
        let mut done = None;
        if let Some(key) = self.open(conn)
            && let Some(current) = self.session(key).and_then(|s| s.current.as_mut())
            && current.number == number
            && let Waiting::Online {
                cores,
                users: asked,
                states,
            } = &mut current.what
        {
            states.extend(users);
            *cores -= 1;
            if *cores > 0 {
                return;
            }
            let in_order = std::mem::take(asked).into_iter().map(|user| {
                let platforms = states.get(&user).cloned().unwrap_or_default();
                (user, platforms)
            });
            done = Some((key, tips(in_order)));
        }
        self.watch_requests.remove(&request);
        if let Some((key, data)) = done {
            self.finish(key, now, Ok(data), out);
        }
    }

    fn online_changed(&mut self, user: String, platforms: Vec<i32>, out: &mut Out) {
        let watching = self.presence.watching(&user).to_vec();
        let mut frames = PushFrames::new(Response {
            req_identifier: req::SUBSCRIBE_ONLINE,
            data: tips([(user.clone(), platforms.clone())]),
            ..Response::default()
        });
        for conn in watching {
            let Some(key) = self.open(conn) else { continue };
            let Some(session) = self.session(key) else {
                continue;
            };
            // An answer still being put together must not be older than what was pushed before it.
            if let Some(current) = &mut session.current
                && let Waiting::Online { states, .. } = &mut current.what
                && let Some(state) = states.get_mut(&user)
            {
                state.clone_from(&platforms);
            }
            self.push_to(key, &mut frames, out);
        }
    }
}
