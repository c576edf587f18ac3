use super::{NOW, texts, users};
use ringwire_control::store::{Friend, Group, Log, Member, NewConversation, Stores};

pub(crate) fn friend(owner: &str, friend: &str) -> Friend {
    Friend {
        owner_id: owner.into(),
        friend_id: friend.into(),
        create_time: NOW,
        add_source: 2,
        ..Friend::default()
    }
}

async fn befriend(stores: &Stores, owner: &str, friends: &[&str]) {
    let rows: Vec<Friend> = friends.iter().map(|f| friend(owner, f)).collect();
    stores.relations.add_friends(&rows).await.unwrap();
}

pub(crate) async fn a_log_answers_what_changed_since(stores: &Stores) {
    // A read creates the log, and with it a version the client can keep.
    let first = stores
        .versions
        .changes(Log::Friends, "a", "", 0)
        .await
        .unwrap();
    assert!(first.full && first.is_empty());
    assert_eq!(first.head.version, 1);
    assert_eq!(first.head.version_id.len(), 24);
    assert!(
        first
            .head
            .version_id
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    );
    let id = first.head.version_id.as_str();
    let same = stores
        .versions
        .changes(Log::Friends, "a", id, 1)
        .await
        .unwrap();
    assert!(!same.full && same.is_empty() && same.head == first.head);

    befriend(stores, "a", &["x", "y"]).await;
    befriend(stores, "a", &["z"]).await;
    befriend(stores, "a", &["z"]).await; // nothing new: no bump
    assert_eq!(
        stores
            .relations
            .remove_friends("a", &texts(&["y", "w"]), NOW)
            .await
            .unwrap(),
        ["y"]
    );
    assert_eq!(
        stores
            .relations
            .remove_friends("a", &texts(&["w"]), NOW)
            .await
            .unwrap(),
        texts(&[])
    );
    let changes = stores
        .versions
        .changes(Log::Friends, "a", id, 1)
        .await
        .unwrap();
    assert_eq!((changes.full, changes.head.version), (false, 4));
    assert_eq!(
        (changes.inserted, changes.deleted),
        (texts(&["x", "z"]), texts(&["y"]))
    );
    let later = stores
        .versions
        .changes(Log::Friends, "a", id, 3)
        .await
        .unwrap();
    assert_eq!((later.inserted.len(), later.deleted), (0, texts(&["y"])));

    // Another log, another key: independent.
    let other = stores
        .versions
        .changes(Log::Joined, "a", id, 1)
        .await
        .unwrap();
    assert!(other.full);
    assert_ne!(other.head.version_id, id);
    let clients = [
        ("b".to_owned(), String::new(), 0),
        ("a".to_owned(), id.to_owned(), 4),
    ];
    let many = stores
        .versions
        .changes_of_many(Log::Friends, &clients)
        .await
        .unwrap();
    assert_eq!((many[0].full, many[0].head.version), (true, 1));
    assert_eq!(
        (many[1].full, many[1].is_empty(), many[1].head.version),
        (false, true, 4)
    );
}

pub(crate) async fn what_a_client_cannot_have_gets_everything(stores: &Stores) {
    befriend(stores, "a", &["x"]).await;
    befriend(stores, "a", &["y"]).await;
    let head = stores
        .versions
        .full_ids(Log::Friends, "a")
        .await
        .unwrap()
        .head;
    assert_eq!(head.version, 2);
    let wrong = "0".repeat(24);
    for (id, version) in [
        (head.version_id.as_str(), 0),
        (head.version_id.as_str(), 3),
        (head.version_id.as_str(), u64::MAX),
        (wrong.as_str(), 2),
        ("", 2),
        ("not hex", 1),
    ] {
        let changes = stores
            .versions
            .changes(Log::Friends, "a", id, version)
            .await
            .unwrap();
        assert!(changes.full && changes.is_empty(), "{id} {version}");
        assert_eq!(changes.head, head);
    }
}

pub(crate) async fn more_than_200_changes_get_everything(stores: &Stores) {
    befriend(stores, "a", &["first"]).await;
    let head = stores
        .versions
        .full_ids(Log::Friends, "a")
        .await
        .unwrap()
        .head;
    let names: Vec<String> = (0..200).map(|i| format!("f{i:03}")).collect();
    let rows: Vec<Friend> = names.iter().map(|n| friend("a", n)).collect();
    stores.relations.add_friends(&rows).await.unwrap();
    let changes = stores
        .versions
        .changes(Log::Friends, "a", &head.version_id, head.version)
        .await
        .unwrap();
    assert_eq!(
        (changes.full, changes.head.version, changes.inserted),
        (false, 2, names)
    );
    befriend(stores, "a", &["one more"]).await;
    let changes = stores
        .versions
        .changes(Log::Friends, "a", &head.version_id, head.version)
        .await
        .unwrap();
    assert_eq!(
        (changes.full, changes.len(), changes.head.version),
        (true, 0, 3)
    );
}

pub(crate) async fn the_last_state_of_an_element_wins(stores: &Stores) {
    befriend(stores, "a", &["x", "y"]).await;
    let head = stores
        .versions
        .full_ids(Log::Friends, "a")
        .await
        .unwrap()
        .head;
    stores
        .relations
        .remove_friends("a", &texts(&["x"]), NOW)
        .await
        .unwrap();
    befriend(stores, "a", &["x"]).await;
    let changes = stores
        .versions
        .changes(Log::Friends, "a", &head.version_id, head.version)
        .await
        .unwrap();
    assert_eq!(
        (changes.inserted, changes.deleted),
        (texts(&["x"]), texts(&[]))
    );
}

pub(crate) async fn parallel_bumps_lose_none(stores: &Stores) {
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let stores = stores.clone();
            tokio::spawn(async move {
                for i in 0..10 {
                    befriend(&stores, "a", &[&format!("f{writer}-{i}")]).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let full = stores.versions.full_ids(Log::Friends, "a").await.unwrap();
    assert_eq!((full.head.version, full.ids.len()), (80, 80));
    // Each version has exactly the element of its bump.
    for version in 1..80 {
        let changes = stores
            .versions
            .changes(Log::Friends, "a", &full.head.version_id, version)
            .await
            .unwrap();
        assert_eq!(changes.inserted.len(), (80 - version) as usize);
    }
}

pub(crate) async fn crossing_bumps_do_not_block_each_other(stores: &Stores) {
    // Each change touches the logs of all owners, given in another order each time.
    let owners: Vec<String> = (0..10).map(|i| format!("o{i}")).collect();
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (stores, mut owners) = (stores.clone(), owners.clone());
            tokio::spawn(async move {
                for i in 0..6 {
                    owners.rotate_left((writer + i) % 10);
                    owners.reverse();
                    let rows: Vec<Friend> = owners
                        .iter()
                        .map(|o| friend(o, &format!("f{writer}-{i}")))
                        .collect();
                    stores.relations.add_friends(&rows).await.unwrap();
                    let records: Vec<NewConversation> = owners
                        .iter()
                        .map(|o| NewConversation {
                            owner_id: o.clone(),
                            conversation_id: format!("sg_{writer}-{i}"),
                            conversation_type: 3,
                            ..NewConversation::default()
                        })
                        .collect();
                    stores.conversations.ensure(&records, NOW).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    for owner in &owners {
        for log in [Log::Friends, Log::Conversations] {
            let full = stores.versions.full_ids(log, owner).await.unwrap();
            assert_eq!(
                (full.head.version, full.ids.len()),
                (48, 48),
                "{log:?} of {owner}"
            );
        }
    }
}

pub(crate) async fn full_ids_come_in_display_order(stores: &Stores) {
    users::add(stores, &["a", "b", "c"]).await;
    befriend(stores, "a", &["c", "b"]).await;
    let pinned = Friend {
        is_pinned: true,
        ..friend("a", "z")
    };
    stores.relations.add_friends(&[pinned]).await.unwrap();
    let member = |user: &str, role| Member {
        user_id: user.into(),
        role,
        join_time: NOW,
        ..Member::default()
    };
    for (group, role) in [("g1", 20), ("g2", 100), ("g3", 20)] {
        let group = Group {
            group_id: group.into(),
            create_time: NOW,
            ..Group::default()
        };
        stores
            .groups
            .create(
                &group,
                &[member("b", 20), member("a", role), member("c", 60)],
            )
            .await
            .unwrap();
    }
    let ids = async |log, key: &str| stores.versions.full_ids(log, key).await.unwrap();
    let friends = ids(Log::Friends, "a").await;
    assert_eq!(
        (friends.head.version, friends.ids),
        (2, texts(&["z", "b", "c"]))
    );
    assert_eq!(
        stores.relations.friend_ids("a").await.unwrap(),
        ["z", "b", "c"]
    );
    let joined = ids(Log::Joined, "a").await;
    assert_eq!(
        (joined.head.version, joined.ids),
        (3, texts(&["g2", "g1", "g3"]))
    );
    let members = ids(Log::Members, "g2").await;
    assert_eq!(
        (members.head.version, members.ids),
        (1, texts(&["a", "c", "b"]))
    );
    assert_eq!(ids(Log::Members, "no group").await.ids, texts(&[]));
}
