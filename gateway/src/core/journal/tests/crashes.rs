//! Random crashes and random damage.

use super::super::{Journal, JournalSpan};
use super::stream::first;
use super::*;
use crate::core::board::Board;
use proptest::prelude::*;
use std::sync::Arc;

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
