//! Control away, slow or wrong; a full disk; publishes.

use super::rig::{Rig, text, with};
use crate::core::ring::RingItem;
use ringwire_link::message::Publish;
use ringwire_link::{ToControl, ToGateway};
use ringwire_protocol::pb::sdkws::MsgData;

#[test]
fn without_control_the_known_flows_and_the_unknown_fails_at_once() {
    let mut rig = Rig::new();
    rig.code(text("a", "b", "1"));
    rig.link_down();
    assert_eq!(rig.code(text("a", "b", "2")), 0);
    assert_eq!(rig.code(text("a", "c", "1")), 500);
    let old = MsgData {
        create_time: 1,
        ..text("b", "a", "old")
    };
    assert_eq!(
        rig.code(old),
        0,
        "the whole conversation is known, so no look-up is needed"
    );
    rig.link_up();
    assert_eq!(rig.code(text("a", "c", "1")), 0);
    assert_eq!(rig.control.messages["si_a_b"].len(), 3);
}

#[test]
fn what_waits_for_control_fails_when_the_link_is_lost() {
    let mut rig = Rig::new();
    for n in 0..3 {
        rig.send(text("a", "b", &format!("m{n}")));
    }
    assert_eq!(rig.owner.stats().waiting, 3);
    rig.link_down();
    let codes: Vec<_> = rig
        .done()
        .into_iter()
        .map(|done| done.result.map_err(|e| e.code))
        .collect();
    assert_eq!(codes, [Err(500), Err(500), Err(500)]);
    assert_eq!(rig.owner.stats().waiting, 0);
    rig.link_up();
    assert_eq!(rig.code(text("a", "b", "m0")), 0);
}

#[test]
fn a_failing_database_fails_the_messages_that_need_it() {
    let mut rig = Rig::new();
    rig.send(text("a", "b", "1"));
    for (correlation, body) in std::mem::take(&mut rig.asked) {
        let answer = match body {
            ToControl::FetchFacts { .. } => ToGateway::Facts {
                facts: Err("locked".into()),
            },
            ToControl::OpenConversations { .. } => ToGateway::Conversations {
                states: Err("locked".into()),
            },
            other => panic!("unexpected {other:?}"),
        };
        rig.turn(|owner, now, out| owner.link(now, correlation, answer, out));
    }
    assert_eq!(rig.only_done().result.map_err(|e| e.code), Err(500));
    assert_eq!(rig.code(text("a", "b", "1")), 0);
}

#[test]
fn a_question_without_an_answer_is_given_up_and_a_late_answer_is_ignored() {
    let mut rig = Rig::new();
    rig.send(text("a", "b", "1"));
    let late = std::mem::take(&mut rig.asked);
    let deadline = rig.owner.deadline().expect("a question is open");
    rig.now.mono_ms = deadline - 1;
    rig.tick();
    assert!(rig.done().is_empty());
    rig.now.mono_ms = deadline;
    rig.tick();
    assert_eq!(rig.only_done().result.map_err(|e| e.code), Err(500));
    assert_eq!(rig.owner.deadline(), None);
    for (correlation, body) in late {
        let answer = rig.control.answer(body).expect("a question");
        rig.turn(|owner, now, out| owner.link(now, correlation, answer, out));
    }
    assert_eq!(rig.owner.stats().conversations, 0);
    assert_eq!(rig.code(text("a", "b", "1")), 0);
}

#[test]
fn too_many_waiting_in_one_lane_are_refused() {
    let mut rig = Rig::new();
    let limit = crate::core::conversation::lane::MAX_LANE;
    for n in 0..limit + 2 {
        rig.send(text("a", "b", &format!("m{n}")));
    }
    let refused: Vec<_> = rig
        .done()
        .into_iter()
        .map(|done| done.result.map_err(|e| e.code))
        .collect();
    assert_eq!(refused, [Err(429), Err(429)]);
    rig.settle();
    assert_eq!(rig.done().len(), limit);
}

#[test]
fn a_full_disk_refuses_and_heals() {
    let mut rig = Rig::new();
    rig.code(text("a", "b", "0"));
    rig.disk_full = true;
    let mut sent = 1;
    let refused = loop {
        rig.send(MsgData {
            content: vec![b'x'; 3_000].into(),
            ..text("a", "b", &format!("m{sent}"))
        });
        rig.sync();
        rig.answer();
        rig.make_segments();
        match rig.done().pop().map(|done| done.result) {
            Some(Ok(_)) => sent += 1,
            Some(Err(error)) => break error,
            None => panic!("no answer"),
        }
        assert!(sent < 1_000);
    };
    assert_eq!(
        (refused.code, refused.detail.as_ref()),
        (500, "journal full")
    );
    let deadline = rig.owner.deadline().expect("tries again");
    assert!(deadline <= rig.now.mono_ms + 1_000);
    rig.disk_full = false;
    rig.now.mono_ms = deadline;
    rig.tick();
    assert_eq!(rig.code(text("a", "b", "after")), 0);
    assert_eq!(rig.control.messages["si_a_b"].len(), sent + 1);
}

#[test]
fn a_journal_that_control_does_not_store_is_bounded() {
    let mut rig = Rig::with(|config| config.journal_max_bytes = 20_000);
    rig.link_up();
    rig.code(text("a", "b", "0"));
    rig.link_down();
    let mut sent = 0;
    while rig.code(MsgData {
        content: vec![b'x'; 1_000].into(),
        ..text("a", "b", &format!("m{sent}"))
    }) == 0
    {
        sent += 1;
        assert!(sent < 100);
    }
    assert!(sent > 10);
    rig.link_up();
    rig.settle();
    assert_eq!(rig.code(text("a", "b", "after")), 0);
}

#[test]
fn publishes_are_answered_after_the_commit_and_only_on_their_own_connection() {
    let mut rig = Rig::new();
    rig.code(text("a", "b", "warm"));
    rig.publish(2, &text("a", "b", "1"), false);
    assert!(
        !rig.asked
            .iter()
            .any(|(_, body)| matches!(body, ToControl::Published { .. }))
    );
    rig.sync();
    let answer = rig
        .asked
        .iter()
        .find(|(correlation, _)| *correlation == 2)
        .map(|(_, body)| body.clone());
    assert!(
        matches!(
            answer,
            Some(ToControl::Published {
                err_code: 0,
                seq: 2,
                duplicate: false,
                ..
            })
        ),
        "{answer:?}"
    );
    rig.asked.clear();
    rig.publish(4, &text("a", "b", "2"), false);
    rig.link_down();
    rig.sync();
    rig.link_up();
    assert!(!rig.asked.iter().any(|(correlation, _)| *correlation == 4));
    rig.publish(6, &text("a", "b", "2"), false);
    let answer = rig
        .asked
        .iter()
        .find(|(correlation, _)| *correlation == 6)
        .map(|(_, body)| body.clone());
    assert!(
        matches!(
            answer,
            Some(ToControl::Published {
                duplicate: true,
                seq: 3,
                ..
            })
        ),
        "{answer:?}"
    );
}

#[test]
fn an_answer_that_outlives_its_connection_is_not_taken_for_that_of_a_new_question() {
    let mut rig = Rig::new();
    rig.code(text("a", "b", "warm"));
    rig.publish(2, &text("a", "b", "1"), false);
    rig.link_down();
    rig.link_up();
    rig.asked.clear();
    // Control counts its questions from the start on every connection.
    rig.publish(2, &text("a", "b", "2"), false);
    rig.settle();
    let seqs: Vec<i64> = rig
        .asked
        .iter()
        .filter_map(|(correlation, body)| match body {
            ToControl::Published { seq, .. } if *correlation == 2 => Some(*seq),
            _ => None,
        })
        .collect();
    assert_eq!(seqs, [3], "the answer of the second question alone");
}

#[test]
fn what_is_not_stored_and_published_again_after_a_lost_link_is_delivered_once() {
    let mut rig = Rig::new();
    rig.code(text("a", "b", "warm"));
    rig.pushes();
    let notice = |id: &str| {
        let options = [
            ("isNotNotification", false),
            ("isSendMsg", false),
            ("history", false),
        ];
        with(text("a", "b", id), &options)
    };
    let published = |rig: &Rig| -> Vec<(String, i64, bool)> {
        let answers = rig.asked.iter().filter_map(|(_, body)| match body {
            ToControl::Published {
                server_msg_id,
                seq,
                duplicate,
                ..
            } => Some((server_msg_id.clone(), *seq, *duplicate)),
            _ => None,
        });
        answers.collect()
    };
    rig.publish(2, &notice("1"), false);
    let (first, ..) = published(&rig).remove(0);
    assert_eq!(rig.pushes().len(), 1);
    rig.link_down();
    rig.link_up();
    rig.asked.clear();
    rig.publish(2, &notice("1"), false);
    assert_eq!(published(&rig), [(first, 0, true)]);
    assert!(rig.pushes().is_empty());
    rig.publish(4, &notice("2"), false);
    assert_eq!(rig.pushes().len(), 1, "another one is delivered");
    // A client that types twice under one id is seen twice.
    for _ in 0..2 {
        rig.send(notice("1"));
        rig.settle();
        assert_eq!(rig.pushes().len(), 1);
    }
}

#[test]
fn checked_publishes_are_refused_like_sends_and_bad_ones_are_named() {
    let mut rig = Rig::new();
    rig.publish(2, &text("a", "nobody", "1"), true);
    rig.settle();
    let junk = Publish {
        msg: vec![0xff; 9],
        operation_id: String::new(),
        check: false,
        also: vec![],
    };
    rig.turn(|owner, now, out| owner.link(now, 4, ToGateway::Publish(junk), out));
    let codes: Vec<i32> = rig
        .asked
        .iter()
        .filter_map(|(_, body)| {
            if let ToControl::Published { err_code, .. } = body {
                Some(*err_code)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(codes, [1004, 1001]);
}

#[test]
fn members_just_removed_get_the_push_too() {
    let mut rig = Rig::new();
    rig.control.group("g", 0, 2);
    let publish = Publish {
        msg: prost::Message::encode_to_vec(&super::rig::to_group("a", "g", "1")),
        operation_id: "op".into(),
        check: false,
        also: vec!["c".into()],
    };
    rig.turn(|owner, now, out| owner.link(now, 2, ToGateway::Publish(publish), out));
    rig.settle();
    assert!(matches!(&rig.rung[0].1, RingItem::DeliverGroup { also, .. } if also == &["c"]));
}

#[test]
fn a_publish_that_reached_the_wrong_core_is_answered_by_the_one_it_came_to() {
    let mut rig = Rig::with(|config| config.cores = 2);
    rig.link_up();
    let stray = (0..)
        .map(|n| format!("b{n}"))
        .find(|b| ringwire_protocol::slot::core_of(&format!("a_{b}"), 2) == 1)
        .expect("some");
    rig.publish(2, &text("a", &stray, "1"), false);
    let (core, item) = rig.rung.remove(0);
    let RingItem::Publish {
        origin: 0, number, ..
    } = item
    else {
        panic!("{item:?}")
    };
    assert_eq!(core, 1);
    let answer = ToControl::Heartbeat;
    let done = RingItem::PublishDone {
        number,
        answer: Box::new(answer.clone()),
    };
    rig.turn(|owner, now, out| owner.ring(now, 1, done, out));
    assert!(rig.asked.contains(&(2, answer)));
}
