//! What a gateway does about a journal that is not as it left it: a torn tail, flipped bits, missing,
//! foreign and cut files, and a disk without room. Real binary, real files.
//!
//! | found | outcome |
//! |---|---|
//! | half a record, or an unfinished write, behind everything acknowledged | cut off and said; goes on |
//! | a flipped bit in what was acknowledged | exit code 4, file and offset named |
//! | a segment missing between others or at the end | exit code 4, file named |
//! | the first segment missing although control has not stored it | ends when control says so, exit code 6 |
//! | a segment of another journal, of another size, or no segment at all | exit code 4, file named |
//! | no room for the next segment | sends refused with 500, all else goes on; accepted again with room |

#![allow(clippy::unwrap_used)] // tests say what they expect by unwrapping

mod plane;
mod running;

use plane::Plane;
use prost::Message as _;
use ringwire_link::record::{self, HEADER_LEN, Record, TokenKickRecord};
use ringwire_protocol::pb::msg::{GetConversationsHasReadAndMaxSeqReq, SendMsgResp};
use running::{Gateway, Session, command, configure, plane, refused};
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of a segment, as `running::configure` sets them, and of its header.
const SEGMENT: usize = 2 << 20;
const SEGMENT_HEADER: usize = 64;

/// Large enough that a segment holds some fifty.
const LARGE: usize = 36_000;

fn large() -> Vec<u8> {
    json!({ "content": "x".repeat(LARGE) })
        .to_string()
        .into_bytes()
}

fn segment(journal: &Path, number: u64) -> PathBuf {
    journal.join(format!("{number:016}.segment"))
}

/// A folder whose journal holds messages of alice to bob that control has not stored.
struct Left {
    folder: tempfile::TempDir,
    plane: Plane,
    /// The folder of the one journal with records.
    journal: PathBuf,
    /// serverMsgIDs acknowledged, by seq.
    acknowledged: Vec<String>,
}

impl Left {
    fn small(count: usize) -> Self {
        Self::of(count, br#"{"content":"hello"}"#)
    }

    /// Three segments, two of them full.
    fn three_segments() -> Self {
        let left = Self::of(2 * SEGMENT / LARGE + 4, &large());
        assert!(segment(&left.journal, 2).exists());
        left
    }

    fn of(count: usize, content: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        configure(folder.path(), "");
        let plane = plane(folder.path());
        plane.hold(true);
        let gateway = Gateway::start(folder.path());
        let mut alice = Session::open(&gateway, "alice");
        let mut acknowledged = Vec::new();
        for n in 0..count {
            acknowledged.push(acknowledge(&mut alice, &n.to_string(), content));
        }
        gateway.kill();
        let with_records = |core: u16| {
            let journal = folder.path().join(format!("journal/journal-{core}"));
            let bytes = std::fs::read(segment(&journal, 0)).unwrap();
            (!records(&bytes).is_empty()).then_some(journal)
        };
        let journals: Vec<_> = (0..2).filter_map(with_records).collect();
        let [journal] = journals.as_slice() else {
            panic!("one conversation, one journal: {journals:?}")
        };
        Self {
            journal: journal.clone(),
            folder,
            plane,
            acknowledged,
        }
    }

    /// The gateway does not start and says that it is because of `file`.
    fn refused_for(&self, file: &Path, reason: &str) {
        let (code, said) = refused(self.folder.path());
        assert_eq!(code, Some(4), "{said}");
        assert!(said.contains(file.to_str().unwrap()), "{said}");
        assert!(said.contains(reason), "{said}");
    }

    /// The gateway starts, goes on with the next seq, and control gets all that was acknowledged and
    /// nothing else. Returns what it said at the start.
    fn goes_on(&self) -> Vec<Value> {
        let (mut gateway, said) = Gateway::wait_with_log(command(self.folder.path()));
        let mut alice = Session::open(&gateway, "alice");
        let next = alice.sent_ok("bob", "next");
        self.plane.hold(false);
        self.plane.cut();
        let mut all = self.acknowledged.clone();
        all.push(next.server_msg_id);
        holds(&self.plane, &all);
        assert_eq!(gateway.terminate().code(), Some(0));
        said
    }
}

/// Sends and returns the serverMsgID.
fn acknowledge(session: &mut Session, id: &str, content: &[u8]) -> String {
    match try_send(session, id, content) {
        Ok(id) => id,
        Err(frame) => panic!("{frame}"),
    }
}

fn try_send(session: &mut Session, id: &str, content: &[u8]) -> Result<String, Value> {
    session.send_content("bob", id, content);
    let (_, frame, data) = session.reply();
    if frame["errCode"] != 0 {
        return Err(frame);
    }
    let reply = SendMsgResp::decode(&*data).unwrap();
    Ok(reply.server_msg_id)
}

/// Control comes to hold exactly these messages, with the seqs from 1 on.
fn holds(plane: &Plane, ids: &[String]) {
    plane.wait(|kept| {
        let stored = kept.messages.get("si_alice_bob");
        let stored = stored.map(Vec::as_slice).unwrap_or_default();
        stored.len() >= ids.len()
            && stored.iter().map(|m| &m.server_msg_id).eq(ids)
            && stored.iter().map(|m| m.seq).eq(1..=ids.len() as i64)
    });
}

/// Offset and length of every record of a segment.
fn records(bytes: &[u8]) -> Vec<(usize, usize)> {
    let base = u64::from_le_bytes(bytes[16..24].try_into().unwrap()) * SEGMENT as u64;
    let (mut offset, mut found) = (SEGMENT_HEADER, Vec::new());
    while let Ok((_, _, length)) = record::read(&bytes[offset..], base + offset as u64) {
        found.push((offset, length));
        offset += length;
    }
    found
}

fn write_at(file: &Path, offset: usize, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(file).unwrap();
    file.write_all_at(bytes, offset as u64).unwrap();
}

fn flip(file: &Path, offset: usize) {
    let byte = std::fs::read(file).unwrap()[offset];
    write_at(file, offset, &[byte ^ 1]);
}

/// Where the records of the first segment end, and a record as the next write would have put it there,
/// followed by a second one of the same write.
fn unfinished_write(file: &Path) -> (usize, Vec<u8>, usize) {
    let bytes = std::fs::read(file).unwrap();
    let (offset, length) = *records(&bytes).last().unwrap();
    let end = offset + length;
    let epoch = record::check(&bytes[offset..], offset as u64)
        .unwrap()
        .epoch;
    let kick = Record::TokenKick(TokenKickRecord {
        user_id: "alice".into(),
        tokens: vec![vec![7; 16]],
        ..TokenKickRecord::default()
    });
    let mut write = Vec::new();
    record::append(&kick, end as u64, end as u64, epoch, &mut write);
    let first = write.len();
    record::append(&kick, (end + first) as u64, end as u64, epoch, &mut write);
    (end, write, first)
}

#[test]
fn half_a_record_at_the_end_is_cut_off() {
    let left = Left::small(20);
    let file = segment(&left.journal, 0);
    let (end, write, first) = unfinished_write(&file);
    write_at(&file, end, &write[..first / 2]);
    left.goes_on();
}

#[test]
fn an_unfinished_write_is_cut_off_and_said() {
    let left = Left::small(20);
    let file = segment(&left.journal, 0);
    let (end, mut write, first) = unfinished_write(&file);
    // The disk wrote the later block and not the earlier one.
    write[..first].fill(0);
    write_at(&file, end, &write);
    let said = left.goes_on();
    let cut: Vec<_> = said.iter().filter(|line| line["bytes"].is_u64()).collect();
    assert_eq!(cut.len(), 1, "{said:?}");
    assert_eq!(cut[0]["bytes"], write.len());
    assert!(cut[0]["message"].as_str().unwrap().contains("cut off"));
}

#[test]
fn a_flipped_bit_in_what_was_acknowledged_stops_the_start_wherever_it_is() {
    let left = Left::small(20);
    let file = segment(&left.journal, 0);
    let all = records(&std::fs::read(&file).unwrap());
    assert_eq!(all.len(), 20);
    // Not of the last record, after which nothing tells whether it was acknowledged.
    for (offset, length) in [all[0], all[9], all[18]] {
        for bit_at in [offset, offset + 9, offset + HEADER_LEN, offset + length / 2] {
            flip(&file, bit_at);
            left.refused_for(&file, &format!("offset {offset}: unreadable"));
            flip(&file, bit_at);
        }
    }
    left.goes_on();
}

#[test]
fn a_flipped_bit_in_a_full_segment_stops_the_start() {
    let left = Left::three_segments();
    let file = segment(&left.journal, 0);
    // The very last record: the seal behind it and the next segment tell that it was acknowledged.
    let (offset, length) = *records(&std::fs::read(&file).unwrap()).last().unwrap();
    flip(&file, offset + length / 2);
    left.refused_for(&file, &format!("offset {offset}: unreadable"));
    flip(&file, offset + length / 2);
    flip(&file, 20);
    left.refused_for(&file, "header damaged");
    flip(&file, 20);
    left.goes_on();
}

#[test]
fn a_missing_segment_stops_the_start() {
    let left = Left::three_segments();
    let away = left.folder.path().join("away");
    // One between others, and the one that the journal went on in. A fourth may have been made ahead.
    let ahead = segment(&left.journal, 3);
    if ahead.exists() {
        std::fs::remove_file(&ahead).unwrap();
    }
    for number in [1, 2] {
        let file = segment(&left.journal, number);
        std::fs::rename(&file, &away).unwrap();
        left.refused_for(&file, &format!("segment {number} is missing"));
        std::fs::rename(&away, &file).unwrap();
    }
    left.goes_on();
}

#[test]
fn a_missing_first_segment_that_control_never_stored_ends_the_gateway() {
    let left = Left::three_segments();
    let file = segment(&left.journal, 0);
    std::fs::remove_file(&file).unwrap();
    // Nothing in the folder tells it from one that was released: control does.
    let output = command(left.folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(said.contains("control has stored journal"), "{said}");
    left.plane.hold(false);
    left.plane.wait(|kept| kept.messages.is_empty());
}

#[test]
fn files_that_are_not_of_this_journal_stop_the_start() {
    let left = Left::three_segments();
    let (first, second) = (segment(&left.journal, 0), segment(&left.journal, 1));
    let sound = std::fs::read(&first).unwrap();

    std::fs::copy(&second, &first).unwrap();
    left.refused_for(&first, "segment number is 1, expected 0");

    let other = left
        .folder
        .path()
        .join(match left.journal.ends_with("journal-0") {
            true => "journal/journal-1",
            false => "journal/journal-0",
        });
    std::fs::copy(segment(&other, 0), &first).unwrap();
    left.refused_for(&first, "journal number is");

    std::fs::write(&first, &sound[..SEGMENT / 2]).unwrap();
    left.refused_for(&first, "length is 1048576, expected 2097152");

    for foreign in [Vec::new(), b"something else".to_vec(), vec![0; SEGMENT]] {
        std::fs::write(&first, foreign).unwrap();
        left.refused_for(&first, "not a journal segment");
    }

    std::fs::write(&first, sound).unwrap();
    // What is not named like a journal file is none of the gateway's business.
    std::fs::write(left.journal.join("notes.txt"), "hello").unwrap();
    left.goes_on();
}

#[test]
fn another_segment_size_in_the_configuration_is_said() {
    let left = Left::small(3);
    let file = left.folder.path().join("ringwire.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("2097152", "4194304")).unwrap();
    // Both journals have a segment; the first one is named.
    let journal = left.folder.path().join("journal/journal-0");
    left.refused_for(
        &segment(&journal, 0),
        "segment size is 2097152, expected 4194304",
    );
    std::fs::write(&file, text).unwrap();
    left.goes_on();
}

/// Bounds the size of any file of the process. A limit just below a segment's size leaves the segments
/// that exist usable and refuses to make another one, as a disk without room does.
fn limit_file_size(gateway: &Gateway, bytes: libc::rlim_t) {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: libc::RLIM_INFINITY,
    };
    let process = libc::pid_t::try_from(gateway.child.id()).unwrap();
    // SAFETY: `limit` is readable and outlives the call; the old limit is not asked for.
    let set = unsafe { libc::prlimit(process, libc::RLIMIT_FSIZE, &limit, std::ptr::null_mut()) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn a_full_disk_refuses_sends_until_there_is_room_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), "");
    let plane = plane(folder.path());
    // What is acknowledged lives in the journal alone.
    plane.hold(true);
    let gateway = Gateway::start(folder.path());
    let mut alice = Session::open(&gateway, "alice");
    let mut bob = Session::open(&gateway, "bob");
    let content = large();
    let mut acknowledged = vec![acknowledge(&mut alice, "first", &content)];

    limit_file_size(&gateway, SEGMENT as libc::rlim_t - 8);
    let refusal = (0..2 * SEGMENT / LARGE)
        .find_map(
            |n| match try_send(&mut alice, &format!("full-{n}"), &content) {
                Ok(id) => {
                    acknowledged.push(id);
                    None
                }
                Err(frame) => Some(frame),
            },
        )
        .expect("refused at last");
    assert_eq!(refusal["errCode"], 500, "{refusal}");
    // All of the segment that was there has been used.
    assert!(
        acknowledged.len() > (SEGMENT - 2 * LARGE) / (LARGE + 500),
        "{}",
        acknowledged.len()
    );

    // It is refused again, at once, and everything else goes on: reads, heartbeats, connects.
    assert!(try_send(&mut alice, "refused", &content).is_err());
    let asked = GetConversationsHasReadAndMaxSeqReq {
        user_id: "alice".into(),
        ..GetConversationsHasReadAndMaxSeqReq::default()
    };
    alice.request(1006, &asked.encode_to_vec());
    let (kind, frame, _) = alice.reply();
    assert_eq!((kind, &frame["errCode"]), (1006, &json!(0)), "{frame}");
    for n in &acknowledged {
        let pushed = bob.pushed();
        assert_eq!(&pushed[0].server_msg_id, n);
    }
    let ping = tungstenite::Message::text(r#"{"type":"ping","body":1}"#);
    bob.socket.send(ping).unwrap();
    let pong = bob.socket.read().unwrap();
    assert_eq!(pong.to_text().unwrap(), r#"{"type":"pong","body":1}"#);
    drop(Session::open(&gateway, "bob"));

    // With room, sends are accepted again; a client that had given up sends the same message again.
    limit_file_size(&gateway, libc::RLIM_INFINITY);
    let until = std::time::Instant::now() + running::TIMEOUT;
    let again = loop {
        match try_send(&mut alice, "refused", &content) {
            Ok(id) => break id,
            Err(frame) => assert!(std::time::Instant::now() < until, "{frame}"),
        }
    };
    acknowledged.push(again);
    for n in 0..2 * SEGMENT / LARGE {
        acknowledged.push(acknowledge(&mut alice, &format!("room-{n}"), &content));
    }
    gateway.kill();

    plane.hold(false);
    let mut gateway = Gateway::start(folder.path());
    holds(&plane, &acknowledged);
    assert_eq!(gateway.terminate().code(), Some(0));
}
