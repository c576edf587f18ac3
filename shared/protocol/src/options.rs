//! `MsgData.options`: what is done with a message (spec: message.md 1.3 and 2, sync.md 9).

use std::collections::BTreeMap;

use crate::content_type;

/// The map as it stands in `MsgData`. A missing key means true.
pub type Options = BTreeMap<String, bool>;

/// Stored and numbered; when false it is only pushed, with seq 0.
pub const HISTORY: &str = "history";
/// Carried along; nobody reads it.
pub const PERSISTENT: &str = "persistent";
/// Pushed by the operating system to who is away.
pub const OFFLINE_PUSH: &str = "offlinePush";
/// Pushed to the sender's own sessions too (not for groups, which always do).
pub const SENDER_SYNC: &str = "senderSync";
/// A chat message; when false it belongs to the `n_` stream.
pub const IS_NOT_NOTIFICATION: &str = "isNotNotification";
/// A notification of which a copy goes to the chat.
pub const IS_SEND_MSG: &str = "isSendMsg";
/// Counts as unread at the client.
pub const UNREAD_COUNT: &str = "unreadCount";
/// Updates the conversation's preview at the client.
pub const CONVERSATION_UPDATE: &str = "conversationUpdate";
/// The same at the sender's other devices.
pub const SENDER_CONVERSATION_UPDATE: &str = "senderConversationUpdate";
/// Not to be burnt after reading.
pub const NOT_PRIVATE: &str = "notPrivate";
/// Carried along; nobody reads it.
pub const REACTION_FROM_CACHE: &str = "reactionFromCache";

/// Whether an option is on: true unless the map says otherwise.
pub fn is_on(options: &Options, key: &str) -> bool {
    options.get(key).copied().unwrap_or(true)
}

/// Options that the server sets to false whatever the sender says, also where it sent none.
pub const fn forced_off(content_type: i32) -> &'static [&'static str] {
    match content_type {
        content_type::REVOKE_LEGACY => &[UNREAD_COUNT, OFFLINE_PUSH],
        content_type::HAS_READ_RECEIPT => &[
            CONVERSATION_UPDATE,
            SENDER_CONVERSATION_UPDATE,
            UNREAD_COUNT,
            OFFLINE_PUSH,
        ],
        content_type::TYPING => &[
            HISTORY,
            PERSISTENT,
            SENDER_SYNC,
            CONVERSATION_UPDATE,
            SENDER_CONVERSATION_UPDATE,
            UNREAD_COUNT,
            OFFLINE_PUSH,
        ],
        _ => &[],
    }
}

/// Applies [`forced_off`].
pub fn force(content_type: i32, options: &mut Options) {
    for key in forced_off(content_type) {
        options.insert((*key).to_owned(), false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_option_is_on() {
        let mut options = Options::new();
        assert!(is_on(&options, HISTORY));
        options.insert(HISTORY.into(), false);
        assert!(!is_on(&options, HISTORY));
    }

    #[test]
    fn typing_is_forced_into_the_air() {
        let mut options =
            Options::from([(HISTORY.to_owned(), true), (NOT_PRIVATE.to_owned(), true)]);
        force(content_type::TYPING, &mut options);
        assert_eq!(options.values().filter(|on| !**on).count(), 7);
        assert!(!is_on(&options, HISTORY) && is_on(&options, NOT_PRIVATE));
        let mut text = Options::new();
        force(content_type::TEXT, &mut text);
        assert!(text.is_empty());
    }
}
