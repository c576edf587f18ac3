use super::{NOW, texts, users};
use ringwire_control::store::{Group, Log, Member, MemberFilter, Page, StoreError, Stores};

pub(crate) fn member(user: &str, role: i32) -> Member {
    Member {
        user_id: user.into(),
        role,
        join_time: NOW,
        join_source: 2,
        ..Member::default()
    }
}

pub(crate) fn group(id: &str) -> Group {
    Group {
        group_id: id.into(),
        name: format!("Group {id}"),
        create_time: NOW,
        group_type: 2,
        ..Group::default()
    }
}

pub(crate) async fn create(stores: &Stores, id: &str, members: &[(&str, i32)]) {
    let members: Vec<Member> = members
        .iter()
        .map(|(user, role)| member(user, *role))
        .collect();
    stores.groups.create(&group(id), &members).await.unwrap();
}

pub(crate) async fn a_group_is_created_with_members_and_bumps(stores: &Stores) {
    let full = Group {
        notification: "n".into(),
        introduction: "i".into(),
        face_url: "f".into(),
        ex: "e".into(),
        status: 3,
        creator_id: "c".into(),
        need_verification: 1,
        look_member_info: 1,
        apply_member_friend: 1,
        notification_update_time: NOW + 1,
        notification_user_id: "u".into(),
        ..group("g")
    };
    stores
        .groups
        .create(&full, &[member("o", 100), member("a", 20), member("a", 60)])
        .await
        .unwrap();
    let got = stores.groups.get(&texts(&["x", "g", "g"])).await.unwrap();
    assert_eq!(
        got,
        [Group {
            owner_id: "o".into(),
            member_count: 2,
            ..full.clone()
        }]
    );
    assert_eq!(
        stores.groups.create(&full, &[]).await,
        Err(StoreError::Duplicate("g".into()))
    );
    let long = stores.groups.create(&group(&"g".repeat(600)), &[]).await;
    assert!(matches!(long, Err(StoreError::Invalid(_))));

    let members = stores.versions.full_ids(Log::Members, "g").await.unwrap();
    assert_eq!((members.head.version, members.ids), (1, texts(&["o", "a"])));
    for user in ["o", "a"] {
        let joined = stores.versions.full_ids(Log::Joined, user).await.unwrap();
        assert_eq!((joined.head.version, joined.ids), (1, texts(&["g"])));
    }
}

pub(crate) async fn members_are_listed_by_role_and_filled_from_the_user(stores: &Stores) {
    users::add(stores, &["a", "b", "c", "d"]).await;
    let own = Member {
        nickname: "Own 100%".into(),
        mute_end_time: 7,
        ..member("c", 60)
    };
    let members = [
        member("b", 20),
        member("d", 20),
        own,
        member("a", 100),
        member("gone", 20),
    ];
    stores.groups.create(&group("g"), &members).await.unwrap();
    let list = async |filter, keyword: &str, page| {
        stores
            .groups
            .members("g", filter, keyword, page)
            .await
            .unwrap()
    };
    let names = |members: &[Member]| {
        members
            .iter()
            .map(|m| m.user_id.clone())
            .collect::<Vec<_>>()
    };

    let (total, all) = list(MemberFilter::All, "", Page::first(10)).await;
    assert_eq!(
        (total, names(&all)),
        (5, texts(&["a", "c", "b", "d", "gone"]))
    );
    assert_eq!(stores.groups.member_ids("g").await.unwrap(), names(&all));
    assert_eq!(
        (all[0].nickname.as_str(), all[0].face_url.as_str()),
        ("Name of a", "face-a")
    );
    assert_eq!(
        (all[1].nickname.as_str(), all[1].face_url.as_str()),
        ("Own 100%", "face-c")
    );
    assert_eq!(
        (
            all[1].mute_end_time,
            all[1].group_id.as_str(),
            all[1].join_source
        ),
        (7, "g", 2)
    );
    assert_eq!(all[4].nickname, "", "a user who is not registered");
    let (total, page) = list(MemberFilter::All, "", Page::numbered(2, 2)).await;
    assert_eq!((total, names(&page)), (5, texts(&["b", "d"])));
    for (filter, expected) in [
        (MemberFilter::Owner, vec!["a"]),
        (MemberFilter::Admins, vec!["c"]),
        (MemberFilter::Ordinary, vec!["b", "d", "gone"]),
        (MemberFilter::AdminsAndOrdinary, vec!["c", "b", "d", "gone"]),
        (MemberFilter::OwnerAndAdmins, vec!["a", "c"]),
    ] {
        let (total, page) = list(filter, "", Page::first(10)).await;
        assert_eq!(
            (total, names(&page)),
            (expected.len() as i64, texts(&expected)),
            "{filter:?}"
        );
    }
    // The shown name is searched, literally.
    for (keyword, expected) in [
        ("NAME of b", vec!["b"]),
        ("0%", vec!["c"]),
        ("name of c", vec![]),
        ("%", vec!["c"]),
    ] {
        let (total, page) = list(MemberFilter::All, keyword, Page::first(10)).await;
        assert_eq!(
            (total, names(&page)),
            (expected.len() as i64, texts(&expected)),
            "{keyword}"
        );
    }
    let some = stores
        .groups
        .members_by_id("g", &texts(&["d", "x", "a", "d"]))
        .await
        .unwrap();
    assert_eq!(names(&some), ["d", "a"]);
    create(stores, "h", &[("a", 20)]).await;
    let of_a = stores
        .groups
        .memberships("a", &texts(&["h", "none", "g"]))
        .await
        .unwrap();
    assert_eq!(
        of_a.iter()
            .map(|m| (m.group_id.as_str(), m.role))
            .collect::<Vec<_>>(),
        [("h", 20), ("g", 100)]
    );
}

pub(crate) async fn a_dismissed_group_is_not_listed_as_joined(stores: &Stores) {
    create(stores, "g1", &[("a", 20), ("b", 100)]).await;
    stores
        .groups
        .create(
            &Group {
                status: 2,
                ..group("gone")
            },
            &[member("a", 100)],
        )
        .await
        .unwrap();
    create(stores, "g2", &[("a", 100), ("b", 20)]).await;
    create(stores, "g3", &[("a", 20)]).await;
    assert_eq!(
        stores.groups.joined_ids("a").await.unwrap(),
        ["g2", "g1", "g3"]
    );
    let (total, page) = stores
        .groups
        .joined(
            "a",
            Page {
                offset: 1,
                limit: 1,
            },
        )
        .await
        .unwrap();
    assert_eq!(
        (
            total,
            page[0].group_id.as_str(),
            page[0].member_count,
            page[0].owner_id.as_str()
        ),
        (3, "g1", 2, "b")
    );
    let dismissed = stores.groups.get(&texts(&["gone"])).await.unwrap();
    assert_eq!((dismissed[0].status, dismissed[0].member_count), (2, 1));
    assert_eq!(stores.groups.unhandled_requests("a", 0).await.unwrap(), 0);
}
