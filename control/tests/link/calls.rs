//! Requests of clients, on what cores streamed before.

use crate::stand::{Core, FIRST, Stand, batch, chat, end_of, hello, message, single};
use prost::Message;
use ringwire_link::message::{Call, JournalPosition};
use ringwire_link::{ToControl, ToGateway};
use ringwire_protocol::pb;
use ringwire_protocol::pb::sdkws::MsgData;
use std::time::Duration;

fn call(kind: i32, user: &str, request: &impl Message, after: &[u64]) -> ToControl {
    ToControl::Call(Call {
        kind,
        user_id: user.into(),
        platform_id: 1,
        operation_id: "op".into(),
        data: request.encode_to_vec(),
        after: after
            .iter()
            .map(|position| JournalPosition {
                journal: 0,
                position: *position,
            })
            .collect(),
    })
}

fn reply<M: Message + Default>(body: ToGateway) -> Result<M, i32> {
    match body {
        ToGateway::CallReply {
            err_code: 0, data, ..
        } => Ok(M::decode(data.as_slice()).unwrap()),
        ToGateway::CallReply {
            err_code,
            err_msg,
            data,
        } => {
            assert!(!err_msg.is_empty() && data.is_empty());
            Err(err_code)
        }
        other => panic!("{other:?}"),
    }
}

fn newest(user: &str) -> pb::sdkws::GetMaxSeqReq {
    pb::sdkws::GetMaxSeqReq {
        user_id: user.into(),
    }
}

/// A core that streamed a chat of `a` and `b` (3 messages, one receipt in its stream) and one of `c`
/// and `d`.
async fn told() -> (Stand, Core) {
    let stand = Stand::start().await;
    let mut core = stand.core(hello()).await;
    let receipt = MsgData {
        content_type: 2200,
        ..single("b", "a", 1)
    };
    let records = [
        chat("a", "b", 1),
        chat("b", "a", 2),
        chat("a", "b", 3),
        message("n_a_b", receipt),
        chat("c", "d", 1),
    ];
    core.tell(batch(FIRST, &records)).await;
    assert!(matches!(core.next().await.body, ToGateway::Stored(_)));
    (stand, core)
}

#[tokio::test]
async fn a_call_sees_everything_sequenced_before_it() {
    let stand = Stand::start().await;
    let mut core = stand.core(hello()).await;
    let batch = batch(FIRST, &[chat("a", "b", 1)]);
    let end = end_of(&batch);
    // The call comes first: its answer must wait for the batch.
    core.send(9, call(1001, "a", &newest("a"), &[end])).await;
    core.send(0, batch).await;
    assert!(matches!(core.next().await.body, ToGateway::Stored(_)));
    let answer = core.next().await;
    assert_eq!(answer.correlation, 9);
    let seqs: pb::sdkws::GetMaxSeqResp = reply(answer.body).unwrap();
    assert_eq!(seqs.max_seqs, [("si_a_b".to_owned(), 1)].into());
}

#[tokio::test]
async fn a_call_whose_messages_never_come_fails() {
    let stand = Stand::start_with(|s| s.call_timeout = Duration::from_millis(20), |_| {}).await;
    let mut core = stand.core(hello()).await;
    let answer = core.ask(call(1001, "a", &newest("a"), &[1 << 20])).await;
    assert_eq!(reply::<pb::sdkws::GetMaxSeqResp>(answer), Err(500));
}

#[tokio::test]
async fn newest_seqs_are_those_of_own_conversations_and_their_streams() {
    let (_stand, mut core) = told().await;
    let seqs: pb::sdkws::GetMaxSeqResp =
        reply(core.ask(call(1001, "a", &newest("a"), &[])).await).unwrap();
    assert_eq!(
        seqs.max_seqs,
        [("n_a_b".to_owned(), 1), ("si_a_b".to_owned(), 3)].into()
    );
    let refused = core.ask(call(1001, "c", &newest("a"), &[])).await;
    assert_eq!(reply::<pb::sdkws::GetMaxSeqResp>(refused), Err(1002));
    let seqs: pb::sdkws::GetMaxSeqResp =
        reply(core.ask(call(1001, "admin", &newest("c"), &[])).await).unwrap();
    assert_eq!(seqs.max_seqs, [("si_c_d".to_owned(), 1)].into());
}

#[tokio::test]
async fn read_and_newest_seqs_know_what_the_sender_has_read() {
    let (_stand, mut core) = told().await;
    let request = |user: &str, ids: &[&str]| pb::msg::GetConversationsHasReadAndMaxSeqReq {
        user_id: user.into(),
        conversation_i_ds: ids.iter().map(|id| (*id).to_owned()).collect(),
        return_pinned: true,
    };
    type Reply = pb::msg::GetConversationsHasReadAndMaxSeqResp;
    let all: Reply = reply(core.ask(call(1006, "b", &request("b", &[]), &[])).await).unwrap();
    let seqs = &all.seqs["si_a_b"];
    assert_eq!(
        (
            all.seqs.len(),
            seqs.max_seq,
            seqs.has_read_seq,
            seqs.max_seq_time
        ),
        (1, 3, 2, 1_700_000_000_003)
    );
    let foreign: Reply = reply(
        core.ask(call(1006, "b", &request("b", &["si_c_d", "si_a_b"]), &[]))
            .await,
    )
    .unwrap();
    assert_eq!(foreign.seqs.keys().collect::<Vec<_>>(), ["si_a_b"]);
    assert_eq!(
        reply::<Reply>(core.ask(call(1006, "b", &request("", &[]), &[])).await),
        Err(1001)
    );
    assert_eq!(
        reply::<Reply>(core.ask(call(1006, "b", &request("a", &[]), &[])).await),
        Err(1002)
    );
}

#[tokio::test]
async fn messages_are_pulled_by_range_by_list_and_the_last() {
    let (_stand, mut core) = told().await;
    let range = |id: &str| pb::sdkws::SeqRange {
        conversation_id: id.into(),
        begin: 0,
        end: 9,
        num: 2,
    };
    let request = pb::sdkws::PullMessageBySeqsReq {
        user_id: "a".into(),
        seq_ranges: ["si_a_b", "n_a_b", "si_c_d"].map(range).to_vec(),
        order: 0,
    };
    let pulled: pb::sdkws::PullMessageBySeqsResp =
        reply(core.ask(call(1002, "a", &request, &[])).await).unwrap();
    let told: Vec<(&str, Vec<i64>)> = pulled
        .msgs
        .iter()
        .chain(&pulled.notification_msgs)
        .map(|(id, p)| (id.as_str(), p.msgs.iter().map(|m| m.seq).collect()))
        .collect();
    assert_eq!(told, [("si_a_b", vec![2, 3]), ("n_a_b", vec![1])]);
    assert_eq!(
        pulled.msgs["si_a_b"].msgs[1],
        single("a", "b", 3),
        "stored and pulled unchanged"
    );

    let conversations = vec![
        pb::msg::ConversationSeqs {
            conversation_id: "si_a_b".into(),
            seqs: vec![3, 1],
        },
        pb::msg::ConversationSeqs {
            conversation_id: "si_c_d".into(),
            seqs: vec![1],
        },
    ];
    // The user named in the request does not count: the caller's own view is answered.
    let request = pb::msg::GetSeqMessageReq {
        user_id: "c".into(),
        conversations,
        order: 1,
    };
    let listed: pb::msg::GetSeqMessageResp =
        reply(core.ask(call(1005, "b", &request, &[])).await).unwrap();
    assert_eq!(
        listed.msgs["si_a_b"]
            .msgs
            .iter()
            .map(|m| m.seq)
            .collect::<Vec<_>>(),
        [3, 1]
    );
    assert!(listed.msgs["si_c_d"].msgs.is_empty());

    let conversation_i_ds = vec!["si_a_b".into(), "si_c_d".into()];
    let request = pb::msg::GetLastMessageReq {
        user_id: "c".into(),
        conversation_i_ds,
    };
    let last: pb::msg::GetLastMessageResp =
        reply(core.ask(call(1007, "b", &request, &[])).await).unwrap();
    assert_eq!(
        last.msgs
            .iter()
            .map(|(id, m)| (id.as_str(), m.seq))
            .collect::<Vec<_>>(),
        [("si_a_b", 3)]
    );
}

#[tokio::test]
async fn bad_calls_are_refused_and_logout_is_acknowledged() {
    let (_stand, mut core) = told().await;
    let logout = |platform_id| pb::push::DelUserPushTokenReq {
        user_id: "a".into(),
        platform_id,
    };
    assert!(
        reply::<pb::push::DelUserPushTokenResp>(core.ask(call(2003, "a", &logout(11), &[])).await)
            .is_ok()
    );
    assert_eq!(
        reply::<pb::push::DelUserPushTokenResp>(core.ask(call(2003, "a", &logout(12), &[])).await),
        Err(1001)
    );
    let unknown = core.ask(call(1004, "a", &newest("a"), &[])).await;
    assert_eq!(reply::<pb::sdkws::GetMaxSeqResp>(unknown), Err(1001));
    let garbage = ToControl::Call(Call {
        kind: 1002,
        user_id: "a".into(),
        platform_id: 1,
        operation_id: "op".into(),
        data: vec![0xff; 9],
        after: Vec::new(),
    });
    assert_eq!(
        reply::<pb::sdkws::PullMessageBySeqsResp>(core.ask(garbage).await),
        Err(1001)
    );
}
