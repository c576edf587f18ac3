//! A control plane for tests of the gateway process: everybody is registered and may write to
//! everybody; what is streamed is kept in memory.

use prost::Message as _;
use ringwire_link::facts::{Fact, FactKey, PairFact, TokenFact, TokenState, UserFact};
use ringwire_link::frame::{self, preamble};
use ringwire_link::message::{ConversationState, Hello, JournalPosition, KnownMessage, Welcome};
use ringwire_link::record::{self, Record};
use ringwire_link::{FrameDecoder, ToControl, ToGateway};
use ringwire_protocol::pb::sdkws::MsgData;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What the plane holds.
#[derive(Default)]
pub(crate) struct Kept {
    /// Messages by conversation, as stored.
    pub(crate) messages: HashMap<String, Vec<MsgData>>,
    /// Position stored, by journal.
    positions: HashMap<u16, u64>,
    tokens: Vec<TokenFact>,
    /// Journal batches are neither stored nor answered.
    holding: bool,
    links: Vec<UnixStream>,
}

/// A running plane. Clones are the same plane.
#[derive(Clone)]
pub(crate) struct Plane {
    kept: Arc<Mutex<Kept>>,
    changed: Arc<Condvar>,
}

impl Plane {
    /// Listens on the socket until the process ends.
    pub(crate) fn listen(socket: &Path) -> Self {
        let listener = UnixListener::bind(socket).expect("binds");
        let plane = Self {
            kept: Arc::default(),
            changed: Arc::default(),
        };
        let mine = plane.clone();
        std::thread::spawn(move || {
            for link in listener.incoming() {
                let link = link.expect("accepts");
                let plane = mine.clone();
                plane
                    .kept
                    .lock()
                    .unwrap()
                    .links
                    .push(link.try_clone().expect("clones"));
                // Ends with the link.
                std::thread::spawn(move || plane.serve(link));
            }
        });
        plane
    }

    /// Lets a token pass from the next link on.
    pub(crate) fn allow(&self, user_id: &str, platform_id: i32, token: [u8; 16]) {
        let fact = TokenFact {
            user_id: user_id.into(),
            platform_id,
            token,
            state: TokenState::Normal,
            expires_s: i64::MAX / 2,
        };
        self.kept.lock().unwrap().tokens.push(fact);
    }

    /// Whether journal batches are left out; those that were come again on the next link.
    pub(crate) fn hold(&self, holding: bool) {
        self.kept.lock().unwrap().holding = holding;
    }

    /// Cuts all links; the gateway comes back.
    pub(crate) fn cut(&self) {
        for link in self.kept.lock().unwrap().links.drain(..) {
            let _ = link.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Waits until what is kept fits.
    pub(crate) fn wait(&self, mut fits: impl FnMut(&Kept) -> bool) {
        let kept = self.kept.lock().unwrap();
        let (_kept, late) = self
            .changed
            .wait_timeout_while(kept, Duration::from_secs(20), |kept| !fits(kept))
            .unwrap();
        assert!(!late.timed_out(), "not in time");
    }

    fn serve(&self, mut link: UnixStream) -> Option<()> {
        link.write_all(&preamble()).ok()?;
        let mut decoder = FrameDecoder::default();
        let mut part = vec![0; 64 << 10];
        // Behind a batch that was left out nothing fits any more: this link's journals are over.
        let mut left_out = false;
        loop {
            let n = link.read(&mut part).ok().filter(|n| *n > 0)?;
            decoder.extend(&part[..n]);
            while let Some(question) = decoder.next::<ToControl>().expect("valid frames") {
                for answer in self.answer(question.body, &mut left_out) {
                    let mut bytes = Vec::new();
                    frame::encode(question.correlation, &answer, &mut bytes).expect("encodes");
                    link.write_all(&bytes).ok()?;
                }
            }
        }
    }

    fn answer(&self, question: ToControl, left_out: &mut bool) -> Vec<ToGateway> {
        let mut kept = self.kept.lock().unwrap();
        match question {
            ToControl::Hello(hello) => kept.welcome(&hello),
            ToControl::FetchFacts { keys } => {
                vec![ToGateway::Facts {
                    facts: Ok(keys.iter().map(fact).collect()),
                }]
            }
            ToControl::OpenConversations { ids } => {
                vec![ToGateway::Conversations {
                    states: Ok(ids.iter().map(|id| kept.state(id)).collect()),
                }]
            }
            ToControl::FindDuplicate { .. } => vec![ToGateway::Duplicate { found: Ok(None) }],
            ToControl::Journal {
                journal,
                from,
                to,
                bytes,
            } => {
                *left_out |= kept.holding;
                if *left_out {
                    return Vec::new();
                }
                kept.store(journal, from, to, &bytes);
                self.changed.notify_all();
                vec![ToGateway::Stored(JournalPosition {
                    journal,
                    position: to,
                })]
            }
            // A read: what it answers is of no interest here.
            ToControl::Call(_) => vec![ToGateway::CallReply {
                err_code: 0,
                err_msg: String::new(),
                data: Vec::new(),
            }],
            _ => Vec::new(),
        }
    }
}

fn fact(key: &FactKey) -> Fact {
    match key {
        FactKey::User(_) => Fact::User(Some(UserFact::default())),
        FactKey::Pair(..) => Fact::Pair(PairFact::default()),
        FactKey::Group(_) => Fact::Group(None),
        FactKey::Member { .. } => Fact::Member(None),
        FactKey::UserGroups(_) => Fact::UserGroups(Vec::new()),
    }
}

impl Kept {
    fn welcome(&self, hello: &Hello) -> Vec<ToGateway> {
        let stored = |j: &JournalPosition| JournalPosition {
            journal: j.journal,
            position: self.positions.get(&j.journal).copied().unwrap_or_default(),
        };
        vec![
            ToGateway::Welcome(Welcome {
                boot: 1,
                facts_version: 0,
                facts_current: hello.facts_boot == 1,
                stored: hello.journals.iter().map(stored).collect(),
            }),
            ToGateway::TokenSnapshot {
                tokens: self.tokens.clone(),
                done: true,
            },
        ]
    }

    fn state(&self, id: &str) -> ConversationState {
        let messages = self.messages.get(id).map(Vec::as_slice).unwrap_or_default();
        let known = |m: &MsgData| KnownMessage {
            send_id: m.send_id.clone(),
            client_msg_id: m.client_msg_id.clone(),
            server_msg_id: m.server_msg_id.clone(),
            send_time: m.send_time,
            create_time: m.create_time,
            seq: m.seq,
        };
        ConversationState {
            max_seq: messages.last().map_or(0, |m| m.seq),
            max_send_time: messages.last().map_or(0, |m| m.send_time),
            recent: messages.iter().map(known).collect(),
            ahead: Vec::new(),
        }
    }

    fn store(&mut self, journal: u16, from: u64, to: u64, mut bytes: &[u8]) {
        let done = self.positions.insert(journal, to).unwrap_or_default();
        let mut position = from;
        while !bytes.is_empty() {
            let (_, record, length) = record::read(bytes, position).expect("whole records");
            if let (Record::Message(message), true) = (record, position >= done) {
                let msg = MsgData::decode(message.msg).expect("decodes");
                self.messages
                    .entry(message.conversation_id)
                    .or_default()
                    .push(msg);
            }
            bytes = &bytes[length..];
            position += length as u64;
        }
    }
}
