//! What a client asks to learn whether it is behind: newest seqs (1001), read and newest seqs (1006)
//! (spec: message.md 7.1, 7.4).

use super::reply_budget::ReplyBudget;
use crate::store::{Stores, Window};
use ringwire_protocol::error::ApiError;
use ringwire_protocol::pb::msg::{
    GetConversationsHasReadAndMaxSeqReq, GetConversationsHasReadAndMaxSeqResp, Seqs,
};
use ringwire_protocol::pb::sdkws::GetMaxSeqResp;
use std::cmp::Reverse;
use tracing::warn;

/// 1001, `/msg/newest_seq`: the highest seq of every conversation of the user, of its notification
/// stream and of his own stream; empty ones left out. A user with more conversations than one reply
/// holds gets the ones that were active last. The caller has checked that the user may be read.
///
/// # Errors
/// 500 when the store fails.
pub async fn newest_seqs(stores: &Stores, user_id: &str) -> Result<GetMaxSeqResp, ApiError> {
    let windows = stores.messages.user_windows(user_id).await?;
    let mut all: Vec<Window> = windows.chats;
    all.extend(windows.notifications);
    all.retain(|window| window.max_seq > 0);
    let mut reply = GetMaxSeqResp::default();
    for window in within_reply(user_id, all, 10) {
        reply
            .max_seqs
            .insert(window.conversation_id, window.max_seq);
    }
    Ok(reply)
}

/// 1006, `/msg/get_conversations_has_read_and_max_seq`: of the user's own conversations only. The
/// caller has checked that the user may be read.
///
/// # Errors
/// 500 when the store fails.
pub async fn read_and_max_seqs(
    stores: &Stores,
    request: &GetConversationsHasReadAndMaxSeqReq,
) -> Result<GetConversationsHasReadAndMaxSeqResp, ApiError> {
    let windows = match request.conversation_i_ds.as_slice() {
        [] => stores.messages.user_windows(&request.user_id).await?.chats,
        ids => stores.messages.windows(&request.user_id, ids).await?,
    };
    let mut reply = GetConversationsHasReadAndMaxSeqResp::default();
    let own = windows
        .into_iter()
        .filter(|window| window.has_record)
        .collect();
    for window in within_reply(&request.user_id, own, 36) {
        let seqs = seqs_of(&window);
        reply.seqs.insert(window.conversation_id, seqs);
    }
    if request.return_pinned {
        reply.pinned_conversation_i_ds = stores.conversations.pinned_ids(&request.user_id).await?;
    }
    Ok(reply)
}

/// Who left a group keeps the seq where he left.
pub(super) fn seqs_of(window: &Window) -> Seqs {
    let max_seq = if window.user_max_seq > 0 {
        window.user_max_seq
    } else {
        window.max_seq
    };
    Seqs {
        max_seq,
        has_read_seq: window.read_seq,
        max_seq_time: window.max_send_time,
    }
}

/// As many windows as a reply holds, the ones active last before others; `value`: bytes an entry
/// takes beside its id.
fn within_reply(user_id: &str, mut windows: Vec<Window>, value: usize) -> Vec<Window> {
    let mut budget = ReplyBudget::default();
    if windows
        .iter()
        .all(|w| budget.take_entry(&w.conversation_id, value))
    {
        return windows;
    }
    warn!(
        user_id,
        conversations = windows.len(),
        "a user has more conversations than one reply holds"
    );
    windows.sort_by_key(|w| Reverse(w.max_send_time));
    let mut budget = ReplyBudget::default();
    windows.retain(|w| budget.take_entry(&w.conversation_id, value));
    windows
}

#[cfg(test)]
mod tests {
    use super::super::reply_budget::REPLY_BYTES;
    use super::*;
    use prost::Message as _;

    #[test]
    fn who_left_keeps_the_seq_where_he_left() {
        let window = Window {
            max_seq: 9,
            user_max_seq: 4,
            read_seq: 2,
            max_send_time: 7,
            ..Window::default()
        };
        assert_eq!(
            seqs_of(&window),
            Seqs {
                max_seq: 4,
                has_read_seq: 2,
                max_seq_time: 7
            }
        );
        assert_eq!(
            seqs_of(&Window {
                user_max_seq: 0,
                ..window
            })
            .max_seq,
            9
        );
    }

    #[test]
    fn a_reply_holds_the_conversations_active_last() {
        let window = |n: i64| Window {
            conversation_id: format!("sg_{n:0>60}"),
            max_seq: n,
            max_send_time: n,
            ..Window::default()
        };
        let kept = within_reply("u", (1..=20_000).map(window).collect(), 36);
        assert!(kept.len() < 20_000 && kept.first().is_some_and(|w| w.max_seq == 20_000));
        let reply = GetConversationsHasReadAndMaxSeqResp {
            seqs: kept
                .iter()
                .map(|w| (w.conversation_id.clone(), seqs_of(w)))
                .collect(),
            ..Default::default()
        };
        assert!(reply.encoded_len() < REPLY_BYTES);
        assert_eq!(
            within_reply("u", (1..=100).map(window).collect(), 36).len(),
            100
        );
    }
}
