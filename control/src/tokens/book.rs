//! The book of token states: all of them in memory, every change in the database first.
//!
//! Changes of one user happen one after the other, first in the database, then in memory; the
//! gateways are told in the same order. So what a gateway hears last is what the database says.

use super::policy::{ADMIN_PLATFORM, Policy};
use crate::clock::unix_ms;
use crate::ports::{Gateways, TokenStates};
use crate::store::{NewToken, StoreError, TokenDecision, TokenId, TokenRow, TokenStore};
use async_trait::async_trait;
use ringwire_config::Secret;
use ringwire_link::facts::{FactChange, TokenFact, TokenState};
use ringwire_link::record::TokenKickRecord;
use ringwire_protocol::error::{ApiError, ErrorCode};
use ringwire_protocol::slot::slot_of;
use ringwire_protocol::token::{self, Claims};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::Mutex;

/// Parts of the book, each with its own locks.
const SHARDS: usize = 64;

/// Tokens read at once from the database at start.
const LOAD_ROWS: i64 = 10_000;

/// What the book needs to know.
#[derive(Clone)]
pub struct TokenConfig {
    /// Key of the signatures.
    pub secret: Arc<Secret>,
    /// Multi-device policy.
    pub policy: Policy,
    /// Life of a token, days.
    pub expire_days: u32,
}

/// Whose token it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// User.
    pub user_id: String,
    /// Platform.
    pub platform_id: i32,
    /// When the token ends, Unix seconds.
    pub expires_s: i64,
}

/// A new token.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// The token.
    pub token: String,
    /// How long it lives, seconds.
    pub lifetime_s: i64,
}

/// All live and kicked tokens. Cheap to clone.
#[derive(Clone)]
pub struct TokenBook {
    inner: Arc<Inner>,
}

struct Inner {
    config: TokenConfig,
    store: Arc<dyn TokenStore>,
    gateways: Arc<dyn Gateways>,
    shards: Vec<Shard>,
}

#[derive(Default)]
struct Shard {
    users: RwLock<HashMap<String, Tokens>>,
    /// Held while a change goes into the database and into memory.
    change: Mutex<()>,
    /// What the gateways have still to be told, in order.
    untold: std::sync::Mutex<Vec<TokenFact>>,
    /// Held while they are told. Not `change`: a gateway that is slow to answer must not hold up the
    /// journal, whose records may be what its answer waits behind.
    tell: Mutex<()>,
}

type Tokens = HashMap<TokenId, Entry>;

#[derive(Debug, Clone, Copy)]
struct Entry {
    platform_id: i32,
    kicked: bool,
    issued_ms: i64,
    expires_s: i64,
}

impl Shard {
    fn read(&self) -> RwLockReadGuard<'_, HashMap<String, Tokens>> {
        // A panic under the lock leaves whole entries only.
        self.users.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, Tokens>> {
        self.users.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn untold(&self) -> std::sync::MutexGuard<'_, Vec<TokenFact>> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenBook {
    /// Reads all tokens that have not expired.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn load(
        config: TokenConfig,
        store: Arc<dyn TokenStore>,
        gateways: Arc<dyn Gateways>,
    ) -> Result<Self, StoreError> {
        let shards = std::iter::repeat_with(Shard::default)
            .take(SHARDS)
            .collect();
        let book = Self {
            inner: Arc::new(Inner {
                config,
                store,
                gateways,
                shards,
            }),
        };
        let now_s = unix_ms().div_euclid(1000);
        let mut after = None;
        loop {
            let rows = book.inner.store.load(now_s, after, LOAD_ROWS).await?;
            let Some(last) = rows.last() else { break };
            after = Some(last.token);
            for row in rows {
                let entry = Entry {
                    platform_id: row.platform_id,
                    kicked: row.kicked,
                    issued_ms: row.issued_at,
                    expires_s: row.expires_s,
                };
                book.inner
                    .shard(&row.user_id)
                    .write()
                    .entry(row.user_id)
                    .or_default()
                    .insert(row.token, entry);
            }
        }
        Ok(book)
    }

    /// Checks a token (spec: auth.md 4): its signature and times, then its stored state.
    ///
    /// # Errors
    /// 1501 to 1507. All of them are final: clients log out.
    pub fn check(&self, text: &str) -> Result<Holder, ApiError> {
        let claims = token::verify(
            text,
            self.inner.config.secret.as_bytes(),
            unix_ms().div_euclid(1000),
        )?;
        let users = self.inner.shard(&claims.user_id).read();
        let entry = users
            .get(&claims.user_id)
            .and_then(|tokens| tokens.get(&token::fingerprint(text)));
        match entry {
            Some(entry) if entry.kicked => Err(ApiError::new(ErrorCode::TokenKicked, "")),
            Some(_) => Ok(Holder {
                user_id: claims.user_id,
                platform_id: claims.platform_id,
                expires_s: claims.exp,
            }),
            None => Err(ApiError::new(ErrorCode::TokenNotExist, "")),
        }
    }

    /// Makes a token, and puts out of force what the multi-device policy says. All gateways know
    /// when this returns.
    ///
    /// # Errors
    /// 500 when the database cannot be written; 1004 when it does not know the user.
    pub async fn issue(&self, user_id: &str, platform_id: i32) -> Result<Issued, ApiError> {
        let inner = &self.inner;
        let shard = inner.shard(user_id);
        let change = shard.change.lock().await;
        let now_ms = unix_ms();
        let now_s = now_ms.div_euclid(1000);
        let claims = Claims::new(user_id, platform_id, now_s, inner.config.expire_days);
        let lifetime_s = claims.exp - now_s;
        let text = token::sign(&claims, inner.config.secret.as_bytes());
        let new = NewToken {
            user_id: user_id.to_owned(),
            platform_id,
            sha256: Sha256::digest(text.as_bytes()).into(),
            issued_at: now_ms,
            expires_s: claims.exp,
        };
        let id = new.id();
        let policy = inner.config.policy;
        let decide = |rows: &[TokenRow]| policy.decide(rows, platform_id, &id, now_ms);
        let decision = inner.store.issue(&new, &decide).await?;
        let entry = Entry {
            platform_id,
            kicked: false,
            issued_ms: now_ms,
            expires_s: claims.exp,
        };
        shard.issued(user_id, id, entry, &decision);
        drop(change);
        inner.tell(shard).await;
        Ok(Issued {
            token: text,
            lifetime_s,
        })
    }

    /// Puts all tokens of a user on one platform (`None`: on all) out of force. All gateways know when
    /// this returns; closing the sessions is the caller's next step.
    ///
    /// # Errors
    /// 500 when the database cannot be written.
    pub async fn kick(&self, user_id: &str, platform_id: Option<i32>) -> Result<(), ApiError> {
        let shard = self.inner.shard(user_id);
        let change = shard.change.lock().await;
        let rows = self
            .inner
            .store
            .kick_platform(user_id, platform_id, None, i64::MAX)
            .await?;
        shard.kicked(user_id, rows.iter().map(|row| row.token));
        drop(change);
        self.inner.tell(shard).await;
        Ok(())
    }

    /// Lines for `/metrics`: how many tokens are known.
    pub fn metrics(&self) -> String {
        let (mut live, mut kicked) = (0usize, 0usize);
        for shard in &self.inner.shards {
            for entry in shard.read().values().flat_map(HashMap::values) {
                *(if entry.kicked { &mut kicked } else { &mut live }) += 1;
            }
        }
        format!(
            "# HELP ringwire_tokens Tokens known, by state.\n# TYPE ringwire_tokens gauge\n\
             ringwire_tokens{{state=\"live\"}} {live}\nringwire_tokens{{state=\"kicked\"}} {kicked}\n"
        )
    }

    /// Forgets what has expired, in the database and in memory.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn purge(&self) -> Result<(), StoreError> {
        let now_s = unix_ms().div_euclid(1000);
        self.inner.store.purge(now_s).await?;
        for shard in &self.inner.shards {
            shard.write().retain(|_, tokens| {
                tokens.retain(|_, entry| entry.expires_s > now_s);
                !tokens.is_empty()
            });
        }
        Ok(())
    }
}

impl Shard {
    /// Writes a new token and the policy's decision into memory.
    fn issued(&self, user_id: &str, id: TokenId, entry: Entry, decision: &TokenDecision) {
        self.kicked(user_id, decision.kick.iter().copied());
        let mut users = self.write();
        let mut untold = self.untold();
        let tokens = users.entry(user_id.to_owned()).or_default();
        for gone in &decision.remove {
            if let Some(entry) = tokens.remove(gone) {
                untold.push(fact(user_id, *gone, entry, TokenState::Gone));
            }
        }
        tokens.insert(id, entry);
        untold.push(fact(user_id, id, entry, TokenState::Normal));
    }

    /// Marks tokens kicked in memory; unknown ones are passed over.
    fn kicked(&self, user_id: &str, ids: impl Iterator<Item = TokenId>) {
        let mut users = self.write();
        let Some(tokens) = users.get_mut(user_id) else {
            return;
        };
        let mut untold = self.untold();
        for id in ids {
            if let Some(entry) = tokens.get_mut(&id) {
                entry.kicked = true;
                untold.push(fact(user_id, id, *entry, TokenState::Kicked));
            }
        }
    }

    /// Live tokens among `ids` that were made no later than `at_ms`.
    fn live_until(&self, user_id: &str, ids: &[Vec<u8>], at_ms: i64) -> Vec<TokenId> {
        let users = self.read();
        let Some(tokens) = users.get(user_id) else {
            return Vec::new();
        };
        ids.iter()
            .filter_map(|id| TokenId::try_from(id.as_slice()).ok())
            .filter(|id| {
                tokens
                    .get(id)
                    .is_some_and(|e| !e.kicked && e.issued_ms <= at_ms)
            })
            .collect()
    }
}

impl Inner {
    fn shard(&self, user_id: &str) -> &Shard {
        &self.shards[usize::from(slot_of(user_id)) % SHARDS]
    }

    /// Returns when the gateways know of everything that happened in this shard before the call.
    async fn tell(&self, shard: &Shard) {
        let _tell = shard.tell.lock().await;
        let facts = std::mem::take(&mut *shard.untold());
        if !facts.is_empty() {
            self.gateways
                .apply(facts.into_iter().map(FactChange::Token).collect())
                .await;
        }
    }
}

fn state(entry: Entry) -> TokenState {
    if entry.kicked {
        TokenState::Kicked
    } else {
        TokenState::Normal
    }
}

fn fact(user_id: &str, token: TokenId, entry: Entry, state: TokenState) -> TokenFact {
    TokenFact {
        user_id: user_id.to_owned(),
        platform_id: entry.platform_id,
        token,
        state,
        expires_s: entry.expires_s,
    }
}

#[async_trait]
impl TokenStates for TokenBook {
    async fn snapshot(
        &self,
        wanted: &(dyn for<'a> Fn(&'a str) -> bool + Send + Sync),
    ) -> Vec<TokenFact> {
        let now_s = unix_ms().div_euclid(1000);
        let mut facts = Vec::new();
        for shard in &self.inner.shards {
            for (user_id, tokens) in shard.read().iter().filter(|(user_id, _)| wanted(user_id)) {
                let valid = tokens.iter().filter(|(_, entry)| entry.expires_s > now_s);
                facts.extend(valid.map(|(id, entry)| fact(user_id, *id, *entry, state(*entry))));
            }
        }
        facts
    }

    async fn kicked_by_login(&self, record: &TokenKickRecord) -> Result<(), String> {
        let user_id = record.user_id.as_str();
        let shard = self.inner.shard(user_id);
        let change = shard.change.lock().await;
        // A token made again after the login stays: the record may come late, or twice.
        let mut ids = shard.live_until(user_id, &record.tokens, record.at_ms);
        let mut rows = Vec::new();
        if !ids.is_empty() {
            rows = self
                .inner
                .store
                .kick(user_id, &ids)
                .await
                .map_err(|e| e.to_string())?;
        }
        if record.platform_id != 0 && record.platform_id != ADMIN_PLATFORM {
            let keep = TokenId::try_from(record.keep.as_slice()).ok();
            let platform = Some(record.platform_id);
            let more = self
                .inner
                .store
                .kick_platform(user_id, platform, keep, record.at_ms)
                .await;
            rows.extend(more.map_err(|e| e.to_string())?);
        }
        ids.extend(rows.iter().map(|row| row.token));
        shard.kicked(user_id, ids.iter().copied());
        drop(change);
        if !ids.is_empty() {
            // The home core has done its part already; this is for tokens that were on their way to
            // it then. Not waited for: the answer would come over the connection that waits for us.
            let (inner, user_id) = (self.inner.clone(), user_id.to_owned());
            tokio::spawn(async move { inner.tell(inner.shard(&user_id)).await });
        }
        Ok(())
    }
}
