//! What a user may read of conversations and notification streams (spec: message.md 7, sync.md 8).
//!
//! A chat is read by who owns a record of it. A notification stream is read by who owns a record of
//! the chat it belongs to; a stream of two users also by those two, even without a record. Ids are
//! not taken apart to find users: a stream without a record is judged by the parties of its messages.

use crate::store::{MessageStore, StoreResult, Window};
use ringwire_protocol::conversation_id::{
    SESSION_NOTIFICATION, SESSION_SINGLE, is_notification, notification_of_users,
};
use ringwire_protocol::pb::sdkws::MsgData;
use std::collections::HashMap;

/// How far a user may read a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Not at all.
    None,
    /// Everything in this range, first to last; empty when first > last.
    Visible((i64, i64)),
    /// The same, but only if the messages are between this user and another one.
    IfParty((i64, i64)),
}

impl Access {
    /// The range that may be read.
    pub fn range(self) -> Option<(i64, i64)> {
        match self {
            Self::None => None,
            Self::Visible(range) | Self::IfParty(range) => Some(range),
        }
    }
}

/// Whether the user takes part in a message between two users.
pub fn is_party(user_id: &str, msg: &MsgData) -> bool {
    matches!(msg.session_type, SESSION_SINGLE | SESSION_NOTIFICATION)
        && (msg.send_id == user_id || msg.recv_id == user_id)
}

/// The chats that share a notification stream.
fn chats_of(stream: &str) -> Option<[String; 3]> {
    let rest = stream.strip_prefix("n_")?;
    Some(["si_", "sn_", "sg_"].map(|prefix| format!("{prefix}{rest}")))
}

/// What a user may read of each of these conversations and streams, and their windows.
///
/// # Errors
/// Database failures.
pub async fn access(
    messages: &dyn MessageStore,
    user_id: &str,
    conversation_ids: &[String],
) -> StoreResult<Vec<(Window, Access)>> {
    let mut asked: Vec<String> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut ask = |id: &str| {
        if !places.contains_key(id) {
            places.insert(id.to_owned(), asked.len());
            asked.push(id.to_owned());
        }
    };
    for id in conversation_ids {
        ask(id);
        chats_of(id).iter().flatten().for_each(|chat| ask(chat));
    }
    let windows = messages.windows(user_id, &asked).await?;
    let window = |id: &str| {
        places
            .get(id)
            .and_then(|at| windows.get(*at))
            .cloned()
            .unwrap_or_default()
    };
    Ok(conversation_ids
        .iter()
        .map(|id| {
            let own = window(id);
            let access = match chats_of(id) {
                None => of_chat(&own),
                Some([single, account, group]) => of_stream(
                    user_id,
                    id,
                    &own,
                    &[window(&single), window(&account)],
                    &window(&group),
                ),
            };
            (own, access)
        })
        .collect())
}

fn of_chat(window: &Window) -> Access {
    // A stream never has a record, whatever a client made of its id.
    if window.has_record && !is_notification(&window.conversation_id) {
        Access::Visible(window.visible())
    } else {
        Access::None
    }
}

fn of_stream(
    user_id: &str,
    stream: &str,
    own: &Window,
    users: &[Window],
    group: &Window,
) -> Access {
    if stream == notification_of_users(user_id, user_id) || users.iter().any(|chat| chat.has_record)
    {
        return Access::Visible(own.visible());
    }
    if group.has_record {
        // Who left the group reads up to where he left, and nothing when that was not written down.
        let left = group.user_max_seq > 0;
        return if left && own.user_max_seq == 0 {
            Access::None
        } else {
            Access::Visible(own.visible())
        };
    }
    Access::IfParty(own.visible())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(max_seq: i64, has_record: bool, user_max_seq: i64) -> Window {
        Window {
            max_seq,
            has_record,
            user_max_seq,
            ..Window::default()
        }
    }

    #[test]
    fn a_chat_needs_a_record() {
        assert_eq!(of_chat(&window(9, true, 0)), Access::Visible((1, 9)));
        assert_eq!(of_chat(&window(9, true, 4)), Access::Visible((1, 4)));
        assert_eq!(of_chat(&window(9, false, 0)), Access::None);
    }

    #[test]
    fn a_stream_follows_its_chat() {
        let (none, yes) = (window(0, false, 0), window(3, true, 0));
        let own = window(5, false, 0);
        let none2 = [none.clone(), none.clone()];
        // (stream, own, chats of two users, group) -> access of user "u"
        let cases = [
            ("n_u_u", &own, &none2, &none, Access::Visible((1, 5))),
            (
                "n_u_v",
                &own,
                &[yes.clone(), none.clone()],
                &none,
                Access::Visible((1, 5)),
            ),
            (
                "n_u_v",
                &own,
                &[none.clone(), yes.clone()],
                &none,
                Access::Visible((1, 5)),
            ),
            ("n_u_v", &own, &none2, &none, Access::IfParty((1, 5))),
            ("n_g", &own, &none2, &yes, Access::Visible((1, 5))),
            ("n_g", &own, &none2, &window(9, true, 4), Access::None),
            (
                "n_g",
                &window(5, false, 2),
                &none2,
                &window(9, true, 4),
                Access::Visible((1, 2)),
            ),
        ];
        for (stream, own, users, group, expected) in cases {
            assert_eq!(
                of_stream("u", stream, own, users, group),
                expected,
                "{stream} {own:?} {group:?}"
            );
        }
    }

    #[test]
    fn parties_are_told_by_the_message_not_by_the_id() {
        let msg = |session_type, send: &str, recv: &str| MsgData {
            session_type,
            send_id: send.into(),
            recv_id: recv.into(),
            ..MsgData::default()
        };
        assert!(is_party("a", &msg(1, "a", "b_c")));
        assert!(is_party("b_c", &msg(4, "a", "b_c")));
        assert!(!is_party("b", &msg(1, "a", "b_c")));
        assert!(
            !is_party("a", &msg(3, "a", "g")),
            "a group's stream needs membership"
        );
    }
}
