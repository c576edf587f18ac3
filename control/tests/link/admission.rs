//! Who may connect.

use crate::stand::{FIRST, Stand, batch, chat, end_of, hello};
use ringwire_control::link::Pace;
use ringwire_link::facts::{TokenFact, TokenState};
use ringwire_link::message::{Hello, JournalPosition};
use ringwire_link::{ToControl, ToGateway};
use ringwire_protocol::slot;

#[tokio::test]
async fn a_core_of_another_version_is_not_served() {
    let stand = Stand::start().await;
    let mut core = stand.connect().await;
    core.write(b"RWLK\xff\x00\x00\x00").await;
    assert!(
        core.closed().await.is_empty(),
        "it gets our preamble, which names our version, and no frame"
    );
    stand.core(hello()).await;
}

#[tokio::test]
async fn who_does_not_open_with_hello_is_not_served() {
    let stand = Stand::start().await;
    let mut core = stand.connect().await;
    core.greet().await;
    core.tell(ToControl::Heartbeat).await;
    assert!(core.closed().await.is_empty());
}

#[tokio::test]
async fn a_second_process_of_the_name_is_refused_while_the_first_lives() {
    let stand = Stand::start().await;
    let first = stand.core(hello()).await;
    let mut second = stand.connect().await;
    second.greet().await;
    second
        .tell(ToControl::Hello(Hello { boot: 2, ..hello() }))
        .await;
    assert!(second.refused().await.contains("another process"));
    drop(first);
    // The end of the first is noticed before or after the next try: it comes again until welcomed.
    loop {
        let mut next = stand.connect().await;
        next.greet().await;
        next.tell(ToControl::Hello(Hello { boot: 2, ..hello() }))
            .await;
        match next.next().await.body {
            ToGateway::Welcome(_) => break,
            ToGateway::Refused { reason } => {
                assert!(reason.contains("another process"), "{reason}")
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_gateway_of_another_name_is_refused_until_the_first_is_forgotten() {
    let stand = Stand::start().await;
    drop(stand.core(hello()).await);
    // After a restart control remembers the first one from the database only.
    let stand = stand.restart().await;
    let other = Hello {
        gateway: "g2".into(),
        ..hello()
    };
    let mut core = stand.connect().await;
    core.greet().await;
    core.tell(ToControl::Hello(other.clone())).await;
    let reason = core.refused().await;
    assert!(
        reason.contains("g1") && reason.contains("forget-gateway"),
        "{reason}"
    );
    stand.stores.journal.forget("g1").await.unwrap();
    stand.core(other).await;
}

#[tokio::test]
async fn an_emptied_journal_folder_is_taken_once_the_gateway_is_forgotten() {
    let stand = Stand::start().await;
    let first = Hello {
        epoch: 5,
        ..hello()
    };
    let mut core = stand.core(first).await;
    let records = batch(FIRST, &[chat("a", "b", 1)]);
    core.tell(records).await;
    core.next().await;
    drop(core);
    let stand = stand.restart().await;
    let empty = Hello {
        boot: 2,
        epoch: 1,
        ..hello()
    };
    let mut core = stand.connect().await;
    core.greet().await;
    core.tell(ToControl::Hello(empty.clone())).await;
    assert!(core.refused().await.contains("forget-gateway"));
    stand.stores.journal.forget("g1").await.unwrap();
    let stand = stand.restart().await;
    let (_, welcome) = stand.welcomed(empty).await;
    assert_eq!(
        welcome.stored,
        [JournalPosition {
            journal: 0,
            position: FIRST
        }]
    );
}

#[tokio::test]
async fn an_older_epoch_is_refused_even_after_a_restart() {
    let stand = Stand::start().await;
    drop(
        stand
            .core(Hello {
                epoch: 5,
                ..hello()
            })
            .await,
    );
    let stand = stand.restart().await;
    let mut core = stand.connect().await;
    core.greet().await;
    core.tell(ToControl::Hello(Hello {
        epoch: 4,
        boot: 9,
        ..hello()
    }))
    .await;
    assert!(core.refused().await.contains("owner epoch 4"));
}

#[tokio::test]
async fn welcome_tells_where_streaming_goes_on() {
    let stand = Stand::start().await;
    let (mut core, welcome) = stand.welcomed(hello()).await;
    assert_eq!(
        welcome.stored,
        [JournalPosition {
            journal: 0,
            position: FIRST
        }]
    );
    let batch = batch(FIRST, &[chat("a", "b", 1)]);
    let end = end_of(&batch);
    core.tell(batch).await;
    assert_eq!(
        core.next().await.body,
        ToGateway::Stored(JournalPosition {
            journal: 0,
            position: end
        })
    );
    drop(core);
    let stand = stand.restart().await;
    let (_, again) = stand.welcomed(hello()).await;
    assert_eq!(
        again.stored,
        [JournalPosition {
            journal: 0,
            position: end
        }]
    );
    assert_ne!(again.boot, welcome.boot);
}

#[tokio::test]
async fn a_journal_that_begins_behind_the_database_is_refused() {
    let stand = Stand::start().await;
    let mut core = stand.connect().await;
    core.greet().await;
    let journals = vec![JournalPosition {
        journal: 0,
        position: 1 << 26,
    }];
    core.tell(ToControl::Hello(Hello {
        journals,
        ..hello()
    }))
    .await;
    assert!(
        core.refused()
            .await
            .contains("acknowledged messages are in neither")
    );
}

#[tokio::test]
async fn each_core_gets_the_tokens_of_its_own_users() {
    let stand = Stand::start().await;
    let token = |n: u8| TokenFact {
        user_id: format!("u{n}"),
        platform_id: 1,
        token: [n; 16],
        state: TokenState::Normal,
        expires_s: i64::MAX,
    };
    *stand.tokens.known.lock().unwrap() = (0..40).map(token).collect();
    let mut told = 0;
    for number in 0..2 {
        let mut core = stand.connect().await;
        core.greet().await;
        core.tell(ToControl::Hello(Hello {
            core: number,
            cores: 2,
            journals: Vec::new(),
            ..hello()
        }))
        .await;
        assert!(matches!(core.next().await.body, ToGateway::Welcome(_)));
        loop {
            let ToGateway::TokenSnapshot { tokens, done } = core.next().await.body else {
                panic!()
            };
            assert!(
                tokens
                    .iter()
                    .all(|t| slot::core_of(&t.user_id, 2) == number)
            );
            told += tokens.len();
            if done {
                break;
            }
        }
    }
    assert_eq!(told, 40);
}

#[tokio::test]
async fn control_is_never_silent_and_a_silent_core_is_disconnected() {
    let pace = Pace {
        heartbeat_ms: 5,
        silence_ms: 200,
    };
    let stand = Stand::start_with(|s| s.pace = pace, |_| {}).await;
    let mut core = stand.core(hello()).await;
    // The core says nothing from here on.
    let said = core.closed().await;
    assert!(said.contains(&ToGateway::Heartbeat));
    assert!(said.iter().all(|body| *body == ToGateway::Heartbeat));
}
