//! Who is kicked when a user logs in once more (spec: gateway.md 8, 9; auth.md 7).

use super::conn::{Conn, ConnKey, Fingerprint};
use super::home::{End, Home};
use crate::core::event::{ConnId, Now};
use crate::core::out::Out;
use crate::core::ring::RingItem;
use ringwire_link::record::TokenKickRecord;
use ringwire_protocol::platform::{Class, LoginPolicy, Platform};

impl Home {
    /// Puts out of force what the login of a new session displaces: token states first (here at once,
    /// durable by the journal), then the kick frame, then the close. Returns sessions with the same
    /// token and platform, which are the same client before it reconnected.
    pub(super) fn apply_login_policy(
        &mut self,
        now: Now,
        user: &str,
        platform: Platform,
        token: &Fingerprint,
        out: &mut Out,
    ) -> Vec<ConnId> {
        let policy = self.config.policy;
        let Some(user_key) = self.by_name.get(user).copied() else {
            return Vec::new();
        };
        let mut superseded = Vec::new();
        let mut kicked: Vec<(ConnKey, Fingerprint)> = Vec::new();
        let mut platform_rule = false;
        for key in &self.users[user_key].sessions {
            let Some((id, old)) = self
                .conns
                .get(*key)
                .and_then(|c| Some((c.id, c.session()?)))
            else {
                continue;
            };
            platform_rule |= match policy {
                LoginPolicy::OnePerPlatform => old.platform == platform,
                LoginPolicy::PcAndOther => {
                    platform.class() != Class::Pc && old.platform.class() != Class::Pc
                }
                LoginPolicy::Unlimited | LoginPolicy::OnePerClass => false,
            };
            if old.token == *token {
                if old.platform == platform {
                    superseded.push(id);
                }
            } else if policy.kicks(platform, old.platform) {
                kicked.push((*key, old.token));
            }
        }
        if kicked.is_empty() && !platform_rule {
            return superseded;
        }
        let record = TokenKickRecord {
            user_id: user.to_owned(),
            tokens: kicked.iter().map(|(_, token)| token.to_vec()).collect(),
            platform_id: if platform_rule { platform.id() } else { 0 },
            keep: token.to_vec(),
            at_ms: now.unix_ms,
        };
        let changed = self.tokens.kick(&record);
        // A client that reconnects before its old session is gone changes nothing; no record is due.
        if !changed.is_empty() || !kicked.is_empty() || !self.tokens.is_complete() {
            out.ring(self.config.core, RingItem::TokenKick(Box::new(record)));
        }
        for (key, _) in kicked {
            self.end(key, End::Kick, out);
        }
        superseded
    }

    /// Kicks the user's sessions for which `wanted` holds. Returns how many.
    pub(super) fn kick_sessions(
        &mut self,
        user: &str,
        wanted: impl Fn(&Conn) -> bool,
        out: &mut Out,
    ) -> u32 {
        self.end_sessions(user, wanted, End::Kick, out)
    }

    /// Ends the user's sessions for which `wanted` holds. Returns how many.
    pub(super) fn end_sessions(
        &mut self,
        user: &str,
        wanted: impl Fn(&Conn) -> bool,
        end: End,
        out: &mut Out,
    ) -> u32 {
        let Some(user_key) = self.by_name.get(user).copied() else {
            return 0;
        };
        let sessions = self.users[user_key].sessions.clone();
        let mut ended = 0;
        for key in sessions {
            if self.conns.get(key).is_some_and(&wanted) {
                self.end(key, end, out);
                ended += 1;
            }
        }
        ended
    }
}
