//! What every request goes through (spec: api.md 1-4).

use super::harness::{Control, PASSWORD, raw};
use flate2::read::GzDecoder;
use ringwire_control::api::envelope::Reply;
use ringwire_control::api::route::{Route, Who};
use serde_json::json;
use std::io::Read;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;

#[tokio::test]
async fn headers_are_checked_before_the_path() {
    let control = Control::start().await;
    let admin = control.admin().await;
    for (path, headers, status, text) in [
        (
            "/user/get_users_info",
            &[][..],
            200,
            r#""errDlt":"header must have operationID""#,
        ),
        (
            "/user/get_users_info",
            &[("operationID", "o")],
            200,
            r#""errDlt":"header must have token""#,
        ),
        (
            "/user/get_users_info",
            &[("operationID", "o"), ("token", "x")],
            200,
            r#""errCode":1503"#,
        ),
        (
            "/user/get_users_info",
            &[("operationID", ""), ("token", &admin)],
            200,
            r#""errCode":1001"#,
        ),
        (
            "/nowhere",
            &[],
            200,
            r#""errDlt":"header must have operationID""#,
        ),
        (
            "/nowhere",
            &[("operationID", "o")],
            200,
            r#""errDlt":"header must have token""#,
        ),
        (
            "/nowhere",
            &[("operationID", "o"), ("token", &admin)],
            404,
            "404 page not found",
        ),
        (
            "/auth/get_admin_token",
            &[],
            200,
            r#""errDlt":"header must have operationID""#,
        ),
        (
            "/auth/get_admin_token/x",
            &[("operationID", "o")],
            200,
            r#""errDlt":"header must have token""#,
        ),
        (
            "/auth/parse_token",
            &[("operationID", "o"), ("token", "ignored")],
            200,
            r#""errDlt":"token is empty""#,
        ),
    ] {
        let reply = control.send("POST", path, headers, b"{}").await;
        assert_eq!(reply.status, status, "{path} {headers:?}");
        assert!(
            reply.text().contains(text),
            "{path} {headers:?}: {}",
            reply.text()
        );
    }
}

#[tokio::test]
async fn other_methods_find_nothing_and_need_no_headers() {
    let control = Control::start().await;
    for method in ["GET", "PUT", "DELETE"] {
        let reply = control.send(method, "/user/get_users_info", &[], b"").await;
        assert_eq!(
            (reply.status, reply.text().as_str()),
            (404, "404 page not found"),
            "{method}"
        );
    }
}

#[tokio::test]
async fn options_is_answered_anywhere() {
    let control = Control::start().await;
    for path in ["/user/get_users_info", "/nowhere", "/"] {
        let reply = control.send("OPTIONS", path, &[], b"").await;
        assert_eq!(
            (reply.status, reply.text().as_str()),
            (200, "\"Options Request!\""),
            "{path}"
        );
        assert_eq!(reply.headers["access-control-allow-headers"], "*");
    }
}

#[tokio::test]
async fn cors_and_an_id_stand_on_every_reply() {
    let control = Control::with(|config| config.control.request_rate = 1).await;
    let replies = [
        control.send("POST", "/user/get_users_info", &[], b"").await,
        control.send("GET", "/nowhere", &[], b"").await,
        control
            .send("POST", "/auth/parse_token/", &[("operationID", "o")], b"{}")
            .await,
        control.post("/auth/parse_token", "", json!({})).await,
    ];
    for reply in &replies {
        for (name, value) in [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-methods", "*"),
            ("access-control-allow-headers", "*"),
            ("access-control-allow-credentials", "false"),
            ("access-control-max-age", "172800"),
        ] {
            assert_eq!(
                reply.headers.get(name).map(String::as_str),
                Some(value),
                "{reply:?}"
            );
        }
        assert!(reply.headers["access-control-expose-headers"].ends_with("Pragma,FooBar"));
        assert_eq!(reply.headers["x-http-id"].len(), 36);
    }
    assert_eq!(replies[2].status, 307);
    assert_eq!(replies[2].headers["location"], "/auth/parse_token");
    assert_eq!(replies[3].headers["content-type"], "application/json");
}

#[tokio::test]
async fn a_success_has_data_only_when_the_reply_has_fields() {
    let control = Control::start().await;
    let admin = control.admin().await;
    let empty = control
        .post(
            "/user/user_register",
            &admin,
            json!({"users": [{"userID": "u", "nickname": "n"}]}),
        )
        .await;
    assert_eq!(empty.text(), r#"{"errCode":0,"errMsg":"","errDlt":""}"#);
    let none = control
        .post("/user/get_users_online_status", &admin, json!({}))
        .await;
    assert_eq!(
        none.text(),
        r#"{"errCode":0,"errMsg":"","errDlt":"","data":null}"#
    );
    let list = control
        .post(
            "/user/get_users_info",
            &admin,
            json!({"userIDs": ["nobody"]}),
        )
        .await;
    assert_eq!(
        list.text(),
        r#"{"errCode":0,"errMsg":"","errDlt":"","data":{"usersInfo":null}}"#
    );
    let config = control
        .post("/user/get_user_client_config", &admin, json!({}))
        .await;
    assert_eq!(
        config.text(),
        r#"{"errCode":0,"errMsg":"","errDlt":"","data":{}}"#
    );
}

#[tokio::test]
async fn empty_lists_can_be_brackets() {
    let control = Control::with(|config| config.control.null_lists = false).await;
    let admin = control.admin().await;
    let none = control
        .post("/user/get_users_online_status", &admin, json!({}))
        .await;
    assert_eq!(none.data(), json!([]));
    let body = json!({"userIDs": ["nobody"]});
    let list = control.post("/user/get_users_info", &admin, body).await;
    assert_eq!(list.data(), json!({"usersInfo": []}));
}

#[tokio::test]
async fn bodies_that_are_not_the_message_are_argument_errors() {
    let control = Control::start().await;
    let admin = control.admin().await;
    let headers = [("operationID", "o"), ("token", admin.as_str())];
    for body in [
        "",
        "{",
        "[]",
        r#"{"userIDs":"x"}"#,
        r#"{"userIDs":[1]}"#,
        r#"{"userIDs":["a"]} x"#,
    ] {
        let reply = control
            .send("POST", "/user/get_users_info", &headers, body.as_bytes())
            .await;
        assert_eq!((reply.status, reply.code()), (200, 1001), "{body}");
        assert_eq!(reply.json()["errMsg"], "ArgsError", "{body}");
        assert!(!reply.detail().is_empty(), "{body}");
    }
    for body in [
        r#"{"userids":["imAdmin"],"else":{}}"#,
        r#"{"userIDs":["x"],"userIDs":["imAdmin"]}"#,
    ] {
        let reply = control
            .send("POST", "/user/get_users_info", &headers, body.as_bytes())
            .await;
        assert_eq!(reply.data()["usersInfo"][0]["userID"], "imAdmin", "{body}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_unread() {
    let control = Control::start().await;
    let admin = control.admin().await;
    let announced = (16u64 << 20) + 1;
    let headers = [
        ("operationID", "o"),
        ("token", admin.as_str()),
        ("Content-Length", &announced.to_string()),
    ];
    let reply = control
        .send("POST", "/user/get_users_info", &headers, b"")
        .await;
    assert_eq!((reply.status, reply.code()), (200, 1001));
    assert!(
        reply.detail().contains("longer than 16777216"),
        "{}",
        reply.text()
    );
    // Routes that need no token take far less.
    let headers = [("operationID", "o"), ("Content-Length", "70000")];
    let reply = control
        .send("POST", "/auth/parse_token", &headers, b"")
        .await;
    assert!(reply.detail().contains("longer than"), "{}", reply.text());
}

#[tokio::test]
async fn a_body_in_chunks_is_bounded_too() {
    let control = Control::with(|config| config.control.max_body_bytes = 1000).await;
    let admin = control.admin().await;
    let chunk = format!(
        "3e8\r\n{}\r\n3e8\r\n{}\r\n0\r\n\r\n",
        " ".repeat(1000),
        " ".repeat(1000)
    );
    let request = format!(
        "POST /user/get_users_info HTTP/1.1\r\nHost: t\r\nConnection: close\r\noperationID: o\r\n\
         token: {admin}\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"
    );
    let reply = raw(control.address, request.as_bytes()).await;
    assert!(
        reply.detail().contains("longer than 1000"),
        "{}",
        reply.text()
    );
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let control = Control::with(|config| config.control.read_timeout_ms = 50).await;
    let admin = control.admin().await;
    let headers = [
        ("operationID", "o"),
        ("token", admin.as_str()),
        ("Content-Length", "100"),
    ];
    let reply = control
        .send("POST", "/user/get_users_info", &headers, b"{")
        .await;
    assert_eq!((reply.status, reply.code()), (200, 1001));
}

#[tokio::test]
async fn long_replies_are_packed_for_those_who_take_it() {
    let control = Control::start().await;
    let admin = control.admin().await;
    let ids: Vec<String> = (0..50).map(|n| format!("user_{n}")).collect();
    control
        .register(&admin, &ids.iter().map(String::as_str).collect::<Vec<_>>())
        .await;
    let body = json!({"userIDs": ids}).to_string();
    let plain = [("operationID", "o"), ("token", admin.as_str())];
    let packing = [
        ("operationID", "o"),
        ("token", admin.as_str()),
        ("Accept-Encoding", "gzip"),
    ];
    let long = control
        .send("POST", "/user/get_users_info", &plain, body.as_bytes())
        .await;
    assert!(!long.headers.contains_key("content-encoding"));
    let packed = control
        .send("POST", "/user/get_users_info", &packing, body.as_bytes())
        .await;
    assert_eq!(packed.headers["content-encoding"], "gzip");
    assert_eq!(packed.headers["vary"], "Accept-Encoding");
    assert!(packed.body.len() < long.body.len());
    let mut unpacked = Vec::new();
    GzDecoder::new(packed.body.as_slice())
        .read_to_end(&mut unpacked)
        .unwrap();
    assert_eq!(unpacked, long.body);
    let short = control
        .send(
            "POST",
            "/user/get_users_info",
            &packing,
            br#"{"userIDs":["x"]}"#,
        )
        .await;
    assert!(!short.headers.contains_key("content-encoding"));
}

#[tokio::test]
async fn beyond_the_rate_a_user_is_refused_readably_but_not_the_back_end() {
    let control = Control::with(|config| {
        // One more only after a second: no test is that slow between two lines, and none that fast.
        config.control.request_rate = 1;
        config.control.request_burst = 3;
    })
    .await;
    let admin = control.admin().await;
    control.register(&admin, &["u"]).await;
    let token = control.login(&admin, "u", 1).await;
    let mut refused = None;
    for _ in 0..50 {
        let reply = control
            .post("/msg/get_server_time", &token, json!({}))
            .await;
        if reply.status == 429 {
            refused = Some(reply);
            break;
        }
    }
    let refused = refused.expect("fifty in a row are too many");
    assert_eq!(refused.code(), 429);
    assert_eq!(refused.headers["access-control-allow-origin"], "*");
    for _ in 0..10 {
        control
            .post("/msg/get_server_time", &admin, json!({}))
            .await
            .ok();
    }
}

/// What [`finishing`] waits for, and what it then says.
static GO_ON: Notify = Notify::const_new();
static FINISHED: Notify = Notify::const_new();

#[tokio::test]
async fn a_panic_ends_in_its_own_request() {
    let panics = Route {
        path: "/panics",
        who: Who::Open,
        call: |_, _, _| Box::pin(async { panic!("as it must in this test") }),
    };
    let control = Control::serving(|_| {}, vec![panics]).await;
    for _ in 0..2 {
        let reply = control.post("/panics", "", json!({})).await;
        assert_eq!((reply.status, reply.code()), (200, 500));
        assert_eq!(reply.json()["errMsg"], "ServerInternalError");
        assert_eq!(reply.headers["access-control-allow-origin"], "*");
    }
}

#[tokio::test]
async fn what_a_client_began_is_finished_without_it() {
    let finishing = Route {
        path: "/finishing",
        who: Who::Open,
        call: |_, _, _| {
            Box::pin(async {
                FINISHED.notify_one();
                GO_ON.notified().await;
                FINISHED.notify_one();
                Ok(Reply::Empty)
            })
        },
    };
    let control = Control::serving(|_| {}, vec![finishing]).await;
    let mut client = TcpStream::connect(control.address).await.unwrap();
    let request =
        "POST /finishing HTTP/1.1\r\nHost: t\r\noperationID: o\r\nContent-Length: 2\r\n\r\n{}";
    client.write_all(request.as_bytes()).await.unwrap();
    FINISHED.notified().await;
    drop(client);
    // The server has seen it, and dropped everything that belonged to the connection.
    while !control
        .metrics
        .text()
        .contains("ringwire_api_connections 0\n")
    {
        tokio::task::yield_now().await;
    }
    GO_ON.notify_one();
    let finished = tokio::time::timeout(Duration::from_secs(30), FINISHED.notified());
    finished.await.expect("the handler goes on alone");
}

#[tokio::test]
async fn no_refusal_tells_a_secret_or_a_token() {
    let control = Control::start().await;
    let admin = control.admin().await;
    let broken = format!("{admin}x");
    let reply = control
        .post("/msg/get_server_time", &broken, json!({}))
        .await;
    assert!(!reply.text().contains(&admin));
    let reply = control
        .post(
            "/auth/get_admin_token",
            "",
            json!({"secret": PASSWORD, "userID": "nobody"}),
        )
        .await;
    assert_eq!(reply.code(), 1001);
    assert!(
        !reply.text().contains(PASSWORD) && !reply.text().contains("imAdmin"),
        "{}",
        reply.text()
    );
}
