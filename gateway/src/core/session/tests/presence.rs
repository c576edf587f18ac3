use super::*;
use prost::Message as _;
use ringwire_link::message::UserPlatforms;
use ringwire_protocol::pb::sdkws::{SubUserOnlineStatus, SubUserOnlineStatusTips};

/// Users and their platforms.
type States = Vec<(String, Vec<i32>)>;

fn ask(rig: &mut Rig, conn: ConnId, user: &str, add: &[&str], remove: &[&str]) {
    let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
    let data = SubUserOnlineStatus {
        subscribe_user_id: owned(add),
        unsubscribe_user_id: owned(remove),
    };
    rig.ask(conn, user, 2005, data.encode_to_vec());
}

/// Replies and pushes: msgIncr and the users with their platforms.
fn states(rig: &mut Rig, conn: ConnId) -> Vec<(String, States)> {
    let decode = |r: Response| {
        assert_eq!((r.req_identifier, r.err_code), (2005, 0));
        let tips = SubUserOnlineStatusTips::decode(&r.data[..]).expect("decodes");
        let users = tips
            .subscribers
            .into_iter()
            .map(|s| (s.user_id, s.online_platform_i_ds))
            .collect();
        (r.msg_incr, users)
    };
    rig.responses(conn).into_iter().map(decode).collect()
}

fn reports(rig: &mut Rig) -> Vec<(bool, Vec<UserPlatforms>)> {
    let mut reports = Vec::new();
    rig.links.retain(|(_, body)| match body {
        ToControl::Presence { snapshot, users } => {
            reports.push((*snapshot, users.clone()));
            false
        }
        _ => true,
    });
    reports
}

fn state(user: &str, platforms: &[i32]) -> UserPlatforms {
    UserPlatforms {
        user_id: user.into(),
        platforms: platforms.to_vec(),
    }
}

#[test]
fn control_hears_of_real_changes_and_all_of_it_after_a_connect() {
    let user = user_of(0, 0);
    let mut rig = Rig::linked(&[normal(&user, 1), normal(&user, 5)]);
    assert_eq!(reports(&mut rig), [(true, vec![])]);
    let ios = rig.open(&user, 1);
    assert_eq!(reports(&mut rig), [(false, vec![state(&user, &[1])])]);
    let again = rig.open(&user, 1);
    assert!(reports(&mut rig).is_empty(), "one platform, once");
    rig.receive(again, &frame(9, b""));
    assert!(
        reports(&mut rig).is_empty(),
        "the older session of the same client went unseen"
    );
    rig.event(Event::Closed { conn: ios });
    let web = rig.open(&user, 5);
    assert_eq!(reports(&mut rig), [(false, vec![state(&user, &[1, 5])])]);
    rig.event(Event::LinkDown);
    rig.event(Event::Closed { conn: again });
    assert!(reports(&mut rig).is_empty());
    rig.link_up(&[normal(&user, 5)]);
    assert_eq!(reports(&mut rig), [(true, vec![state(&user, &[5])])]);
    rig.event(Event::Closed { conn: web });
    assert_eq!(reports(&mut rig), [(false, vec![state(&user, &[])])]);
    assert_eq!((rig.stats().users, rig.stats().groups), (0, 0));
}

#[test]
fn a_watch_spans_cores_and_answers_in_the_order_asked() {
    let (me, near, far) = (user_of(0, 0), user_of(0, 1), user_of(1, 0));
    let mut rig = Rig::linked(&[normal(&me, 1), normal(&near, 5)]);
    let conn = rig.open(&me, 1);
    let near_conn = rig.open(&near, 5);
    rig.rings.clear();
    ask(&mut rig, conn, &me, &[&far, &near, "nobody", &far], &[]);
    let mut questions = Vec::new();
    for (to, item) in rig.rings.drain(..) {
        let RingItem::Watch { users, request } = item else {
            panic!("{item:?}")
        };
        assert_eq!(to, 1);
        questions.push((users, request));
    }
    assert_eq!(questions.len(), 1);
    assert!(rig.responses(conn).is_empty());
    let (users, request) = questions.remove(0);
    assert!(users.contains(&far));
    // The nearer user goes offline before the farther core has answered.
    rig.event(Event::Closed { conn: near_conn });
    let answer = users
        .into_iter()
        .map(|u| {
            let on = u == far;
            (u, if on { vec![2, 7] } else { vec![] })
        })
        .collect();
    rig.event(Event::Ring {
        from: 1,
        item: RingItem::Online {
            request,
            users: answer,
        },
    });
    let mut seen = states(&mut rig, conn);
    let (incr, reply) = seen.pop().expect("a reply");
    assert_eq!(incr, "1");
    let on = (far.clone(), vec![2, 7]);
    assert_eq!(
        reply,
        [
            on.clone(),
            (near.clone(), vec![]),
            ("nobody".into(), vec![]),
            on
        ]
    );
    assert_eq!(
        seen,
        [(String::new(), vec![(near.clone(), vec![])])],
        "the change was pushed before"
    );

    rig.event(Event::Ring {
        from: 1,
        item: RingItem::Online {
            request: 0,
            users: vec![(far.clone(), vec![2])],
        },
    });
    assert_eq!(
        states(&mut rig, conn),
        [(String::new(), vec![(far.clone(), vec![2])])]
    );
    let back = rig.open(&near, 5);
    assert_eq!(
        states(&mut rig, conn),
        [(String::new(), vec![(near.clone(), vec![5])])]
    );

    ask(&mut rig, conn, &me, &[], &[&far, &near]);
    assert_eq!(states(&mut rig, conn), [("1".into(), vec![])]);
    assert!(matches!(&rig.rings[..], [(1, RingItem::Unwatch { users })] if *users == [far]));
    rig.event(Event::Closed { conn: back });
    assert!(rig.responses(conn).is_empty());
}

#[test]
fn the_watched_are_let_go_with_the_session() {
    let (me, far) = (user_of(0, 0), user_of(1, 0));
    let mut rig = Rig::linked(&[normal(&me, 1)]);
    let conn = rig.open(&me, 1);
    ask(&mut rig, conn, &me, &[&far], &[]);
    rig.rings.clear();
    rig.event(Event::Closed { conn });
    assert!(matches!(&rig.rings[..], [(1, RingItem::Unwatch { users })] if *users == [far]));
    assert_eq!(rig.stats().watched, 0);
}

#[test]
fn beyond_the_limit_the_state_is_told_but_not_watched() {
    let (me, one, two) = (user_of(0, 0), user_of(0, 1), user_of(0, 2));
    let mut rig = Rig::with(|c| c.gateway.max_watched = 1);
    rig.link_up(&[normal(&me, 1), normal(&one, 1), normal(&two, 1)]);
    let conn = rig.open(&me, 1);
    let conns = [&one, &two].map(|u| rig.open(u, 1));
    ask(&mut rig, conn, &me, &[&one, &two], &[]);
    let (_, reply) = states(&mut rig, conn).pop().expect("a reply");
    assert_eq!(reply, [(one.clone(), vec![1]), (two.clone(), vec![1])]);
    assert_eq!(rig.stats().watched, 1);
    for conn in conns {
        rig.event(Event::Closed { conn });
    }
    assert_eq!(
        states(&mut rig, conn),
        [(String::new(), vec![(one, vec![])])]
    );
}

#[test]
fn another_core_that_watches_is_told_of_changes_until_it_stops() {
    let user = user_of(0, 0);
    let mut rig = Rig::linked(&[normal(&user, 1), normal(&user, 5)]);
    let watch = RingItem::Watch {
        users: vec![user.clone()],
        request: 77,
    };
    rig.event(Event::Ring {
        from: 1,
        item: watch,
    });
    let conn = rig.open(&user, 1);
    let told = |rig: &mut Rig| -> Vec<(u64, States)> {
        let online = |item| match item {
            (1, RingItem::Online { request, users }) => (request, users),
            other => panic!("{other:?}"),
        };
        rig.rings.drain(..).map(online).collect()
    };
    assert_eq!(
        told(&mut rig),
        [
            (77, vec![(user.clone(), vec![])]),
            (0, vec![(user.clone(), vec![1])])
        ]
    );
    rig.event(Event::Ring {
        from: 1,
        item: RingItem::Unwatch { users: vec![user] },
    });
    rig.event(Event::Closed { conn });
    assert!(told(&mut rig).is_empty());
}

#[test]
fn control_sees_live_sessions() {
    let user = user_of(0, 0);
    let mut rig = Rig::linked(&[normal(&user, 1)]);
    let conn = rig.open(&user, 1);
    rig.control(
        6,
        ToGateway::QuerySessions {
            user_ids: vec!["nobody".into(), user.clone()],
        },
    );
    let Some((6, ToControl::Sessions { sessions })) = rig.links.pop() else {
        panic!("no answer")
    };
    assert_eq!(sessions.len(), 1);
    assert_eq!(
        (sessions[0].user_id.as_str(), sessions[0].platform_id),
        (user.as_str(), 1)
    );
    assert_eq!(sessions[0].conn_id.len(), 32);
    assert!(sessions[0].conn_id.ends_with(&format!("{:x}", conn.0)));
}

#[test]
fn a_device_in_background_hears_of_its_friends_all_the_same() {
    let (me, friend) = (user_of(0, 0), user_of(0, 1));
    let mut rig = Rig::linked(&[normal(&me, 1), normal(&friend, 5)]);
    let conn = rig
        .dial(&query(&me, 1, &token_of(&me, 1)).replace("isBackground=false", "isBackground=true"));
    assert!(rig.text(conn).starts_with("HTTP/1.1 101 "));
    ask(&mut rig, conn, &me, &[&friend], &[]);
    rig.taken(conn);
    rig.open(&friend, 5);
    assert_eq!(
        states(&mut rig, conn),
        [(String::new(), vec![(friend, vec![5])])],
        "the SDK would go on showing the old state"
    );
}
