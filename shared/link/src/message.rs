//! Bodies of link frames, one enum a direction.
//!
//! A gateway core opens one connection, sends [`ToControl::Hello`] and waits for
//! [`ToGateway::Welcome`]; after that both sides speak freely. A question carries a correlation id
//! chosen by the asker (odd from the gateway, even and non-zero from control); its answer repeats it.
//! Either side that has said nothing for [`HEARTBEAT_MS`] sends a heartbeat; one that has heard
//! nothing for [`SILENCE_MS`] closes.

#![allow(missing_docs)] // the archive derive makes undocumented twins of the documented types

use crate::facts::{Fact, FactChange, FactKey, TokenFact};
use rkyv::{Archive, Deserialize, Serialize};

/// Quiet time after which a heartbeat is due, milliseconds.
pub const HEARTBEAT_MS: u64 = 5_000;

/// Silence after which the peer is taken for dead, milliseconds.
pub const SILENCE_MS: u64 = 15_000;

/// A position in one journal: all records before it are meant.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct JournalPosition {
    /// Which journal of this gateway (journals are numbered like the cores that write them).
    pub journal: u16,
    /// Byte position.
    pub position: u64,
}

/// From a gateway core to control.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[rkyv(derive(Debug))]
pub enum ToControl {
    /// First frame of a connection.
    Hello(Hello),
    /// Nothing to say, still here.
    Heartbeat,
    /// Committed journal records, whole, in order; `bytes` starts at `from` and ends at `to`.
    /// Answered by [`ToGateway::Stored`] once they are in the database.
    Journal {
        /// Which journal.
        journal: u16,
        /// Position of the first byte.
        from: u64,
        /// Position after the last byte (a jump past the padding at a segment's end is included).
        to: u64,
        /// Records as laid out by [`crate::record`].
        bytes: Vec<u8>,
    },
    /// Question: read facts. Answer: [`ToGateway::Facts`], values in the order of the keys.
    FetchFacts {
        /// At most 1,000 keys.
        keys: Vec<FactKey>,
    },
    /// Question: state of conversations the core does not hold. Answer: [`ToGateway::Conversations`].
    OpenConversations {
        /// At most 1,000 ids.
        ids: Vec<String>,
    },
    /// Question: was this message stored before? Answer: [`ToGateway::Duplicate`].
    FindDuplicate {
        /// Conversation.
        conversation_id: String,
        /// Sender.
        send_id: String,
        /// The sender's id of the message.
        client_msg_id: String,
    },
    /// Question: a client's request that control answers (1001, 1002, 1005, 1006, 1007, 2003).
    /// Answer: [`ToGateway::CallReply`].
    Call(Call),
    /// All changes up to `version` are in force on this core.
    FactsApplied {
        /// The last version applied.
        version: u64,
    },
    /// Answer to [`ToGateway::Publish`]: sequenced and durable (or found to be a duplicate, or refused).
    Published {
        /// 0, or the error code.
        err_code: i32,
        /// Detail of the error.
        err_detail: String,
        /// `serverMsgID` given.
        server_msg_id: String,
        /// `sendTime` given, Unix milliseconds.
        send_time: i64,
        /// Seq given; 0 when the message is not stored.
        seq: i64,
        /// The message was known already; nothing was sent again.
        duplicate: bool,
    },
    /// Users whose set of online platforms changed (or all online users, right after Hello).
    Presence {
        /// `true`: this replaces everything control knew of this core; sent once after Hello, possibly in parts.
        snapshot: bool,
        /// Who, and the platforms now online, ascending, without repeats; empty = offline.
        users: Vec<UserPlatforms>,
    },
    /// Answer to [`ToGateway::QuerySessions`].
    Sessions {
        /// Live sessions of the users asked for.
        sessions: Vec<SessionInfo>,
    },
    /// Answer to [`ToGateway::Kick`]: how many sessions were closed.
    Kicked {
        /// Sessions closed.
        closed: u32,
    },
}

/// Who is calling, and what it holds.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Hello {
    /// Name of the gateway, unique among the gateways of one control.
    pub gateway: String,
    /// Random per process start.
    pub boot: u64,
    /// Which core this connection belongs to.
    pub core: u16,
    /// How many cores the gateway has.
    pub cores: u16,
    /// Owner epoch the gateway writes with.
    pub epoch: u32,
    /// Journals this core streams: its own and orphans of a former run with more cores. `position`
    /// is the first byte it still has.
    pub journals: Vec<JournalPosition>,
    /// Control boot that the core's facts came from; 0 = none.
    pub facts_boot: u64,
    /// Version of the last change applied.
    pub facts_version: u64,
}

/// A client's request handed to control.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Call {
    /// reqIdentifier.
    pub kind: i32,
    /// The session's user: the operator.
    pub user_id: String,
    /// The session's platform.
    pub platform_id: i32,
    /// Trace id.
    pub operation_id: String,
    /// The request's protobuf.
    pub data: Vec<u8>,
    /// Answer only after all of these are stored: one entry for each journal with committed records.
    pub after: Vec<JournalPosition>,
}

/// A user and platforms.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct UserPlatforms {
    /// Who.
    pub user_id: String,
    /// Platform ids.
    pub platforms: Vec<i32>,
}

/// One live session.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct SessionInfo {
    /// Whose.
    pub user_id: String,
    /// Platform.
    pub platform_id: i32,
    /// 32 hex digits.
    pub conn_id: String,
    /// Background flag.
    pub background: bool,
}

/// From control to a gateway core.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[rkyv(derive(Debug))]
pub enum ToGateway {
    /// Answer to Hello.
    Welcome(Welcome),
    /// Hello is refused; the connection closes. The gateway logs the reason and tries again slowly.
    Refused {
        /// For people.
        reason: String,
    },
    /// Nothing to say, still here.
    Heartbeat,
    /// Everything before the position is in the database.
    Stored(JournalPosition),
    /// Answer to [`ToControl::FetchFacts`]; the error of a store failure instead of values.
    Facts {
        /// One a key, in order.
        facts: Result<Vec<Fact>, String>,
    },
    /// Answer to [`ToControl::OpenConversations`].
    Conversations {
        /// One an id, in order.
        states: Result<Vec<ConversationState>, String>,
    },
    /// Answer to [`ToControl::FindDuplicate`].
    Duplicate {
        /// The stored message, if there is one.
        found: Result<Option<KnownMessage>, String>,
    },
    /// Answer to [`ToControl::Call`].
    CallReply {
        /// 0 or an error code.
        err_code: i32,
        /// errMsg.
        err_msg: String,
        /// The reply's protobuf.
        data: Vec<u8>,
    },
    /// The world changed. Answered (without correlation) by [`ToControl::FactsApplied`].
    FactChanges {
        /// Version after these changes; consecutive per control boot.
        version: u64,
        /// In order.
        changes: Vec<FactChange>,
    },
    /// States of all live and kicked tokens of users whose home core this is; sent after Welcome in parts.
    TokenSnapshot {
        /// Some of them.
        tokens: Vec<TokenFact>,
        /// The last part: from now on an unknown token is a token that does not exist.
        done: bool,
    },
    /// Question: sequence and deliver a message that control made (API sends, notifications).
    /// Answer: [`ToControl::Published`]. Sent to the owner core of its lane.
    Publish(Publish),
    /// Question: close sessions with the kick frame. Answer: [`ToControl::Kicked`].
    Kick {
        /// Whose sessions.
        user_id: String,
        /// On which platforms; empty = all.
        platforms: Vec<i32>,
    },
    /// Question: live sessions of users. Answer: [`ToControl::Sessions`].
    QuerySessions {
        /// Users whose home core this is.
        user_ids: Vec<String>,
    },
}

/// What a core must know before it may speak freely.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Welcome {
    /// Random per control start.
    pub boot: u64,
    /// Version of the last change published. Unless `boot` and the version follow on from what the
    /// core said in Hello, it must forget all facts (tokens are sent again in any case).
    pub facts_version: u64,
    /// Facts held by the core are still good: it missed nothing, or what it missed follows as changes.
    pub facts_current: bool,
    /// For each journal named in Hello: where streaming goes on.
    pub stored: Vec<JournalPosition>,
}

/// How far a sender's clock may run before the server's, milliseconds, before the duplicate check
/// takes notice.
pub const CLOCK_SLACK_MS: i64 = 2_000;

/// Whether the clock runs ahead by which a message taken at `send_time` was made at `create_time`.
pub fn runs_ahead(create_time: i64, send_time: i64) -> bool {
    create_time > send_time.saturating_add(CLOCK_SLACK_MS)
}

/// Stored state of a conversation, for its owner core.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[rkyv(derive(Debug))]
pub struct ConversationState {
    /// Highest stored seq; 0 = empty.
    pub max_seq: i64,
    /// sendTime of that message, Unix milliseconds.
    pub max_send_time: i64,
    /// The newest stored messages, ascending by seq, at most 64, for the duplicate check.
    pub recent: Vec<KnownMessage>,
    /// Senders of stored messages whose clocks ran ahead, each once.
    pub ahead: Vec<SenderAhead>,
}

/// A sender whose clock ran ahead. A message of his that says it was made no later than
/// `create_time` may be an old one sent again, however new it looks.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct SenderAhead {
    /// Who; empty = anybody (said when there are too many to name).
    pub send_id: String,
    /// The latest `createTime` of his that lay ahead, Unix milliseconds.
    pub create_time: i64,
}

/// A stored message as the duplicate check knows it.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct KnownMessage {
    /// Sender.
    pub send_id: String,
    /// The sender's id of it.
    pub client_msg_id: String,
    /// The server's id of it.
    pub server_msg_id: String,
    /// Unix milliseconds.
    pub send_time: i64,
    /// When its sender says he made it, Unix milliseconds.
    pub create_time: i64,
    /// Seq.
    pub seq: i64,
}

impl KnownMessage {
    /// Whether its sender's clock ran ahead.
    pub fn is_ahead(&self) -> bool {
        runs_ahead(self.create_time, self.send_time)
    }
}

/// A message made by control.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Publish {
    /// `sdkws.MsgData`, encoded. Options decide stream, storage and copies as for any message.
    pub msg: Vec<u8>,
    /// operationID of the cause; pushes repeat it.
    pub operation_id: String,
    /// Run the permission checks of spec message.md 3 (API sends) or none (notifications).
    pub check: bool,
    /// Users beside the ordinary receivers who also get the push (members just removed).
    pub also: Vec<String>,
}
