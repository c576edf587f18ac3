//! One owner core with a disk and a control of its own, one step at a time or settled.

use super::world::Control;
use crate::core::board::Board;
use crate::core::event::{Action, ConnId, Now};
use crate::core::journal::{Recovery, layout, seeds};
use crate::core::out::Out;
use crate::core::owner::{Owner, OwnerConfig, OwnerSeed};
use crate::core::ring::{Push, RingItem, SendDone, SendItem};
use bytes::Bytes;
use prost::Message as _;
use ringwire_link::message::{JournalPosition, Publish, Welcome};
use ringwire_link::{ToControl, ToGateway};
use ringwire_protocol::pb::sdkws::{MsgData, PushMessages};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) const SEGMENT: u64 = 4 << 10;
pub(super) const START: i64 = 1_700_000_000_000;

/// A write the owner asked for.
type Write = (u64, u64, Bytes);

/// An owner core under test.
pub(super) struct Rig {
    pub(super) owner: Owner,
    pub(super) control: Control,
    pub(super) now: Now,
    pub(super) board: Arc<Board>,
    pub(super) disk: BTreeMap<u64, Vec<u8>>,
    pub(super) writing: Option<Write>,
    /// Writes made so far.
    pub(super) writes: usize,
    pub(super) disk_full: bool,
    pub(super) asked: Vec<(u64, ToControl)>,
    pub(super) rung: Vec<(u16, RingItem)>,
    pub(super) fatal: Option<String>,
    reads: Vec<(u64, u64, usize, u64)>,
    segments: Vec<u64>,
    config: OwnerConfig,
    requests: u64,
}

impl Rig {
    /// A core of its own, linked, with users a, b and c.
    pub(super) fn new() -> Self {
        let mut rig = Self::with(|_| {});
        rig.link_up();
        rig
    }

    /// The same, not linked yet, with another configuration.
    pub(super) fn with(change: impl FnOnce(&mut OwnerConfig)) -> Self {
        let board = Arc::new(Board::new(&[0; 4]));
        let mut config = OwnerConfig {
            core: 0,
            cores: 1,
            admin_user_ids: ["admin".to_string()].into(),
            friend_verify: false,
            segment_bytes: SEGMENT,
            journal_max_bytes: 1 << 20,
            max_facts: 1_000,
            max_conversations: 1_000,
            tail_messages: 4,
            id_seed: [3; 16],
            board: Arc::clone(&board),
        };
        change(&mut config);
        let mut control = Control::default();
        control.user("a").user("b").user("c");
        let owner = Owner::new(
            config.clone(),
            OwnerSeed {
                epoch: 1,
                ..OwnerSeed::default()
            },
        );
        let mut rig = Self {
            owner,
            control,
            now: Now {
                mono_ms: 0,
                unix_ms: START,
            },
            board,
            disk: BTreeMap::new(),
            writing: None,
            writes: 0,
            disk_full: false,
            asked: vec![],
            rung: vec![],
            fatal: None,
            reads: vec![],
            segments: vec![],
            config,
            requests: 0,
        };
        rig.tick();
        rig
    }

    /// The process is killed and started again. Of a write in progress only the first `kept` bytes arrive.
    pub(super) fn restart(mut self, kept: usize) -> Self {
        if let Some((segment, offset, bytes)) = self.writing.take() {
            let bytes = &bytes[..kept.min(bytes.len())];
            self.disk.get_mut(&segment).expect("segment exists")[offset as usize..][..bytes.len()]
                .copy_from_slice(bytes);
        }
        let mut recovery = Recovery::new(0, SEGMENT);
        for (segment, bytes) in &self.disk {
            recovery.feed(*segment, bytes).expect("sound");
        }
        let recovered = recovery.finish().expect("sound").into_iter().collect();
        let mut seeds = seeds(recovered, 1);
        self.board = Arc::new(Board::new(&seeds.positions));
        self.config.board = Arc::clone(&self.board);
        self.config.id_seed[0] += 1;
        self.owner = Owner::new(self.config.clone(), seeds.owners.remove(0));
        self.reads.clear();
        self.segments.clear();
        self.asked.clear();
        self.rung.clear();
        self.tick();
        self
    }

    /// One turn: what `act` does, the items the core sent itself, and its end.
    pub(super) fn turn<T>(&mut self, act: impl FnOnce(&mut Owner, Now, &mut Out) -> T) -> T {
        let mut out = Out::new(0);
        let result = act(&mut self.owner, self.now, &mut out);
        while let Some(item) = out.local.pop_front() {
            match item {
                RingItem::Send(_) | RingItem::Publish { .. } | RingItem::PublishDone { .. } => {
                    self.owner.ring(self.now, 0, item, &mut out);
                }
                item => self.rung.push((0, item)),
            }
        }
        self.owner.finish_turn(self.now, &mut out);
        assert!(out.local.is_empty(), "the end of a turn rings nobody");
        for action in out.actions {
            match action {
                Action::Ring { to, item } => self.rung.push((to, item)),
                Action::Link { correlation, body } => self.asked.push((correlation, body)),
                Action::JournalWrite {
                    segment,
                    offset,
                    bytes,
                } => {
                    assert!(
                        self.writing.replace((segment, offset, bytes)).is_none(),
                        "one write at a time"
                    );
                }
                Action::JournalRead {
                    segment,
                    offset,
                    length,
                    position,
                    ..
                } => {
                    self.reads.push((segment, offset, length, position));
                }
                Action::SegmentCreate { segment } => self.segments.push(segment),
                Action::SegmentRelease { segment, .. } => drop(self.disk.remove(&segment)),
                Action::Fatal { reason } => self.fatal = Some(reason),
                other => panic!("unexpected {other:?}"),
            }
        }
        result
    }

    pub(super) fn tick(&mut self) {
        self.turn(|owner, now, out| owner.tick(now, out));
        self.make_segments();
    }

    pub(super) fn link_up(&mut self) {
        let (_, journals) = self.owner.hello();
        for at in journals {
            self.control
                .positions
                .entry(at.journal)
                .or_insert(at.position);
        }
        let stored = self
            .control
            .positions
            .iter()
            .map(|(j, p)| JournalPosition {
                journal: *j,
                position: *p,
            })
            .collect();
        let welcome = Welcome {
            boot: 1,
            facts_version: 0,
            facts_current: false,
            stored,
        };
        self.turn(|owner, now, out| owner.link_up(now, &welcome, out));
    }

    pub(super) fn link_down(&mut self) {
        self.asked.clear();
        self.turn(|owner, now, out| owner.link_down(now, out));
    }

    pub(super) fn make_segments(&mut self) -> bool {
        let segments = std::mem::take(&mut self.segments);
        let any = !segments.is_empty();
        for segment in segments {
            if self.disk_full {
                self.turn(|owner, now, out| owner.segment_failed(now, segment, "no space", out));
                continue;
            }
            let mut bytes = vec![0; SEGMENT as usize];
            bytes[..layout::HEADER_LEN].copy_from_slice(&layout::header(
                0,
                segment,
                SEGMENT,
                self.owner.hello().0,
            ));
            self.disk.insert(segment, bytes);
            self.turn(|owner, now, out| owner.segment_ready(now, segment, out));
        }
        any
    }

    /// Finishes the write in progress.
    pub(super) fn sync(&mut self) -> bool {
        let Some((segment, offset, bytes)) = self.writing.take() else {
            return false;
        };
        self.disk.get_mut(&segment).expect("segment exists")[offset as usize..][..bytes.len()]
            .copy_from_slice(&bytes);
        self.writes += 1;
        self.turn(|owner, now, out| owner.journal_synced(now, out));
        true
    }

    /// Answers everything asked of control so far.
    pub(super) fn answer(&mut self) -> bool {
        let asked = std::mem::take(&mut self.asked);
        let mut any = false;
        for (correlation, body) in asked {
            if matches!(body, ToControl::Published { .. }) {
                self.asked.push((correlation, body));
                continue;
            }
            if let Some(answer) = self.control.answer(body) {
                any = true;
                self.turn(|owner, now, out| owner.link(now, correlation, answer, out));
            }
        }
        any
    }

    /// Serves disk and control until nothing is left to do.
    pub(super) fn settle(&mut self) {
        loop {
            let mut any = self.make_segments();
            for (segment, offset, length, position) in std::mem::take(&mut self.reads) {
                any = true;
                let bytes =
                    Bytes::copy_from_slice(&self.disk[&segment][offset as usize..][..length]);
                self.turn(|owner, now, out| owner.journal_read(now, position, &bytes, out));
            }
            if !(self.sync() | self.answer() | any) {
                return;
            }
        }
    }

    /// A message on its way from a session; returns its request number.
    pub(super) fn send(&mut self, msg: MsgData) -> u64 {
        self.requests += 1;
        let request = self.requests;
        let item = SendItem {
            home: 0,
            conn: ConnId(1),
            request,
            operation_id: format!("op{request}"),
            admin: msg.send_id == "admin",
            msg,
        };
        self.turn(|owner, now, out| owner.ring(now, 0, RingItem::Send(Box::new(item)), out));
        request
    }

    /// A question of control.
    pub(super) fn publish(&mut self, correlation: u64, msg: &MsgData, check: bool) {
        let publish = Publish {
            msg: msg.encode_to_vec(),
            operation_id: format!("pub{correlation}"),
            check,
            also: vec![],
        };
        self.turn(|owner, now, out| owner.link(now, correlation, ToGateway::Publish(publish), out));
    }

    /// Outcomes of sends so far, by request; taken.
    pub(super) fn done(&mut self) -> Vec<SendDone> {
        let (done, rest) = std::mem::take(&mut self.rung)
            .into_iter()
            .partition(|(_, item)| matches!(item, RingItem::SendDone(_)));
        self.rung = rest;
        let unwrap = |(_, item)| match item {
            RingItem::SendDone(done) => *done,
            _ => unreachable!("partitioned"),
        };
        Vec::into_iter(done).map(unwrap).collect()
    }

    /// The only outcome so far.
    pub(super) fn only_done(&mut self) -> SendDone {
        let mut done = self.done();
        assert_eq!(done.len(), 1, "{done:?}");
        done.remove(0)
    }

    /// Sends, settles, and returns the error code (0 = sent).
    pub(super) fn code(&mut self, msg: MsgData) -> i32 {
        self.send(msg);
        self.settle();
        self.only_done().result.map_or_else(|e| e.code, |_| 0)
    }

    /// Pushes so far as (users or group, conversation, seqs); taken.
    pub(super) fn pushes(&mut self) -> Vec<(String, String, Vec<i64>)> {
        let mut pushes = Vec::new();
        for (_, item) in std::mem::take(&mut self.rung) {
            let (to, push) = match item {
                RingItem::Deliver { users, push } => (users.join(","), push),
                RingItem::DeliverGroup { group_id, push, .. } => (group_id, push),
                _ => continue,
            };
            for (id, seqs) in contents(&push) {
                pushes.push((to.clone(), id, seqs));
            }
        }
        pushes
    }
}

/// Conversations and seqs of a push.
pub(super) fn contents(push: &Push) -> Vec<(String, Vec<i64>)> {
    let push = PushMessages::decode(push.payload.clone()).expect("decodes");
    let all = push.msgs.into_iter().chain(push.notification_msgs);
    all.map(|(id, pulled)| (id, pulled.msgs.iter().map(|m| m.seq).collect()))
        .collect()
}

/// A text from one user to another, written now.
pub(super) fn text(from: &str, to: &str, id: &str) -> MsgData {
    MsgData {
        send_id: from.into(),
        recv_id: to.into(),
        client_msg_id: id.into(),
        session_type: 1,
        content_type: 101,
        status: 1,
        create_time: START,
        content: Bytes::from_static(b"{\"content\":\"hi\"}"),
        ..MsgData::default()
    }
}

/// A text to a group.
pub(super) fn to_group(from: &str, group_id: &str, id: &str) -> MsgData {
    MsgData {
        recv_id: String::new(),
        group_id: group_id.into(),
        session_type: 3,
        ..text(from, "", id)
    }
}

/// The message with these options.
pub(super) fn with(mut msg: MsgData, options: &[(&str, bool)]) -> MsgData {
    msg.options.extend(
        options
            .iter()
            .map(|(key, value)| ((*key).to_string(), *value)),
    );
    msg
}
