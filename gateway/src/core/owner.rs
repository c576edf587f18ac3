//! The owner side of a core: everything that orders, judges and makes durable.

use super::board::Board;
use super::conversation::lane::{Job, Lanes, Origin};
use super::conversation::streams::ServerIds;
use super::conversation::table::Conversations;
use super::conversation::{Release, Unstored, lane_of};
use super::event::{CoreId, Now};
use super::facts::{Facts, Waiter};
use super::journal::{ConversationHead, Journal, JournalSpan, Ordinal};
use super::out::{Correlations, Out};
use super::ring::{RingItem, SendItem};
use bytes::Bytes;
use prost::Message as _;
use ringwire_link::facts::{FactChange, FactKey};
use ringwire_link::message::{JournalPosition, Publish, Welcome};
use ringwire_link::record::Record;
use ringwire_link::{ToControl, ToGateway};
use ringwire_protocol::error::ApiError;
use ringwire_protocol::pb::sdkws::MsgData;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// What the owner side is told at the start.
#[derive(Debug, Clone)]
pub struct OwnerConfig {
    /// This core.
    pub core: CoreId,
    /// Cores of the gateway.
    pub cores: u16,
    /// Configured admins.
    pub admin_user_ids: HashSet<String>,
    /// `shared.friend_verify`.
    pub friend_verify: bool,
    /// `gateway.journal_segment_bytes`.
    pub segment_bytes: u64,
    /// `gateway.journal_max_bytes`.
    pub journal_max_bytes: u64,
    /// `gateway.max_facts`.
    pub max_facts: usize,
    /// `gateway.max_conversations`.
    pub max_conversations: usize,
    /// `gateway.tail_messages`.
    pub tail_messages: usize,
    /// Random per process start; server message ids come from it.
    pub id_seed: [u8; 16],
    /// The gateway's board.
    pub board: Arc<Board>,
}

/// What recovery found for a core. Built by [`super::journal::seeds`].
#[derive(Debug, Default)]
pub struct OwnerSeed {
    /// Epoch to write with, the same for every core of the gateway.
    pub epoch: u32,
    /// The core's own journal; `None` when it has no segment yet.
    pub own: Option<JournalSpan>,
    /// Journals of a former run with more cores, which this core streams out.
    pub orphans: Vec<JournalSpan>,
    /// Conversations this core owns that have records in any journal, by id.
    pub conversations: Vec<(String, ConversationHead)>,
}

/// Counters and levels for metrics.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct OwnerStats {
    /// Messages accepted (stored or not).
    pub accepted: u64,
    /// Messages refused.
    pub refused: u64,
    /// Messages answered as duplicates.
    pub duplicates: u64,
    /// Journal writes made durable.
    pub commits: u64,
    /// Bytes made durable.
    pub committed_bytes: u64,
    /// Bytes of the own journal that control has not stored yet.
    pub unstored_bytes: u64,
    /// Conversations held.
    pub conversations: u64,
    /// Facts held.
    pub facts: u64,
    /// Messages waiting for facts, a conversation's state or a duplicate check.
    pub waiting: u64,
    /// Token kick records given up because the journal was full for too long.
    pub kicks_dropped: u64,
}

/// Time control may take for an answer, milliseconds; then what waits for it is refused, well before
/// clients give up.
const QUESTION_MS: u64 = 5_000;

/// A question to control under way.
#[derive(Debug)]
pub(super) enum Question {
    /// Facts.
    Facts(Vec<FactKey>),
    /// States of conversations.
    Conversations(Vec<String>),
    /// A stored message that this one may repeat.
    Duplicate(Waiter),
}

/// The owner side of one core. Every method may leave actions and ring items in `out`; call
/// [`Owner::finish_turn`] once per turn after the last of them.
#[derive(Debug)]
pub struct Owner {
    pub(super) config: OwnerConfig,
    pub(super) journal: Journal,
    pub(super) facts: Facts,
    pub(super) conversations: Conversations,
    pub(super) lanes: Lanes,
    /// What control published lately that is stored nowhere.
    pub(super) unstored: Unstored,
    /// What waits for a commit, ascending.
    pub(super) releases: VecDeque<(Ordinal, Release)>,
    questions: HashMap<u64, Question>,
    /// When questions are given up, ascending; answered ones may linger.
    timeouts: VecDeque<(u64, u64)>,
    correlations: Correlations,
    pub(super) server_ids: ServerIds,
    pub(super) stats: OwnerStats,
    pub(super) linked: bool,
    pub(super) stopping: bool,
    pub(super) jobs: u64,
    epoch: u32,
    /// Publishes of the present link connection that are not answered yet: our number of each -> its
    /// correlation id. Control numbers its questions anew on every connection, so an answer that
    /// outlives its connection must not be taken for that of another question.
    publishes: HashMap<u64, u64>,
    /// Publishes taken so far.
    published: u64,
}

impl Owner {
    /// Starts from what recovery found.
    pub fn new(config: OwnerConfig, seed: OwnerSeed) -> Self {
        let journal = Journal::new(
            config.core,
            seed.epoch,
            config.segment_bytes,
            config.journal_max_bytes,
            seed.own,
            &seed.orphans,
            Arc::clone(&config.board),
        );
        Self {
            journal,
            facts: Facts::new(config.max_facts),
            conversations: Conversations::new(
                config.max_conversations,
                config.tail_messages,
                seed.conversations,
            ),
            lanes: Lanes::default(),
            unstored: Unstored::default(),
            releases: VecDeque::new(),
            questions: HashMap::new(),
            timeouts: VecDeque::new(),
            correlations: Correlations::owner(),
            server_ids: ServerIds::new(config.id_seed, config.core),
            stats: OwnerStats::default(),
            linked: false,
            stopping: false,
            jobs: 0,
            epoch: seed.epoch,
            publishes: HashMap::new(),
            published: 0,
            config,
        }
    }

    /// Epoch and first positions of the journals this core streams, for Hello.
    pub fn hello(&self) -> (u32, Vec<JournalPosition>) {
        (self.epoch, self.journal.firsts())
    }

    /// An item for the owner side: Send, Publish, PublishDone, TokenKick. Others are ignored.
    pub fn ring(&mut self, now: Now, _from: CoreId, item: RingItem, out: &mut Out) {
        match item {
            RingItem::Send(item) => self.send(now, item, out),
            RingItem::Publish {
                origin,
                number,
                publish,
            } => {
                self.publish(now, origin, number, publish, out);
            }
            RingItem::PublishDone { number, answer } => self.answer_publish(number, *answer, out),
            RingItem::TokenKick(record) => {
                let taken = self.journal.push_kick(Record::TokenKick(*record));
                self.stats.kicks_dropped += u64::from(!taken);
            }
            _ => {}
        }
    }

    /// Control welcomed this core.
    pub fn link_up(&mut self, _now: Now, welcome: &Welcome, out: &mut Out) {
        self.linked = true;
        if !welcome.facts_current {
            self.facts.forget_all();
        }
        self.journal.welcome(&welcome.stored, out);
    }

    /// The link is lost: what waits for it is refused now.
    pub fn link_down(&mut self, now: Now, out: &mut Out) {
        self.linked = false;
        self.timeouts.clear();
        self.publishes.clear();
        self.journal.link_down();
        let mut waiters = self.facts.link_down();
        waiters.extend(self.conversations.link_down());
        waiters.extend(
            self.questions
                .drain()
                .filter_map(|(_, question)| match question {
                    Question::Duplicate(waiter) => Some(waiter),
                    Question::Facts(_) | Question::Conversations(_) => None,
                }),
        );
        self.fail(
            now,
            &waiters,
            &ApiError::internal("control is not reachable"),
            out,
        );
    }

    /// A frame from control: Facts, Conversations, Duplicate (by correlation), Stored, Publish.
    pub fn link(&mut self, now: Now, correlation: u64, body: ToGateway, out: &mut Out) {
        match body {
            ToGateway::Stored(at) => self.journal.stored(at, out),
            ToGateway::Publish(publish) => {
                self.published += 1;
                let number = self.published;
                self.publishes.insert(number, correlation);
                self.publish(now, self.config.core, number, Box::new(publish), out);
            }
            answer @ (ToGateway::Facts { .. }
            | ToGateway::Conversations { .. }
            | ToGateway::Duplicate { .. }) => {
                self.answered(now, correlation, answer, out);
            }
            _ => {}
        }
    }

    /// Asks control.
    pub(super) fn ask(&mut self, now: Now, question: Question, body: ToControl, out: &mut Out) {
        let correlation = self.correlations.fresh();
        self.questions.insert(correlation, question);
        self.timeouts
            .push_back((now.mono_ms + QUESTION_MS, correlation));
        out.link(correlation, body);
    }

    /// Control answered, or did not in time. An answer of another kind than was asked for counts as none.
    fn answered(&mut self, now: Now, correlation: u64, answer: ToGateway, out: &mut Out) {
        let Some(question) = self.questions.remove(&correlation) else {
            return;
        };
        while self
            .timeouts
            .pop_front_if(|(_, asked)| !self.questions.contains_key(asked))
            .is_some()
        {}
        match question {
            Question::Facts(keys) => {
                let facts = if let ToGateway::Facts { facts } = answer {
                    facts
                } else {
                    Err(String::new())
                };
                let arrived = self.facts.arrived(keys, facts);
                self.wake(now, &arrived.ready, out);
                self.fail(
                    now,
                    &arrived.failed,
                    &ApiError::internal("control could not read facts"),
                    out,
                );
            }
            Question::Conversations(ids) => {
                let states = if let ToGateway::Conversations { states } = answer {
                    states
                } else {
                    Err(String::new())
                };
                let stored = self.journal.writer().stored_ordinal();
                let (ready, failed) = self.conversations.arrived(&ids, states, stored);
                self.wake(now, &ready, out);
                self.fail(
                    now,
                    &failed,
                    &ApiError::internal("control could not read a conversation"),
                    out,
                );
                self.conversations.served(&ids);
            }
            Question::Duplicate(waiter) => {
                let found = if let ToGateway::Duplicate { found } = answer {
                    found
                } else {
                    Err(String::new())
                };
                self.duplicate_answered(now, &waiter, found, out);
            }
        }
    }

    /// The world changed. In force when this returns.
    pub fn fact_changes(&mut self, _now: Now, changes: &[FactChange], _out: &mut Out) {
        let stored = self.journal.writer().stored_ordinal();
        for change in changes {
            self.facts.changed(change);
            if let FactChange::Conversation(id) = change {
                self.conversations.forget_stored(id, stored);
            }
        }
    }

    /// The journal write in progress is durable.
    pub fn journal_synced(&mut self, _now: Now, out: &mut Out) {
        if let Some(committed) = self.journal.synced(out) {
            self.release(committed, out);
        }
    }

    /// Bytes asked for by `Action::JournalRead`.
    pub fn journal_read(&mut self, _now: Now, position: u64, bytes: &Bytes, out: &mut Out) {
        self.journal.read(position, bytes, out);
    }

    /// The segment asked for exists.
    pub fn segment_ready(&mut self, _now: Now, segment: u64, _out: &mut Out) {
        self.journal.segment_ready(segment);
    }

    /// It could not be made: sends that need it are refused until another attempt succeeds.
    pub fn segment_failed(&mut self, now: Now, segment: u64, _reason: &str, _out: &mut Out) {
        self.journal.segment_failed(now, segment);
    }

    /// Time passed: gives up questions that control did not answer.
    pub fn tick(&mut self, now: Now, out: &mut Out) {
        while let Some((_, correlation)) = self.timeouts.pop_front_if(|(at, _)| *at <= now.mono_ms)
        {
            self.answered(now, correlation, ToGateway::Heartbeat, out);
        }
    }

    /// Monotonic milliseconds of the next [`Owner::tick`] that is needed. Due at once after the start.
    pub fn deadline(&self) -> Option<u64> {
        let timeout = self.timeouts.front().map(|(at, _)| *at);
        [timeout, self.journal.writer().deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Ends a turn: sends the questions gathered in it and starts the next journal write. Leaves
    /// actions only, no ring items for this core.
    pub fn finish_turn(&mut self, now: Now, out: &mut Out) {
        while let Some(keys) = self.facts.question() {
            self.ask(
                now,
                Question::Facts(keys.clone()),
                ToControl::FetchFacts { keys },
                out,
            );
        }
        while let Some(ids) = self.conversations.question() {
            self.ask(
                now,
                Question::Conversations(ids.clone()),
                ToControl::OpenConversations { ids },
                out,
            );
        }
        self.conversations
            .trim_due(self.journal.writer().stored_ordinal(), now.unix_ms);
        self.journal.flush(now, out);
    }

    /// The process is stopping: new messages and those that wait for control are refused, what is in
    /// the journal is finished.
    pub fn shutdown(&mut self, _now: Now, out: &mut Out) {
        self.stopping = true;
        for job in self.lanes.drain() {
            self.refuse(
                job.origin,
                ApiError::internal("the gateway is stopping"),
                out,
            );
        }
    }

    /// Whether nothing is left to make durable or to answer.
    pub fn drained(&self) -> bool {
        self.journal.writer().idle() && self.releases.is_empty() && self.lanes.waiting() == 0
    }

    /// Counters.
    pub fn stats(&self) -> OwnerStats {
        let (commits, committed_bytes) = self.journal.totals();
        OwnerStats {
            commits,
            committed_bytes,
            unstored_bytes: self.journal.writer().unstored_bytes(),
            conversations: self.conversations.len() as u64,
            facts: self.facts.len() as u64,
            waiting: self.lanes.waiting() as u64,
            ..self.stats
        }
    }

    fn send(&mut self, now: Now, item: Box<SendItem>, out: &mut Out) {
        let origin = Origin::Session {
            home: item.home,
            conn: item.conn,
            request: item.request,
        };
        let lane = match lane_of(&item.msg) {
            Ok(lane) => lane,
            Err(error) => return self.refuse(origin, error, out),
        };
        let owner = self.owner_of(&lane);
        if owner != self.config.core {
            return out.ring(owner, RingItem::Send(item));
        }
        let item = *item;
        let job = Job {
            number: self.job_number(),
            lane,
            origin,
            operation_id: item.operation_id,
            may_set_time: item.admin,
            check: true,
            also: Vec::new(),
            msg: item.msg,
            asking: None,
            found: Vec::new(),
        };
        self.submit(now, job, out);
    }

    fn publish(
        &mut self,
        now: Now,
        core: CoreId,
        number: u64,
        publish: Box<Publish>,
        out: &mut Out,
    ) {
        let origin = Origin::Control { core, number };
        let decoded = MsgData::decode(publish.msg.as_slice())
            .map_err(|_| ApiError::args("message does not decode"));
        let (msg, lane) = match decoded.and_then(|msg| lane_of(&msg).map(|lane| (msg, lane))) {
            Ok(decoded) => decoded,
            Err(error) => return self.refuse(origin, error, out),
        };
        let owner = self.owner_of(&lane);
        if owner != self.config.core {
            return out.ring(
                owner,
                RingItem::Publish {
                    origin: core,
                    number,
                    publish,
                },
            );
        }
        let job = Job {
            number: self.job_number(),
            lane,
            origin,
            operation_id: publish.operation_id,
            may_set_time: true,
            check: publish.check,
            also: publish.also,
            msg,
            asking: None,
            found: Vec::new(),
        };
        self.submit(now, job, out);
    }

    /// Answers a Publish that came by this core's link, unless that link is gone: control will ask
    /// again, and finds the message known.
    pub(super) fn answer_publish(&mut self, number: u64, answer: ToControl, out: &mut Out) {
        if let Some(correlation) = self.publishes.remove(&number) {
            out.link(correlation, answer);
        }
    }
}
