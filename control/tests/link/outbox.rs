//! Messages control makes: published to the owner core of their lane, each until acknowledged.

use crate::stand::{Core, Stand, hello, single, until};
use prost::Message as _;
use ringwire_control::ports::Gateways;
use ringwire_control::store::OutboxMessage;
use ringwire_link::message::{Hello, Publish};
use ringwire_link::{ToControl, ToGateway};
use ringwire_protocol::conversation_id::ordering_key_of_users;
use ringwire_protocol::pb::sdkws::MsgData;
use ringwire_protocol::slot;
use std::sync::Arc;

fn publish(msg: &MsgData) -> Publish {
    Publish {
        msg: msg.encode_to_vec(),
        operation_id: "op".into(),
        check: false,
        also: Vec::new(),
    }
}

fn row(send: &str, recv: &str, n: i64) -> OutboxMessage {
    OutboxMessage {
        lane: ordering_key_of_users(send, recv),
        publish: publish(&single(send, recv, n)),
    }
}

fn done() -> ToControl {
    answer(0)
}

fn answer(err_code: i32) -> ToControl {
    ToControl::Published {
        err_code,
        err_detail: "detail".into(),
        server_msg_id: "server".into(),
        send_time: 5,
        seq: 1,
        duplicate: false,
    }
}

/// The clientMsgID of the next message to publish, and its question.
async fn next_publish(core: &mut Core) -> (u64, String) {
    let frame = core.next().await;
    let ToGateway::Publish(publish) = frame.body else {
        panic!("{:?}", frame.body)
    };
    (
        frame.correlation,
        MsgData::decode(publish.msg.as_slice())
            .unwrap()
            .client_msg_id,
    )
}

async fn emptied(stand: &Stand) {
    until(|| async { stand.stores.outbox.pending(0, 10).await.unwrap().is_empty() }).await;
}

#[tokio::test]
async fn a_publish_goes_to_the_owner_core_and_returns_its_answer() {
    let stand = Stand::start().await;
    let mut cores = Vec::new();
    for core in 0..2 {
        cores.push(
            stand
                .core(Hello {
                    core,
                    cores: 2,
                    journals: Vec::new(),
                    ..hello()
                })
                .await,
        );
    }
    for recv in ["b", "c", "d", "e", "f"] {
        let owner = slot::core_of(&ordering_key_of_users("a", recv), 2);
        let link = Arc::clone(&stand.link);
        let msg = single("a", recv, 1);
        let published = tokio::spawn(async move { link.publish(publish(&msg)).await });
        let core = &mut cores[usize::from(owner)];
        let (correlation, _) = next_publish(core).await;
        core.send(correlation, done()).await;
        let reply = published.await.unwrap().unwrap();
        assert_eq!(
            (
                reply.server_msg_id.as_str(),
                reply.client_msg_id.as_str(),
                reply.send_time
            ),
            ("server", "ca1", 5)
        );
    }
}

#[tokio::test]
async fn a_refusal_is_the_callers_and_no_gateway_is_500_at_once() {
    let stand = Stand::start().await;
    let error = stand
        .link
        .publish(publish(&single("a", "b", 1)))
        .await
        .unwrap_err();
    assert_eq!(error.code, 500);
    let mut core = stand.core(hello()).await;
    let link = Arc::clone(&stand.link);
    let published = tokio::spawn(async move { link.publish(publish(&single("a", "b", 1))).await });
    let (correlation, _) = next_publish(&mut core).await;
    core.send(correlation, answer(1302)).await;
    assert_eq!(published.await.unwrap().unwrap_err().code, 1302);
    let unsendable = MsgData {
        session_type: 2,
        ..single("a", "b", 1)
    };
    assert_eq!(
        stand
            .link
            .publish(publish(&unsendable))
            .await
            .unwrap_err()
            .code,
        1001
    );
}

#[tokio::test]
async fn a_message_larger_than_a_frame_is_refused_and_the_core_stays() {
    let stand = Stand::start().await;
    let mut core = stand.core(hello()).await;
    let huge = MsgData {
        content: vec![b'x'; ringwire_link::frame::MAX_FRAME].into(),
        ..single("a", "b", 1)
    };
    let error = stand.link.publish(publish(&huge)).await.unwrap_err();
    assert_eq!(error.code, 1001);
    let link = Arc::clone(&stand.link);
    let published = tokio::spawn(async move { link.publish(publish(&single("a", "b", 2))).await });
    let (correlation, id) = next_publish(&mut core).await;
    assert_eq!(id, "ca2");
    core.send(correlation, done()).await;
    published.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_outbox_is_published_in_order_and_emptied() {
    let stand = Stand::start().await;
    let mut core = stand.core(hello()).await;
    stand
        .stores
        .outbox
        .push(&[row("a", "b", 1), row("a", "b", 2), row("a", "b", 3)])
        .await
        .unwrap();
    stand.link.outbox_ready();
    for expected in ["ca1", "ca2", "ca3"] {
        let (correlation, id) = next_publish(&mut core).await;
        assert_eq!(
            id, expected,
            "a lane's next message waits for the acknowledgement of the one before"
        );
        core.send(correlation, done()).await;
    }
    emptied(&stand).await;
}

#[tokio::test]
async fn what_was_not_acknowledged_is_published_again_after_a_reconnect_and_a_restart() {
    let stand = Stand::start().await;
    stand
        .stores
        .outbox
        .push(&[row("a", "b", 1), row("a", "b", 2)])
        .await
        .unwrap();
    let mut core = stand.core(hello()).await;
    let (correlation, id) = next_publish(&mut core).await;
    assert_eq!(id, "ca1");
    core.send(correlation, done()).await;
    assert_eq!(next_publish(&mut core).await.1, "ca2");
    // Gone without an answer.
    drop(core);
    let stand = stand.restart().await;
    let mut core = stand.core(Hello { boot: 2, ..hello() }).await;
    let mut heard = Vec::new();
    // The first row's removal may or may not have been reached; its clientMsgID makes it harmless.
    while heard.last().is_none_or(|id| id != "ca2") {
        let (correlation, id) = next_publish(&mut core).await;
        core.send(correlation, done()).await;
        heard.push(id);
    }
    emptied(&stand).await;
}

#[tokio::test]
async fn a_row_that_is_refused_for_good_does_not_hold_its_lane() {
    let stand = Stand::start().await;
    let mut core = stand.core(hello()).await;
    stand
        .stores
        .outbox
        .push(&[row("a", "b", 1), row("a", "b", 2)])
        .await
        .unwrap();
    stand.link.outbox_ready();
    let (correlation, _) = next_publish(&mut core).await;
    core.send(correlation, answer(1204)).await;
    let (correlation, id) = next_publish(&mut core).await;
    assert_eq!(id, "ca2");
    core.send(correlation, done()).await;
    emptied(&stand).await;
}

#[tokio::test]
async fn a_row_that_cannot_be_taken_now_is_tried_again_before_what_follows() {
    let stand = Stand::start().await;
    let mut core = stand.core(hello()).await;
    stand
        .stores
        .outbox
        .push(&[row("a", "b", 1), row("a", "b", 2)])
        .await
        .unwrap();
    stand.link.outbox_ready();
    for code in [500, 429] {
        let (correlation, first) = next_publish(&mut core).await;
        assert_eq!(first, "ca1");
        core.send(correlation, answer(code)).await;
    }
    let (correlation, again) = next_publish(&mut core).await;
    assert_eq!(again, "ca1");
    core.send(correlation, done()).await;
    assert_eq!(next_publish(&mut core).await.1, "ca2");
}
