//! What cores stream ends up in the database, once, and is acknowledged only then.

use crate::stand::{FIRST, Stand, batch, chat, end_of, hello};
use async_trait::async_trait;
use ringwire_control::store::{Applied, JournalBatch, JournalStore, StoreError, StoreResult};
use ringwire_link::message::{Hello, JournalPosition};
use ringwire_link::record::{Record, TokenKickRecord};
use ringwire_link::{ToControl, ToGateway};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

fn stored(position: u64) -> ToGateway {
    ToGateway::Stored(JournalPosition {
        journal: 0,
        position,
    })
}

async fn max_seq(stand: &Stand, conversation: &str) -> i64 {
    stand
        .stores
        .messages
        .states(&[conversation.to_owned()])
        .await
        .unwrap()[0]
        .max_seq
}

#[tokio::test]
async fn batches_are_stored_once_however_often_they_come() {
    let stand = Stand::start().await;
    let mut core = stand.core(hello()).await;
    let first = batch(FIRST, &[chat("a", "b", 1), chat("b", "a", 2)]);
    let middle = end_of(&first);
    let second = batch(middle, &[chat("a", "b", 3)]);
    let end = end_of(&second);
    core.tell(first.clone()).await;
    assert_eq!(core.next().await.body, stored(middle));
    assert_eq!(max_seq(&stand, "si_a_b").await, 2);
    core.tell(second.clone()).await;
    assert_eq!(core.next().await.body, stored(end));
    for replay in [first, second] {
        core.tell(replay).await;
        assert_eq!(
            core.next().await.body,
            stored(end),
            "a replay is answered with what is stored"
        );
    }
    let state = &stand
        .stores
        .messages
        .states(&["si_a_b".to_owned()])
        .await
        .unwrap()[0];
    assert_eq!(
        state.recent.iter().map(|m| m.seq).collect::<Vec<_>>(),
        [1, 2, 3]
    );
}

#[tokio::test]
async fn batches_of_several_cores_are_all_acknowledged_to_their_core() {
    let stand = Stand::start().await;
    let mut cores = Vec::new();
    for core in 0..3 {
        let journals = vec![JournalPosition {
            journal: core,
            position: FIRST,
        }];
        cores.push(
            stand
                .core(Hello {
                    core,
                    cores: 3,
                    journals,
                    ..hello()
                })
                .await,
        );
    }
    for (number, core) in cores.iter_mut().enumerate() {
        let ToControl::Journal {
            from, to, bytes, ..
        } = batch(FIRST, &[chat("a", &format!("b{number}"), 1)])
        else {
            panic!()
        };
        core.tell(ToControl::Journal {
            journal: number as u16,
            from,
            to,
            bytes,
        })
        .await;
    }
    for (number, core) in cores.iter_mut().enumerate() {
        let ToGateway::Stored(at) = core.next().await.body else {
            panic!()
        };
        assert_eq!(at.journal, number as u16);
        assert_eq!(max_seq(&stand, &format!("si_a_b{number}")).await, 1);
    }
}

#[tokio::test]
async fn a_gap_is_refused_and_nothing_of_it_stored() {
    let stand = Stand::start().await;
    let mut core = stand.core(hello()).await;
    core.tell(batch(FIRST + 800, &[chat("a", "b", 7)])).await;
    assert!(core.refused().await.contains("stored up to"));
    assert_eq!(max_seq(&stand, "si_a_b").await, 0);
}

#[tokio::test]
async fn damage_is_refused_and_nothing_of_it_stored() {
    let stand = Stand::start().await;
    let mut core = stand.core(hello()).await;
    let ToControl::Journal {
        journal,
        from,
        to,
        mut bytes,
    } = batch(FIRST, &[chat("a", "b", 1), chat("a", "b", 2)])
    else {
        panic!()
    };
    let last = bytes.len() - 20;
    bytes[last] ^= 1;
    core.tell(ToControl::Journal {
        journal,
        from,
        to,
        bytes,
    })
    .await;
    assert!(core.refused().await.contains("damaged"));
    assert_eq!(max_seq(&stand, "si_a_b").await, 0);
}

/// A journal store that fails so many times first, or does not answer.
struct Flaky {
    inner: Arc<dyn JournalStore>,
    failures: AtomicU32,
    silent: bool,
}

#[async_trait]
impl JournalStore for Flaky {
    async fn apply(&self, batches: &[JournalBatch], now: i64) -> StoreResult<Applied> {
        if self
            .failures
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
            .is_ok()
        {
            if self.silent {
                std::future::pending::<()>().await;
            }
            return Err(StoreError::Database("told to fail".into()));
        }
        self.inner.apply(batches, now).await
    }

    async fn positions(&self, gateway: &str) -> StoreResult<Vec<JournalPosition>> {
        self.inner.positions(gateway).await
    }

    async fn set_position(&self, gateway: &str, position: JournalPosition) -> StoreResult<()> {
        self.inner.set_position(gateway, position).await
    }

    async fn gateways(&self) -> StoreResult<Vec<(String, u32)>> {
        self.inner.gateways().await
    }

    async fn forget(&self, gateway: &str) -> StoreResult<()> {
        self.inner.forget(gateway).await
    }

    async fn raise_epoch(&self, gateway: &str, epoch: u32) -> StoreResult<u32> {
        self.inner.raise_epoch(gateway, epoch).await
    }
}

#[tokio::test]
async fn a_failing_database_is_tried_again_and_nothing_acknowledged_before() {
    let stand = Stand::start_with(
        |_| {},
        |stores| {
            let inner = Arc::clone(&stores.journal);
            stores.journal = Arc::new(Flaky {
                inner,
                failures: AtomicU32::new(3),
                silent: false,
            });
        },
    )
    .await;
    let mut core = stand.core(hello()).await;
    let batch = batch(FIRST, &[chat("a", "b", 1)]);
    let end = end_of(&batch);
    core.tell(batch).await;
    // The first frame is the acknowledgement, and the message is there when it comes.
    assert_eq!(core.next().await.body, stored(end));
    assert_eq!(max_seq(&stand, "si_a_b").await, 1);
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_asked_again() {
    let stand = Stand::start_with(
        |settings| settings.store_timeout = Duration::from_millis(10),
        |stores| {
            let inner = Arc::clone(&stores.journal);
            stores.journal = Arc::new(Flaky {
                inner,
                failures: AtomicU32::new(2),
                silent: true,
            });
        },
    )
    .await;
    let mut core = stand.core(hello()).await;
    let batch = batch(FIRST, &[chat("a", "b", 1)]);
    let end = end_of(&batch);
    core.tell(batch).await;
    assert_eq!(core.next().await.body, stored(end));
    assert_eq!(max_seq(&stand, "si_a_b").await, 1);
}

#[tokio::test]
async fn tokens_kicked_by_a_login_are_marked_before_the_acknowledgement() {
    let stand = Stand::start().await;
    stand.tokens.failures.store(2, Ordering::SeqCst);
    let mut core = stand.core(hello()).await;
    let kick = TokenKickRecord {
        user_id: "a".into(),
        tokens: vec![vec![1; 16]],
        ..TokenKickRecord::default()
    };
    let batch = batch(FIRST, &[Record::TokenKick(kick.clone())]);
    let end = end_of(&batch);
    core.tell(batch).await;
    assert_eq!(core.next().await.body, stored(end));
    assert_eq!(*stand.tokens.kicked.lock().unwrap(), [kick]);
}

#[tokio::test]
async fn one_bad_batch_does_not_hold_up_the_batches_of_other_cores() {
    let stand = Stand::start().await;
    let journals = |journal| {
        vec![JournalPosition {
            journal,
            position: FIRST,
        }]
    };
    let mut bad = stand
        .core(Hello {
            core: 0,
            cores: 2,
            journals: journals(0),
            ..hello()
        })
        .await;
    let mut good = stand
        .core(Hello {
            core: 1,
            cores: 2,
            journals: journals(1),
            ..hello()
        })
        .await;
    let ToControl::Journal {
        from, to, bytes, ..
    } = batch(FIRST, &[chat("a", "b", 1)])
    else {
        panic!()
    };
    bad.tell(batch(FIRST + 8, &[chat("x", "y", 1)])).await;
    good.tell(ToControl::Journal {
        journal: 1,
        from,
        to,
        bytes,
    })
    .await;
    assert_eq!(
        good.next().await.body,
        ToGateway::Stored(JournalPosition {
            journal: 1,
            position: to
        })
    );
    assert!(bad.refused().await.contains("stored up to"));
}
