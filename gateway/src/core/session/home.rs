//! The home side of a core: what it holds and how events enter it.

use super::bad_tokens::BadTokens;
use super::codec::Codec;
use super::conn::{Conn, ConnIdHash, ConnKey, Head, Phase, Session};
use super::timers::Timers;
use super::tokens::TokenCache;
use crate::core::board::Board;
use crate::core::connections::{Connections, Place};
use crate::core::event::{Action, ConnId, CoreId, Now};
use crate::core::fanout::Groups;
use crate::core::out::{Correlations, Out};
use crate::core::presence::{Platforms, Presence};
use crate::core::stats::Stats;
use crate::core::ws::{self, CloseCode};
use bytes::Bytes;
use ringwire_link::record::TokenKickRecord;
use ringwire_protocol::error::{ApiError, ErrorCode};
use ringwire_protocol::platform::LoginPolicy;
use ringwire_protocol::slot::core_of;
use slab::Slab;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

/// What a core is told at the start.
#[derive(Debug, Clone)]
pub struct CoreConfig {
    /// This core.
    pub core: CoreId,
    /// Cores of the gateway.
    pub cores: u16,
    /// Random per process start.
    pub boot: u64,
    /// Key of the tokens; never logged.
    pub secret: Secret,
    /// Configured admins.
    pub admins: Arc<HashSet<String>>,
    /// Who is kicked at a login. Unknown policies kick nobody.
    pub policy: LoginPolicy,
    /// Limits and times.
    pub limits: ringwire_config::Gateway,
}

/// A key that does not show itself in logs.
#[derive(Clone)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// Takes the key's bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl CoreConfig {
    /// The configuration of one core of a gateway.
    pub fn new(
        config: &ringwire_config::Config,
        core: CoreId,
        cores: u16,
        boot: u64,
        secret: Secret,
    ) -> Self {
        Self {
            core,
            cores,
            boot,
            secret,
            admins: Arc::new(config.shared.admin_user_ids.iter().cloned().collect()),
            policy: LoginPolicy::from_id(config.shared.login_policy.into())
                .unwrap_or(LoginPolicy::Unlimited),
            limits: config.gateway.clone(),
        }
    }
}

/// A user with sessions on this core (its home core).
#[derive(Debug)]
pub(super) struct User {
    pub(super) id: Arc<str>,
    pub(super) sessions: Vec<ConnKey>,
    /// What control and watchers know of his platforms.
    pub(super) reported: Platforms,
    pub(super) groups: GroupsFact,
    /// It is in the list of users whose sessions changed this turn.
    pub(super) dirty: bool,
}

/// How well the group index knows a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GroupsFact {
    /// To be asked for.
    Wanted,
    /// Asked for under this correlation id; `again`: a change came since, ask once more.
    Asked { correlation: u64, again: bool },
    /// In the index, and kept fresh by changes.
    Known,
}

/// A question for users' groups.
#[derive(Debug)]
pub(super) struct GroupsQuestion {
    pub(super) users: Vec<Arc<str>>,
    /// Some group vanished since: every answer in it may name it.
    pub(super) again: bool,
}

/// The home side.
#[derive(Debug)]
pub(crate) struct Home {
    pub(super) config: CoreConfig,
    pub(super) board: Arc<Board>,
    pub(super) connections: Arc<Connections>,
    pub(super) conns: Slab<Conn>,
    pub(super) by_id: HashMap<ConnId, ConnKey, ConnIdHash>,
    pub(super) users: Slab<User>,
    pub(super) by_name: HashMap<Arc<str>, usize>,
    pub(super) groups: Groups,
    pub(super) tokens: TokenCache,
    pub(super) bad_tokens: BadTokens,
    pub(super) presence: Presence,
    pub(super) timers: Timers,
    pub(super) codec: Codec,
    pub(super) correlations: Correlations,
    /// Control has welcomed this core.
    pub(super) link: bool,
    /// Requests at control: correlation id to connection and request number.
    pub(super) calls: HashMap<u64, (ConnId, u64)>,
    /// Watch requests (2005) out at other cores.
    pub(super) watch_requests: HashMap<u64, (ConnId, u64)>,
    pub(super) questions: HashMap<u64, GroupsQuestion>,
    /// Users whose groups are to be asked for at the end of the turn.
    pub(super) wanted: Vec<Arc<str>>,
    /// The same, after control failed to read them; and when.
    pub(super) wanted_later: Vec<Arc<str>>,
    pub(super) retry_at: Option<u64>,
    /// Connections waiting for the token snapshot.
    pub(super) awaiting_tokens: Vec<ConnId>,
    pub(super) dirty: Vec<ConnKey>,
    pub(super) dirty_users: Vec<usize>,
    /// A list used again from one group push to the next.
    pub(super) receivers: Vec<usize>,
    pub(super) stopping: bool,
    pub(super) stats: Stats,
}

/// How a session ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    /// With a close frame of ours.
    Close(CloseCode, &'static str),
    /// With the kick frame, which logs the client out.
    Kick,
    /// The client closed: repeat its code.
    Echo(Option<CloseCode>),
    /// The client does not read: nothing more is sent.
    Abort,
}

impl Home {
    pub(crate) fn new(
        config: CoreConfig,
        board: Arc<Board>,
        connections: Arc<Connections>,
        kicks: &[TokenKickRecord],
    ) -> Self {
        let mut tokens = TokenCache::new(config.limits.max_tokens as usize);
        let mine = |user: &str| core_of(user, config.cores) == config.core;
        for record in kicks.iter().filter(|record| mine(&record.user_id)) {
            tokens.kick(record);
        }
        let limits = &config.limits;
        let bad_tokens = BadTokens::new(config.boot, limits.bad_token_rate, limits.bad_token_burst);
        Self {
            bad_tokens,
            codec: Codec::new(config.limits.max_inflated_bytes as usize),
            config,
            board,
            connections,
            conns: Slab::new(),
            by_id: HashMap::default(),
            users: Slab::new(),
            by_name: HashMap::new(),
            groups: Groups::default(),
            tokens,
            presence: Presence::default(),
            timers: Timers::default(),
            correlations: Correlations::home(),
            link: false,
            calls: HashMap::new(),
            watch_requests: HashMap::new(),
            questions: HashMap::new(),
            wanted: Vec::new(),
            wanted_later: Vec::new(),
            retry_at: None,
            awaiting_tokens: Vec::new(),
            dirty: Vec::new(),
            dirty_users: Vec::new(),
            receivers: Vec::new(),
            stopping: false,
            stats: Stats::default(),
        }
    }

    /// Every token can be told from one that does not exist.
    pub(crate) fn ready(&self) -> bool {
        self.tokens.is_complete()
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            connections: self.conns.len() as u64,
            users: self.users.len() as u64,
            tokens: self.tokens.len() as u64,
            groups: self.groups.len() as u64,
            watched: self.presence.watched_len() as u64,
            ..self.stats
        }
    }

    pub(crate) fn accepted(&mut self, now: Now, conn: ConnId, peer: SocketAddr) {
        let place = self.connections.enter();
        let key = self.insert(now, conn, peer, place != Place::Free);
        if self.stopping {
            self.drop_conn(key);
        } else if place == Place::Flooded {
            self.stats.refused_over_limit += 1;
            self.refuse_plain(key, &over_limit());
        }
    }

    pub(crate) fn handed_over(
        &mut self,
        now: Now,
        conn: ConnId,
        peer: SocketAddr,
        received: &[u8],
        out: &mut Out,
    ) {
        let key = self.insert(now, conn, peer, false);
        if self.stopping {
            self.drop_conn(key);
        } else {
            self.head_bytes(key, now, received, out);
        }
    }

    fn insert(&mut self, now: Now, id: ConnId, peer: SocketAddr, over_limit: bool) -> ConnKey {
        self.stats.accepted += 1;
        let deadline = now.mono_ms + self.config.limits.handshake_timeout_ms;
        let head = Head {
            received: Vec::new(),
            deadline,
            over_limit,
        };
        let key = self
            .conns
            .insert(Conn::new(id, peer, Phase::Head(Box::new(head))));
        self.by_id.insert(id, key);
        self.arm(key, now);
        key
    }

    pub(crate) fn received(&mut self, now: Now, conn: ConnId, bytes: &[u8], out: &mut Out) {
        self.stats.bytes_in += bytes.len() as u64;
        let Some(key) = self.by_id.get(&conn).copied() else {
            return;
        };
        match self.conns.get_mut(key).map(|c| &mut c.phase) {
            Some(Phase::Head(_)) => self.head_bytes(key, now, bytes, out),
            Some(Phase::Token(waiting)) => {
                waiting.rest.extend_from_slice(bytes);
                let limit = self.config.limits.max_message_bytes as usize;
                if waiting.rest.len() > limit {
                    self.drop_conn(key);
                }
            }
            Some(Phase::Open(_)) => self.frames(key, now, bytes, out),
            Some(Phase::Over) | None => {}
        }
    }

    pub(crate) fn written(&mut self, conn: ConnId) {
        if let Some(key) = self.by_id.get(&conn).copied() {
            self.conns[key].queue.written();
            self.mark(key);
        }
    }

    pub(crate) fn closed(&mut self, conn: ConnId, out: &mut Out) {
        let Some(key) = self.by_id.remove(&conn) else {
            return;
        };
        let Conn { phase, .. } = self.conns.remove(key);
        self.connections.leave();
        if let Phase::Open(session) = phase {
            self.unregister(key, conn, &session, out);
        }
    }

    /// A connection that was counted on its way between cores never arrived.
    pub(crate) fn lost_at_hand_over(&self) {
        self.connections.leave();
    }

    /// The process is stopping: everybody is told to come back elsewhere.
    pub(crate) fn shutdown(&mut self, out: &mut Out) {
        self.stopping = true;
        for key in self.conns.iter().map(|(key, _)| key).collect::<Vec<_>>() {
            match self.conns[key].phase {
                Phase::Open(_) => {
                    self.end(key, End::Close(CloseCode::Away, "server is stopping"), out)
                }
                _ => self.drop_conn(key),
            }
        }
    }

    pub(super) fn session(&mut self, key: ConnKey) -> Option<&mut Session> {
        self.conns.get_mut(key).and_then(Conn::session_mut)
    }

    /// The open session of a connection, if it still is one.
    pub(super) fn open(&self, conn: ConnId) -> Option<ConnKey> {
        let key = *self.by_id.get(&conn)?;
        self.conns.get(key)?.session().map(|_| key)
    }

    /// The connection has something for the end of the turn.
    pub(super) fn mark(&mut self, key: ConnKey) {
        if let Some(conn) = self.conns.get_mut(key)
            && !conn.dirty
        {
            conn.dirty = true;
            self.dirty.push(key);
        }
    }

    /// Queues a frame for a session. A session with too much in its queue is closed: history heals
    /// what it misses.
    pub(super) fn enqueue(&mut self, key: ConnKey, frame: Bytes, out: &mut Out) {
        let limit = self.config.limits.session_queue_bytes as usize;
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if conn.closing {
            return;
        }
        if conn.queue.push(frame, limit) {
            self.mark(key);
        } else {
            self.stats.slow_consumers += 1;
            self.end(key, End::Abort, out);
        }
    }

    /// Ends a session. What is queued still goes out, then the connection closes.
    pub(super) fn end(&mut self, key: ConnKey, end: End, out: &mut Out) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        let Phase::Open(session) = std::mem::replace(&mut conn.phase, Phase::Over) else {
            self.drop_conn(key);
            return;
        };
        let id = conn.id;
        match end {
            End::Close(code, reason) => {
                let peer = conn.remote();
                tracing::debug!(user = %session.user, %peer, code = u16::from(code), reason, "session closed");
                self.farewell(key, ws::close(Some(code), reason));
            }
            End::Kick => {
                self.stats.kicks += 1;
                let kick = ringwire_protocol::envelope::Response {
                    req_identifier: ringwire_protocol::req::KICK,
                    ..Default::default()
                };
                if let Some(frame) = self.codec.frame(session.encoding, session.gzip, &kick) {
                    self.farewell(key, frame);
                }
                self.farewell(
                    key,
                    ws::close(Some(CloseCode::Policy), "logged in elsewhere"),
                );
            }
            End::Echo(code) => self.farewell(key, ws::close(code, "")),
            End::Abort => self.conns[key].queue.discard(),
        }
        self.conns[key].closing = true;
        self.mark(key);
        self.unregister(key, id, &session, out);
    }

    /// A frame that goes out whatever waits already: it is the last.
    fn farewell(&mut self, key: ConnKey, frame: Bytes) {
        self.conns[key].queue.push(frame, usize::MAX);
    }

    /// Answers plain HTTP and closes.
    pub(super) fn last_words(&mut self, key: ConnKey, frames: impl IntoIterator<Item = Bytes>) {
        for frame in frames {
            self.farewell(key, frame);
        }
        self.drop_conn(key);
    }

    /// Refuses a connect where no text frame can be sent.
    pub(super) fn refuse_plain(&mut self, key: ConnKey, error: &ApiError) {
        self.stats.refused += 1;
        self.last_words(key, [super::upgrade::refused(error)]);
    }

    /// Closes a connection that is no session.
    pub(super) fn drop_conn(&mut self, key: ConnKey) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        conn.phase = Phase::Over;
        conn.closing = true;
        self.mark(key);
    }

    /// Writes what the turn gathered: one write a connection.
    pub(crate) fn flush(&mut self, now: Now, out: &mut Out) {
        for key in std::mem::take(&mut self.dirty) {
            let Some(conn) = self.conns.get_mut(key) else {
                continue;
            };
            if !std::mem::take(&mut conn.dirty) {
                continue;
            }
            let id = conn.id;
            if let Some((frames, bytes)) = conn.queue.take(now.mono_ms) {
                self.stats.writes += 1;
                self.stats.bytes_out += bytes as u64;
                out.act(Action::Write { conn: id, frames });
            }
            if conn.closing && !conn.close_sent && conn.queue.is_empty() {
                conn.close_sent = true;
                out.act(Action::Close { conn: id });
            }
            self.arm(key, now);
        }
    }
}

pub(super) fn over_limit() -> ApiError {
    ApiError::new(ErrorCode::ConnOverMaxNumLimit, "")
}
