//! What gateways streamed, read over HTTP: conversations, compound calls, pulls; and sending.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "api/harness.rs"]
mod harness;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::Control;
use prost::Message as _;
use ringwire_control::clock::unix_ms;
use ringwire_control::store::groups::{ROLE_MEMBER, ROLE_OWNER};
use ringwire_control::store::{Friend, Group, JournalBatch, Member};
use ringwire_link::record::{MessageRecord, Record};
use ringwire_protocol::conversation_id;
use ringwire_protocol::pb::jssdk::{GetActiveConversationsReq, GetActiveConversationsResp};
use ringwire_protocol::pb::sdkws::MsgData;
use serde_json::{Value, json};

fn record(conversation_id: String, msg: MsgData) -> Record {
    Record::Message(MessageRecord {
        conversation_id,
        msg: msg.encode_to_vec().into(),
        operation_id: "op".into(),
    })
}

fn sent(send: &str, seq: i64, time: i64) -> MsgData {
    MsgData {
        send_id: send.into(),
        client_msg_id: format!("{send}{time}"),
        session_type: 1,
        content_type: 101,
        content: format!("{{\"content\":\"{seq}\"}}").into_bytes().into(),
        seq,
        send_time: time,
        status: 2,
        ..MsgData::default()
    }
}

fn single(send: &str, recv: &str, seq: i64, time: i64) -> Record {
    let id = conversation_id::single(send, recv);
    record(
        id,
        MsgData {
            recv_id: recv.into(),
            ..sent(send, seq, time)
        },
    )
}

/// `me` chatted with `a` (3 messages, 1 unread), with `b` (1 unread, newest) and in group `g` (1 unread,
/// oldest). Returns `me`'s token.
async fn chatted() -> (Control, String) {
    let control = Control::start().await;
    let admin = control.admin().await;
    control.register(&admin, &["me", "a", "b"]).await;
    let stores = &control.app.stores;
    let friend = Friend {
        owner_id: "me".into(),
        friend_id: "a".into(),
        remark: "R".into(),
        create_time: 1_700_000_000_999,
        ..Friend::default()
    };
    stores.relations.add_friends(&[friend]).await.unwrap();
    let member = |id: &str, role| Member {
        user_id: id.into(),
        role,
        ..Member::default()
    };
    let group = Group {
        group_id: "g".into(),
        name: "G".into(),
        ..Group::default()
    };
    let members = [member("a", ROLE_OWNER), member("me", ROLE_MEMBER)];
    stores.groups.create(&group, &members).await.unwrap();
    let in_group = MsgData {
        session_type: 3,
        group_id: "g".into(),
        ..sent("a", 1, 1000)
    };
    let records = vec![
        record("sg_g".into(), in_group),
        single("me", "a", 1, 2000),
        single("me", "a", 2, 2001),
        single("a", "me", 3, 2002),
        single("b", "me", 1, 3000),
    ];
    let batch = JournalBatch {
        gateway: "gw".into(),
        journal: 0,
        from: 0,
        to: 800,
        records,
    };
    stores.journal.apply(&[batch], unix_ms()).await.unwrap();
    let me = control.login(&admin, "me", 5).await;
    (control, me)
}

fn ids(list: &Value, key: &str) -> Vec<String> {
    let mut ids: Vec<String> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one[key].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

const ALL: [&str; 3] = ["sg_g", "si_a_me", "si_b_me"];

#[tokio::test]
async fn records_made_by_messages_are_read_in_every_way() {
    let (control, me) = chatted().await;
    let all = control
        .post(
            "/conversation/get_all_conversations",
            &me,
            json!({"ownerUserID": "me"}),
        )
        .await
        .data();
    assert_eq!(ids(&all["conversations"], "conversationID"), ALL);

    let page = |number: i32, show: i32| json!({"userID": "me", "pagination": {"pageNumber": number, "showNumber": show}});
    let mut paged = Vec::new();
    for number in 1..=2 {
        let reply = control
            .post("/conversation/get_owner_conversation", &me, page(number, 2))
            .await
            .data();
        assert_eq!(reply["total"], 3);
        paged.extend(ids(&reply["conversations"], "conversationID"));
    }
    paged.sort();
    assert_eq!(paged, ALL);
    let unpaged = control
        .post(
            "/conversation/get_owner_conversation",
            &me,
            json!({"userID": "me"}),
        )
        .await
        .data();
    assert_eq!(
        (&unpaged["total"], &unpaged["conversations"]),
        (&json!(3), &Value::Null)
    );
    assert_eq!(
        control
            .post("/conversation/get_owner_conversation", &me, page(1, 1001))
            .await
            .code(),
        1001
    );

    let one = json!({"ownerUserID": "me", "conversationID": "si_a_me"});
    let one = control
        .post("/conversation/get_conversation", &me, one)
        .await
        .data();
    assert_eq!(
        (
            &one["conversation"]["userID"],
            &one["conversation"]["conversationType"]
        ),
        (&json!("a"), &json!(1))
    );
    let unknown = json!({"ownerUserID": "me", "conversationID": "si_me_x"});
    assert_eq!(
        control
            .post("/conversation/get_conversation", &me, unknown)
            .await
            .code(),
        1004
    );

    let some = json!({"ownerUserID": "me", "conversationIDs": ["sg_g", "si_me_x"]});
    let some = control
        .post("/conversation/get_conversations", &me, some)
        .await
        .data();
    assert_eq!(ids(&some["conversations"], "conversationID"), ["sg_g"]);
    let none = json!({"ownerUserID": "me", "conversationIDs": []});
    assert_eq!(
        control
            .post("/conversation/get_conversations", &me, none)
            .await
            .code(),
        1001
    );
}

#[tokio::test]
async fn a_client_catches_up_by_versions() {
    let (control, me) = chatted().await;
    let path = "/conversation/get_incremental_conversations";
    let fresh = control
        .post(
            path,
            &me,
            json!({"userID": "me", "versionID": "", "version": 0}),
        )
        .await
        .data();
    assert_eq!(
        (&fresh["full"], &fresh["insert"]),
        (&json!(true), &Value::Null)
    );
    let held =
        json!({"userID": "me", "versionID": fresh["versionID"], "version": fresh["version"]});
    let same = control.post(path, &me, held.clone()).await.data();
    assert_eq!(
        (&same["full"], &same["insert"], &same["version"]),
        (&json!(false), &Value::Null, &fresh["version"])
    );

    let records = vec![single("c", "me", 1, 4000)];
    let batch = JournalBatch {
        gateway: "gw".into(),
        journal: 0,
        from: 800,
        to: 900,
        records,
    };
    control
        .app
        .stores
        .journal
        .apply(&[batch], unix_ms())
        .await
        .unwrap();
    let newer = control.post(path, &me, held).await.data();
    assert_eq!(ids(&newer["insert"], "conversationID"), ["si_c_me"]);

    let full = control
        .post(
            "/conversation/get_full_conversation_ids",
            &me,
            json!({"userID": "me"}),
        )
        .await
        .data();
    assert_eq!(
        (&full["equal"], &full["version"]),
        (&json!(false), &newer["version"])
    );
    assert_eq!(full["conversationIDs"].as_array().unwrap().len(), 4);
    for path in [
        "/conversation/get_not_notify_conversation_ids",
        "/conversation/get_pinned_conversation_ids",
    ] {
        let none = control
            .post(path, &me, json!({"userID": "me"}))
            .await
            .data();
        assert_eq!(none["conversationIDs"], Value::Null);
    }
}

#[tokio::test]
async fn active_conversations_come_newest_first_with_what_a_list_shows() {
    let (control, me) = chatted().await;
    let active = control
        .post(
            "/jssdk/get_active_conversations",
            &me,
            json!({"ownerUserID": "x", "count": 2}),
        )
        .await
        .data();
    let list = active["conversations"].as_array().unwrap();
    let shown: Vec<&str> = list
        .iter()
        .map(|one| one["conversation"]["conversationID"].as_str().unwrap())
        .collect();
    assert_eq!(shown, ["si_b_me", "si_a_me"]);
    assert_eq!(
        active["unreadCount"], 3,
        "of all conversations, not only of those returned"
    );
    let (b, a) = (&list[0], &list[1]);
    assert_eq!(
        (&b["user"]["userID"], &b["friend"], &b["group"]),
        (&json!("b"), &Value::Null, &Value::Null)
    );
    assert_eq!(
        (&a["maxSeq"], &a["readSeq"], &a["lastMsg"]["seq"]),
        (&json!(3), &json!(2), &json!(3))
    );
    assert_eq!(
        (&a["friend"]["remark"], &a["friend"]["createTime"]),
        (&json!("R"), &json!(1_700_000_000_999_i64))
    );

    let some = json!({"conversationIDs": ["sg_g", "si_none"]});
    let some = control
        .post("/jssdk/get_conversations", &me, some)
        .await
        .data();
    assert_eq!(
        (
            &some["unreadCount"],
            &some["conversations"][0]["group"]["groupName"]
        ),
        (&json!(1), &json!("G"))
    );
    assert_eq!(some["conversations"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_javascript_sdk_speaks_protobuf_and_hears_base64() {
    let (control, me) = chatted().await;
    let request = GetActiveConversationsReq {
        owner_user_id: String::new(),
        count: 20,
    }
    .encode_to_vec();
    let headers = |kind| {
        [
            ("operationID", "op"),
            ("token", me.as_str()),
            ("Content-Type", kind),
        ]
    };
    let path = "/jssdk/get_active_conversations";
    let reply = control
        .send("POST", path, &headers("application/x-protobuf"), &request)
        .await
        .data();
    let answer = STANDARD.decode(reply.as_str().unwrap()).unwrap();
    let answer = GetActiveConversationsResp::decode(answer.as_slice()).unwrap();
    assert_eq!((answer.unread_count, answer.conversations.len()), (3, 3));
    let refused = control
        .send("POST", path, &headers("text/plain"), &request)
        .await;
    assert_eq!(
        (refused.code(), refused.detail().as_str()),
        (1001, "unsupported content type")
    );
}

#[tokio::test]
async fn seqs_and_messages_are_pulled_over_http_too() {
    let (control, me) = chatted().await;
    let newest = control
        .post("/msg/newest_seq", &me, json!({"userID": "me"}))
        .await
        .data();
    assert_eq!(
        newest["maxSeqs"],
        json!({"sg_g": 1, "si_a_me": 3, "si_b_me": 1})
    );
    let seqs = json!({"userID": "me", "conversationIDs": ["si_a_me"]});
    let seqs = control
        .post("/msg/get_conversations_has_read_and_max_seq", &me, seqs)
        .await
        .data();
    assert_eq!(
        seqs["seqs"],
        json!({"si_a_me": {"maxSeq": 3, "hasReadSeq": 2, "maxSeqTime": 2002}})
    );
    let range = json!({"conversationID": "si_a_me", "begin": 0, "end": 3, "num": 2});
    let pull = json!({"userID": "me", "seqRanges": [range], "order": 0});
    let pulled = control.post("/msg/pull_msg_by_seq", &me, pull).await.data();
    let msgs = pulled["msgs"]["si_a_me"]["Msgs"].as_array().unwrap();
    assert_eq!(
        msgs.iter()
            .map(|m| m["seq"].as_i64().unwrap())
            .collect::<Vec<_>>(),
        [2, 3]
    );
    assert_eq!(pulled["msgs"]["si_a_me"]["isEnd"], true);
}

#[tokio::test]
async fn only_admins_send_and_what_cannot_be_sent_is_refused_before_any_gateway() {
    let (control, me) = chatted().await;
    let admin = control.admin().await;
    let body = json!({
        "sendID": "me", "recvID": "a", "content": {"content": "x"}, "contentType": 101, "sessionType": 1,
    });
    assert_eq!(
        control
            .post("/msg/send_msg", &me, body.clone())
            .await
            .code(),
        1002
    );
    let sent = control.post("/msg/send_msg", &admin, body.clone()).await;
    assert_eq!(sent.code(), 500, "the harness has no gateway, and says so");
    let mut notice = body;
    notice["contentType"] = json!(1400);
    notice["content"] = json!({"notificationName": "n", "notificationType": 1, "text": "t"});
    assert_eq!(
        control
            .post("/msg/send_msg", &admin, notice.clone())
            .await
            .code(),
        1002,
        "no notification account"
    );
    notice["sendID"] = json!("nobody");
    assert_eq!(
        control.post("/msg/send_msg", &admin, notice).await.code(),
        1101
    );
    assert_eq!(
        control
            .post("/msg/send_msg", &admin, json!({}))
            .await
            .code(),
        1001
    );
}

#[tokio::test]
async fn a_back_end_that_sends_a_stored_message_again_gets_its_first_answer() {
    let (control, _) = chatted().await;
    let admin = control.admin().await;
    let mut body = json!({
        "sendID": "a", "recvID": "me", "content": {"content": "x"}, "contentType": 101,
        "sessionType": 1, "clientMsgID": "a2002",
    });
    let again = control.post("/msg/send_msg", &admin, body.clone()).await;
    let data = again.data();
    assert_eq!(
        (&data["clientMsgID"], &data["sendTime"]),
        (&json!("a2002"), &json!(2002))
    );
    body["sendID"] = json!("me");
    body["recvID"] = json!("a");
    let other = control.post("/msg/send_msg", &admin, body).await;
    assert_eq!(
        other.code(),
        500,
        "another sender's: for the gateway, and there is none"
    );
}
