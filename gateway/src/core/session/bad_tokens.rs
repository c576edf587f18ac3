//! Bad tokens that come again and again (spec: gateway.md 1.5): some clients connect every few seconds
//! with a token that will never be good, and somebody may try tokens. The first are answered from
//! memory; of the second, an address may fail only so often.

use super::rate::Rate;
use crate::core::event::Now;
use crate::core::facts::clock::Clock;
use ringwire_protocol::token::TokenError;
use std::net::{IpAddr, Ipv6Addr};
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// Bad tokens remembered, a core.
const MAX_TOKENS: usize = 16_384;

/// Addresses with failures remembered, a core.
const MAX_ADDRESSES: usize = 16_384;

/// How long a token is answered from memory, milliseconds. Not for ever: a clock set back makes an
/// expired token good again.
const KEEP_MS: u64 = 600_000;

/// What a core remembers of tokens that were refused, and of who brought them.
#[derive(Debug)]
pub(super) struct BadTokens {
    seed: u64,
    tokens: Clock<u128, (TokenError, u64)>,
    addresses: Clock<IpAddr, Rate>,
    per_second: u32,
    burst: u32,
}

impl BadTokens {
    /// `seed` is random, so that nobody can make another's token look like his own. Of each address
    /// `per_second` failures are let pass, and `burst` at once; 0 is no limit.
    pub(super) fn new(seed: u64, per_second: u32, burst: u32) -> Self {
        Self {
            seed,
            tokens: Clock::new(MAX_TOKENS),
            addresses: Clock::new(MAX_ADDRESSES),
            per_second,
            burst,
        }
    }

    fn key(&self, token: &str) -> u128 {
        xxh3_128_with_seed(token.as_bytes(), self.seed)
    }

    /// Why this token was refused before, if it still would be.
    pub(super) fn known(&mut self, token: &str, now: Now) -> Option<TokenError> {
        let key = self.key(token);
        let (error, until) = *self.tokens.get(&key)?;
        if until <= now.mono_ms {
            self.tokens.remove(&key);
            return None;
        }
        Some(error)
    }

    /// Remembers a token if no passing of time makes it good.
    pub(super) fn remember(&mut self, token: &str, error: TokenError, now: Now) {
        match error {
            TokenError::Malformed
            | TokenError::Algorithm
            | TokenError::Signature
            | TokenError::Expired => {
                let entry = (error, now.mono_ms + KEEP_MS);
                self.tokens.insert(self.key(token), entry, |_| true);
            }
            TokenError::NotValidYet | TokenError::UsedBeforeIssued => {}
        }
    }

    /// Whether this address has failed so often that its tokens are not even looked at now.
    pub(super) fn exhausted(&mut self, address: IpAddr, now: Now) -> bool {
        let (per_second, burst) = (self.per_second, self.burst);
        per_second > 0
            && self
                .addresses
                .get(&network(address))
                .is_some_and(|rate| !rate.has(per_second, burst, now.mono_ms))
    }

    /// This address brought a bad token.
    pub(super) fn failed(&mut self, address: IpAddr, now: Now) {
        if self.per_second == 0 {
            return;
        }
        let address = network(address);
        if !self.addresses.contains(&address) {
            let rate = Rate::new(self.burst, now.mono_ms);
            self.addresses.insert(address, rate, |_| true);
        }
        if let Some(rate) = self.addresses.get(&address) {
            rate.take(self.per_second, self.burst, now.mono_ms);
        }
    }
}

/// What one owner surely has: an IPv4 address, or an IPv6 network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(
            address.to_bits() & !u128::from(u64::MAX),
        )),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64) -> Now {
        Now {
            mono_ms,
            unix_ms: 0,
        }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn what_time_may_heal_is_not_remembered() {
        let mut bad = BadTokens::new(1, 0, 0);
        bad.remember("forged", TokenError::Signature, at(0));
        bad.remember("early", TokenError::NotValidYet, at(0));
        assert_eq!(
            bad.known("forged", at(KEEP_MS - 1)),
            Some(TokenError::Signature)
        );
        assert_eq!(bad.known("early", at(1)), None);
        assert_eq!(bad.known("other", at(1)), None);
        assert_eq!(bad.known("forged", at(KEEP_MS)), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut bad = BadTokens::new(1, 1, 1);
        for n in 0..3 * MAX_TOKENS as u32 {
            bad.remember(&n.to_string(), TokenError::Malformed, at(0));
            bad.failed(IpAddr::V4(n.into()), at(0));
        }
        assert!(bad.tokens.len() <= MAX_TOKENS);
        assert!(bad.addresses.len() <= MAX_ADDRESSES);
    }

    #[test]
    fn an_address_fails_only_so_often() {
        let mut bad = BadTokens::new(1, 2, 3);
        let (one, other) = (address("10.0.0.1"), address("10.0.0.2"));
        for _ in 0..3 {
            assert!(!bad.exhausted(one, at(0)));
            bad.failed(one, at(0));
        }
        assert!(bad.exhausted(one, at(499)));
        assert!(!bad.exhausted(other, at(499)));
        assert!(!bad.exhausted(one, at(500)));
        let mut unlimited = BadTokens::new(1, 0, 3);
        (0..100).for_each(|_| unlimited.failed(one, at(0)));
        assert!(!unlimited.exhausted(one, at(0)));
    }

    #[test]
    fn neighbours_in_an_ipv6_network_are_one() {
        let mut bad = BadTokens::new(1, 1, 1);
        bad.failed(address("2001:db8::1"), at(0));
        assert!(bad.exhausted(address("2001:db8::2"), at(0)));
        assert!(!bad.exhausted(address("2001:db8:0:1::1"), at(0)));
        bad.failed(address("::ffff:10.0.0.1"), at(0));
        assert!(bad.exhausted(address("10.0.0.1"), at(0)));
    }
}
