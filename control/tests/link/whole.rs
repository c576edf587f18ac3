//! The whole control process with a scripted core: what the API does reaches the gateway before the
//! API answers.

use crate::harness::{PASSWORD, config, send};
use crate::stand::{Core, PATIENCE, hello};
use prost::Message as _;
use ringwire_control::process::Process;
use ringwire_link::facts::{FactChange, TokenState};
use ringwire_link::message::Publish;
use ringwire_link::{ToControl, ToGateway};
use ringwire_protocol::pb::sdkws::MsgData;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

struct Whole {
    folder: tempfile::TempDir,
    api: SocketAddr,
    admin: String,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Whole {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let process = Process::open(config(folder.path())).await.unwrap();
        let api = process.api_address().unwrap();
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(process.serve(async {
            let _ = stopped.await;
        }));
        let mut whole = Self {
            folder,
            api,
            admin: String::new(),
            stop,
            served,
        };
        let body = json!({"secret": PASSWORD, "userID": "imAdmin"});
        let reply = whole
            .post("/auth/get_admin_token", body)
            .await
            .await
            .unwrap();
        whole.admin = reply["data"]["token"].as_str().unwrap().to_owned();
        let users = json!([{"userID": "a", "nickname": "A"}, {"userID": "b", "nickname": "B"}]);
        whole
            .post("/user/user_register", json!({"users": users}))
            .await
            .await
            .unwrap();
        whole
    }

    async fn core(&self) -> Core {
        let mut core = Core::connect(&self.folder.path().join("link.sock")).await;
        core.greet().await;
        core.tell(ToControl::Hello(hello())).await;
        assert!(matches!(core.next().await.body, ToGateway::Welcome(_)));
        loop {
            if let ToGateway::TokenSnapshot { done: true, .. } = core.next().await.body {
                return core;
            }
        }
    }

    /// A request of the admin, on its way.
    async fn post(&self, path: &'static str, body: Value) -> JoinHandle<Value> {
        let (api, admin) = (self.api, self.admin.clone());
        tokio::spawn(async move {
            let headers = [("operationID", "op-7"), ("token", admin.as_str())];
            send(api, "POST", path, &headers, body.to_string().as_bytes())
                .await
                .json()
        })
    }
}

async fn publish(core: &mut Core) -> (u64, Publish, MsgData) {
    let frame = core.next().await;
    let ToGateway::Publish(publish) = frame.body else {
        panic!("{:?}", frame.body)
    };
    let msg = MsgData::decode(publish.msg.as_slice()).unwrap();
    (frame.correlation, publish, msg)
}

fn published(server_msg_id: &str) -> ToControl {
    ToControl::Published {
        err_code: 0,
        err_detail: String::new(),
        server_msg_id: server_msg_id.into(),
        send_time: 1_700_000_000_000,
        seq: 1,
        duplicate: false,
    }
}

#[tokio::test]
async fn a_message_of_a_back_end_is_answered_when_the_core_has_it() {
    let whole = Whole::start().await;
    let mut core = whole.core().await;
    let body = json!({
        "sendID": "a", "recvID": "b", "content": {"content": "hi"}, "contentType": 101, "sessionType": 1,
    });
    let reply = whole.post("/msg/send_msg", body).await;
    let (correlation, publish, msg) = publish(&mut core).await;
    assert!(
        publish.check,
        "the owner core judges it as if the sender sent it"
    );
    assert_eq!(publish.operation_id, "op-7");
    core.send(correlation, published("s1")).await;
    let reply = reply.await.unwrap();
    let expected = json!({"serverMsgID": "s1", "clientMsgID": msg.client_msg_id, "sendTime": 1_700_000_000_000_i64});
    assert_eq!(reply["data"], expected);
}

#[tokio::test]
async fn a_forced_logout_marks_the_token_everywhere_then_kicks_then_answers() {
    let whole = Whole::start().await;
    let mut core = whole.core().await;
    let token = whole
        .post(
            "/auth/get_user_token",
            json!({"userID": "a", "platformID": 1}),
        )
        .await;
    let ToGateway::FactChanges { version, changes } = core.next().await.body else {
        panic!()
    };
    let [FactChange::Token(made)] = changes.as_slice() else {
        panic!("{changes:?}")
    };
    assert_eq!(
        (made.user_id.as_str(), made.state),
        ("a", TokenState::Normal)
    );
    assert!(
        !token.is_finished(),
        "a token is no use before the gateway knows it"
    );
    core.tell(ToControl::FactsApplied { version }).await;
    assert_eq!(token.await.unwrap()["errCode"], 0);

    let logout = whole
        .post(
            "/auth/force_logout",
            json!({"userID": "a", "platformID": 1}),
        )
        .await;
    let ToGateway::FactChanges { version, changes } = core.next().await.body else {
        panic!()
    };
    let [FactChange::Token(kicked)] = changes.as_slice() else {
        panic!("{changes:?}")
    };
    assert_eq!(
        (kicked.token, kicked.state),
        (made.token, TokenState::Kicked)
    );
    core.tell(ToControl::FactsApplied { version }).await;
    let frame = core.next().await;
    assert_eq!(
        frame.body,
        ToGateway::Kick {
            user_id: "a".into(),
            platforms: vec![1]
        }
    );
    assert!(!logout.is_finished());
    core.send(frame.correlation, ToControl::Kicked { closed: 1 })
        .await;
    assert_eq!(logout.await.unwrap()["errCode"], 0);
}

#[tokio::test]
async fn a_profile_change_without_a_gateway_is_told_when_one_comes() {
    let whole = Whole::start().await;
    let body = json!({"userInfo": {"userID": "a", "nickname": "new"}});
    let reply = whole
        .post("/user/update_user_info", body)
        .await
        .await
        .unwrap();
    assert_eq!(reply["errCode"], 0);
    let mut core = whole.core().await;
    let (correlation, publish, msg) = publish(&mut core).await;
    assert_eq!(
        (msg.content_type, msg.recv_id.as_str(), publish.check),
        (1303, "a", false)
    );
    core.send(correlation, published("s2")).await;
    let _ = whole.stop.send(());
    tokio::time::timeout(PATIENCE, whole.served)
        .await
        .expect("stops")
        .unwrap();
}
