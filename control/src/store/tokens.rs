//! Token states (spec: auth.md 3, 5). Tokens are known by their SHA-256 only.

use super::StoreResult;
use async_trait::async_trait;

/// First 16 bytes of the SHA-256 of a token.
pub type TokenId = [u8; 16];

/// A stored token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Whose.
    pub user_id: String,
    /// Platform.
    pub platform_id: i32,
    /// Its id.
    pub token: TokenId,
    /// The whole SHA-256.
    pub sha256: [u8; 32],
    /// `true`: refused with 1506; `false`: normal.
    pub kicked: bool,
    /// When it was issued, Unix milliseconds.
    pub issued_at: i64,
    /// Its `exp`, Unix seconds.
    pub expires_s: i64,
}

/// A token to be stored as normal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Whose.
    pub user_id: String,
    /// Platform.
    pub platform_id: i32,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
    /// Now, Unix milliseconds.
    pub issued_at: i64,
    /// Its `exp`, Unix seconds.
    pub expires_s: i64,
}

impl NewToken {
    /// The id under which it is stored.
    pub fn id(&self) -> TokenId {
        let mut id = TokenId::default();
        id.copy_from_slice(&self.sha256[..16]);
        id
    }
}

/// What the login policy does to a user's stored tokens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenDecision {
    /// Tokens to mark kicked.
    pub kick: Vec<TokenId>,
    /// Tokens to forget.
    pub remove: Vec<TokenId>,
}

/// The policy: sees all stored tokens of the user (kicked and expired ones too), oldest first.
pub type Policy<'a> = &'a (dyn for<'r> Fn(&'r [TokenRow]) -> TokenDecision + Send + Sync);

/// Token states.
#[async_trait]
pub trait TokenStore: Send + Sync {
    /// Stores a token as normal and carries out the policy's decision, in one transaction that no
    /// other issue for the same user overlaps. A token stored before (the same second) becomes
    /// normal again. Returns the decision.
    ///
    /// # Errors
    /// `NotFound` for an unknown user.
    async fn issue(&self, token: &NewToken, policy: Policy<'_>) -> StoreResult<TokenDecision>;

    /// Marks these tokens kicked; unknown ones are ignored. Returns the rows that changed.
    ///
    /// # Errors
    /// Database failures.
    async fn kick(&self, user_id: &str, tokens: &[TokenId]) -> StoreResult<Vec<TokenRow>>;

    /// Marks all tokens of (user, platform) kicked but `keep`, as far as they were issued no later
    /// than `issued_until` (Unix milliseconds). `platform_id` `None`: of every platform. Returns the
    /// rows that changed.
    ///
    /// # Errors
    /// Database failures.
    async fn kick_platform(
        &self,
        user_id: &str,
        platform_id: Option<i32>,
        keep: Option<TokenId>,
        issued_until: i64,
    ) -> StoreResult<Vec<TokenRow>>;

    /// Forgets tokens of a user.
    ///
    /// # Errors
    /// Database failures.
    async fn remove(&self, user_id: &str, tokens: &[TokenId]) -> StoreResult<()>;

    /// Tokens not expired at `now_s`, normal and kicked, in pages by id: those after `after`
    /// (`None` = from the start), at most `limit`.
    ///
    /// # Errors
    /// Database failures.
    async fn load(
        &self,
        now_s: i64,
        after: Option<TokenId>,
        limit: i64,
    ) -> StoreResult<Vec<TokenRow>>;

    /// Forgets tokens expired at `now_s`. Returns how many.
    ///
    /// # Errors
    /// Database failures.
    async fn purge(&self, now_s: i64) -> StoreResult<u64>;
}
