use super::*;
use ringwire_link::facts::FactChange;
use ringwire_link::record::{self, Record};
use ringwire_protocol::req;

fn kick_then_close(frames: &[Frame]) -> bool {
    let [Frame::Binary(kick), Frame::Close(Some(1008))] = frames else {
        return false;
    };
    let kick = envelope::decode_response(Encoding::Json, kick).expect("JSON");
    kick == Response {
        req_identifier: req::KICK,
        ..Response::default()
    }
}

/// Users of the kick records on their way into the journal.
fn journaled(rig: &Rig) -> Vec<String> {
    let mut users = Vec::new();
    for action in &rig.other {
        let Action::JournalWrite {
            segment,
            offset,
            bytes,
        } = action
        else {
            continue;
        };
        let (mut at, start) = (0, segment * (1 << 20) + offset);
        while at < bytes.len() {
            let (_, record, length) =
                record::read(&bytes[at..], start + at as u64).expect("a record");
            if let Record::TokenKick(kick) = record {
                users.push(kick.user_id);
            }
            at += length;
        }
    }
    users
}

#[test]
fn policy_1_kicks_the_same_platform_and_its_token() {
    let user = user_of(0, 0);
    let new_token = second_token(&user, 1);
    let facts = [
        normal(&user, 1),
        fact_of(&user, 1, &new_token, TokenState::Normal),
        normal(&user, 5),
    ];
    let mut rig = Rig::linked(&facts);
    let (old, web) = (rig.open(&user, 1), rig.open(&user, 5));
    let new = rig.dial(&query(&user, 1, &new_token));
    assert!(kick_then_close(&rig.frames(old)));
    assert_eq!(rig.closed, [old]);
    assert!(rig.text(new).starts_with("HTTP/1.1 101 "));
    assert!(rig.frames(web).is_empty());
    let again = rig.dial(&query(&user, 1, &token_of(&user, 1)));
    assert!(
        rig.text(again).contains("\"errCode\":1506"),
        "its token was put out of force first"
    );
    assert_eq!(rig.stats().kicks, 1);
    // A snapshot read before the kick was stored does not let it in again.
    rig.event(Event::LinkDown);
    rig.link_up(&facts);
    let again = rig.dial(&query(&user, 1, &token_of(&user, 1)));
    assert!(rig.text(again).contains("\"errCode\":1506"));
    assert_eq!(journaled(&rig), [user], "the kick goes to the journal");
}

#[test]
fn policy_0_kicks_nobody_and_4_and_5_go_by_class() {
    let user = user_of(0, 0);
    let all: Vec<TokenFact> = [1, 2, 3, 5].iter().map(|p| normal(&user, *p)).collect();
    for (policy, new, kicked) in [
        (0, 2, vec![]),
        (4, 2, vec![1]),
        (5, 2, vec![1, 5]),
        (5, 3, vec![]),
    ] {
        let mut rig = Rig::with(|c| c.shared.login_policy = policy);
        rig.link_up(&all);
        let old: Vec<(i32, ConnId)> = match policy {
            5 => vec![(1, rig.open(&user, 1)), (3, rig.open(&user, 3))],
            _ => [1, 3, 5]
                .iter()
                .map(|p| (*p, rig.open(&user, *p)))
                .collect(),
        };
        rig.open(&user, new);
        for (platform, conn) in old {
            let expected = kicked.contains(&platform);
            assert_eq!(
                kick_then_close(&rig.frames(conn)),
                expected,
                "policy {policy}, {platform} for {new}"
            );
        }
    }
}

#[test]
fn the_same_client_reconnecting_is_not_kicked_and_journals_nothing() {
    let user = user_of(0, 0);
    let mut rig = Rig::linked(&[normal(&user, 1)]);
    let old = rig.open(&user, 1);
    let new = rig.open(&user, 1);
    assert!(
        rig.closed.is_empty(),
        "the older stays until the newer speaks"
    );
    rig.other.clear();
    rig.receive(new, &frame(9, b""));
    assert_eq!(rig.frames(old), [Frame::Ping]);
    assert_eq!(rig.frames(new), [Frame::Pong(Vec::new())]);
    rig.pass(4_000);
    assert!(rig.closed.is_empty(), "it has time to answer");
    rig.pass(3_000);
    assert_eq!(rig.frames(old), [Frame::Close(Some(1000))], "no kick frame");
    assert_eq!(rig.closed, [old]);
    assert!(journaled(&rig).is_empty());
}

#[test]
fn two_tabs_with_one_token_both_stay() {
    let user = user_of(0, 0);
    let mut rig = Rig::linked(&[normal(&user, 5)]);
    let first = rig.open(&user, 5);
    let second = rig.open(&user, 5);
    rig.receive(second, &frame(9, b""));
    assert_eq!(rig.frames(first), [Frame::Ping]);
    rig.receive(first, &frame(10, b""));
    rig.pass(10_000);
    assert!(rig.closed.is_empty());
}

#[test]
fn a_token_kicked_by_control_ends_its_sessions() {
    let user = user_of(0, 0);
    let mut rig = Rig::linked(&[normal(&user, 1), normal(&user, 2)]);
    let (kicked, stays) = (rig.open(&user, 1), rig.open(&user, 2));
    let fact = fact_of(&user, 1, &token_of(&user, 1), TokenState::Kicked);
    rig.control(
        0,
        ToGateway::FactChanges {
            version: 10,
            changes: vec![FactChange::Token(fact)],
        },
    );
    assert!(kick_then_close(&rig.frames(kicked)));
    assert!(rig.frames(stays).is_empty());
    assert!(
        rig.links
            .contains(&(0, ToControl::FactsApplied { version: 10 }))
    );
}

#[test]
fn control_kicks_by_platform_and_is_told_how_many() {
    let user = user_of(0, 0);
    let mut rig = Rig::linked(&[normal(&user, 1), normal(&user, 2)]);
    let (ios, android) = (rig.open(&user, 1), rig.open(&user, 2));
    rig.control(
        8,
        ToGateway::Kick {
            user_id: user.clone(),
            platforms: vec![2],
        },
    );
    assert!(rig.links.contains(&(8, ToControl::Kicked { closed: 1 })));
    assert!(kick_then_close(&rig.frames(android)));
    rig.control(
        10,
        ToGateway::Kick {
            user_id: user,
            platforms: Vec::new(),
        },
    );
    assert!(kick_then_close(&rig.frames(ios)));
}

#[test]
fn an_expired_token_closes_without_the_kick_frame() {
    let user = user_of(0, 0);
    let short = token::sign(
        &Claims {
            exp: START_S + 5,
            ..claims(&user, 1)
        },
        SECRET,
    );
    let mut rig = Rig::linked(&[fact_of(&user, 1, &short, TokenState::Normal)]);
    let conn = rig.dial(&query(&user, 1, &short));
    rig.taken(conn);
    rig.pass(4_000);
    assert!(rig.closed.is_empty());
    rig.pass(3_000);
    assert_eq!(rig.frames(conn), [Frame::Close(Some(1008))]);
}

#[test]
fn a_token_that_a_snapshot_does_not_name_ends_its_sessions() {
    let user = user_of(0, 0);
    let mut rig = Rig::linked(&[normal(&user, 1)]);
    let conn = rig.open(&user, 1);
    rig.event(Event::LinkDown);
    rig.link_up(&[]);
    assert_eq!(
        rig.frames(conn),
        [Frame::Close(Some(1008))],
        "it reconnects and learns 1507"
    );
}
