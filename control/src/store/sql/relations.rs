//! Friends, blacks, friend requests.

use super::super::{Black, Friend, Log, NewFriend, Page, RelationStore, StoreResult};
use super::db::{Row, texts};
use super::value::values;
use super::versions::{Bump, State, bump, bumps_by_key};
use super::{SqlStore, in_order};
use async_trait::async_trait;
use std::collections::BTreeMap;

/// Friend ids of owner `$1` in display order.
pub(super) const FRIEND_IDS: &str =
    "SELECT friend_id FROM friends WHERE owner_id = $1 ORDER BY is_pinned DESC, row_id";

const FRIEND: &str =
    "owner_id, friend_id, remark, create_time, add_source, operator_id, ex, is_pinned";

fn read_friend(row: &Row) -> StoreResult<Friend> {
    Ok(Friend {
        owner_id: row.text(0)?,
        friend_id: row.text(1)?,
        remark: row.text(2)?,
        create_time: row.int(3)?,
        add_source: row.small(4)?,
        operator_id: row.text(5)?,
        ex: row.text(6)?,
        is_pinned: row.flag(7)?,
    })
}

fn read_black(row: &Row) -> StoreResult<Black> {
    Ok(Black {
        owner_id: row.text(0)?,
        block_id: row.text(1)?,
        create_time: row.int(2)?,
        add_source: row.small(3)?,
        operator_id: row.text(4)?,
        ex: row.text(5)?,
    })
}

#[async_trait]
impl RelationStore for SqlStore {
    async fn friends(&self, owner_id: &str, page: Page) -> StoreResult<(i64, Vec<Friend>)> {
        let mut tx = self.db.snapshot().await?;
        let total = tx
            .int(
                "SELECT COUNT(*) FROM friends WHERE owner_id = $1",
                values![owner_id],
            )
            .await?;
        let rows = tx
            .rows(
                format!(
                    "SELECT {FRIEND} FROM friends WHERE owner_id = $1 \
                     ORDER BY is_pinned DESC, row_id LIMIT $2 OFFSET $3"
                ),
                values![owner_id, page.limit.max(0), page.offset.max(0)],
            )
            .await?;
        tx.commit().await?;
        Ok((
            total,
            rows.iter().map(read_friend).collect::<StoreResult<_>>()?,
        ))
    }

    async fn friends_by_id(&self, owner_id: &str, ids: &[String]) -> StoreResult<Vec<Friend>> {
        let sql = format!(
            "SELECT {FRIEND} FROM friends WHERE owner_id = $1 AND {}",
            self.db.dialect().any("friend_id", 2)
        );
        let rows = self.db.rows(sql, values![owner_id, ids]).await?;
        let friends = rows
            .iter()
            .map(read_friend)
            .collect::<StoreResult<Vec<_>>>()?;
        Ok(in_order(ids, friends, |f| &f.friend_id))
    }

    async fn friend_ids(&self, owner_id: &str) -> StoreResult<Vec<String>> {
        self.db.texts(FRIEND_IDS, values![owner_id]).await
    }

    async fn blacks(&self, owner_id: &str, page: Page) -> StoreResult<(i64, Vec<Black>)> {
        let mut tx = self.db.snapshot().await?;
        let total = tx
            .int(
                "SELECT COUNT(*) FROM blacks WHERE owner_id = $1",
                values![owner_id],
            )
            .await?;
        let rows = tx
            .rows(
                "SELECT owner_id, block_id, create_time, add_source, operator_id, ex FROM blacks \
                 WHERE owner_id = $1 ORDER BY row_id LIMIT $2 OFFSET $3",
                values![owner_id, page.limit.max(0), page.offset.max(0)],
            )
            .await?;
        tx.commit().await?;
        Ok((
            total,
            rows.iter().map(read_black).collect::<StoreResult<_>>()?,
        ))
    }

    async fn unhandled_requests(&self, user_id: &str, after: i64) -> StoreResult<i64> {
        self.db
            .int(
                "SELECT COUNT(*) FROM friend_requests WHERE to_id = $1 AND handle_result = 0 AND create_time > $2",
                values![user_id, after],
            )
            .await
    }

    async fn add_friends(&self, friends: &[NewFriend]) -> StoreResult<Vec<(String, String)>> {
        let sorted: BTreeMap<(&String, &String), &NewFriend> = friends
            .iter()
            .map(|f| ((&f.owner_id, &f.friend_id), f))
            .collect();
        let mut rows = Vec::with_capacity(sorted.len() * 8);
        for f in sorted.values() {
            rows.extend_from_slice(values![
                &f.owner_id,
                &f.friend_id,
                &f.remark,
                f.create_time,
                f.add_source,
                &f.operator_id,
                &f.ex,
                f.is_pinned
            ]);
        }
        let now = friends.iter().map(|f| f.create_time).max().unwrap_or(0);
        let mut tx = self.db.write().await?;
        let inserted = tx
            .rows_many(
                "INSERT INTO friends \
                 (owner_id, friend_id, remark, create_time, add_source, operator_id, ex, is_pinned)",
                8,
                &rows,
                "ON CONFLICT (owner_id, friend_id) DO NOTHING RETURNING owner_id, friend_id",
            )
            .await?;
        let inserted = inserted
            .iter()
            .map(|r| Ok((r.text(0)?, r.text(1)?)))
            .collect::<StoreResult<Vec<(String, String)>>>()?;
        bump(
            &mut tx,
            bumps_by_key(Log::Friends, State::Insert, &inserted),
            now,
        )
        .await?;
        tx.commit().await?;
        Ok(inserted)
    }

    async fn remove_friends(
        &self,
        owner_id: &str,
        friend_ids: &[String],
        now: i64,
    ) -> StoreResult<Vec<String>> {
        let mut tx = self.db.write().await?;
        let sql = format!(
            "DELETE FROM friends WHERE owner_id = $1 AND {} RETURNING friend_id",
            tx.dialect().any("friend_id", 2)
        );
        let rows = tx.rows(sql, values![owner_id, friend_ids]).await?;
        let removed = texts(&rows)?;
        bump(
            &mut tx,
            vec![Bump::new(
                Log::Friends,
                owner_id,
                State::Delete,
                removed.iter().cloned(),
            )],
            now,
        )
        .await?;
        tx.commit().await?;
        Ok(removed)
    }

    async fn add_black(&self, black: &Black) -> StoreResult<()> {
        let mut tx = self.db.write().await?;
        tx.execute(
            "INSERT INTO blacks (owner_id, block_id, create_time, add_source, operator_id, ex) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (owner_id, block_id) DO UPDATE SET ex = excluded.ex",
            values![
                &black.owner_id,
                &black.block_id,
                black.create_time,
                black.add_source,
                &black.operator_id,
                &black.ex
            ],
        )
        .await?;
        tx.commit().await
    }
}
