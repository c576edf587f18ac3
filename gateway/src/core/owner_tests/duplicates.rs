//! The same message again (spec: message.md 4.1).

use super::rig::{Rig, START, text, with};
use ringwire_link::ToControl;
use ringwire_link::facts::FactChange;
use ringwire_protocol::pb::sdkws::MsgData;

#[test]
fn a_committed_message_gets_its_first_answer_again() {
    let mut rig = Rig::new();
    rig.send(text("a", "b", "1"));
    rig.settle();
    let first = rig.only_done().result.expect("sent");
    rig.pushes();
    rig.now.unix_ms += 10_000;
    rig.send(text("a", "b", "1"));
    assert_eq!(rig.only_done().result, Ok(first));
    rig.settle();
    assert!(rig.pushes().is_empty());
    assert_eq!(rig.control.messages["si_a_b"].len(), 1);
    assert_eq!(rig.owner.stats().duplicates, 1);
}

#[test]
fn the_first_answer_stands_when_the_facts_are_gone_and_control_too() {
    let mut rig = Rig::new();
    rig.send(text("a", "b", "1"));
    rig.settle();
    let first = rig.only_done().result.expect("sent");
    rig.turn(|owner, now, out| {
        let changes = [FactChange::User("a".into()), FactChange::User("b".into())];
        owner.fact_changes(now, &changes, out);
    });
    rig.link_down();
    rig.send(text("a", "b", "1"));
    assert_eq!(rig.only_done().result, Ok(first));
    rig.send(text("a", "b", "2"));
    assert!(rig.only_done().result.is_err(), "a new one needs them");
}

#[test]
fn a_message_still_on_its_way_to_the_disk_is_answered_with_the_first() {
    let mut rig = Rig::new();
    rig.code(text("a", "b", "warm"));
    rig.pushes();
    rig.send(text("a", "b", "1"));
    rig.send(text("a", "b", "1"));
    assert!(rig.done().is_empty());
    rig.settle();
    let done = rig.done();
    assert_eq!(done.len(), 2);
    assert_eq!(done[0].result, done[1].result);
    assert_eq!(rig.pushes().len(), 1);
}

#[test]
fn sender_and_conversation_belong_to_the_key() {
    let mut rig = Rig::new();
    for msg in [
        text("a", "b", "1"),
        text("b", "a", "1"),
        text("a", "c", "1"),
    ] {
        assert_eq!(rig.code(msg), 0);
    }
    assert_eq!(
        (
            rig.control.messages["si_a_b"].len(),
            rig.control.messages["si_a_c"].len()
        ),
        (2, 1)
    );
    assert_eq!(rig.code(text("a", "b", "")), 0);
    assert_eq!(rig.code(text("a", "b", "")), 0);
    assert_eq!(rig.control.messages["si_a_b"].len(), 4, "no id, no check");
}

#[test]
fn what_recovery_read_is_known() {
    let mut rig = Rig::with(|_| {});
    rig.link_up();
    rig.code(text("a", "b", "stored"));
    // Control stops storing; the next one is only in the journal.
    rig.send(text("a", "b", "1"));
    rig.sync();
    let first = rig.only_done().result.expect("sent");
    let mut rig = rig.restart(0);
    rig.link_up();
    rig.send(text("a", "b", "1"));
    rig.settle();
    assert_eq!(rig.only_done().result, Ok(first));
    assert_eq!(rig.control.messages["si_a_b"].len(), 2);
    assert_eq!(rig.code(text("a", "b", "2")), 0);
    assert_eq!(rig.control.messages["si_a_b"].len(), 3);
}

#[test]
fn an_old_message_is_looked_up_in_the_database() {
    let mut rig = Rig::new();
    for n in 0..200 {
        rig.now.unix_ms += 1_000;
        assert_eq!(
            rig.code(MsgData {
                create_time: rig.now.unix_ms,
                ..text("a", "b", &format!("m{n}"))
            }),
            0
        );
    }
    assert!(
        rig.control.searched.is_empty(),
        "fresh messages need no look-up"
    );
    rig.pushes();
    let first = rig.control.messages["si_a_b"][&1].clone();
    rig.send(MsgData {
        create_time: START + 1_000,
        ..text("a", "b", "m0")
    });
    assert!(rig.done().is_empty());
    // What comes behind it waits its turn.
    rig.send(MsgData {
        create_time: rig.now.unix_ms,
        ..text("a", "b", "new")
    });
    rig.settle();
    let done = rig.done();
    assert_eq!(
        done[0].result.as_ref().expect("known").server_msg_id,
        first.server_msg_id
    );
    assert_eq!(rig.control.searched, ["m0"]);
    assert_eq!(rig.pushes(), [("b,a".into(), "si_a_b".into(), vec![201])]);
    // A message that only claims to be old, or from the future, is looked up and then sent.
    assert_eq!(
        rig.code(MsgData {
            create_time: 5,
            ..text("a", "b", "claims")
        }),
        0
    );
    assert_eq!(
        rig.code(MsgData {
            create_time: rig.now.unix_ms + 60_000,
            ..text("a", "b", "future")
        }),
        0
    );
    assert_eq!(rig.control.searched, ["m0", "claims", "future"]);
    assert_eq!(rig.control.messages["si_a_b"].len(), 203);
}

#[test]
fn a_conversation_opened_late_knows_its_newest_messages() {
    let mut rig = Rig::new();
    rig.code(text("a", "b", "1"));
    let first = rig.control.messages["si_a_b"][&1].server_msg_id.clone();
    rig.turn(|owner, now, out| {
        owner.fact_changes(now, &[FactChange::Conversation("si_a_b".into())], out)
    });
    assert_eq!(rig.owner.stats().conversations, 0);
    rig.send(text("a", "b", "1"));
    rig.settle();
    let last = rig.done().pop().expect("answered").result.expect("known");
    assert_eq!(last.server_msg_id, first);
    assert_eq!(rig.control.messages["si_a_b"].len(), 1);
}

#[test]
fn conversations_are_forgotten_only_once_stored() {
    let mut rig = Rig::with(|config| config.max_conversations = 2);
    rig.link_up();
    for n in 0..10 {
        rig.control.user(&format!("u{n}"));
        rig.send(text("a", &format!("u{n}"), "1"));
    }
    // Facts and conversations are answered; control does not store anything yet.
    while rig
        .asked
        .iter()
        .any(|(_, body)| !matches!(body, ToControl::Journal { .. }))
    {
        let asked = std::mem::take(&mut rig.asked);
        for (correlation, body) in asked {
            if matches!(body, ToControl::Journal { .. }) {
                rig.asked.push((correlation, body));
                continue;
            }
            let answer = rig.control.answer(body).expect("a question");
            rig.turn(|owner, now, out| owner.link(now, correlation, answer, out));
        }
        rig.sync();
    }
    while rig.sync() {}
    assert_eq!(rig.owner.stats().conversations, 10);
    rig.settle();
    assert_eq!(rig.done().len(), 10);
    for n in 0..10 {
        assert_eq!(rig.code(text("a", &format!("u{n}"), "2")), 0);
        assert_eq!(rig.control.messages[&format!("si_a_u{n}")].len(), 2);
    }
    for peer in ["b", "c"] {
        assert_eq!(rig.code(text("a", peer, "1")), 0);
    }
    assert!(
        rig.owner.stats().conversations <= 3,
        "{:?}",
        rig.owner.stats()
    );
}

#[test]
fn a_chat_copy_that_is_known_does_not_hide_a_notification_that_is_not() {
    let mut rig = Rig::new();
    let notice = with(text("a", "b", "n1"), &[("isNotNotification", false)]);
    // A crash cut the journal between the two records: only the copy survived.
    let copy = MsgData {
        seq: 1,
        server_msg_id: "s".repeat(32),
        send_time: START,
        ..text("a", "b", "n1")
    };
    rig.control
        .messages
        .entry("si_a_b".into())
        .or_default()
        .insert(1, copy);
    rig.publish(2, &notice, false);
    rig.settle();
    assert_eq!(rig.pushes(), [("b,a".into(), "n_a_b".into(), vec![1])]);
    assert_eq!(
        rig.control.messages["n_a_b"][&1].server_msg_id,
        "s".repeat(32)
    );
    rig.publish(4, &notice, false);
    rig.settle();
    assert!(rig.pushes().is_empty(), "now both are known");
    let answers: Vec<bool> = rig
        .asked
        .iter()
        .filter_map(|(_, body)| {
            if let ToControl::Published { duplicate, .. } = body {
                Some(*duplicate)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(answers, [false, true]);
}
