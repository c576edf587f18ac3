//! Messages that control must publish, written with the change that caused them (design: invariant 5).

use super::StoreResult;
use async_trait::async_trait;
use ringwire_link::message::Publish;

/// A message to publish.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxMessage {
    /// Ordering key of its conversation: messages of one lane are published in order.
    pub lane: String,
    /// What. Its clientMsgID makes publishing it twice harmless.
    pub publish: Publish,
}

/// A waiting message.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxRow {
    /// Ascending; the order within a lane.
    pub id: i64,
    /// The message.
    pub message: OutboxMessage,
}

/// The outbox.
#[async_trait]
pub trait OutboxStore: Send + Sync {
    /// Adds messages in the order given.
    ///
    /// # Errors
    /// Database failures.
    async fn push(&self, messages: &[OutboxMessage]) -> StoreResult<()>;

    /// The oldest rows with an id above `after`, at most `limit`, ascending. A row may become visible
    /// after one with a higher id (of another lane or an independent change), so a reader starts again from 0
    /// when it is told of new rows.
    ///
    /// # Errors
    /// Database failures.
    async fn pending(&self, after: i64, limit: i64) -> StoreResult<Vec<OutboxRow>>;

    /// How many rows there are.
    ///
    /// # Errors
    /// Database failures.
    async fn count(&self) -> StoreResult<i64>;

    /// Removes acknowledged rows.
    ///
    /// # Errors
    /// Database failures.
    async fn remove(&self, ids: &[i64]) -> StoreResult<()>;
}
