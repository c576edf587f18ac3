//! The oracle sees what it must: histories made by hand, sound and broken.

use super::*;

fn known(sender: &str, id: &str, seq: i64) -> KnownMessage {
    KnownMessage {
        send_id: sender.into(),
        client_msg_id: id.into(),
        server_msg_id: format!("server-{id}"),
        send_time: 1_000 + seq,
        create_time: 1_000 + seq,
        seq,
    }
}

fn pushed(sender: &str, id: &str, seq: i64) -> MsgData {
    let known = known(sender, id, seq);
    MsgData {
        send_id: known.send_id,
        client_msg_id: known.client_msg_id,
        server_msg_id: known.server_msg_id,
        send_time: known.send_time,
        seq,
        ..MsgData::default()
    }
}

fn key(id: &str) -> Key {
    Key::new("si_a_b", "a", id)
}

/// Messages 1 to 3 of one chat on disk, and a session of the receiver.
fn history() -> (Oracle, usize) {
    let mut oracle = Oracle::default();
    for seq in 1..=3 {
        oracle
            .durable("si_a_b", &known("a", &format!("m{seq}"), seq))
            .expect("sound");
    }
    let session = oracle.opened("b", 10, b"token").expect("opens");
    (oracle, session)
}

fn store(seqs: &[(i64, &str)]) -> BTreeMap<String, BTreeMap<i64, KnownMessage>> {
    let messages = seqs
        .iter()
        .map(|(seq, id)| (*seq, known("a", id, *seq)))
        .collect();
    BTreeMap::from([("si_a_b".to_string(), messages)])
}

fn all() -> BTreeMap<String, BTreeMap<i64, KnownMessage>> {
    store(&[(1, "m1"), (2, "m2"), (3, "m3")])
}

fn names(result: Checked) -> &'static str {
    result.expect_err("a violation").invariant
}

#[test]
fn a_sound_history_is_accepted() {
    let (mut oracle, session) = history();
    oracle
        .acknowledged(key("m1"), "server-m1", 1_001, true, 0)
        .expect("sound");
    oracle
        .acknowledged(key("m1"), "server-m1", 1_001, true, 0)
        .expect("a repeat");
    oracle
        .synced(session, BTreeMap::from([("si_a_b".into(), 1)]))
        .expect("sound");
    oracle
        .pushed(session, "si_a_b", &pushed("a", "m2", 2))
        .expect("sound");
    oracle
        .pushed(session, "si_a_b", &pushed("a", "m3", 3))
        .expect("sound");
    oracle.rest(&all(), |_, _| true).expect("sound");
}

#[test]
fn an_answer_ahead_of_the_disk_is_seen() {
    let (mut oracle, _) = history();
    assert_eq!(
        names(oracle.acknowledged(key("m4"), "server-m4", 1_004, true, 0)),
        DURABLE
    );
}

#[test]
fn two_answers_to_one_message_are_seen() {
    let (mut oracle, _) = history();
    assert_eq!(
        names(oracle.acknowledged(key("m1"), "another", 1_001, true, 0)),
        ONCE
    );
}

#[test]
fn a_seq_given_twice_and_a_message_with_two_seqs_are_seen() {
    let (mut oracle, _) = history();
    assert_eq!(
        names(oracle.durable("si_a_b", &known("a", "other", 3))),
        ORDER
    );
    assert_eq!(names(oracle.durable("si_a_b", &known("a", "m3", 4))), ONCE);
}

#[test]
fn a_lost_or_doubled_row_and_a_gap_are_seen() {
    let (oracle, _) = history();
    assert_eq!(
        names(oracle.rest(&store(&[(1, "m1"), (2, "m2")]), |_, _| true)),
        DURABLE
    );
    assert_eq!(
        names(oracle.rest(&store(&[(1, "m1"), (3, "m3")]), |_, _| true)),
        ORDER
    );
    let doubled = store(&[(1, "m1"), (2, "m2"), (3, "m3"), (4, "m3")]);
    assert_eq!(names(oracle.rest(&doubled, |_, _| true)), ONCE);
}

#[test]
fn pushes_out_of_order_twice_or_unknown_are_seen() {
    let (mut oracle, session) = history();
    oracle
        .pushed(session, "si_a_b", &pushed("a", "m2", 2))
        .expect("sound");
    assert_eq!(
        names(oracle.pushed(session, "si_a_b", &pushed("a", "m1", 1))),
        ORDER
    );
    assert_eq!(
        names(oracle.pushed(session, "si_a_b", &pushed("a", "m2", 2))),
        ORDER
    );
    assert_eq!(
        names(oracle.pushed(session, "si_a_b", &pushed("a", "m4", 4))),
        DURABLE
    );
}

#[test]
fn a_push_that_leaves_a_hole_is_seen() {
    let (mut oracle, session) = history();
    oracle
        .pushed(session, "si_a_b", &pushed("a", "m1", 1))
        .expect("sound");
    assert_eq!(
        names(oracle.pushed(session, "si_a_b", &pushed("a", "m3", 3))),
        SYNC
    );
}

#[test]
fn a_message_neither_told_nor_pushed_is_seen() {
    let (mut oracle, session) = history();
    oracle
        .synced(session, BTreeMap::from([("si_a_b".into(), 1)]))
        .expect("sound");
    oracle
        .pushed(session, "si_a_b", &pushed("a", "m2", 2))
        .expect("sound");
    assert_eq!(names(oracle.rest(&all(), |_, _| true)), SYNC);
    oracle
        .rest(&all(), |_, user| user != "b")
        .expect("nobody's business");
}

#[test]
fn a_message_judged_by_an_old_state_is_seen() {
    let (mut oracle, _) = history();
    oracle.changes.push(Change {
        conversation: "si_a_b".into(),
        user: "a".into(),
        forbids: Some(true),
        membership: false,
        begun: 5,
        version: (7, 1),
        applied: BTreeMap::new(),
    });
    oracle.sends(key("m2"), 20);
    oracle
        .acknowledged(key("m2"), "server-m2", 1_002, true, 0)
        .expect("not in force yet");
    oracle.applied(0, (7, 1), 30);
    oracle.sends(key("m3"), 40);
    assert_eq!(
        names(oracle.acknowledged(key("m3"), "server-m3", 1_003, true, 0)),
        JUDGED
    );
}

#[test]
fn a_kicked_token_that_comes_back_is_seen() {
    let (mut oracle, _) = history();
    oracle.kicked([b"token".to_vec()], 40);
    assert_eq!(
        oracle
            .opened("b", 50, b"token")
            .expect_err("a violation")
            .invariant,
        DURABLE
    );
}
