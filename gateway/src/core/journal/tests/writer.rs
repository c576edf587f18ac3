//! Group commit and its limits.

use super::super::writer::Refusal;
use super::*;

#[test]
fn one_write_takes_all_that_gathered_during_the_one_before() {
    let mut disk = Disk {
        epoch: 1,
        ..Disk::default()
    };
    let mut writer = Writer::new(1, SEGMENT, 1 << 20, None);
    writer.push(message(1, 8));
    let (segment, offset, bytes) = until_write(&mut writer, &mut disk).expect("first write");
    for seq in 2..=6 {
        writer.push(message(seq, 8));
        assert!(
            until_write(&mut writer, &mut disk).is_none(),
            "one write at a time"
        );
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
fn a_full_disk_refuses_until_a_segment_can_be_made() {
    let mut disk = Disk {
        epoch: 1,
        ..Disk::default()
    };
    let mut writer = Writer::new(1, SEGMENT, 1 << 20, None);
    let mut out = Out::new(0);
    writer.flush(NOW, &mut out);
    assert!(matches!(
        out.actions[..],
        [Action::SegmentCreate { segment: 0 }]
    ));
    writer.segment_failed(NOW, 0);
    let record = message(1, 10);
    assert_eq!(
        writer.room(&[Writer::record_len(&record)]),
        Err(Refusal::Full)
    );
    assert_eq!(writer.deadline(), Some(1_000));
    out.actions.clear();
    writer.flush(
        Now {
            mono_ms: 999,
            unix_ms: 0,
        },
        &mut out,
    );
    assert!(out.actions.is_empty());
    writer.flush(
        Now {
            mono_ms: 1_000,
            unix_ms: 0,
        },
        &mut out,
    );
    assert!(matches!(
        out.actions[..],
        [Action::SegmentCreate { segment: 0 }]
    ));
    disk.create(0);
    writer.segment_ready(0);
    assert_eq!(writer.room(&[Writer::record_len(&record)]), Ok(()));
    writer.push(record);
    commit_all(&mut writer, &mut disk);
    assert_eq!(seqs(&disk.recover().expect("sound")), [1]);
}

#[test]
fn what_control_has_not_stored_is_bounded() {
    let mut disk = Disk {
        epoch: 1,
        ..Disk::default()
    };
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
