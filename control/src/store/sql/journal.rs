//! Journal batches become rows, in one transaction with the position they end at.
//!
//! Every writer takes locks in the same order: journal positions, streams, messages, seq rows,
//! conversation records, version logs, tokens; within a table by key.

use super::super::users::MAX_ID_BYTES;
use super::super::{
    Applied, CreatedConversation, JournalBatch, JournalStore, NewConversation, StoreError,
    StoreResult, TokenId,
};
use super::db::Tx;
use super::messages::{MAX_SEQ, duplicate_key, message_id, raise_read_seqs};
use super::value::{Value, storable, values};
use super::{SqlStore, conversations, tokens, users};
use async_trait::async_trait;
use bytes::Bytes;
use prost::Message as _;
use ringwire_link::message::{JournalPosition, runs_ahead};
use ringwire_link::record::{MessageRecord, Record, TokenKickRecord};
use ringwire_protocol::conversation_id::{
    SESSION_GROUP, SESSION_NOTIFICATION, SESSION_SINGLE, is_notification,
};
use ringwire_protocol::pb::sdkws::MsgData;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A message to store.
struct Incoming {
    conversation_id: String,
    bytes: Bytes,
    data: MsgData,
}

impl Incoming {
    fn decode(record: &MessageRecord) -> StoreResult<Self> {
        let data =
            MsgData::decode(record.msg.clone()).map_err(|e| StoreError::Record(e.to_string()))?;
        if !(1..=MAX_SEQ).contains(&data.seq) || record.conversation_id.is_empty() {
            return Err(StoreError::Record(format!(
                "seq {} of {:?}",
                data.seq, record.conversation_id
            )));
        }
        let conversation_id = storable(&record.conversation_id).into_owned();
        Ok(Self {
            conversation_id,
            bytes: record.msg.clone(),
            data,
        })
    }

    fn is_chat(&self) -> bool {
        !is_notification(&self.conversation_id)
    }
}

/// A stream as it was before the batch.
struct Stream {
    id: i64,
    max_seq: i64,
}

/// Locks the positions of these journals, sorted, creating rows that are missing.
async fn lock_positions(
    tx: &mut Tx,
    journals: &BTreeSet<(&str, u16)>,
) -> StoreResult<HashMap<(String, u16), u64>> {
    let mut rows: Vec<Value<'_>> = Vec::with_capacity(journals.len() * 3);
    for (gateway, journal) in journals {
        rows.extend_from_slice(values![*gateway, i64::from(*journal), 0i64]);
    }
    let rows = tx
        .rows_many(
            "INSERT INTO journal_positions (gateway, journal, position)",
            3,
            &rows,
            "ON CONFLICT (gateway, journal) DO UPDATE SET position = journal_positions.position \
             RETURNING gateway, journal, position",
        )
        .await?;
    rows.iter()
        .map(|r| {
            Ok((
                (r.text(0)?, journal_number(r.int(1)?)?),
                r.int(2)?.cast_unsigned(),
            ))
        })
        .collect()
}

fn journal_number(value: i64) -> StoreResult<u16> {
    u16::try_from(value)
        .map_err(|_| StoreError::Database(format!("journal {value} is out of range")))
}

fn epoch_number(value: i64) -> StoreResult<u32> {
    u32::try_from(value).map_err(|_| StoreError::Database(format!("epoch {value} is out of range")))
}

/// Locks the streams of these conversations, sorted, creating the missing ones.
async fn lock_streams<'m>(
    tx: &mut Tx,
    conversation_ids: &'m [String],
) -> StoreResult<HashMap<String, Stream>> {
    let sql = format!(
        "SELECT conversation_id, id, max_seq FROM streams WHERE {} ORDER BY conversation_id{}",
        tx.dialect().any("conversation_id", 1),
        tx.dialect().for_update()
    );
    let mut found: HashMap<String, Stream> = HashMap::with_capacity(conversation_ids.len());
    for row in tx.rows(sql.clone(), values![conversation_ids]).await? {
        found.insert(
            row.text(0)?,
            Stream {
                id: row.int(1)?,
                max_seq: row.int(2)?,
            },
        );
    }
    // Asking before inserting spares the ids that a refused insert would use up.
    let missing: Vec<&'m String> = conversation_ids
        .iter()
        .filter(|id| !found.contains_key(*id))
        .collect();
    if missing.is_empty() {
        return Ok(found);
    }
    let mut rows: Vec<Value<'_>> = Vec::with_capacity(missing.len() * 4);
    for id in missing {
        rows.extend_from_slice(values![id, 0i64, 0i64, 0i64]);
    }
    tx.execute_many(
        "INSERT INTO streams (conversation_id, max_seq, min_seq, max_send_time)",
        4,
        &rows,
        "ON CONFLICT (conversation_id) DO NOTHING",
    )
    .await?;
    for row in tx.rows(sql, values![conversation_ids]).await? {
        found.insert(
            row.text(0)?,
            Stream {
                id: row.int(1)?,
                max_seq: row.int(2)?,
            },
        );
    }
    Ok(found)
}

fn stream<'s>(
    streams: &'s HashMap<String, Stream>,
    conversation_id: &str,
) -> StoreResult<&'s Stream> {
    streams
        .get(conversation_id)
        .ok_or_else(|| StoreError::Busy("a stream went away while it was locked".into()))
}

/// Inserts the messages; those stored before are left alone. Returns how many were new.
async fn insert_messages(
    tx: &mut Tx,
    messages: &[Incoming],
    streams: &HashMap<String, Stream>,
) -> StoreResult<u64> {
    let mut by_id: BTreeMap<i64, &Incoming> = BTreeMap::new();
    for message in messages {
        let id = message_id(
            stream(streams, &message.conversation_id)?.id,
            message.data.seq,
        );
        if let Some(other) = by_id.insert(id, message)
            && other.data.server_msg_id != message.data.server_msg_id
        {
            return Err(taken(message));
        }
    }
    let mut rows: Vec<Value<'_>> = Vec::with_capacity(by_id.len() * 8);
    for (id, m) in &by_id {
        let recv_id = if m.data.session_type == SESSION_GROUP {
            &m.data.group_id
        } else {
            &m.data.recv_id
        };
        rows.extend_from_slice(values![
            *id,
            duplicate_key(&m.conversation_id, &m.data.send_id, &m.data.client_msg_id),
            m.data.send_time,
            m.data.content_type,
            m.data.session_type,
            &m.data.send_id,
            recv_id,
            m.bytes.as_ref()
        ]);
    }
    let inserted = tx
        .execute_many(
            "INSERT INTO messages (id, dup, send_time, content_type, session_type, send_id, recv_id, msg)",
            8,
            &rows,
            "ON CONFLICT (id) DO NOTHING",
        )
        .await?;
    if inserted < by_id.len() as u64 {
        check_stored(tx, &by_id).await?;
    }
    Ok(inserted)
}

fn taken(message: &Incoming) -> StoreError {
    StoreError::SeqTaken {
        conversation_id: message.conversation_id.clone(),
        seq: message.data.seq,
    }
}

/// Some of these messages were stored before: they must be the same ones. Leaving alone another
/// message under the same seq would silently lose an acknowledged one.
async fn check_stored(tx: &mut Tx, by_id: &BTreeMap<i64, &Incoming>) -> StoreResult<()> {
    let ids: Vec<i64> = by_id.keys().copied().collect();
    let sql = format!(
        "SELECT id, msg FROM messages WHERE {}",
        tx.dialect().any("id", 1)
    );
    for row in tx.rows(sql, &[Value::Ints(&ids)]).await? {
        let stored = MsgData::decode(row.blob(1)?.as_slice())
            .map_err(|e| StoreError::Record(e.to_string()))?;
        if let Some(message) = by_id.get(&row.int(0)?)
            && message.data.server_msg_id != stored.server_msg_id
        {
            return Err(taken(message));
        }
    }
    Ok(())
}

/// Raises the streams' highest seqs.
async fn raise_streams(
    tx: &mut Tx,
    messages: &[Incoming],
    streams: &HashMap<String, Stream>,
) -> StoreResult<()> {
    let mut newest: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for message in messages {
        let id = stream(streams, &message.conversation_id)?.id;
        let entry = newest.entry(id).or_default();
        *entry = (*entry).max((message.data.seq, message.data.send_time));
    }
    let mut rows: Vec<Value<'_>> = Vec::with_capacity(newest.len() * 3);
    for (id, (seq, send_time)) in newest {
        rows.extend_from_slice(values![id, seq, send_time]);
    }
    tx.execute_many(
        "UPDATE streams SET max_seq = v.column2, max_send_time = v.column3 FROM (",
        3,
        &rows,
        ") AS v WHERE streams.id = v.column1 AND streams.max_seq < v.column2",
    )
    .await?;
    Ok(())
}

/// Remembers whose clocks ran ahead, for the duplicate check of messages sent again.
async fn mark_clocks(
    tx: &mut Tx,
    messages: &[Incoming],
    streams: &HashMap<String, Stream>,
) -> StoreResult<()> {
    let mut latest: BTreeMap<(i64, Cow<'_, str>), i64> = BTreeMap::new();
    for m in messages {
        if runs_ahead(m.data.create_time, m.data.send_time) && !m.data.client_msg_id.is_empty() {
            let id = stream(streams, &m.conversation_id)?.id;
            // An id too long to be a key stands for anybody.
            let named = m.data.send_id.len() <= MAX_ID_BYTES;
            let sender = storable(if named { &m.data.send_id } else { "" });
            let entry = latest.entry((id, sender)).or_default();
            *entry = (*entry).max(m.data.create_time);
        }
    }
    let mut rows: Vec<Value<'_>> = Vec::with_capacity(latest.len() * 3);
    for ((id, sender), create_time) in &latest {
        rows.extend_from_slice(values![*id, sender.as_ref(), *create_time]);
    }
    tx.execute_many(
        "INSERT INTO clocks_ahead (stream_id, send_id, create_time)",
        3,
        &rows,
        "ON CONFLICT (stream_id, send_id) DO UPDATE SET create_time = excluded.create_time \
         WHERE clocks_ahead.create_time < excluded.create_time",
    )
    .await?;
    Ok(())
}

/// A sender has read what he sent and everything before it (spec: message.md 6.3).
async fn raise_senders(tx: &mut Tx, messages: &[Incoming]) -> StoreResult<()> {
    // By the ids as they are stored: one statement must not meet a row twice.
    let mut marks: BTreeMap<(Cow<'_, str>, &str), i64> = BTreeMap::new();
    for m in messages
        .iter()
        .filter(|m| m.is_chat() && m.data.send_id.len() <= MAX_ID_BYTES)
    {
        let mark = marks
            .entry((storable(&m.data.send_id), m.conversation_id.as_str()))
            .or_default();
        *mark = (*mark).max(m.data.seq);
    }
    let marks = marks
        .iter()
        .map(|((user, conversation), seq)| ((user.as_ref(), *conversation), *seq))
        .collect();
    raise_read_seqs(tx, &marks).await
}

/// Creates the conversation records that the messages need (spec: message.md 6.4): of both sides of
/// a single chat whenever one is missing, of all members with the first message of a group.
async fn ensure_records(
    tx: &mut Tx,
    messages: &[Incoming],
    streams: &HashMap<String, Stream>,
    now: i64,
) -> StoreResult<Vec<(String, String)>> {
    let mut records: BTreeSet<NewConversation> = BTreeSet::new();
    let mut groups: BTreeSet<(&str, &str)> = BTreeSet::new();
    for m in messages.iter().filter(|m| m.is_chat()) {
        let mut record = |owner: &String, peer: &String| {
            if owner.len() <= MAX_ID_BYTES {
                records.insert(NewConversation {
                    owner_id: owner.clone(),
                    conversation_id: m.conversation_id.clone(),
                    conversation_type: m.data.session_type,
                    user_id: peer.clone(),
                    group_id: String::new(),
                });
            }
        };
        match m.data.session_type {
            SESSION_SINGLE => {
                record(&m.data.send_id, &m.data.recv_id);
                record(&m.data.recv_id, &m.data.send_id);
            }
            SESSION_NOTIFICATION => record(&m.data.recv_id, &m.data.send_id),
            SESSION_GROUP if stream(streams, &m.conversation_id)?.max_seq == 0 => {
                groups.insert((&m.data.group_id, &m.conversation_id));
            }
            _ => {}
        }
    }
    let mut created = conversations::insert_missing(tx, &records, now).await?;
    for (group_id, conversation_id) in groups {
        created.extend(
            conversations::insert_missing_of_group(tx, group_id, conversation_id, now).await?,
        );
    }
    conversations::bump_created(tx, &created, now).await?;
    Ok(created)
}

async fn kick_tokens(tx: &mut Tx, kick: &TokenKickRecord) -> StoreResult<()> {
    // An id of another size is of no token.
    let id = |bytes: &Vec<u8>| TokenId::try_from(bytes.as_slice()).ok();
    let listed: Vec<TokenId> = kick.tokens.iter().filter_map(id).collect();
    // A token made again after the login stays.
    tokens::kick(tx, &kick.user_id, &listed, kick.at_ms).await?;
    if kick.platform_id != 0 {
        tokens::kick_platform(
            tx,
            &kick.user_id,
            Some(kick.platform_id),
            id(&kick.keep),
            kick.at_ms,
        )
        .await?;
    }
    Ok(())
}

/// What of the batches is still to be done.
#[derive(Default)]
struct Work {
    messages: Vec<Incoming>,
    kicks: Vec<TokenKickRecord>,
    /// Those of batches stored before, too.
    all_kicks: Vec<TokenKickRecord>,
    /// Where each journal ends after the batches.
    ends: BTreeMap<(String, u16), u64>,
    positions: Vec<JournalPosition>,
}

fn plan(batches: &[JournalBatch], stored: &HashMap<(String, u16), u64>) -> StoreResult<Work> {
    let mut work = Work::default();
    for batch in batches {
        let key = (batch.gateway.clone(), batch.journal);
        let reached = work
            .ends
            .get(&key)
            .or_else(|| stored.get(&key))
            .copied()
            .unwrap_or(0);
        if batch.from > reached {
            return Err(StoreError::Gap {
                gateway: batch.gateway.clone(),
                journal: batch.journal,
                stored: reached,
                from: batch.from,
            });
        }
        for record in &batch.records {
            if let Record::TokenKick(kick) = record {
                work.all_kicks.push(kick.clone());
            }
        }
        if batch.to > reached {
            for record in &batch.records {
                match record {
                    Record::Message(message) => work.messages.push(Incoming::decode(message)?),
                    Record::TokenKick(kick) => work.kicks.push(kick.clone()),
                }
            }
            work.ends.insert(key, batch.to);
        }
        work.positions.push(JournalPosition {
            journal: batch.journal,
            position: batch.to.max(reached),
        });
    }
    Ok(work)
}

async fn carry_out(tx: &mut Tx, work: Work, now: i64) -> StoreResult<Applied> {
    let mut applied = Applied::default();
    if !work.messages.is_empty() {
        let ids: BTreeSet<&String> = work.messages.iter().map(|m| &m.conversation_id).collect();
        let ids: Vec<String> = ids.into_iter().cloned().collect();
        let streams = lock_streams(tx, &ids).await?;
        applied.messages = insert_messages(tx, &work.messages, &streams).await?;
        raise_streams(tx, &work.messages, &streams).await?;
        mark_clocks(tx, &work.messages, &streams).await?;
        raise_senders(tx, &work.messages).await?;
        let created = ensure_records(tx, &work.messages, &streams, now).await?;
        applied.created = created
            .into_iter()
            .map(|(owner_id, conversation_id)| CreatedConversation {
                owner_id,
                conversation_id,
            })
            .collect();
    }
    if !work.kicks.is_empty() {
        let users: BTreeSet<&String> = work.kicks.iter().map(|kick| &kick.user_id).collect();
        let users: Vec<String> = users.into_iter().cloned().collect();
        users::lock_many(tx, &users).await?;
    }
    for kick in &work.kicks {
        kick_tokens(tx, kick).await?;
    }
    for ((gateway, journal), end) in &work.ends {
        tx.execute(
            "UPDATE journal_positions SET position = $3 WHERE gateway = $1 AND journal = $2 AND position < $3",
            values![gateway, i64::from(*journal), end.cast_signed()],
        )
        .await?;
    }
    applied.token_kicks = work.all_kicks;
    applied.positions = work.positions;
    Ok(applied)
}

#[async_trait]
impl JournalStore for SqlStore {
    async fn apply(&self, batches: &[JournalBatch], now: i64) -> StoreResult<Applied> {
        let journals: BTreeSet<(&str, u16)> = batches
            .iter()
            .map(|b| (b.gateway.as_str(), b.journal))
            .collect();
        let mut tx = self.db.write().await?;
        let stored = lock_positions(&mut tx, &journals).await?;
        let work = plan(batches, &stored)?;
        let applied = carry_out(&mut tx, work, now).await?;
        tx.commit().await?;
        Ok(applied)
    }

    async fn positions(&self, gateway: &str) -> StoreResult<Vec<JournalPosition>> {
        let rows = self
            .db
            .rows(
                "SELECT journal, position FROM journal_positions WHERE gateway = $1 ORDER BY journal",
                values![gateway],
            )
            .await?;
        rows.iter()
            .map(|r| {
                Ok(JournalPosition {
                    journal: journal_number(r.int(0)?)?,
                    position: r.int(1)?.cast_unsigned(),
                })
            })
            .collect()
    }

    async fn set_position(&self, gateway: &str, position: JournalPosition) -> StoreResult<()> {
        let mut tx = self.db.write().await?;
        tx.execute(
            "INSERT INTO journal_positions (gateway, journal, position) VALUES ($1, $2, $3) \
             ON CONFLICT (gateway, journal) DO UPDATE SET position = excluded.position",
            values![
                gateway,
                i64::from(position.journal),
                position.position.cast_signed()
            ],
        )
        .await?;
        tx.commit().await
    }

    async fn gateways(&self) -> StoreResult<Vec<(String, u32)>> {
        self.db
            .rows("SELECT gateway, epoch FROM gateways ORDER BY gateway", &[])
            .await?
            .iter()
            .map(|r| Ok((r.text(0)?, epoch_number(r.int(1)?)?)))
            .collect()
    }

    async fn forget(&self, gateway: &str) -> StoreResult<()> {
        let mut tx = self.db.write().await?;
        for sql in [
            "DELETE FROM journal_positions WHERE gateway = $1",
            "DELETE FROM gateways WHERE gateway = $1",
        ] {
            tx.execute(sql, values![gateway]).await?;
        }
        tx.commit().await
    }

    async fn raise_epoch(&self, gateway: &str, epoch: u32) -> StoreResult<u32> {
        let mut tx = self.db.write().await?;
        let highest = tx
            .int(
                "INSERT INTO gateways (gateway, epoch) VALUES ($1, $2) ON CONFLICT (gateway) DO UPDATE SET \
                 epoch = CASE WHEN excluded.epoch > gateways.epoch THEN excluded.epoch ELSE gateways.epoch END \
                 RETURNING epoch",
                values![gateway, i64::from(epoch)],
            )
            .await?;
        tx.commit().await?;
        epoch_number(highest)
    }
}
