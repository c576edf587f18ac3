//! Stored messages, seqs and windows.

use super::super::{
    MessageStore, RangeQuery, StoreError, StoreResult, StoredMessage, UserWindows, Window,
};
use super::db::{Row, Tx};
use super::value::{Value, values};
use super::{SqlStore, unique};
use async_trait::async_trait;
use prost::Message as _;
use ringwire_link::message::{ConversationState, KnownMessage, SenderAhead};
use ringwire_protocol::conversation_id::{notification_of_users, notification_twin};
use ringwire_protocol::pb::sdkws::MsgData;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Messages a core gets of a conversation it opens, for its duplicate check.
const RECENT: i64 = 64;

/// Senders with clocks ahead a core is told of by name; beyond it one entry stands for all.
const AHEAD: usize = 64;

/// A message's key is its stream's id shifted by so many bits, plus its seq.
const SEQ_BITS: u32 = 32;

/// Highest seq that can be stored.
pub(super) const MAX_SEQ: i64 = (1 << SEQ_BITS) - 1;

/// Key of a message.
pub(super) fn message_id(stream: i64, seq: i64) -> i64 {
    (stream << SEQ_BITS) | seq
}

fn seq_of(id: i64) -> i64 {
    id & MAX_SEQ
}

/// What the duplicate index holds: 0 without a clientMsgID. A fixed-size hash, because a client may
/// choose an id longer than an index entry can be; a hit is compared in full.
pub(super) fn duplicate_key(conversation_id: &str, send_id: &str, client_msg_id: &str) -> i64 {
    if client_msg_id.is_empty() {
        return 0;
    }
    let mut hash = Sha256::new();
    for part in [conversation_id, send_id, client_msg_id] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    // Odd, so never 0.
    i64::from_le_bytes(first) | 1
}

fn decode(msg: &[u8]) -> StoreResult<MsgData> {
    MsgData::decode(msg)
        .map_err(|e| StoreError::Database(format!("a stored message does not decode: {e}")))
}

fn known(seq: i64, data: MsgData) -> KnownMessage {
    KnownMessage {
        send_id: data.send_id,
        client_msg_id: data.client_msg_id,
        server_msg_id: data.server_msg_id,
        send_time: data.send_time,
        create_time: data.create_time,
        seq,
    }
}

/// `id, send_time, msg`.
fn read(row: &Row) -> StoreResult<StoredMessage> {
    Ok(StoredMessage {
        seq: seq_of(row.int(0)?),
        send_time: row.int(1)?,
        msg: row.blob(2)?.into(),
    })
}

/// Ids of the streams that exist.
async fn stream_ids(tx: &mut Tx, conversation_ids: &[String]) -> StoreResult<HashMap<String, i64>> {
    let sql = format!(
        "SELECT conversation_id, id FROM streams WHERE {}",
        tx.dialect().any("conversation_id", 1)
    );
    tx.rows(sql, values![conversation_ids])
        .await?
        .iter()
        .map(|r| Ok((r.text(0)?, r.int(1)?)))
        .collect()
}

/// Columns of a window after its conversation id.
const WINDOW: &str = "s.max_seq, s.min_seq, s.max_send_time, u.min_seq, u.max_seq, u.read_seq";

fn read_window(row: &Row) -> StoreResult<Window> {
    let pinned = row.opt_int(7)?;
    Ok(Window {
        conversation_id: row.text(0)?,
        max_seq: row.int(1)?,
        min_seq: row.int(2)?,
        max_send_time: row.int(3)?,
        user_min_seq: row.int(4)?,
        user_max_seq: row.int(5)?,
        read_seq: row.int(6)?,
        has_record: pinned.is_some(),
        is_pinned: pinned.is_some_and(|p| p != 0),
    })
}

async fn windows(
    tx: &mut Tx,
    user_id: &str,
    ids: &[String],
) -> StoreResult<HashMap<String, Window>> {
    let sql = format!(
        "SELECT k.id, {WINDOW}, c.is_pinned FROM {} k \
         LEFT JOIN streams s ON s.conversation_id = k.id \
         LEFT JOIN seq_users u ON u.user_id = $2 AND u.conversation_id = k.id \
         LEFT JOIN conversations c ON c.owner_id = $2 AND c.conversation_id = k.id",
        tx.dialect().keys(1)
    );
    let rows = tx.rows(sql, values![ids, user_id]).await?;
    rows.iter()
        .map(|row| read_window(row).map(|w| (w.conversation_id.clone(), w)))
        .collect()
}

/// Raises read positions; rows are taken in one order.
pub(super) async fn raise_read_seqs(
    tx: &mut Tx,
    marks: &BTreeMap<(&str, &str), i64>,
) -> StoreResult<()> {
    let mut rows: Vec<Value<'_>> = Vec::with_capacity(marks.len() * 5);
    for ((user, conversation), seq) in marks {
        rows.extend_from_slice(values![*user, *conversation, 0i64, 0i64, *seq]);
    }
    tx.execute_many(
        "INSERT INTO seq_users (user_id, conversation_id, min_seq, max_seq, read_seq)",
        5,
        &rows,
        "ON CONFLICT (user_id, conversation_id) DO UPDATE SET read_seq = excluded.read_seq \
         WHERE seq_users.read_seq < excluded.read_seq",
    )
    .await?;
    Ok(())
}

#[async_trait]
impl MessageStore for SqlStore {
    async fn states(&self, conversation_ids: &[String]) -> StoreResult<Vec<ConversationState>> {
        let mut tx = self.db.snapshot().await?;
        let sql = format!(
            "SELECT conversation_id, max_seq, max_send_time FROM streams WHERE {}",
            tx.dialect().any("conversation_id", 1)
        );
        let mut states = HashMap::new();
        for row in tx.rows(sql, values![conversation_ids]).await? {
            let state = ConversationState {
                max_seq: row.int(1)?,
                max_send_time: row.int(2)?,
                recent: Vec::new(),
                ahead: Vec::new(),
            };
            states.insert(row.text(0)?, state);
        }
        let sql = format!(
            "SELECT s.conversation_id, m.id, m.msg FROM streams s JOIN messages m \
             ON m.id > s.id * 4294967296 + s.max_seq - $2 AND m.id > s.id * 4294967296 \
             AND m.id <= s.id * 4294967296 + s.max_seq \
             WHERE {} ORDER BY m.id",
            tx.dialect().any("s.conversation_id", 1)
        );
        // Of a message only its ids are kept, and thousands of large ones may be read here.
        tx.each(sql, values![conversation_ids, RECENT], |row| {
            let message = known(seq_of(row.int(1)?), decode(&row.blob(2)?)?);
            if let Some(state) = states.get_mut(&row.text(0)?) {
                state.recent.push(message);
            }
            Ok(())
        })
        .await?;
        let sql = format!(
            "SELECT s.conversation_id, c.send_id, c.create_time FROM streams s \
             JOIN clocks_ahead c ON c.stream_id = s.id WHERE {}",
            tx.dialect().any("s.conversation_id", 1)
        );
        for row in tx.rows(sql, values![conversation_ids]).await? {
            if let Some(state) = states.get_mut(&row.text(0)?) {
                let (send_id, create_time) = (row.text(1)?, row.int(2)?);
                state.ahead.push(SenderAhead {
                    send_id,
                    create_time,
                });
            }
        }
        tx.commit().await?;
        for state in states.values_mut().filter(|s| s.ahead.len() > AHEAD) {
            let latest = state.ahead.iter().map(|s| s.create_time).max();
            state.ahead = Vec::from_iter(latest.map(|create_time| SenderAhead {
                send_id: String::new(),
                create_time,
            }));
        }
        Ok(conversation_ids
            .iter()
            .map(|id| states.get(id).cloned().unwrap_or_default())
            .collect())
    }

    async fn find_duplicate(
        &self,
        conversation_id: &str,
        send_id: &str,
        client_msg_id: &str,
    ) -> StoreResult<Option<KnownMessage>> {
        let key = duplicate_key(conversation_id, send_id, client_msg_id);
        if key == 0 {
            return Ok(None);
        }
        let rows = self
            .db
            .rows(
                "SELECT m.id, m.msg FROM messages m JOIN streams s ON s.id = m.id / 4294967296 \
                 WHERE m.dup = $1 AND s.conversation_id = $2 ORDER BY m.id",
                values![key, conversation_id],
            )
            .await?;
        for row in &rows {
            let data = decode(&row.blob(1)?)?;
            if data.send_id == send_id && data.client_msg_id == client_msg_id {
                return Ok(Some(known(seq_of(row.int(0)?), data)));
            }
        }
        Ok(None)
    }

    async fn ranges(&self, queries: &[RangeQuery]) -> StoreResult<Vec<Vec<StoredMessage>>> {
        let ids: Vec<String> = queries.iter().map(|q| q.conversation_id.clone()).collect();
        let mut tx = self.db.snapshot().await?;
        let streams = stream_ids(&mut tx, &unique(&ids)).await?;
        let mut answers = Vec::with_capacity(queries.len());
        for query in queries {
            let begin = query.begin.max(1);
            let end = query.end.min(MAX_SEQ);
            let stream = match streams.get(&query.conversation_id) {
                Some(stream) if begin <= end && query.limit > 0 => *stream,
                _ => {
                    answers.push(Vec::new());
                    continue;
                }
            };
            let sql = if query.highest {
                "SELECT id, send_time, msg FROM messages WHERE id >= $1 AND id <= $2 ORDER BY id DESC LIMIT $3"
            } else {
                "SELECT id, send_time, msg FROM messages WHERE id >= $1 AND id <= $2 ORDER BY id LIMIT $3"
            };
            let rows = tx
                .rows(
                    sql,
                    values![
                        message_id(stream, begin),
                        message_id(stream, end),
                        query.limit
                    ],
                )
                .await?;
            let mut messages = rows.iter().map(read).collect::<StoreResult<Vec<_>>>()?;
            if query.highest {
                messages.reverse();
            }
            answers.push(messages);
        }
        tx.commit().await?;
        Ok(answers)
    }

    async fn by_seqs(
        &self,
        queries: &[(String, Vec<i64>)],
    ) -> StoreResult<Vec<Vec<StoredMessage>>> {
        let conversations: Vec<String> = queries.iter().map(|q| q.0.clone()).collect();
        let mut tx = self.db.snapshot().await?;
        let streams = stream_ids(&mut tx, &unique(&conversations)).await?;
        let mut wanted: Vec<BTreeSet<i64>> = Vec::with_capacity(queries.len());
        for (conversation, seqs) in queries {
            let valid = seqs.iter().filter(|s| (1..=MAX_SEQ).contains(*s));
            wanted.push(match streams.get(conversation) {
                Some(stream) => valid.map(|s| message_id(*stream, *s)).collect(),
                None => BTreeSet::new(),
            });
        }
        let ids: Vec<i64> = wanted
            .iter()
            .flatten()
            .copied()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let sql = format!(
            "SELECT id, send_time, msg FROM messages WHERE {}",
            tx.dialect().any("id", 1)
        );
        let rows = tx.rows(sql, &[Value::Ints(&ids)]).await?;
        tx.commit().await?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in &rows {
            found.insert(row.int(0)?, read(row)?);
        }
        Ok(wanted
            .iter()
            .map(|ids| ids.iter().filter_map(|id| found.get(id).cloned()).collect())
            .collect())
    }

    async fn windows(
        &self,
        user_id: &str,
        conversation_ids: &[String],
    ) -> StoreResult<Vec<Window>> {
        let mut tx = self.db.snapshot().await?;
        let found = windows(&mut tx, user_id, &unique(conversation_ids)).await?;
        tx.commit().await?;
        let unknown = |id: &String| Window {
            conversation_id: id.clone(),
            ..Window::default()
        };
        Ok(conversation_ids
            .iter()
            .map(|id| found.get(id).cloned().unwrap_or_else(|| unknown(id)))
            .collect())
    }

    async fn user_windows(&self, user_id: &str) -> StoreResult<UserWindows> {
        let mut tx = self.db.snapshot().await?;
        let sql = format!(
            "SELECT c.conversation_id, {WINDOW}, c.is_pinned FROM conversations c \
             LEFT JOIN streams s ON s.conversation_id = c.conversation_id \
             LEFT JOIN seq_users u ON u.user_id = c.owner_id AND u.conversation_id = c.conversation_id \
             WHERE c.owner_id = $1 ORDER BY c.row_id"
        );
        let rows = tx.rows(sql, values![user_id]).await?;
        let chats = rows
            .iter()
            .map(read_window)
            .collect::<StoreResult<Vec<_>>>()?;
        let mut streams: Vec<String> = chats
            .iter()
            .map(|w| notification_twin(&w.conversation_id))
            .collect();
        streams.push(notification_of_users(user_id, user_id));
        let streams = unique(&streams);
        let mut found = windows(&mut tx, user_id, &streams).await?;
        tx.commit().await?;
        let notifications = streams
            .iter()
            .filter_map(|id| found.remove(id))
            .filter(|w| w.max_seq > 0)
            .collect();
        Ok(UserWindows {
            chats,
            notifications,
        })
    }

    async fn raise_read_seqs(&self, marks: &[(String, String, i64)]) -> StoreResult<()> {
        let mut highest = BTreeMap::new();
        for (user, conversation, seq) in marks {
            let mark = highest
                .entry((user.as_str(), conversation.as_str()))
                .or_insert(0);
            *mark = (*mark).max(*seq);
        }
        let mut tx = self.db.write().await?;
        raise_read_seqs(&mut tx, &highest).await?;
        tx.commit().await
    }

    async fn set_bounds(
        &self,
        user_ids: &[String],
        conversation_id: &str,
        min_seq: Option<i64>,
        max_seq: Option<i64>,
    ) -> StoreResult<()> {
        let update = match (min_seq, max_seq) {
            (None, None) => return Ok(()),
            (Some(_), None) => {
                "ON CONFLICT (user_id, conversation_id) DO UPDATE SET min_seq = excluded.min_seq"
            }
            (None, Some(_)) => {
                "ON CONFLICT (user_id, conversation_id) DO UPDATE SET max_seq = excluded.max_seq"
            }
            (Some(_), Some(_)) => {
                "ON CONFLICT (user_id, conversation_id) DO UPDATE SET \
                 min_seq = excluded.min_seq, max_seq = excluded.max_seq"
            }
        };
        let users: BTreeSet<&String> = user_ids.iter().collect();
        let mut rows: Vec<Value<'_>> = Vec::with_capacity(users.len() * 5);
        for user in users {
            rows.extend_from_slice(values![
                user,
                conversation_id,
                min_seq.unwrap_or(0),
                max_seq.unwrap_or(0),
                0i64
            ]);
        }
        let mut tx = self.db.write().await?;
        tx.execute_many(
            "INSERT INTO seq_users (user_id, conversation_id, min_seq, max_seq, read_seq)",
            5,
            &rows,
            update,
        )
        .await?;
        tx.commit().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duplicate_key_depends_on_where_its_parts_end() {
        assert_eq!(duplicate_key("c", "a", ""), 0);
        assert_ne!(duplicate_key("c", "a", "bc"), 0);
        assert_ne!(duplicate_key("c", "a", "bc"), duplicate_key("c", "ab", "c"));
        assert_ne!(duplicate_key("c", "a", "b"), duplicate_key("d", "a", "b"));
    }

    #[test]
    fn streams_do_not_share_message_keys() {
        assert!(message_id(1, MAX_SEQ) < message_id(2, 1));
        assert_eq!(seq_of(message_id(7, 42)), 42);
    }
}
