//! Values that have the right type but make no sense.

use crate::Config;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;

/// An option with a value that cannot be used.
pub(crate) struct Bad {
    pub(crate) section: &'static str,
    pub(crate) option: &'static str,
    pub(crate) reason: String,
}

const MIB: u64 = 1 << 20;

/// Longest path a Unix socket address holds, without its closing zero byte.
const SOCKET_PATH_MAX: usize = 107;

/// Everything wrong with `config`, in the order of the structs.
pub(crate) fn problems(config: &Config) -> Vec<Bad> {
    let mut found = Found(Vec::new());
    shared(config, &mut found);
    gateway(config, &mut found);
    control(config, &mut found);
    listeners(config, &mut found);
    found.0
}

struct Found(Vec<Bad>);

impl Found {
    fn unless(&mut self, fine: bool, section: &'static str, option: &'static str, reason: &str) {
        if !fine {
            self.0.push(Bad {
                section,
                option,
                reason: reason.to_owned(),
            });
        }
    }

    fn at_least(&mut self, section: &'static str, values: &[(&'static str, u64, u64)]) {
        for (option, value, least) in values {
            let reason = format!("{value} is too small; at least {least}");
            self.unless(value >= least, section, option, &reason);
        }
    }

    /// Times: `least..=1 day`, in milliseconds.
    fn milliseconds(&mut self, section: &'static str, values: &[(&'static str, u64, u64)]) {
        const DAY: u64 = 86_400_000;
        for (option, value, least) in values {
            let reason = format!("{value} is not between {least} and {DAY} milliseconds");
            self.unless((*least..=DAY).contains(value), section, option, &reason);
        }
    }
}

fn shared(config: &Config, found: &mut Found) {
    let c = &config.shared;
    found.unless(
        c.link_socket.as_os_str().as_bytes().len() <= SOCKET_PATH_MAX,
        "shared",
        "link_socket",
        "the full path is longer than 107 bytes, which no Unix socket allows; name a shorter one",
    );
    let ids = &c.admin_user_ids;
    let fine = !ids.is_empty() && ids.iter().all(|id| !id.is_empty() && id.len() <= 64);
    found.unless(
        fine,
        "shared",
        "admin_user_ids",
        "needs at least one id, each of 1 to 64 bytes",
    );
    let twice = ids.iter().enumerate().any(|(i, id)| ids[..i].contains(id));
    found.unless(!twice, "shared", "admin_user_ids", "names an id twice");
    found.unless(
        c.admin_nicknames.len() <= ids.len(),
        "shared",
        "admin_nicknames",
        "has more entries than admin_user_ids",
    );
    found.unless(
        matches!(c.login_policy, 0 | 1 | 4 | 5),
        "shared",
        "login_policy",
        "must be 0, 1, 4 or 5",
    );
    found.at_least(
        "shared",
        &[("login_max_per_platform", c.login_max_per_platform.into(), 1)],
    );
    found.unless(
        (1..=36_500).contains(&c.token_expire_days),
        "shared",
        "token_expire_days",
        "must be between 1 and 36500 days",
    );
}

fn gateway(config: &Config, found: &mut Found) {
    let c = &config.gateway;
    let name = &c.name;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    found.unless(
        !name.is_empty() && name.len() <= 64 && name.bytes().all(plain),
        "gateway",
        "name",
        "must be 1 to 64 of the characters A-Z a-z 0-9 . _ -",
    );
    found.unless(
        c.cores <= 1024,
        "gateway",
        "cores",
        "must be at most 1024, or 0 for one a CPU",
    );
    found.unless(
        c.journal_segment_bytes >= MIB && c.journal_segment_bytes.is_multiple_of(MIB),
        "gateway",
        "journal_segment_bytes",
        "must be a multiple of 1048576 (1 MiB)",
    );
    found.unless(
        c.journal_max_bytes / 2 >= c.journal_segment_bytes,
        "gateway",
        "journal_max_bytes",
        "must be at least twice journal_segment_bytes",
    );
    found.at_least(
        "gateway",
        &[
            ("max_connections", c.max_connections.into(), 1),
            ("max_sessions_per_user", c.max_sessions_per_user.into(), 1),
            ("max_message_bytes", c.max_message_bytes.into(), 51_200),
            (
                "max_inflated_bytes",
                c.max_inflated_bytes.into(),
                c.max_message_bytes.into(),
            ),
            ("session_queue_bytes", c.session_queue_bytes.into(), 65_536),
            ("session_pipeline", c.session_pipeline.into(), 1),
            ("max_watched", c.max_watched.into(), 1),
            ("max_facts", c.max_facts.into(), 1_000),
            ("max_tokens", c.max_tokens.into(), 1_000),
            ("max_conversations", c.max_conversations.into(), 2_000),
            ("tail_messages", c.tail_messages.into(), 1),
        ],
    );
    found.unless(
        u64::from(c.max_message_bytes) <= c.journal_segment_bytes / 4,
        "gateway",
        "max_message_bytes",
        "must be at most a quarter of journal_segment_bytes",
    );
    found.unless(
        c.send_rate == 0 || c.send_burst > 0,
        "gateway",
        "send_burst",
        "must be at least 1 when send_rate is set",
    );
    found.unless(
        c.bad_token_rate == 0 || c.bad_token_burst > 0,
        "gateway",
        "bad_token_burst",
        "must be at least 1 when bad_token_rate is set",
    );
    found.milliseconds(
        "gateway",
        &[
            ("handshake_timeout_ms", c.handshake_timeout_ms, 100),
            ("idle_timeout_ms", c.idle_timeout_ms, 1_000),
            ("web_ping_ms", c.web_ping_ms, 500),
            ("write_timeout_ms", c.write_timeout_ms, 100),
            ("call_timeout_ms", c.call_timeout_ms, 100),
        ],
    );
    found.unless(
        c.web_ping_ms < c.idle_timeout_ms,
        "gateway",
        "web_ping_ms",
        "must be below idle_timeout_ms, or quiet Web clients are disconnected",
    );
}

fn control(config: &Config, found: &mut Found) {
    let c = &config.control;
    let url = &c.database_url;
    let postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
    let sqlite = url.strip_prefix("sqlite:").is_some_and(|p| !p.is_empty());
    found.unless(
        postgres || sqlite,
        "control",
        "database_url",
        "must start with sqlite: or postgres://",
    );
    found.at_least(
        "control",
        &[
            ("database_connections", c.database_connections.into(), 1),
            ("max_connections", c.max_connections.into(), 1),
            ("max_body_bytes", c.max_body_bytes, 65_536),
        ],
    );
    found.unless(
        c.request_rate == 0 || c.request_burst > 0,
        "control",
        "request_burst",
        "must be at least 1 when request_rate is set",
    );
    found.milliseconds(
        "control",
        &[
            ("read_timeout_ms", c.read_timeout_ms, 100),
            ("publish_timeout_ms", c.publish_timeout_ms, 100),
            ("facts_timeout_ms", c.facts_timeout_ms, 100),
        ],
    );
}

fn listeners(config: &Config, found: &mut Found) {
    let all = [
        ("gateway", "listen", &config.gateway.listen),
        ("gateway", "metrics_listen", &config.gateway.metrics_listen),
        ("control", "listen", &config.control.listen),
        ("control", "metrics_listen", &config.control.metrics_listen),
    ];
    let mut taken: Vec<(SocketAddr, String)> = Vec::new();
    for (section, option, text) in all {
        let Ok(address) = text.parse::<SocketAddr>() else {
            let reason = format!("{text:?} is not an address and port such as 127.0.0.1:10001");
            found.unless(false, section, option, &reason);
            continue;
        };
        // Port 0 asks the system for a free one, so two of them do not clash.
        let clash = taken.iter().find(|(other, _)| {
            let same_ip = other.ip() == address.ip()
                || other.ip().is_unspecified()
                || address.ip().is_unspecified();
            address.port() != 0 && other.port() == address.port() && same_ip
        });
        if let Some((_, other)) = clash {
            let reason = format!("{text} is already taken by {other}");
            found.unless(false, section, option, &reason);
        }
        taken.push((address, format!("{section}.{option}")));
    }
}
