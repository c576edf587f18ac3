//! Pulls of stored messages: by ranges (1002), by seq lists (1005), newest ones (1007)
//! (spec: message.md 7.2, 7.3, 7.5).
//!
//! A reply stays below what SDKs read (see [`super::reply_budget`]). What has no room is left out so
//! that the SDK fetches it by itself:
//! - of a chat range the highest seqs are returned; the SDK marks the range as seen and asks for the
//!   others by 1005 when its user scrolls up;
//! - of a notification stream the lowest are returned, without a hole: the SDK remembers the last one
//!   it was given and goes on from there at its next start;
//! - of a seq list the ones next to what the client shows are returned (highest first when it goes
//!   back in time), and `isEnd` stays unset, so that it asks again for the rest.

use super::message_access::{Access, access, is_party};
use super::pull_rules::{Cut, Selected, list, range_is_end, select};
use super::reply_budget::{REPLY_BYTES, ReplyBudget};
use crate::store::{MessageStore, RangeQuery, StoredMessage};
use prost::Message as _;
use ringwire_protocol::conversation_id::{SESSION_SINGLE, is_notification};
use ringwire_protocol::error::ApiError;
use ringwire_protocol::pb::msg::{
    GetLastMessageReq, GetLastMessageResp, GetSeqMessageReq, GetSeqMessageResp,
};
use ringwire_protocol::pb::sdkws::{
    MsgData, PullMessageBySeqsReq, PullMessageBySeqsResp, PullMsgs, PullOrder,
};
use std::collections::{BTreeMap, HashMap};

/// Conversations in one pull.
pub const MAX_CONVERSATIONS: usize = 1000;

/// Seqs in one list pull, all conversations together.
pub const MAX_SEQS: usize = 1000;

/// Messages read at once; reading stops when the reply is full. All of them may be as large as a
/// message can be, and many clients may ask at once.
const ROUND: usize = 32;

/// `MsgData.status` from which a message counts as deleted.
const STATUS_DELETED: i32 = 4;

/// Newest messages looked through for one that is not deleted.
const LAST_LOOK: usize = 100;

/// Largest message that has room in a reply beside its conversation's entry.
const LARGEST: usize = REPLY_BYTES - 4096;

/// A stored message as clients see it.
fn seen(stored: &StoredMessage) -> MsgData {
    match MsgData::decode(stored.msg.clone()) {
        Ok(mut msg) => {
            msg.seq = stored.seq;
            msg.is_read &= msg.session_type == SESSION_SINGLE;
            if msg.encoded_len() > LARGEST {
                // No reply could carry it: shown as deleted, so that nobody asks for it for ever.
                msg = MsgData {
                    send_time: msg.send_time,
                    ..placeholder(stored.seq)
                };
            }
            msg
        }
        // Cannot be: the store decoded it when it was written. A placeholder keeps the seqs dense.
        Err(_) => placeholder(stored.seq),
    }
}

/// Stands for a seq without a message.
fn placeholder(seq: i64) -> MsgData {
    MsgData {
        seq,
        status: STATUS_DELETED,
        ..MsgData::default()
    }
}

/// Gives placeholders the sendTime of the nearest older message. `msgs` ascend by seq.
fn date_placeholders(msgs: &mut [MsgData]) {
    let mut time = 0;
    for msg in msgs {
        if msg.send_time == 0 && msg.status == STATUS_DELETED {
            msg.send_time = time;
        }
        time = msg.send_time;
    }
}

/// A range on its way.
struct Pending {
    conversation_id: String,
    requested: (i64, i64),
    visible: (i64, i64),
    only_party: bool,
    /// What is still to be read.
    rest: Option<Selected>,
    highest: bool,
    msgs: Vec<MsgData>,
    cut: Cut,
}

impl Pending {
    fn next_query(&self, rows: i64) -> Option<RangeQuery> {
        let rest = self.rest?;
        let (begin, end) = if self.highest {
            (rest.begin.max(rest.end.saturating_sub(rows - 1)), rest.end)
        } else {
            (
                rest.begin,
                rest.end.min(rest.begin.saturating_add(rows - 1)),
            )
        };
        let conversation_id = self.conversation_id.clone();
        Some(RangeQuery {
            conversation_id,
            begin,
            end,
            limit: rows,
            highest: self.highest,
        })
    }

    /// Takes what came for a query; stops the range where the reply is full.
    fn take(
        &mut self,
        user_id: &str,
        query: &RangeQuery,
        rows: &[StoredMessage],
        budget: &mut ReplyBudget,
    ) {
        let by_seq: HashMap<i64, &StoredMessage> = rows.iter().map(|row| (row.seq, row)).collect();
        let msg = |seq: i64| {
            by_seq
                .get(&seq)
                .map_or_else(|| placeholder(seq), |row| seen(row))
        };
        let span = query.begin..=query.end;
        let seqs: Vec<i64> = if self.highest {
            span.rev().collect()
        } else {
            span.collect()
        };
        for seq in seqs {
            let msg = msg(seq);
            if self.only_party && by_seq.contains_key(&seq) && !is_party(user_id, &msg) {
                self.msgs.clear();
                self.rest = None;
                return;
            }
            if !budget.take_element(&msg) {
                (self.cut.low, self.cut.high) = (self.highest, !self.highest);
                self.rest = None;
                return;
            }
            self.msgs.push(msg);
        }
        self.rest = self.rest.and_then(|rest| {
            let left = if self.highest {
                Selected {
                    begin: rest.begin,
                    end: query.begin - 1,
                }
            } else {
                Selected {
                    begin: query.end.saturating_add(1),
                    end: rest.end,
                }
            };
            (left.begin <= left.end).then_some(left)
        });
    }

    fn finish(mut self, order: PullOrder) -> Option<(String, PullMsgs)> {
        // Placeholders alone prove no party.
        if self.only_party
            && self
                .msgs
                .iter()
                .all(|m| m.status == STATUS_DELETED && m.send_id.is_empty())
        {
            return None;
        }
        if self.msgs.is_empty() {
            return None;
        }
        if self.highest {
            self.msgs.reverse();
        }
        date_placeholders(&mut self.msgs);
        let is_end = range_is_end(
            order,
            self.requested.0,
            self.requested.1,
            self.visible,
            self.cut,
        );
        Some((
            self.conversation_id,
            PullMsgs {
                msgs: self.msgs,
                is_end,
                end_seq: 0,
            },
        ))
    }
}

/// 1002, `/msg/pull_msg_by_seq`. The caller has checked that `request.user_id` may be read.
///
/// # Errors
/// 1001 for more than [`MAX_CONVERSATIONS`] ranges; 500 when the store fails.
pub async fn by_ranges(
    messages: &dyn MessageStore,
    request: &PullMessageBySeqsReq,
) -> Result<PullMessageBySeqsResp, ApiError> {
    by_ranges_within(messages, request, ReplyBudget::default()).await
}

async fn by_ranges_within(
    messages: &dyn MessageStore,
    request: &PullMessageBySeqsReq,
    mut budget: ReplyBudget,
) -> Result<PullMessageBySeqsResp, ApiError> {
    if request.seq_ranges.len() > MAX_CONVERSATIONS {
        return Err(ApiError::args(format!(
            "at most {MAX_CONVERSATIONS} seqRanges"
        )));
    }
    // A conversation has one place in the reply: its last range counts.
    let ranges: BTreeMap<&str, _> = request
        .seq_ranges
        .iter()
        .map(|range| (range.conversation_id.as_str(), range))
        .collect();
    let ids: Vec<String> = ranges.keys().map(|id| (*id).to_owned()).collect();
    let access = access(messages, &request.user_id, &ids).await?;
    let mut pending = Vec::new();
    for (range, (_, access)) in ranges.values().zip(access) {
        let Some(visible) = access.range() else {
            continue;
        };
        let stream = is_notification(&range.conversation_id);
        let num = (!stream).then_some(range.num);
        let Some(selected) = select(range.begin, range.end, num, visible) else {
            continue;
        };
        if !budget.take_entry(&range.conversation_id, 32) {
            break;
        }
        pending.push(Pending {
            conversation_id: range.conversation_id.clone(),
            requested: (range.begin, range.end),
            visible,
            only_party: matches!(access, Access::IfParty(_)),
            rest: Some(selected),
            highest: !stream,
            msgs: Vec::new(),
            cut: Cut::default(),
        });
    }
    loop {
        let mut open: Vec<&mut Pending> = pending.iter_mut().filter(|p| p.rest.is_some()).collect();
        if open.is_empty() {
            break;
        }
        let rows = (ROUND / open.len()).max(1) as i64;
        for part in open.chunks_mut(ROUND) {
            let queries: Vec<RangeQuery> = part.iter().filter_map(|p| p.next_query(rows)).collect();
            let found = messages.ranges(&queries).await?;
            for ((pending, query), rows) in part.iter_mut().zip(&queries).zip(found) {
                pending.take(&request.user_id, query, &rows, &mut budget);
            }
        }
    }
    let mut reply = PullMessageBySeqsResp::default();
    for (id, pulled) in pending
        .into_iter()
        .filter_map(|p| p.finish(request.order()))
    {
        let map = if is_notification(&id) {
            &mut reply.notification_msgs
        } else {
            &mut reply.msgs
        };
        map.insert(id, pulled);
    }
    Ok(reply)
}

/// 1005. `request.user_id` is the caller: conversations that are not his get an empty entry.
///
/// # Errors
/// 1001 for more than [`MAX_CONVERSATIONS`] conversations or [`MAX_SEQS`] seqs; 500 when the store
/// fails.
pub async fn by_seqs(
    messages: &dyn MessageStore,
    request: &GetSeqMessageReq,
) -> Result<GetSeqMessageResp, ApiError> {
    by_seqs_within(messages, request, ReplyBudget::default()).await
}

async fn by_seqs_within(
    messages: &dyn MessageStore,
    request: &GetSeqMessageReq,
    mut budget: ReplyBudget,
) -> Result<GetSeqMessageResp, ApiError> {
    let seqs: usize = request.conversations.iter().map(|c| c.seqs.len()).sum();
    if request.conversations.len() > MAX_CONVERSATIONS || seqs > MAX_SEQS {
        return Err(ApiError::args(format!(
            "at most {MAX_CONVERSATIONS} conversations and {MAX_SEQS} seqs"
        )));
    }
    let ids: Vec<String> = request
        .conversations
        .iter()
        .map(|c| c.conversation_id.clone())
        .collect();
    let access = access(messages, &request.user_id, &ids).await?;
    let mut reply = GetSeqMessageResp::default();
    for (conversation, (_, access)) in request.conversations.iter().zip(access) {
        let id = &conversation.conversation_id;
        if !budget.take_entry(id, 32) {
            break;
        }
        let pulled = match access.range() {
            Some(visible) => {
                let listed = list(&conversation.seqs, request.order(), visible);
                let only_party =
                    matches!(access, Access::IfParty(_)).then_some(request.user_id.as_str());
                let (msgs, cut) = read_list(
                    messages,
                    id,
                    &listed.seqs,
                    request.order(),
                    only_party,
                    &mut budget,
                )
                .await?;
                match cut {
                    false => PullMsgs {
                        msgs,
                        is_end: listed.is_end,
                        end_seq: listed.end_seq,
                    },
                    true => PullMsgs {
                        msgs,
                        is_end: false,
                        end_seq: 0,
                    },
                }
            }
            None => PullMsgs::default(),
        };
        let map = if is_notification(id) {
            &mut reply.notification_msgs
        } else {
            &mut reply.msgs
        };
        map.insert(id.clone(), pulled);
    }
    Ok(reply)
}

/// Reads the seqs of one conversation, those that matter most first. Returns the messages in the
/// order of `seqs`, and whether some had no room.
async fn read_list(
    messages: &dyn MessageStore,
    conversation_id: &str,
    seqs: &[i64],
    order: PullOrder,
    only_party: Option<&str>,
    budget: &mut ReplyBudget,
) -> Result<(Vec<MsgData>, bool), ApiError> {
    let mut wanted = seqs.to_vec();
    wanted.sort_unstable();
    if order == PullOrder::Desc {
        wanted.reverse();
    }
    let mut taken: BTreeMap<i64, MsgData> = BTreeMap::new();
    let mut cut = false;
    'rounds: for round in wanted.chunks(ROUND) {
        let found = messages
            .by_seqs(&[(conversation_id.to_owned(), round.to_vec())])
            .await?;
        let rows: HashMap<i64, &StoredMessage> =
            found.iter().flatten().map(|row| (row.seq, row)).collect();
        for &seq in round {
            let msg = rows
                .get(&seq)
                .map_or_else(|| placeholder(seq), |row| seen(row));
            if only_party.is_some_and(|user| rows.contains_key(&seq) && !is_party(user, &msg)) {
                return Ok((Vec::new(), false));
            }
            if !budget.take_element(&msg) {
                cut = true;
                break 'rounds;
            }
            taken.insert(seq, msg);
        }
    }
    let mut ascending: Vec<MsgData> = taken.into_values().collect();
    if only_party.is_some() && ascending.iter().all(|m| m.send_id.is_empty()) {
        return Ok((Vec::new(), false));
    }
    date_placeholders(&mut ascending);
    let mut by_seq: HashMap<i64, MsgData> = ascending.into_iter().map(|m| (m.seq, m)).collect();
    Ok((
        seqs.iter().filter_map(|seq| by_seq.remove(seq)).collect(),
        cut,
    ))
}

/// 1007: the newest message of each conversation that `request.user_id`, the caller, can see and that
/// is not deleted. Conversations without one, or without room in the reply, are absent.
///
/// # Errors
/// 1001 for more than [`MAX_CONVERSATIONS`] conversations; 500 when the store fails.
pub async fn last_messages(
    messages: &dyn MessageStore,
    request: &GetLastMessageReq,
) -> Result<GetLastMessageResp, ApiError> {
    if request.conversation_i_ds.len() > MAX_CONVERSATIONS {
        return Err(ApiError::args(format!(
            "at most {MAX_CONVERSATIONS} conversationIDs"
        )));
    }
    let (user_id, ids) = (&request.user_id, &request.conversation_i_ds);
    let msgs = newest_visible(messages, user_id, ids, ReplyBudget::default()).await?;
    Ok(GetLastMessageResp {
        msgs: msgs.into_iter().collect(),
    })
}

/// The newest message a user can see of each conversation, deleted ones passed over. Those that have no
/// room in `budget` are left out.
///
/// # Errors
/// 500 when the store fails.
pub(super) async fn newest_visible(
    messages: &dyn MessageStore,
    user_id: &str,
    conversation_ids: &[String],
    mut budget: ReplyBudget,
) -> Result<BTreeMap<String, MsgData>, ApiError> {
    let mut newest = BTreeMap::new();
    for ids in conversation_ids.chunks(ROUND) {
        let mut queries = Vec::new();
        let mut parties = Vec::new();
        for (id, (_, access)) in ids.iter().zip(access(messages, user_id, ids).await?) {
            let Some((begin, end)) = access.range().filter(|(first, last)| first <= last) else {
                continue;
            };
            queries.push(RangeQuery {
                conversation_id: id.clone(),
                begin,
                end,
                limit: 1,
                highest: true,
            });
            parties.push(matches!(access, Access::IfParty(_)));
        }
        // Nearly always the very newest is there; only for the others is more read, one by one.
        let found = messages.ranges(&queries).await?;
        for ((mut query, only_party), mut rows) in queries.into_iter().zip(parties).zip(found) {
            let mut looked = 0;
            let visible = loop {
                looked += rows.len();
                let Some(oldest) = rows.first().map(|row| row.seq) else {
                    break None;
                };
                let visible = rows
                    .iter()
                    .rev()
                    .map(seen)
                    .find(|msg| msg.status < STATUS_DELETED);
                if visible.is_some() || looked >= LAST_LOOK {
                    break visible;
                }
                query.end = oldest - 1;
                query.limit = ROUND as i64;
                rows = messages
                    .ranges(std::slice::from_ref(&query))
                    .await?
                    .pop()
                    .unwrap_or_default();
            };
            if let Some(msg) = visible
                && (!only_party || is_party(user_id, &msg))
                && budget.take_entry(&query.conversation_id, msg.encoded_len())
            {
                newest.insert(query.conversation_id, msg);
            }
        }
    }
    Ok(newest)
}

#[cfg(test)]
#[path = "pull_tests.rs"]
mod tests;
