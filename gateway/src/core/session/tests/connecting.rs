use super::*;

fn code(answer: &str) -> i64 {
    let body = answer.split("\r\n\r\n").nth(1).expect("a body");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(body.len() <= 1024);
    serde_json::from_str::<serde_json::Value>(body).expect("JSON")["errCode"]
        .as_i64()
        .expect("a number")
}

#[test]
fn a_good_token_opens_a_session_and_bytes_behind_the_request_count() {
    let user = user_of(0, 0);
    let mut rig = Rig::linked(&[normal(&user, 1)]);
    let conn = rig.accept();
    let mut bytes = upgrade(&query(&user, 1, &token_of(&user, 1))).into_bytes();
    bytes.extend(frame(9, b"early"));
    for byte in bytes {
        rig.receive(conn, &[byte]);
    }
    let answer = rig.taken(conn);
    let split = answer
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .expect("a head")
        + 4;
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    assert_eq!(frames(&answer[split..]), [Frame::Pong(b"early".to_vec())]);
    assert_eq!((rig.stats().sessions, rig.stats().users), (1, 1));
}

#[test]
fn every_token_fault_has_its_code() {
    let (user, other) = (user_of(0, 0), user_of(0, 1));
    let good = token_of(&user, 1);
    let kicked = second_token(&user, 1);
    let expired = token::sign(
        &Claims {
            exp: START_S,
            ..claims(&user, 1)
        },
        SECRET,
    );
    let forged = token::sign(&claims(&user, 1), b"another secret of enough bytes");
    let mut rig = Rig::linked(&[
        normal(&user, 1),
        fact_of(&user, 1, &kicked, TokenState::Kicked),
    ]);
    for (query, wanted) in [
        (query(&user, 1, &expired), 1501),
        (query(&other, 1, &good), 1502),
        (query(&user, 2, &good), 1502),
        (query(&user, 1, "rubbish"), 1503),
        (query(&user, 1, &forged), 1505),
        (query(&user, 1, &kicked), 1506),
        (query(&user, 5, &token_of(&user, 5)), 1507),
        (query(&user, 12, &good), 1602),
    ] {
        let conn = rig.dial(&query);
        let answer = rig.text(conn);
        assert_eq!(code(&answer), wanted, "{answer}");
        assert!(!answer.contains(&good), "no token in an answer");
        assert!(rig.closed.contains(&conn));
    }
    assert_eq!(rig.stats().sessions, 0);
}

#[test]
fn with_is_msg_resp_the_outcome_is_one_text_frame() {
    let user = user_of(0, 0);
    let mut rig = Rig::linked(&[normal(&user, 5)]);
    let conn = rig.dial(&format!(
        "{}&isMsgResp=true",
        query(&user, 5, &token_of(&user, 5))
    ));
    let answer = rig.text(conn);
    assert!(answer.starts_with("HTTP/1.1 101 "));
    assert!(answer.ends_with(r#"{"errCode":0,"errMsg":"","errDlt":""}"#));

    for refused in [query(&user, 5, "rubbish"), query(&user, 99, "t")] {
        let conn = rig.dial(&format!("{refused}&isMsgResp=true"));
        let answer = rig.taken(conn);
        let split = answer
            .windows(4)
            .position(|w| w == b"\r\n\r\n")
            .expect("a head")
            + 4;
        assert!(answer.starts_with(b"HTTP/1.1 101 "));
        let frames = frames(&answer[split..]);
        assert!(
            matches!(&frames[0], Frame::Text(json) if json.contains("errCode\":1")),
            "{frames:?}"
        );
        assert_eq!(frames[1], Frame::Close(Some(1008)));
        assert!(rig.closed.contains(&conn));
    }
}

#[test]
fn a_user_of_another_core_is_handed_over_with_all_bytes() {
    let user = user_of(1, 0);
    let mut rig = Rig::linked(&[]);
    let sent = [
        upgrade(&query(&user, 1, "t")).into_bytes(),
        b"more".to_vec(),
    ]
    .concat();
    let conn = rig.accept();
    rig.receive(conn, &sent);
    match rig.other.pop() {
        Some(Action::HandOver {
            conn: moved,
            to: 1,
            received,
            ..
        }) => {
            assert_eq!((moved, received), (conn, sent));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(rig.stats().connections, 0);
    rig.pass(60_000);
    assert!(rig.closed.is_empty(), "nothing refers to it any more");

    let home = user_of(0, 0);
    let received = upgrade(&query(&home, 1, "rubbish")).into_bytes();
    rig.event(Event::HandedOver {
        conn: ConnId(77),
        peer: ([127, 0, 0, 1], 5).into(),
        received,
    });
    assert_eq!(code(&rig.text(ConnId(77))), 1503);
}

#[test]
fn an_unknown_token_waits_for_the_snapshot_and_fails_without_control() {
    let user = user_of(0, 0);
    let mut rig = Rig::new();
    let query = query(&user, 1, &token_of(&user, 1));
    let conn = rig.dial(&query);
    assert_eq!(code(&rig.text(conn)), 500, "control is away");

    rig.event(Event::LinkUp);
    let welcome = Welcome {
        boot: 5,
        facts_version: 9,
        facts_current: false,
        stored: Vec::new(),
    };
    rig.control(0, ToGateway::Welcome(welcome));
    let conn = rig.dial(&query);
    let gone = rig.dial(&query);
    rig.event(Event::Closed { conn: gone });
    assert!(rig.taken(conn).is_empty(), "the snapshot is on its way");
    rig.receive(conn, &frame(9, b"x"));
    rig.control(
        0,
        ToGateway::TokenSnapshot {
            tokens: vec![normal(&user, 1)],
            done: false,
        },
    );
    assert!(rig.taken(conn).is_empty());
    rig.control(
        0,
        ToGateway::TokenSnapshot {
            tokens: Vec::new(),
            done: true,
        },
    );
    assert!(rig.text(conn).starts_with("HTTP/1.1 101 "));

    let stranger = user_of(0, 1);
    rig.event(Event::LinkDown);
    rig.event(Event::LinkUp);
    let welcome = Welcome {
        boot: 5,
        facts_version: 9,
        facts_current: true,
        stored: Vec::new(),
    };
    rig.control(0, ToGateway::Welcome(welcome));
    let waiting = rig.dial(&super::query(&stranger, 1, &token_of(&stranger, 1)));
    rig.pass(20_000);
    assert_eq!(code(&rig.text(waiting)), 500, "no snapshot came in time");
}

#[test]
fn known_tokens_connect_while_control_is_away() {
    let user = user_of(0, 0);
    let mut rig = Rig::linked(&[normal(&user, 1)]);
    rig.event(Event::LinkDown);
    rig.open(&user, 1);
    assert_eq!(rig.stats().sessions, 1);
}

#[test]
fn the_connection_limit_counts_at_accept() {
    let user = user_of(0, 0);
    let mut rig = Rig::with(|c| c.gateway.max_connections = 1);
    rig.link_up(&[normal(&user, 1)]);
    let first = rig.accept();
    let conn = rig.dial(&query(&user, 1, &token_of(&user, 1)));
    assert_eq!(code(&rig.text(conn)), 1601);
    rig.event(Event::Closed { conn });
    rig.event(Event::Closed { conn: first });
    rig.open(&user, 1);
}

#[test]
fn a_silent_connection_is_dropped_after_the_handshake_timeout() {
    let mut rig = Rig::new();
    let conn = rig.accept();
    rig.pass(9_000);
    assert!(rig.closed.is_empty());
    rig.pass(3_000);
    assert_eq!(rig.closed, [conn]);
    assert_eq!(rig.stats().handshake_timeouts, 1);
}

#[test]
fn a_plain_request_and_garbage_get_http_errors() {
    let user = user_of(0, 0);
    let mut rig = Rig::linked(&[normal(&user, 1)]);
    let conn = rig.accept();
    let plain =
        upgrade(&query(&user, 1, &token_of(&user, 1))).replace("Connection: Upgrade\r\n", "");
    rig.receive(conn, plain.as_bytes());
    assert!(rig.text(conn).starts_with("HTTP/1.1 400 "));
    let conn = rig.accept();
    rig.receive(conn, b"\x16\x03\x01");
    assert!(rig.text(conn).starts_with("HTTP/1.1 400 "));
    assert_eq!(rig.stats().sessions, 0);
}

#[test]
fn a_user_has_at_most_so_many_sessions() {
    let user = user_of(0, 0);
    let mut rig = Rig::with(|c| {
        c.gateway.max_sessions_per_user = 2;
        c.shared.login_policy = 0;
    });
    rig.link_up(&[normal(&user, 1), normal(&user, 2), normal(&user, 5)]);
    rig.open(&user, 1);
    rig.open(&user, 2);
    let conn = rig.dial(&query(&user, 5, &token_of(&user, 5)));
    assert_eq!(code(&rig.text(conn)), 1601);
    let again = rig.open(&user, 1);
    assert_eq!(
        rig.stats().sessions,
        2,
        "the older session of the same client made room"
    );
    assert!(!rig.closed.contains(&again));
}

#[test]
fn shutdown_sends_everybody_away() {
    let user = user_of(0, 0);
    let mut rig = Rig::linked(&[normal(&user, 1)]);
    let conn = rig.open(&user, 1);
    let head = rig.accept();
    rig.event(Event::Shutdown);
    assert_eq!(rig.frames(conn), [Frame::Close(Some(1001))]);
    let late = rig.accept();
    assert!([conn, head, late].iter().all(|c| rig.closed.contains(c)));
}

#[test]
fn a_connection_lost_between_cores_gives_its_place_back() {
    let (near, far) = (user_of(0, 0), user_of(1, 0));
    let mut rig = Rig::with(|config| config.gateway.max_connections = 1);
    rig.link_up(&[normal(&near, 1)]);
    rig.dial(&query(&far, 1, "t"));
    assert!(matches!(rig.other.pop(), Some(Action::HandOver { .. })));
    let conn = rig.dial(&query(&near, 1, &token_of(&near, 1)));
    assert_eq!(code(&rig.text(conn)), 1601, "it is on its way");
    rig.event(Event::Closed { conn });
    rig.event(Event::LostAtHandOver);
    rig.open(&near, 1);
}

#[test]
fn a_token_known_to_be_bad_is_answered_from_memory_with_its_code() {
    let user = user_of(0, 0);
    let forged = token::sign(&claims(&user, 1), b"another secret of enough bytes");
    let mut rig = Rig::linked(&[]);
    for known in [0, 1, 2] {
        let conn = rig.dial(&query(&user, 1, &forged));
        assert_eq!(code(&rig.text(conn)), 1505);
        assert_eq!(rig.stats().refused_known_token, known);
    }
    // What another moment may change is looked at every time.
    let unknown = token_of(&user, 1);
    let conn = rig.dial(&query(&user, 1, &unknown));
    assert_eq!(code(&rig.text(conn)), 1507);
    rig.control(
        0,
        ToGateway::FactChanges {
            version: 10,
            changes: vec![ringwire_link::facts::FactChange::Token(normal(&user, 1))],
        },
    );
    rig.open(&user, 1);
}

#[test]
fn an_address_that_brings_too_many_bad_tokens_is_refused_for_a_while() {
    let user = user_of(0, 0);
    let mut rig = Rig::with(|config| {
        config.gateway.bad_token_rate = 1;
        config.gateway.bad_token_burst = 3;
    });
    rig.link_up(&[normal(&user, 1)]);
    let forged = |n: i64| {
        let claims = Claims {
            iat: n,
            ..claims(&user, 1)
        };
        token::sign(&claims, b"another secret of enough bytes")
    };
    for n in 0..3 {
        let conn = rig.dial(&query(&user, 1, &forged(n)));
        assert_eq!(code(&rig.text(conn)), 1505);
    }
    let good = query(&user, 1, &token_of(&user, 1));
    let too_many = 429;
    for query in [good.as_str(), &query(&user, 1, &forged(9))] {
        let conn = rig.dial(query);
        assert_eq!(code(&rig.text(conn)), too_many);
    }
    assert_eq!(rig.stats().refused_address, 2);
    let conn = rig.dial(&query(&user, 1, &forged(0)));
    assert_eq!(code(&rig.text(conn)), 1505, "SDKs stop at this code");
    rig.pass(1_000);
    rig.open(&user, 1);
}
