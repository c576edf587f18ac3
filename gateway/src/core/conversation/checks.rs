//! May this message be sent? The order of the checks is part of the wire (spec: message.md 3).

use crate::core::facts::Facts;
use ringwire_link::facts::FactKey;
use ringwire_protocol::conversation_id::{SESSION_GROUP, SESSION_NOTIFICATION, SESSION_SINGLE};
use ringwire_protocol::error::{ApiError, ErrorCode};
use ringwire_protocol::pb::sdkws::MsgData;
use std::collections::HashSet;

/// Level from which an account is a system account.
const SYSTEM_LEVEL: i32 = 2;
/// A group that was dismissed.
const GROUP_DISMISSED: i32 = 2;
/// A group in which only its owner and admins may speak.
const GROUP_MUTED: i32 = 3;
/// groupType whose members are not checked.
const GROUP_OPEN: i32 = 1;
const ROLE_OWNER: i32 = 100;
const ROLE_ADMIN: i32 = 60;
/// Content type that tells members of the dismissal itself.
const GROUP_DISMISSED_NOTICE: i32 = 1511;
/// Content type of a read receipt.
const READ_RECEIPT: i32 = 2200;
/// Receive options of users and conversations.
const REFUSE: i32 = 1;
const NO_OFFLINE_PUSH: i32 = 2;

/// What checks depend on beside facts.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Configured admins.
    pub admins: &'a HashSet<String>,
    /// Single chats only with somebody who lists the sender as a friend.
    pub friend_verify: bool,
    /// Unix milliseconds.
    pub now: i64,
}

/// What became of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// May be sent.
    Accepted {
        /// The receiver wants no offline push for it.
        no_offline_push: bool,
    },
    /// May not.
    Refused(ApiError),
    /// Not to be said before these facts are known.
    Missing(Vec<FactKey>),
}

/// The reading of an option: a missing one means true.
pub fn option(msg: &MsgData, key: &str) -> bool {
    msg.options.get(key).copied().unwrap_or(true)
}

/// Whether the content type is one of notifications.
fn notification_type(content_type: i32) -> bool {
    (1000..=5000).contains(&content_type)
}

/// Judges a message.
pub fn judge(msg: &MsgData, rules: Rules<'_>, facts: &mut Facts) -> Verdict {
    let outcome = match msg.session_type {
        SESSION_SINGLE => single(msg, rules, facts),
        SESSION_GROUP => group(msg, rules, facts),
        SESSION_NOTIFICATION => Ok(false),
        _ => Err(Stop::Refuse(unknown_session_type())),
    };
    match outcome {
        Ok(no_offline_push) => Verdict::Accepted { no_offline_push },
        Err(Stop::Refuse(error)) => Verdict::Refused(error),
        Err(Stop::Unknown) => {
            let mut keys = may_need(msg);
            keys.retain(|key| !facts.knows(key));
            Verdict::Missing(keys)
        }
    }
}

/// The refusal of a sessionType that cannot be sent.
pub fn unknown_session_type() -> ApiError {
    ApiError::args("unknown sessionType")
}

/// Why checking stops.
enum Stop {
    Refuse(ApiError),
    Unknown,
}

impl From<ApiError> for Stop {
    fn from(error: ApiError) -> Self {
        Self::Refuse(error)
    }
}

fn sorted<'a>(a: &'a str, b: &'a str) -> (&'a str, &'a str) {
    if a.as_bytes() <= b.as_bytes() {
        (a, b)
    } else {
        (b, a)
    }
}

/// Every fact that the checks of this message may look at, so that one question to control is enough.
fn may_need(msg: &MsgData) -> Vec<FactKey> {
    match msg.session_type {
        SESSION_SINGLE => {
            let (a, b) = sorted(&msg.send_id, &msg.recv_id);
            let mut keys = vec![FactKey::User(a.into()), FactKey::Pair(a.into(), b.into())];
            if a != b {
                keys.insert(1, FactKey::User(b.into()));
            }
            keys
        }
        SESSION_GROUP => vec![
            FactKey::Group(msg.group_id.clone()),
            FactKey::Member {
                group_id: msg.group_id.clone(),
                user_id: msg.send_id.clone(),
            },
        ],
        _ => Vec::new(),
    }
}

/// Checks of message.md 3.1. `Ok(true)`: without offline push.
fn single(msg: &MsgData, rules: Rules<'_>, facts: &mut Facts) -> Result<bool, Stop> {
    let (a, b) = sorted(&msg.send_id, &msg.recv_id);
    let to_self = a == b;
    let receiver_is_a = msg.recv_id == a;
    if !rules.admins.contains(&msg.send_id) && !notification_type(msg.content_type) {
        // Place of the webhook beforeSendSingleMsg.
        let sender = facts.user(&msg.send_id).ok_or(Stop::Unknown)?;
        let sender = sender.ok_or_else(|| ApiError::not_found("sender is not registered"))?;
        if sender.level < SYSTEM_LEVEL && !to_self {
            let pair = facts.pair(a, b).ok_or(Stop::Unknown)?;
            let (blocks, lists) = if receiver_is_a {
                (pair.a_blocks_b, pair.a_lists_b)
            } else {
                (pair.b_blocks_a, pair.b_lists_a)
            };
            if blocks {
                return Err(ApiError::new(ErrorCode::BlockedByPeer, "").into());
            }
            if rules.friend_verify && !lists {
                return Err(ApiError::new(ErrorCode::NotPeersFriend, "").into());
            }
        }
    }
    if !option(msg, "isNotNotification") {
        return Ok(false);
    }
    let receiver = facts.user(&msg.recv_id).ok_or(Stop::Unknown)?;
    let receiver = receiver.ok_or_else(|| ApiError::not_found("receiver is not registered"))?;
    match receiver.global_recv_opt {
        REFUSE => return Err(ApiError::args("message is not sent").into()),
        NO_OFFLINE_PUSH => return Ok(true),
        _ => {}
    }
    let pair = facts.pair(a, b).ok_or(Stop::Unknown)?;
    // Place of the webhook beforeMsgModify, once this has passed.
    match if receiver_is_a {
        pair.a_recv_opt
    } else {
        pair.b_recv_opt
    } {
        Some(REFUSE) if msg.content_type != READ_RECEIPT => {
            Err(ApiError::args("message is not sent").into())
        }
        Some(NO_OFFLINE_PUSH) => Ok(true),
        _ => Ok(false),
    }
}

/// Checks of message.md 3.2.
fn group(msg: &MsgData, rules: Rules<'_>, facts: &mut Facts) -> Result<bool, Stop> {
    let group = facts.group(&msg.group_id).ok_or(Stop::Unknown)?;
    let group = group.ok_or_else(|| ApiError::not_found("no such group"))?;
    if group.status == GROUP_DISMISSED && msg.content_type != GROUP_DISMISSED_NOTICE {
        return Err(ApiError::new(ErrorCode::DismissedAlready, "").into());
    }
    if group.group_type == GROUP_OPEN
        || rules.admins.contains(&msg.send_id)
        || notification_type(msg.content_type)
    {
        return Ok(false);
    }
    let member = facts
        .member(&msg.group_id, &msg.send_id)
        .ok_or(Stop::Unknown)?;
    let member = member.ok_or_else(|| ApiError::new(ErrorCode::NotInGroupYet, ""))?;
    if member.role == ROLE_OWNER {
        return Ok(false);
    }
    if member.mute_end_ms >= rules.now {
        return Err(ApiError::new(ErrorCode::MutedInGroup, "").into());
    }
    if group.status == GROUP_MUTED && member.role != ROLE_ADMIN {
        return Err(ApiError::new(ErrorCode::MutedGroup, "").into());
    }
    // Places of the webhooks beforeSendGroupMsg and beforeMsgModify.
    Ok(false)
}
