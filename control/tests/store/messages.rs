use super::conversations::single;
use super::journal::{batch, message, record, send};
use super::{NOW, texts};
use ringwire_control::store::{NewConversation, RangeQuery, StoredMessage, Stores};
use ringwire_protocol::pb::sdkws::MsgData;

/// Stores seqs 1..=n of a single chat in journal 0 from `from` on.
async fn fill(stores: &Stores, from: u64, conversation: &str, n: i64) {
    let messages: Vec<_> = (1..=n).map(|seq| (conversation, seq, "a", "b")).collect();
    send(stores, from, &messages).await.unwrap();
}

fn seqs(messages: &[StoredMessage]) -> Vec<i64> {
    messages.iter().map(|m| m.seq).collect()
}

pub(crate) async fn a_state_holds_the_newest_64(stores: &Stores) {
    fill(stores, 0, "si_a_b", 70).await;
    fill(stores, 70, "si_a_c", 3).await;
    let states = stores
        .messages
        .states(&texts(&["si_a_c", "si_a_b", "si_a_c"]))
        .await
        .unwrap();
    let recent = |i: usize| states[i].recent.iter().map(|m| m.seq).collect::<Vec<_>>();
    assert_eq!(
        (recent(0), recent(1), recent(2)),
        (vec![1, 2, 3], (7..=70).collect(), vec![1, 2, 3])
    );
    let newest = states[1].recent.last().unwrap();
    let expected = message("si_a_b", 70, "a", "b");
    assert_eq!(
        (&newest.client_msg_id, &newest.server_msg_id),
        (&expected.client_msg_id, &expected.server_msg_id)
    );
    assert_eq!((newest.send_id.as_str(), newest.send_time), ("a", NOW + 70));
}

pub(crate) async fn a_state_names_senders_whose_clocks_ran_ahead(stores: &Stores) {
    let dated = |seq: i64, sender: &str, ahead_ms: i64| {
        let mut data = message("sg_g", seq, sender, "");
        data.create_time = data.send_time + ahead_ms;
        record("sg_g", &data)
    };
    let records = vec![
        dated(1, "a", 9_000),
        dated(2, "a", 5_000),
        dated(3, "b", 1_000),
        dated(4, "c", -9_000),
    ];
    stores
        .journal
        .apply(&[batch(0, 0, 4, records)], NOW)
        .await
        .unwrap();
    let state = |ids: Vec<String>| async move { stores.messages.states(&ids).await.unwrap() };
    let ahead = &state(texts(&["sg_g"])).await[0].ahead;
    let named: Vec<_> = ahead.iter().map(|a| (&*a.send_id, a.create_time)).collect();
    assert_eq!(named, [("a", NOW + 1 + 9_000)]);

    let crowd = (5..=80).map(|seq| dated(seq, &format!("u{seq}"), 9_000));
    stores
        .journal
        .apply(&[batch(0, 4, 80, crowd.collect())], NOW)
        .await
        .unwrap();
    let ahead = &state(texts(&["sg_g"])).await[0].ahead;
    let named: Vec<_> = ahead.iter().map(|a| (&*a.send_id, a.create_time)).collect();
    assert_eq!(named, [("", NOW + 80 + 9_000)], "too many to name");
}

pub(crate) async fn duplicates_are_found_by_conversation_sender_and_id(stores: &Stores) {
    let first = MsgData {
        client_msg_id: "same".into(),
        ..message("si_a_b", 1, "a", "b")
    };
    let repeated = MsgData {
        server_msg_id: "later".into(),
        seq: 2,
        ..first.clone()
    };
    let unnamed = MsgData {
        client_msg_id: String::new(),
        seq: 3,
        ..first.clone()
    };
    let records = vec![
        record("si_a_b", &first),
        record("si_a_b", &repeated),
        record("si_a_b", &unnamed),
        record("n_a_b", &first),
    ];
    stores
        .journal
        .apply(&[batch(0, 0, 4, records)], NOW)
        .await
        .unwrap();
    let find = async |conversation: &str, sender: &str, id: &str| {
        stores
            .messages
            .find_duplicate(conversation, sender, id)
            .await
            .unwrap()
    };
    let found = find("si_a_b", "a", "same").await.unwrap();
    assert_eq!(
        (found.seq, found.server_msg_id.as_str(), found.send_time),
        (1, "server-si_a_b-1", NOW + 1)
    );
    assert_eq!(find("n_a_b", "a", "same").await.unwrap().seq, 1);
    assert_eq!(find("si_a_b", "b", "same").await, None);
    assert_eq!(find("si_a_c", "a", "same").await, None);
    assert_eq!(find("si_a_b", "a", "other").await, None);
    assert_eq!(find("si_a_b", "a", "").await, None);
}

pub(crate) async fn ranges_take_the_lowest_or_the_highest(stores: &Stores) {
    fill(stores, 0, "si_a_b", 20).await;
    fill(stores, 20, "si_a_c", 5).await;
    let query = |conversation: &str, begin, end, limit, highest| RangeQuery {
        conversation_id: conversation.into(),
        begin,
        end,
        limit,
        highest,
    };
    let cases = [
        (query("si_a_b", 5, 8, 10, true), vec![5, 6, 7, 8]),
        (query("si_a_b", 5, 18, 3, true), vec![16, 17, 18]),
        (query("si_a_b", 5, 18, 3, false), vec![5, 6, 7]),
        (query("si_a_c", 0, i64::MAX, 100, true), vec![1, 2, 3, 4, 5]),
        (query("si_a_c", i64::MIN, 2, 100, false), vec![1, 2]),
        (query("si_a_b", 21, 30, 5, true), vec![]),
        (query("si_a_b", 8, 5, 5, true), vec![]),
        (query("si_a_b", 1, 5, 0, true), vec![]),
        (query("unknown", 1, 5, 5, true), vec![]),
    ];
    let queries: Vec<RangeQuery> = cases.iter().map(|c| c.0.clone()).collect();
    let answers = stores.messages.ranges(&queries).await.unwrap();
    for ((query, expected), answer) in cases.iter().zip(&answers) {
        assert_eq!(&seqs(answer), expected, "{query:?}");
    }
    assert_eq!(answers[0][0].send_time, NOW + 5);
}

pub(crate) async fn seqs_are_found_in_ascending_order(stores: &Stores) {
    fill(stores, 0, "si_a_b", 5).await;
    fill(stores, 5, "si_a_c", 5).await;
    let queries = [
        ("si_a_c".to_owned(), vec![4, 2, 9, 2, 0, -1, i64::MAX]),
        ("unknown".to_owned(), vec![1]),
        ("si_a_b".to_owned(), vec![]),
        ("si_a_b".to_owned(), vec![5]),
    ];
    let answers = stores.messages.by_seqs(&queries).await.unwrap();
    assert_eq!(
        answers.iter().map(|a| seqs(a)).collect::<Vec<_>>(),
        [vec![2, 4], vec![], vec![], vec![5]]
    );
}

pub(crate) async fn windows_of_a_user_hold_chats_and_streams(stores: &Stores) {
    fill(stores, 0, "si_a_b", 3).await;
    let notification = |seq| message("n_a_b", seq, "b", "a");
    let own = message("n_a_a", 1, "a", "a");
    let foreign = message("n_b_c", 1, "b", "c");
    let records = vec![
        record("n_a_b", &notification(1)),
        record("n_a_b", &notification(2)),
        record("n_a_a", &own),
        record("n_b_c", &foreign),
    ];
    stores
        .journal
        .apply(&[batch(0, 3, 7, records)], NOW)
        .await
        .unwrap();
    // A record without messages, and an account whose stream is the chat's twin as well.
    let account = NewConversation {
        owner_id: "a".into(),
        conversation_id: "sn_a_b".into(),
        conversation_type: 4,
        user_id: "b".into(),
        group_id: String::new(),
    };
    stores
        .conversations
        .ensure(&[single("a", "x"), account], NOW)
        .await
        .unwrap();
    let mut records = stores.conversations.all("a").await.unwrap();
    records[1].is_pinned = true;
    let pinned = records[1].conversation_id.clone();
    stores.conversations.save(&records).await.unwrap();
    stores
        .messages
        .set_bounds(&texts(&["a"]), "si_a_b", Some(2), None)
        .await
        .unwrap();

    let windows = stores.messages.user_windows("a").await.unwrap();
    let chats: Vec<_> = windows
        .chats
        .iter()
        .map(|w| (w.conversation_id.as_str(), w.max_seq, w.has_record))
        .collect();
    assert_eq!(
        chats,
        [
            ("si_a_b", 3, true),
            ("si_a_x", 0, true),
            ("sn_a_b", 0, true)
        ]
    );
    let chat = &windows.chats[0];
    assert_eq!(
        (chat.visible(), chat.read_seq, chat.max_send_time),
        ((2, 3), 3, NOW + 3)
    );
    let pins: Vec<_> = windows
        .chats
        .iter()
        .filter(|w| w.is_pinned)
        .map(|w| &w.conversation_id)
        .collect();
    assert_eq!(pins, [&pinned]);
    let streams: Vec<_> = windows
        .notifications
        .iter()
        .map(|w| (w.conversation_id.as_str(), w.max_seq, w.has_record))
        .collect();
    assert_eq!(streams, [("n_a_b", 2, false), ("n_a_a", 1, false)]);

    let some = stores
        .messages
        .windows("a", &texts(&["unknown", "si_a_b", "n_b_c"]))
        .await
        .unwrap();
    let some: Vec<_> = some
        .iter()
        .map(|w| (w.conversation_id.as_str(), w.max_seq, w.has_record))
        .collect();
    assert_eq!(
        some,
        [
            ("unknown", 0, false),
            ("si_a_b", 3, true),
            ("n_b_c", 1, false)
        ]
    );
    assert_eq!(
        stores.messages.user_windows("nobody").await.unwrap(),
        Default::default()
    );
}

pub(crate) async fn read_seqs_never_decrease(stores: &Stores) {
    let mark = |user: &str, seq| (user.to_owned(), "si_a_b".to_owned(), seq);
    stores
        .messages
        .raise_read_seqs(&[mark("a", 5), mark("b", 2), mark("a", 7), mark("a", 6)])
        .await
        .unwrap();
    stores
        .messages
        .raise_read_seqs(&[mark("a", 3), mark("b", 4)])
        .await
        .unwrap();
    for (user, expected) in [("a", 7), ("b", 4)] {
        let window = stores
            .messages
            .windows(user, &texts(&["si_a_b"]))
            .await
            .unwrap()
            .remove(0);
        assert_eq!(window.read_seq, expected);
    }
}
