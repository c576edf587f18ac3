//! The JSON rules of api.md 3, by example.

use super::*;
use crate::pb;
use proptest::prelude::*;

fn text<T: Serialize>(value: &T) -> String {
    to_string(value).unwrap()
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, JsonFault> {
    from_slice(text.as_bytes()).map_err(|e| e.fault)
}

#[test]
fn every_field_is_written_and_zero_is_null_where_it_has_no_value() {
    let empty = pb::sdkws::MsgData::default();
    assert_eq!(
        text(&empty),
        concat!(
            r#"{"sendID":"","recvID":"","groupID":"","clientMsgID":"","serverMsgID":"","senderPlatformID":0,"#,
            r#""senderNickname":"","senderFaceURL":"","sessionType":0,"msgFrom":0,"contentType":0,"content":null,"#,
            r#""seq":0,"sendTime":0,"createTime":0,"status":0,"isRead":false,"offlinePushInfo":null,"#,
            r#""atUserIDList":null,"attachedInfo":"","ex":""}"#
        )
    );
    let full = pb::sdkws::MsgData {
        send_id: "u1".into(),
        content: Bytes::from_static(b"{\"content\":\"hi\"}"),
        seq: i64::MAX,
        is_read: true,
        options: BTreeMap::from([("b".to_owned(), false), ("a".to_owned(), true)]),
        offline_push_info: Some(pb::sdkws::OfflinePushInfo {
            title: "t".into(),
            ..Default::default()
        }),
        at_user_id_list: vec!["x".into(), "y".into()],
        ..Default::default()
    };
    let written = text(&full);
    assert!(written.contains(r#""content":"eyJjb250ZW50IjoiaGkifQ==""#));
    assert!(written.contains(r#""seq":9223372036854775807,"#));
    assert!(written.contains(concat!(
        r#""options":{"a":true,"b":false},"offlinePushInfo":{"title":"t","desc":"","ex":"","iOSPushSound":"","#,
        r#""iOSBadgeCount":false,"signalInfo":""},"atUserIDList":["x","y"]"#
    )));
    assert_eq!(read::<pb::sdkws::MsgData>(&written), Ok(full));
}

#[test]
fn empty_lists_are_written_as_asked_and_only_then() {
    let lists = pb::sdkws::PullMsgs::default();
    let brackets = to_vec_with(&lists, EmptyList::Brackets).unwrap();
    assert_eq!(brackets, br#"{"Msgs":[],"isEnd":false,"endSeq":0}"#);
    assert_eq!(text(&lists), r#"{"Msgs":null,"isEnd":false,"endSeq":0}"#);
}

#[test]
fn maps_of_messages_keep_capital_names_and_ascending_keys() {
    let mut push = pb::sdkws::PushMessages::default();
    assert_eq!(text(&push), "{}");
    let lists = pb::sdkws::PullMsgs {
        is_end: true,
        ..Default::default()
    };
    push.msgs.insert("sg_2".into(), lists.clone());
    push.msgs.insert("sg_1".into(), lists);
    let expected = r#"{"msgs":{"sg_1":{"Msgs":null,"isEnd":true,"endSeq":0},"sg_2":{"Msgs":null,"isEnd":true,"endSeq":0}}}"#;
    assert_eq!(text(&push), expected);
    assert_eq!(read::<pb::sdkws::PushMessages>(expected), Ok(push));
}

#[test]
fn wrappers_and_optionals_are_bare_or_null() {
    let written = text(&pb::conversation::ConversationReq {
        recv_msg_opt: Some(0),
        is_pinned: Some(true),
        ex: Some(String::new()),
        min_seq: Some(-1),
        ..Default::default()
    });
    assert_eq!(
        written,
        concat!(
            r#"{"conversationID":"","conversationType":0,"userID":"","groupID":"","recvMsgOpt":0,"isPinned":true,"#,
            r#""attachedInfo":null,"isPrivateChat":null,"ex":"","burnDuration":null,"minSeq":-1,"maxSeq":null,"#,
            r#""groupAtType":null,"msgDestructTime":null,"isMsgDestruct":null}"#
        )
    );
    let back: pb::conversation::ConversationReq = read(&written).unwrap();
    assert_eq!(
        (back.recv_msg_opt, back.is_pinned, back.attached_info),
        (Some(0), Some(true), None)
    );
    let dismiss = pb::group::DismissGroupReq {
        send_message: Some(false),
        ..Default::default()
    };
    assert_eq!(
        text(&dismiss),
        r#"{"groupID":"","deleteMember":false,"sendMessage":false}"#
    );
    assert_eq!(
        read::<pb::group::DismissGroupReq>(&text(&dismiss)),
        Ok(dismiss)
    );
    assert_eq!(
        read::<pb::group::DismissGroupReq>(r#"{"sendMessage":null}"#),
        Ok(pb::group::DismissGroupReq::default())
    );
    assert_eq!(
        read::<pb::conversation::ConversationReq>(r#"{"ex":{"value":"x"}}"#),
        Err(JsonFault::Type)
    );
}

#[test]
fn nested_types_and_odd_names_are_found() {
    use pb::user::account_check_resp::SingleUserStatus;
    let reply = pb::user::AccountCheckResp {
        results: vec![SingleUserStatus {
            user_id: "a".into(),
            account_status: 1,
        }],
    };
    assert_eq!(
        text(&reply),
        r#"{"results":[{"userID":"a","accountStatus":1}]}"#
    );
    let sync: pb::msg::DeleteSyncOpt = read(r#"{"isSyncSelf":true,"issyncother":true}"#).unwrap();
    assert_eq!(text(&sync), r#"{"IsSyncSelf":true,"IsSyncOther":true}"#);
    assert!(pb::group::DismissGroupResp::KEYS.is_empty());
    assert_eq!(text(&pb::group::DismissGroupResp {}), "{}");
    assert!(read::<pb::group::DismissGroupResp>(r#"{"any":[1]}"#).is_ok());
}

#[test]
fn keys_match_exactly_first_then_in_any_case_and_the_last_wins() {
    type Req = pb::user::SetGlobalRecvMessageOptReq;
    let table = [
        (r#"{"userID":"a","globalRecvMsgOpt":2}"#, ("a", 2)),
        (r#"{"USERID":"a","GlobalRecvMsgOpt":2}"#, ("a", 2)),
        (
            r#"{"userID":"a","userid":"b","other":{"x":[null,1.5e3,"y"]}}"#,
            ("b", 0),
        ),
        (r#"{"userID":null,"globalRecvMsgOpt":null}"#, ("", 0)),
        (" null ", ("", 0)),
        ("{}", ("", 0)),
        (r#"{"userID":"\ud83d\ude00\ud83dx"}"#, ("😀\u{fffd}x", 0)),
        (r#"{"globalRecvMsgOpt":-2147483648}"#, ("", i32::MIN)),
    ];
    for (input, (user, opt)) in table {
        let expected = Req {
            user_id: user.into(),
            global_recv_msg_opt: opt,
        };
        assert_eq!(read::<Req>(input), Ok(expected), "{input}");
    }
    let read = from_slice::<Req>(b"{\"userID\":\"\xff\"}").unwrap();
    assert_eq!(read.user_id, "\u{fffd}");
}

#[test]
fn wrong_types_are_told_from_malformed_text() {
    type Req = pb::user::SetGlobalRecvMessageOptReq;
    for bad in [
        r#"{"userID":1}"#,
        r#"{"userID":["a"]}"#,
        r#"{"globalRecvMsgOpt":"1"}"#,
        r#"{"globalRecvMsgOpt":1.0}"#,
        r#"{"globalRecvMsgOpt":1e3}"#,
        r#"{"globalRecvMsgOpt":2147483648}"#,
        r#"{"globalRecvMsgOpt":true}"#,
        r#"{"globalRecvMsgOpt":[]}"#,
        "[]",
        "3",
        "\"\"",
    ] {
        assert_eq!(read::<Req>(bad), Err(JsonFault::Type), "{bad}");
    }
    for bad in ["{} {}", "{}x", "{'a':1}", "{\"a\":1,}", "nul!"] {
        assert_eq!(read::<Req>(bad), Err(JsonFault::Syntax), "{bad}");
    }
    for bad in ["", "{", "{\"userID\":\"a"] {
        assert_eq!(read::<Req>(bad), Err(JsonFault::Truncated), "{bad}");
    }
    assert!(read::<pb::user::GetDesignateUsersReq>(r#"{"userIDs":"a"}"#).is_err());
    assert!(read::<pb::sdkws::GetMaxSeqResp>(r#"{"maxSeqs":[]}"#).is_err());
    assert!(read::<pb::conversation::GetFullOwnerConversationIDsReq>(r#"{"idHash":-1}"#).is_err());
    let hash: pb::conversation::GetFullOwnerConversationIDsReq =
        read(r#"{"idHash":18446744073709551615}"#).unwrap();
    assert_eq!(hash.id_hash, u64::MAX);
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(
        read::<Req>(&format!("{{\"x\":{deep}}}")).is_ok(),
        "ignored depth takes no stack"
    );
}

#[test]
fn bytes_and_lists_take_their_other_forms() {
    let table = [
        (r#"{"content":"YWI="}"#, Some(&b"ab"[..])),
        (r#"{"content":[97,98]}"#, Some(b"ab")),
        (r#"{"content":null}"#, Some(b"")),
        (r#"{"content":"YWI"}"#, None),
        (r#"{"content":[256]}"#, None),
        (r#"{"content":{}}"#, None),
    ];
    for (input, content) in table {
        let read = read::<pb::sdkws::MsgData>(input).ok().map(|m| m.content);
        assert_eq!(read.as_deref(), content, "{input}");
    }
    let ids: pb::user::GetDesignateUsersReq = read(r#"{"userIDs":["a",null]}"#).unwrap();
    assert_eq!(ids.user_i_ds, ["a", ""]);
    assert!(
        read::<pb::user::GetDesignateUsersReq>(r#"{"userIDs":[]}"#)
            .unwrap()
            .user_i_ds
            .is_empty()
    );
}

proptest! {
    #[test]
    fn any_message_survives(id: String, seqs: Vec<i64>, content: Vec<u8>, key: String, on: bool) {
        let message = pb::sdkws::MsgData {
            send_id: id.clone(),
            seq: seqs.first().copied().unwrap_or(0),
            content: content.into(),
            options: BTreeMap::from([(key, on)]),
            at_user_id_list: vec![id],
            ..Default::default()
        };
        let back: pb::sdkws::MsgData = from_slice(&to_vec(&message).unwrap()).unwrap();
        prop_assert_eq!(back, message);
    }

    #[test]
    fn any_bytes_are_answered(bytes: Vec<u8>) {
        let _ = from_slice::<pb::sdkws::MsgData>(&bytes);
    }

    #[test]
    fn damaged_text_is_answered(at in 0usize..90, byte: u8) {
        let mut text = br#"{"userID":"a\u00e9","recvMsgOpt":1,"isPinned":true,"ex":null,"minSeq":-5,"x":{}}"#.to_vec();
        let at = at.min(text.len() - 1);
        text[at] = byte;
        let _ = from_slice::<pb::conversation::ConversationReq>(&text);
    }
}
