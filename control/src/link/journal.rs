//! What cores stream: decoded, stored in batches, acknowledged after the commit.
//!
//! One task stores for all cores and takes all that has gathered while the transaction before it ran:
//! the slower the database, the larger the batches.

use super::Link;
use super::connection::Connection;
use super::registry::Core;
use crate::clock::unix_ms;
use crate::ports::TokenStates;
use crate::store::{Applied, JournalBatch, StoreError};
use futures_util::FutureExt as _;
use ringwire_link::ToGateway;
use ringwire_link::record::{self, Record};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::{debug, error, warn};

/// Journal bytes merged into one transaction.
const MERGE_BYTES: usize = 8 << 20;

/// Journal bytes one core may have sent without an acknowledgement. Far above the window that a
/// gateway keeps to.
const UNSTORED_LIMIT: usize = 64 << 20;

/// First pause after a failure of the database; doubled up to [`RETRY_LIMIT`].
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LIMIT: Duration = Duration::from_secs(5);

/// A batch on its way into the database.
#[derive(Debug)]
pub(super) struct Incoming {
    batch: JournalBatch,
    bytes: usize,
    core: Core,
    correlation: u64,
}

/// Why journal bytes cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum BadBatch {
    #[error("the batch from {from} to {to} cannot hold {bytes} bytes")]
    Bounds { from: u64, to: u64, bytes: usize },
    #[error("the record at {position} is damaged: {error}")]
    Record {
        position: u64,
        error: record::RecordError,
    },
}

/// Reads the records of a batch. Zero bytes may follow the last one: the rest of a segment.
fn decode(from: u64, to: u64, bytes: &[u8]) -> Result<Vec<Record>, BadBatch> {
    if from
        .checked_add(bytes.len() as u64)
        .is_none_or(|end| end > to)
    {
        return Err(BadBatch::Bounds {
            from,
            to,
            bytes: bytes.len(),
        });
    }
    let mut records = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let position = from + at as u64;
        match record::read(&bytes[at..], position) {
            Ok((_, record, length)) => {
                records.push(record);
                at += length;
            }
            Err(_) if bytes[at..].iter().all(|byte| *byte == 0) => break,
            Err(error) => return Err(BadBatch::Record { position, error }),
        }
    }
    Ok(records)
}

impl Link {
    /// Takes journal bytes from a core. Damaged ones are refused: the core keeps them, an operator
    /// must look.
    pub(super) fn received_journal(
        &self,
        core: &Core,
        correlation: u64,
        journal: u16,
        from: u64,
        to: u64,
        bytes: &[u8],
    ) {
        let records = match decode(from, to, bytes) {
            Ok(records) => records,
            Err(error) => return refuse(core, journal, &error.to_string()),
        };
        let waiting = core
            .connection
            .unstored
            .fetch_add(bytes.len(), Ordering::Relaxed)
            + bytes.len();
        if waiting > UNSTORED_LIMIT {
            return core
                .connection
                .close("the core streams without waiting for acknowledgements".into());
        }
        let batch = JournalBatch {
            gateway: core.key.gateway.clone(),
            journal,
            from,
            to,
            records,
        };
        let incoming = Incoming {
            batch,
            bytes: bytes.len(),
            core: core.clone(),
            correlation,
        };
        if self.journal.send(incoming).is_err() {
            core.connection.close("control stops".into());
        }
    }
}

fn refuse(core: &Core, journal: u16, reason: &str) {
    error!(
        gateway = core.key.gateway,
        journal, reason, "journal refused"
    );
    let reason = format!("journal {journal}: {reason}");
    core.connection.send(
        0,
        &ToGateway::Refused {
            reason: reason.clone(),
        },
    );
    core.connection.close(reason);
}

/// Stores what comes until nothing can come any more.
pub(super) async fn consume(
    link: Arc<Link>,
    tokens: Arc<dyn TokenStates>,
    mut incoming: mpsc::UnboundedReceiver<Incoming>,
) {
    while let Some(first) = incoming.recv().await {
        let mut bytes = first.bytes;
        let mut group = vec![first];
        while bytes < MERGE_BYTES {
            let Ok(next) = incoming.try_recv() else { break };
            bytes += next.bytes;
            group.push(next);
        }
        let cores: Vec<Core> = group.iter().map(|incoming| incoming.core.clone()).collect();
        // A panic here would leave every journal unstored for as long as control runs.
        let stored = AssertUnwindSafe(store_group(&link, tokens.as_ref(), group));
        if stored.catch_unwind().await.is_err() {
            error!("storing journals failed by a programming error");
            for core in cores {
                core.connection
                    .close("control failed to store the journal".into());
            }
        }
    }
}

async fn store_group(link: &Link, tokens: &dyn TokenStates, group: Vec<Incoming>) {
    for rest in store(link, tokens, group).await {
        store(link, tokens, vec![rest]).await;
    }
}

/// Stores a group in one transaction and acknowledges it. When one batch cannot be stored for a
/// reason of its own, the group is returned to be stored batch by batch; a single one is refused.
async fn store(link: &Link, tokens: &dyn TokenStates, mut group: Vec<Incoming>) -> Vec<Incoming> {
    let batches: Vec<JournalBatch> = group
        .iter_mut()
        .map(|i| std::mem::replace(&mut i.batch, empty()))
        .collect();
    let mut pause = RETRY_FIRST;
    let mut limit = link.settings.store_timeout;
    let applied = loop {
        let stored = link.stores.journal.apply(&batches, unix_ms());
        let Ok(stored) = tokio::time::timeout(limit, stored).await else {
            warn!("storing a journal takes too long; it is begun again");
            limit *= 2;
            continue;
        };
        match stored {
            Ok(applied) => break applied,
            Err(error @ (StoreError::Busy(_) | StoreError::Database(_))) => {
                warn!(%error, "the journal cannot be stored now; gateways keep it");
                wait(&mut pause).await;
            }
            Err(error) => {
                if let [only] = group.as_slice() {
                    only.core.connection.stored(only.bytes);
                    refuse(
                        &only.core,
                        batches.first().map_or(0, |b| b.journal),
                        &error.to_string(),
                    );
                    return Vec::new();
                }
                for (incoming, batch) in group.iter_mut().zip(batches) {
                    incoming.batch = batch;
                }
                return group;
            }
        }
    };
    mark_kicked(tokens, &applied).await;
    debug!(
        batches = batches.len(),
        messages = applied.messages,
        "journal stored"
    );
    for ((incoming, batch), at) in group.iter().zip(&batches).zip(applied.positions) {
        link.stored.raise(&batch.gateway, at);
        incoming.core.connection.stored(incoming.bytes);
        incoming
            .core
            .connection
            .send(incoming.correlation, &ToGateway::Stored(at));
    }
    Vec::new()
}

/// Token states kept in memory follow before the batch is acknowledged.
async fn mark_kicked(tokens: &dyn TokenStates, applied: &Applied) {
    for kick in &applied.token_kicks {
        let mut pause = RETRY_FIRST;
        while let Err(error) = tokens.kicked_by_login(kick).await {
            warn!(error, "tokens kicked by a login cannot be marked now");
            wait(&mut pause).await;
        }
    }
}

async fn wait(pause: &mut Duration) {
    tokio::time::sleep(*pause).await;
    *pause = (*pause * 2).min(RETRY_LIMIT);
}

fn empty() -> JournalBatch {
    JournalBatch {
        gateway: String::new(),
        journal: 0,
        from: 0,
        to: 0,
        records: Vec::new(),
    }
}

impl Connection {
    fn stored(&self, bytes: usize) {
        self.unstored.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringwire_link::record::{MessageRecord, append};

    fn record(n: u8) -> Record {
        Record::Message(MessageRecord {
            conversation_id: format!("si_{n}"),
            msg: vec![n].into(),
            operation_id: String::new(),
        })
    }

    fn batch(from: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for n in 0..3 {
            append(&record(n), from + bytes.len() as u64, from, 1, &mut bytes);
        }
        bytes
    }

    #[test]
    fn records_are_read_up_to_the_padding_of_a_segment() {
        let mut bytes = batch(64);
        let end = 64 + bytes.len() as u64;
        assert_eq!(
            decode(64, end, &bytes),
            Ok(vec![record(0), record(1), record(2)])
        );
        assert_eq!(decode(64, end + 4096, &bytes).map(|r| r.len()), Ok(3));
        bytes.extend_from_slice(&[0; 40]);
        assert_eq!(decode(64, end + 40, &bytes).map(|r| r.len()), Ok(3));
    }

    #[test]
    fn damage_is_named_and_nothing_is_skipped() {
        let bytes = batch(64);
        let end = 64 + bytes.len() as u64;
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            if let Ok(records) = decode(64, end, &damaged) {
                assert_eq!(
                    records.len(),
                    3,
                    "only padding may change unseen, byte {at}"
                );
            }
        }
        assert!(matches!(
            decode(72, end + 8, &bytes),
            Err(BadBatch::Record { position: 72, .. })
        ));
        assert!(matches!(
            decode(64, end - 8, &bytes),
            Err(BadBatch::Bounds { .. })
        ));
        assert!(matches!(
            decode(u64::MAX, 0, &bytes),
            Err(BadBatch::Bounds { .. })
        ));
        assert!(matches!(
            decode(64, end, &bytes[..bytes.len() - 8]),
            Err(BadBatch::Record { .. })
        ));
    }
}
