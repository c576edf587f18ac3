//! The reading calls that every SDK makes at login (spec: relation.md, group.md 4-5, sync.md A).

use super::harness::Control;
use ringwire_control::store::groups::{ROLE_ADMIN, ROLE_MEMBER, ROLE_OWNER, STATUS_DISMISSED};
use ringwire_control::store::{Black, Friend, Group, Member};
use serde_json::{Value, json};

const NO_VERSION: &str = "";

/// `me` has friends `f0`..`f2` (`f1` pinned, `gone` not registered), has blocked `b`, and is in group
/// `g` (owner `f0`, admin `f1`) and in `old`, which is dismissed.
async fn world() -> (Control, String, String) {
    let control = Control::start().await;
    let admin = control.admin().await;
    control
        .register(&admin, &["me", "f0", "f1", "f2", "b", "stranger"])
        .await;
    let friend = |id: &str, pinned: bool| Friend {
        owner_id: "me".into(),
        friend_id: id.into(),
        remark: format!("R {id}"),
        create_time: 1_700_000_000_999,
        add_source: 2,
        operator_id: "me".into(),
        is_pinned: pinned,
        ..Friend::default()
    };
    let stores = &control.app.stores;
    for one in [
        friend("f0", false),
        friend("f1", true),
        friend("f2", false),
        friend("gone", false),
    ] {
        stores.relations.add_friends(&[one]).await.unwrap();
    }
    let black = Black {
        owner_id: "me".into(),
        block_id: "b".into(),
        create_time: 1_700_000_000_999,
        ..Black::default()
    };
    stores.relations.add_black(&black).await.unwrap();
    let member = |id: &str, role: i32| Member {
        user_id: id.into(),
        role,
        join_time: 5,
        ..Member::default()
    };
    let group = |id: &str, status: i32| Group {
        group_id: id.into(),
        name: format!("G {id}"),
        create_time: 7,
        status,
        group_type: 2,
        ..Group::default()
    };
    let members = [
        member("f0", ROLE_OWNER),
        member("me", ROLE_MEMBER),
        member("f1", ROLE_ADMIN),
    ];
    stores
        .groups
        .create(&group("g", 0), &members)
        .await
        .unwrap();
    stores
        .groups
        .create(&group("old", STATUS_DISMISSED), &members)
        .await
        .unwrap();
    stores
        .groups
        .create(&group("foreign", 0), &[member("f0", ROLE_OWNER)])
        .await
        .unwrap();
    let me = control.login(&admin, "me", 1).await;
    (control, admin, me)
}

fn ids(list: &Value, key: &[&str]) -> Vec<String> {
    let id = |entry: &Value| {
        key.iter()
            .fold(entry, |at, key| &at[*key])
            .as_str()
            .unwrap()
            .to_owned()
    };
    list.as_array().unwrap().iter().map(id).collect()
}

#[tokio::test]
async fn friends_are_listed_pinned_first_with_times_in_seconds() {
    let (control, _, me) = world().await;
    let page = |number: i32| json!({"userID": "me", "pagination": {"pageNumber": number, "showNumber": 3}});
    let first = control
        .post("/friend/get_friend_list", &me, page(1))
        .await
        .data();
    assert_eq!(first["total"], 4);
    assert_eq!(
        ids(&first["friendsInfo"], &["friendUser", "userID"]),
        ["f1", "f0", "f2"]
    );
    assert_eq!(
        first["friendsInfo"][0],
        json!({"ownerUserID": "me", "remark": "R f1", "createTime": 1_700_000_000, "friendUser":
            {"userID": "f1", "nickname": "N f1", "faceURL": "", "ex": "", "createTime": 0, "appMangerLevel": 0, "globalRecvMsgOpt": 0},
            "addSource": 2, "operatorUserID": "me", "ex": "", "isPinned": true})
    );
    // A friend whose user is gone still has an object with the id: SDKs read it unasked.
    let second = control
        .post("/friend/get_friend_list", &me, page(2))
        .await
        .data();
    assert_eq!(
        ids(&second["friendsInfo"], &["friendUser", "userID"]),
        ["gone"]
    );
    assert_eq!(
        control
            .post("/friend/get_friend_list", &me, page(3))
            .await
            .data(),
        json!({"friendsInfo": null, "total": 4})
    );

    let body = json!({"ownerUserID": "me", "friendUserIDs": ["f2", "stranger"]});
    let some = control
        .post("/friend/get_designated_friends", &me, body)
        .await
        .data();
    assert_eq!(ids(&some["friendsInfo"], &["friendUser", "userID"]), ["f2"]);
    let twice = json!({"ownerUserID": "me", "friendUserIDs": ["f2", "f2"]});
    assert_eq!(
        control
            .post("/friend/get_designated_friends", &me, twice)
            .await
            .code(),
        1001
    );

    let blacks = control
        .post("/friend/get_black_list", &me, page(1))
        .await
        .data();
    assert_eq!(blacks["total"], 1);
    assert_eq!(
        blacks["blacks"][0]["blackUserInfo"],
        json!({"userID": "b", "nickname": "N b", "faceURL": "", "ex": ""})
    );
    assert_eq!(blacks["blacks"][0]["createTime"], 1_700_000_000);
}

#[tokio::test]
async fn friends_are_synced_by_version() {
    let (control, _, me) = world().await;
    let ask = |version_id: &str, version: u64| {
        let (control, me) = (&control, &me);
        let body = json!({"userID": "me", "versionID": version_id, "version": version});
        async move {
            control
                .post("/friend/get_incremental_friends", me, body)
                .await
                .data()
        }
    };
    let full = ask(NO_VERSION, 0).await;
    assert_eq!(full["full"], true);
    assert_eq!(
        (&full["insert"], &full["version"]),
        (&Value::Null, &json!(4))
    );
    let version_id = full["versionID"].as_str().unwrap().to_owned();
    assert_eq!(version_id.len(), 24);
    let equal = ask(&version_id, 4).await;
    assert_eq!(
        (&equal["full"], &equal["insert"], &equal["delete"]),
        (&json!(false), &Value::Null, &Value::Null)
    );
    let later = ask(&version_id, 2).await;
    assert_eq!(
        ids(&later["insert"], &["friendUser", "userID"]),
        ["f2", "gone"]
    );
    assert_eq!(ask("000000000000000000000000", 2).await["full"], true);

    let all = control
        .post(
            "/friend/get_full_friend_user_ids",
            &me,
            json!({"userID": "me", "idHash": 0}),
        )
        .await
        .data();
    assert_eq!(all["userIDs"], json!(["f1", "f0", "f2", "gone"]));
    assert_eq!(
        (&all["equal"], &all["versionID"]),
        (&json!(false), &json!(version_id))
    );
    let hash = ringwire_protocol::id_hash::id_hash(&["f1", "f0", "f2", "gone"]);
    let same = control
        .post(
            "/friend/get_full_friend_user_ids",
            &me,
            json!({"userID": "me", "idHash": hash}),
        )
        .await
        .data();
    assert_eq!(
        (&same["equal"], &same["userIDs"]),
        (&json!(true), &Value::Null)
    );
}

#[tokio::test]
async fn joined_groups_leave_out_dismissed_ones() {
    let (control, _, me) = world().await;
    let body = json!({"fromUserID": "me", "pagination": {"pageNumber": 1, "showNumber": 10}});
    let joined = control
        .post("/group/get_joined_group_list", &me, body)
        .await
        .data();
    assert_eq!(joined["total"], 1);
    let group = &joined["groups"][0];
    assert_eq!(
        (
            &group["groupID"],
            &group["ownerUserID"],
            &group["memberCount"]
        ),
        (&json!("g"), &json!("f0"), &json!(3))
    );
    let full = control
        .post(
            "/group/get_incremental_join_groups",
            &me,
            json!({"userID": "me"}),
        )
        .await
        .data();
    assert_eq!(
        (&full["full"], &full["insert"], &full["sortVersion"]),
        (&json!(true), &Value::Null, &json!(0))
    );
    let all = control
        .post(
            "/group/get_full_join_group_ids",
            &me,
            json!({"userID": "me"}),
        )
        .await
        .data();
    assert_eq!(all["groupIDs"], json!(["g"]));
    assert_eq!(all["versionID"], full["versionID"]);
    let body = json!({"userID": "me", "versionID": full["versionID"], "version": 1});
    let later = control
        .post("/group/get_incremental_join_groups", &me, body)
        .await
        .data();
    assert_eq!(later["full"], false);
    assert!(
        ids(&later["insert"], &["groupID"]).contains(&"old".to_owned()),
        "{later}"
    );
}

#[tokio::test]
async fn members_are_listed_by_rank_for_members_only() {
    let (control, admin, me) = world().await;
    let stranger = control.login(&admin, "stranger", 1).await;
    let list = |token: &str, change: Value| {
        let mut body = json!({"groupID": "g", "pagination": {"pageNumber": 1, "showNumber": 10}});
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let (control, token) = (&control, token.to_owned());
        async move {
            control
                .post("/group/get_group_member_list", &token, body)
                .await
        }
    };
    let all = list(&me, json!({})).await.data();
    assert_eq!(
        (&all["total"], ids(&all["members"], &["userID"])),
        (&json!(3), vec!["f0".into(), "f1".into(), "me".into()])
    );
    assert_eq!(
        all["members"][0]["nickname"], "N f0",
        "the user's own where the member has none"
    );
    assert_eq!(
        ids(
            &list(&me, json!({"filter": 5})).await.data()["members"],
            &["userID"]
        ),
        ["f0", "f1"]
    );
    assert_eq!(
        ids(
            &list(&me, json!({"keyword": "n ME"})).await.data()["members"],
            &["userID"]
        ),
        ["me"]
    );
    assert_eq!(list(&me, json!({"filter": 6})).await.code(), 1001);
    assert_eq!(list(&stranger, json!({})).await.code(), 1002);
    assert_eq!(list(&me, json!({"groupID": "nowhere"})).await.code(), 1002);
    list(&admin, json!({})).await.ok();

    let body = json!({"groupID": "g", "userIDs": ["me", "stranger"]});
    let some = control
        .post("/group/get_group_members_info", &me, body.clone())
        .await
        .data();
    assert_eq!(ids(&some["members"], &["userID"]), ["me"]);
    assert_eq!(
        control
            .post("/group/get_group_members_info", &stranger, body)
            .await
            .code(),
        1002
    );

    let full = control
        .post(
            "/group/get_full_group_member_user_ids",
            &me,
            json!({"groupID": "g"}),
        )
        .await
        .data();
    assert_eq!(full["userIDs"], json!(["f0", "f1", "me"]));
    let refused = control
        .post(
            "/group/get_full_group_member_user_ids",
            &stranger,
            json!({"groupID": "g"}),
        )
        .await;
    assert_eq!(refused.code(), 1002);

    let groups = json!({"groupIDs": ["old", "nowhere", "g", "old"]});
    let infos = control
        .post("/group/get_groups_info", &stranger, groups)
        .await
        .data();
    assert_eq!(ids(&infos["groupInfos"], &["groupID"]), ["old", "g"]);
}

#[tokio::test]
async fn the_batch_call_answers_what_it_can() {
    let (control, _, me) = world().await;
    let request = |id: &str| json!({"groupID": id, "versionID": "", "version": 0});
    let batch = |list: Vec<Value>| {
        let (control, me) = (&control, &me);
        async move {
            let body = json!({"userID": "me", "reqList": list});
            control
                .post("/group/get_incremental_group_members_batch", me, body)
                .await
                .data()
        }
    };
    let all = batch(
        ["old", "foreign", "nowhere", "g", "g"]
            .map(request)
            .to_vec(),
    )
    .await;
    let answered = all["respList"].as_object().unwrap();
    assert_eq!(answered.keys().collect::<Vec<_>>(), ["g"]);
    let g = &answered["g"];
    assert_eq!(
        (&g["full"], &g["group"]["groupID"]),
        (&json!(true), &json!("g"))
    );
    // Nothing changed: an entry all the same, without the group.
    let known = json!({"groupID": "g", "versionID": g["versionID"], "version": g["version"]});
    let same = batch(vec![known]).await;
    assert_eq!(
        (
            &same["respList"]["g"]["full"],
            &same["respList"]["g"]["group"]
        ),
        (&json!(false), &Value::Null)
    );
}

#[tokio::test]
async fn what_is_ones_own_is_not_for_others() {
    let (control, admin, me) = world().await;
    let page = json!({"pageNumber": 1, "showNumber": 10});
    for (path, key, more) in [
        (
            "/friend/get_friend_list",
            "userID",
            json!({"pagination": page}),
        ),
        (
            "/friend/get_black_list",
            "userID",
            json!({"pagination": page}),
        ),
        ("/friend/get_incremental_friends", "userID", json!({})),
        ("/friend/get_full_friend_user_ids", "userID", json!({})),
        (
            "/friend/get_designated_friends",
            "ownerUserID",
            json!({"friendUserIDs": ["f0"]}),
        ),
        (
            "/friend/get_self_unhandled_apply_count",
            "userID",
            json!({}),
        ),
        (
            "/group/get_joined_group_list",
            "fromUserID",
            json!({"pagination": page}),
        ),
        ("/group/get_incremental_join_groups", "userID", json!({})),
        ("/group/get_full_join_group_ids", "userID", json!({})),
        (
            "/group/get_group_application_unhandled_count",
            "userID",
            json!({}),
        ),
    ] {
        for (token, id, code) in [
            (&me, "me", 0),
            (&me, "f0", 1002),
            (&me, "", 1001),
            (&admin, "me", 0),
        ] {
            let mut body = more.clone();
            body[key] = json!(id);
            assert_eq!(
                control.post(path, token, body).await.code(),
                code,
                "{path} of {id:?}"
            );
        }
    }
    let count = control
        .post(
            "/friend/get_self_unhandled_apply_count",
            &me,
            json!({"userID": "me"}),
        )
        .await
        .data();
    assert_eq!(count, json!({"count": 0}));
}
