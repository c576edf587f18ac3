//! Frames from control and items from rings that are the home side's.

use super::home::{End, Home};
use crate::core::event::{CoreId, Now};
use crate::core::out::Out;
use crate::core::ring::RingItem;
use crate::core::ws::CloseCode;
use bytes::Bytes;
use ringwire_link::facts::{FactChange, TokenFact, TokenState};
use ringwire_link::message::SessionInfo;
use ringwire_link::{ToControl, ToGateway};
use ringwire_protocol::error::ApiError;
use ringwire_protocol::slot::core_of;

/// How a session ends whose token is gone from the store: the client reconnects and learns 1507.
const TOKEN_GONE: End = End::Close(CloseCode::Policy, "token does not exist any more");

impl Home {
    /// Control welcomed this core. `facts_current`: nothing was missed, or what was missed follows.
    pub(crate) fn link_up(&mut self, facts_current: bool, out: &mut Out) {
        self.link = true;
        self.tokens.link_up();
        self.forget_groups(!facts_current);
        self.send_presence_snapshot(out);
    }

    /// The link is lost: what waits for it fails now.
    pub(crate) fn link_down(&mut self, now: Now, out: &mut Out) {
        self.link = false;
        self.tokens.link_down();
        self.forget_groups(false);
        self.calls.clear();
        for key in self.conns.iter().map(|(key, _)| key).collect::<Vec<_>>() {
            let waits = self
                .session(key)
                .and_then(|s| s.current.as_ref())
                .is_some_and(|c| c.deadline.is_some());
            if waits {
                self.finish(key, now, Err(ApiError::internal("control went away")), out);
            }
        }
        self.retry_tokens(now, out);
    }

    /// An answer to this side, or a question or fact that is this side's.
    pub(crate) fn link(&mut self, now: Now, correlation: u64, body: ToGateway, out: &mut Out) {
        match body {
            ToGateway::CallReply {
                err_code,
                err_msg,
                data,
            } => {
                let Some((conn, number)) = self.calls.remove(&correlation) else {
                    return;
                };
                let Some(key) = self.open(conn) else { return };
                if self
                    .session(key)
                    .and_then(|s| s.current.as_ref())
                    .is_none_or(|c| c.number != number)
                {
                    return;
                }
                let result = if err_code == 0 {
                    Ok(Bytes::from(data))
                } else {
                    Err(ApiError {
                        code: err_code,
                        message: err_msg.into(),
                        detail: "".into(),
                    })
                };
                self.finish(key, now, result, out);
            }
            ToGateway::Facts { facts } => self.groups_answer(now, correlation, facts, out),
            ToGateway::TokenSnapshot { tokens, done } => {
                self.token_snapshot(now, tokens, done, out)
            }
            ToGateway::Kick { user_id, platforms } => {
                let wanted = |platform: i32| platforms.is_empty() || platforms.contains(&platform);
                let closed = self.kick_sessions(
                    &user_id,
                    |c| c.session().is_some_and(|s| wanted(s.platform.id())),
                    out,
                );
                out.link(correlation, ToControl::Kicked { closed });
            }
            ToGateway::QuerySessions { user_ids } => {
                let sessions = user_ids
                    .iter()
                    .flat_map(|user| self.session_infos(user))
                    .collect();
                out.link(correlation, ToControl::Sessions { sessions });
            }
            _ => {}
        }
    }

    fn session_infos(&self, user: &str) -> Vec<SessionInfo> {
        let Some(user_key) = self.by_name.get(user) else {
            return Vec::new();
        };
        let info = |key: &usize| {
            let conn = self.conns.get(*key)?;
            let session = conn.session()?;
            Some(SessionInfo {
                user_id: user.to_owned(),
                platform_id: session.platform.id(),
                conn_id: format!("{:016x}{:016x}", self.config.boot, conn.id.0),
                background: session.background,
            })
        };
        self.users[*user_key]
            .sessions
            .iter()
            .filter_map(info)
            .collect()
    }

    fn token_snapshot(&mut self, now: Now, tokens: Vec<TokenFact>, done: bool, out: &mut Out) {
        let now_s = now.unix_ms.div_euclid(1_000);
        let mut over = Vec::new();
        self.tokens
            .snapshot_part(tokens, now_s, |fact| over.push(fact.clone()));
        for fact in over {
            self.token_over(&fact, out);
        }
        if done {
            let mut gone = Vec::new();
            self.tokens
                .snapshot_done(now_s, |user, token| gone.push((user.to_owned(), *token)));
            for (user, token) in gone {
                self.end_sessions(
                    &user,
                    |c| c.session().is_some_and(|s| s.token == token),
                    TOKEN_GONE,
                    out,
                );
            }
            if self.tokens.overflowed() {
                tracing::error!(
                    held = self.tokens.len(),
                    "more tokens than gateway.max_tokens: connects with tokens not held are answered with 500"
                );
            }
            self.retry_tokens(now, out);
        }
    }

    /// A token is out of force: so are the sessions it opened.
    fn token_over(&mut self, fact: &TokenFact, out: &mut Out) {
        let end = match fact.state {
            TokenState::Normal => return,
            TokenState::Kicked => End::Kick,
            TokenState::Gone => TOKEN_GONE,
        };
        self.end_sessions(
            &fact.user_id,
            |c| c.session().is_some_and(|s| s.token == fact.token),
            end,
            out,
        );
    }

    /// The world changed. In force when this returns.
    pub(crate) fn fact_changes(&mut self, now: Now, changes: &[FactChange], out: &mut Out) {
        for change in changes {
            match change {
                // Changes go to every core; states are kept by the home core alone.
                FactChange::Token(fact)
                    if core_of(&fact.user_id, self.config.cores) != self.config.core => {}
                FactChange::Token(fact) => {
                    let full = self.tokens.overflowed();
                    self.tokens.change(fact, now.unix_ms.div_euclid(1_000));
                    if self.tokens.overflowed() && !full {
                        tracing::error!(
                            "gateway.max_tokens is reached: unknown tokens are answered with 500"
                        );
                    }
                    self.token_over(fact, out);
                }
                other => self.group_change(other),
            }
        }
    }

    /// An item for the home side.
    pub(crate) fn ring(&mut self, now: Now, from: CoreId, item: RingItem, out: &mut Out) {
        match item {
            RingItem::SendDone(done) => self.send_done(now, *done, out),
            RingItem::Deliver { users, push } => self.deliver(&users, &push, out),
            RingItem::DeliverGroup {
                group_id,
                also,
                push,
            } => self.deliver_group(&group_id, &also, &push, out),
            RingItem::Watch { users, request } => self.watch(from, users, request, out),
            RingItem::Unwatch { users } => {
                for user in users {
                    self.presence.remove_watcher(&user, from);
                }
            }
            RingItem::Online { request, users } => self.online(now, request, users, out),
            RingItem::Send(_)
            | RingItem::TokenKick(_)
            | RingItem::Publish { .. }
            | RingItem::PublishDone { .. } => {}
        }
    }
}
