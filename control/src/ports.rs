//! What the parts of control ask of each other across subjects: the seams that keep `api` and
//! `domain` free of sockets.

use async_trait::async_trait;
use ringwire_link::facts::{FactChange, TokenFact};
use ringwire_link::message::{Publish, SessionInfo};
use ringwire_link::record::TokenKickRecord;
use ringwire_protocol::error::ApiError;
use ringwire_protocol::pb::msg::SendMsgResp;

/// The gateways, as the rest of control sees them. Implemented by `link`.
#[async_trait]
pub trait Gateways: Send + Sync {
    /// Sends changes of facts to every connected core and waits until all have applied them, so that
    /// a message judged after the API reply sees the new state. A core that does not answer within
    /// `control.facts_timeout_ms` is disconnected (it forgets its facts when it comes back).
    /// Call it after the change is committed.
    async fn apply(&self, changes: Vec<FactChange>);

    /// Sequences and delivers a message and waits until it is durable.
    ///
    /// # Errors
    /// The gateway's refusal, or 500 when no gateway is connected or none answers in time.
    async fn publish(&self, publish: Publish) -> Result<SendMsgResp, ApiError>;

    /// Says that the outbox has new rows. The rows are published in order, each until it is
    /// acknowledged, and then removed.
    fn outbox_ready(&self);

    /// Closes the user's sessions on these platforms (all when empty) with the kick frame. Mark the
    /// tokens first.
    async fn kick(&self, user_id: &str, platforms: &[i32]) -> u32;

    /// Live sessions of these users.
    async fn sessions(&self, user_ids: &[String]) -> Vec<SessionInfo>;

    /// Platforms on which the user is online now, ascending, without repeats.
    fn platforms(&self, user_id: &str) -> Vec<i32>;
}

/// Token states, as the link needs them. Implemented by `tokens`.
#[async_trait]
pub trait TokenStates: Send + Sync {
    /// All live and kicked tokens of users for whom `wanted` is true.
    async fn snapshot(
        &self,
        wanted: &(dyn for<'a> Fn(&'a str) -> bool + Send + Sync),
    ) -> Vec<TokenFact>;

    /// Marks what a login put out of force. Idempotent: the record may come twice.
    ///
    /// # Errors
    /// Text for the log when the store cannot be written; the journal batch is then tried again.
    async fn kicked_by_login(&self, record: &TokenKickRecord) -> Result<(), String>;
}
