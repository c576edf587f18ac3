use super::{NOW, outbox, texts};
use ringwire_control::store::{Page, StoreError, Stores, User, UserFilter, UserPatch};
use std::collections::BTreeMap;

pub(crate) fn user(id: &str) -> User {
    User {
        user_id: id.to_owned(),
        nickname: format!("Name of {id}"),
        face_url: format!("face-{id}"),
        create_time: NOW,
        ..User::default()
    }
}

pub(crate) async fn add(stores: &Stores, ids: &[&str]) {
    stores
        .users
        .insert(&ids.iter().map(|id| user(id)).collect::<Vec<_>>())
        .await
        .unwrap();
}

fn ids(users: &[User]) -> Vec<&str> {
    users.iter().map(|u| u.user_id.as_str()).collect()
}

pub(crate) async fn register_get_and_page(stores: &Stores) {
    let mut users = vec![user("c"), user("a"), user("B_50%"), user("boss")];
    users[0].create_time = NOW - 1;
    users[3].level = 2;
    users[1].nickname = "50_percent".into();
    stores.users.insert(&users).await.unwrap();

    let got = stores
        .users
        .get(&texts(&["boss", "nobody", "a", "boss"]))
        .await
        .unwrap();
    assert_eq!(got, [users[3].clone(), users[1].clone()]);
    assert_eq!(
        stores
            .users
            .existing(&texts(&["x", "c", "a", "c"]))
            .await
            .unwrap(),
        ["c", "a"]
    );
    assert_eq!(stores.users.get(&[]).await.unwrap(), []);

    let ordinary = UserFilter {
        levels: vec![0, 1],
        ..UserFilter::default()
    };
    let (total, page) = stores
        .users
        .page(&ordinary, Page::numbered(1, 2))
        .await
        .unwrap();
    assert_eq!((total, ids(&page)), (3, vec!["c", "B_50%"]));
    let (total, page) = stores
        .users
        .page(&ordinary, Page::numbered(2, 2))
        .await
        .unwrap();
    assert_eq!((total, ids(&page)), (3, vec!["a"]));
    let (total, page) = stores
        .users
        .page(&ordinary, Page::numbered(1, 0))
        .await
        .unwrap();
    assert_eq!((total, page.len()), (3, 0));

    // Wildcards are literal, letters match in either case, one of both filters is enough.
    let find = |user_id: &str, nickname: &str| UserFilter {
        user_id: user_id.into(),
        nickname: nickname.into(),
        ..UserFilter::default()
    };
    for (filter, expected) in [
        (find("b_5", ""), vec!["B_50%"]),
        (find("0%", ""), vec!["B_50%"]),
        (find("a_", ""), vec![]),
        (find("b_5", "50_P"), vec!["B_50%", "a"]),
        (find("", "name OF"), vec!["c", "B_50%", "boss"]),
    ] {
        let (total, page) = stores.users.page(&filter, Page::first(10)).await.unwrap();
        assert_eq!(
            (total, ids(&page)),
            (expected.len() as i64, expected),
            "{filter:?}"
        );
    }
    let (total, all) = stores
        .users
        .page_ids(Page {
            offset: 1,
            limit: 2,
        })
        .await
        .unwrap();
    assert_eq!((total, all), (4, texts(&["B_50%", "a"])));
}

pub(crate) async fn a_registered_id_refuses_the_whole_list(stores: &Stores) {
    add(stores, &["b"]).await;
    let refused = stores
        .users
        .insert(&[user("z"), user("b"), user("a")])
        .await;
    assert_eq!(refused, Err(StoreError::Duplicate("b".into())));
    let repeated = stores.users.insert(&[user("z"), user("z")]).await;
    assert_eq!(repeated, Err(StoreError::Duplicate("z".into())));
    let long = stores
        .users
        .insert(&[user("z"), user(&"x".repeat(513))])
        .await;
    assert!(matches!(long, Err(StoreError::Invalid(_))));
    assert_eq!(
        stores.users.page_ids(Page::first(10)).await.unwrap(),
        (1, texts(&["b"]))
    );
    let long_enough = "x".repeat(512);
    add(stores, &[&long_enough]).await;
    assert_eq!(
        stores
            .users
            .existing(std::slice::from_ref(&long_enough))
            .await
            .unwrap(),
        [long_enough]
    );
}

pub(crate) async fn an_update_leaves_what_is_not_given(stores: &Stores) {
    add(stores, &["a"]).await;
    let patch = UserPatch {
        nickname: Some(String::new()),
        global_recv_opt: Some(2),
        ..UserPatch::default()
    };
    let effects = vec![outbox::message("a_a", "changed")];
    let update = stores
        .users
        .update("a", &patch, effects.clone(), true)
        .await
        .unwrap();
    assert_eq!(update.old, user("a"));
    assert_eq!(
        update.new,
        User {
            nickname: String::new(),
            global_recv_opt: 2,
            ..user("a")
        }
    );
    assert_eq!(
        stores.users.get(&texts(&["a"])).await.unwrap(),
        std::slice::from_ref(&update.new)
    );
    assert_eq!(stores.outbox.pending(0, 10).await.unwrap().len(), 1);

    let again = stores
        .users
        .update("a", &patch, effects.clone(), true)
        .await
        .unwrap();
    assert_eq!(again.old, again.new);
    assert_eq!(
        stores.outbox.pending(0, 10).await.unwrap().len(),
        1,
        "nothing changed, no effect"
    );
    stores
        .users
        .update("a", &patch, effects.clone(), false)
        .await
        .unwrap();
    assert_eq!(stores.outbox.pending(0, 10).await.unwrap().len(), 2);

    let unknown = stores.users.update("x", &patch, effects, false).await;
    assert!(matches!(unknown, Err(StoreError::NotFound(_))));
    assert_eq!(
        stores.outbox.pending(0, 10).await.unwrap().len(),
        2,
        "a failed change has no effects"
    );
}

pub(crate) async fn admins_are_inserted_or_renamed(stores: &Stores) {
    let old = User {
        level: 1,
        ex: "kept".into(),
        ..user("boss")
    };
    stores
        .users
        .insert(std::slice::from_ref(&old))
        .await
        .unwrap();
    let admins = [
        ("boss".to_owned(), "Boss".to_owned()),
        ("imAdmin".to_owned(), "super".to_owned()),
    ];
    for _ in 0..2 {
        stores
            .users
            .ensure_admins(&admins, 2, NOW + 5)
            .await
            .unwrap();
    }
    let got = stores
        .users
        .get(&texts(&["boss", "imAdmin"]))
        .await
        .unwrap();
    assert_eq!(
        got[0],
        User {
            nickname: "Boss".into(),
            ..old
        }
    );
    assert_eq!(
        (got[1].nickname.as_str(), got[1].level, got[1].create_time),
        ("super", 2, NOW + 5)
    );
}

pub(crate) async fn registrations_are_counted_by_day(stores: &Stores) {
    let day = 86_400_000;
    let users: Vec<User> = [
        ("a", 0),
        ("b", day - 1),
        ("c", day),
        ("d", 3 * day),
        ("e", 4 * day),
    ]
    .iter()
    .map(|(id, at)| User {
        create_time: *at,
        ..user(id)
    })
    .collect();
    stores.users.insert(&users).await.unwrap();
    let counts = stores
        .users
        .register_counts(day - 1, 4 * day)
        .await
        .unwrap();
    assert_eq!((counts.total, counts.before), (5, 1));
    assert_eq!(counts.days, BTreeMap::from([(0, 1), (1, 1), (3, 1)]));
}

pub(crate) async fn client_config_is_kept_by_user_and_key(stores: &Stores) {
    let entries = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    };
    stores
        .users
        .set_client_config("", &entries(&[("n", "50"), ("m", "1")]))
        .await
        .unwrap();
    stores
        .users
        .set_client_config("a", &entries(&[("n", "7")]))
        .await
        .unwrap();
    stores
        .users
        .set_client_config("", &entries(&[("m", "2")]))
        .await
        .unwrap();
    stores
        .users
        .set_client_config("", &entries(&[]))
        .await
        .unwrap();
    assert_eq!(
        stores.users.client_config("").await.unwrap(),
        entries(&[("m", "2"), ("n", "50")])
    );
    let (total, page) = stores
        .users
        .page_client_config("", "n", Page::first(1))
        .await
        .unwrap();
    assert_eq!(
        (total, page[0].user_id.as_str(), page[0].value.as_str()),
        (2, "", "50")
    );
    let (total, _) = stores
        .users
        .page_client_config("", "", Page::first(10))
        .await
        .unwrap();
    assert_eq!(total, 3);
    stores
        .users
        .delete_client_config("a", &texts(&["n", "unknown"]))
        .await
        .unwrap();
    assert_eq!(
        stores.users.client_config("a").await.unwrap(),
        BTreeMap::new()
    );
    assert_eq!(stores.users.client_config("").await.unwrap().len(), 2);
}
