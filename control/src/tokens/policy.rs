//! What a new token puts out of force (spec: auth.md 5).
//!
//! The rules say how many tokens stay where; which ones, they leave open. Here it is always the
//! newest, so that the device in use is the one that stays.

use crate::store::{TokenDecision, TokenId, TokenRow};
use ringwire_protocol::platform::{Class, LoginPolicy, Platform};
use std::cmp::Reverse;

/// Platform of the admins' tokens.
pub const ADMIN_PLATFORM: i32 = Platform::Admin.id();

/// How long a replaced admin token stays in force at least, milliseconds: back-ends that share an
/// admin id fetch a token each and keep it for minutes.
pub const ADMIN_GRACE_MS: i64 = 300_000;

/// Live admin tokens of one user beyond which not even the grace counts.
const ADMIN_HARD_LIMIT: usize = 1_000;

/// Kicked tokens of one user that are remembered, so that they are refused with 1506 until they
/// expire. Older ones are forgotten: 1507.
const MAX_KICKED: usize = 64;

/// Multi-device policy, `shared.login_policy` and `shared.login_max_per_platform`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The rule.
    pub rule: LoginPolicy,
    /// Tokens kept per platform under [`LoginPolicy::Unlimited`], on PC under [`LoginPolicy::PcAndOther`], and of an
    /// admin; at least 1.
    pub max: usize,
}

/// `shared.login_policy` has a value that means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown login policy {0}: use 0, 1, 4 or 5")]
pub struct UnknownPolicy(pub u8);

impl Policy {
    /// The policy of the configuration.
    ///
    /// # Errors
    /// [`UnknownPolicy`]: the process must not start with it.
    pub fn new(rule: u8, max: u32) -> Result<Self, UnknownPolicy> {
        let rule = LoginPolicy::from_id(i32::from(rule)).ok_or(UnknownPolicy(rule))?;
        Ok(Self {
            rule,
            max: max.max(1) as usize,
        })
    }

    /// What becomes of a user's stored tokens when the token `new` is made for `platform`. `new` may be
    /// among them already (made again within the same second).
    pub fn decide(
        &self,
        rows: &[TokenRow],
        platform: i32,
        new: &TokenId,
        now_ms: i64,
    ) -> TokenDecision {
        let (held, expired): (Vec<&TokenRow>, Vec<&TokenRow>) = rows
            .iter()
            .filter(|row| row.token != *new)
            .partition(|row| row.expires_s > now_ms.div_euclid(1000));
        let (mut kicked, mut live): (Vec<&TokenRow>, Vec<&TokenRow>) =
            held.into_iter().partition(|row| row.kicked);
        // Newest first; the token itself decides between equals, so that the choice is stable.
        live.sort_by_key(|row| (Reverse(row.issued_at), row.token));
        let (admin, live): (Vec<&TokenRow>, Vec<&TokenRow>) = live
            .into_iter()
            .partition(|row| row.platform_id == ADMIN_PLATFORM);
        let mut decision = TokenDecision::default();
        if platform == ADMIN_PLATFORM {
            decision.remove = self.surplus_admin(&admin, now_ms);
        } else {
            decision.kick = self.surplus(&live, platform);
        }
        decision.remove.extend(expired.iter().map(|row| row.token));
        kicked.sort_by_key(|row| (Reverse(row.issued_at), row.token));
        decision
            .remove
            .extend(kicked.iter().skip(MAX_KICKED).map(|row| row.token));
        decision
    }

    fn surplus(&self, newest_first: &[&TokenRow], platform: i32) -> Vec<TokenId> {
        match self.rule {
            LoginPolicy::Unlimited => beyond(
                newest_first,
                |row| row.platform_id,
                |p| self.max - usize::from(p == platform),
            ),
            LoginPolicy::OnePerPlatform => beyond(
                newest_first,
                |row| row.platform_id,
                |p| usize::from(p != platform),
            ),
            LoginPolicy::OnePerClass => {
                let new = class(platform);
                beyond(
                    newest_first,
                    |row| class(row.platform_id),
                    |held| usize::from(held != new),
                )
            }
            LoginPolicy::PcAndOther => {
                let pc = class(platform) == Some(Class::Pc);
                beyond(
                    newest_first,
                    |row| class(row.platform_id) == Some(Class::Pc),
                    // On PC `max` with the new one; of all others together one with the new one.
                    |is_pc| {
                        if is_pc {
                            self.max - usize::from(pc)
                        } else {
                            usize::from(pc)
                        }
                    },
                )
            }
        }
    }

    /// Admin tokens coexist. One that is surplus goes once it has been so for the grace time: it
    /// became surplus when the token that follows it by `max` places was made.
    fn surplus_admin(&self, newest_first: &[&TokenRow], now_ms: i64) -> Vec<TokenId> {
        newest_first
            .iter()
            .enumerate()
            .skip(self.max - 1)
            .filter(|(at, _)| {
                let surplus_since = at
                    .checked_sub(self.max)
                    .map_or(now_ms, |n| newest_first[n].issued_at);
                *at >= ADMIN_HARD_LIMIT || now_ms - surplus_since >= ADMIN_GRACE_MS
            })
            .map(|(_, row)| row.token)
            .collect()
    }
}

/// All but the newest `keep(key)` rows of every group of equal keys.
fn beyond<K: PartialEq>(
    newest_first: &[&TokenRow],
    key: impl Fn(&TokenRow) -> K,
    keep: impl Fn(K) -> usize,
) -> Vec<TokenId> {
    let newer = |at: usize, row: &TokenRow| {
        newest_first[..at]
            .iter()
            .filter(|n| key(n) == key(row))
            .count()
    };
    newest_first
        .iter()
        .enumerate()
        .filter(|(at, row)| newer(*at, row) >= keep(key(row)))
        .map(|(_, row)| row.token)
        .collect()
}

/// Class of a platform id; ids that are no platform have none.
fn class(platform_id: i32) -> Option<Class> {
    Platform::from_id(platform_id).map(Platform::class)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A live token named `id` on `platform`, made at `issued_at`.
    fn live(id: u8, platform_id: i32, issued_at: i64) -> TokenRow {
        TokenRow {
            user_id: "u".into(),
            platform_id,
            token: [id; 16],
            sha256: [id; 32],
            kicked: false,
            issued_at,
            expires_s: i64::MAX,
        }
    }

    const NEW: TokenId = [0xff; 16];

    fn kicked(rule: u8, max: u32, rows: &[TokenRow], platform: i32) -> Vec<u8> {
        let decision = Policy::new(rule, max)
            .unwrap()
            .decide(rows, platform, &NEW, 1_000_000);
        assert_eq!(decision.remove, Vec::<TokenId>::new());
        let mut ids: Vec<u8> = decision.kick.iter().map(|t| t[0]).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn what_each_policy_kicks() {
        // 1, 2 iOS; 3 Android; 4, 5 Windows; 6 Web; 7 admin; 8 HarmonyOS. Higher ids are newer.
        let held: Vec<TokenRow> = [
            (1, 1),
            (2, 1),
            (3, 2),
            (4, 3),
            (5, 3),
            (6, 5),
            (7, 10),
            (8, 11),
        ]
        .map(|(id, platform)| live(id, platform, i64::from(id)))
        .to_vec();
        for (rule, max, platform, expected) in [
            (0, 30, 1, vec![]),
            (0, 2, 1, vec![1]),
            (0, 1, 1, vec![1, 2, 4]),
            (0, 1, 5, vec![1, 4, 6]),
            (1, 30, 1, vec![1, 2, 4]),
            (1, 30, 5, vec![1, 4, 6]),
            (1, 30, 9, vec![1, 4]),
            (4, 30, 2, vec![1, 2, 3, 4]),
            (4, 30, 7, vec![1, 2, 4, 5]),
            (4, 30, 11, vec![1, 2, 4, 8]),
            (5, 30, 2, vec![1, 2, 3, 6, 8]),
            (5, 30, 3, vec![1, 2, 3, 6]),
            (5, 2, 3, vec![1, 2, 3, 4, 6]),
            (5, 1, 5, vec![1, 2, 3, 4, 6, 8]),
        ] {
            assert_eq!(
                kicked(rule, max, &held, platform),
                expected,
                "rule {rule} max {max} platform {platform}"
            );
        }
    }

    #[test]
    fn the_newest_stays_whatever_the_order() {
        let held = [live(1, 1, 50), live(2, 1, 90), live(3, 1, 70)];
        assert_eq!(kicked(1, 30, &held, 5), [1, 3]);
    }

    #[test]
    fn dead_tokens_and_the_token_itself_do_not_count() {
        let dead = TokenRow {
            kicked: true,
            ..live(1, 1, 50)
        };
        let again = live(0xff, 1, 60);
        assert_eq!(kicked(1, 30, &[dead, again], 1), Vec::<u8>::new());
    }

    #[test]
    fn admin_tokens_coexist_and_the_surplus_has_five_minutes() {
        let policy = Policy::new(1, 2).unwrap();
        let held = [live(1, 10, 0), live(2, 10, 100_000), live(3, 10, 200_000)];
        let removed = |now| policy.decide(&held, 10, &NEW, now).remove;
        // 1 became surplus when 3 was made, 2 becomes so with the new one.
        assert!(removed(499_999).is_empty());
        assert_eq!(removed(500_000), [[1; 16]]);
        let many: Vec<TokenRow> = (0..1_200u32)
            .map(|n| TokenRow {
                token: u128::from(n).to_be_bytes(),
                ..live(0, 10, i64::from(n))
            })
            .collect();
        assert_eq!(
            policy.decide(&many, 10, &NEW, 1_200).remove.len(),
            200,
            "the hard limit"
        );
    }

    #[test]
    fn expired_and_surplus_kicked_tokens_are_forgotten() {
        let policy = Policy::new(1, 2).unwrap();
        let mut held: Vec<TokenRow> = (0..70)
            .map(|id| TokenRow {
                kicked: true,
                ..live(id, 1, i64::from(id))
            })
            .collect();
        held.push(TokenRow {
            expires_s: 1_000,
            ..live(99, 1, 99)
        });
        let mut removed: Vec<u8> = policy
            .decide(&held, 5, &NEW, 1_000_000)
            .remove
            .iter()
            .map(|t| t[0])
            .collect();
        removed.sort_unstable();
        assert_eq!(removed, [0, 1, 2, 3, 4, 5, 99]);
    }

    #[test]
    fn an_unknown_policy_is_refused() {
        assert_eq!(Policy::new(2, 30), Err(UnknownPolicy(2)));
        assert!(Policy::new(5, 0).is_ok_and(|p| p.max == 1));
    }
}
