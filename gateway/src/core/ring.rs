//! What cores say to each other. The home side (sessions) and the owner side (conversations) of a
//! core speak only through these items too, so that one core and many behave alike; an item for the
//! core itself goes through a local queue within the same turn.

use super::event::{ConnId, CoreId};
use bytes::Bytes;
use ringwire_link::message::Publish;
use ringwire_link::record::TokenKickRecord;
use ringwire_protocol::error::ApiError;
use ringwire_protocol::pb::sdkws::MsgData;
use std::sync::Arc;

/// An item on a ring.
#[derive(Debug)]
pub enum RingItem {
    /// Home core to owner core: a message to check, order, make durable and deliver.
    Send(Box<SendItem>),
    /// Owner core to home core: the outcome of a Send.
    SendDone(Box<SendDone>),
    /// Owner core to home core: deliver to users whose home core this is.
    Deliver {
        /// Receivers; users without a session here are skipped.
        users: Vec<String>,
        /// What.
        push: Arc<Push>,
    },
    /// Owner core to every core: deliver to all local sessions of the group's members.
    DeliverGroup {
        /// The group.
        group_id: String,
        /// Users beside the members (just removed ones) whose home core this may be.
        also: Vec<String>,
        /// What.
        push: Arc<Push>,
    },
    /// A core wants to know, now and whenever it changes, on which platforms users are online.
    /// Sent to the users' home core; answered by [`RingItem::Online`].
    Watch {
        /// Users whose home core is the receiver.
        users: Vec<String>,
        /// The watching core's request; 0 when no answer is wanted.
        request: u64,
    },
    /// The core no longer watches these users.
    Unwatch {
        /// Users.
        users: Vec<String>,
    },
    /// State of watched users.
    Online {
        /// The request this answers, or 0 for a change.
        request: u64,
        /// Users and their online platforms, ascending, without repeats.
        users: Vec<(String, Vec<i32>)>,
    },
    /// Home side to the owner side of the same core: make a login's token kicks durable.
    TokenKick(Box<TokenKickRecord>),
    /// Publish from control that reached the wrong core (ownership moved on its way).
    Publish {
        /// Core whose link it came by, which answers.
        origin: CoreId,
        /// That core's number of the question, repeated in the outcome.
        number: u64,
        /// The message.
        publish: Box<Publish>,
    },
    /// Outcome of a forwarded Publish.
    PublishDone {
        /// The receiving core's number of the question.
        number: u64,
        /// The answer for control.
        answer: Box<ringwire_link::ToControl>,
    },
}

/// A message on its way to its owner core (spec: message.md 2).
#[derive(Debug)]
pub struct SendItem {
    /// The sender's home core.
    pub home: CoreId,
    /// The sender's session.
    pub conn: ConnId,
    /// The session's request number, repeated in the outcome.
    pub request: u64,
    /// operationID of the request.
    pub operation_id: String,
    /// The sender is a configured admin.
    pub admin: bool,
    /// The message; what the session alone can judge or fill is already judged and filled.
    pub msg: MsgData,
}

/// Outcome of a send.
#[derive(Debug)]
pub struct SendDone {
    /// The sender's session.
    pub conn: ConnId,
    /// The session's request number.
    pub request: u64,
    /// The reply, or why not.
    pub result: Result<SendReply, ApiError>,
}

/// What `msg.SendMsgResp` needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendReply {
    /// serverMsgID.
    pub server_msg_id: String,
    /// clientMsgID, echoed.
    pub client_msg_id: String,
    /// Unix milliseconds.
    pub send_time: i64,
}

/// A push, encoded up to but not including the envelope. Each core wraps it once per encoding.
#[derive(Debug)]
pub struct Push {
    /// operationID of the originating request.
    pub operation_id: String,
    /// `sdkws.PushMessages`, encoded.
    pub payload: Bytes,
}
