//! A whole core driven by events, looked at through its actions.

mod bounds;
mod connecting;
mod hostile;
mod logging_in;
mod presence;
mod pushing;
mod requesting;
mod two_cores;
mod whole_way;

use crate::core::{
    Action, Board, ConnId, Connections, Core, CoreConfig, CoreId, Event, Now, Out, Owner,
    OwnerConfig, OwnerSeed, RingItem, Secret,
};
use bytes::Bytes;
use ringwire_link::facts::{Fact, FactKey, TokenFact, TokenState};
use ringwire_link::message::{Call, Welcome};
use ringwire_link::{ToControl, ToGateway};
use ringwire_protocol::envelope::{self, Encoding, Request, Response};
use ringwire_protocol::gzip::{Deflater, Inflater};
use ringwire_protocol::slot::core_of;
use ringwire_protocol::token::{self, Claims};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

const SECRET: &[u8] = b"a secret of enough bytes";
const START_S: i64 = 1_800_000_000;

/// A core with everything it did.
pub(super) struct Rig {
    core: Core,
    out: Out,
    pub(super) now: Now,
    next_conn: u64,
    streams: HashMap<ConnId, Vec<u8>>,
    /// Number of writes to each connection.
    pub(super) writes: HashMap<ConnId, usize>,
    pub(super) closed: Vec<ConnId>,
    pub(super) links: Vec<(u64, ToControl)>,
    pub(super) rings: Vec<(CoreId, RingItem)>,
    pub(super) other: Vec<Action>,
    /// Complete writes at once.
    pub(super) reading: bool,
}

#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    Text(String),
    Binary(Vec<u8>),
    Ping,
    Pong(Vec<u8>),
    Close(Option<u16>),
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut ringwire_config::Config)) -> Self {
        Self::of_cores(2, change)
    }

    /// Core 0 of a gateway of so many.
    pub(super) fn of_cores(cores: u16, change: impl FnOnce(&mut ringwire_config::Config)) -> Self {
        let start = if cores == 1 { 0 } else { 640 };
        let board = Arc::new(Board::new(&[start, 0]));
        Self::build(0, cores, board, change)
    }

    /// Any core.
    pub(super) fn build(
        core: CoreId,
        cores: u16,
        board: Arc<Board>,
        change: impl FnOnce(&mut ringwire_config::Config),
    ) -> Self {
        let mut config = ringwire_config::Config {
            shared: ringwire_config::Shared::default(),
            gateway: ringwire_config::Gateway::default(),
            control: ringwire_config::Control::default(),
        };
        change(&mut config);
        let owner = OwnerConfig {
            core,
            cores,
            admin_user_ids: HashSet::new(),
            friend_verify: false,
            segment_bytes: 1 << 20,
            journal_max_bytes: 1 << 30,
            max_facts: 100,
            max_conversations: 100,
            tail_messages: 16,
            id_seed: [7; 16],
            board: board.clone(),
        };
        let machine = Core::new(
            CoreConfig::new(&config, core, cores, 0xb007, Secret::new(SECRET)),
            board,
            Arc::new(Connections::new(config.gateway.max_connections)),
            Owner::new(
                owner,
                OwnerSeed {
                    epoch: 1,
                    ..OwnerSeed::default()
                },
            ),
            &[],
        );
        Self {
            core: machine,
            out: Out::new(core),
            now: Now {
                mono_ms: 1_000,
                unix_ms: START_S * 1_000,
            },
            next_conn: 1,
            streams: HashMap::new(),
            writes: HashMap::new(),
            closed: Vec::new(),
            links: Vec::new(),
            rings: Vec::new(),
            other: Vec::new(),
            reading: true,
        }
    }

    /// With control connected and these tokens known.
    pub(super) fn linked(tokens: &[TokenFact]) -> Self {
        let mut rig = Self::new();
        rig.link_up(tokens);
        rig
    }

    pub(super) fn link_up(&mut self, tokens: &[TokenFact]) {
        self.event(Event::LinkUp);
        let welcome = Welcome {
            boot: 5,
            facts_version: 9,
            facts_current: false,
            stored: Vec::new(),
        };
        self.control(0, ToGateway::Welcome(welcome));
        self.control(
            0,
            ToGateway::TokenSnapshot {
                tokens: tokens.to_vec(),
                done: true,
            },
        );
    }

    pub(super) fn event(&mut self, event: Event<'_>) {
        self.core.handle(self.now, event, &mut self.out);
        self.finish();
    }

    pub(super) fn control(&mut self, correlation: u64, body: ToGateway) {
        self.event(Event::Link { correlation, body });
    }

    pub(super) fn stats(&self) -> crate::core::Stats {
        self.core.stats()
    }

    fn finish(&mut self) {
        loop {
            self.core.finish_turn(self.now, &mut self.out);
            assert!(
                self.out.local.is_empty(),
                "a turn leaves nothing for itself"
            );
            let mut done = Vec::new();
            for action in self.out.actions.drain(..) {
                match action {
                    Action::Write { conn, frames } => {
                        let stream = self.streams.entry(conn).or_default();
                        frames.iter().for_each(|f| stream.extend_from_slice(f));
                        *self.writes.entry(conn).or_default() += 1;
                        done.push(Event::Written { conn });
                    }
                    Action::Close { conn } => {
                        assert!(!self.closed.contains(&conn), "closed twice");
                        self.closed.push(conn);
                    }
                    Action::Link { correlation, body } => self.links.push((correlation, body)),
                    Action::Ring { to, item } => self.rings.push((to, item)),
                    Action::SegmentCreate { segment } => done.push(Event::SegmentReady { segment }),
                    other => self.other.push(other),
                }
            }
            done.retain(|event| self.reading || !matches!(event, Event::Written { .. }));
            if done.is_empty() {
                return;
            }
            for event in done {
                self.core.handle(self.now, event, &mut self.out);
            }
        }
    }

    /// Lets time pass, with the ticks the core asks for.
    pub(super) fn pass(&mut self, ms: u64) {
        let end = self.now.mono_ms + ms;
        while let Some(at) = self.core.deadline().filter(|at| *at <= end) {
            let step = at.saturating_sub(self.now.mono_ms).max(1);
            self.now = Now {
                mono_ms: self.now.mono_ms + step,
                unix_ms: self.now.unix_ms + step as i64,
            };
            self.event(Event::Tick);
        }
        let step = end.saturating_sub(self.now.mono_ms);
        self.now = Now {
            mono_ms: self.now.mono_ms + step,
            unix_ms: self.now.unix_ms + step as i64,
        };
    }

    pub(super) fn accept(&mut self) -> ConnId {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        self.event(Event::Accepted {
            conn,
            peer: ([127, 0, 0, 1], 5).into(),
        });
        conn
    }

    pub(super) fn receive(&mut self, conn: ConnId, bytes: &[u8]) {
        self.event(Event::Received { conn, bytes });
    }

    /// Everything written since the last call.
    pub(super) fn taken(&mut self, conn: ConnId) -> Vec<u8> {
        self.streams.remove(&conn).unwrap_or_default()
    }

    pub(super) fn text(&mut self, conn: ConnId) -> String {
        String::from_utf8_lossy(&self.taken(conn)).into_owned()
    }

    /// Connects and sends this query; the answer is left to be taken.
    pub(super) fn dial(&mut self, query: &str) -> ConnId {
        let conn = self.accept();
        self.receive(conn, upgrade(query).as_bytes());
        conn
    }

    /// Opens a JSON session without compression.
    pub(super) fn open(&mut self, user: &str, platform: i32) -> ConnId {
        let conn = self.dial(&query(user, platform, &token_of(user, platform)));
        let answer = self.text(conn);
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        conn
    }

    pub(super) fn frames(&mut self, conn: ConnId) -> Vec<Frame> {
        frames(&self.taken(conn))
    }

    /// Replies and pushes since the last call, of a JSON session.
    pub(super) fn responses(&mut self, conn: ConnId) -> Vec<Response> {
        let decode = |frame| match frame {
            Frame::Binary(bytes) => {
                Some(envelope::decode_response(Encoding::Json, &bytes).expect("JSON"))
            }
            _ => None,
        };
        self.frames(conn).into_iter().filter_map(decode).collect()
    }

    pub(super) fn ask(&mut self, conn: ConnId, user: &str, id: i32, data: Vec<u8>) {
        let bytes = binary(&request(user, id, "1", data));
        self.receive(conn, &bytes);
    }

    /// The calls handed to control since the last time, with their correlation ids.
    pub(super) fn calls(&mut self) -> Vec<(u64, Call)> {
        let mut calls = Vec::new();
        self.links.retain(|(correlation, body)| match body {
            ToControl::Call(call) => {
                calls.push((*correlation, call.clone()));
                false
            }
            _ => true,
        });
        calls
    }

    /// Answers all questions for groups with these.
    pub(super) fn tell_groups(&mut self, groups: &[&str]) -> usize {
        let mut questions = Vec::new();
        self.links.retain(|(correlation, body)| match body {
            ToControl::FetchFacts { keys } => {
                questions.push((*correlation, keys.clone()));
                false
            }
            _ => true,
        });
        for (correlation, keys) in &questions {
            assert!(keys.iter().all(|key| matches!(key, FactKey::UserGroups(_))));
            let fact = Fact::UserGroups(groups.iter().map(|g| (*g).to_owned()).collect());
            self.control(
                *correlation,
                ToGateway::Facts {
                    facts: Ok(vec![fact; keys.len()]),
                },
            );
        }
        questions.len()
    }
}

/// A user whose home is the core under test (0) or the other (1).
pub(super) fn user_of(core: CoreId, n: usize) -> String {
    (0..)
        .map(|i| format!("user{i}"))
        .filter(|u| core_of(u, 2) == core)
        .nth(n)
        .expect("endless")
}

pub(super) fn claims(user: &str, platform: i32) -> Claims {
    Claims {
        user_id: user.into(),
        platform_id: platform,
        exp: START_S + 86_400,
        iat: START_S - 100,
    }
}

pub(super) fn token_of(user: &str, platform: i32) -> String {
    token::sign(&claims(user, platform), SECRET)
}

/// Another token of the same user and platform.
pub(super) fn second_token(user: &str, platform: i32) -> String {
    token::sign(
        &Claims {
            iat: START_S - 50,
            ..claims(user, platform)
        },
        SECRET,
    )
}

pub(super) fn fact_of(user: &str, platform: i32, token: &str, state: TokenState) -> TokenFact {
    TokenFact {
        user_id: user.into(),
        platform_id: platform,
        token: token::fingerprint(token),
        state,
        expires_s: START_S + 86_400,
    }
}

/// The first token of a user and platform, in force.
pub(super) fn normal(user: &str, platform: i32) -> TokenFact {
    fact_of(
        user,
        platform,
        &token_of(user, platform),
        TokenState::Normal,
    )
}

pub(super) fn query(user: &str, platform: i32, token: &str) -> String {
    format!(
        "sendID={user}&token={token}&platformID={platform}&operationID=op&isBackground=false&sdkType=js"
    )
}

pub(super) fn upgrade(query: &str) -> String {
    format!(
        "GET /?{query} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

pub(super) fn request(user: &str, id: i32, msg_incr: &str, data: Vec<u8>) -> Vec<u8> {
    let request = Request {
        req_identifier: id,
        send_id: user.into(),
        operation_id: "op".into(),
        msg_incr: msg_incr.into(),
        data: data.into(),
        ..Request::default()
    };
    let mut out = Vec::new();
    envelope::encode_request(Encoding::Json, &request, &mut out);
    out
}

pub(super) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0x80 | opcode];
    match payload.len() {
        n @ 0..=125 => out.push(0x80 | n as u8),
        n => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(n as u16).to_be_bytes());
        }
    }
    out.extend_from_slice(&[1, 2, 3, 4]);
    out.extend(
        payload
            .iter()
            .enumerate()
            .map(|(i, b)| b ^ (i % 4 + 1) as u8),
    );
    out
}

pub(super) fn binary(payload: &[u8]) -> Vec<u8> {
    frame(2, payload)
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Deflater::new().pack(bytes, &mut out);
    out
}

pub(super) fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Inflater::new()
        .inflate(bytes, 1 << 20, &mut out)
        .expect("gzip");
    out
}

pub(super) fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let (start, length) = match bytes[1] {
            126 => (4, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
            127 => (
                10,
                u64::from_be_bytes(bytes[2..10].try_into().expect("8 bytes")) as usize,
            ),
            short => (2, usize::from(short)),
        };
        let payload = bytes[start..start + length].to_vec();
        out.push(match bytes[0] {
            0x81 => Frame::Text(String::from_utf8(payload).expect("UTF-8")),
            0x82 => Frame::Binary(payload),
            0x88 => Frame::Close(payload.first_chunk::<2>().map(|c| u16::from_be_bytes(*c))),
            0x89 => Frame::Ping,
            0x8a => Frame::Pong(payload),
            other => panic!("unexpected frame {other:#x}"),
        });
        bytes = &bytes[start + length..];
    }
    out
}

pub(super) fn reply(data: Vec<u8>) -> ToGateway {
    ToGateway::CallReply {
        err_code: 0,
        err_msg: String::new(),
        data,
    }
}

pub(super) fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}
