//! Conversations with all that a list of them shows: last message, peer or group, unread count
//! (spec: conversation.md 11).

use super::pull::newest_visible;
use super::reply_budget::ReplyBudget;
use super::{groups, sync, users};
use crate::store::{ConversationRecord, Friend, Stores, Window};
use ringwire_protocol::error::ApiError;
use ringwire_protocol::pb::jssdk::ConversationMsg;
use ringwire_protocol::pb::msg::Seqs;
use ringwire_protocol::pb::relation::FriendInfoOnly;
use ringwire_protocol::pb::sdkws::{GroupInfo, UserInfo};
use std::cmp::Reverse;
use std::collections::HashMap;

/// Conversations when the client does not say how many, or too many.
const DEFAULT_COUNT: usize = 100;

/// Most conversations a client may ask for.
const MAX_COUNT: i64 = 500;

/// Last messages of one reply, bytes: some 16 KiB for each of the most that can be asked for.
const LAST_MESSAGES_BYTES: usize = 8 << 20;

/// The sum of unread messages of all conversations that have any message, and those of them that were
/// active last: pinned ones first, at most `count`.
///
/// # Errors
/// 500 when the store fails.
pub async fn newest(
    stores: &Stores,
    user_id: &str,
    count: i64,
) -> Result<(i64, Vec<ConversationMsg>), ApiError> {
    let count = match count {
        1..=MAX_COUNT => usize::try_from(count).unwrap_or(DEFAULT_COUNT),
        _ => DEFAULT_COUNT,
    };
    let mut active = stores.messages.user_windows(user_id).await?.chats;
    active.retain(|window| window.max_seq > 0);
    let unread = unread(&active);
    active.sort_by_key(|window| (!window.is_pinned, Reverse(window.max_send_time)));
    active.truncate(count);
    Ok((unread, shown(stores, user_id, active).await?))
}

/// The same for the conversations with these ids; those without a record are left out.
///
/// # Errors
/// 500 when the store fails.
pub async fn by_id(
    stores: &Stores,
    user_id: &str,
    ids: &[String],
) -> Result<(i64, Vec<ConversationMsg>), ApiError> {
    if ids.is_empty() {
        return Ok((0, Vec::new()));
    }
    let mut windows = stores.messages.windows(user_id, ids).await?;
    windows.retain(|window| window.has_record && window.max_seq > 0);
    let unread = unread(&windows);
    Ok((unread, shown(stores, user_id, windows).await?))
}

fn unread(windows: &[Window]) -> i64 {
    let one = |window| {
        let Seqs {
            max_seq,
            has_read_seq,
            ..
        } = sync::seqs_of(window);
        max_seq.saturating_sub(has_read_seq).max(0)
    };
    windows.iter().map(one).fold(0, i64::saturating_add)
}

async fn shown(
    stores: &Stores,
    user_id: &str,
    windows: Vec<Window>,
) -> Result<Vec<ConversationMsg>, ApiError> {
    let ids: Vec<String> = windows.iter().map(|w| w.conversation_id.clone()).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let records = stores.conversations.get(user_id, &ids).await?;
    let budget = ReplyBudget::new(LAST_MESSAGES_BYTES);
    let mut last = newest_visible(stores.messages.as_ref(), user_id, &ids, budget).await?;
    let people = People::read(stores, user_id, &records).await?;
    let mut records: HashMap<String, ConversationRecord> = records
        .into_iter()
        .map(|r| (r.conversation_id.clone(), r))
        .collect();
    let mut list = Vec::with_capacity(windows.len());
    for window in windows {
        // Nothing to see, nothing to list.
        let Some(last_msg) = last.remove(&window.conversation_id) else {
            continue;
        };
        let Some(record) = records.remove(&window.conversation_id) else {
            continue;
        };
        let Seqs {
            max_seq,
            has_read_seq,
            ..
        } = sync::seqs_of(&window);
        list.push(ConversationMsg {
            user: people.users.get(&record.user_id).cloned(),
            friend: people.friends.get(&record.user_id).cloned(),
            group: people.groups.get(&record.group_id).cloned(),
            conversation: Some(record.into()),
            last_msg: Some(last_msg),
            max_seq,
            read_seq: has_read_seq,
        });
    }
    Ok(list)
}

/// Peers and groups of some records.
struct People {
    users: HashMap<String, UserInfo>,
    friends: HashMap<String, FriendInfoOnly>,
    groups: HashMap<String, GroupInfo>,
}

impl People {
    async fn read(
        stores: &Stores,
        user_id: &str,
        records: &[ConversationRecord],
    ) -> Result<Self, ApiError> {
        let (of_groups, of_users): (Vec<_>, Vec<_>) =
            records.iter().partition(|r| !r.group_id.is_empty());
        let peers: Vec<String> = of_users.iter().map(|r| r.user_id.clone()).collect();
        let group_ids: Vec<String> = of_groups.iter().map(|r| r.group_id.clone()).collect();
        let mut people = Self {
            users: HashMap::new(),
            friends: HashMap::new(),
            groups: HashMap::new(),
        };
        if !peers.is_empty() {
            let found = stores.users.get(&peers).await?;
            people.users = found
                .iter()
                .map(|u| (u.user_id.clone(), users::info(u)))
                .collect();
            let found = stores.relations.friends_by_id(user_id, &peers).await?;
            people.friends = found
                .into_iter()
                .map(|f| (f.friend_id.clone(), friend(f)))
                .collect();
        }
        if !group_ids.is_empty() {
            let found = stores.groups.get(&group_ids).await?;
            people.groups = found
                .into_iter()
                .map(|g| (g.group_id.clone(), groups::info(g)))
                .collect();
        }
        Ok(people)
    }
}

/// Times of this call are in milliseconds (spec: relation.md 2).
fn friend(friend: Friend) -> FriendInfoOnly {
    FriendInfoOnly {
        owner_user_id: friend.owner_id,
        friend_user_id: friend.friend_id,
        remark: friend.remark,
        create_time: friend.create_time,
        add_source: friend.add_source,
        operator_user_id: friend.operator_id,
        ex: friend.ex,
        is_pinned: friend.is_pinned,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unread_messages_are_counted_as_the_user_sees_them() {
        let window = |max_seq, user_max_seq, read_seq| Window {
            max_seq,
            user_max_seq,
            read_seq,
            ..Window::default()
        };
        // Read in part, read beyond, left the group at 4.
        assert_eq!(
            unread(&[window(9, 0, 2), window(3, 0, 5), window(9, 4, 1)]),
            7 + 3
        );
        assert_eq!(unread(&[]), 0);
    }
}
