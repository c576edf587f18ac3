//! Notifications: what the server itself puts into conversations (spec: message.md 6.5, sync.md 9
//! and 10).

use serde::de::DeserializeOwned;
use serde::ser::Serialize;

use crate::content_type::*;
use crate::conversation_id::{SESSION_GROUP, SESSION_SINGLE};
use crate::json::{self, JsonError, JsonFault};
use crate::json_text::{append_string, match_key};
use crate::options::{self, Options};

/// Whether a notification lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reliability {
    /// Level 1: pushed to who is online, with seq 0; clients learn the rest from version logs.
    #[default]
    OnlineOnly,
    /// Level 2: stored in the `n_` stream, with a seq.
    Stored,
}

/// Text of an offline push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PushText {
    /// Title.
    pub title: &'static str,
    /// Text.
    pub desc: &'static str,
}

/// How a type of notification is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults {
    /// Content type.
    pub content_type: i32,
    /// Session type; nothing where the cause of the notification says it.
    pub session_type: Option<i32>,
    /// A copy goes to the chat as an ordinary message (`isSendMsg`).
    pub chat_copy: bool,
    /// Whether it lasts.
    pub reliability: Reliability,
    /// The operating system's push for who is away, if any.
    pub push: Option<PushText>,
}

const SINGLE: Option<i32> = Some(SESSION_SINGLE);
const GROUP: Option<i32> = Some(SESSION_GROUP);

const fn plain(content_type: i32, session_type: Option<i32>) -> Defaults {
    Defaults {
        content_type,
        session_type,
        chat_copy: false,
        reliability: Reliability::OnlineOnly,
        push: None,
    }
}

const fn chat(content_type: i32, session_type: Option<i32>) -> Defaults {
    Defaults {
        chat_copy: true,
        ..plain(content_type, session_type)
    }
}

const fn stored(content_type: i32) -> Defaults {
    Defaults {
        reliability: Reliability::Stored,
        ..plain(content_type, None)
    }
}

const fn pushed(defaults: Defaults, title: &'static str, desc: &'static str) -> Defaults {
    Defaults {
        push: Some(PushText { title, desc }),
        ..defaults
    }
}

/// Every notification type, ascending. Message 1400 is not one of them: it is an ordinary message
/// of a notification account. Neither are the user commands 1305 to 1307: OpenIM never delivers
/// them, and SDKs log an error for each that comes.
pub const DEFAULTS: &[Defaults] = &[
    pushed(
        chat(FRIEND_APPLICATION_APPROVED, SINGLE),
        "Friend request",
        "Your friend request was accepted",
    ),
    pushed(
        plain(FRIEND_APPLICATION_REJECTED, SINGLE),
        "Friend request",
        "Your friend request was declined",
    ),
    pushed(
        plain(FRIEND_APPLICATION, SINGLE),
        "Friend request",
        "Someone wants to be your friend",
    ),
    plain(FRIEND_ADDED, SINGLE),
    plain(FRIEND_DELETED, SINGLE),
    plain(FRIEND_REMARK_SET, SINGLE),
    plain(BLACK_ADDED, SINGLE),
    plain(BLACK_DELETED, SINGLE),
    plain(FRIEND_INFO_UPDATED, SINGLE),
    plain(FRIENDS_INFO_UPDATED, SINGLE),
    plain(CONVERSATION_CHANGED, SINGLE),
    plain(USER_INFO_UPDATED, SINGLE),
    plain(USER_STATUS_CHANGED, SINGLE),
    chat(GROUP_CREATED, GROUP),
    plain(GROUP_INFO_SET, GROUP),
    pushed(
        plain(JOIN_GROUP_APPLICATION, SINGLE),
        "Group",
        "Someone asks to join your group",
    ),
    chat(MEMBER_QUIT, GROUP),
    pushed(
        plain(GROUP_APPLICATION_ACCEPTED, SINGLE),
        "Group",
        "A request to join was accepted",
    ),
    pushed(
        plain(GROUP_APPLICATION_REJECTED, SINGLE),
        "Group",
        "A request to join was declined",
    ),
    chat(GROUP_OWNER_TRANSFERRED, GROUP),
    chat(MEMBER_KICKED, GROUP),
    chat(MEMBER_INVITED, GROUP),
    chat(MEMBER_ENTER, GROUP),
    chat(GROUP_DISMISSED, GROUP),
    chat(GROUP_MEMBER_MUTED, GROUP),
    chat(GROUP_MEMBER_CANCEL_MUTED, GROUP),
    chat(GROUP_MUTED, GROUP),
    chat(GROUP_CANCEL_MUTED, GROUP),
    plain(GROUP_MEMBER_INFO_SET, GROUP),
    plain(GROUP_MEMBER_SET_TO_ADMIN, GROUP),
    plain(GROUP_MEMBER_SET_TO_ORDINARY, GROUP),
    chat(GROUP_ANNOUNCEMENT_SET, GROUP),
    chat(GROUP_NAME_SET, GROUP),
    chat(CONVERSATION_PRIVATE, SINGLE),
    plain(CONVERSATION_UNREAD, SINGLE),
    plain(CLEAR_CONVERSATION, None),
    plain(CONVERSATION_DELETED, None),
    plain(BUSINESS, None),
    stored(REVOKE),
    stored(DELETE_MSGS),
    stored(HAS_READ_RECEIPT),
];

/// Defaults of a content type, or nothing if it is no notification of ours.
pub fn defaults(content_type: i32) -> Option<&'static Defaults> {
    let at = DEFAULTS
        .binary_search_by_key(&content_type, |d| d.content_type)
        .ok()?;
    Some(&DEFAULTS[at])
}

/// The option map of a notification, all eleven keys. `to_self`: sender and receiver are the same
/// user.
pub fn options(how: &Defaults, to_self: bool) -> Options {
    let stored = how.reliability == Reliability::Stored
        && !(to_self && how.content_type == HAS_READ_RECEIPT);
    let set = [
        (options::IS_NOT_NOTIFICATION, false),
        (options::IS_SEND_MSG, how.chat_copy),
        (options::HISTORY, stored),
        (options::PERSISTENT, stored),
        (options::OFFLINE_PUSH, how.push.is_some()),
        (options::UNREAD_COUNT, how.chat_copy),
        (options::CONVERSATION_UPDATE, false),
        (options::NOT_PRIVATE, false),
        (options::SENDER_CONVERSATION_UPDATE, false),
        (options::REACTION_FROM_CACHE, false),
        (
            options::SENDER_SYNC,
            how.content_type != USER_STATUS_CHANGED,
        ),
    ];
    set.into_iter()
        .map(|(key, on)| (key.to_owned(), on))
        .collect()
}

/// Options of the chat copy, if a notification with these options has one: it takes over the
/// offline push and the unread count, and the notification loses both.
pub fn split_chat_copy(options: &mut Options) -> Option<Options> {
    if options::is_on(options, options::IS_NOT_NOTIFICATION)
        || !options::is_on(options, options::IS_SEND_MSG)
    {
        return None;
    }
    let moved = [options::OFFLINE_PUSH, options::UNREAD_COUNT];
    let copy = moved.map(|key| (key.to_owned(), options::is_on(options, key)));
    for key in moved {
        options.insert(key.to_owned(), false);
    }
    Some(copy.into())
}

/// `MsgData.content` of a notification: its tips as JSON text within JSON.
///
/// # Errors
/// None for messages; whatever other values' own serialization may give.
pub fn content<T: Serialize>(tips: &T) -> Result<Vec<u8>, JsonError> {
    let detail = json::to_string(tips)?;
    let mut out = Vec::with_capacity(detail.len() + detail.len() / 4 + 16);
    out.extend_from_slice(br#"{"detail":"#);
    append_string(&detail, &mut out);
    out.push(b'}');
    Ok(out)
}

/// The tips in a notification's content.
///
/// # Errors
/// The content is not of that form, or the text in it is not a `T`.
pub fn tips<T: DeserializeOwned>(content: &[u8]) -> Result<T, JsonError> {
    let object: std::collections::BTreeMap<String, serde_json::Value> = json::from_slice(content)?;
    let detail = object
        .iter()
        .find(|(key, _)| match_key(&["detail"], key).is_some());
    match detail {
        Some((_, serde_json::Value::String(detail))) => json::from_slice(detail.as_bytes()),
        _ => Err(JsonError {
            fault: JsonFault::Type,
            line: 1,
            column: 1,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb;

    #[test]
    fn the_table_is_the_specs() {
        assert!(
            DEFAULTS
                .windows(2)
                .all(|w| w[0].content_type < w[1].content_type)
        );
        assert!(DEFAULTS.iter().all(|d| is_notification(d.content_type)));
        let types = |test: fn(&Defaults) -> bool| -> Vec<i32> {
            DEFAULTS
                .iter()
                .filter(|d| test(d))
                .map(|d| d.content_type)
                .collect()
        };
        assert_eq!(
            types(|d| d.chat_copy),
            [
                1201, 1501, 1504, 1507, 1508, 1509, 1510, 1511, 1512, 1513, 1514, 1515, 1519, 1520,
                1701
            ]
        );
        assert_eq!(
            types(|d| d.push.is_some()),
            [1201, 1202, 1203, 1503, 1505, 1506]
        );
        assert_eq!(
            types(|d| d.reliability == Reliability::Stored),
            [2101, 2102, 2200]
        );
        assert_eq!(
            (defaults(OA_NOTIFICATION), defaults(USER_COMMAND_ADDED)),
            (None, None)
        );
        assert_eq!(
            defaults(JOIN_GROUP_APPLICATION).and_then(|d| d.session_type),
            Some(1)
        );
        assert_eq!(defaults(MEMBER_QUIT).and_then(|d| d.session_type), Some(3));
    }

    /// Keys that are true.
    fn on(options: &Options) -> Vec<&str> {
        options
            .iter()
            .filter(|(_, on)| **on)
            .map(|(key, _)| key.as_str())
            .collect()
    }

    #[test]
    fn options_follow_from_the_defaults() {
        let of = |t: i32, to_self: bool| options(defaults(t).unwrap(), to_self);
        assert_eq!(of(FRIEND_DELETED, false).len(), 11);
        assert_eq!(on(&of(FRIEND_DELETED, false)), ["senderSync"]);
        assert_eq!(
            on(&of(GROUP_CREATED, false)),
            ["isSendMsg", "senderSync", "unreadCount"]
        );
        assert_eq!(
            on(&of(FRIEND_APPLICATION_APPROVED, false)),
            ["isSendMsg", "offlinePush", "senderSync", "unreadCount"]
        );
        assert!(on(&of(USER_STATUS_CHANGED, false)).is_empty());
        assert_eq!(
            on(&of(HAS_READ_RECEIPT, false)),
            ["history", "persistent", "senderSync"]
        );
        assert_eq!(on(&of(HAS_READ_RECEIPT, true)), ["senderSync"]);
        assert_eq!(
            on(&of(REVOKE, true)),
            ["history", "persistent", "senderSync"]
        );
    }

    #[test]
    fn the_chat_copy_takes_push_and_unread_along() {
        let mut approved = options(defaults(FRIEND_APPLICATION_APPROVED).unwrap(), false);
        let copy = split_chat_copy(&mut approved).unwrap();
        assert_eq!(
            copy,
            [
                ("offlinePush".to_owned(), true),
                ("unreadCount".to_owned(), true)
            ]
            .into()
        );
        assert_eq!(on(&approved), ["isSendMsg", "senderSync"]);
        let mut deleted = options(defaults(FRIEND_DELETED).unwrap(), false);
        assert_eq!(split_chat_copy(&mut deleted), None);
        assert_eq!(
            split_chat_copy(&mut Options::new()),
            None,
            "a chat message has no copy"
        );
    }

    #[test]
    fn content_is_json_in_json() {
        let tips_sent = pb::sdkws::DeleteMsgsTips {
            user_id: "\"u\"".into(),
            conversation_id: "si_1_2".into(),
            seqs: vec![1, 2],
        };
        let content = content(&tips_sent).unwrap();
        assert_eq!(
            std::str::from_utf8(&content).unwrap(),
            r#"{"detail":"{\"userID\":\"\\\"u\\\"\",\"conversationID\":\"si_1_2\",\"seqs\":[1,2]}"}"#
        );
        assert_eq!(tips::<pb::sdkws::DeleteMsgsTips>(&content), Ok(tips_sent));
        for bad in [
            &b"{}"[..],
            b"{\"detail\":{}}",
            b"{\"detail\":\"x\"}",
            b"",
            b"[]",
        ] {
            assert!(tips::<pb::sdkws::DeleteMsgsTips>(bad).is_err());
        }
    }
}
