//! What a journal batch implies beside the messages themselves.

use super::journal::{batch, max_seq, message, position, read_seq, record, send, version};
use super::{NOW, conversations, groups, texts, tokens, users};
use prost::Message as _;
use ringwire_control::store::{StoreError, Stores};
use ringwire_link::message::JournalPosition;
use ringwire_link::record::{Record, TokenKickRecord};
use ringwire_protocol::pb::sdkws::MsgData;

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

/// Gateways refuse such ids; should one come all the same, it must not look like a database that is
/// down and be tried for ever.
pub(crate) async fn an_id_too_long_for_an_index_holds_up_nothing(stores: &Stores) {
    // Digits that do not compress, so that PostgreSQL cannot make them fit.
    let mut state = 88_172_645_463_325_252_u64;
    let long: String = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        format!("{state:016x}")
    })
    .take(2_000)
    .collect();
    let conversation = format!("si_a_{long}");
    match send(stores, 0, &[(&conversation, 1, "a", &long)]).await {
        Ok(_) => assert_eq!(max_seq(stores, &conversation).await, 1),
        Err(StoreError::Unstorable(_)) => assert_eq!(position(stores, 0).await, 0),
        Err(other) => panic!("{other}"),
    }
}

/// Both are stored as the same text, which one statement must not write twice.
pub(crate) async fn senders_whose_ids_are_stored_alike_are_stored(stores: &Stores) {
    let alike = [("si_b_x", 1, "x\0", "b"), ("si_b_x", 2, "x\u{fffd}", "b")];
    send(stores, 0, &alike).await.unwrap();
    assert_eq!(max_seq(stores, "si_b_x").await, 2);
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
        // The last one was made (again) after the login that kicked it.
        tokens: vec![
            issued[3].id().to_vec(),
            vec![1, 2, 3],
            issued[4].id().to_vec(),
        ],
        at_ms: NOW + 10,
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
    // Told again with a replay: the answer to the first commit may have been lost.
    for _ in 0..2 {
        let applied = stores
            .journal
            .apply(&[batch(0, 0, 9, records.clone())], NOW)
            .await
            .unwrap();
        assert_eq!(applied.token_kicks, [exact.clone(), platform.clone()]);
    }
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
