//! Streaming to control, and what every core starts from.

use super::super::{Journal, JournalSpan, seeds, stream};
use super::*;
use crate::core::board::Board;
use ringwire_link::ToControl;
use ringwire_link::message::JournalPosition;
use ringwire_link::record::{self, TokenKickRecord};
use std::sync::Arc;

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
    /// An empty disk, no orphans.
    fn first_run() -> Self {
        let disk = Disk {
            epoch: 1,
            ..Disk::default()
        };
        Self::new(disk, None, &[])
    }

    fn new(disk: Disk, own: Option<JournalSpan>, orphans: &[JournalSpan]) -> Self {
        let board = Arc::new(Board::new(&[0, 0, 0]));
        let journal = Journal::new(0, disk.epoch, SEGMENT, 1 << 20, own, orphans, board);
        Self {
            journal,
            disk,
            frames: vec![],
            released: vec![],
            fatal: None,
            reads: 0,
        }
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
                    Action::JournalWrite {
                        segment,
                        offset,
                        bytes,
                    } => {
                        self.disk.write(segment, offset, &bytes);
                        self.journal.synced(&mut out).expect("was writing");
                    }
                    Action::JournalRead {
                        segment,
                        offset,
                        length,
                        position,
                        ..
                    } => {
                        self.reads += 1;
                        let bytes = self.disk.segments[&segment]
                            [offset as usize..offset as usize + length]
                            .to_vec();
                        self.journal.read(position, &bytes, &mut out);
                    }
                    Action::SegmentRelease { segment, .. } => self.released.push(segment),
                    Action::Link {
                        body:
                            ToControl::Journal {
                                journal,
                                from,
                                to,
                                bytes,
                            },
                        ..
                    } => {
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
            assert!(
                next.is_none_or(|next| next == from),
                "frames join without a gap"
            );
            next = Some(to);
            let mut at = 0;
            while at < bytes.len() {
                let (_, record, length) =
                    record::read(&bytes[at..], from + at as u64).expect("whole records");
                at += length;
                if let Record::Message(m) = record {
                    seqs.push(MsgData::decode(m.msg).expect("decodes").seq);
                }
            }
            let mut out = Out::new(0);
            self.journal.stored(
                JournalPosition {
                    journal,
                    position: to,
                },
                &mut out,
            );
            self.settle(out);
        }
        seqs
    }
}

pub(super) fn first() -> JournalPosition {
    JournalPosition {
        journal: 0,
        position: layout::HEADER_LEN as u64,
    }
}

#[test]
fn commits_stream_from_memory_and_stored_segments_are_given_back() {
    let mut streamed = Streamed::first_run();
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
    let mut streamed = Streamed::first_run();
    streamed.welcome(&[first()]);
    streamed.push(1..=12);
    assert_eq!(streamed.frames.len(), stream::WINDOW_FRAMES);
    assert_eq!(streamed.store_all(), (1..=12).collect::<Vec<_>>());
}

#[test]
fn a_lost_link_resumes_where_control_is() {
    let mut streamed = Streamed::first_run();
    streamed.welcome(&[first()]);
    streamed.push(1..=3);
    let (_, _, to, _) = streamed.frames[0].clone();
    streamed.frames.clear();
    streamed.journal.link_down();
    streamed.push(4..=30);
    assert!(streamed.frames.is_empty());
    streamed.welcome(&[JournalPosition {
        journal: 0,
        position: to,
    }]);
    assert_eq!(streamed.store_all(), (2..=30).collect::<Vec<_>>());
}

#[test]
fn after_a_restart_the_rest_is_read_from_disk_and_new_records_follow() {
    let mut before = Streamed::first_run();
    before.push(1..=30);
    let mut disk = before.disk;
    let recovered = disk.recover().expect("sound");
    disk.epoch = 2;
    let mut after = Streamed::new(disk, Some(recovered.span), &[]);
    after.push(31..=33);
    after.welcome(&[first()]);
    assert_eq!(after.store_all(), (1..=33).collect::<Vec<_>>());
    assert!(after.reads > 0);
    assert_eq!(
        seqs(&after.disk.recover().expect("sound")),
        (1..=33).collect::<Vec<_>>()
    );
}

#[test]
fn an_orphan_is_drained_but_its_last_segment_stays() {
    let mut before = Streamed::first_run();
    before.push(1..=30);
    let recovered = before.disk.recover().expect("sound");
    // The same files, seen as journal 2 of a former run with more cores.
    let span = JournalSpan {
        journal: 2,
        ..recovered.span
    };
    let mut after = Streamed::new(before.disk, None, &[span]);
    after.welcome(&[
        first(),
        JournalPosition {
            journal: 2,
            position: span.first,
        },
    ]);
    assert_eq!(after.store_all(), (1..=30).collect::<Vec<_>>());
    assert_eq!(after.released, (0..span.end / SEGMENT).collect::<Vec<_>>());
}

#[test]
fn a_database_that_does_not_fit_the_journal_is_fatal() {
    let mut streamed = Streamed::first_run();
    streamed.welcome(&[JournalPosition {
        journal: 0,
        position: 5_000,
    }]);
    assert!(
        streamed
            .fatal
            .as_deref()
            .is_some_and(|r| r.contains("journal folder"))
    );
    let mut streamed = Streamed::first_run();
    streamed.welcome(&[first()]);
    streamed.push(1..=60);
    streamed.store_all();
    streamed.journal.link_down();
    streamed.welcome(&[first()]);
    assert!(
        streamed
            .fatal
            .as_deref()
            .is_some_and(|r| r.contains("gone from the database"))
    );
}

#[test]
fn seeds_go_to_the_cores_of_this_run() {
    let mut streamed = Streamed::new(
        Disk {
            epoch: 4,
            ..Disk::default()
        },
        None,
        &[],
    );
    streamed.push(1..=3);
    let kick = TokenKickRecord {
        user_id: "a".into(),
        ..TokenKickRecord::default()
    };
    assert!(streamed.journal.push_kick(Record::TokenKick(kick)));
    streamed.settle(Out::new(0));
    let recovered = streamed.disk.recover().expect("sound");
    let as_journal = |journal, r: &Recovered| {
        let mut r = r.clone();
        r.span.journal = journal;
        r
    };
    let seeds = seeds(
        vec![as_journal(0, &recovered), as_journal(3, &recovered)],
        2,
    );
    assert_eq!(
        (seeds.epoch, seeds.owners.len(), seeds.positions.len()),
        (5, 2, 4)
    );
    assert_eq!(seeds.owners[1].orphans.len(), 1);
    assert!(seeds.owners[0].own.is_some() && seeds.owners[1].own.is_none());
    let heads: Vec<_> = seeds.owners.iter().flat_map(|o| &o.conversations).collect();
    assert_eq!(heads.len(), 1);
    assert_eq!(
        (
            heads[0].1.max_seq,
            heads[0].1.recent.len(),
            heads[0].1.foreign
        ),
        (3, 3, true)
    );
    assert_eq!(seeds.token_kicks.iter().flatten().count(), 2);
}
