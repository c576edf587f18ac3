//! A control in memory.

use prost::Message as _;
use ringwire_link::facts::{Fact, FactKey, GroupFact, MemberFact, PairFact, UserFact};
use ringwire_link::message::{ConversationState, JournalPosition, KnownMessage};
use ringwire_link::record::{self, Record};
use ringwire_link::{ToControl, ToGateway};
use ringwire_protocol::pb::sdkws::MsgData;
use std::collections::{BTreeMap, HashMap};

/// What control knows and stores.
#[derive(Debug, Default)]
pub(super) struct Control {
    pub(super) facts: HashMap<FactKey, Fact>,
    /// Conversation -> messages by seq.
    pub(super) messages: BTreeMap<String, BTreeMap<i64, MsgData>>,
    pub(super) positions: HashMap<u16, u64>,
    /// Questions of each kind answered so far.
    pub(super) fetches: Vec<Vec<FactKey>>,
    pub(super) opened: Vec<String>,
    pub(super) searched: Vec<String>,
    pub(super) kicks: Vec<record::TokenKickRecord>,
}

impl Control {
    fn known(msg: &MsgData) -> KnownMessage {
        KnownMessage {
            send_id: msg.send_id.clone(),
            client_msg_id: msg.client_msg_id.clone(),
            server_msg_id: msg.server_msg_id.clone(),
            send_time: msg.send_time,
            create_time: msg.create_time,
            seq: msg.seq,
        }
    }

    fn fact(&self, key: &FactKey) -> Fact {
        let nothing = match key {
            FactKey::User(_) => Fact::User(None),
            FactKey::Pair(..) => Fact::Pair(PairFact::default()),
            FactKey::Group(_) => Fact::Group(None),
            FactKey::Member { .. } => Fact::Member(None),
            FactKey::UserGroups(_) => Fact::UserGroups(vec![]),
        };
        self.facts.get(key).cloned().unwrap_or(nothing)
    }

    fn state(&self, id: &str) -> ConversationState {
        let Some(messages) = self.messages.get(id) else {
            return ConversationState {
                max_seq: 0,
                max_send_time: 0,
                recent: vec![],
                ahead: Vec::new(),
            };
        };
        let newest = messages.values().last().expect("never empty");
        let skip = messages.len().saturating_sub(64);
        ConversationState {
            max_seq: newest.seq,
            max_send_time: newest.send_time,
            recent: messages.values().skip(skip).map(Self::known).collect(),
            ahead: Vec::new(),
        }
    }

    /// Answers one frame; `None` when it needs no answer.
    pub(super) fn answer(&mut self, body: ToControl) -> Option<ToGateway> {
        Some(match body {
            ToControl::FetchFacts { keys } => {
                let facts = Ok(keys.iter().map(|k| self.fact(k)).collect());
                self.fetches.push(keys);
                ToGateway::Facts { facts }
            }
            ToControl::OpenConversations { ids } => {
                let states = Ok(ids.iter().map(|id| self.state(id)).collect());
                self.opened.extend(ids);
                ToGateway::Conversations { states }
            }
            ToControl::FindDuplicate {
                conversation_id,
                send_id,
                client_msg_id,
            } => {
                let found = self.messages.get(&conversation_id).and_then(|messages| {
                    messages
                        .values()
                        .find(|m| m.send_id == send_id && m.client_msg_id == client_msg_id)
                });
                self.searched.push(client_msg_id);
                ToGateway::Duplicate {
                    found: Ok(found.map(Self::known)),
                }
            }
            ToControl::Journal {
                journal,
                from,
                to,
                bytes,
            } => {
                let position = self.positions.entry(journal).or_insert(from);
                assert_eq!(*position, from, "frames join");
                *position = to;
                let mut at = 0;
                while at < bytes.len() {
                    let (_, record, length) =
                        record::read(&bytes[at..], from + at as u64).expect("whole records");
                    at += length;
                    match record {
                        Record::TokenKick(kick) => self.kicks.push(kick),
                        Record::Message(m) => {
                            let msg = MsgData::decode(m.msg).expect("decodes");
                            let messages = self.messages.entry(m.conversation_id).or_default();
                            assert_eq!(
                                msg.seq,
                                messages.keys().last().map_or(1, |s| s + 1),
                                "no gap, no repeat"
                            );
                            messages.insert(msg.seq, msg);
                        }
                    }
                }
                ToGateway::Stored(JournalPosition {
                    journal,
                    position: to,
                })
            }
            _ => return None,
        })
    }

    pub(super) fn user(&mut self, id: &str) -> &mut Self {
        self.user_with(id, UserFact::default())
    }

    pub(super) fn user_with(&mut self, id: &str, fact: UserFact) -> &mut Self {
        self.facts
            .insert(FactKey::User(id.into()), Fact::User(Some(fact)));
        self
    }

    pub(super) fn pair(&mut self, a: &str, b: &str, fact: PairFact) {
        self.facts
            .insert(FactKey::Pair(a.into(), b.into()), Fact::Pair(fact));
    }

    pub(super) fn group(&mut self, id: &str, status: i32, group_type: i32) -> &mut Self {
        self.facts.insert(
            FactKey::Group(id.into()),
            Fact::Group(Some(GroupFact { status, group_type })),
        );
        self
    }

    pub(super) fn member(
        &mut self,
        group_id: &str,
        user_id: &str,
        role: i32,
        mute_end_ms: i64,
    ) -> &mut Self {
        let key = FactKey::Member {
            group_id: group_id.into(),
            user_id: user_id.into(),
        };
        self.facts
            .insert(key, Fact::Member(Some(MemberFact { role, mute_end_ms })));
        self
    }
}
