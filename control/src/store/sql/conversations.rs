//! Conversation records.

use super::super::{
    ConversationRecord, ConversationStore, Log, NewConversation, Page, StoreResult,
};
use super::db::{Row, Tx, texts};
use super::value::{Value, values};
use super::versions::{Bump, State, bump, bumps_by_key};
use super::{SqlStore, in_order};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};

/// Conversation ids of owner `$1` in order of creation.
pub(super) const IDS: &str =
    "SELECT conversation_id FROM conversations WHERE owner_id = $1 ORDER BY row_id";

const COLUMNS: &str = "c.owner_id, c.conversation_id, c.conversation_type, c.user_id, c.group_id, c.recv_msg_opt, \
     c.is_pinned, c.is_private_chat, c.burn_duration, c.group_at_type, c.attached_info, c.ex, s.min_seq, s.max_seq, \
     c.is_msg_destruct, c.msg_destruct_time, c.latest_msg_destruct_time, c.create_time";

const FROM: &str = "conversations c LEFT JOIN seq_users s \
     ON s.user_id = c.owner_id AND s.conversation_id = c.conversation_id";

fn read(row: &Row) -> StoreResult<ConversationRecord> {
    Ok(ConversationRecord {
        owner_id: row.text(0)?,
        conversation_id: row.text(1)?,
        conversation_type: row.small(2)?,
        user_id: row.text(3)?,
        group_id: row.text(4)?,
        recv_msg_opt: row.small(5)?,
        is_pinned: row.flag(6)?,
        is_private_chat: row.flag(7)?,
        burn_duration: row.small(8)?,
        group_at_type: row.small(9)?,
        attached_info: row.text(10)?,
        ex: row.text(11)?,
        min_seq: row.int(12)?,
        max_seq: row.int(13)?,
        is_msg_destruct: row.flag(14)?,
        msg_destruct_time: row.int(15)?,
        latest_msg_destruct_time: row.int(16)?,
        create_time: row.int(17)?,
    })
}

fn pairs(rows: &[Row]) -> StoreResult<Vec<(String, String)>> {
    rows.iter().map(|r| Ok((r.text(0)?, r.text(1)?))).collect()
}

/// Creates missing records; does not bump. Returns (owner, conversation) of the created ones.
pub(super) async fn insert_missing(
    tx: &mut Tx,
    records: &BTreeSet<NewConversation>,
    now: i64,
) -> StoreResult<Vec<(String, String)>> {
    let mut rows: Vec<Value<'_>> = Vec::with_capacity(records.len() * 6);
    for r in records {
        rows.extend_from_slice(values![
            &r.owner_id,
            &r.conversation_id,
            r.conversation_type,
            &r.user_id,
            &r.group_id,
            now
        ]);
    }
    let rows = tx
        .rows_many(
            "INSERT INTO conversations (owner_id, conversation_id, conversation_type, user_id, group_id, create_time)",
            6,
            &rows,
            "ON CONFLICT (owner_id, conversation_id) DO NOTHING RETURNING owner_id, conversation_id",
        )
        .await?;
    pairs(&rows)
}

/// Creates the records of a group's conversation that its members lack; does not bump.
pub(super) async fn insert_missing_of_group(
    tx: &mut Tx,
    group_id: &str,
    conversation_id: &str,
    now: i64,
) -> StoreResult<Vec<(String, String)>> {
    let rows = tx
        .rows(
            "INSERT INTO conversations \
             (owner_id, conversation_id, conversation_type, user_id, group_id, create_time) \
             SELECT user_id, $2, 3, '', $1, $3 FROM group_members WHERE group_id = $1 ORDER BY user_id \
             ON CONFLICT (owner_id, conversation_id) DO NOTHING RETURNING owner_id, conversation_id",
            values![group_id, conversation_id, now],
        )
        .await?;
    pairs(&rows)
}

/// Bumps the owners' logs for records created.
pub(super) async fn bump_created(
    tx: &mut Tx,
    created: &[(String, String)],
    now: i64,
) -> StoreResult<()> {
    bump(
        tx,
        bumps_by_key(Log::Conversations, State::Insert, created),
        now,
    )
    .await?;
    Ok(())
}

#[async_trait]
impl ConversationStore for SqlStore {
    async fn get(&self, owner_id: &str, ids: &[String]) -> StoreResult<Vec<ConversationRecord>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM {FROM} WHERE c.owner_id = $1 AND {}",
            self.db.dialect().any("c.conversation_id", 2)
        );
        let rows = self.db.rows(sql, values![owner_id, ids]).await?;
        let records = rows.iter().map(read).collect::<StoreResult<Vec<_>>>()?;
        Ok(in_order(ids, records, |r| &r.conversation_id))
    }

    async fn all(&self, owner_id: &str) -> StoreResult<Vec<ConversationRecord>> {
        let sql = format!("SELECT {COLUMNS} FROM {FROM} WHERE c.owner_id = $1 ORDER BY c.row_id");
        self.db
            .rows(sql, values![owner_id])
            .await?
            .iter()
            .map(read)
            .collect()
    }

    async fn page(
        &self,
        owner_id: &str,
        page: Page,
    ) -> StoreResult<(i64, Vec<ConversationRecord>)> {
        let mut tx = self.db.snapshot().await?;
        let total = tx
            .int(
                "SELECT COUNT(*) FROM conversations WHERE owner_id = $1",
                values![owner_id],
            )
            .await?;
        let rows = tx
            .rows(
                format!("SELECT {COLUMNS} FROM {FROM} WHERE c.owner_id = $1 ORDER BY c.row_id LIMIT $2 OFFSET $3"),
                values![owner_id, page.limit.max(0), page.offset.max(0)],
            )
            .await?;
        tx.commit().await?;
        Ok((total, rows.iter().map(read).collect::<StoreResult<_>>()?))
    }

    async fn ids(&self, owner_id: &str) -> StoreResult<Vec<String>> {
        self.db.texts(IDS, values![owner_id]).await
    }

    async fn pinned_ids(&self, owner_id: &str) -> StoreResult<Vec<String>> {
        let sql = "SELECT conversation_id FROM conversations WHERE owner_id = $1 AND is_pinned <> 0 ORDER BY row_id";
        self.db.texts(sql, values![owner_id]).await
    }

    async fn not_notify_ids(&self, owner_id: &str) -> StoreResult<Vec<String>> {
        let sql = "SELECT conversation_id FROM conversations WHERE owner_id = $1 AND recv_msg_opt = 2 ORDER BY row_id";
        self.db.texts(sql, values![owner_id]).await
    }

    async fn ensure(
        &self,
        records: &[NewConversation],
        now: i64,
    ) -> StoreResult<Vec<(String, String)>> {
        let records: BTreeSet<NewConversation> = records.iter().cloned().collect();
        let mut tx = self.db.write().await?;
        let created = insert_missing(&mut tx, &records, now).await?;
        bump_created(&mut tx, &created, now).await?;
        tx.commit().await?;
        Ok(created)
    }

    async fn save(&self, records: &[ConversationRecord]) -> StoreResult<Vec<(String, String)>> {
        let sorted: BTreeMap<(&String, &String), &ConversationRecord> = records
            .iter()
            .map(|r| ((&r.owner_id, &r.conversation_id), r))
            .collect();
        let mut changed = Vec::new();
        let mut tx = self.db.write().await?;
        for r in sorted.values() {
            let rows = tx
                .execute(
                    "UPDATE conversations SET recv_msg_opt = $3, is_pinned = $4, is_private_chat = $5, \
                     burn_duration = $6, group_at_type = $7, attached_info = $8, ex = $9, is_msg_destruct = $10, \
                     msg_destruct_time = $11, latest_msg_destruct_time = $12 \
                     WHERE owner_id = $1 AND conversation_id = $2 AND NOT (recv_msg_opt = $3 AND is_pinned = $4 \
                     AND is_private_chat = $5 AND burn_duration = $6 AND group_at_type = $7 AND attached_info = $8 \
                     AND ex = $9 AND is_msg_destruct = $10 AND msg_destruct_time = $11 \
                     AND latest_msg_destruct_time = $12)",
                    values![
                        &r.owner_id,
                        &r.conversation_id,
                        r.recv_msg_opt,
                        r.is_pinned,
                        r.is_private_chat,
                        r.burn_duration,
                        r.group_at_type,
                        &r.attached_info,
                        &r.ex,
                        r.is_msg_destruct,
                        r.msg_destruct_time,
                        r.latest_msg_destruct_time
                    ],
                )
                .await?;
            if rows > 0 {
                changed.push((r.owner_id.clone(), r.conversation_id.clone()));
            }
        }
        let now = super::now_ms();
        bump(
            &mut tx,
            bumps_by_key(Log::Conversations, State::Update, &changed),
            now,
        )
        .await?;
        tx.commit().await?;
        Ok(changed)
    }

    async fn remove(&self, owner_id: &str, ids: &[String], now: i64) -> StoreResult<Vec<String>> {
        let mut tx = self.db.write().await?;
        let sql = format!(
            "DELETE FROM conversations WHERE owner_id = $1 AND {} RETURNING conversation_id",
            tx.dialect().any("conversation_id", 2)
        );
        let rows = tx.rows(sql, values![owner_id, ids]).await?;
        let removed = texts(&rows)?;
        for id in &removed {
            bump(
                &mut tx,
                vec![Bump::new(
                    Log::Conversations,
                    owner_id,
                    State::Delete,
                    [id.clone()],
                )],
                now,
            )
            .await?;
        }
        tx.commit().await?;
        Ok(removed)
    }
}
