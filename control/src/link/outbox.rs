//! The outbox publisher: messages control wrote down with the change that caused them.
//!
//! In order within a lane, several lanes at once. A row goes away once a gateway acknowledged it; the
//! owner core knows a stored message again by its clientMsgID, so a row published twice because its
//! acknowledgement was lost is still delivered once.

use super::Link;
use super::gateways::lane_of;
use crate::store::OutboxRow;
use futures_util::StreamExt as _;
use futures_util::stream;
use prost::Message as _;
use ringwire_protocol::error::ErrorCode;
use ringwire_protocol::pb::sdkws::MsgData;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tracing::{error, warn};

/// Rows read at once.
const ROWS: i64 = 512;

/// Lanes published at once.
const LANES: usize = 32;

/// Pause after a failure; doubled up to [`RETRY_LIMIT`]. A core that connects ends it.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LIMIT: Duration = Duration::from_secs(5);

/// Publishes rows whenever there are some.
pub(super) async fn publish_outbox(link: Arc<Link>) {
    let mut pause = RETRY_FIRST;
    loop {
        if link.publish_pending().await {
            pause = RETRY_FIRST;
            link.outbox_wake.notified().await;
        } else {
            let _ = tokio::time::timeout(pause, link.outbox_wake.notified()).await;
            pause = (pause * 2).min(RETRY_LIMIT);
        }
    }
}

/// Whether a refusal may be another one later: the gateway says 429 when too many messages wait for
/// the same conversation.
fn is_temporary(code: i32) -> bool {
    code == ErrorCode::ServerInternal as i32 || code == ErrorCode::TooManyRequests as i32
}

impl Link {
    /// Publishes all that waits. False when something is left that must be tried again.
    async fn publish_pending(&self) -> bool {
        if !self.registry.is_anyone_connected() {
            return false;
        }
        let mut after = 0;
        let mut all = true;
        // Lanes with a row left behind: what follows in them must not overtake it.
        let mut blocked = std::collections::HashSet::new();
        loop {
            let rows = match self.stores.outbox.pending(after, ROWS).await {
                Ok(rows) => rows,
                Err(error) => {
                    warn!(%error, "the outbox cannot be read now");
                    return false;
                }
            };
            let Some(last) = rows.last() else { return all };
            after = last.id;
            let mut lanes: BTreeMap<String, Vec<OutboxRow>> = BTreeMap::new();
            for row in rows {
                if !blocked.contains(&row.message.lane) {
                    lanes.entry(row.message.lane.clone()).or_default().push(row);
                }
            }
            let mut done = Vec::new();
            let mut published =
                stream::iter(lanes.into_values().map(|rows| self.publish_lane(rows)))
                    .buffer_unordered(LANES);
            while let Some((ids, left)) = published.next().await {
                done.extend(ids);
                if let Some(lane) = left {
                    all = false;
                    blocked.insert(lane);
                }
            }
            drop(published);
            if !done.is_empty()
                && let Err(error) = self.stores.outbox.remove(&done).await
            {
                warn!(%error, "published rows cannot be removed from the outbox now");
                return false;
            }
        }
    }

    /// Publishes rows of one lane in order. Returns the ids that are done, and the lane when a row is left.
    async fn publish_lane(&self, rows: Vec<OutboxRow>) -> (Vec<i64>, Option<String>) {
        let mut done = Vec::new();
        for OutboxRow { id, message } in rows {
            let Some((lane, client_msg_id)) = MsgData::decode(message.publish.msg.as_slice())
                .ok()
                .and_then(|msg| Some((lane_of(&msg)?, msg.client_msg_id)))
            else {
                error!(
                    row = id,
                    "an outbox row holds no message that can be sent; it is removed"
                );
                done.push(id);
                continue;
            };
            match self
                .publish_in(&lane, &client_msg_id, message.publish)
                .await
            {
                Ok(_) => done.push(id),
                // No gateway, no answer, or one that cannot take it now.
                Err(error) if is_temporary(error.code) => {
                    warn!(row = id, %error, "an outbox row cannot be published now");
                    return (done, Some(message.lane));
                }
                // It will never be taken (its group is gone, say); holding it would hold its lane for ever.
                Err(error) => {
                    error!(row = id, %error, "an outbox row was refused; it is removed");
                    done.push(id);
                }
            }
        }
        (done, None)
    }
}
