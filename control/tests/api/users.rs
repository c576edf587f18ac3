//! Users: registration, profiles, presence, client configuration (spec: user.md).

use super::harness::{Control, Told};
use prost::Message as _;
use ringwire_link::facts::FactChange;
use ringwire_protocol::pb::sdkws::MsgData;
use serde_json::{Value, json};

async fn profile(control: &Control, admin: &str, user_id: &str) -> Value {
    control
        .post("/user/get_users_info", admin, json!({"userIDs": [user_id]}))
        .await
        .data()["usersInfo"][0]
        .clone()
}

#[tokio::test]
async fn users_are_registered_all_or_none() {
    let control = Control::start().await;
    let admin = control.admin().await;
    control.register(&admin, &["old"]).await;
    let old = control.login(&admin, "old", 1).await;
    let one = |id: &str| json!({"userID": id, "nickname": "n"});
    for (token, users, code, detail) in [
        (&admin, json!(null), 1001, "users is empty"),
        (&admin, json!([]), 1001, "users is empty"),
        (
            &admin,
            json!([{"userID": "a:b", "nickname": "n"}]),
            1001,
            "userID is legal",
        ),
        (
            &old,
            json!([{"userID": "a", "nickname": ""}]),
            1001,
            "user name is empty",
        ),
        (
            &old,
            json!([one("a")]),
            1002,
            "user old is not admin userID",
        ),
        (&admin, json!([one("a"), one("a")]), 1001, "userID repeated"),
        (&admin, json!([one("")]), 1001, "userID is empty"),
        (
            &admin,
            json!([one(&"x".repeat(65))]),
            1001,
            "userID is longer than 64",
        ),
        (
            &admin,
            json!([{"userID": "a", "nickname": "n", "globalRecvMsgOpt": 3}]),
            1001,
            "GlobalRecvMsgOpt is invalid",
        ),
        (
            &admin,
            json!([one("a"), one("old")]),
            1102,
            "userID registered already",
        ),
    ] {
        let reply = control
            .post("/user/user_register", token, json!({"users": users}))
            .await;
        assert_eq!(
            (reply.code(), reply.detail().as_str()),
            (code, detail),
            "{users}"
        );
    }
    let check = json!({"checkUserIDs": ["old", "a"]});
    let results = control
        .post("/user/account_check", &admin, check)
        .await
        .data();
    assert_eq!(
        results["results"],
        json!([{"userID": "old", "accountStatus": 1}, {"userID": "a", "accountStatus": 0}])
    );
    control.told();
    control.register(&admin, &["new"]).await;
    assert_eq!(
        control.told(),
        [Told::Apply(vec![FactChange::User("new".into())])]
    );
}

#[tokio::test]
async fn a_profile_has_all_its_fields() {
    let control = Control::start().await;
    let admin = control.admin().await;
    let before = ringwire_control::clock::unix_ms();
    let user = json!({"userID": "u", "nickname": "N", "faceURL": "f", "ex": "e", "createTime": 5, "globalRecvMsgOpt": 2});
    control
        .post("/user/user_register", &admin, json!({"users": [user]}))
        .await
        .ok();
    let mut read = profile(&control, &admin, "u").await;
    assert!(read["createTime"].as_i64().unwrap() >= before);
    read["createTime"] = json!(0);
    assert_eq!(
        read.to_string(),
        r#"{"userID":"u","nickname":"N","faceURL":"f","ex":"e","createTime":0,"appMangerLevel":0,"globalRecvMsgOpt":2}"#
    );
}

#[tokio::test]
async fn profiles_come_in_the_order_asked_for_and_once() {
    let control = Control::start().await;
    let admin = control.admin().await;
    control.register(&admin, &["a", "b", "c"]).await;
    let user = control.login(&admin, "a", 1).await;
    let reply = control
        .post(
            "/user/get_users_info",
            &user,
            json!({"userIDs": ["c", "x", "a", "c"]}),
        )
        .await
        .data();
    let ids: Vec<&str> = reply["usersInfo"]
        .as_array()
        .unwrap()
        .iter()
        .map(|u| u["userID"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["c", "a"]);
    let many: Vec<String> = (0..1001).map(|n| n.to_string()).collect();
    for ids in [json!([]), json!(null), json!(many)] {
        assert_eq!(
            control
                .post("/user/get_users_info", &user, json!({"userIDs": ids}))
                .await
                .code(),
            1001
        );
    }
}

#[tokio::test]
async fn a_change_is_written_told_to_the_user_and_to_the_gateways() {
    let control = Control::start().await;
    let admin = control.admin().await;
    control.register(&admin, &["u", "v"]).await;
    let user = control.login(&admin, "u", 1).await;
    control.told();
    let update = |token: &str, info: Value| {
        let (control, token) = (&control, token.to_owned());
        async move {
            control
                .post(
                    "/user/update_user_info_ex",
                    &token,
                    json!({"userInfo": info}),
                )
                .await
                .code()
        }
    };
    assert_eq!(update(&user, json!(null)).await, 1001);
    assert_eq!(update(&user, json!({"nickname": "x"})).await, 1001);
    assert_eq!(
        update(&user, json!({"userID": "v", "nickname": "x"})).await,
        1002
    );
    assert_eq!(
        update(&user, json!({"userID": "u", "globalRecvMsgOpt": 3})).await,
        1001
    );
    assert_eq!(
        update(&admin, json!({"userID": "nobody", "nickname": "x"})).await,
        1004
    );
    assert_eq!(control.told(), []);

    // A name: told to the user's devices; nothing a gateway judges by.
    assert_eq!(
        update(&user, json!({"userID": "u", "nickname": "", "ex": "e"})).await,
        0
    );
    assert_eq!(control.told(), [Told::Outbox]);
    let read = profile(&control, &admin, "u").await;
    assert_eq!((&read["nickname"], &read["ex"]), (&json!(""), &json!("e")));

    // The option: the gateways know before the reply.
    assert_eq!(
        update(&admin, json!({"userID": "u", "globalRecvMsgOpt": 1})).await,
        0
    );
    assert_eq!(
        control.told(),
        [
            Told::Outbox,
            Told::Apply(vec![FactChange::User("u".into())])
        ]
    );

    // Nothing new: nothing told.
    assert_eq!(update(&user, json!({"userID": "u", "ex": "e"})).await, 0);
    assert_eq!(update(&user, json!({"userID": "u"})).await, 0);
    assert_eq!(control.told(), []);

    let rows = control.app.stores.outbox.pending(0, 10).await.unwrap();
    let sent: Vec<(String, String, i32, String)> = rows
        .iter()
        .map(|row| {
            let msg = MsgData::decode(row.message.publish.msg.as_slice()).unwrap();
            (
                msg.send_id,
                msg.recv_id,
                msg.content_type,
                row.message.lane.clone(),
            )
        })
        .collect();
    assert_eq!(
        sent,
        [
            ("u".into(), "u".into(), 1303, "u_u".into()),
            ("imAdmin".into(), "u".into(), 1303, "imAdmin_u".into())
        ]
    );
}

#[tokio::test]
async fn the_old_update_writes_only_what_is_not_empty() {
    let control = Control::start().await;
    let admin = control.admin().await;
    let user = json!({"userID": "u", "nickname": "N", "faceURL": "f", "globalRecvMsgOpt": 2});
    control
        .post("/user/user_register", &admin, json!({"users": [user]}))
        .await
        .ok();
    let info = json!({"userID": "u", "nickname": "", "faceURL": "g", "globalRecvMsgOpt": 0, "appMangerLevel": 2});
    control
        .post("/user/update_user_info", &admin, json!({"userInfo": info}))
        .await
        .ok();
    let read = profile(&control, &admin, "u").await;
    assert_eq!(read["nickname"], "N");
    assert_eq!(read["faceURL"], "g");
    assert_eq!(read["globalRecvMsgOpt"], 2);
    assert_eq!(read["appMangerLevel"], 0);
}

#[tokio::test]
async fn the_receive_option_is_ones_own() {
    for (legacy, code) in [(false, 1002), (true, 0)] {
        let control = Control::with(|config| config.control.legacy_open_routes = legacy).await;
        let admin = control.admin().await;
        control.register(&admin, &["u", "v"]).await;
        let user = control.login(&admin, "u", 1).await;
        let set = |id: &str, opt: i32| {
            let (control, user) = (&control, &user);
            let body = json!({"userID": id, "globalRecvMsgOpt": opt});
            async move {
                control
                    .post("/user/set_global_msg_recv_opt", user, body)
                    .await
                    .code()
            }
        };
        assert_eq!(set("u", 3).await, 1001);
        assert_eq!(set("", 1).await, 1001);
        assert_eq!(set("u", 1).await, 0);
        assert_eq!(set("v", 1).await, code);
        assert_eq!(profile(&control, &admin, "u").await["globalRecvMsgOpt"], 1);
    }
}

#[tokio::test]
async fn lists_of_users_are_the_admins() {
    let control = Control::start().await;
    let admin = control.admin().await;
    control.register(&admin, &["alice", "bob", "carol"]).await;
    let user = control.login(&admin, "bob", 1).await;
    let page = json!({"pageNumber": 1, "showNumber": 2});
    for path in ["/user/get_users", "/user/get_all_users_uid"] {
        assert_eq!(
            control
                .post(path, &user, json!({"pagination": page}))
                .await
                .code(),
            1002,
            "{path}"
        );
        assert_eq!(
            control.post(path, &admin, json!({})).await.code(),
            1001,
            "{path}"
        );
        let bad = json!({"pagination": {"pageNumber": 0, "showNumber": 2}});
        assert_eq!(control.post(path, &admin, bad).await.code(), 1001, "{path}");
    }
    let users = control
        .post("/user/get_users", &admin, json!({"pagination": page}))
        .await
        .data();
    assert_eq!(
        (&users["total"], users["users"].as_array().unwrap().len()),
        (&json!(3), 2)
    );
    let found = control
        .post(
            "/user/get_users",
            &admin,
            json!({"pagination": page, "nickName": "N CAR"}),
        )
        .await
        .data();
    assert_eq!(
        (&found["total"], &found["users"][0]["userID"]),
        (&json!(1), &json!("carol"))
    );
    let literal = control
        .post(
            "/user/get_users",
            &admin,
            json!({"pagination": page, "userID": ".*"}),
        )
        .await
        .data();
    assert_eq!(literal, json!({"total": 0, "users": null}));
    let ids = control
        .post(
            "/user/get_all_users_uid",
            &admin,
            json!({"pagination": {"pageNumber": 1, "showNumber": 9}}),
        )
        .await
        .data();
    assert_eq!(
        (&ids["total"], ids["userIDs"].as_array().unwrap().len()),
        (&json!(4), 4)
    );
    let past = json!({"pagination": {"pageNumber": 9, "showNumber": 9}});
    assert_eq!(
        control
            .post("/user/get_all_users_uid", &admin, past)
            .await
            .data(),
        json!({"total": 4, "userIDs": null})
    );
}

#[tokio::test]
async fn client_settings_of_a_user_lie_over_those_for_everyone() {
    let control = Control::start().await;
    let admin = control.admin().await;
    control.register(&admin, &["u", "v"]).await;
    let user = control.login(&admin, "u", 1).await;
    let set = |token: &str, id: &str, configs: Value| {
        let (control, token, body) = (
            &control,
            token.to_owned(),
            json!({"userID": id, "configs": configs}),
        );
        async move {
            control
                .post("/user/set_user_client_config", &token, body)
                .await
                .code()
        }
    };
    assert_eq!(set(&user, "u", json!({"k": "v"})).await, 1002);
    assert_eq!(set(&admin, "nobody", json!({"k": "v"})).await, 1004);
    assert_eq!(set(&admin, "", json!({"a": "1", "b": "1"})).await, 0);
    assert_eq!(set(&admin, "u", json!({"b": "2", "c": "2"})).await, 0);
    assert_eq!(set(&admin, "u", json!({})).await, 0);
    let get = |id: &str| {
        let (control, user, body) = (&control, &user, json!({"userID": id}));
        async move {
            control
                .post("/user/get_user_client_config", user, body)
                .await
        }
    };
    assert_eq!(
        get("u").await.data()["configs"],
        json!({"a": "1", "b": "2", "c": "2"})
    );
    assert_eq!(get("").await.data()["configs"], json!({"a": "1", "b": "1"}));
    assert_eq!(get("v").await.code(), 1002);
    let page = json!({"pagination": {"pageNumber": 1, "showNumber": 10}, "userID": "u"});
    assert_eq!(
        control
            .post("/user/page_user_client_config", &admin, page)
            .await
            .data(),
        json!({"total": 2, "configs": [
            {"key": "b", "userID": "u", "value": "2"},
            {"key": "c", "userID": "u", "value": "2"},
        ]})
    );
    let all = control
        .post("/user/page_user_client_config", &admin, json!({}))
        .await
        .data();
    assert_eq!(all, json!({"total": 4, "configs": null}));
    let gone = json!({"userID": "u", "keys": ["b", "nothing"]});
    control
        .post("/user/del_user_client_config", &admin, gone)
        .await
        .ok();
    assert_eq!(
        get("u").await.data()["configs"],
        json!({"a": "1", "b": "1", "c": "2"})
    );
}

#[tokio::test]
async fn registrations_are_counted_by_day() {
    let control = Control::start().await;
    let admin = control.admin().await;
    control.register(&admin, &["u", "v"]).await;
    let user = control.login(&admin, "u", 1).await;
    let count = |token: &str, start: i64, end: i64| {
        let (control, token, body) = (
            &control,
            token.to_owned(),
            json!({"start": start, "end": end}),
        );
        async move {
            control
                .post("/statistics/user/register", &token, body)
                .await
        }
    };
    let now = ringwire_control::clock::unix_ms();
    for (start, end) in [(0, 5), (5, 0), (6, 5)] {
        assert_eq!(count(&admin, start, end).await.code(), 1001);
    }
    assert_eq!(count(&user, 1, now).await.code(), 1002);
    let counts = count(&admin, 1, now + 60_000).await.data();
    assert_eq!(
        (&counts["total"], &counts["before"]),
        (&json!(3), &json!(0))
    );
    let days: i64 = counts["count"]
        .as_object()
        .unwrap()
        .values()
        .map(|n| n.as_i64().unwrap())
        .sum();
    assert_eq!(days, 3);
    let empty = count(&admin, 1, 2).await.data();
    assert_eq!(
        empty,
        json!({"total": 3, "before": 0}),
        "an empty map is left out"
    );
}
