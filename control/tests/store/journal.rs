use super::{NOW, conversations, groups, texts, tokens, users};
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

async fn max_seq(stores: &Stores, conversation: &str) -> i64 {
    stores
        .messages
        .states(&texts(&[conversation]))
        .await
        .unwrap()[0]
        .max_seq
}

async fn position(stores: &Stores, journal: u16) -> u64 {
    let positions = stores.journal.positions("gateway-1").await.unwrap();
    positions
        .iter()
        .find(|p| p.journal == journal)
        .map_or(0, |p| p.position)
}

async fn version(stores: &Stores, user: &str) -> u64 {
    stores
        .versions
        .full_ids(Log::Conversations, user)
        .await
        .unwrap()
        .head
        .version
}

async fn read_seq(stores: &Stores, user: &str, conversation: &str) -> i64 {
    stores
        .messages
        .windows(user, &texts(&[conversation]))
        .await
        .unwrap()[0]
        .read_seq
}

pub(crate) async fn a_batch_stores_everything_it_implies(stores: &Stores) {
    let applied = send(
        stores,
        0,
        &[
            ("si_a_b", 1, "a", "b"),
            ("si_a_b", 2, "b", "a"),
            ("sn_a_s", 1, "s", "a"),
            ("si_c_c", 1, "c", "c"),
            ("si_a_b", 3, "a", "b"),
        ],
    )
    .await
    .unwrap();
    assert_eq!((applied.messages, applied.token_kicks.len()), (5, 0));
    assert_eq!(
        applied.positions,
        [JournalPosition {
            journal: 0,
            position: 5
        }]
    );
    let mut created: Vec<_> = applied
        .created
        .iter()
        .map(|c| (c.owner_id.as_str(), c.conversation_id.as_str()))
        .collect();
    created.sort_unstable();
    assert_eq!(
        created,
        [
            ("a", "si_a_b"),
            ("a", "sn_a_s"),
            ("b", "si_a_b"),
            ("c", "si_c_c")
        ]
    );

    let states = stores
        .messages
        .states(&texts(&["si_a_b", "none", "si_c_c"]))
        .await
        .unwrap();
    assert_eq!(
        (
            states[0].max_seq,
            states[0].max_send_time,
            states[0].recent.len()
        ),
        (3, NOW + 3, 3)
    );
    assert_eq!((states[1].max_seq, states[2].max_seq), (0, 1));
    for (user, conversation, seq) in [
        ("a", "si_a_b", 3),
        ("b", "si_a_b", 2),
        ("s", "sn_a_s", 1),
        ("a", "sn_a_s", 0),
        ("c", "si_c_c", 1),
    ] {
        assert_eq!(
            read_seq(stores, user, conversation).await,
            seq,
            "{user} {conversation}"
        );
    }
    let of_a = stores.conversations.all("a").await.unwrap();
    let kinds: Vec<_> = of_a
        .iter()
        .map(|r| {
            (
                r.conversation_id.as_str(),
                r.conversation_type,
                r.user_id.as_str(),
            )
        })
        .collect();
    assert!(
        kinds.contains(&("si_a_b", 1, "b")) && kinds.contains(&("sn_a_s", 4, "s")),
        "{kinds:?}"
    );
    assert_eq!(
        stores.conversations.ids("s").await.unwrap(),
        texts(&[]),
        "the account itself gets no record"
    );
    // Both of a's records came in one bump.
    assert_eq!(
        (version(stores, "a").await, version(stores, "b").await),
        (1, 1)
    );
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
    assert!(cancelled > 3, "only {cancelled} were cancelled");
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

pub(crate) async fn the_first_group_message_makes_records_for_all_members(stores: &Stores) {
    groups::create(stores, "g", &[("o", 100), ("m1", 20), ("m2", 20)]).await;
    let applied = send(stores, 0, &[("sg_g", 1, "o", "g"), ("sg_g", 2, "m1", "g")])
        .await
        .unwrap();
    assert_eq!(applied.created.len(), 3);
    for user in ["o", "m1", "m2"] {
        let record = stores.conversations.all(user).await.unwrap().remove(0);
        assert_eq!(
            (
                record.conversation_id.as_str(),
                record.conversation_type,
                record.group_id.as_str(),
                record.user_id.as_str()
            ),
            ("sg_g", 3, "g", "")
        );
        assert_eq!(version(stores, user).await, 1);
    }
    stores
        .conversations
        .remove("m2", &texts(&["sg_g"]), NOW)
        .await
        .unwrap();
    let later = send(stores, 2, &[("sg_g", 3, "o", "g")]).await.unwrap();
    assert_eq!(later.created, []);
    let unknown_group = send(stores, 3, &[("sg_x", 1, "o", "x")]).await.unwrap();
    assert_eq!(
        (unknown_group.messages, unknown_group.created.len()),
        (1, 0)
    );
}

pub(crate) async fn a_deleted_single_chat_record_comes_back_with_the_next_message(stores: &Stores) {
    send(stores, 0, &[("si_a_b", 1, "a", "b")]).await.unwrap();
    assert_eq!(
        stores
            .conversations
            .remove("b", &texts(&["si_a_b"]), NOW)
            .await
            .unwrap(),
        ["si_a_b"]
    );
    let applied = send(stores, 1, &[("si_a_b", 2, "a", "b")]).await.unwrap();
    assert_eq!(
        applied
            .created
            .iter()
            .map(|c| c.owner_id.as_str())
            .collect::<Vec<_>>(),
        ["b"]
    );
    let record = stores.conversations.all("b").await.unwrap().remove(0);
    assert_eq!(
        (record.user_id.as_str(), record.conversation_type),
        ("a", 1)
    );
    assert_eq!(
        (version(stores, "a").await, version(stores, "b").await),
        (1, 3)
    );
    // Existing settings stay.
    let pinned = ringwire_control::store::ConversationRecord {
        is_pinned: true,
        ..record
    };
    stores.conversations.save(&[pinned]).await.unwrap();
    send(stores, 2, &[("si_a_b", 3, "a", "b")]).await.unwrap();
    assert_eq!(
        stores.conversations.pinned_ids("b").await.unwrap(),
        ["si_a_b"]
    );
    assert_eq!(
        stores
            .conversations
            .ensure(&[conversations::single("b", "a")], NOW)
            .await
            .unwrap(),
        []
    );
}

pub(crate) async fn notification_streams_make_no_records_and_read_seqs(stores: &Stores) {
    groups::create(stores, "g", &[("o", 100)]).await;
    let receipt = MsgData {
        content_type: 2200,
        ..message("n_a_b", 1, "a", "b")
    };
    let of_group = MsgData {
        session_type: 3,
        group_id: "g".into(),
        ..message("n_g", 1, "o", "")
    };
    let records = vec![record("n_a_b", &receipt), record("n_g", &of_group)];
    let applied = stores
        .journal
        .apply(&[batch(0, 0, 2, records)], NOW)
        .await
        .unwrap();
    assert_eq!((applied.messages, applied.created.len()), (2, 0));
    assert_eq!(
        (max_seq(stores, "n_a_b").await, max_seq(stores, "n_g").await),
        (1, 1)
    );
    assert_eq!(read_seq(stores, "a", "n_a_b").await, 0);
    assert_eq!(stores.conversations.ids("o").await.unwrap(), texts(&[]));
}

pub(crate) async fn text_no_database_likes_is_stored(stores: &Stores) {
    let nasty = MsgData {
        client_msg_id: format!("nul\0 and {} long", "x".repeat(20_000)),
        send_id: "a".into(),
        content: vec![0, 159, 146, 150].into(),
        ..message("si_a_b", 1, "a", "b")
    };
    let empty_id = MsgData {
        client_msg_id: String::new(),
        ..message("si_a_b", 2, "a", "b")
    };
    let records = vec![record("si_a_b", &nasty), record("si_a_b", &empty_id)];
    stores
        .journal
        .apply(&[batch(0, 0, 2, records)], NOW)
        .await
        .unwrap();
    let found = stores
        .messages
        .find_duplicate("si_a_b", "a", &nasty.client_msg_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (found.seq, found.client_msg_id),
        (1, nasty.client_msg_id.clone())
    );
    let stored = stores
        .messages
        .by_seqs(&[("si_a_b".into(), vec![1])])
        .await
        .unwrap()
        .remove(0)
        .remove(0);
    assert_eq!(MsgData::decode(stored.msg).unwrap(), nasty);
}

pub(crate) async fn thousands_of_messages_in_one_batch(stores: &Stores) {
    let names: Vec<(String, String, String)> = (0..100)
        .map(|i| (format!("si_a{i}_b{i}"), format!("a{i}"), format!("b{i}")))
        .collect();
    let messages: Vec<(&str, i64, &str, &str)> = (0..5000)
        .map(|i| {
            let (c, a, b) = &names[i % 100];
            (c.as_str(), (i / 100 + 1) as i64, a.as_str(), b.as_str())
        })
        .collect();
    let applied = send(stores, 0, &messages).await.unwrap();
    assert_eq!((applied.messages, applied.created.len()), (5000, 200));
    let ids: Vec<String> = names.iter().map(|n| n.0.clone()).collect();
    let states = stores.messages.states(&ids).await.unwrap();
    assert!(
        states
            .iter()
            .all(|s| s.max_seq == 50 && s.recent.len() == 50)
    );
}

pub(crate) async fn token_kicks_are_applied_with_the_position(stores: &Stores) {
    users::add(stores, &["a"]).await;
    let issued: Vec<_> = [(1, 1), (1, 2), (1, 3), (5, 4), (5, 50)]
        .map(|(p, n)| tokens::token("a", p, n))
        .into();
    for token in &issued {
        stores.tokens.issue(token, &tokens::nothing).await.unwrap();
    }
    let exact = TokenKickRecord {
        user_id: "a".into(),
        tokens: vec![issued[3].id().to_vec(), vec![1, 2, 3]],
        ..TokenKickRecord::default()
    };
    let platform = TokenKickRecord {
        user_id: "a".into(),
        platform_id: 1,
        keep: issued[1].id().to_vec(),
        at_ms: NOW + 10,
        ..TokenKickRecord::default()
    };
    let records = vec![
        Record::TokenKick(exact.clone()),
        Record::TokenKick(platform.clone()),
    ];
    let applied = stores
        .journal
        .apply(&[batch(0, 0, 9, records)], NOW)
        .await
        .unwrap();
    assert_eq!(applied.token_kicks, [exact, platform]);
    let mut kicked: Vec<_> = stores
        .tokens
        .load(0, None, 10)
        .await
        .unwrap()
        .into_iter()
        .filter(|t| t.kicked)
        .map(|t| t.token)
        .collect();
    kicked.sort_unstable();
    let mut expected = vec![issued[0].id(), issued[2].id(), issued[3].id()];
    expected.sort_unstable();
    assert_eq!(kicked, expected);
    assert_eq!(position(stores, 0).await, 9);
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
