//! Order, durability, delivery.

use super::rig::{Rig, START, contents, text, to_group, with};
use crate::core::ring::RingItem;
use proptest::prelude::*;
use prost::Message as _;
use ringwire_protocol::pb::sdkws::{MsgData, PushMessages};

#[test]
fn nothing_is_said_before_the_commit() {
    let mut rig = Rig::new();
    rig.code(text("a", "b", "first"));
    rig.pushes();
    rig.send(text("a", "b", "1"));
    assert!(rig.writing.is_some());
    assert!(rig.rung.is_empty());
    let before = rig.board.vector();
    rig.sync();
    assert!(rig.board.vector()[0].position > before[0].position);
    assert!(
        matches!(rig.rung[0].1, RingItem::SendDone(_)),
        "the reply goes before the push"
    );
    assert_eq!(rig.pushes(), [("b,a".into(), "si_a_b".into(), vec![2])]);
}

#[test]
fn messages_sent_during_a_write_share_the_next() {
    let mut rig = Rig::new();
    rig.code(text("a", "b", "first"));
    rig.pushes();
    let writes = rig.writes;
    for n in 0..10 {
        rig.send(text(["a", "b"][n % 2], ["b", "a"][n % 2], &format!("m{n}")));
    }
    rig.settle();
    assert_eq!(rig.writes - writes, 2);
    assert_eq!(rig.done().len(), 10);
    let seqs: Vec<i64> = rig
        .pushes()
        .into_iter()
        .flat_map(|(_, _, seqs)| seqs)
        .collect();
    assert_eq!(seqs, (2..=11).collect::<Vec<_>>());
}

#[test]
fn a_message_that_waits_is_not_overtaken_in_its_lane_and_holds_up_no_other() {
    let mut rig = Rig::new();
    rig.code(text("b", "c", "warm"));
    rig.pushes();
    rig.send(text("a", "b", "1"));
    // Fully known, but behind the first one.
    rig.send(text("admin", "b", "other lane"));
    rig.send(text("b", "a", "2"));
    rig.send(text("b", "c", "known lane"));
    rig.sync();
    assert_eq!(rig.pushes(), [("c,b".into(), "si_b_c".into(), vec![2])]);
    rig.settle();
    let ab: Vec<_> = rig.control.messages["si_a_b"]
        .values()
        .map(|m| m.client_msg_id.clone())
        .collect();
    assert_eq!(ab, ["1", "2"]);
}

#[test]
fn stored_fields_are_filled_and_times_never_go_back() {
    let mut rig = Rig::new();
    rig.code(text("a", "b", "1"));
    rig.now.unix_ms -= 5_000;
    rig.code(MsgData {
        send_time: 77,
        seq: 9,
        ..text("a", "b", "2")
    });
    let admins = MsgData {
        send_time: 123,
        ..text("admin", "b", "3")
    };
    rig.code(admins);
    let messages = &rig.control.messages["si_a_b"];
    assert_eq!(
        (messages[&1].send_time, messages[&2].send_time),
        (START, START),
        "the clock went back"
    );
    assert_eq!(messages[&1].status, 2);
    assert_eq!(messages[&1].server_msg_id.len(), 32);
    assert_ne!(messages[&1].server_msg_id, messages[&2].server_msg_id);
    assert_eq!(
        rig.control.messages["si_admin_b"][&1].send_time, 123,
        "admins may set it"
    );
}

#[test]
fn what_is_not_stored_keeps_its_place() {
    let mut rig = Rig::new();
    rig.code(text("a", "b", "first"));
    rig.pushes();
    rig.send(text("a", "b", "1"));
    rig.send(with(
        MsgData {
            content_type: 113,
            ..text("a", "b", "t")
        },
        &[("history", false), ("senderSync", false)],
    ));
    assert!(
        rig.rung.is_empty(),
        "typing waits for the message before it"
    );
    rig.settle();
    assert_eq!(rig.done().len(), 2);
    let expected = [
        ("b,a".to_string(), "si_a_b".to_string(), vec![2]),
        ("b".into(), "si_a_b".into(), vec![0]),
    ];
    assert_eq!(rig.pushes(), expected);
    let writes = rig.writes;
    rig.send(with(text("a", "b", "t2"), &[("history", false)]));
    assert_eq!(rig.pushes().len(), 1, "nothing before it: at once");
    rig.settle();
    assert_eq!(
        (rig.writes, rig.control.messages["si_a_b"].len()),
        (writes, 2)
    );
}

#[test]
fn what_is_not_stored_keeps_its_order_among_its_like() {
    let mut rig = Rig::new();
    rig.code(text("a", "b", "first"));
    rig.code(text("a", "c", "first"));
    rig.pushes();
    let typing = |id: &str| {
        with(
            text("a", "b", id),
            &[("history", false), ("senderSync", false)],
        )
    };
    rig.send(text("a", "b", "in progress"));
    rig.send(text("a", "c", "gathered behind it"));
    rig.send(typing("t1"));
    rig.sync();
    rig.send(typing("t2"));
    let expected = [
        ("b,a".to_string(), "si_a_b".to_string(), vec![2]),
        ("b".into(), "si_a_b".into(), vec![0]),
    ];
    assert_eq!(
        rig.pushes(),
        [expected.to_vec(), expected[1..].to_vec()].concat()
    );
}

#[test]
fn a_notification_and_its_chat_copy_travel_together() {
    let mut rig = Rig::new();
    rig.control.group("g", 0, 2);
    let options = [
        ("isNotNotification", false),
        ("history", true),
        ("offlinePush", true),
        ("unreadCount", true),
        ("notPrivate", false),
    ];
    let notice = with(
        MsgData {
            content_type: 1501,
            ..to_group("a", "g", "n1")
        },
        &options,
    );
    rig.publish(2, &notice, false);
    rig.settle();
    let RingItem::DeliverGroup { push, .. } = &rig.rung[0].1 else {
        panic!("{:?}", rig.rung)
    };
    assert_eq!(rig.rung.len(), 1, "one frame");
    assert_eq!(
        contents(push),
        [("sg_g".into(), vec![1]), ("n_g".into(), vec![1])]
    );
    assert_eq!(push.operation_id, "pub2");
    let push = PushMessages::decode(push.payload.clone()).expect("decodes");
    let (copy, notice) = (
        &push.msgs["sg_g"].msgs[0],
        &push.notification_msgs["n_g"].msgs[0],
    );
    assert_eq!(
        copy.options,
        [
            ("offlinePush".to_string(), true),
            ("unreadCount".into(), true)
        ]
        .into()
    );
    assert_eq!(
        (notice.options["offlinePush"], notice.options["unreadCount"]),
        (false, false)
    );
    assert!(!notice.options["isNotNotification"] && !notice.options["notPrivate"]);
    assert_eq!(
        (&copy.server_msg_id, copy.send_time),
        (&notice.server_msg_id, notice.send_time)
    );
    assert_eq!(
        (
            &rig.control.messages["sg_g"][&1],
            &rig.control.messages["n_g"][&1]
        ),
        (copy, notice)
    );
}

#[test]
fn a_notification_of_the_lightest_kind_has_a_stored_copy_and_no_seq_of_its_own() {
    let mut rig = Rig::new();
    let notice = with(
        text("a", "b", "n1"),
        &[
            ("isNotNotification", false),
            ("isSendMsg", true),
            ("history", false),
        ],
    );
    rig.publish(2, &notice, false);
    rig.settle();
    assert_eq!(
        rig.pushes(),
        [
            ("b,a".into(), "si_a_b".into(), vec![1]),
            ("b,a".into(), "n_a_b".into(), vec![0])
        ]
    );
    assert!(!rig.control.messages.contains_key("n_a_b"));
}

#[test]
fn a_notification_account_has_its_own_chat_and_the_common_notification_stream() {
    let mut rig = Rig::new();
    rig.publish(
        2,
        &MsgData {
            session_type: 4,
            content_type: 1400,
            ..text("oa", "b", "1")
        },
        true,
    );
    rig.settle();
    assert_eq!(rig.pushes(), [("b,oa".into(), "sn_b_oa".into(), vec![1])]);
}

#[test]
fn pushes_of_one_operation_leave_together() {
    let mut rig = Rig::new();
    rig.code(text("a", "b", "first"));
    rig.pushes();
    // One write in progress, so that the rest shares the next commit.
    rig.send(text("a", "b", "0"));
    for n in 1..=3 {
        rig.publish(7, &text("a", "b", &format!("m{n}")), false);
    }
    rig.send(text("a", "b", "last"));
    rig.settle();
    let seqs: Vec<_> = rig.pushes().into_iter().map(|(_, _, seqs)| seqs).collect();
    assert_eq!(seqs, [vec![2], vec![3, 4, 5], vec![6]]);
}

#[test]
fn receivers_on_other_cores_are_rung_there() {
    let mut rig = Rig::with(|config| config.cores = 3);
    rig.link_up();
    let home = |user: &str| ringwire_protocol::slot::core_of(user, 3);
    let mine = |a: &str, b: &str| ringwire_protocol::slot::core_of(&format!("{a}_{b}"), 3) == 0;
    let receiver = (0..)
        .map(|n| format!("b{n}"))
        .find(|b| mine("a", b) && home(b) != home("a"))
        .expect("some");
    rig.control.user(&receiver);
    rig.code(text("a", &receiver, "1"));
    let mut cores: Vec<_> = rig.rung.iter().map(|(core, _)| *core).collect();
    cores.sort_unstable();
    let mut homes = [home("a"), home(&receiver)];
    homes.sort_unstable();
    assert_eq!(cores, homes);
    let stray = (0..)
        .map(|n| format!("b{n}"))
        .find(|b| !mine("a", b))
        .expect("some");
    rig.rung.clear();
    rig.send(text("a", &stray, "1"));
    let owner = ringwire_protocol::slot::core_of(&format!("a_{stray}"), 3);
    assert!(matches!(&rig.rung[..], [(core, RingItem::Send(_))] if *core == owner));
}

#[test]
fn token_kicks_are_made_durable_and_reach_control() {
    let mut rig = Rig::new();
    let kick = ringwire_link::record::TokenKickRecord {
        user_id: "a".into(),
        ..Default::default()
    };
    rig.turn(|owner, now, out| {
        owner.ring(now, 0, RingItem::TokenKick(Box::new(kick.clone())), out)
    });
    rig.settle();
    assert_eq!(rig.control.kicks, [kick]);
}

#[test]
fn a_stopping_core_finishes_its_journal_and_refuses_the_rest() {
    let mut rig = Rig::new();
    rig.code(text("a", "b", "1"));
    rig.send(text("a", "b", "2"));
    rig.send(text("a", "c", "waits for facts"));
    rig.turn(|owner, now, out| owner.shutdown(now, out));
    assert!(!rig.owner.drained());
    assert_eq!(rig.only_done().result.map_err(|e| e.code), Err(500));
    rig.settle();
    assert!(rig.only_done().result.is_ok());
    assert!(rig.owner.drained());
    assert_eq!(rig.code(text("a", "b", "3")), 500);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Any interleaving of senders, commits, answers, lost links and crashes: what was acknowledged is
    /// stored exactly once, seqs have no gaps, and pushes of a conversation ascend.
    #[test]
    fn acknowledged_messages_are_stored_once_and_in_order(steps in proptest::collection::vec((0u8..12, 0usize..6, 0usize..8), 1..300)) {
        let mut rig = Rig::new();
        rig.control.group("g", 0, 2).member("g", "a", 20, 0).member("g", "b", 20, 0);
        let mut linked = true;
        let mut acknowledged: Vec<(String, String)> = Vec::new();
        let mut requests = std::collections::HashMap::new();
        let mut pushed: std::collections::HashMap<String, i64> = Default::default();
        for (step, who, id) in steps {
            rig.now.unix_ms += 7;
            match step {
                0..=5 => {
                    let id = format!("{who}-{id}");
                    let (mut msg, conversation) = match who {
                        0 | 1 => (text("a", "b", &id), "si_a_b"),
                        2 => (text("b", "a", &id), "si_a_b"),
                        3 => (to_group("a", "g", &id), "sg_g"),
                        4 => (to_group("b", "g", &id), "sg_g"),
                        _ => (text("a", "c", &id), "si_a_c"),
                    };
                    msg.create_time = rig.now.unix_ms;
                    let sender = msg.send_id.clone();
                    let request = rig.send(msg);
                    requests.insert(request, (conversation.to_string(), format!("{sender}/{id}")));
                }
                6 | 7 => drop(rig.sync()),
                8 => drop(rig.answer()),
                9 => rig.settle(),
                10 if linked => {
                    linked = false;
                    rig.link_down();
                }
                10 => {
                    linked = true;
                    rig.link_up();
                }
                _ => {
                    rig = rig.restart(id * 150);
                    requests.clear();
                    if linked {
                        rig.link_up();
                    }
                }
            }
            for done in rig.done() {
                if done.result.is_ok() {
                    acknowledged.push(requests[&done.request].clone());
                }
            }
            for (_, conversation, seqs) in rig.pushes() {
                for seq in seqs {
                    let last = pushed.entry(conversation.clone()).or_default();
                    prop_assert!(seq > *last, "{conversation}: {seq} after {last}");
                    *last = seq;
                }
            }
        }
        if !linked {
            rig.link_up();
        }
        rig.settle();
        prop_assert_eq!(&rig.fatal, &None);
        let mut stored: Vec<(String, String)> = Vec::new();
        for (id, messages) in &rig.control.messages {
            prop_assert_eq!(messages.keys().copied().collect::<Vec<_>>(), (1..=messages.len() as i64).collect::<Vec<_>>());
            stored.extend(messages.values().map(|m| (id.clone(), format!("{}/{}", m.send_id, m.client_msg_id))));
        }
        let distinct: std::collections::HashSet<_> = stored.iter().collect();
        prop_assert_eq!(distinct.len(), stored.len(), "stored once");
        for message in &acknowledged {
            prop_assert!(distinct.contains(message), "{:?} was acknowledged", message);
        }
    }
}
