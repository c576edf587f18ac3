use super::{NOW, texts, tokens, users};
use prost::Message as _;
use ringwire_control::store::{Applied, JournalBatch, Log, StoreError, StoreResult, Stores};
use ringwire_link::message::JournalPosition;
use ringwire_link::record::{MessageRecord, Record, TokenKickRecord};
use ringwire_protocol::pb::sdkws::MsgData;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A message of a conversation; the receiver is a group for `sg_` and its twin.
pub(crate) fn message(conversation: &str, seq: i64, from: &str, to: &str) -> MsgData {
    let group = conversation.starts_with("sg_");
    MsgData {
        send_id: from.into(),
        recv_id: if group { String::new() } else { to.into() },
        group_id: if group { to.into() } else { String::new() },
        client_msg_id: format!("client-{conversation}-{seq}"),
        server_msg_id: format!("server-{conversation}-{seq}"),
        session_type: if group {
            3
        } else if conversation.starts_with("sn_") {
            4
        } else {
            1
        },
        content_type: 101,
        content: b"{\"content\":\"hello\"}".to_vec().into(),
        seq,
        send_time: NOW + seq,
        status: 2,
        ..MsgData::default()
    }
}

pub(crate) fn record(conversation: &str, data: &MsgData) -> Record {
    Record::Message(MessageRecord {
        conversation_id: conversation.into(),
        msg: data.encode_to_vec().into(),
        operation_id: "op".into(),
    })
}

pub(crate) fn batch(journal: u16, from: u64, to: u64, records: Vec<Record>) -> JournalBatch {
    JournalBatch {
        gateway: "gateway-1".into(),
        journal,
        from,
        to,
        records,
    }
}

/// A batch of (conversation, seq, sender, receiver), one position a message, from `from` on.
pub(crate) fn batch_of(
    journal: u16,
    from: u64,
    messages: &[(&str, i64, &str, &str)],
) -> JournalBatch {
    let records = messages
        .iter()
        .map(|(c, seq, a, b)| record(c, &message(c, *seq, a, b)))
        .collect();
    batch(journal, from, from + messages.len() as u64, records)
}

pub(crate) async fn send(
    stores: &Stores,
    from: u64,
    messages: &[(&str, i64, &str, &str)],
) -> StoreResult<Applied> {
    stores
        .journal
        .apply(&[batch_of(0, from, messages)], NOW)
        .await
}

pub(crate) async fn max_seq(stores: &Stores, conversation: &str) -> i64 {
    stores
        .messages
        .states(&texts(&[conversation]))
        .await
        .unwrap()[0]
        .max_seq
}

pub(crate) async fn position(stores: &Stores, journal: u16) -> u64 {
    let positions = stores.journal.positions("gateway-1").await.unwrap();
    positions
        .iter()
        .find(|p| p.journal == journal)
        .map_or(0, |p| p.position)
}

pub(crate) async fn version(stores: &Stores, user: &str) -> u64 {
    stores
        .versions
        .full_ids(Log::Conversations, user)
        .await
        .unwrap()
        .head
        .version
}

pub(crate) async fn read_seq(stores: &Stores, user: &str, conversation: &str) -> i64 {
    stores
        .messages
        .windows(user, &texts(&[conversation]))
        .await
        .unwrap()[0]
        .read_seq
}

pub(crate) async fn a_replayed_batch_changes_nothing(stores: &Stores) {
    let messages = [("si_a_b", 1, "a", "b"), ("si_a_b", 2, "b", "a")];
    send(stores, 0, &messages).await.unwrap();
    for _ in 0..2 {
        let again = send(stores, 0, &messages).await.unwrap();
        assert_eq!((again.messages, again.created.len()), (0, 0));
        assert_eq!(
            again.positions,
            [JournalPosition {
                journal: 0,
                position: 2
            }]
        );
    }
    assert_eq!(
        stores.messages.states(&texts(&["si_a_b"])).await.unwrap()[0]
            .recent
            .len(),
        2
    );
    assert_eq!(version(stores, "a").await, 1);
}

pub(crate) async fn an_overlapping_batch_is_harmless(stores: &Stores) {
    send(
        stores,
        0,
        &[("si_a_b", 1, "a", "b"), ("si_a_b", 2, "b", "a")],
    )
    .await
    .unwrap();
    let overlap = [("si_a_b", 2, "b", "a"), ("si_a_b", 3, "a", "b")];
    let applied = send(stores, 1, &overlap).await.unwrap();
    assert_eq!((applied.messages, applied.created.len()), (1, 0));
    assert_eq!(
        (max_seq(stores, "si_a_b").await, position(stores, 0).await),
        (3, 3)
    );
    let recent = &stores.messages.states(&texts(&["si_a_b"])).await.unwrap()[0].recent;
    assert_eq!(recent.iter().map(|m| m.seq).collect::<Vec<_>>(), [1, 2, 3]);
}

pub(crate) async fn a_gap_in_positions_is_refused(stores: &Stores) {
    send(stores, 0, &[("si_a_b", 1, "a", "b")]).await.unwrap();
    let gap = send(stores, 2, &[("si_a_b", 2, "a", "b")]).await;
    let expected = StoreError::Gap {
        gateway: "gateway-1".into(),
        journal: 0,
        stored: 1,
        from: 2,
    };
    assert_eq!(gap, Err(expected));
    // Within one call, too; a batch that follows another of the same call is no gap.
    let follow = [
        batch_of(0, 1, &[("si_a_b", 2, "a", "b")]),
        batch_of(7, 0, &[("si_c_d", 1, "c", "d")]),
        batch(0, 2, 10, vec![]),
    ];
    let applied = stores.journal.apply(&follow, NOW).await.unwrap();
    assert_eq!(
        applied
            .positions
            .iter()
            .map(|p| (p.journal, p.position))
            .collect::<Vec<_>>(),
        [(0, 2), (7, 1), (0, 10)]
    );
    assert_eq!(
        (position(stores, 0).await, position(stores, 7).await),
        (10, 1)
    );
    let never_seen = stores
        .journal
        .apply(&[batch_of(3, 64, &[("si_e_f", 1, "e", "f")])], NOW)
        .await;
    assert!(matches!(
        never_seen,
        Err(StoreError::Gap {
            journal: 3,
            stored: 0,
            from: 64,
            ..
        })
    ));
    stores
        .journal
        .set_position(
            "gateway-1",
            JournalPosition {
                journal: 3,
                position: 64,
            },
        )
        .await
        .unwrap();
    stores
        .journal
        .apply(&[batch_of(3, 64, &[("si_e_f", 1, "e", "f")])], NOW)
        .await
        .unwrap();
    assert_eq!(max_seq(stores, "si_e_f").await, 1);
}

pub(crate) async fn a_failing_batch_leaves_nothing_of_the_call(stores: &Stores) {
    users::add(stores, &["a"]).await;
    let token = tokens::token("a", 1, 1);
    stores.tokens.issue(&token, &tokens::nothing).await.unwrap();
    send(stores, 0, &[("si_x_y", 1, "x", "y")]).await.unwrap();
    let kick = Record::TokenKick(TokenKickRecord {
        user_id: "a".into(),
        tokens: vec![token.id().to_vec()],
        at_ms: i64::MAX,
        ..TokenKickRecord::default()
    });
    let mut good = batch_of(0, 1, &[("si_a_b", 1, "a", "b")]);
    good.records.push(kick);
    // The same seq as a message that is stored, under another serverMsgID: fails deep in the work.
    let other = MsgData {
        server_msg_id: "another".into(),
        ..message("si_x_y", 1, "x", "y")
    };
    let bad = batch(1, 0, 1, vec![record("si_x_y", &other)]);
    let refused = stores.journal.apply(&[good.clone(), bad], NOW).await;
    assert_eq!(
        refused,
        Err(StoreError::SeqTaken {
            conversation_id: "si_x_y".into(),
            seq: 1
        })
    );
    let garbage = Record::Message(MessageRecord {
        conversation_id: "si_a_b".into(),
        msg: vec![0xff, 0xff].into(),
        ..MessageRecord::default()
    });
    let refused = stores
        .journal
        .apply(&[good.clone(), batch(1, 0, 1, vec![garbage])], NOW)
        .await;
    assert!(matches!(refused, Err(StoreError::Record(_))));
    let no_seq = record("si_a_b", &message("si_a_b", 0, "a", "b"));
    let refused = stores
        .journal
        .apply(&[good.clone(), batch(1, 0, 1, vec![no_seq])], NOW)
        .await;
    assert!(matches!(refused, Err(StoreError::Record(_))));

    assert_eq!(
        (
            max_seq(stores, "si_a_b").await,
            position(stores, 0).await,
            position(stores, 1).await
        ),
        (0, 1, 0)
    );
    assert_eq!(stores.conversations.ids("a").await.unwrap(), texts(&[]));
    assert_eq!(read_seq(stores, "a", "si_a_b").await, 0);
    assert!(!stores.tokens.load(0, None, 10).await.unwrap()[0].kicked);
    // Alone, the good one passes.
    assert_eq!(
        stores.journal.apply(&[good], NOW).await.unwrap().messages,
        1
    );
    assert!(stores.tokens.load(0, None, 10).await.unwrap()[0].kicked);
}

pub(crate) async fn another_message_under_a_seq_is_refused(stores: &Stores) {
    let first = message("si_a_b", 1, "a", "b");
    let second = MsgData {
        server_msg_id: "another".into(),
        ..first.clone()
    };
    let both = batch(
        0,
        0,
        2,
        vec![record("si_a_b", &first), record("si_a_b", &second)],
    );
    let taken = Err(StoreError::SeqTaken {
        conversation_id: "si_a_b".into(),
        seq: 1,
    });
    assert_eq!(stores.journal.apply(&[both], NOW).await, taken);
    stores
        .journal
        .apply(&[batch(0, 0, 1, vec![record("si_a_b", &first)])], NOW)
        .await
        .unwrap();
    assert_eq!(
        stores
            .journal
            .apply(&[batch(1, 0, 1, vec![record("si_a_b", &second)])], NOW)
            .await,
        taken
    );
}

/// Polls a future so many times, waiting for it in between, and drops it. `true`: it finished.
async fn poll_times<F: Future>(future: F, times: usize) -> bool {
    let mut future = Box::pin(future);
    let mut polls = 0;
    std::future::poll_fn(move |context: &mut Context<'_>| {
        polls += 1;
        if polls > times {
            return Poll::Ready(false);
        }
        let inner: Pin<&mut F> = future.as_mut();
        match inner.poll(context) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

pub(crate) async fn a_cancelled_batch_is_stored_whole_or_not_at_all(stores: &Stores) {
    let mut cancelled = 0;
    for times in 0..60 {
        let (a, b) = (format!("a{times}"), format!("b{times}"));
        let conversation = format!("si_{a}_{b}");
        let journal = times as u16;
        let messages = [
            (conversation.as_str(), 1, a.as_str(), b.as_str()),
            (&conversation, 2, &b, &a),
        ];
        let batches = [batch_of(journal, 0, &messages)];
        if !poll_times(stores.journal.apply(&batches, NOW), times).await {
            cancelled += 1;
        }
        let stored = (
            max_seq(stores, &conversation).await,
            position(stores, journal).await,
            stores.conversations.ids(&a).await.unwrap().len(),
            stores.conversations.ids(&b).await.unwrap().len(),
            read_seq(stores, &b, &conversation).await,
        );
        assert!(
            stored == (0, 0, 0, 0, 0) || stored == (2, 2, 1, 1, 2),
            "{times} polls: {stored:?}"
        );
        // The gateway sends it again.
        stores.journal.apply(&batches, NOW).await.unwrap();
        assert_eq!(
            (
                max_seq(stores, &conversation).await,
                position(stores, journal).await
            ),
            (2, 2)
        );
        assert_eq!(
            (version(stores, &a).await, version(stores, &b).await),
            (1, 1)
        );
    }
    // The first was never polled, and no database answers within one poll.
    assert!(cancelled > 1, "only {cancelled} were cancelled");
}

pub(crate) async fn batches_of_several_journals_in_parallel(stores: &Stores) {
    // Every journal has conversations of its own, but the users, and so their version logs, are shared.
    let users: Vec<String> = (0..12).map(|i| format!("u{i:02}")).collect();
    let writers: Vec<_> = (0..4u16)
        .map(|journal| {
            let (stores, users) = (stores.clone(), users.clone());
            tokio::spawn(async move {
                let mut from = 0;
                for round in 1..=5i64 {
                    let mut messages = Vec::new();
                    for (i, a) in users.iter().enumerate() {
                        for b in users.iter().skip(i + 1) {
                            if (a.as_bytes()[2] + b.as_bytes()[2]) % 4 == journal as u8 {
                                messages.push((format!("si_{a}_{b}"), a.clone(), b.clone()));
                            }
                        }
                    }
                    if (round + i64::from(journal)) % 2 == 0 {
                        messages.reverse();
                    }
                    let records: Vec<Record> = messages
                        .iter()
                        .map(|(c, a, b)| record(c, &message(c, round, a, b)))
                        .collect();
                    let to = from + records.len() as u64;
                    stores
                        .journal
                        .apply(&[batch(journal, from, to, records)], NOW)
                        .await
                        .unwrap();
                    from = to;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    for user in &users {
        let windows = stores.messages.user_windows(user).await.unwrap();
        assert_eq!(windows.chats.len(), users.len() - 1);
        assert!(windows.chats.iter().all(|w| w.max_seq == 5));
        let full = stores
            .versions
            .full_ids(Log::Conversations, user)
            .await
            .unwrap();
        let changes = stores
            .versions
            .changes(Log::Conversations, user, &full.head.version_id, 1)
            .await
            .unwrap();
        assert!(full.head.version <= 4 && changes.inserted.len() < users.len());
    }
}

pub(crate) async fn positions_and_epochs_are_kept_by_gateway(stores: &Stores) {
    let other = JournalBatch {
        gateway: "other".into(),
        ..batch(4, 0, 8, vec![])
    };
    stores
        .journal
        .apply(
            &[batch(1, 0, 16, vec![]), batch(0, 0, 32, vec![]), other],
            NOW,
        )
        .await
        .unwrap();
    let of = |journal, position| JournalPosition { journal, position };
    assert_eq!(
        stores.journal.positions("gateway-1").await.unwrap(),
        [of(0, 32), of(1, 16)]
    );
    assert_eq!(stores.journal.positions("other").await.unwrap(), [of(4, 8)]);
    assert_eq!(stores.journal.positions("none").await.unwrap(), []);
    for (gateway, epoch, highest) in [
        ("gateway-1", 3, 3),
        ("gateway-1", 2, 3),
        ("other", 1, 1),
        ("gateway-1", u32::MAX, u32::MAX),
    ] {
        assert_eq!(
            stores.journal.raise_epoch(gateway, epoch).await.unwrap(),
            highest
        );
    }
}
