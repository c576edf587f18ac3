use super::*;
use crate::core::ring::{SendDone, SendReply};
use prost::Message as _;
use ringwire_link::message::JournalPosition;
use ringwire_protocol::conversation_id::ordering_key_of_users;
use ringwire_protocol::error::ApiError;
use ringwire_protocol::pb::msg::{GetSeqMessageReq, SendMsgResp};
use ringwire_protocol::pb::sdkws::{
    GetMaxSeqReq, MsgData, PullMessageBySeqsReq, SetAppBackgroundStatusReq,
};
use ringwire_protocol::req;

fn session() -> (Rig, ConnId, String) {
    let user = user_of(0, 0);
    let mut rig = Rig::linked(&[normal(&user, 1)]);
    let conn = rig.open(&user, 1);
    (rig, conn, user)
}

fn max_seq(user: &str) -> Vec<u8> {
    GetMaxSeqReq {
        user_id: user.into(),
    }
    .encode_to_vec()
}

fn pull(user: &str) -> Vec<u8> {
    PullMessageBySeqsReq {
        user_id: user.into(),
        ..Default::default()
    }
    .encode_to_vec()
}

fn code(rig: &mut Rig, conn: ConnId) -> i32 {
    let responses = rig.responses(conn);
    assert_eq!(responses.len(), 1, "{responses:?}");
    responses[0].err_code
}

#[test]
fn a_sync_waits_for_the_users_groups_and_carries_the_journal_positions() {
    let (mut rig, conn, user) = session();
    rig.ask(conn, &user, req::GET_MAX_SEQ, max_seq(&user));
    assert!(
        rig.calls().is_empty(),
        "what is sequenced meanwhile could not be pushed yet"
    );
    assert_eq!(rig.tell_groups(&["g"]), 1);
    let (correlation, call) = rig.calls().pop().expect("a call");
    assert_eq!(
        (call.kind, call.user_id.as_str(), call.platform_id),
        (1001, user.as_str(), 1)
    );
    assert_eq!(
        call.after,
        [JournalPosition {
            journal: 0,
            position: 640
        }]
    );
    rig.control(correlation, reply(vec![9]));
    let replies = rig.responses(conn);
    assert_eq!(replies.len(), 1);
    assert_eq!(
        (
            replies[0].req_identifier,
            replies[0].msg_incr.as_str(),
            &replies[0].data[..]
        ),
        (1001, "1", &[9][..])
    );
    assert_eq!(replies[0].operation_id, "op");
}

#[test]
fn requests_are_answered_one_after_the_other_in_order() {
    let (mut rig, conn, user) = session();
    let pair = [
        binary(&request(&user, 1002, "a", pull(&user))),
        binary(&request(&user, 1004, "b", vec![])),
    ]
    .concat();
    rig.receive(conn, &pair);
    assert!(
        rig.responses(conn).is_empty(),
        "the second waits for the first"
    );
    let calls = rig.calls();
    assert_eq!(calls.len(), 1);
    // Pings do not wait.
    rig.receive(conn, &frame(9, b"now"));
    rig.receive(conn, &frame(1, br#"{"type":"ping","body":{"n":[1]}}"#));
    assert_eq!(
        rig.frames(conn),
        [
            Frame::Pong(b"now".to_vec()),
            Frame::Text(r#"{"type":"pong","body":{"n":[1]}}"#.into()),
        ]
    );
    rig.control(calls[0].0, reply(Vec::new()));
    let order: Vec<(String, i32)> = rig
        .responses(conn)
        .into_iter()
        .map(|r| (r.msg_incr, r.err_code))
        .collect();
    assert_eq!(order, [("a".into(), 0), ("b".into(), 1001)]);
}

#[test]
fn access_is_checked_before_control_is_asked() {
    let (mut rig, conn, user) = session();
    rig.tell_groups(&[]);
    for (id, data, wanted) in [
        (1001, max_seq("other"), 1002),
        (1002, pull("other"), 1002),
        (1006, Vec::new(), 1001),
        (1004, b"anything".to_vec(), 1001),
        (1001, vec![0xff], 500),
        (2005, vec![0xff], 500),
    ] {
        rig.ask(conn, &user, id, data);
        assert_eq!(code(&mut rig, conn), wanted, "{id}");
    }
    let silent = Request {
        req_identifier: 1002,
        send_id: user.clone(),
        ..Request::default()
    };
    let mut bytes = Vec::new();
    envelope::encode_request(Encoding::Json, &silent, &mut bytes);
    rig.receive(conn, &binary(&bytes));
    assert_eq!(code(&mut rig, conn), 500, "operationID is empty");
    assert!(rig.calls().is_empty());

    let foreign = GetSeqMessageReq {
        user_id: "other".into(),
        ..Default::default()
    }
    .encode_to_vec();
    rig.ask(conn, &user, 1005, foreign);
    let (_, call) = rig.calls().pop().expect("a call");
    assert_eq!(
        GetSeqMessageReq::decode(&call.data[..])
            .expect("decodes")
            .user_id,
        user,
        "one's own, always"
    );
}

#[test]
fn without_control_requests_fail_at_once() {
    let (mut rig, conn, user) = session();
    rig.tell_groups(&[]);
    rig.ask(conn, &user, 1002, pull(&user));
    let (late, _) = rig.calls().pop().expect("a call");
    rig.event(Event::LinkDown);
    assert_eq!(code(&mut rig, conn), 500, "the one in flight");
    rig.ask(conn, &user, 1001, max_seq(&user));
    assert_eq!(code(&mut rig, conn), 500);
    rig.link_up(&[normal(&user, 1)]);
    rig.control(late, reply(vec![1]));
    assert!(rig.responses(conn).is_empty(), "an answer to nothing");
}

#[test]
fn a_silent_control_is_given_up_on() {
    let (mut rig, conn, user) = session();
    rig.ask(conn, &user, 1002, pull(&user));
    let (correlation, _) = rig.calls().pop().expect("a call");
    for _ in 0..10 {
        rig.pass(1_000);
        rig.receive(conn, &frame(10, b""));
    }
    assert_eq!(code(&mut rig, conn), 500);
    rig.control(correlation, reply(vec![1]));
    assert!(rig.responses(conn).is_empty());
    assert_eq!(rig.stats().call_timeouts, 1);
}

#[test]
fn an_answer_larger_than_clients_read_becomes_an_error() {
    let (mut rig, conn, user) = session();
    rig.ask(conn, &user, 1002, pull(&user));
    let (correlation, _) = rig.calls().pop().expect("a call");
    rig.control(correlation, reply(vec![1; 1 << 20]));
    assert_eq!(code(&mut rig, conn), 500);
}

#[test]
fn logout_is_answered_and_then_closed() {
    let (mut rig, conn, user) = session();
    let data = ringwire_protocol::pb::push::DelUserPushTokenReq {
        user_id: "x".into(),
        platform_id: 11,
    };
    rig.ask(conn, &user, 2003, data.encode_to_vec());
    let (correlation, call) = rig.calls().pop().expect("a call");
    assert!(call.data.windows(user.len()).any(|w| w == user.as_bytes()));
    rig.control(correlation, reply(Vec::new()));
    let frames = rig.frames(conn);
    assert!(
        matches!(frames[..], [Frame::Binary(_), Frame::Close(Some(1000))]),
        "{frames:?}"
    );
    assert_eq!(rig.closed, [conn]);
}

#[test]
fn bad_input_ends_the_session_with_a_code() {
    let user = user_of(0, 0);
    let cases: [(Vec<u8>, u16); 8] = [
        (binary(b"not JSON"), 1007),
        (binary(&request("somebody", 1004, "1", vec![])), 1008),
        (binary(&request(&user, 2001, "1", vec![])), 1008),
        (binary(&request(&user, 3001, "1", vec![])), 1008),
        (frame(1, b"hello"), 1007),
        (frame(1, br#"{"type":"x"}"#), 1008),
        (vec![0x82, 5, 1, 2, 3, 4, 5], 1002),
        (vec![0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4], 1009),
    ];
    for (bytes, wanted) in cases {
        let (mut rig, conn, _) = session();
        rig.receive(conn, &bytes);
        assert_eq!(rig.frames(conn), [Frame::Close(Some(wanted))], "{bytes:?}");
        assert_eq!(rig.closed, [conn]);
        rig.receive(conn, &bytes);
        rig.event(Event::Closed { conn });
        assert_eq!((rig.stats().sessions, rig.stats().connections), (0, 0));
    }
    let (mut rig, conn, _) = session();
    rig.receive(conn, &frame(8, &[0x03, 0xe9]));
    assert_eq!(
        rig.frames(conn),
        [Frame::Close(Some(1001))],
        "a close is repeated"
    );
}

fn chat(user: &str) -> (MsgData, String) {
    let peer = (0..)
        .map(|i| format!("peer{i}"))
        .find(|p| core_of(&ordering_key_of_users(user, p), 2) == 1);
    let peer = peer.expect("endless");
    let msg = MsgData {
        send_id: user.into(),
        recv_id: peer.clone(),
        client_msg_id: "c1".into(),
        session_type: 1,
        content_type: 101,
        content: bytes("{}"),
        ..MsgData::default()
    };
    (msg, peer)
}

#[test]
fn a_message_goes_to_its_owner_core_and_the_verdict_comes_back() {
    let (mut rig, conn, user) = session();
    let (msg, peer) = chat(&user);
    rig.ask(conn, &user, 1003, msg.encode_to_vec());
    let Some((1, RingItem::Send(item))) = rig.rings.pop() else {
        panic!("no send")
    };
    assert_eq!(
        (
            item.home,
            item.conn,
            item.msg.recv_id,
            item.operation_id.as_str()
        ),
        (0, conn, peer, "op")
    );
    assert!(rig.responses(conn).is_empty());
    let done = |request, result| Event::Ring {
        from: 1,
        item: RingItem::SendDone(Box::new(SendDone {
            conn,
            request,
            result,
        })),
    };
    rig.event(done(
        item.request + 1,
        Err(ApiError::internal("of another request")),
    ));
    assert!(rig.responses(conn).is_empty());
    let verdict = SendReply {
        server_msg_id: "s".into(),
        client_msg_id: "c1".into(),
        send_time: 42,
    };
    rig.event(done(item.request, Ok(verdict)));
    let replies = rig.responses(conn);
    let reply = SendMsgResp::decode(&replies[0].data[..]).expect("decodes");
    assert_eq!(
        (
            reply.server_msg_id.as_str(),
            reply.client_msg_id.as_str(),
            reply.send_time
        ),
        ("s", "c1", 42)
    );

    rig.ask(conn, &user, 1003, msg.encode_to_vec());
    let Some((1, RingItem::Send(item))) = rig.rings.pop() else {
        panic!("no send")
    };
    rig.event(done(
        item.request,
        Err(ApiError::new(
            ringwire_protocol::error::ErrorCode::BlockedByPeer,
            "",
        )),
    ));
    let replies = rig.responses(conn);
    assert_eq!(
        (replies[0].err_code, replies[0].err_msg.as_str()),
        (1302, "BlockedByPeer")
    );
}

#[test]
fn too_many_messages_are_refused_and_heal() {
    let user = user_of(0, 0);
    let mut rig = Rig::with(|c| {
        c.gateway.send_rate = 1;
        c.gateway.send_burst = 1;
    });
    rig.link_up(&[normal(&user, 1)]);
    let conn = rig.open(&user, 1);
    let bad = MsgData::default().encode_to_vec();
    rig.ask(conn, &user, 1003, bad.clone());
    assert_eq!(code(&mut rig, conn), 1001);
    rig.ask(conn, &user, 1003, bad.clone());
    assert_eq!(code(&mut rig, conn), 429);
    rig.pass(1_000);
    rig.ask(conn, &user, 1003, bad);
    assert_eq!(code(&mut rig, conn), 1001);
}

#[test]
fn a_deep_pipeline_stops_the_reading_until_it_drains() {
    let (mut rig, conn, user) = session();
    rig.ask(conn, &user, 1002, pull(&user));
    for _ in 0..70 {
        rig.receive(conn, &binary(&request(&user, 1004, "x", vec![])));
    }
    assert!(
        matches!(rig.other[..], [Action::PauseReading { .. }]),
        "{:?}",
        rig.other
    );
    let (correlation, _) = rig.calls().pop().expect("a call");
    rig.control(correlation, reply(Vec::new()));
    assert_eq!(rig.responses(conn).len(), 71);
    assert!(matches!(
        rig.other[..],
        [Action::PauseReading { .. }, Action::ResumeReading { .. }]
    ));
}

#[test]
fn gob_and_gzip_sessions_are_answered_in_kind() {
    let user = user_of(0, 0);
    let mut rig = Rig::linked(&[normal(&user, 1)]);
    let query = query(&user, 1, &token_of(&user, 1)).replace("sdkType=js", "compression=gzip");
    let conn = rig.dial(&query);
    rig.taken(conn);
    let data = SetAppBackgroundStatusReq {
        is_background: true,
        ..Default::default()
    }
    .encode_to_vec();
    let asked = Request {
        req_identifier: 2004,
        send_id: user.clone(),
        operation_id: "o".into(),
        msg_incr: "m".into(),
        data: data.into(),
        ..Request::default()
    };
    let mut plain = Vec::new();
    envelope::encode_request(Encoding::Gob, &asked, &mut plain);
    rig.receive(conn, &binary(&gzip(&plain)));
    let frames = rig.frames(conn);
    let [Frame::Binary(answer)] = &frames[..] else {
        panic!("{frames:?}")
    };
    let answer = envelope::decode_response(Encoding::Gob, &gunzip(answer)).expect("gob");
    assert_eq!(
        (
            answer.req_identifier,
            answer.msg_incr.as_str(),
            answer.err_code
        ),
        (2004, "m", 0)
    );

    let bomb = gzip(&vec![0; 2 << 20]);
    assert!(bomb.len() < 51_200);
    rig.receive(conn, &binary(&bomb));
    assert_eq!(rig.frames(conn), [Frame::Close(Some(1009))]);
}

#[test]
fn silence_ends_a_session_and_any_sign_of_life_does_not() {
    let (mut rig, conn, _) = session();
    for _ in 0..4 {
        rig.pass(20_000);
        rig.receive(conn, &frame(9, b"24"));
    }
    assert!(rig.closed.is_empty());
    rig.pass(32_000);
    assert_eq!(rig.closed, [conn]);
    assert_eq!(rig.stats().idle_closed, 1);
}

#[test]
fn only_browsers_are_pinged() {
    let user = user_of(0, 0);
    let mut rig = Rig::linked(&[normal(&user, 1), normal(&user, 5)]);
    let (ios, web) = (rig.open(&user, 1), rig.open(&user, 5));
    rig.pass(28_000);
    assert_eq!(rig.frames(web), [Frame::Ping]);
    assert!(rig.frames(ios).is_empty());
}

#[test]
fn a_stuck_write_ends_the_session() {
    let (mut rig, conn, _) = session();
    rig.reading = false;
    rig.receive(conn, &frame(9, b"1"));
    rig.receive(conn, &frame(9, b"2"));
    assert_eq!(
        rig.frames(conn),
        [Frame::Pong(b"1".to_vec())],
        "one write at a time"
    );
    rig.pass(12_000);
    assert_eq!(rig.closed, [conn]);
    assert_eq!(rig.stats().write_timeouts, 1);
    rig.pass(100_000);
}

#[test]
fn a_session_that_is_not_read_is_not_blamed_for_silence() {
    let (mut rig, conn, user) = session();
    let (msg, _) = chat(&user);
    rig.ask(conn, &user, 1003, msg.encode_to_vec());
    for _ in 0..70 {
        rig.receive(conn, &binary(&request(&user, 1004, "x", vec![])));
    }
    rig.pass(100_000);
    assert!(rig.closed.is_empty());
    let Some((1, RingItem::Send(item))) = rig.rings.pop() else {
        panic!("no send")
    };
    let done = SendDone {
        conn,
        request: item.request,
        result: Err(ApiError::internal("late")),
    };
    rig.event(Event::Ring {
        from: 1,
        item: RingItem::SendDone(Box::new(done)),
    });
    assert_eq!(rig.responses(conn).len(), 71);
    rig.pass(32_000);
    assert_eq!(rig.closed, [conn], "now it is read again");
}
