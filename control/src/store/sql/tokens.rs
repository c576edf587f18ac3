//! Token states.

use super::super::{
    NewToken, StoreError, StoreResult, TokenDecision, TokenId, TokenRow, TokenStore, tokens::Policy,
};
use super::SqlStore;
use super::db::{Row, Tx};
use super::users;
use super::value::values;
use async_trait::async_trait;

const COLUMNS: &str = "token, user_id, platform_id, sha256, kicked, issued_at, expires_s";

fn read(row: &Row) -> StoreResult<TokenRow> {
    let size = |_| StoreError::Database("a token's hash has another size".into());
    Ok(TokenRow {
        token: row.blob(0)?.as_slice().try_into().map_err(size)?,
        user_id: row.text(1)?,
        platform_id: row.small(2)?,
        sha256: row.blob(3)?.as_slice().try_into().map_err(size)?,
        kicked: row.flag(4)?,
        issued_at: row.int(5)?,
        expires_s: row.int(6)?,
    })
}

/// Marks tokens kicked that were issued no later than `issued_until` (Unix milliseconds); returns the
/// rows that changed. Tokens are taken in one order.
pub(super) async fn kick(
    tx: &mut Tx,
    user_id: &str,
    tokens: &[TokenId],
    issued_until: i64,
) -> StoreResult<Vec<TokenRow>> {
    let mut tokens = tokens.to_vec();
    tokens.sort_unstable();
    let mut changed = Vec::new();
    for token in &tokens {
        let rows = tx
            .rows(
                format!(
                    "UPDATE tokens SET kicked = 1 WHERE token = $1 AND user_id = $2 AND kicked = 0 \
                     AND issued_at <= $3 RETURNING {COLUMNS}"
                ),
                values![token.as_slice(), user_id, issued_until],
            )
            .await?;
        changed.extend(rows.iter().map(read).collect::<StoreResult<Vec<_>>>()?);
    }
    Ok(changed)
}

/// Marks the tokens of one platform (or all) kicked, but `keep` and those issued later.
pub(super) async fn kick_platform(
    tx: &mut Tx,
    user_id: &str,
    platform_id: Option<i32>,
    keep: Option<TokenId>,
    issued_until: i64,
) -> StoreResult<Vec<TokenRow>> {
    let stored = of_user(tx, user_id).await?;
    let hit: Vec<TokenId> = stored
        .iter()
        .filter(|t| !t.kicked && t.issued_at <= issued_until && Some(t.token) != keep)
        .filter(|t| platform_id.is_none_or(|p| p == t.platform_id))
        .map(|t| t.token)
        .collect();
    kick(tx, user_id, &hit, issued_until).await
}

async fn of_user(tx: &mut Tx, user_id: &str) -> StoreResult<Vec<TokenRow>> {
    let sql = format!("SELECT {COLUMNS} FROM tokens WHERE user_id = $1 ORDER BY issued_at, token");
    tx.rows(sql, values![user_id])
        .await?
        .iter()
        .map(read)
        .collect()
}

async fn remove(tx: &mut Tx, user_id: &str, tokens: &[TokenId]) -> StoreResult<()> {
    let mut tokens = tokens.to_vec();
    tokens.sort_unstable();
    for token in &tokens {
        tx.execute(
            "DELETE FROM tokens WHERE token = $1 AND user_id = $2",
            values![token.as_slice(), user_id],
        )
        .await?;
    }
    Ok(())
}

#[async_trait]
impl TokenStore for SqlStore {
    async fn issue(&self, token: &NewToken, policy: Policy<'_>) -> StoreResult<TokenDecision> {
        let mut tx = self.db.write().await?;
        // The user's row is what two logins of the same user wait for.
        users::lock(&mut tx, &token.user_id).await?;
        let decision = policy(&of_user(&mut tx, &token.user_id).await?);
        kick(&mut tx, &token.user_id, &decision.kick, i64::MAX).await?;
        remove(&mut tx, &token.user_id, &decision.remove).await?;
        let id = token.id();
        tx.execute(
            "INSERT INTO tokens (token, user_id, platform_id, sha256, kicked, issued_at, expires_s) \
             VALUES ($1, $2, $3, $4, 0, $5, $6) ON CONFLICT (token) DO UPDATE SET \
             kicked = 0, issued_at = excluded.issued_at, expires_s = excluded.expires_s",
            values![
                id.as_slice(),
                &token.user_id,
                token.platform_id,
                token.sha256.as_slice(),
                token.issued_at,
                token.expires_s
            ],
        )
        .await?;
        tx.commit().await?;
        Ok(decision)
    }

    async fn kick(&self, user_id: &str, tokens: &[TokenId]) -> StoreResult<Vec<TokenRow>> {
        let mut tx = self.db.write().await?;
        users::lock_many(&mut tx, &[user_id.to_owned()]).await?;
        let changed = kick(&mut tx, user_id, tokens, i64::MAX).await?;
        tx.commit().await?;
        Ok(changed)
    }

    async fn kick_platform(
        &self,
        user_id: &str,
        platform_id: Option<i32>,
        keep: Option<TokenId>,
        issued_until: i64,
    ) -> StoreResult<Vec<TokenRow>> {
        let mut tx = self.db.write().await?;
        users::lock_many(&mut tx, &[user_id.to_owned()]).await?;
        let changed = kick_platform(&mut tx, user_id, platform_id, keep, issued_until).await?;
        tx.commit().await?;
        Ok(changed)
    }

    async fn remove(&self, user_id: &str, tokens: &[TokenId]) -> StoreResult<()> {
        let mut tx = self.db.write().await?;
        remove(&mut tx, user_id, tokens).await?;
        tx.commit().await
    }

    async fn load(
        &self,
        now_s: i64,
        after: Option<TokenId>,
        limit: i64,
    ) -> StoreResult<Vec<TokenRow>> {
        // The empty string of bytes sorts before every token.
        let after = after.as_ref().map_or(&[][..], |t| t.as_slice());
        let sql = format!(
            "SELECT {COLUMNS} FROM tokens WHERE token > $1 AND expires_s > $2 ORDER BY token LIMIT $3"
        );
        self.db
            .rows(sql, values![after, now_s, limit.max(0)])
            .await?
            .iter()
            .map(read)
            .collect()
    }

    async fn purge(&self, now_s: i64) -> StoreResult<u64> {
        let mut tx = self.db.write().await?;
        let gone = tx
            .execute("DELETE FROM tokens WHERE expires_s <= $1", values![now_s])
            .await?;
        tx.commit().await?;
        Ok(gone)
    }
}
