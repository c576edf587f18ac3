//! A client: logs in, syncs, sends, sends again what was not answered, and reports all it hears.

use crate::oracle::{Checked, Key, Oracle, Violation};
use crate::plan::{MS, SECOND};
use crate::random::Random;
use crate::wire::{self, Dialect, Reader, Said};
use bytes::Bytes;
use prost::Message as _;
use ringwire_protocol::envelope::{Request, Response};
use ringwire_protocol::pb::msg::{GetConversationsHasReadAndMaxSeqReq, SendMsgResp};
use ringwire_protocol::pb::sdkws::{
    GetMaxSeqReq, GetMaxSeqResp, MsgData, PullMessageBySeqsReq, PullMessageBySeqsResp,
    PushMessages, SeqRange, SubUserOnlineStatus,
};
use ringwire_protocol::{conversation_id as ids, req};
use std::collections::VecDeque;

/// A request unanswered for longer is given up with its connection.
const PATIENCE: u64 = 25 * SECOND;

/// Requests a client has out at most.
const PIPELINE: usize = 4;

/// A message of this client.
#[derive(Debug, Clone)]
struct Message {
    key: Key,
    lane: String,
    data: MsgData,
    stored: bool,
}

#[derive(Debug, Clone)]
enum What {
    Send(Box<Message>),
    Sync,
    Pull,
    Other,
}

#[derive(Debug)]
struct Pending {
    msg_incr: String,
    id: i32,
    what: What,
    sent: u64,
}

/// What a client wants done after it heard something.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Nothing,
    Send(Vec<u8>),
    /// Close the connection.
    Close,
}

#[derive(Default)]
pub(crate) struct Client {
    pub(crate) number: usize,
    pub(crate) user: String,
    pub(crate) platform: i32,
    pub(crate) token: String,
    pub(crate) fingerprint: [u8; 16],
    dialect: Option<Dialect>,
    /// How wrong its clock is, milliseconds.
    skew: i64,
    pub(crate) slow: bool,
    /// Of a thousand messages, how many are large.
    large: u16,
    /// Its connection.
    pub(crate) conn: Option<u64>,
    pub(crate) connected_at: u64,
    reader: Reader,
    /// Its session's number at the oracle.
    pub(crate) session: Option<usize>,
    /// Kicked or refused for good, with the code.
    pub(crate) stopped: Option<i32>,
    /// Refused for lack of room.
    pub(crate) crowded: bool,
    pending: VecDeque<Pending>,
    unanswered: Vec<Message>,
    answered: Vec<Message>,
    incr: u64,
    made: u64,
    synced: bool,
    last_said: u64,
}

impl Client {
    pub(crate) fn new(
        number: usize,
        user: String,
        platform: i32,
        dialect: Dialect,
        skew: i64,
        slow: bool,
        large: u64,
    ) -> Self {
        let large = large as u16;
        Self {
            number,
            user,
            platform,
            dialect: Some(dialect),
            skew,
            slow,
            large,
            ..Self::default()
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect.unwrap_or(Dialect {
            encoding: ringwire_protocol::envelope::Encoding::Gob,
            gzip: false,
            outcome_frame: false,
        })
    }

    /// Begins a connection; returns the upgrade request.
    pub(crate) fn connect(&mut self, conn: u64, now: u64) -> Vec<u8> {
        self.conn = Some(conn);
        self.connected_at = now;
        self.reader = Reader::new(self.dialect());
        self.synced = false;
        self.last_said = now;
        wire::upgrade(
            &self.user,
            &self.token,
            self.platform,
            "connect",
            self.dialect(),
        )
    }

    /// The connection is over, whoever ended it.
    pub(crate) fn disconnected(&mut self, oracle: &mut Oracle) {
        self.conn = None;
        if let Some(session) = self.session.take().and_then(|s| oracle.sessions.get_mut(s)) {
            session.alive = false;
        }
        for pending in std::mem::take(&mut self.pending) {
            if let What::Send(message) = pending.what {
                self.keep(*message);
            }
        }
    }

    fn keep(&mut self, message: Message) {
        if self.unanswered.iter().all(|m| m.key != message.key) {
            self.unanswered.push(message);
        }
    }

    /// Whether nothing of it is under way.
    pub(crate) fn at_rest(&self) -> bool {
        self.stopped.is_some()
            || self.crowded
            || (self.session.is_some()
                && self.synced
                && self.pending.is_empty()
                && self.unanswered.is_empty())
    }

    /// For a report on what is stuck.
    pub(crate) fn condition(&self) -> String {
        let pending: Vec<_> = self.pending.iter().map(|p| (p.id, p.sent / MS)).collect();
        let unanswered: Vec<_> = self.unanswered.iter().map(|m| &m.key).collect();
        format!(
            "client {} of {}: session {:?}, synced {}, pending {pending:?}, unanswered {unanswered:?}",
            self.number, self.user, self.session, self.synced
        )
    }

    /// Its token is replaced by a fresh one.
    pub(crate) fn log_in_again(&mut self, token: String, fingerprint: [u8; 16]) {
        (self.token, self.fingerprint, self.stopped) = (token, fingerprint, None);
    }

    /// Says something, if it has something to say. `quiet`: nothing new.
    pub(crate) fn act(
        &mut self,
        random: &mut Random,
        oracle: &mut Oracle,
        now: u64,
        unix_ms: i64,
        (users, groups): (&[String], &[String]),
        quiet: bool,
    ) -> Wish {
        if self.session.is_none() {
            let late = now > self.connected_at + PATIENCE;
            return if late { Wish::Close } else { Wish::Nothing };
        }
        if self
            .pending
            .front()
            .is_some_and(|p| p.sent + PATIENCE < now)
        {
            return Wish::Close;
        }
        if self.pending.len() >= PIPELINE {
            return Wish::Nothing;
        }
        if !self.synced && !self.pending.iter().any(|p| matches!(p.what, What::Sync)) {
            return self.ask(
                random,
                now,
                req::GET_MAX_SEQ,
                self.sync_request(),
                What::Sync,
            );
        }
        if (quiet || random.chance(700)) && !self.unanswered.is_empty() {
            let message = self.unanswered.remove(0);
            return self.send(random, oracle, now, message);
        }
        if quiet {
            // Silence would end the session.
            let due = now > self.last_said + 8 * SECOND;
            self.last_said = if due { now } else { self.last_said };
            return if due {
                Wish::Send(wire::ping(random, b"still here"))
            } else {
                Wish::Nothing
            };
        }
        match random.below(100) {
            0..=54 => {
                let message = self.compose(random, unix_ms + self.skew, users, groups);
                self.send(random, oracle, now, message)
            }
            55..=61 if !self.answered.is_empty() => {
                let message = random.pick(&self.answered).clone();
                self.send(random, oracle, now, message)
            }
            62..=69 => {
                let conversation = ids::single(&self.user, random.pick::<String>(users));
                let begin = random.range(1, 20) as i64;
                let range = SeqRange {
                    conversation_id: conversation,
                    begin,
                    end: begin + 10,
                    num: 10,
                };
                let data = PullMessageBySeqsReq {
                    user_id: self.user.clone(),
                    seq_ranges: vec![range],
                    order: 0,
                };
                self.ask(
                    random,
                    now,
                    req::PULL_BY_RANGE,
                    data.encode_to_vec(),
                    What::Pull,
                )
            }
            70..=74 => self.ask(
                random,
                now,
                req::GET_MAX_SEQ,
                self.sync_request(),
                What::Sync,
            ),
            75..=79 => {
                let data = GetConversationsHasReadAndMaxSeqReq {
                    user_id: self.user.clone(),
                    ..Default::default()
                };
                self.ask(
                    random,
                    now,
                    req::GET_HAS_READ_AND_MAX_SEQ,
                    data.encode_to_vec(),
                    What::Other,
                )
            }
            80..=84 => {
                let mut data = SubUserOnlineStatus::default();
                data.subscribe_user_id.push(random.pick(users).clone());
                if random.chance(300) {
                    data.unsubscribe_user_id.push(random.pick(users).clone());
                }
                self.ask(
                    random,
                    now,
                    req::SUBSCRIBE_ONLINE,
                    data.encode_to_vec(),
                    What::Other,
                )
            }
            85..=89 => self.ask(random, now, req::SET_BACKGROUND, Vec::new(), What::Other),
            90..=94 => Wish::Send(wire::ping(random, b"1234567890123456789")),
            _ => Wish::Nothing,
        }
    }

    fn sync_request(&self) -> Vec<u8> {
        GetMaxSeqReq {
            user_id: self.user.clone(),
        }
        .encode_to_vec()
    }

    fn compose(
        &mut self,
        random: &mut Random,
        create_time: i64,
        users: &[String],
        groups: &[String],
    ) -> Message {
        self.made += 1;
        let large = random.chance(self.large.into());
        let mut data = MsgData {
            send_id: self.user.clone(),
            client_msg_id: format!("{}-{}", self.number, self.made),
            content: Bytes::from(vec![
                b'x';
                if large { 3_000 } else { 1 + random.index(200) }
            ]),
            content_type: 101,
            msg_from: 100,
            status: 1,
            create_time,
            ..MsgData::default()
        };
        let typing = random.chance(80);
        if typing {
            data.content_type = 113;
        }
        let (lane, conversation) = if random.chance(400) && !groups.is_empty() {
            let group = random.pick(groups);
            (data.session_type, data.group_id) = (3, group.clone());
            (group.clone(), ids::group(group))
        } else {
            let receiver = random.pick(users);
            (data.session_type, data.recv_id) = (1, receiver.clone());
            (
                ids::ordering_key_of_users(&self.user, receiver),
                ids::single(&self.user, receiver),
            )
        };
        let key = Key::new(&conversation, &self.user, &data.client_msg_id);
        Message {
            key,
            lane,
            data,
            stored: !typing,
        }
    }

    fn send(
        &mut self,
        random: &mut Random,
        oracle: &mut Oracle,
        now: u64,
        message: Message,
    ) -> Wish {
        oracle.sends(message.key.clone(), now);
        let data = message.data.encode_to_vec();
        self.ask(
            random,
            now,
            req::SEND_MSG,
            data,
            What::Send(Box::new(message)),
        )
    }

    fn ask(&mut self, random: &mut Random, now: u64, id: i32, data: Vec<u8>, what: What) -> Wish {
        self.incr += 1;
        self.last_said = now;
        let msg_incr = format!("{}_{}", self.user, self.incr);
        let request = Request {
            req_identifier: id,
            token: String::new(),
            send_id: self.user.clone(),
            operation_id: format!("op-{}-{}", self.number, self.incr),
            msg_incr: msg_incr.clone(),
            data: data.into(),
        };
        self.pending.push_back(Pending {
            msg_incr,
            id,
            what,
            sent: now,
        });
        Wish::Send(wire::request(random, self.dialect(), &request))
    }

    /// Bytes from the server.
    pub(crate) fn heard(
        &mut self,
        random: &mut Random,
        oracle: &mut Oracle,
        now: u64,
        bytes: &[u8],
    ) -> Result<Wish, Violation> {
        let dialect = self.dialect();
        self.reader.feed(bytes);
        let mut answer = Vec::new();
        while let Some(said) = self.reader.next(dialect)? {
            match said {
                Said::Welcome => {
                    self.crowded = false;
                    self.session =
                        Some(oracle.opened(&self.user, self.connected_at, &self.fingerprint)?);
                }
                Said::Refused(code) => {
                    if (1501..=1507).contains(&code) {
                        self.stopped = Some(code);
                    }
                    self.crowded = code == 1601;
                    return Ok(Wish::Close);
                }
                Said::Envelope(response) => {
                    if response.req_identifier == req::KICK {
                        self.stopped = Some(req::KICK);
                        return Ok(Wish::Close);
                    }
                    self.envelope(random, oracle, now, &response)?;
                }
                Said::Ping(payload) => answer.extend(wire::pong(random, &payload)),
                Said::Pong => {}
                Said::Close => return Ok(Wish::Close),
            }
        }
        Ok(if answer.is_empty() {
            Wish::Nothing
        } else {
            Wish::Send(answer)
        })
    }

    fn envelope(
        &mut self,
        random: &mut Random,
        oracle: &mut Oracle,
        now: u64,
        response: &Response,
    ) -> Checked {
        let broken = |what: String| Violation::new("the wire", what);
        let session = self
            .session
            .ok_or_else(|| broken("an envelope without a session".into()))?;
        if response.req_identifier == req::PUSH_MSG {
            let push =
                PushMessages::decode(response.data.clone()).map_err(|e| broken(e.to_string()))?;
            let chats = push.msgs.iter().map(|m| (m, false));
            for ((conversation, pulled), notice) in
                chats.chain(push.notification_msgs.iter().map(|m| (m, true)))
            {
                if notice != conversation.starts_with("n_") {
                    return Err(broken(format!(
                        "{conversation} is in the wrong map of a push"
                    )));
                }
                for msg in &pulled.msgs {
                    oracle.pushed(session, conversation, msg)?;
                }
            }
            return Ok(());
        }
        if response.msg_incr.is_empty() && response.req_identifier == req::SUBSCRIBE_ONLINE {
            return Ok(());
        }
        let pending = self.pending.pop_front();
        let pending =
            pending.filter(|p| p.msg_incr == response.msg_incr && p.id == response.req_identifier);
        let Some(pending) = pending else {
            return Err(broken(format!(
                "client {} got {response:?} out of turn",
                self.number
            )));
        };
        match pending.what {
            What::Send(message) => {
                self.outcome(random, oracle, now, pending.sent, *message, response)
            }
            What::Sync if response.err_code == 0 => {
                let max = GetMaxSeqResp::decode(response.data.clone())
                    .map_err(|e| broken(e.to_string()))?;
                self.synced = true;
                oracle.synced(session, max.max_seqs)
            }
            What::Pull if response.err_code == 0 => {
                let pulled = PullMessageBySeqsResp::decode(response.data.clone())
                    .map_err(|e| broken(e.to_string()))?;
                for (conversation, pulled) in pulled.msgs {
                    for msg in pulled.msgs {
                        oracle.durable(&conversation, &crate::control::store::known(&msg))?;
                    }
                }
                Ok(())
            }
            _ if matches!(response.err_code, 0 | 500) => Ok(()),
            _ => Err(broken(format!(
                "request {} was answered {}",
                pending.id, response.err_code
            ))),
        }
    }

    fn outcome(
        &mut self,
        random: &mut Random,
        oracle: &mut Oracle,
        _now: u64,
        sent: u64,
        message: Message,
        response: &Response,
    ) -> Checked {
        let owner = oracle.owner(&message.lane);
        match response.err_code {
            0 => {
                let reply = SendMsgResp::decode(response.data.clone())
                    .map_err(|e| Violation::new("the wire", e.to_string()))?;
                if reply.client_msg_id != message.data.client_msg_id {
                    return Err(Violation::new(
                        "the wire",
                        format!("{:?} was answered {reply:?}", message.key),
                    ));
                }
                let (key, stored) = (message.key.clone(), message.stored);
                if stored && self.answered.len() < 100 {
                    self.answered.push(message);
                }
                oracle.acknowledged(key, &reply.server_msg_id, reply.send_time, stored, owner)
            }
            // Trouble that passes.
            500 | 429 => {
                if message.stored && random.chance(800) {
                    self.keep(message);
                }
                Ok(())
            }
            code @ (1203 | 1302) => oracle.refused(&message.key, code, sent, owner),
            code => Err(Violation::new(
                "the wire",
                format!("{:?} was answered {code}", message.key),
            )),
        }
    }
}
