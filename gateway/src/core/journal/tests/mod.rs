//! Journals that live through crashes, damage and a full disk.

mod crashes;
mod recovery;
mod stream;
mod writer;

use super::layout;
use super::recovery::{Recovered, Recovery, RecoveryError};
use super::writer::Writer;
use crate::core::event::{Action, Now};
use crate::core::out::Out;
use prost::Message as _;
use ringwire_link::record::{MessageRecord, Record};
use ringwire_protocol::pb::sdkws::MsgData;
use std::collections::BTreeMap;

const SEGMENT: u64 = 4096;
const NOW: Now = Now {
    mono_ms: 0,
    unix_ms: 0,
};

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
        let mut bytes = self
            .released
            .pop()
            .unwrap_or_else(|| vec![0; SEGMENT as usize]);
        bytes[..layout::HEADER_LEN]
            .copy_from_slice(&layout::header(0, segment, SEGMENT, self.epoch));
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
    recovered
        .conversations
        .get("si_a_b")
        .map_or(vec![], |head| head.recent.iter().map(|m| m.seq).collect())
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
                Action::JournalWrite {
                    segment,
                    offset,
                    bytes,
                } => write = Some((segment, offset, bytes)),
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
