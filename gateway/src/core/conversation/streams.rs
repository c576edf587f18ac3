//! Which streams a message goes to, and in which shape (spec: message.md 6.5, sync.md 8).

use super::checks::{option, unknown_session_type};
use ringwire_protocol::conversation_id::{
    self as ids, SESSION_GROUP, SESSION_NOTIFICATION, SESSION_SINGLE,
};
use ringwire_protocol::error::ApiError;
use ringwire_protocol::pb::sdkws::MsgData;
use xxhash_rust::xxh3::xxh3_128;

/// One stream that a message goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Conversation or notification stream.
    pub conversation_id: String,
    /// It is a notification stream.
    pub notification: bool,
    /// It gets a seq and is stored.
    pub stored: bool,
    /// The chat copy of a notification.
    pub copy: bool,
}

/// The chat conversation of a message.
///
/// # Errors
/// 1001 when its sessionType cannot be sent.
pub fn chat_id(msg: &MsgData) -> Result<String, ApiError> {
    match msg.session_type {
        SESSION_SINGLE => Ok(ids::single(&msg.send_id, &msg.recv_id)),
        SESSION_GROUP => Ok(ids::group(&msg.group_id)),
        SESSION_NOTIFICATION => Ok(ids::notification_account(&msg.send_id, &msg.recv_id)),
        _ => Err(unknown_session_type()),
    }
}

/// The notification stream of a message's lane.
pub fn notification_id(msg: &MsgData) -> String {
    if msg.session_type == SESSION_GROUP {
        ids::notification_of_group(&msg.group_id)
    } else {
        ids::notification_of_users(&msg.send_id, &msg.recv_id)
    }
}

/// Where a message goes: one stream, or, for a notification that is also a chat message, the copy
/// and then the notification.
///
/// # Errors
/// 1001 when its sessionType cannot be sent.
pub fn targets(msg: &MsgData) -> Result<Vec<Target>, ApiError> {
    let chat = chat_id(msg)?;
    let stored = option(msg, "history");
    if option(msg, "isNotNotification") {
        return Ok(vec![Target {
            conversation_id: chat,
            notification: false,
            stored,
            copy: false,
        }]);
    }
    let mut targets = Vec::with_capacity(2);
    if option(msg, "isSendMsg") {
        targets.push(Target {
            conversation_id: chat,
            notification: false,
            stored: true,
            copy: true,
        });
    }
    targets.push(Target {
        conversation_id: notification_id(msg),
        notification: true,
        stored,
        copy: false,
    });
    Ok(targets)
}

/// The message as it goes to each of its targets.
pub fn shaped(msg: MsgData, targets: &[Target]) -> Vec<MsgData> {
    if !targets.iter().any(|t| t.copy) {
        return vec![msg];
    }
    let mut copy = msg.clone();
    copy.options = ["offlinePush", "unreadCount"]
        .iter()
        .map(|key| ((*key).into(), option(&msg, key)))
        .collect();
    // The copy alone counts as unread and pushes offline, or the receiver would get both twice.
    let mut notice = msg;
    for key in ["offlinePush", "unreadCount"] {
        notice.options.insert(key.into(), false);
    }
    vec![copy, notice]
}

/// Makes serverMsgIDs: opaque, unique for all runs and cores of a gateway.
#[derive(Debug)]
pub struct ServerIds {
    seed: [u8; 16],
    core: u16,
    given: u64,
}

impl ServerIds {
    /// From the randomness of this process start.
    pub fn new(seed: [u8; 16], core: u16) -> Self {
        Self {
            seed,
            core,
            given: 0,
        }
    }

    /// A fresh id: 32 hex digits.
    pub fn fresh(&mut self) -> String {
        self.given += 1;
        let mut bytes = [0; 26];
        bytes[..16].copy_from_slice(&self.seed);
        bytes[16..18].copy_from_slice(&self.core.to_le_bytes());
        bytes[18..].copy_from_slice(&self.given.to_le_bytes());
        format!("{:032x}", xxh3_128(&bytes))
    }
}
