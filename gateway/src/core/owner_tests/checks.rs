//! Who may send what (spec: message.md 3).

use super::rig::{Rig, START, text, to_group, with};
use ringwire_link::facts::{FactChange, PairFact, UserFact};

#[test]
fn single_chat_checks_in_order() {
    let mut rig = Rig::new();
    rig.control.user_with(
        "system",
        UserFact {
            level: 2,
            global_recv_opt: 0,
        },
    );
    rig.control.user_with(
        "deaf",
        UserFact {
            level: 1,
            global_recv_opt: 1,
        },
    );
    let blocked = PairFact {
        a_blocks_b: true,
        ..PairFact::default()
    };
    rig.control.pair("b", "c", blocked.clone());
    rig.control.pair("b", "system", blocked.clone());
    rig.control.pair("b", "stranger", blocked);
    assert_eq!(rig.code(text("a", "b", "1")), 0);
    assert_eq!(
        rig.code(text("stranger", "b", "1")),
        1004,
        "an unknown sender comes before the black list"
    );
    assert_eq!(rig.code(text("a", "nobody", "1")), 1004);
    assert_eq!(rig.code(text("c", "b", "1")), 1302);
    assert_eq!(
        rig.code(text("b", "c", "1")),
        0,
        "blocking is one-directional"
    );
    assert_eq!(
        rig.code(text("system", "b", "1")),
        0,
        "system accounts skip the black list"
    );
    assert_eq!(
        rig.code(text("admin", "b", "1")),
        0,
        "admins need not be registered"
    );
    assert_eq!(rig.code(text("a", "deaf", "1")), 1001);
    assert_eq!(
        rig.code(text("admin", "deaf", "1")),
        1001,
        "receive options apply to admins too"
    );
    let notice = with(
        text("admin", "deaf", "2"),
        &[("isNotNotification", false), ("isSendMsg", false)],
    );
    assert_eq!(rig.code(notice), 0, "notifications skip receive options");
    assert_eq!(rig.code(text("a", "a", "self")), 0);
    for session_type in [0, 2, 5] {
        assert_eq!(
            rig.code(ringwire_protocol::pb::sdkws::MsgData {
                session_type,
                ..text("a", "b", "x")
            }),
            1001
        );
    }
}

#[test]
fn friends_are_looked_up_in_the_receivers_list() {
    let mut rig = Rig::with(|config| config.friend_verify = true);
    rig.link_up();
    rig.control.pair(
        "a",
        "b",
        PairFact {
            a_lists_b: true,
            ..PairFact::default()
        },
    );
    assert_eq!(rig.code(text("a", "b", "1")), 1303, "b does not list a");
    assert_eq!(rig.code(text("b", "a", "1")), 0);
}

#[test]
fn receive_options_of_the_conversation() {
    let mut rig = Rig::new();
    rig.control.pair(
        "a",
        "b",
        PairFact {
            b_recv_opt: Some(1),
            ..PairFact::default()
        },
    );
    rig.control.pair(
        "a",
        "c",
        PairFact {
            a_recv_opt: Some(1),
            b_recv_opt: Some(2),
            ..PairFact::default()
        },
    );
    assert_eq!(rig.code(text("a", "b", "1")), 1001);
    let receipt = ringwire_protocol::pb::sdkws::MsgData {
        content_type: 2200,
        ..text("a", "b", "2")
    };
    assert_eq!(rig.code(receipt), 0, "read receipts pass");
    assert_eq!(rig.code(text("a", "c", "1")), 0);
    assert_eq!(
        rig.control.messages["si_a_c"][&1]
            .options
            .get("offlinePush"),
        Some(&false)
    );
}

#[test]
fn group_checks_in_order() {
    let mut rig = Rig::new();
    rig.control
        .group("ok", 0, 2)
        .member("ok", "a", 20, 0)
        .member("ok", "b", 60, START + 1_000);
    rig.control.member("ok", "c", 100, START + 1_000);
    rig.control
        .group("muted", 3, 2)
        .member("muted", "a", 20, 0)
        .member("muted", "b", 60, 0);
    rig.control.member("muted", "c", 100, 0);
    rig.control.group("gone", 2, 2).member("gone", "a", 20, 0);
    rig.control.group("open", 0, 1);
    assert_eq!(rig.code(to_group("a", "none", "1")), 1004);
    assert_eq!(rig.code(to_group("a", "gone", "1")), 1204);
    assert_eq!(
        rig.code(ringwire_protocol::pb::sdkws::MsgData {
            content_type: 1511,
            ..to_group("a", "gone", "2")
        }),
        0
    );
    assert_eq!(rig.code(to_group("a", "open", "1")), 0);
    assert_eq!(rig.code(to_group("admin", "ok", "1")), 0);
    assert_eq!(rig.code(to_group("stranger", "ok", "1")), 1203);
    assert_eq!(rig.code(to_group("a", "ok", "1")), 0);
    assert_eq!(
        rig.code(to_group("b", "ok", "1")),
        1402,
        "a muted admin may not speak either"
    );
    assert_eq!(
        rig.code(to_group("c", "ok", "1")),
        0,
        "the owner always may"
    );
    assert_eq!(rig.code(to_group("a", "muted", "1")), 1403);
    assert_eq!(rig.code(to_group("b", "muted", "1")), 0);
    assert_eq!(rig.code(to_group("c", "muted", "1")), 0);
    rig.now.unix_ms += 1_001;
    assert_eq!(rig.code(to_group("b", "ok", "2")), 0, "the mute has ended");
}

#[test]
fn a_refused_message_leaves_no_trace() {
    let mut rig = Rig::new();
    rig.control.pair(
        "a",
        "b",
        PairFact {
            b_blocks_a: true,
            ..PairFact::default()
        },
    );
    assert_eq!(rig.code(text("a", "b", "1")), 1302);
    assert!(rig.pushes().is_empty() && rig.control.messages.is_empty());
    rig.control.pair("a", "b", PairFact::default());
    rig.turn(|owner, now, out| {
        owner.fact_changes(now, &[FactChange::Pair("a".into(), "b".into())], out)
    });
    assert_eq!(
        rig.code(text("a", "b", "1")),
        0,
        "the same message may be sent later"
    );
    assert_eq!(rig.control.messages["si_a_b"].len(), 1);
}

#[test]
fn one_question_fetches_what_a_message_needs_and_then_nothing_more() {
    let mut rig = Rig::new();
    assert_eq!(rig.code(text("a", "b", "1")), 0);
    assert_eq!(rig.code(text("b", "a", "2")), 0);
    assert_eq!(rig.control.fetches.len(), 1);
    assert_eq!(rig.control.opened, ["si_a_b"]);
}

#[test]
fn a_change_while_facts_are_fetched_is_not_overlooked() {
    let mut rig = Rig::new();
    rig.send(text("a", "b", "1"));
    let (correlation, question) = rig.asked.remove(0);
    let stale = rig.control.answer(question).expect("facts");
    rig.control.pair(
        "a",
        "b",
        PairFact {
            b_blocks_a: true,
            ..PairFact::default()
        },
    );
    rig.turn(|owner, now, out| {
        owner.fact_changes(now, &[FactChange::Pair("a".into(), "b".into())], out)
    });
    rig.turn(|owner, now, out| owner.link(now, correlation, stale, out));
    rig.settle();
    assert_eq!(rig.only_done().result.map_err(|e| e.code), Err(1302));
}
