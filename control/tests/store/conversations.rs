use super::{NOW, texts};
use ringwire_control::store::{ConversationRecord, Log, NewConversation, Page, Stores};

pub(crate) fn single(owner: &str, peer: &str) -> NewConversation {
    let (a, b) = if owner < peer {
        (owner, peer)
    } else {
        (peer, owner)
    };
    NewConversation {
        owner_id: owner.into(),
        conversation_id: format!("si_{a}_{b}"),
        conversation_type: 1,
        user_id: peer.into(),
        group_id: String::new(),
    }
}

fn ids(records: &[ConversationRecord]) -> Vec<&str> {
    records.iter().map(|r| r.conversation_id.as_str()).collect()
}

pub(crate) async fn records_are_created_once_and_listed_in_order(stores: &Stores) {
    let c = &stores.conversations;
    assert_eq!(
        c.ensure(&[single("a", "z")], NOW).await.unwrap(),
        [("a".into(), "si_a_z".into())]
    );
    let more = [
        single("a", "b"),
        single("a", "b"),
        single("a", "z"),
        single("b", "a"),
    ];
    let mut created = c.ensure(&more, NOW + 1).await.unwrap();
    created.sort();
    assert_eq!(
        created,
        [("a".into(), "si_a_b".into()), ("b".into(), "si_a_b".into())]
    );
    assert_eq!(c.ensure(&more, NOW + 2).await.unwrap(), []);

    let all = c.all("a").await.unwrap();
    assert_eq!(ids(&all), ["si_a_z", "si_a_b"]);
    let expected = ConversationRecord {
        owner_id: "a".into(),
        conversation_id: "si_a_z".into(),
        conversation_type: 1,
        user_id: "z".into(),
        create_time: NOW,
        ..ConversationRecord::default()
    };
    assert_eq!(all[0], expected);
    assert_eq!(
        ids(&c
            .get("a", &texts(&["si_a_b", "none", "si_a_z", "si_a_b"]))
            .await
            .unwrap()),
        ["si_a_b", "si_a_z"]
    );
    let (total, page) = c
        .page(
            "a",
            Page {
                offset: 1,
                limit: 5,
            },
        )
        .await
        .unwrap();
    assert_eq!((total, ids(&page)), (2, vec!["si_a_b"]));
    assert_eq!(c.ids("a").await.unwrap(), ["si_a_z", "si_a_b"]);
    // One bump a change, however many records.
    let full = stores
        .versions
        .full_ids(Log::Conversations, "a")
        .await
        .unwrap();
    assert_eq!(
        (full.head.version, full.ids),
        (2, texts(&["si_a_z", "si_a_b"]))
    );
    assert_eq!(
        stores
            .versions
            .full_ids(Log::Conversations, "b")
            .await
            .unwrap()
            .head
            .version,
        1
    );
    assert_eq!(c.all("nobody").await.unwrap(), []);
}

pub(crate) async fn saving_bumps_only_what_changed(stores: &Stores) {
    let c = &stores.conversations;
    c.ensure(&[single("a", "b"), single("a", "c"), single("b", "a")], NOW)
        .await
        .unwrap();
    let version = async |owner: &str| {
        stores
            .versions
            .full_ids(Log::Conversations, owner)
            .await
            .unwrap()
            .head
            .version
    };
    let mut records = c.all("a").await.unwrap();
    assert_eq!(c.save(&records).await.unwrap(), [], "nothing changed");
    assert_eq!(version("a").await, 1);

    records[0].is_pinned = true;
    records[1].recv_msg_opt = 2;
    records[1].ex = "x".into();
    records[1].is_private_chat = true;
    records[1].msg_destruct_time = 604_800;
    let unknown = ConversationRecord {
        conversation_id: "si_a_x".into(),
        is_pinned: true,
        ..records[0].clone()
    };
    records.push(unknown);
    let mut changed = c.save(&records).await.unwrap();
    changed.sort();
    assert_eq!(
        changed,
        [("a".into(), "si_a_b".into()), ("a".into(), "si_a_c".into())]
    );
    assert_eq!((version("a").await, version("b").await), (2, 1));
    records.pop();
    assert_eq!(c.all("a").await.unwrap(), records);
    assert_eq!(c.pinned_ids("a").await.unwrap(), ["si_a_b"]);
    assert_eq!(c.not_notify_ids("a").await.unwrap(), ["si_a_c"]);
    assert_eq!(
        c.remove("a", &texts(&["si_a_b", "none", "si_a_c"]), NOW)
            .await
            .unwrap()
            .len(),
        2
    );
    assert_eq!((version("a").await, version("b").await), (4, 1));
    assert_eq!(c.ids("a").await.unwrap(), texts(&[]));
}

pub(crate) async fn bounds_show_in_the_record(stores: &Stores) {
    stores
        .conversations
        .ensure(&[single("a", "b")], NOW)
        .await
        .unwrap();
    let bounds = async || {
        let record = stores.conversations.all("a").await.unwrap().remove(0);
        (record.min_seq, record.max_seq)
    };
    stores
        .messages
        .set_bounds(&texts(&["a", "x", "a"]), "si_a_b", None, Some(9))
        .await
        .unwrap();
    assert_eq!(bounds().await, (0, 9));
    stores
        .messages
        .set_bounds(&texts(&["a"]), "si_a_b", Some(3), None)
        .await
        .unwrap();
    assert_eq!(bounds().await, (3, 9));
    stores
        .messages
        .set_bounds(&texts(&["a"]), "si_a_b", Some(4), Some(0))
        .await
        .unwrap();
    assert_eq!(bounds().await, (4, 0));
    stores
        .messages
        .set_bounds(&texts(&["a"]), "si_a_b", None, None)
        .await
        .unwrap();
    assert_eq!(bounds().await, (4, 0));
    let windows = stores
        .messages
        .windows("x", &texts(&["si_a_b"]))
        .await
        .unwrap();
    assert_eq!((windows[0].user_max_seq, windows[0].has_record), (9, false));
}
