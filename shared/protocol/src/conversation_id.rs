//! Conversation ids and ordering keys (spec: gateway.md 6, message.md 1.4).
//!
//! Ids are built, never taken apart: a user id may contain `_`, so an id does not tell its members.

/// sessionType of a chat between two users.
pub const SESSION_SINGLE: i32 = 1;
/// sessionType of the old write-diffusion group; sending is refused.
pub const SESSION_WRITE_GROUP: i32 = 2;
/// sessionType of a group chat.
pub const SESSION_GROUP: i32 = 3;
/// sessionType of a message from a notification account.
pub const SESSION_NOTIFICATION: i32 = 4;

fn sorted<'a>(a: &'a str, b: &'a str) -> (&'a str, &'a str) {
    if a.as_bytes() <= b.as_bytes() {
        (a, b)
    } else {
        (b, a)
    }
}

/// `si_<a>_<b>`, the two ids in byte order.
pub fn single(a: &str, b: &str) -> String {
    let (a, b) = sorted(a, b);
    format!("si_{a}_{b}")
}

/// `sn_<a>_<b>`, the two ids in byte order.
pub fn notification_account(a: &str, b: &str) -> String {
    let (a, b) = sorted(a, b);
    format!("sn_{a}_{b}")
}

/// `sg_<groupID>`.
pub fn group(group_id: &str) -> String {
    format!("sg_{group_id}")
}

/// `n_<a>_<b>`: the notification stream of two users (or of one with itself).
pub fn notification_of_users(a: &str, b: &str) -> String {
    let (a, b) = sorted(a, b);
    format!("n_{a}_{b}")
}

/// `n_<groupID>`: the notification stream of a group.
pub fn notification_of_group(group_id: &str) -> String {
    format!("n_{group_id}")
}

/// The notification twin of a chat conversation: its first `_`-separated part replaced by `n`.
pub fn notification_twin(conversation_id: &str) -> String {
    match conversation_id.split_once('_') {
        Some((_, rest)) => format!("n_{rest}"),
        None => format!("n_{conversation_id}"),
    }
}

/// Whether the id names a notification stream.
pub fn is_notification(conversation_id: &str) -> bool {
    conversation_id.starts_with("n_")
}

/// Ordering key of two users' lane: both ids in byte order joined by `_`. A chat and its
/// notification twin share it.
pub fn ordering_key_of_users(a: &str, b: &str) -> String {
    let (a, b) = sorted(a, b);
    format!("{a}_{b}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_do_not_depend_on_the_order_of_users() {
        assert_eq!(single("b", "a"), "si_a_b");
        assert_eq!(single("a", "a"), "si_a_a");
        assert_eq!(notification_account("z", "B"), "sn_B_z");
        assert_eq!(ordering_key_of_users("b", "a"), "a_b");
    }

    #[test]
    fn a_chat_and_its_twin_share_everything_but_the_prefix() {
        assert_eq!(notification_twin("si_a_b_c"), "n_a_b_c");
        assert_eq!(notification_twin("sg_1"), "n_1");
        assert!(is_notification("n_1"));
        assert!(!is_notification("sg_1"));
    }
}
