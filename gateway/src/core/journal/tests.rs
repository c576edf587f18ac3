//! Journals that live through crashes, damage and a full disk.

use super::recovery::{Recovered, Recovery, RecoveryError, seeds};
use super::writer::{Refusal, Writer};
use super::{Journal, JournalSpan, layout};
use crate::core::board::Board;
use crate::core::event::{Action, Now};
use crate::core::out::Out;
use proptest::prelude::*;
use prost::Message as _;
use ringwire_link::ToControl;
use ringwire_link::message::JournalPosition;
use ringwire_link::record::{self, MessageRecord, Record, TokenKickRecord};
use ringwire_protocol::pb::sdkws::MsgData;
use std::collections::BTreeMap;
use std::sync::Arc;

const SEGMENT: u64 = 4096;
const NOW: Now = Now { mono_ms: 0, unix_ms: 0 };

fn message(seq: i64, size: usize) -> Record {
    message_of_run(0, seq, size)
}

fn message_of_run(run: u32, seq: i64, size: usize) -> Record {
    let msg = MsgData {
        send_id: "a".into(),
        recv_id: "b".into(),
        session_type: 1,
        client_msg_id: format!("{run}-{seq:04}"),
        seq,
        content: vec![7; size].into(),
        ..MsgData::default()
    };
    Record::Message(MessageRecord {
        conversation_id: "si_a_b".into(),
        msg: msg.encode_to_vec().into(),
        operation_id: "op".into(),
    })
}

/// A folder with the segments of journal 0.
#[derive(Debug, Default, Clone)]
struct Disk {
    segments: BTreeMap<u64, Vec<u8>>,
    released: Vec<Vec<u8>>,
    epoch: u32,
}

impl Disk {
    /// A new segment; what a recycled file held stays behind its header.
    fn create(&mut self, segment: u64) {
        let mut bytes = self.released.pop().unwrap_or_else(|| vec![0; SEGMENT as usize]);
        bytes[..layout::HEADER_LEN].copy_from_slice(&layout::header(0, segment, SEGMENT, self.epoch));
        self.segments.insert(segment, bytes);
    }

    fn write(&mut self, segment: u64, offset: u64, bytes: &[u8]) {
        let file = self.segments.get_mut(&segment).expect("segment exists");
        file[offset as usize..offset as usize + bytes.len()].copy_from_slice(bytes);
    }

    /// The machine stopped during a write: only some pieces of it arrived.
    fn write_torn(&mut self, segment: u64, offset: u64, bytes: &[u8], random: &mut Random) {
        for (n, piece) in bytes.chunks(64).enumerate() {
            if random.below(2) == 0 {
                self.write(segment, offset + n as u64 * 64, piece);
            }
        }
    }

    fn recover(&self) -> Result<Recovered, RecoveryError> {
        let mut recovery = Recovery::new(0, SEGMENT);
        for (segment, bytes) in &self.segments {
            recovery.feed(*segment, bytes)?;
        }
        Ok(recovery.finish()?.expect("has segments"))
    }
}

fn seqs(recovered: &Recovered) -> Vec<i64> {
    recovered.conversations.get("si_a_b").map_or(vec![], |head| head.recent.iter().map(|m| m.seq).collect())
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Does what the writer asks for until it asks for a write; returns that.
fn until_write(writer: &mut Writer, disk: &mut Disk) -> Option<(u64, u64, bytes::Bytes)> {
    let mut out = Out::new(0);
    loop {
        out.actions.clear();
        writer.flush(NOW, &mut out);
        let mut created = false;
        let mut write = None;
        for action in out.actions.drain(..) {
            match action {
                Action::SegmentCreate { segment } => {
                    disk.create(segment);
                    writer.segment_ready(segment);
                    created = true;
                }
                Action::JournalWrite { segment, offset, bytes } => write = Some((segment, offset, bytes)),
                other => panic!("unexpected {other:?}"),
            }
        }
        if write.is_some() || !created {
            return write;
        }
    }
}

fn commit_all(writer: &mut Writer, disk: &mut Disk) {
    while let Some((segment, offset, bytes)) = until_write(writer, disk) {
        disk.write(segment, offset, &bytes);
        writer.synced().expect("was writing");
    }
}

#[test]
fn what_was_committed_is_recovered_over_several_segments() {
    let mut disk = Disk { epoch: 1, ..Disk::default() };
    let mut writer = Writer::new(1, SEGMENT, 1 << 20, None);
    for seq in 1..=40 {
        writer.push(message(seq, 200));
        commit_all(&mut writer, &mut disk);
    }
    let recovered = disk.recover().expect("sound");
    assert_eq!(seqs(&recovered), (1..=40).collect::<Vec<_>>());
    assert_eq!((recovered.span.end, recovered.cut_bytes, recovered.max_epoch), (writer.end(), 0, 1));
    assert!(recovered.span.last_segment >= 3);
}

#[test]
fn one_write_takes_all_that_gathered_during_the_one_before() {
    let mut disk = Disk { epoch: 1, ..Disk::default() };
    let mut writer = Writer::new(1, SEGMENT, 1 << 20, None);
    writer.push(message(1, 8));
    let (segment, offset, bytes) = until_write(&mut writer, &mut disk).expect("first write");
    for seq in 2..=6 {
        writer.push(message(seq, 8));
        assert!(until_write(&mut writer, &mut disk).is_none(), "one write at a time");
    }
    disk.write(segment, offset, &bytes);
    assert_eq!(writer.synced().expect("first").ordinal, 2);
    let (segment, offset, bytes) = until_write(&mut writer, &mut disk).expect("second write");
    disk.write(segment, offset, &bytes);
    assert_eq!(writer.synced().expect("second").ordinal, 7);
    assert!(until_write(&mut writer, &mut disk).is_none());
    assert_eq!(seqs(&disk.recover().expect("sound")), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_flipped_bit_under_later_commits_is_refused_loudly() {
    let mut disk = Disk { epoch: 1, ..Disk::default() };
    let mut writer = Writer::new(1, SEGMENT, 1 << 20, None);
    for seq in 1..=3 {
        writer.push(message(seq, 50));
        commit_all(&mut writer, &mut disk);
    }
    disk.segments.get_mut(&0).expect("first")[layout::HEADER_LEN + 40] ^= 1;
    let error = disk.recover().expect_err("damaged");
    assert!(matches!(error, RecoveryError::Damaged { segment: 0, offset: 64, .. }), "{error}");
    assert!(error.to_string().contains("acknowledged"));
}

#[test]
fn damage_at_the_end_of_a_full_segment_is_seen_from_the_next() {
    let mut disk = Disk { epoch: 1, ..Disk::default() };
    let mut writer = Writer::new(1, SEGMENT, 1 << 20, None);
    let mut seq = 0;
    let mut last_of_first = 0;
    while writer.segment() == 0 {
        last_of_first = writer.end();
        seq += 1;
        writer.push(message(seq, 200));
        commit_all(&mut writer, &mut disk);
    }
    // The record that did not fit is the first of the next segment; damage the seal before it.
    disk.segments.get_mut(&0).expect("first")[last_of_first as usize + 4] ^= 1;
    assert!(matches!(disk.recover(), Err(RecoveryError::Damaged { segment: 0, .. })));
}

#[test]
fn wrong_files_are_named() {
    let mut disk = Disk { epoch: 1, ..Disk::default() };
    let mut writer = Writer::new(1, SEGMENT, 1 << 20, None);
    for seq in 1..=40 {
        writer.push(message(seq, 200));
        commit_all(&mut writer, &mut disk);
    }
    let mut hole = disk.clone();
    hole.segments.remove(&1);
    assert_eq!(hole.recover(), Err(RecoveryError::Missing { journal: 0, segment: 1 }));
    let last = *disk.segments.keys().last().expect("some");
    let mut foreign = disk.clone();
    foreign.segments.insert(1, disk.segments[&2].clone());
    assert!(matches!(foreign.recover(), Err(RecoveryError::Mismatch { what: "segment number", .. })));
    let mut other = Recovery::new(5, SEGMENT);
    assert!(matches!(other.feed(0, &disk.segments[&0]), Err(RecoveryError::Mismatch { what: "journal number", .. })));
    let mut resized = Recovery::new(0, SEGMENT * 2);
    assert!(matches!(resized.feed(0, &disk.segments[&0]), Err(RecoveryError::Mismatch { what: "segment size", .. })));
    let mut short = Recovery::new(0, SEGMENT);
    let cut = &disk.segments[&0][..4000];
    assert!(matches!(short.feed(0, cut), Err(RecoveryError::Mismatch { what: "length", .. })));
    let mut headless = disk.clone();
    headless.segments.get_mut(&last).expect("last")[3] ^= 1;
    assert!(matches!(headless.recover(), Err(RecoveryError::Header { .. })));
}

#[test]
fn a_sealed_last_segment_means_its_successor_is_lost() {
    let mut disk = Disk { epoch: 1, ..Disk::default() };
    let mut writer = Writer::new(1, SEGMENT, 1 << 20, None);
    let mut seq = 0;
    while writer.segment() == 0 {
        seq += 1;
        writer.push(message(seq, 200));
        commit_all(&mut writer, &mut disk);
    }
    disk.segments.retain(|segment, _| *segment == 0);
    assert_eq!(disk.recover(), Err(RecoveryError::Missing { journal: 0, segment: 1 }));
}

#[test]
fn a_full_disk_refuses_until_a_segment_can_be_made() {
    let mut disk = Disk { epoch: 1, ..Disk::default() };
    let mut writer = Writer::new(1, SEGMENT, 1 << 20, None);
    let mut out = Out::new(0);
    writer.flush(NOW, &mut out);
    assert!(matches!(out.actions[..], [Action::SegmentCreate { segment: 0 }]));
    writer.segment_failed(NOW, 0);
    let record = message(1, 10);
    assert_eq!(writer.room(&[Writer::record_len(&record)]), Err(Refusal::Full));
    assert_eq!(writer.deadline(), Some(1_000));
    out.actions.clear();
    writer.flush(Now { mono_ms: 999, unix_ms: 0 }, &mut out);
    assert!(out.actions.is_empty());
    writer.flush(Now { mono_ms: 1_000, unix_ms: 0 }, &mut out);
    assert!(matches!(out.actions[..], [Action::SegmentCreate { segment: 0 }]));
    disk.create(0);
    writer.segment_ready(0);
    assert_eq!(writer.room(&[Writer::record_len(&record)]), Ok(()));
    writer.push(record);
    commit_all(&mut writer, &mut disk);
    assert_eq!(seqs(&disk.recover().expect("sound")), [1]);
}

#[test]
fn what_control_has_not_stored_is_bounded() {
    let mut disk = Disk { epoch: 1, ..Disk::default() };
    let mut writer = Writer::new(1, SEGMENT, 2_000, None);
    let length = Writer::record_len(&message(1, 300));
    let mut taken = 0;
    while writer.room(&[length]).is_ok() {
        taken += 1;
        writer.push(message(taken, 300));
        commit_all(&mut writer, &mut disk);
    }
    assert_eq!(writer.room(&[length]), Err(Refusal::Full));
    assert!(writer.unstored_bytes() <= 2_000);
    writer.stored(writer.end());
    assert_eq!(writer.room(&[length]), Ok(()));
    assert_eq!(writer.stored_ordinal(), writer.committed());
    assert_eq!(writer.room(&[SEGMENT as usize]), Err(Refusal::TooLarge));
}

/// A journal with its disk and what it streams.
struct Streamed {
    journal: Journal,
    disk: Disk,
    frames: Vec<(u16, u64, u64, Vec<u8>)>,
    released: Vec<u64>,
    fatal: Option<String>,
    reads: usize,
}

impl Streamed {
    fn new(disk: Disk, own: Option<JournalSpan>, orphans: &[JournalSpan]) -> Self {
        let board = Arc::new(Board::new(&[0, 0, 0]));
        let journal = Journal::new(0, disk.epoch, SEGMENT, 1 << 20, own, orphans, board);
        Self { journal, disk, frames: vec![], released: vec![], fatal: None, reads: 0 }
    }

    fn settle(&mut self, mut out: Out) {
        loop {
            self.journal.flush(NOW, &mut out);
            let actions = std::mem::take(&mut out.actions);
            if actions.is_empty() {
                return;
            }
            for action in actions {
                match action {
                    Action::SegmentCreate { segment } => {
                        self.disk.create(segment);
                        self.journal.segment_ready(segment);
                    }
                    Action::JournalWrite { segment, offset, bytes } => {
                        self.disk.write(segment, offset, &bytes);
                        self.journal.synced(&mut out).expect("was writing");
                    }
                    Action::JournalRead { segment, offset, length, position, .. } => {
                        self.reads += 1;
                        let bytes = self.disk.segments[&segment][offset as usize..offset as usize + length].to_vec();
                        self.journal.read(position, &bytes, &mut out);
                    }
                    Action::SegmentRelease { segment, .. } => self.released.push(segment),
                    Action::Link { body: ToControl::Journal { journal, from, to, bytes }, .. } => {
                        self.frames.push((journal, from, to, bytes));
                    }
                    Action::Fatal { reason } => self.fatal = Some(reason),
                    other => panic!("unexpected {other:?}"),
                }
            }
        }
    }

    fn push(&mut self, seqs: std::ops::RangeInclusive<i64>) {
        for seq in seqs {
            self.journal.push(message(seq, 200));
            self.settle(Out::new(0));
        }
    }

    fn welcome(&mut self, stored: &[JournalPosition]) {
        let mut out = Out::new(0);
        self.journal.welcome(stored, &mut out);
        self.settle(out);
    }

    /// Control stores all frames as they come, until none is left; returns their seqs.
    fn store_all(&mut self) -> Vec<i64> {
        let mut seqs = Vec::new();
        let mut next: Option<u64> = None;
        while !self.frames.is_empty() {
            let (journal, from, to, bytes) = self.frames.remove(0);
            assert!(next.is_none_or(|next| next == from), "frames join without a gap");
            next = Some(to);
            let mut at = 0;
            while at < bytes.len() {
                let (_, record, length) = record::read(&bytes[at..], from + at as u64).expect("whole records");
                at += length;
                if let Record::Message(m) = record {
                    seqs.push(MsgData::decode(m.msg).expect("decodes").seq);
                }
            }
            let mut out = Out::new(0);
            self.journal.stored(JournalPosition { journal, position: to }, &mut out);
            self.settle(out);
        }
        seqs
    }
}

fn first() -> JournalPosition {
    JournalPosition { journal: 0, position: layout::HEADER_LEN as u64 }
}

#[test]
fn commits_stream_from_memory_and_stored_segments_are_given_back() {
    let mut streamed = Streamed::new(Disk { epoch: 1, ..Disk::default() }, None, &[]);
    streamed.welcome(&[first()]);
    streamed.push(1..=60);
    assert_eq!(streamed.store_all(), (1..=60).collect::<Vec<_>>());
    assert_eq!(streamed.reads, 0);
    let current = streamed.journal.writer().segment();
    assert_eq!(streamed.released, (0..current).collect::<Vec<_>>());
    assert_eq!(streamed.fatal, None);
}

#[test]
fn frames_under_way_are_limited_and_the_rest_gathers() {
    let mut streamed = Streamed::new(Disk { epoch: 1, ..Disk::default() }, None, &[]);
    streamed.welcome(&[first()]);
    streamed.push(1..=12);
    assert_eq!(streamed.frames.len(), super::stream::WINDOW_FRAMES);
    assert_eq!(streamed.store_all(), (1..=12).collect::<Vec<_>>());
}

#[test]
fn a_lost_link_resumes_where_control_is() {
    let mut streamed = Streamed::new(Disk { epoch: 1, ..Disk::default() }, None, &[]);
    streamed.welcome(&[first()]);
    streamed.push(1..=3);
    let (_, _, to, _) = streamed.frames[0].clone();
    streamed.frames.clear();
    streamed.journal.link_down();
    streamed.push(4..=30);
    assert!(streamed.frames.is_empty());
    streamed.welcome(&[JournalPosition { journal: 0, position: to }]);
    assert_eq!(streamed.store_all(), (2..=30).collect::<Vec<_>>());
}

#[test]
fn after_a_restart_the_rest_is_read_from_disk_and_new_records_follow() {
    let mut before = Streamed::new(Disk { epoch: 1, ..Disk::default() }, None, &[]);
    before.push(1..=30);
    let mut disk = before.disk;
    let recovered = disk.recover().expect("sound");
    disk.epoch = 2;
    let mut after = Streamed::new(disk, Some(recovered.span), &[]);
    after.push(31..=33);
    after.welcome(&[first()]);
    assert_eq!(after.store_all(), (1..=33).collect::<Vec<_>>());
    assert!(after.reads > 0);
    assert_eq!(seqs(&after.disk.recover().expect("sound")), (1..=33).collect::<Vec<_>>());
}

#[test]
fn an_orphan_is_drained_but_its_last_segment_stays() {
    let mut before = Streamed::new(Disk { epoch: 1, ..Disk::default() }, None, &[]);
    before.push(1..=30);
    let recovered = before.disk.recover().expect("sound");
    // The same files, seen as journal 2 of a former run with more cores.
    let span = JournalSpan { journal: 2, ..recovered.span };
    let mut after = Streamed::new(before.disk, None, &[span]);
    after.welcome(&[first(), JournalPosition { journal: 2, position: span.first }]);
    assert_eq!(after.store_all(), (1..=30).collect::<Vec<_>>());
    assert_eq!(after.released, (0..span.end / SEGMENT).collect::<Vec<_>>());
}

#[test]
fn a_database_that_does_not_fit_the_journal_is_fatal() {
    let mut streamed = Streamed::new(Disk { epoch: 1, ..Disk::default() }, None, &[]);
    streamed.welcome(&[JournalPosition { journal: 0, position: 5_000 }]);
    assert!(streamed.fatal.as_deref().is_some_and(|r| r.contains("journal folder")));
    let mut streamed = Streamed::new(Disk { epoch: 1, ..Disk::default() }, None, &[]);
    streamed.welcome(&[first()]);
    streamed.push(1..=60);
    streamed.store_all();
    streamed.journal.link_down();
    streamed.welcome(&[first()]);
    assert!(streamed.fatal.as_deref().is_some_and(|r| r.contains("gone from the database")));
}

#[test]
fn seeds_go_to_the_cores_of_this_run() {
    let mut streamed = Streamed::new(Disk { epoch: 4, ..Disk::default() }, None, &[]);
    streamed.push(1..=3);
    let kick = TokenKickRecord { user_id: "a".into(), ..TokenKickRecord::default() };
    assert!(streamed.journal.push_kick(Record::TokenKick(kick)));
    streamed.settle(Out::new(0));
    let recovered = streamed.disk.recover().expect("sound");
    let as_journal = |journal, r: &Recovered| {
        let mut r = r.clone();
        r.span.journal = journal;
        r
    };
    let seeds = seeds(vec![as_journal(0, &recovered), as_journal(3, &recovered)], 2);
    assert_eq!((seeds.epoch, seeds.owners.len(), seeds.positions.len()), (5, 2, 4));
    assert_eq!(seeds.owners[1].orphans.len(), 1);
    assert!(seeds.owners[0].own.is_some() && seeds.owners[1].own.is_none());
    let heads: Vec<_> = seeds.owners.iter().flat_map(|o| &o.conversations).collect();
    assert_eq!(heads.len(), 1);
    assert_eq!((heads[0].1.max_seq, heads[0].1.recent.len(), heads[0].1.foreign), (3, 3, true));
    assert_eq!(seeds.token_kicks.iter().flatten().count(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Runs that crash in the middle of a write, again and again, over recycled segments: nothing
    /// committed is lost, nothing is invented, and the next run goes on without a gap.
    #[test]
    fn crashes_lose_nothing_that_was_committed(seed in 1u64.., runs in 1usize..6) {
        let mut random = Random(seed);
        let mut disk = Disk::default();
        let mut span = None;
        let mut seq = 0i64;
        let mut first_left = 1i64;
        let mut said = BTreeMap::new();
        for run in 0..runs {
            let epoch = run as u32 + 1;
            disk.epoch = epoch;
            let mut writer = Writer::new(disk.epoch, SEGMENT, 1 << 20, span);
            let mut under_way = 0;
            // Few sizes, so that records of one run often stand where those of another did.
            let mut gather = |writer: &mut Writer, random: &mut Random| {
                for _ in 0..=random.below(5) {
                    seq += 1;
                    said.insert(seq, format!("{epoch}-{seq:04}"));
                    writer.push(message_of_run(epoch, seq, [40, 40, 40, 600][random.below(4) as usize]));
                }
            };
            for _ in 0..random.below(12) {
                gather(&mut writer, &mut random);
                if let Some((segment, offset, bytes)) = until_write(&mut writer, &mut disk) {
                    disk.write(segment, offset, &bytes);
                    writer.synced();
                }
            }
            gather(&mut writer, &mut random);
            let committed = seq - (writer.last() - writer.committed()) as i64;
            if let Some((segment, offset, bytes)) = until_write(&mut writer, &mut disk) {
                disk.write_torn(segment, offset, &bytes, &mut random);
                under_way = seq - committed;
            }
            if disk.segments.is_empty() {
                continue;
            }
            let recovered = match disk.recover() {
                Ok(recovered) => recovered,
                Err(error) => return Err(TestCaseError::fail(error.to_string())),
            };
            let found = seqs(&recovered);
            let last = found.last().copied().unwrap_or(first_left - 1);
            prop_assert_eq!(&found, &(first_left..=last).collect::<Vec<_>>());
            prop_assert!((committed..=committed + under_way).contains(&last), "{last} of {committed}+{under_way}");
            // Behind what was committed a write of an earlier run may be found whole after all, when this
            // run's first write failed too, but never behind something that this run wrote.
            let mut newest = "";
            for message in recovered.conversations.values().flat_map(|head| &head.recent) {
                let (run, _) = message.client_msg_id.split_once('-').expect("as made");
                prop_assert!(run >= newest, "run {run} after run {newest}");
                newest = run;
                if message.seq <= committed {
                    prop_assert_eq!(Some(&message.client_msg_id), said.get(&message.seq));
                } else {
                    said.insert(message.seq, message.client_msg_id.clone());
                }
            }
            seq = last;
            span = Some(recovered.span);
            // Give back what stands before the segment of the end, as if control had stored it.
            if random.below(2) == 0 {
                let current = recovered.span.end / SEGMENT;
                let old: Vec<u64> = disk.segments.keys().copied().filter(|s| *s < current).collect();
                for segment in old {
                    let bytes = disk.segments.remove(&segment).expect("there");
                    disk.released.push(bytes);
                }
                let rest = disk.recover().expect("still sound");
                first_left = seqs(&rest).first().copied().unwrap_or(seq + 1);
                span = Some(rest.span);
            }
        }
    }

    /// Any flipped bit: an error, or nothing lost but (part of) the last write.
    #[test]
    fn a_flipped_bit_is_refused_or_costs_only_the_last_write(at in 0usize..(3 * 4096), bit in 0u8..8, writes in 1i64..30) {
        let mut disk = Disk { epoch: 1, ..Disk::default() };
        let mut writer = Writer::new(1, SEGMENT, 1 << 20, None);
        for seq in 1..=writes {
            writer.push(message(seq, 150));
            commit_all(&mut writer, &mut disk);
        }
        let segments = disk.segments.len();
        let segment = (at / SEGMENT as usize % segments) as u64;
        disk.segments.get_mut(&segment).expect("there")[at % SEGMENT as usize] ^= 1 << bit;
        if let Ok(recovered) = disk.recover() {
            let found = seqs(&recovered);
            prop_assert!(found == (1..=writes).collect::<Vec<_>>() || found == (1..writes).collect::<Vec<_>>());
        }
    }

    #[test]
    fn any_bytes_give_a_result_or_an_error(mut bytes in proptest::collection::vec(any::<u8>(), 4096), sound: bool) {
        if sound {
            bytes[..layout::HEADER_LEN].copy_from_slice(&layout::header(0, 0, SEGMENT, 1));
        }
        let mut recovery = Recovery::new(0, SEGMENT);
        if recovery.feed(0, &bytes).is_ok() {
            let _ = recovery.finish();
        }
    }

    #[test]
    fn any_bytes_read_back_are_streamed_or_fatal(bytes in proptest::collection::vec(any::<u8>(), 1..512)) {
        let span = JournalSpan { journal: 0, first: 64, end: 64 + bytes.len() as u64, last_segment: 0 };
        let mut journal = Journal::new(0, 1, SEGMENT, 1 << 20, Some(span), &[], Arc::new(Board::new(&[0])));
        let mut out = Out::new(0);
        journal.welcome(&[first()], &mut out);
        journal.read(64, &bytes, &mut out);
        let fatal = matches!(out.actions.last(), Some(Action::Fatal { .. }));
        prop_assert!(fatal);
    }
}
