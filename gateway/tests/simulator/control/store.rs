//! What control's database holds. It outlives every crash.

use crate::oracle::{Checked, Key, Oracle, Violation};
use bytes::Bytes;
use prost::Message as _;
use ringwire_link::facts::{
    Fact, FactKey, GroupFact, MemberFact, PairFact, TokenFact, TokenState, UserFact,
};
use ringwire_link::message::{ConversationState, KnownMessage, SenderAhead};
use ringwire_link::record::{self, Record, TokenKickRecord};
use ringwire_protocol::pb::sdkws::MsgData;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) fact: GroupFact,
    pub(crate) members: BTreeMap<String, MemberFact>,
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) messages: BTreeMap<String, BTreeMap<i64, KnownMessage>>,
    pub(crate) bodies: BTreeMap<(String, i64), Bytes>,
    index: BTreeMap<Key, i64>,
    /// How far each journal is stored.
    pub(crate) positions: BTreeMap<u16, u64>,
    pub(crate) users: BTreeMap<String, UserFact>,
    pub(crate) pairs: BTreeMap<(String, String), PairFact>,
    pub(crate) groups: BTreeMap<String, Group>,
    pub(crate) tokens: Vec<TokenFact>,
}

/// What the store keeps of a message to tell it apart.
pub(crate) fn known(msg: &MsgData) -> KnownMessage {
    KnownMessage {
        send_id: msg.send_id.clone(),
        client_msg_id: msg.client_msg_id.clone(),
        server_msg_id: msg.server_msg_id.clone(),
        send_time: msg.send_time,
        create_time: msg.create_time,
        seq: msg.seq,
    }
}

/// What every message of control holds.
pub(crate) const NOTICE: &[u8] = br#"{"detail":"{}"}"#;

/// Whether the content is what was sent: clients send nothing but `x`.
fn whole(msg: &MsgData) -> bool {
    msg.content == NOTICE
        || (!msg.content.is_empty() && msg.content.iter().all(|byte| *byte == b'x'))
}

/// Whether the user takes part in a conversation whose users' ids hold no `_`.
pub(crate) fn named(conversation: &str, user: &str) -> bool {
    conversation.split('_').skip(1).any(|part| part == user)
}

impl Store {
    /// Takes a part of a journal's stream in one transaction. `first` is where the journal begins.
    pub(crate) fn take(
        &mut self,
        oracle: &mut Oracle,
        journal: u16,
        (first, from, to): (u64, u64, u64),
        bytes: &[u8],
    ) -> Checked {
        let stored = self.positions.get(&journal).copied().unwrap_or(first);
        if from > stored {
            let what =
                format!("journal {journal} streams from {from}, but only {stored} is stored");
            return Err(Violation::new("1 (acknowledged is durable)", what));
        }
        if to <= stored {
            return Ok(());
        }
        let mut offset = 0;
        while offset < bytes.len() {
            let position = from + offset as u64;
            let (_, record, length) =
                record::read(&bytes[offset..], position).map_err(|error| {
                    Violation::new(
                        "1 (acknowledged is durable)",
                        format!("journal {journal} at {position}: {error}"),
                    )
                })?;
            offset += length;
            if position < stored {
                continue;
            }
            match record {
                Record::Message(message) => {
                    let msg = MsgData::decode(message.msg.clone())
                        .map_err(|error| Violation::new("the journal", error.to_string()))?;
                    if !whole(&msg) {
                        let what =
                            format!("{} seq {} is damaged", message.conversation_id, msg.seq);
                        return Err(Violation::new("1 (acknowledged is durable)", what));
                    }
                    self.put(oracle, message.conversation_id, known(&msg), message.msg)?;
                }
                Record::TokenKick(kick) => self.kick(&kick),
            }
        }
        self.positions.insert(journal, to);
        Ok(())
    }

    fn put(
        &mut self,
        oracle: &mut Oracle,
        conversation: String,
        known: KnownMessage,
        body: Bytes,
    ) -> Checked {
        oracle.durable(&conversation, &known)?;
        let key = Key::new(&conversation, &known.send_id, &known.client_msg_id);
        self.index.insert(key, known.seq);
        self.bodies.insert((conversation.clone(), known.seq), body);
        let before = self
            .messages
            .entry(conversation.clone())
            .or_default()
            .insert(known.seq, known);
        match before {
            None => Ok(()),
            Some(before) => {
                let what = format!(
                    "{conversation} seq {} was stored before, from another record",
                    before.seq
                );
                Err(Violation::new("3 (the same message once)", what))
            }
        }
    }

    fn kick(&mut self, kick: &TokenKickRecord) {
        for token in &mut self.tokens {
            let named = kick.tokens.iter().any(|t| t.as_slice() == token.token);
            let ruled =
                kick.platform_id == token.platform_id && kick.keep.as_slice() != token.token;
            if token.user_id == kick.user_id && (named || ruled) {
                token.state = TokenState::Kicked;
            }
        }
    }

    pub(crate) fn fact(&self, key: &FactKey) -> Fact {
        match key {
            FactKey::User(user) => Fact::User(self.users.get(user).cloned()),
            FactKey::Pair(a, b) => Fact::Pair(
                self.pairs
                    .get(&(a.clone(), b.clone()))
                    .cloned()
                    .unwrap_or_default(),
            ),
            FactKey::Group(group) => Fact::Group(self.groups.get(group).map(|g| g.fact.clone())),
            FactKey::Member { group_id, user_id } => Fact::Member(
                self.groups
                    .get(group_id)
                    .and_then(|g| g.members.get(user_id).cloned()),
            ),
            FactKey::UserGroups(user) => Fact::UserGroups(
                self.groups
                    .iter()
                    .filter(|(_, g)| g.members.contains_key(user))
                    .map(|(id, _)| id.clone())
                    .collect(),
            ),
        }
    }

    /// The state of a conversation, with at most `recent` of its newest messages.
    pub(crate) fn state(&self, conversation: &str, recent: usize) -> ConversationState {
        let Some(messages) = self.messages.get(conversation) else {
            return ConversationState::default();
        };
        let mut newest: Vec<KnownMessage> = messages.values().rev().take(recent).cloned().collect();
        newest.reverse();
        ConversationState {
            max_seq: messages.keys().next_back().copied().unwrap_or(0),
            max_send_time: messages.values().next_back().map_or(0, |m| m.send_time),
            recent: newest,
            ahead: messages
                .values()
                .filter(|m| m.is_ahead())
                .map(|m| SenderAhead {
                    send_id: m.send_id.clone(),
                    create_time: m.create_time,
                })
                .collect(),
        }
    }

    pub(crate) fn duplicate(
        &self,
        conversation: &str,
        sender: &str,
        client_msg_id: &str,
    ) -> Option<KnownMessage> {
        let seq = self
            .index
            .get(&Key::new(conversation, sender, client_msg_id))?;
        self.messages.get(conversation)?.get(seq).cloned()
    }

    /// Whether the user takes part in a conversation or notification stream now.
    pub(crate) fn party(&self, conversation: &str, user: &str) -> bool {
        let group = conversation
            .strip_prefix("sg_")
            .or(conversation.strip_prefix("n_"));
        match group.and_then(|group| self.groups.get(group)) {
            Some(group) => group.members.contains_key(user),
            None => named(conversation, user),
        }
    }

    /// Newest seqs of the user's conversations.
    pub(crate) fn max_seqs(&self, user: &str) -> BTreeMap<String, i64> {
        let mine = self
            .messages
            .iter()
            .filter(|(conversation, _)| self.party(conversation, user));
        mine.filter_map(|(conversation, m)| Some((conversation.clone(), *m.keys().next_back()?)))
            .collect()
    }

    /// Messages of one conversation by seq.
    pub(crate) fn bodies(&self, conversation: &str, seqs: &BTreeSet<i64>) -> Vec<MsgData> {
        let body = |seq: &i64| self.bodies.get(&(conversation.to_string(), *seq));
        seqs.iter()
            .filter_map(body)
            .filter_map(|b| MsgData::decode(b.clone()).ok())
            .collect()
    }
}
