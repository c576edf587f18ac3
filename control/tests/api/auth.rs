//! Tokens: issuing, checking, what a new one puts out of force (spec: auth.md).

use super::harness::{Control, PASSWORD, Recorder, Told, book};
use ringwire_control::ports::TokenStates;
use ringwire_control::store::Stores;
use ringwire_link::facts::{FactChange, TokenFact, TokenState};
use ringwire_link::record::TokenKickRecord;
use ringwire_protocol::token::fingerprint;
use serde_json::{Value, json};
use std::sync::Arc;

/// errCode of a call with this token.
async fn code(control: &Control, token: &str) -> i64 {
    control
        .post("/msg/get_server_time", token, json!({}))
        .await
        .code()
}

/// The token states that the gateways were told since the last look: (token's fingerprint, state).
fn told_tokens(control: &Control) -> Vec<([u8; 16], TokenState)> {
    let mut all = Vec::new();
    for told in control.told() {
        let Told::Apply(changes) = told else { continue };
        for change in changes {
            if let FactChange::Token(TokenFact { token, state, .. }) = change {
                all.push((token, state));
            }
        }
    }
    all
}

#[tokio::test]
async fn the_admins_token_is_guarded_by_the_secret() {
    let control = Control::with(|config| config.shared.token_expire_days = 7).await;
    let ask = |body: Value| control.post("/auth/get_admin_token", "", body);
    for (body, code, detail) in [
        (json!({"secret": PASSWORD}), 1001, "userID is empty"),
        (
            json!({"secret": "wrong", "userID": "imAdmin"}),
            1002,
            "secret invalid",
        ),
        (json!({"userID": "imAdmin"}), 1002, "secret invalid"),
        (
            json!({"secret": "wrong", "userID": "nobody"}),
            1002,
            "secret invalid",
        ),
        (
            json!({"secret": PASSWORD, "userID": "nobody"}),
            1001,
            "userID nobody is not an admin",
        ),
    ] {
        let reply = ask(body.clone()).await;
        assert_eq!(
            (reply.code(), reply.detail().as_str()),
            (code, detail),
            "{body}"
        );
    }
    let reply = ask(json!({"secret": PASSWORD, "userID": "imAdmin"})).await;
    assert_eq!(reply.data()["expireTimeSeconds"], 7 * 86_400);
    assert_eq!(
        code(&control, reply.data()["token"].as_str().unwrap()).await,
        0
    );
}

#[tokio::test]
async fn guessing_the_secret_is_bounded() {
    let control = Control::start().await;
    let wrong = json!({"secret": "wrong", "userID": "imAdmin"});
    let mut refused = 0;
    for _ in 0..30 {
        refused += i32::from(
            control
                .post("/auth/get_admin_token", "", wrong.clone())
                .await
                .status
                == 429,
        );
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn user_tokens_are_for_the_admin_to_give() {
    let control = Control::start().await;
    let admin = control.admin().await;
    let bot = json!({"users": [{"userID": "bot", "nickname": "b", "appMangerLevel": 3}]});
    control.register(&admin, &["u"]).await;
    control.post("/user/user_register", &admin, bot).await.ok();
    let user = control.login(&admin, "u", 1).await;
    for (token, body, code) in [
        (&user, json!({"userID": "u", "platformID": 1}), 1002),
        (&admin, json!({"userID": "u", "platformID": 10}), 1002),
        (&admin, json!({"userID": "imAdmin", "platformID": 1}), 1002),
        (&admin, json!({"userID": "nobody", "platformID": 1}), 1004),
        (&admin, json!({"userID": "", "platformID": 1}), 1004),
        (&admin, json!({"userID": "bot", "platformID": 1}), 1001),
        (&admin, json!({"userID": "u"}), 1001),
        (&admin, json!({"userID": "u", "platformID": 12}), 1001),
        (&admin, json!({"userID": "u", "platformID": -1}), 1001),
        (&admin, json!({"userID": "u", "platformID": 11}), 0),
    ] {
        let reply = control
            .post("/auth/get_user_token", token, body.clone())
            .await;
        assert_eq!(reply.code(), code, "{body}: {}", reply.text());
    }
}

#[tokio::test]
async fn a_token_says_whose_it_is() {
    let control = Control::start().await;
    let admin = control.admin().await;
    control.register(&admin, &["u"]).await;
    let token = control.login(&admin, "u", 2).await;
    let parsed = control
        .post("/auth/parse_token", "", json!({"token": token}))
        .await
        .data();
    assert_eq!(
        (&parsed["userID"], &parsed["platformID"]),
        (&json!("u"), &json!(2))
    );
    let now = ringwire_control::clock::unix_ms() / 1000;
    let until = parsed["expireTimeSeconds"].as_i64().unwrap();
    assert!(
        (now + 90 * 86_400 - 60..=now + 90 * 86_400).contains(&until),
        "{until}"
    );
    assert_eq!(
        control
            .post("/auth/parse_token", "", json!({"token": ""}))
            .await
            .code(),
        1001
    );
    assert_eq!(
        control
            .post("/auth/parse_token", "", json!({"token": "a.b.c"}))
            .await
            .code(),
        1503
    );
    let bearer = format!("Bearer {token}");
    assert_eq!(code(&control, &bearer).await, 1503);
}

#[tokio::test]
async fn a_new_token_kicks_by_the_policy_and_the_gateways_are_told_first() {
    // (policy, platforms in the order of the logins, errCodes of their tokens afterwards)
    for (policy, platforms, codes) in [
        (0, vec![1, 2, 3], vec![0, 0, 0]),
        (1, vec![1, 2, 3], vec![0, 0, 0]),
        (4, vec![1, 3, 2], vec![1506, 0, 0]),
        (5, vec![3, 1, 5], vec![0, 1506, 0]),
        (5, vec![1, 3, 7], vec![0, 0, 0]),
    ] {
        let control = Control::with(|config| config.shared.login_policy = policy).await;
        let admin = control.admin().await;
        control.register(&admin, &["u"]).await;
        let mut tokens = Vec::new();
        for platform in &platforms {
            tokens.push(control.login(&admin, "u", *platform).await);
        }
        for ((token, expected), platform) in tokens.iter().zip(&codes).zip(&platforms) {
            assert_eq!(
                code(&control, token).await,
                *expected,
                "policy {policy} platform {platform}"
            );
        }
        let mut last_told = std::collections::HashMap::new();
        last_told.extend(told_tokens(&control));
        for (token, expected) in tokens.iter().zip(&codes) {
            let state = if *expected == 0 {
                TokenState::Normal
            } else {
                TokenState::Kicked
            };
            assert_eq!(
                last_told.get(&fingerprint(token)),
                Some(&state),
                "policy {policy}"
            );
        }
    }
}

#[tokio::test]
async fn admin_tokens_stand_beside_each_other() {
    let control = Control::start().await;
    let first = control.admin().await;
    let second = control.admin().await;
    assert_eq!(
        (code(&control, &first).await, code(&control, &second).await),
        (0, 0)
    );
}

#[tokio::test]
async fn forced_out_tokens_are_refused_before_the_sessions_close() {
    let control = Control::start().await;
    let admin = control.admin().await;
    control.register(&admin, &["u", "v"]).await;
    let phone = control.login(&admin, "u", 1).await;
    let harmony = control.login(&admin, "u", 11).await;
    let other = control.login(&admin, "v", 1).await;
    let logout = |token: String, body: Value| {
        let control = &control;
        async move {
            control
                .post("/auth/force_logout", &token, body)
                .await
                .code()
        }
    };
    assert_eq!(logout(admin.clone(), json!({"platformID": 1})).await, 1001);
    assert_eq!(
        logout(admin.clone(), json!({"userID": "u", "platformID": 12})).await,
        1001
    );
    assert_eq!(
        logout(phone.clone(), json!({"userID": "v", "platformID": 1})).await,
        1002
    );
    control.told();
    assert_eq!(
        logout(admin.clone(), json!({"userID": "u", "platformID": 1})).await,
        0
    );
    let told = control.told();
    assert!(
        matches!(&told[..], [Told::Apply(changes), Told::Kick(user, platforms)]
            if changes.len() == 1 && user == "u" && platforms == &[1]),
        "{told:?}"
    );
    assert_eq!(code(&control, &phone).await, 1506);
    assert_eq!(code(&control, &harmony).await, 0);
    assert_eq!(
        logout(admin.clone(), json!({"userID": "u", "platformID": 0})).await,
        0
    );
    assert_eq!(code(&control, &harmony).await, 1506);
    assert_eq!(code(&control, &other).await, 0);
    assert_eq!(
        logout(admin, json!({"userID": "nobody", "platformID": 3})).await,
        0
    );
}

#[tokio::test]
async fn a_login_at_the_gateway_kicks_once_however_often_it_is_told() {
    let control = Control::with(|config| config.shared.login_policy = 0).await;
    let admin = control.admin().await;
    control.register(&admin, &["u"]).await;
    // Tokens of one second are the same string, so platforms make them differ.
    let kicked = control.login(&admin, "u", 1).await;
    let kept = control.login(&admin, "u", 2).await;
    let at_ms = ringwire_control::clock::unix_ms();
    let record = TokenKickRecord {
        user_id: "u".into(),
        tokens: vec![fingerprint(&kicked).to_vec(), b"short".to_vec()],
        platform_id: 2,
        keep: fingerprint(&kept).to_vec(),
        at_ms,
    };
    control.app.tokens.kicked_by_login(&record).await.unwrap();
    control.app.tokens.kicked_by_login(&record).await.unwrap();
    assert_eq!(
        (code(&control, &kicked).await, code(&control, &kept).await),
        (1506, 0)
    );
    // Made again after that login: the record, come late, leaves it alone.
    let again = loop {
        let again = control.login(&admin, "u", 1).await;
        if ringwire_control::clock::unix_ms() > at_ms {
            break again;
        }
    };
    let late = TokenKickRecord {
        tokens: vec![fingerprint(&again).to_vec()],
        platform_id: 1,
        keep: vec![],
        ..record
    };
    let fresh = control.login(&admin, "u", 1).await;
    control.app.tokens.kicked_by_login(&late).await.unwrap();
    assert_eq!(code(&control, &fresh).await, 0);
}

#[tokio::test]
async fn token_states_outlive_the_process() {
    let control = Control::start().await;
    let admin = control.admin().await;
    control.register(&admin, &["u"]).await;
    let live = control.login(&admin, "u", 1).await;
    let kicked = control.login(&admin, "u", 2).await;
    control
        .post(
            "/auth/force_logout",
            &admin,
            json!({"userID": "u", "platformID": 2}),
        )
        .await
        .ok();
    let config = &control.app.config;
    let stores = Stores::open(&config.control.database_url, 2).await.unwrap();
    let again = book(
        config,
        control.app.secret.clone(),
        &stores,
        Arc::new(Recorder::default()),
    )
    .await;
    assert_eq!(again.check(&live).unwrap().user_id, "u");
    assert_eq!(again.check(&kicked).unwrap_err().code, 1506);
    let mut snapshot = again.snapshot(&|user_id| user_id == "u").await;
    snapshot.sort_by_key(|fact| fact.platform_id);
    let states: Vec<_> = snapshot
        .iter()
        .map(|fact| (fact.token, fact.state))
        .collect();
    assert_eq!(
        states,
        [
            (fingerprint(&live), TokenState::Normal),
            (fingerprint(&kicked), TokenState::Kicked)
        ]
    );
    assert_eq!(again.snapshot(&|_| true).await.len(), 3, "and the admin's");
}

#[tokio::test]
async fn of_simultaneous_logins_on_one_platform_one_stays() {
    let control = Arc::new(Control::with(|config| config.shared.login_policy = 4).await);
    let admin = control.admin().await;
    control.register(&admin, &["u"]).await;
    // iOS and Android exclude each other, and their tokens of one second differ.
    let logins = (0..8).map(|n| {
        let (control, admin) = (control.clone(), admin.clone());
        tokio::spawn(async move { control.login(&admin, "u", 1 + n % 2).await })
    });
    let mut tokens = Vec::new();
    for login in logins.collect::<Vec<_>>() {
        tokens.push(login.await.unwrap());
    }
    tokens.sort();
    tokens.dedup();
    let mut live = 0;
    for token in &tokens {
        live += i32::from(code(&control, token).await == 0);
    }
    assert_eq!(live, 1);
}
