//! Users and client configuration.

use super::super::users::MAX_ID_BYTES;
use super::super::{
    ClientConfig, OutboxMessage, Page, RegisterCounts, StoreError, StoreResult, User, UserFilter,
    UserPatch, UserStore, UserUpdate,
};
use super::db::{Row, Tx, texts};
use super::dialect::contains;
use super::value::{Value, values};
use super::{SqlStore, in_order, outbox};
use async_trait::async_trait;
use std::collections::{BTreeMap, HashSet};

const COLUMNS: &str = "user_id, nickname, face_url, ex, create_time, level, global_recv_opt";
const INSERT: &str =
    "INSERT INTO users (user_id, nickname, face_url, ex, create_time, level, global_recv_opt)";
const DAY_MS: i64 = 86_400_000;

fn read(row: &Row) -> StoreResult<User> {
    Ok(User {
        user_id: row.text(0)?,
        nickname: row.text(1)?,
        face_url: row.text(2)?,
        ex: row.text(3)?,
        create_time: row.int(4)?,
        level: row.small(5)?,
        global_recv_opt: row.small(6)?,
    })
}

fn parameters<'a>(u: &'a User, rows: &mut Vec<Value<'a>>) {
    rows.extend_from_slice(values![
        &u.user_id,
        &u.nickname,
        &u.face_url,
        &u.ex,
        u.create_time,
        u.level,
        u.global_recv_opt
    ]);
}

/// Locks a user's row.
pub(super) async fn lock(tx: &mut Tx, user_id: &str) -> StoreResult<User> {
    let sql = format!(
        "SELECT {COLUMNS} FROM users WHERE user_id = $1{}",
        tx.dialect().for_update()
    );
    match tx.rows(sql, values![user_id]).await?.first() {
        Some(row) => read(row),
        None => Err(StoreError::NotFound("user".into())),
    }
}

/// Locks the rows of these users, in one order, before their tokens are touched: whoever changes a
/// user's tokens takes his row first. Users that are not there are passed over.
pub(super) async fn lock_many(tx: &mut Tx, user_ids: &[String]) -> StoreResult<()> {
    let sql = format!(
        "SELECT user_id FROM users WHERE {} ORDER BY user_id{}",
        tx.dialect().any("user_id", 1),
        tx.dialect().for_update()
    );
    tx.rows(sql, values![user_ids]).await?;
    Ok(())
}

/// `WHERE` of a filter, with parameters from `$1` on.
fn filter_sql<'a>(
    filter: &'a UserFilter,
    any_level: &str,
    levels: &'a [i64],
    patterns: &'a (String, String),
) -> (String, Vec<Value<'a>>) {
    let mut conditions = Vec::new();
    let mut values = Vec::new();
    if !levels.is_empty() {
        values.push(Value::Ints(levels));
        conditions.push(any_level.to_owned());
    }
    let mut either = Vec::new();
    for (column, wanted, pattern) in [
        ("user_id", &filter.user_id, &patterns.0),
        ("nickname", &filter.nickname, &patterns.1),
    ] {
        if !wanted.is_empty() {
            values.push(Value::Text(pattern));
            either.push(format!(
                "LOWER({column}) LIKE LOWER(${}) ESCAPE '\\'",
                values.len()
            ));
        }
    }
    if !either.is_empty() {
        conditions.push(format!("({})", either.join(" OR ")));
    }
    let sql = if conditions.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", conditions.join(" AND "))
    };
    (sql, values)
}

#[async_trait]
impl UserStore for SqlStore {
    async fn insert(&self, users: &[User]) -> StoreResult<()> {
        let mut seen = HashSet::new();
        for user in users {
            if user.user_id.len() > MAX_ID_BYTES {
                return Err(StoreError::Invalid("userID is too long"));
            }
            if !seen.insert(&user.user_id) {
                return Err(StoreError::Duplicate(user.user_id.clone()));
            }
        }
        // One order for all writers, so that two overlapping lists cannot wait for each other.
        let mut sorted: Vec<&User> = users.iter().collect();
        sorted.sort_by(|a, b| a.user_id.cmp(&b.user_id));
        let mut rows = Vec::with_capacity(users.len() * 7);
        for user in sorted {
            parameters(user, &mut rows);
        }
        let mut tx = self.db.write().await?;
        let inserted = tx
            .rows_many(
                INSERT,
                7,
                &rows,
                "ON CONFLICT (user_id) DO NOTHING RETURNING user_id",
            )
            .await?;
        if inserted.len() < users.len() {
            let new: HashSet<String> = inserted
                .iter()
                .map(|r| r.text(0))
                .collect::<StoreResult<_>>()?;
            let taken = users.iter().find(|u| !new.contains(&u.user_id));
            return Err(StoreError::Duplicate(
                taken.map(|u| u.user_id.clone()).unwrap_or_default(),
            ));
        }
        tx.commit().await
    }

    async fn get(&self, ids: &[String]) -> StoreResult<Vec<User>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM users WHERE {}",
            self.db.dialect().any("user_id", 1)
        );
        let rows = self.db.rows(sql, values![ids]).await?;
        let users = rows.iter().map(read).collect::<StoreResult<Vec<_>>>()?;
        Ok(in_order(ids, users, |u| &u.user_id))
    }

    async fn update(
        &self,
        user_id: &str,
        patch: &UserPatch,
        effects: Vec<OutboxMessage>,
        effects_if_changed: bool,
    ) -> StoreResult<UserUpdate> {
        let mut tx = self.db.write().await?;
        let old = lock(&mut tx, user_id).await?;
        let mut new = old.clone();
        for (field, wanted) in [
            (&mut new.nickname, &patch.nickname),
            (&mut new.face_url, &patch.face_url),
            (&mut new.ex, &patch.ex),
        ] {
            if let Some(wanted) = wanted {
                field.clone_from(wanted);
            }
        }
        new.global_recv_opt = patch.global_recv_opt.unwrap_or(new.global_recv_opt);
        let changed = new != old;
        if changed {
            tx.execute(
                "UPDATE users SET nickname = $2, face_url = $3, ex = $4, global_recv_opt = $5 WHERE user_id = $1",
                values![user_id, &new.nickname, &new.face_url, &new.ex, new.global_recv_opt],
            )
            .await?;
        }
        if changed || !effects_if_changed {
            outbox::push(&mut tx, &effects).await?;
        }
        tx.commit().await?;
        Ok(UserUpdate { old, new })
    }

    async fn existing(&self, ids: &[String]) -> StoreResult<Vec<String>> {
        let sql = format!(
            "SELECT user_id FROM users WHERE {}",
            self.db.dialect().any("user_id", 1)
        );
        let found = self.db.texts(sql, values![ids]).await?;
        Ok(in_order(ids, found, |id| id))
    }

    async fn page(&self, filter: &UserFilter, page: Page) -> StoreResult<(i64, Vec<User>)> {
        let levels: Vec<i64> = filter.levels.iter().map(|l| i64::from(*l)).collect();
        let patterns = (contains(&filter.user_id), contains(&filter.nickname));
        let any_level = self.db.dialect().any("level", 1);
        let (wheres, mut parameters) = filter_sql(filter, &any_level, &levels, &patterns);
        let mut tx = self.db.snapshot().await?;
        let total = tx
            .int(format!("SELECT COUNT(*) FROM users{wheres}"), &parameters)
            .await?;
        let n = parameters.len();
        parameters.extend_from_slice(values![page.limit.max(0), page.offset.max(0)]);
        let sql = format!(
            "SELECT {COLUMNS} FROM users{wheres} ORDER BY create_time, user_id LIMIT ${} OFFSET ${}",
            n + 1,
            n + 2
        );
        let rows = tx.rows(sql, &parameters).await?;
        tx.commit().await?;
        Ok((total, rows.iter().map(read).collect::<StoreResult<_>>()?))
    }

    async fn page_ids(&self, page: Page) -> StoreResult<(i64, Vec<String>)> {
        let mut tx = self.db.snapshot().await?;
        let total = tx.int("SELECT COUNT(*) FROM users", &[]).await?;
        let rows = tx
            .rows(
                "SELECT user_id FROM users ORDER BY create_time, user_id LIMIT $1 OFFSET $2",
                values![page.limit.max(0), page.offset.max(0)],
            )
            .await?;
        tx.commit().await?;
        Ok((total, texts(&rows)?))
    }

    async fn register_counts(&self, start: i64, end: i64) -> StoreResult<RegisterCounts> {
        let mut tx = self.db.snapshot().await?;
        let total = tx.int("SELECT COUNT(*) FROM users", &[]).await?;
        let before = tx
            .int(
                "SELECT COUNT(*) FROM users WHERE create_time < $1",
                values![start],
            )
            .await?;
        let rows = tx
            .rows(
                "SELECT create_time / $3 AS day, COUNT(*) FROM users \
                 WHERE create_time >= $1 AND create_time < $2 GROUP BY 1",
                values![start, end, DAY_MS],
            )
            .await?;
        tx.commit().await?;
        let days = rows
            .iter()
            .map(|r| Ok((r.int(0)?, r.int(1)?)))
            .collect::<StoreResult<_>>()?;
        Ok(RegisterCounts {
            total,
            before,
            days,
        })
    }

    async fn ensure_admins(
        &self,
        admins: &[(String, String)],
        level: i32,
        now: i64,
    ) -> StoreResult<()> {
        let by_id: BTreeMap<&String, &String> =
            admins.iter().map(|(id, name)| (id, name)).collect();
        let mut rows = Vec::with_capacity(by_id.len() * 7);
        for (id, nickname) in by_id {
            rows.extend_from_slice(values![id, nickname, "", "", now, level, 0]);
        }
        let mut tx = self.db.write().await?;
        tx.execute_many(
            INSERT,
            7,
            &rows,
            "ON CONFLICT (user_id) DO UPDATE SET nickname = excluded.nickname",
        )
        .await?;
        tx.commit().await
    }

    async fn client_config(&self, user_id: &str) -> StoreResult<BTreeMap<String, String>> {
        let rows = self
            .db
            .rows(
                "SELECT name, value FROM client_configs WHERE user_id = $1",
                values![user_id],
            )
            .await?;
        rows.iter().map(|r| Ok((r.text(0)?, r.text(1)?))).collect()
    }

    async fn set_client_config(
        &self,
        user_id: &str,
        entries: &BTreeMap<String, String>,
    ) -> StoreResult<()> {
        let mut rows = Vec::with_capacity(entries.len() * 3);
        for (key, value) in entries {
            if key.len() > MAX_ID_BYTES {
                return Err(StoreError::Invalid("key is too long"));
            }
            rows.extend_from_slice(values![user_id, key, value]);
        }
        let mut tx = self.db.write().await?;
        tx.execute_many(
            "INSERT INTO client_configs (user_id, name, value)",
            3,
            &rows,
            "ON CONFLICT (user_id, name) DO UPDATE SET value = excluded.value",
        )
        .await?;
        tx.commit().await
    }

    async fn delete_client_config(&self, user_id: &str, keys: &[String]) -> StoreResult<()> {
        let sql = format!(
            "DELETE FROM client_configs WHERE user_id = $1 AND {}",
            self.db.dialect().any("name", 2)
        );
        let mut tx = self.db.write().await?;
        tx.execute(sql, values![user_id, keys]).await?;
        tx.commit().await
    }

    async fn page_client_config(
        &self,
        user_id: &str,
        key: &str,
        page: Page,
    ) -> StoreResult<(i64, Vec<ClientConfig>)> {
        let wheres = "WHERE ($1 = '' OR user_id = $1) AND ($2 = '' OR name = $2)";
        let mut tx = self.db.snapshot().await?;
        let total = tx
            .int(
                format!("SELECT COUNT(*) FROM client_configs {wheres}"),
                values![user_id, key],
            )
            .await?;
        let rows = tx
            .rows(
                format!(
                    "SELECT user_id, name, value FROM client_configs {wheres} \
                     ORDER BY user_id, name LIMIT $3 OFFSET $4"
                ),
                values![user_id, key, page.limit.max(0), page.offset.max(0)],
            )
            .await?;
        tx.commit().await?;
        let entries = rows
            .iter()
            .map(|r| {
                Ok(ClientConfig {
                    user_id: r.text(0)?,
                    key: r.text(1)?,
                    value: r.text(2)?,
                })
            })
            .collect::<StoreResult<_>>()?;
        Ok((total, entries))
    }
}
