//! A stand-in for control: answers truthfully from its store, tells changes in order, streams what the
//! journals bring into the store, publishes until it is answered. It can crash and come back.

pub(crate) mod store;
mod world;

use crate::oracle::{Change, Checked, Key, Oracle, Violation};
use crate::random::Random;
use prost::Message as _;
use ringwire_link::facts::{FactChange, TokenFact};
use ringwire_link::message::{Call, Hello, JournalPosition, Publish, Welcome};
use ringwire_link::{FrameDecoder, ToControl, ToGateway};
use ringwire_protocol::pb::msg::{
    GetConversationsHasReadAndMaxSeqResp, GetSeqMessageReq, GetSeqMessageResp, Seqs,
};
use ringwire_protocol::pb::sdkws::{
    GetMaxSeqResp, PullMessageBySeqsReq, PullMessageBySeqsResp, PullMsgs,
};
use ringwire_protocol::{req, slot};
use std::collections::{BTreeMap, BTreeSet};
use store::Store;

/// One core's connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) generation: u64,
    pub(crate) decoder: FrameDecoder,
    pub(crate) hello: Option<Hello>,
    applied: u64,
    /// What the core says of who is online.
    pub(crate) presence: BTreeMap<String, Vec<i32>>,
    /// Questions out: correlation id to message.
    publishing: BTreeMap<u64, usize>,
}

/// A message that control wants published, kept until it is.
#[derive(Debug)]
pub(crate) struct Outgoing {
    publish: Publish,
    lane: String,
    /// Streams it goes to, and whether it is stored there.
    keys: Vec<(Key, bool)>,
    pub(crate) done: bool,
}

/// A frame to send, and how soon.
#[derive(Debug)]
pub(crate) struct Send {
    pub(crate) core: u16,
    pub(crate) correlation: u64,
    pub(crate) body: ToGateway,
    /// Read now, sent some time later.
    pub(crate) late: bool,
}

#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) store: Store,
    pub(crate) outbox: Vec<Outgoing>,
    /// Of this start; 0 = not running.
    pub(crate) boot: u64,
    version: u64,
    log: Vec<(u64, Vec<FactChange>)>,
    pub(crate) links: BTreeMap<u16, Link>,
    /// Requests that wait for journals.
    calls: Vec<(u16, u64, Call)>,
    correlation: u64,
    recent: usize,
    pub(crate) sends: Vec<Send>,
    made: u64,
}

impl Control {
    pub(crate) fn new(recent: usize) -> Self {
        Self {
            store: Store::default(),
            outbox: Vec::new(),
            boot: 0,
            version: 0,
            log: Vec::new(),
            links: BTreeMap::new(),
            calls: Vec::new(),
            correlation: 0,
            recent,
            sends: Vec::new(),
            made: 0,
        }
    }

    pub(crate) fn start(&mut self, boot: u64) {
        self.boot = boot;
        self.version = 0;
    }

    /// Everything that is not in the store is gone.
    pub(crate) fn crash(&mut self) {
        self.boot = 0;
        self.log.clear();
        self.links.clear();
        self.calls.clear();
        self.sends.clear();
    }

    pub(crate) fn connected(&mut self, core: u16, generation: u64) {
        // What an older connection asked is not answered on this one.
        self.calls.retain(|(of, ..)| *of != core);
        let decoder = FrameDecoder::default();
        let (presence, publishing) = (BTreeMap::new(), BTreeMap::new());
        self.links.insert(
            core,
            Link {
                generation,
                decoder,
                hello: None,
                applied: 0,
                presence,
                publishing,
            },
        );
    }

    pub(crate) fn disconnected(&mut self, core: u16, generation: u64) {
        if self
            .links
            .get(&core)
            .is_some_and(|link| link.generation == generation)
        {
            self.links.remove(&core);
            self.calls.retain(|(of, ..)| *of != core);
        }
    }

    fn send(&mut self, core: u16, correlation: u64, body: ToGateway) {
        self.sends.push(Send {
            core,
            correlation,
            body,
            late: false,
        });
    }

    fn answer(&mut self, random: &mut Random, core: u16, correlation: u64, body: ToGateway) {
        self.sends.push(Send {
            core,
            correlation,
            body,
            late: random.chance(200),
        });
    }

    /// One frame from a core, at the moment it is dealt with.
    pub(crate) fn frame(
        &mut self,
        random: &mut Random,
        oracle: &mut Oracle,
        now: u64,
        core: u16,
        correlation: u64,
        body: ToControl,
    ) -> Checked {
        match body {
            ToControl::Hello(hello) => self.hello(random, core, hello)?,
            ToControl::Heartbeat | ToControl::Sessions { .. } | ToControl::Kicked { .. } => {}
            ToControl::Journal {
                journal,
                from,
                to,
                bytes,
            } => {
                let first = self.first_of(core, journal);
                self.store
                    .take(oracle, journal, (first, from, to), &bytes)?;
                let position = self.store.positions.get(&journal).copied().unwrap_or(first);
                self.send(
                    core,
                    0,
                    ToGateway::Stored(JournalPosition { journal, position }),
                );
                self.answer_calls();
            }
            ToControl::FetchFacts { keys } => {
                let facts = keys.iter().map(|key| self.store.fact(key)).collect();
                self.answer(
                    random,
                    core,
                    correlation,
                    ToGateway::Facts { facts: Ok(facts) },
                );
            }
            ToControl::OpenConversations { ids } => {
                let recent = self.recent;
                let states = ids.iter().map(|id| self.store.state(id, recent)).collect();
                self.answer(
                    random,
                    core,
                    correlation,
                    ToGateway::Conversations { states: Ok(states) },
                );
            }
            ToControl::FindDuplicate {
                conversation_id,
                send_id,
                client_msg_id,
            } => {
                let found = self
                    .store
                    .duplicate(&conversation_id, &send_id, &client_msg_id);
                self.answer(
                    random,
                    core,
                    correlation,
                    ToGateway::Duplicate { found: Ok(found) },
                );
            }
            ToControl::Call(call) => {
                self.calls.push((core, correlation, call));
                self.answer_calls();
            }
            ToControl::FactsApplied { version } => {
                if let Some(link) = self.links.get_mut(&core) {
                    link.applied = link.applied.max(version);
                }
                oracle.applied(core, (self.boot, version), now);
            }
            ToControl::Published {
                err_code,
                server_msg_id,
                send_time,
                ..
            } => {
                let number = self
                    .links
                    .get_mut(&core)
                    .and_then(|link| link.publishing.remove(&correlation));
                let Some(outgoing) = number.and_then(|number| self.outbox.get_mut(number)) else {
                    return Ok(());
                };
                // 500 is trouble that passes; everything else is a verdict.
                outgoing.done = err_code != 500;
                if err_code == 0 {
                    for (key, stored) in outgoing.keys.clone() {
                        oracle.acknowledged(key, &server_msg_id, send_time, stored, core)?;
                    }
                }
            }
            ToControl::Presence { users, .. } => {
                let Some(link) = self.links.get_mut(&core) else {
                    return Ok(());
                };
                for user in users {
                    if user.platforms.is_empty() {
                        link.presence.remove(&user.user_id);
                    } else {
                        link.presence.insert(user.user_id, user.platforms);
                    }
                }
            }
        }
        Ok(())
    }

    fn first_of(&self, core: u16, journal: u16) -> u64 {
        let hello = self.links.get(&core).and_then(|link| link.hello.as_ref());
        let first = hello.and_then(|h| h.journals.iter().find(|j| j.journal == journal));
        first.map_or(0, |j| j.position)
    }

    fn hello(&mut self, random: &mut Random, core: u16, hello: Hello) -> Checked {
        let stored = hello
            .journals
            .iter()
            .map(|j| JournalPosition {
                journal: j.journal,
                position: self.position(j.journal),
            })
            .collect();
        let follows = hello.facts_boot == self.boot && random.chance(900);
        let welcome = Welcome {
            boot: self.boot,
            facts_version: if follows {
                hello.facts_version
            } else {
                self.version
            },
            facts_current: follows,
            stored,
        };
        self.send(core, 0, ToGateway::Welcome(welcome));
        if follows {
            for (version, changes) in self.log.clone() {
                if version > hello.facts_version {
                    self.send(core, 0, ToGateway::FactChanges { version, changes });
                }
            }
        }
        let mine = |user: &str| slot::core_of(user, hello.cores) == hello.core;
        let tokens: Vec<_> = self
            .store
            .tokens
            .iter()
            .filter(|t| mine(&t.user_id))
            .cloned()
            .collect();
        for part in tokens.chunks(2) {
            let body = ToGateway::TokenSnapshot {
                tokens: part.to_vec(),
                done: false,
            };
            self.send(core, 0, body);
        }
        self.send(
            core,
            0,
            ToGateway::TokenSnapshot {
                tokens: Vec::new(),
                done: true,
            },
        );
        let Some(link) = self.links.get_mut(&core) else {
            return Ok(());
        };
        if link.hello.replace(hello).is_some() {
            return Err(Violation::new(
                "the link",
                format!("core {core} said Hello twice"),
            ));
        }
        self.publish_all(random);
        Ok(())
    }

    fn position(&self, journal: u16) -> u64 {
        self.store.positions.get(&journal).copied().unwrap_or(0)
    }

    /// Answers requests whose journals are stored far enough.
    fn answer_calls(&mut self) {
        let (ready, wait) =
            std::mem::take(&mut self.calls)
                .into_iter()
                .partition(|(_, _, call)| {
                    call.after
                        .iter()
                        .all(|p| self.position(p.journal) >= p.position)
                });
        self.calls = wait;
        for (core, correlation, call) in Vec::<(u16, u64, Call)>::into_iter(ready) {
            let data = self.reply(&call);
            let body = ToGateway::CallReply {
                err_code: 0,
                err_msg: String::new(),
                data,
            };
            self.send(core, correlation, body);
        }
    }

    fn reply(&self, call: &Call) -> Vec<u8> {
        let user = &call.user_id;
        let pulled = |conversation: &String, seqs: BTreeSet<i64>| {
            let visible = self.store.party(conversation, user);
            let msgs = if visible {
                self.store.bodies(conversation, &seqs)
            } else {
                Vec::new()
            };
            (
                conversation.clone(),
                PullMsgs {
                    msgs,
                    ..PullMsgs::default()
                },
            )
        };
        match call.kind {
            req::GET_MAX_SEQ => GetMaxSeqResp {
                max_seqs: self.store.max_seqs(user),
                ..Default::default()
            }
            .encode_to_vec(),
            req::GET_HAS_READ_AND_MAX_SEQ => {
                let max = self.store.max_seqs(user).into_iter();
                let seqs = max
                    .map(|(id, max_seq)| {
                        (
                            id,
                            Seqs {
                                max_seq,
                                ..Seqs::default()
                            },
                        )
                    })
                    .collect();
                GetConversationsHasReadAndMaxSeqResp {
                    seqs,
                    ..Default::default()
                }
                .encode_to_vec()
            }
            req::PULL_BY_RANGE => {
                let asked = PullMessageBySeqsReq::decode(call.data.as_slice()).unwrap_or_default();
                let of = |r: &ringwire_protocol::pb::sdkws::SeqRange| {
                    pulled(&r.conversation_id, (r.begin..=r.end).collect())
                };
                PullMessageBySeqsResp {
                    msgs: asked.seq_ranges.iter().map(of).collect(),
                    ..Default::default()
                }
                .encode_to_vec()
            }
            req::PULL_BY_LIST => {
                let asked = GetSeqMessageReq::decode(call.data.as_slice()).unwrap_or_default();
                let of = |c: &ringwire_protocol::pb::msg::ConversationSeqs| {
                    pulled(&c.conversation_id, c.seqs.iter().copied().collect())
                };
                GetSeqMessageResp {
                    msgs: asked.conversations.iter().map(of).collect(),
                    ..Default::default()
                }
                .encode_to_vec()
            }
            _ => Vec::new(),
        }
    }

    /// Tells every core of changes. Returns their version.
    fn tell(&mut self, changes: Vec<FactChange>) -> (u64, u64) {
        self.version += 1;
        self.log.push((self.version, changes.clone()));
        let version = self.version;
        let cores: Vec<u16> = self
            .links
            .iter()
            .filter(|(_, l)| l.hello.is_some())
            .map(|(core, _)| *core)
            .collect();
        for core in cores {
            self.send(
                core,
                0,
                ToGateway::FactChanges {
                    version,
                    changes: changes.clone(),
                },
            );
        }
        (self.boot, version)
    }

    /// A user has a new token.
    pub(crate) fn token_issued(&mut self, fact: TokenFact) {
        self.tell(vec![FactChange::Token(fact)]);
    }

    /// Whether every connected core has applied this change: only then is the next one made for the
    /// same thing.
    fn settled(&self, change: &Change) -> bool {
        change.version.0 != self.boot
            || self
                .links
                .values()
                .all(|link| link.applied >= change.version.1)
    }
}
