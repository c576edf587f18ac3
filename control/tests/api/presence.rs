//! Who is online (spec: user.md 4).

use super::harness::Control;
use ringwire_link::message::SessionInfo;
use serde_json::json;

fn session(user_id: &str, platform_id: i32, conn_id: &str) -> SessionInfo {
    SessionInfo {
        user_id: user_id.into(),
        platform_id,
        conn_id: conn_id.into(),
        background: false,
    }
}

#[tokio::test]
async fn presence_is_what_the_gateways_say() {
    let control = Control::start().await;
    let admin = control.admin().await;
    control.register(&admin, &["u", "v"]).await;
    let user = control.login(&admin, "u", 1).await;
    control.gateways.live.lock().unwrap().extend([
        session("u", 5, "c1"),
        session("u", 1, "c2"),
        session("u", 5, "c3"),
    ]);
    let ids = json!({"userIDs": ["v", "u", "u"]});
    let status = control
        .post("/user/get_users_status", &user, ids.clone())
        .await
        .data();
    let (online, offline) = (
        json!({"userID": "u", "status": 1, "platformIDs": [1, 5]}),
        json!({"userID": "v", "status": 0, "platformIDs": null}),
    );
    assert_eq!(status["statusList"], json!([offline, online, online]));
    assert_eq!(
        control
            .post("/user/get_users_status", &user, json!({}))
            .await
            .code(),
        1001
    );

    assert_eq!(
        control
            .post("/user/get_users_online_status", &user, ids.clone())
            .await
            .code(),
        1002
    );
    let detail = control
        .post("/user/get_users_online_status", &admin, ids.clone())
        .await
        .data();
    assert_eq!(
        detail[0],
        json!({"userID": "v", "status": 0, "detailPlatformStatus": null})
    );
    assert_eq!(
        detail[1]["detailPlatformStatus"].as_array().unwrap().len(),
        3
    );
    assert_eq!(
        detail[1]["detailPlatformStatus"][0],
        json!({"platformID": 5, "connID": "c1", "isBackground": false, "token": ""})
    );
    assert_eq!(detail[1], detail[2]);

    assert_eq!(
        control
            .post("/user/get_users_online_token_detail", &user, ids.clone())
            .await
            .code(),
        1002
    );
    let tokens = control
        .post("/user/get_users_online_token_detail", &admin, ids)
        .await
        .data();
    assert_eq!(
        tokens,
        json!([{"userID": "u", "status": 1, "singlePlatformToken": [
            {"platformID": 1, "total": 1, "token": [""]},
            {"platformID": 5, "total": 2, "token": ["", ""]},
        ]}])
    );
}

#[tokio::test]
async fn subscriptions_over_http_are_checked_and_do_nothing() {
    let control = Control::start().await;
    let admin = control.admin().await;
    for (path, body, code) in [
        (
            "/user/subscribe_users_status",
            json!({"userIDs": ["a"], "genre": 1}),
            1001,
        ),
        (
            "/user/subscribe_users_status",
            json!({"userID": "u", "genre": 1}),
            1001,
        ),
        (
            "/user/subscribe_users_status",
            json!({"userID": "u", "userIDs": ["a"], "genre": 3}),
            1001,
        ),
        (
            "/user/subscribe_users_status",
            json!({"userID": "u", "userIDs": ["a"], "genre": 2}),
            0,
        ),
        ("/user/get_subscribe_users_status", json!({}), 1001),
        (
            "/user/get_subscribe_users_status",
            json!({"userID": "u"}),
            0,
        ),
    ] {
        let reply = control.post(path, &admin, body.clone()).await;
        assert_eq!(reply.code(), code, "{path} {body}");
        if code == 0 {
            assert_eq!(reply.data(), json!({"statusList": null}));
        }
    }
}
