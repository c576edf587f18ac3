//! Reading journals back.

use super::*;

#[test]
fn what_was_committed_is_recovered_over_several_segments() {
    let mut disk = Disk {
        epoch: 1,
        ..Disk::default()
    };
    let mut writer = Writer::new(1, SEGMENT, 1 << 20, None);
    for seq in 1..=40 {
        writer.push(message(seq, 200));
        commit_all(&mut writer, &mut disk);
    }
    let recovered = disk.recover().expect("sound");
    assert_eq!(seqs(&recovered), (1..=40).collect::<Vec<_>>());
    assert_eq!(
        (recovered.span.end, recovered.cut_bytes, recovered.max_epoch),
        (writer.end(), 0, 1)
    );
    assert!(recovered.span.last_segment >= 3);
}

#[test]
fn a_flipped_bit_under_later_commits_is_refused_loudly() {
    let mut disk = Disk {
        epoch: 1,
        ..Disk::default()
    };
    let mut writer = Writer::new(1, SEGMENT, 1 << 20, None);
    for seq in 1..=3 {
        writer.push(message(seq, 50));
        commit_all(&mut writer, &mut disk);
    }
    disk.segments.get_mut(&0).expect("first")[layout::HEADER_LEN + 40] ^= 1;
    let error = disk.recover().expect_err("damaged");
    assert!(
        matches!(
            error,
            RecoveryError::Damaged {
                segment: 0,
                offset: 64,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("acknowledged"));
}

#[test]
fn damage_at_the_end_of_a_full_segment_is_seen_from_the_next() {
    let mut disk = Disk {
        epoch: 1,
        ..Disk::default()
    };
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
    assert!(matches!(
        disk.recover(),
        Err(RecoveryError::Damaged { segment: 0, .. })
    ));
}

#[test]
fn wrong_files_are_named() {
    let mut disk = Disk {
        epoch: 1,
        ..Disk::default()
    };
    let mut writer = Writer::new(1, SEGMENT, 1 << 20, None);
    for seq in 1..=40 {
        writer.push(message(seq, 200));
        commit_all(&mut writer, &mut disk);
    }
    let mut hole = disk.clone();
    hole.segments.remove(&1);
    assert_eq!(
        hole.recover(),
        Err(RecoveryError::Missing {
            journal: 0,
            segment: 1
        })
    );
    let last = *disk.segments.keys().last().expect("some");
    let mut foreign = disk.clone();
    foreign.segments.insert(1, disk.segments[&2].clone());
    assert!(matches!(
        foreign.recover(),
        Err(RecoveryError::Mismatch {
            what: "segment number",
            ..
        })
    ));
    let mut other = Recovery::new(5, SEGMENT);
    assert!(matches!(
        other.feed(0, &disk.segments[&0]),
        Err(RecoveryError::Mismatch {
            what: "journal number",
            ..
        })
    ));
    let mut resized = Recovery::new(0, SEGMENT * 2);
    assert!(matches!(
        resized.feed(0, &disk.segments[&0]),
        Err(RecoveryError::Mismatch {
            what: "segment size",
            ..
        })
    ));
    let mut short = Recovery::new(0, SEGMENT);
    let cut = &disk.segments[&0][..4000];
    assert!(matches!(
        short.feed(0, cut),
        Err(RecoveryError::Mismatch { what: "length", .. })
    ));
    let mut headless = disk.clone();
    headless.segments.get_mut(&last).expect("last")[3] ^= 1;
    assert!(matches!(
        headless.recover(),
        Err(RecoveryError::Header { .. })
    ));
}

#[test]
fn a_sealed_last_segment_means_its_successor_is_lost() {
    let mut disk = Disk {
        epoch: 1,
        ..Disk::default()
    };
    let mut writer = Writer::new(1, SEGMENT, 1 << 20, None);
    let mut seq = 0;
    while writer.segment() == 0 {
        seq += 1;
        writer.push(message(seq, 200));
        commit_all(&mut writer, &mut disk);
    }
    disk.segments.retain(|segment, _| *segment == 0);
    assert_eq!(
        disk.recover(),
        Err(RecoveryError::Missing {
            journal: 0,
            segment: 1
        })
    );
}
