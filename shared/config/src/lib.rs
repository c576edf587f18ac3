//! The configuration file that gateway and control share.
//!
//! Every option has a default but the secrets; every option is documented here and in
//! `deploy/ringwire.toml`. [`load()`] reads it, [`print()`] shows the values in force, [`read_secret`] reads the secret
//! it names.

mod check;
mod hint;
mod load;
mod print;
mod secret;

pub use load::{ConfigError, Problem, load, parse};
pub use print::print;
pub use secret::{SECRET_MIN_BYTES, Secret, read_secret};

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The whole file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What both processes need.
    #[serde(default)]
    pub shared: Shared,
    /// The gateway process.
    #[serde(default)]
    pub gateway: Gateway,
    /// The control process.
    #[serde(default)]
    pub control: Control,
}

/// `[shared]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shared {
    /// File holding the secret (password of `/auth/get_admin_token` and key of the tokens). At least 16 bytes.
    pub secret_file: PathBuf,
    /// Unix socket of the link; control listens, gateways connect.
    pub link_socket: PathBuf,
    /// Admin user ids.
    pub admin_user_ids: Vec<String>,
    /// Nicknames of the admins, by index; missing ones are `superAdmin`.
    pub admin_nicknames: Vec<String>,
    /// Multi-device policy: 0 nobody kicked, 1 one per platform, 4 one per class, 5 PC free and one other.
    pub login_policy: u8,
    /// Tokens per platform under policy 0, PC tokens under policy 5, admin tokens always.
    pub login_max_per_platform: u32,
    /// Life of a token, days.
    pub token_expire_days: u32,
    /// Single chat only with somebody who has the sender in the friend list.
    pub friend_verify: bool,
    /// Log filter, `tracing` syntax.
    pub log: String,
    /// `text` or `json`.
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// `[gateway]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gateway {
    /// Unique name among the gateways of one control.
    pub name: String,
    /// WebSocket listener, `address:port`.
    pub listen: String,
    /// Prometheus metrics and health (`/metrics`, `/healthz`), `address:port`.
    pub metrics_listen: String,
    /// Cores to run; 0 = as many as the machine has.
    pub cores: u16,
    /// Pin each core's thread to a CPU.
    pub pin: bool,
    /// Folder of the journals.
    pub journal_dir: PathBuf,
    /// Bytes of one journal segment (a multiple of 1 MiB).
    pub journal_segment_bytes: u64,
    /// Bytes of one core's journal that control has not stored yet; beyond it sends are refused.
    pub journal_max_bytes: u64,
    /// Connections, all cores together.
    pub max_connections: u32,
    /// Sessions of one user.
    pub max_sessions_per_user: u32,
    /// One client message as on the wire, bytes; at least 51200.
    pub max_message_bytes: u32,
    /// One client message after inflation, bytes.
    pub max_inflated_bytes: u32,
    /// Bytes that may wait for one slow session before it is closed.
    pub session_queue_bytes: u32,
    /// Requests that may wait behind the one in progress before the session is no longer read.
    pub session_pipeline: u32,
    /// Time for the upgrade request, milliseconds.
    pub handshake_timeout_ms: u64,
    /// Silence after which a session is closed, milliseconds.
    pub idle_timeout_ms: u64,
    /// Control ping to Web sessions, milliseconds.
    pub web_ping_ms: u64,
    /// Time one write may take, milliseconds.
    pub write_timeout_ms: u64,
    /// Time a request to control may take, milliseconds.
    pub call_timeout_ms: u64,
    /// Users one session may watch (2005).
    pub max_watched: u32,
    /// 1003 requests per second and session, sustained; 0 = no limit.
    pub send_rate: u32,
    /// Burst of the same.
    pub send_burst: u32,
    /// Bad tokens per second that one address may bring to one core before connects from it are refused
    /// unseen (1 IPv6 address = its /64); 0 = no limit, as is needed behind a proxy.
    pub bad_token_rate: u32,
    /// Burst of the same.
    pub bad_token_burst: u32,
    /// Facts kept per core.
    pub max_facts: u32,
    /// Token states kept per core.
    pub max_tokens: u32,
    /// Conversations kept per core.
    pub max_conversations: u32,
    /// Messages per conversation kept for the duplicate check and the tail.
    pub tail_messages: u32,
}

/// `[control]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// HTTP API listener, `address:port`.
    pub listen: String,
    /// Prometheus metrics and health (`/metrics`, `/healthz`), `address:port`.
    pub metrics_listen: String,
    /// `sqlite:PATH` or `postgres://...`.
    pub database_url: String,
    /// Database connections (PostgreSQL) or readers (SQLite).
    pub database_connections: u32,
    /// HTTP connections at once; more are closed.
    pub max_connections: u32,
    /// Largest request body, bytes.
    pub max_body_bytes: u64,
    /// Time to read a request, milliseconds.
    pub read_timeout_ms: u64,
    /// Requests per second and token or address, sustained; 0 = no limit.
    pub request_rate: u32,
    /// Burst of the same.
    pub request_burst: u32,
    /// Empty lists are written as `null` (as OpenIM does) rather than `[]`.
    pub null_lists: bool,
    /// Restores OpenIM's missing permission checks on a few routes.
    pub legacy_open_routes: bool,
    /// Time a publish to the gateway may take before the call fails, milliseconds.
    pub publish_timeout_ms: u64,
    /// Time to wait for the gateways to apply a change of facts, milliseconds.
    pub facts_timeout_ms: u64,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            secret_file: "secret".into(),
            link_socket: "link.sock".into(),
            admin_user_ids: vec!["imAdmin".into()],
            admin_nicknames: vec!["superAdmin".into()],
            login_policy: 1,
            login_max_per_platform: 30,
            token_expire_days: 90,
            friend_verify: false,
            log: "info".into(),
            log_format: LogFormat::Text,
        }
    }
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            name: "gateway-1".into(),
            listen: "0.0.0.0:10001".into(),
            metrics_listen: "127.0.0.1:10003".into(),
            cores: 0,
            pin: true,
            journal_dir: "journal".into(),
            journal_segment_bytes: 64 << 20,
            journal_max_bytes: 4 << 30,
            max_connections: 100_000,
            max_sessions_per_user: 100,
            max_message_bytes: 51_200,
            max_inflated_bytes: 1 << 20,
            session_queue_bytes: 1 << 20,
            session_pipeline: 64,
            handshake_timeout_ms: 10_000,
            idle_timeout_ms: 30_000,
            web_ping_ms: 27_000,
            write_timeout_ms: 10_000,
            call_timeout_ms: 8_000,
            max_watched: 3_000,
            send_rate: 0,
            send_burst: 100,
            bad_token_rate: 0,
            bad_token_burst: 100,
            max_facts: 1_000_000,
            max_tokens: 2_000_000,
            max_conversations: 500_000,
            tail_messages: 64,
        }
    }
}

impl Default for Control {
    fn default() -> Self {
        Self {
            listen: "0.0.0.0:10002".into(),
            metrics_listen: "127.0.0.1:10004".into(),
            database_url: "sqlite:ringwire.db".into(),
            database_connections: 8,
            max_connections: 10_000,
            max_body_bytes: 16 << 20,
            read_timeout_ms: 10_000,
            request_rate: 0,
            request_burst: 200,
            null_lists: true,
            legacy_open_routes: false,
            publish_timeout_ms: 5_000,
            facts_timeout_ms: 2_000,
        }
    }
}
