//! The outbox.

use super::super::{OutboxMessage, OutboxRow, OutboxStore, StoreError, StoreResult};
use super::SqlStore;
use super::db::{Row, Tx};
use super::value::values;
use async_trait::async_trait;
use ringwire_link::message::Publish;

/// Adds messages within a change's transaction. Call it after the bumps of the change: their locks
/// then order the rows of changes to one log.
pub(super) async fn push(tx: &mut Tx, messages: &[OutboxMessage]) -> StoreResult<()> {
    let also: Vec<String> = messages
        .iter()
        .map(|m| {
            serde_json::to_string(&m.publish.also).map_err(|e| StoreError::Database(e.to_string()))
        })
        .collect::<StoreResult<_>>()?;
    let mut rows = Vec::with_capacity(messages.len() * 5);
    for (message, also) in messages.iter().zip(&also) {
        let publish = &message.publish;
        rows.extend_from_slice(values![
            &message.lane,
            publish.msg.as_slice(),
            &publish.operation_id,
            publish.check,
            also
        ]);
    }
    tx.execute_many(
        "INSERT INTO outbox (lane, msg, operation_id, checked, also)",
        5,
        &rows,
        "",
    )
    .await?;
    Ok(())
}

fn read(row: &Row) -> StoreResult<OutboxRow> {
    let also = serde_json::from_str(&row.text(5)?)
        .map_err(|e| StoreError::Database(format!("outbox: {e}")))?;
    Ok(OutboxRow {
        id: row.int(0)?,
        message: OutboxMessage {
            lane: row.text(1)?,
            publish: Publish {
                msg: row.blob(2)?,
                operation_id: row.text(3)?,
                check: row.flag(4)?,
                also,
            },
        },
    })
}

#[async_trait]
impl OutboxStore for SqlStore {
    async fn push(&self, messages: &[OutboxMessage]) -> StoreResult<()> {
        let mut tx = self.db.write().await?;
        push(&mut tx, messages).await?;
        tx.commit().await
    }

    async fn pending(&self, after: i64, limit: i64) -> StoreResult<Vec<OutboxRow>> {
        let rows = self
            .db
            .rows(
                "SELECT id, lane, msg, operation_id, checked, also FROM outbox WHERE id > $1 ORDER BY id LIMIT $2",
                values![after, limit.max(0)],
            )
            .await?;
        rows.iter().map(read).collect()
    }

    async fn count(&self) -> StoreResult<i64> {
        self.db.int("SELECT COUNT(*) FROM outbox", &[]).await
    }

    async fn remove(&self, ids: &[i64]) -> StoreResult<()> {
        let sql = format!(
            "DELETE FROM outbox WHERE {}",
            self.db.dialect().any("id", 1)
        );
        let mut tx = self.db.write().await?;
        tx.execute(sql, &[super::value::Value::Ints(ids)]).await?;
        tx.commit().await
    }
}
