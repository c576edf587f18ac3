use super::*;
use crate::core::ring::Push;
use prost::Message as _;
use ringwire_link::facts::FactChange;
use ringwire_protocol::pb::sdkws::SetAppBackgroundStatusReq;
use ringwire_protocol::req;

fn push(text: &'static str) -> Arc<Push> {
    Arc::new(Push {
        operation_id: format!("op-{text}"),
        payload: bytes(text),
    })
}

fn deliver(rig: &mut Rig, users: &[&String], text: &'static str) {
    let users = users.iter().map(|u| (*u).clone()).collect();
    rig.event(Event::Ring {
        from: 1,
        item: RingItem::Deliver {
            users,
            push: push(text),
        },
    });
}

fn deliver_group(rig: &mut Rig, group: &str, also: &[&String], text: &'static str) {
    let also = also.iter().map(|u| (*u).clone()).collect();
    let item = RingItem::DeliverGroup {
        group_id: group.into(),
        also,
        push: push(text),
    };
    rig.event(Event::Ring { from: 1, item });
}

fn got(rig: &mut Rig, conn: ConnId) -> Vec<String> {
    let responses = rig.responses(conn);
    for response in &responses {
        assert_eq!(
            (response.req_identifier, response.msg_incr.as_str()),
            (req::PUSH_MSG, "")
        );
        assert_eq!(
            response.operation_id,
            format!("op-{}", String::from_utf8_lossy(&response.data))
        );
    }
    responses
        .into_iter()
        .map(|r| String::from_utf8_lossy(&r.data).into_owned())
        .collect()
}

#[test]
fn all_sessions_of_a_user_get_a_message_in_one_write_a_turn() {
    let (user, away) = (user_of(0, 0), user_of(0, 1));
    let mut rig = Rig::linked(&[normal(&user, 1), normal(&user, 5)]);
    let (ios, web) = (rig.open(&user, 1), rig.open(&user, 5));
    rig.writes.clear();
    for text in ["one", "two"] {
        let item = RingItem::Deliver {
            users: vec![away.clone(), user.clone()],
            push: push(text),
        };
        rig.core
            .handle(rig.now, Event::Ring { from: 1, item }, &mut rig.out);
    }
    rig.finish();
    for conn in [ios, web] {
        assert_eq!(rig.writes[&conn], 1);
        assert_eq!(got(&mut rig, conn), ["one", "two"]);
    }
    assert_eq!(rig.stats().pushes_encoded, 2, "once for both sessions");
}

#[test]
fn each_encoding_is_made_once_and_read_by_its_client() {
    let users: Vec<String> = (0..4).map(|n| user_of(0, n)).collect();
    let facts: Vec<TokenFact> = users.iter().map(|u| normal(u, 1)).collect();
    let mut rig = Rig::linked(&facts);
    let kinds = [
        "sdkType=js",
        "sdkType=js&compression=gzip",
        "sdkType=go",
        "compression=gzip",
    ];
    let mut conns = Vec::new();
    for (user, kind) in users.iter().zip(kinds) {
        let conn = rig.dial(&query(user, 1, &token_of(user, 1)).replace("sdkType=js", kind));
        assert!(rig.text(conn).starts_with("HTTP/1.1 101"));
        conns.push(conn);
    }
    deliver(&mut rig, &users.iter().collect::<Vec<_>>(), "m");
    for (index, conn) in conns.into_iter().enumerate() {
        let frames = rig.frames(conn);
        let [Frame::Binary(bytes)] = &frames[..] else {
            panic!("{frames:?}")
        };
        let plain = if index % 2 == 1 {
            gunzip(bytes)
        } else {
            bytes.clone()
        };
        let encoding = if index < 2 {
            Encoding::Json
        } else {
            Encoding::Gob
        };
        let response = envelope::decode_response(encoding, &plain).expect("decodes");
        assert_eq!(
            (&response.data[..], response.operation_id.as_str()),
            (&b"m"[..], "op-m")
        );
    }
    assert_eq!(rig.stats().pushes_encoded, 4);
}

#[test]
fn a_group_reaches_members_online_as_changes_say() {
    let (a, b, c) = (user_of(0, 0), user_of(0, 1), user_of(0, 2));
    let mut rig = Rig::linked(&[normal(&a, 1), normal(&b, 1), normal(&c, 1)]);
    let conns = [&a, &b].map(|u| rig.open(u, 1));
    assert_eq!(rig.tell_groups(&["g"]), 2);
    let outsider = rig.open(&c, 1);
    rig.tell_groups(&[]);
    deliver_group(&mut rig, "g", &[], "all");
    assert_eq!(conns.map(|conn| got(&mut rig, conn).len()), [1, 1]);
    assert!(got(&mut rig, outsider).is_empty());

    let change = |changes| ToGateway::FactChanges {
        version: 10,
        changes,
    };
    rig.control(
        0,
        change(vec![
            FactChange::Left {
                group_id: "g".into(),
                user_ids: vec![a.clone()],
            },
            FactChange::Joined {
                group_id: "g".into(),
                user_ids: vec![c.clone(), "stranger".into()],
            },
        ]),
    );
    deliver_group(&mut rig, "g", &[&a, &b], "also");
    assert_eq!(
        conns.map(|conn| got(&mut rig, conn).len()),
        [1, 1],
        "the removed one is told; nobody twice"
    );
    assert_eq!(got(&mut rig, outsider), ["also"]);
    deliver_group(&mut rig, "g", &[], "after");
    assert!(got(&mut rig, conns[0]).is_empty());
    rig.control(0, change(vec![FactChange::GroupGone("g".into())]));
    deliver_group(&mut rig, "g", &[], "gone");
    assert_eq!(got(&mut rig, conns[1]), ["after"]);
    assert_eq!(rig.stats().groups, 0);
}

#[test]
fn a_change_during_the_question_makes_it_be_asked_again() {
    let user = user_of(0, 0);
    let mut rig = Rig::linked(&[normal(&user, 1)]);
    let conn = rig.open(&user, 1);
    let changes = vec![FactChange::Joined {
        group_id: "new".into(),
        user_ids: vec![user.clone()],
    }];
    rig.control(
        0,
        ToGateway::FactChanges {
            version: 10,
            changes,
        },
    );
    deliver_group(&mut rig, "new", &[], "at once");
    assert_eq!(rig.tell_groups(&[]), 1, "read before the change");
    deliver_group(&mut rig, "new", &[], "still");
    assert_eq!(rig.tell_groups(&["new"]), 1, "asked again");
    assert_eq!(rig.tell_groups(&[]), 0);
    assert_eq!(got(&mut rig, conn), ["at once", "still"]);
}

#[test]
fn after_a_lost_link_the_old_index_serves_until_the_new_is_read() {
    let user = user_of(0, 0);
    let mut rig = Rig::linked(&[normal(&user, 1)]);
    let conn = rig.open(&user, 1);
    rig.tell_groups(&["g"]);
    rig.event(Event::LinkDown);
    deliver_group(&mut rig, "g", &[], "down");
    rig.link_up(&[normal(&user, 1)]);
    deliver_group(&mut rig, "g", &[], "up");
    assert_eq!(rig.tell_groups(&["h"]), 1);
    deliver_group(&mut rig, "g", &[], "left meanwhile");
    deliver_group(&mut rig, "h", &[], "joined meanwhile");
    assert_eq!(got(&mut rig, conn), ["down", "up", "joined meanwhile"]);
}

#[test]
fn a_failed_question_for_groups_is_asked_again_later() {
    let user = user_of(0, 0);
    let mut rig = Rig::linked(&[normal(&user, 1)]);
    rig.open(&user, 1);
    let position = rig
        .links
        .iter()
        .position(|(_, b)| matches!(b, ToControl::FetchFacts { .. }))
        .expect("asked");
    let (correlation, _) = rig.links.remove(position);
    rig.control(
        correlation,
        ToGateway::Facts {
            facts: Err("disk".into()),
        },
    );
    assert_eq!(rig.tell_groups(&[]), 0);
    rig.pass(2_000);
    assert_eq!(rig.tell_groups(&[]), 1);
}

#[test]
fn ios_in_background_is_left_to_the_systems_push() {
    let user = user_of(0, 0);
    let mut rig = Rig::linked(&[normal(&user, 1), normal(&user, 2)]);
    let query =
        |platform| query(&user, platform, &token_of(&user, platform)).replace("=false", "=true");
    let (ios, android) = (rig.dial(&query(1)), rig.dial(&query(2)));
    rig.taken(ios);
    rig.taken(android);
    deliver(&mut rig, &[&user], "a");
    assert!(got(&mut rig, ios).is_empty());
    assert_eq!(
        got(&mut rig, android),
        ["a"],
        "Android in background still reads"
    );
    let front = SetAppBackgroundStatusReq {
        is_background: false,
        ..Default::default()
    }
    .encode_to_vec();
    rig.ask(ios, &user, 2004, front);
    rig.taken(ios);
    deliver(&mut rig, &[&user], "b");
    assert_eq!(got(&mut rig, ios), ["b"]);
}

#[test]
fn who_does_not_read_is_closed_and_the_others_are_not() {
    let (slow, good) = (user_of(0, 0), user_of(0, 1));
    let mut rig = Rig::with(|c| c.gateway.session_queue_bytes = 1_000);
    rig.link_up(&[normal(&slow, 1), normal(&good, 1)]);
    let (stuck, reads) = (rig.open(&slow, 1), rig.open(&good, 1));
    rig.reading = false;
    let mut received = 0;
    for _ in 0..30 {
        deliver(&mut rig, &[&slow, &good], "0123456789");
        rig.event(Event::Written { conn: reads });
        received += got(&mut rig, reads).len();
    }
    assert_eq!(received, 30);
    assert_eq!(rig.closed, [stuck]);
    assert_eq!((rig.stats().slow_consumers, rig.stats().sessions), (1, 1));
}
