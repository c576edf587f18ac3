//! A control without gateways, listening on a port of its own, and a client for it.

use async_trait::async_trait;
use ringwire_config::{Config, Secret, read_secret};
use ringwire_control::api::metrics::Metrics;
use ringwire_control::api::route::Route;
use ringwire_control::api::{frame, listen, table};
use ringwire_control::app::App;
use ringwire_control::clock::unix_ms;
use ringwire_control::domain::users;
use ringwire_control::ports::Gateways;
use ringwire_control::store::Stores;
use ringwire_control::tokens::{Policy, TokenBook, TokenConfig};
use ringwire_link::facts::FactChange;
use ringwire_link::message::{Publish, SessionInfo};
use ringwire_protocol::error::ApiError;
use ringwire_protocol::pb::msg::SendMsgResp;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The secret of all tests.
pub(crate) const PASSWORD: &str = "x9-Lk3_vTq7-Zw2_bM5";

/// What the gateways were told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    Apply(Vec<FactChange>),
    Outbox,
    Kick(String, Vec<i32>),
}

/// Gateways that note what they are told.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) told: Mutex<Vec<Told>>,
    pub(crate) live: Mutex<Vec<SessionInfo>>,
}

#[async_trait]
impl Gateways for Recorder {
    async fn apply(&self, changes: Vec<FactChange>) {
        self.told.lock().unwrap().push(Told::Apply(changes));
    }

    async fn publish(&self, _: Publish) -> Result<SendMsgResp, ApiError> {
        Err(ApiError::internal("no gateway"))
    }

    fn outbox_ready(&self) {
        self.told.lock().unwrap().push(Told::Outbox);
    }

    async fn kick(&self, user_id: &str, platforms: &[i32]) -> u32 {
        self.told
            .lock()
            .unwrap()
            .push(Told::Kick(user_id.into(), platforms.into()));
        0
    }

    async fn sessions(&self, user_ids: &[String]) -> Vec<SessionInfo> {
        let live = self.live.lock().unwrap();
        live.iter()
            .filter(|session| user_ids.contains(&session.user_id))
            .cloned()
            .collect()
    }

    fn platforms(&self, user_id: &str) -> Vec<i32> {
        let live = self.live.lock().unwrap();
        let mut platforms: Vec<i32> = live
            .iter()
            .filter(|session| session.user_id == user_id)
            .map(|session| session.platform_id)
            .collect();
        platforms.sort_unstable();
        platforms.dedup();
        platforms
    }
}

/// A running control.
pub(crate) struct Control {
    pub(crate) app: Arc<App>,
    pub(crate) gateways: Arc<Recorder>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) address: SocketAddr,
    _folder: tempfile::TempDir,
    _stop: watch::Sender<bool>,
}

/// A configuration whose files are in `folder`.
pub(crate) fn config(folder: &Path) -> Config {
    let mut config = Config {
        shared: Default::default(),
        gateway: Default::default(),
        control: Default::default(),
    };
    config.shared.secret_file = folder.join("key");
    std::fs::write(&config.shared.secret_file, PASSWORD).unwrap();
    config.shared.link_socket = folder.join("link.sock");
    config.control.database_url = format!("sqlite:{}", folder.join("control.db").display());
    config.control.listen = "127.0.0.1:0".into();
    config.control.metrics_listen = "127.0.0.1:0".into();
    config
}

/// The token book of a configuration.
pub(crate) async fn book(
    config: &Config,
    secret: Arc<Secret>,
    stores: &Stores,
    gateways: Arc<Recorder>,
) -> TokenBook {
    let policy = Policy::new(
        config.shared.login_policy,
        config.shared.login_max_per_platform,
    )
    .unwrap();
    let settings = TokenConfig {
        secret,
        policy,
        expire_days: config.shared.token_expire_days,
    };
    TokenBook::load(settings, stores.tokens.clone(), gateways)
        .await
        .unwrap()
}

impl Control {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// With a changed configuration.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::serving(change, table::routes()).await
    }

    /// With other routes.
    pub(crate) async fn serving(change: impl FnOnce(&mut Config), routes: Vec<Route>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path());
        change(&mut config);
        let secret = Arc::new(read_secret(&config.shared.secret_file).unwrap());
        let stores = Stores::open(&config.control.database_url, 4).await.unwrap();
        stores
            .users
            .ensure_admins(&users::admins(&config), users::ADMIN_LEVEL, unix_ms())
            .await
            .unwrap();
        let gateways = Arc::new(Recorder::default());
        let tokens = book(&config, secret.clone(), &stores, gateways.clone()).await;
        let app = Arc::new(App::new(
            Arc::new(config),
            secret,
            stores,
            tokens,
            gateways.clone(),
        ));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let metrics = Arc::new(Metrics::default());
        let router = frame::router_of(app.clone(), metrics.clone(), routes);
        tokio::spawn(listen::serve(
            listener,
            router,
            metrics.clone(),
            100,
            stopped,
        ));
        Self {
            app,
            gateways,
            metrics,
            address,
            _folder: folder,
            _stop: stop,
        }
    }

    /// A POST with `operationID`, and a token unless it is empty.
    pub(crate) async fn post(&self, path: &str, token: &str, body: Value) -> Reply {
        let mut headers = vec![("operationID", "op-1")];
        if !token.is_empty() {
            headers.push(("token", token));
        }
        self.send("POST", path, &headers, body.to_string().as_bytes())
            .await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        send(self.address, method, path, headers, body).await
    }

    pub(crate) async fn admin(&self) -> String {
        let reply = self
            .post(
                "/auth/get_admin_token",
                "",
                json!({"secret": PASSWORD, "userID": "imAdmin"}),
            )
            .await;
        reply.data()["token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn register(&self, admin: &str, ids: &[&str]) {
        let users: Vec<Value> = ids
            .iter()
            .map(|id| json!({"userID": id, "nickname": format!("N {id}")}))
            .collect();
        self.post("/user/user_register", admin, json!({"users": users}))
            .await
            .ok();
    }

    /// A token of the user on the platform.
    pub(crate) async fn login(&self, admin: &str, user_id: &str, platform: i32) -> String {
        let body = json!({"userID": user_id, "platformID": platform});
        let reply = self.post("/auth/get_user_token", admin, body).await;
        reply.data()["token"].as_str().unwrap().to_owned()
    }

    /// What the gateways were told since the last call.
    pub(crate) fn told(&self) -> Vec<Told> {
        std::mem::take(&mut self.gateways.told.lock().unwrap())
    }
}

/// An HTTP reply.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    /// errCode.
    pub(crate) fn code(&self) -> i64 {
        self.json()["errCode"].as_i64().unwrap()
    }

    /// errDlt.
    pub(crate) fn detail(&self) -> String {
        self.json()["errDlt"].as_str().unwrap().to_owned()
    }

    /// Expects success.
    pub(crate) fn ok(&self) {
        assert_eq!(self.code(), 0, "{}", self.text());
    }

    /// Expects success; `data`.
    pub(crate) fn data(&self) -> Value {
        self.ok();
        self.json()["data"].clone()
    }
}

/// One request on a connection of its own.
pub(crate) async fn send(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Reply {
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-length"))
    {
        request.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    let mut request = request.into_bytes();
    request.extend_from_slice(body);
    raw(to, &request).await
}

/// These bytes on a connection of their own.
pub(crate) async fn raw(to: SocketAddr, request: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await.unwrap();
    let end = received
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("a reply has headers");
    let head = String::from_utf8(received[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines
        .next()
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let headers = lines
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        })
        .collect();
    Reply {
        status,
        headers,
        body: received[end + 4..].to_vec(),
    }
}
