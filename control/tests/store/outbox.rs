use ringwire_control::store::{OutboxMessage, Stores};
use ringwire_link::message::Publish;

pub(crate) fn message(lane: &str, operation: &str) -> OutboxMessage {
    OutboxMessage {
        lane: lane.to_owned(),
        publish: Publish {
            msg: vec![0, 255, 7],
            operation_id: operation.to_owned(),
            check: true,
            also: vec!["left, \"quoted\"".into()],
        },
    }
}

pub(crate) async fn messages_wait_in_order_until_removed(stores: &Stores) {
    let messages: Vec<_> = (0..5).map(|i| message("lane", &format!("op{i}"))).collect();
    stores.outbox.push(&messages).await.unwrap();
    let rows = stores.outbox.pending(0, 3).await.unwrap();
    assert_eq!(
        rows.iter().map(|r| r.message.clone()).collect::<Vec<_>>(),
        messages[..3]
    );
    assert!(rows.windows(2).all(|w| w[0].id < w[1].id));
    let rest = stores.outbox.pending(rows[2].id, 10).await.unwrap();
    assert_eq!(
        rest.iter().map(|r| r.message.clone()).collect::<Vec<_>>(),
        messages[3..]
    );

    let ids: Vec<i64> = rows.iter().chain(&rest).map(|r| r.id).collect();
    stores.outbox.remove(&ids).await.unwrap();
    assert_eq!(stores.outbox.pending(0, 10).await.unwrap(), []);
    stores.outbox.push(&messages[..1]).await.unwrap();
    let new = stores.outbox.pending(0, 10).await.unwrap();
    assert!(new[0].id > ids[4], "a removed id is not given again");
}
