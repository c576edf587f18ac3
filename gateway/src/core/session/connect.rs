//! From an upgrade request to a registered session (spec: gateway.md 1, auth.md 4, 7).

use super::conn::{AwaitingToken, Conn, ConnKey, Phase, Session};
use super::home::{End, Home, over_limit};
use super::rate::Rate;
use super::tokens::Verdict;
use super::upgrade::{self, Upgrade};
use crate::core::event::{Action, ConnId, Now};
use crate::core::out::Out;
use crate::core::ws::{self, CloseCode};
use ringwire_protocol::envelope::Encoding;
use ringwire_protocol::error::{ApiError, ErrorCode};
use ringwire_protocol::platform::Platform;
use ringwire_protocol::slot::core_of;
use ringwire_protocol::token::{self, Claims};
use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;

/// How an older session of the same client ends: without the kick frame, which would log it out.
pub(super) const SUPERSEDED: End = End::Close(CloseCode::Normal, "connected anew");

/// Codes of a token that is not good (gateway.md 1.3).
const TOKEN_FAULTS: std::ops::RangeInclusive<i32> = 1501..=1507;

impl Home {
    /// Bytes of an upgrade request.
    pub(super) fn head_bytes(&mut self, key: ConnKey, now: Now, bytes: &[u8], out: &mut Out) {
        let Some(Conn {
            phase: Phase::Head(head),
            ..
        }) = self.conns.get_mut(key)
        else {
            return;
        };
        let first = head.received.is_empty();
        head.received.extend_from_slice(bytes);
        // A request that comes byte by byte is parsed at its first and at its last.
        let tail = &head.received[head.received.len().saturating_sub(bytes.len() + 3)..];
        let ends = tail.windows(2).any(|w| w == b"\n\n") || tail.windows(3).any(|w| w == b"\n\r\n");
        if !first && !ends && head.received.len() < upgrade::MAX_HEAD {
            return;
        }
        let upgrade = match upgrade::parse(&head.received) {
            Ok(None) => return,
            Ok(Some(upgrade)) => upgrade,
            Err(refusal) => {
                self.stats.refused += 1;
                self.last_words(key, [refusal.reply()]);
                return;
            }
        };
        if head.over_limit {
            self.stats.refused_over_limit += 1;
            self.refuse(key, &upgrade, &over_limit());
            return;
        }
        let home = match &upgrade.params {
            Ok(params) => core_of(&params.user_id, self.config.cores),
            Err(error) => {
                let error = error.clone();
                self.refuse(key, &upgrade, &error);
                return;
            }
        };
        let received = std::mem::take(&mut head.received);
        if let Some(conn) = self.conns.get_mut(key) {
            conn.forwarded.clone_from(&upgrade.forwarded);
        }
        if home == self.config.core {
            self.admit(
                key,
                now,
                upgrade,
                |head_len| received[head_len..].to_vec(),
                out,
            );
        } else {
            // The connection stays counted: it only moves.
            let conn = self.conns.remove(key);
            self.by_id.remove(&conn.id);
            self.stats.handed_over += 1;
            out.act(Action::HandOver {
                conn: conn.id,
                to: home,
                peer: conn.peer,
                received,
            });
        }
    }

    /// Refuses a connect in the way the client can see.
    fn refuse(&mut self, key: ConnKey, upgrade: &Upgrade, error: &ApiError) {
        if let Some(conn) = self.conns.get(key) {
            tracing::debug!(peer = conn.remote(), %error, "connect refused");
        }
        let by_frame = upgrade
            .params
            .as_ref()
            .map_or(upgrade.wants_frame, |p| p.msg_resp);
        match &upgrade.accept {
            Ok(accept) if by_frame => {
                self.stats.refused += 1;
                let frames = [
                    upgrade::switching(accept),
                    ws::text(&upgrade::outcome_json(Some(error))),
                    ws::close(Some(CloseCode::Policy), ""),
                ];
                self.last_words(key, frames);
            }
            // With a frame wanted and no handshake to carry it, the handshake is what is wrong.
            Err(refusal) if by_frame => {
                self.stats.refused += 1;
                self.last_words(key, [refusal.reply()]);
            }
            _ => self.refuse_plain(key, error),
        }
    }

    /// Checks the token of a connection whose home is here.
    fn admit(
        &mut self,
        key: ConnKey,
        now: Now,
        upgrade: Upgrade,
        rest: impl FnOnce(usize) -> Vec<u8>,
        out: &mut Out,
    ) {
        let Some(peer) = self.conns.get(key).map(|conn| conn.peer.ip()) else {
            return;
        };
        match self.check_token(&upgrade, peer, now) {
            Ok(Some(claims)) => {
                let rest = rest(upgrade.head_len);
                self.welcome(key, now, &upgrade, &claims, &rest, out);
            }
            Ok(None) => {
                let deadline = now.mono_ms + self.config.limits.call_timeout_ms;
                let rest = rest(upgrade.head_len);
                let Some(conn) = self.conns.get_mut(key) else {
                    return;
                };
                conn.phase = Phase::Token(Box::new(AwaitingToken {
                    upgrade,
                    rest,
                    deadline,
                }));
                let id = conn.id;
                self.await_tokens(id);
                self.arm(key, now);
            }
            Err(error) => {
                if TOKEN_FAULTS.contains(&error.code) {
                    self.bad_tokens.failed(peer, now);
                }
                self.refuse(key, &upgrade, &error);
            }
        }
    }

    /// The claims of a good token; `None` while the snapshot is on its way.
    fn check_token(
        &mut self,
        upgrade: &Upgrade,
        peer: IpAddr,
        now: Now,
    ) -> Result<Option<Claims>, ApiError> {
        let params = upgrade.params.as_ref().map_err(Clone::clone)?;
        // The code of a known bad token comes even when its address is exhausted: it is what makes SDKs
        // stop.
        if let Some(error) = self.bad_tokens.known(&params.token, now) {
            self.stats.refused_known_token += 1;
            return Err(error.into());
        }
        if self.bad_tokens.exhausted(peer, now) {
            self.stats.refused_address += 1;
            let detail = "too many bad tokens from this address";
            return Err(ApiError::new(ErrorCode::TooManyRequests, detail));
        }
        let now_s = now.unix_ms.div_euclid(1_000);
        let claims = token::verify(&params.token, self.config.secret.bytes(), now_s);
        let claims = claims.map_err(|error| {
            self.bad_tokens.remember(&params.token, error, now);
            ApiError::from(error)
        })?;
        let verdict = self.tokens.verdict(
            &claims.user_id,
            &token::fingerprint(&params.token),
            claims.platform_id,
            claims.iat,
        );
        let error = match verdict {
            Verdict::Normal if claims.user_id != params.user_id => {
                ApiError::new(ErrorCode::TokenInvalid, "token is of another user")
            }
            Verdict::Normal if claims.platform_id != params.platform_id => {
                ApiError::new(ErrorCode::TokenInvalid, "token is of another platform")
            }
            Verdict::Normal => return Ok(Some(claims)),
            // The home core of the user in the request is not that of the token's user, whose states
            // live elsewhere: what is certain is that the two differ.
            _ if claims.user_id != params.user_id => {
                ApiError::new(ErrorCode::TokenInvalid, "token is of another user")
            }
            Verdict::Wait => return Ok(None),
            Verdict::Kicked => ApiError::new(ErrorCode::TokenKicked, ""),
            Verdict::Unknown => ApiError::new(ErrorCode::TokenNotExist, ""),
            Verdict::Unavailable => {
                if self.link {
                    self.stats.refused_tokens_full += 1;
                }
                ApiError::internal("token state is not known at the moment")
            }
        };
        Err(error)
    }

    /// The token snapshot is complete, or there will be none: decide on those who wait for it.
    pub(super) fn retry_tokens(&mut self, now: Now, out: &mut Out) {
        for id in std::mem::take(&mut self.awaiting_tokens) {
            let Some(key) = self.by_id.get(&id).copied() else {
                continue;
            };
            let Some(conn) = self.conns.get_mut(key) else {
                continue;
            };
            match std::mem::replace(&mut conn.phase, Phase::Over) {
                Phase::Token(waiting) => {
                    let AwaitingToken { upgrade, rest, .. } = *waiting;
                    self.admit(key, now, upgrade, |_| rest, out);
                }
                other => conn.phase = other,
            }
        }
    }

    /// The connection waits for the token snapshot. Those who gave up stay in the list until it is mostly
    /// of them.
    fn await_tokens(&mut self, conn: ConnId) {
        if self.awaiting_tokens.len() > 2 * self.conns.len() + 64 {
            let waits = |id: &ConnId| {
                let conn = self.by_id.get(id).and_then(|key| self.conns.get(*key));
                conn.is_some_and(|c| matches!(c.phase, Phase::Token(_)))
            };
            self.awaiting_tokens.retain(waits);
        }
        self.awaiting_tokens.push(conn);
    }

    /// No snapshot came in time.
    pub(super) fn token_timeout(&mut self, key: ConnKey) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if let Phase::Token(waiting) = std::mem::replace(&mut conn.phase, Phase::Over) {
            self.refuse(
                key,
                &waiting.upgrade,
                &ApiError::internal("token states did not come in time"),
            );
        }
    }

    /// Registers the session and answers the upgrade. Pushes queue up behind the answer.
    fn welcome(
        &mut self,
        key: ConnKey,
        now: Now,
        upgrade: &Upgrade,
        claims: &Claims,
        rest: &[u8],
        out: &mut Out,
    ) {
        let Ok(params) = &upgrade.params else { return };
        let accept = match &upgrade.accept {
            Ok(accept) => accept,
            Err(refusal) => {
                self.stats.refused += 1;
                self.last_words(key, [refusal.reply()]);
                return;
            }
        };
        let Some(platform) = Platform::from_id(params.platform_id) else {
            return;
        };
        let fingerprint = token::fingerprint(&params.token);
        let supersedes = self.apply_login_policy(now, &params.user_id, platform, &fingerprint, out);
        let count = |home: &Self| {
            home.by_name
                .get(params.user_id.as_str())
                .map_or(0, |user| home.users[*user].sessions.len())
        };
        let most = self.config.limits.max_sessions_per_user as usize;
        let mut before = supersedes.iter();
        // For want of room an older session of the same client goes before the new one has spoken.
        while count(self) >= most {
            let Some(older) = before.next() else {
                let error = ApiError::new(
                    ErrorCode::ConnOverMaxNumLimit,
                    "too many sessions of this user",
                );
                self.refuse(key, upgrade, &error);
                return;
            };
            if let Some(older) = self.open(*older) {
                self.end(older, SUPERSEDED, out);
            }
        }
        let limits = &self.config.limits;
        let session = Session {
            user: params.user_id.as_str().into(),
            user_key: 0,
            platform,
            token: fingerprint,
            token_expires: claims.exp.saturating_mul(1_000),
            admin: self.config.admins.contains(&params.user_id),
            encoding: if params.json {
                Encoding::Json
            } else {
                Encoding::Gob
            },
            gzip: params.gzip,
            background: params.background,
            decoder: ws::Decoder::new(limits.max_message_bytes as usize),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            paused: false,
            current: None,
            requests: 0,
            last_heard: now.mono_ms,
            last_ping: now.mono_ms,
            rate: Rate::new(limits.send_burst, now.mono_ms),
            watching: HashSet::new(),
            supersedes,
            probed_until: None,
        };
        self.register(key, session);
        self.enqueue(key, upgrade::switching(accept), out);
        if params.msg_resp {
            self.enqueue(key, ws::text(&upgrade::outcome_json(None)), out);
        }
        self.arm(key, now);
        if !rest.is_empty() {
            self.frames(key, now, rest, out);
        }
    }
}
