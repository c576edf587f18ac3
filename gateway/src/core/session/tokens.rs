//! States of the tokens of users whose home core this is (spec: auth.md 3, 4).
//!
//! Control sends a snapshot after every connect and every change after that, so a connect needs no
//! question to control. A kick is never taken back by a snapshot, which may have been read before the
//! kick was stored; an ordered change does take it back (the same token string made again).

use super::conn::Fingerprint;
use ringwire_link::facts::{TokenFact, TokenState};
use ringwire_link::record::TokenKickRecord;
use std::collections::HashMap;

/// Kicks of whole platforms kept until a snapshot tells all tokens.
const MAX_RULES: usize = 65_536;

/// Tokens are dated this long before they are made (auth.md 2), milliseconds.
const BACKDATED_MS: i64 = 5_000;

/// What the cache says of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Let it in.
    Normal,
    /// 1506.
    Kicked,
    /// 1507: it is certain that there is no such token.
    Unknown,
    /// The snapshot is on its way: ask again when it is complete.
    Wait,
    /// Control is away, or the cache is full: 500.
    Unavailable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Snapshot {
    /// The link is down.
    Missing,
    Receiving,
    Complete,
}

#[derive(Debug)]
struct Entry {
    token: Fingerprint,
    platform: i32,
    state: TokenState,
    expires_s: i64,
    /// The snapshot or change that last confirmed it.
    generation: u32,
}

/// A login put all tokens of the platform out of force that were made before it, but one.
#[derive(Debug)]
struct Rule {
    platform: i32,
    keep: Vec<u8>,
    at_ms: i64,
}

/// The states of up to `max` tokens. When it is full and nothing in it is expired, further tokens are
/// not kept and a token it does not know is answered with 500 instead of 1507, which would log the
/// client out for good.
#[derive(Debug)]
pub(super) struct TokenCache {
    users: HashMap<Box<str>, Vec<Entry>>,
    rules: HashMap<Box<str>, Vec<Rule>>,
    rule_count: usize,
    count: usize,
    max: usize,
    snapshot: Snapshot,
    generation: u32,
    overflowed: bool,
}

impl TokenCache {
    pub(super) fn new(max: usize) -> Self {
        Self {
            users: HashMap::new(),
            rules: HashMap::new(),
            rule_count: 0,
            count: 0,
            max: max.max(1),
            snapshot: Snapshot::Missing,
            generation: 0,
            overflowed: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Whether a token was not kept for want of room since the last snapshot.
    pub(super) fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// Whether every token of the users of this core is known.
    pub(super) fn is_complete(&self) -> bool {
        self.snapshot == Snapshot::Complete && !self.overflowed
    }

    /// The link is lost. What is known stays good; what is not known cannot be told apart any more.
    pub(super) fn link_down(&mut self) {
        self.snapshot = Snapshot::Missing;
    }

    /// Control will send a snapshot.
    pub(super) fn link_up(&mut self) {
        self.snapshot = Snapshot::Receiving;
        self.generation = self.generation.wrapping_add(1);
        self.overflowed = false;
    }

    /// May this token open a session? `made_s` is its `iat`.
    pub(super) fn verdict(
        &self,
        user: &str,
        token: &Fingerprint,
        platform: i32,
        made_s: i64,
    ) -> Verdict {
        let entry = self
            .users
            .get(user)
            .and_then(|tokens| tokens.iter().find(|e| e.token == *token));
        match entry.map(|e| e.state) {
            Some(TokenState::Kicked) => return Verdict::Kicked,
            Some(TokenState::Gone) => return Verdict::Unknown,
            _ if self.ruled_out(user, token, platform, made_s) => return Verdict::Kicked,
            Some(TokenState::Normal) => return Verdict::Normal,
            None => {}
        }
        match self.snapshot {
            Snapshot::Missing => Verdict::Unavailable,
            Snapshot::Receiving => Verdict::Wait,
            Snapshot::Complete if self.overflowed => Verdict::Unavailable,
            Snapshot::Complete => Verdict::Unknown,
        }
    }

    fn ruled_out(&self, user: &str, token: &Fingerprint, platform: i32, made_s: i64) -> bool {
        let rules = self.rules.get(user).map_or(&[][..], Vec::as_slice);
        let made_ms = made_s.saturating_mul(1_000).saturating_add(BACKDATED_MS);
        rules
            .iter()
            .any(|r| r.platform == platform && r.keep != token && made_ms <= r.at_ms)
    }

    /// Part of a snapshot. Calls `kicked` for tokens that are now out of force.
    pub(super) fn snapshot_part(
        &mut self,
        tokens: Vec<TokenFact>,
        now_s: i64,
        mut kicked: impl FnMut(&TokenFact),
    ) {
        for fact in tokens {
            match self.state_of(&fact) {
                Some((TokenState::Kicked, _)) => self.confirm(&fact),
                // A change that came during this snapshot is newer than what the snapshot read.
                Some((_, generation)) if generation == self.generation => {}
                _ => self.put(&fact, now_s),
            }
            if fact.state != TokenState::Normal {
                kicked(&fact);
            }
        }
    }

    /// The snapshot is complete: tokens it did not name do not exist. Calls `gone` for each.
    pub(super) fn snapshot_done(&mut self, now_s: i64, mut gone: impl FnMut(&str, &Fingerprint)) {
        self.snapshot = Snapshot::Complete;
        let generation = self.generation;
        let mut count = 0;
        self.users.retain(|user, tokens| {
            tokens.retain(|e| {
                let keep = e.expires_s > now_s
                    && match e.state {
                        // Named by a recovered kick and unknown to control: no token at all.
                        TokenState::Kicked => e.expires_s < i64::MAX,
                        TokenState::Normal => e.generation == generation,
                        TokenState::Gone => false,
                    };
                if !keep && e.state == TokenState::Normal {
                    gone(user, &e.token);
                }
                keep
            });
            count += tokens.len();
            !tokens.is_empty()
        });
        self.count = count;
    }

    /// An ordered change.
    pub(super) fn change(&mut self, fact: &TokenFact, now_s: i64) {
        if fact.state == TokenState::Gone && self.snapshot != Snapshot::Receiving {
            self.remove(&fact.user_id, &fact.token);
            return;
        }
        self.put(fact, now_s);
    }

    /// Tokens a login put out of force, live or recovered from the journal. Returns all of them that
    /// are known here.
    pub(super) fn kick(&mut self, record: &TokenKickRecord) -> Vec<Fingerprint> {
        let mut kicked = Vec::new();
        let tokens = self
            .users
            .entry(record.user_id.as_str().into())
            .or_default();
        for entry in tokens.iter_mut() {
            let named = record.tokens.iter().any(|t| t.as_slice() == entry.token);
            let ruled = record.platform_id != 0
                && entry.platform == record.platform_id
                && entry.token.as_slice() != record.keep.as_slice();
            if (named || ruled) && entry.state == TokenState::Normal {
                entry.state = TokenState::Kicked;
                kicked.push(entry.token);
            }
        }
        // Named tokens that are not known yet must not slip in with a snapshot read earlier.
        for token in &record.tokens {
            let Ok(token) = Fingerprint::try_from(token.as_slice()) else {
                continue;
            };
            if tokens.iter().all(|e| e.token != token) && self.count < self.max {
                let state = TokenState::Kicked;
                tokens.push(Entry {
                    token,
                    platform: 0,
                    state,
                    expires_s: i64::MAX,
                    generation: self.generation,
                });
                self.count += 1;
            }
        }
        if tokens.is_empty() {
            self.users.remove(record.user_id.as_str());
        }
        if record.platform_id != 0 && self.snapshot != Snapshot::Complete {
            self.add_rule(record);
        }
        kicked
    }

    fn add_rule(&mut self, record: &TokenKickRecord) {
        if self.rule_count >= MAX_RULES {
            return;
        }
        let rules = self
            .rules
            .entry(record.user_id.as_str().into())
            .or_default();
        let before = rules.len();
        rules.retain(|r| r.platform != record.platform_id || r.at_ms > record.at_ms);
        rules.push(Rule {
            platform: record.platform_id,
            keep: record.keep.clone(),
            at_ms: record.at_ms,
        });
        self.rule_count = self.rule_count + rules.len() - before;
    }

    fn state_of(&self, fact: &TokenFact) -> Option<(TokenState, u32)> {
        let tokens = self.users.get(fact.user_id.as_str())?;
        tokens
            .iter()
            .find(|e| e.token == fact.token)
            .map(|e| (e.state, e.generation))
    }

    fn confirm(&mut self, fact: &TokenFact) {
        let generation = self.generation;
        if let Some(tokens) = self.users.get_mut(fact.user_id.as_str())
            && let Some(entry) = tokens.iter_mut().find(|e| e.token == fact.token)
        {
            entry.platform = fact.platform_id;
            entry.expires_s = fact.expires_s;
            entry.generation = generation;
        }
    }

    fn put(&mut self, fact: &TokenFact, now_s: i64) {
        let generation = self.generation;
        if let Some(tokens) = self.users.get_mut(fact.user_id.as_str())
            && let Some(entry) = tokens.iter_mut().find(|e| e.token == fact.token)
        {
            entry.state = fact.state;
            entry.platform = fact.platform_id;
            entry.expires_s = fact.expires_s;
            entry.generation = generation;
            return;
        }
        if self.count >= self.max && !self.drop_expired(now_s) {
            self.overflowed = true;
            return;
        }
        let entry = Entry {
            token: fact.token,
            platform: fact.platform_id,
            state: fact.state,
            expires_s: fact.expires_s,
            generation,
        };
        self.users
            .entry(fact.user_id.as_str().into())
            .or_default()
            .push(entry);
        self.count += 1;
    }

    fn remove(&mut self, user: &str, token: &Fingerprint) {
        let Some(tokens) = self.users.get_mut(user) else {
            return;
        };
        let before = tokens.len();
        tokens.retain(|e| e.token != *token);
        self.count -= before - tokens.len();
        if tokens.is_empty() {
            self.users.remove(user);
        }
    }

    /// Whether it made room. Once it could not, it does not search again until the next snapshot.
    fn drop_expired(&mut self, now_s: i64) -> bool {
        if self.overflowed {
            return false;
        }
        self.users.retain(|_, tokens| {
            tokens.retain(|e| e.expires_s > now_s);
            !tokens.is_empty()
        });
        self.count = self.users.values().map(Vec::len).sum();
        self.count < self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(user: &str, token: u8, state: TokenState) -> TokenFact {
        TokenFact {
            user_id: user.into(),
            platform_id: 1,
            token: [token; 16],
            state,
            expires_s: 1_000,
        }
    }

    fn ready(facts: &[TokenFact]) -> TokenCache {
        let mut cache = TokenCache::new(4);
        cache.link_up();
        cache.snapshot_part(facts.to_vec(), 0, |_| {});
        cache.snapshot_done(0, |_, _| {});
        cache
    }

    fn verdict(cache: &TokenCache, token: u8) -> Verdict {
        cache.verdict("u", &[token; 16], 1, 100)
    }

    #[test]
    fn only_a_complete_snapshot_says_that_a_token_does_not_exist() {
        let mut cache = TokenCache::new(4);
        assert_eq!(verdict(&cache, 1), Verdict::Unavailable);
        cache.link_up();
        assert_eq!(verdict(&cache, 1), Verdict::Wait);
        cache.snapshot_done(0, |_, _| {});
        assert_eq!(verdict(&cache, 1), Verdict::Unknown);
        cache.change(&fact("u", 1, TokenState::Normal), 0);
        cache.link_down();
        assert_eq!(
            verdict(&cache, 1),
            Verdict::Normal,
            "known tokens stay good without control"
        );
        assert_eq!(verdict(&cache, 2), Verdict::Unavailable);
    }

    #[test]
    fn a_snapshot_never_takes_a_kick_back_but_a_change_does() {
        let mut cache = ready(&[fact("u", 1, TokenState::Normal)]);
        let record = TokenKickRecord {
            user_id: "u".into(),
            tokens: vec![vec![1; 16]],
            ..Default::default()
        };
        assert_eq!(cache.kick(&record), [[1; 16]]);
        cache.link_up();
        cache.snapshot_part(vec![fact("u", 1, TokenState::Normal)], 0, |_| {});
        cache.snapshot_done(0, |_, _| {});
        assert_eq!(verdict(&cache, 1), Verdict::Kicked);
        cache.change(&fact("u", 1, TokenState::Normal), 0);
        assert_eq!(verdict(&cache, 1), Verdict::Normal);
    }

    #[test]
    fn a_change_during_a_snapshot_is_newer_than_the_snapshot() {
        let mut cache = ready(&[
            fact("u", 1, TokenState::Normal),
            fact("u", 2, TokenState::Normal),
        ]);
        cache.link_up();
        cache.change(&fact("u", 1, TokenState::Gone), 0);
        cache.snapshot_part(vec![fact("u", 1, TokenState::Normal)], 0, |_| {});
        let mut gone = Vec::new();
        cache.snapshot_done(0, |_, token| gone.push(*token));
        assert_eq!(verdict(&cache, 1), Verdict::Unknown);
        assert_eq!(
            gone,
            [[2; 16]],
            "what a snapshot does not name does not exist"
        );
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn a_platform_kick_recovered_before_the_snapshot_holds_for_older_tokens() {
        let mut cache = TokenCache::new(4);
        let record = TokenKickRecord {
            user_id: "u".into(),
            platform_id: 1,
            keep: vec![9; 16],
            at_ms: 200_000,
            ..Default::default()
        };
        cache.kick(&record);
        cache.link_up();
        let tokens = [1, 2, 9].map(|t| fact("u", t, TokenState::Normal));
        cache.snapshot_part(tokens.to_vec(), 0, |_| {});
        cache.snapshot_done(0, |_, _| {});
        assert_eq!(cache.verdict("u", &[1; 16], 1, 100), Verdict::Kicked);
        assert_eq!(
            cache.verdict("u", &[9; 16], 1, 100),
            Verdict::Normal,
            "the one that logged in"
        );
        assert_eq!(
            cache.verdict("u", &[2; 16], 1, 196),
            Verdict::Normal,
            "made after the login"
        );
        assert_eq!(
            cache.verdict("u", &[2; 16], 2, 100),
            Verdict::Normal,
            "another platform"
        );
    }

    #[test]
    fn a_full_cache_forgets_the_expired_and_then_stops_saying_1507() {
        let mut cache = ready(&[1, 2, 3, 4].map(|t| fact("u", t, TokenState::Normal)));
        cache.change(&fact("u", 5, TokenState::Normal), 0);
        assert!(cache.overflowed());
        assert_eq!(cache.len(), 4);
        assert_eq!(verdict(&cache, 5), Verdict::Unavailable);
        cache.link_up();
        cache.snapshot_part(vec![fact("u", 5, TokenState::Normal)], 2_000, |_| {});
        assert_eq!(
            verdict(&cache, 5),
            Verdict::Normal,
            "the others had expired"
        );
    }
}
