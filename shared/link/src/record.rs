//! The journal record: what an owner core makes durable and control stores.
//!
//! Layout, little endian, 32 bytes of header before the payload:
//!
//! | bytes | field | meaning |
//! |---|---|---|
//! | 0..4 | length | bytes of the payload |
//! | 4..8 | crc | CRC32C of bytes 8..32 and the payload |
//! | 8..16 | position | where the record stands in its journal; a stale record of a recycled segment fails here |
//! | 16..24 | durable | everything before this position was known durable when the record was written |
//! | 24..28 | epoch | owner epoch of the writer |
//! | 28 | kind | [`Kind`] |
//! | 29..32 | zero | |
//!
//! `durable` is what tells a torn tail from interior damage: an unreadable place at or after every
//! later record's `durable` was never acknowledged and may be cut; one before it holds acknowledged
//! messages, and recovery refuses to go on.
//!
//! A record starts at a multiple of 8 bytes. Payloads are protobuf, so that a newer release reads what
//! an older one wrote.

use prost::Message as _;

/// Bytes of a record's header.
pub const HEADER_LEN: usize = 32;

/// Largest payload: 1 MiB.
pub const MAX_PAYLOAD: usize = 1 << 20;

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// [`MessageRecord`].
    Message = 1,
    /// [`TokenKickRecord`].
    TokenKick = 2,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Message),
            2 => Some(Self::TokenKick),
            _ => None,
        }
    }
}

/// A sequenced message.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MessageRecord {
    /// Conversation or notification stream.
    #[prost(string, tag = "1")]
    pub conversation_id: String,
    /// Encoded `sdkws.MsgData` with seq, serverMsgID, sendTime and status as stored.
    #[prost(bytes = "bytes", tag = "2")]
    pub msg: prost::bytes::Bytes,
    /// Trace id of the cause.
    #[prost(string, tag = "3")]
    pub operation_id: String,
}

/// Tokens that a login put out of force (spec: auth.md 7).
#[derive(Clone, PartialEq, prost::Message)]
pub struct TokenKickRecord {
    /// Whose.
    #[prost(string, tag = "1")]
    pub user_id: String,
    /// First 16 bytes of the SHA-256 of each kicked token.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub tokens: Vec<Vec<u8>>,
    /// When non-zero: every token of this platform issued no later than `at_ms` is kicked, but `keep`.
    #[prost(int32, tag = "3")]
    pub platform_id: i32,
    /// The token that logged in.
    #[prost(bytes = "vec", tag = "4")]
    pub keep: Vec<u8>,
    /// Unix milliseconds of the login.
    #[prost(int64, tag = "5")]
    pub at_ms: i64,
}

/// A decoded record.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A sequenced message.
    Message(MessageRecord),
    /// Tokens kicked at a login.
    TokenKick(TokenKickRecord),
}

/// Header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the payload.
    pub length: u32,
    /// Where the record stands.
    pub position: u64,
    /// Known durable when it was written.
    pub durable: u64,
    /// Owner epoch.
    pub epoch: u32,
    /// What it holds.
    pub kind: Kind,
}

impl Header {
    /// Bytes of the whole record, padding included.
    pub fn record_len(&self) -> usize {
        padded(HEADER_LEN + self.length as usize)
    }
}

/// Why bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Fewer bytes than the record needs.
    #[error("record is cut short")]
    Short,
    /// Length, kind, position or reserved bytes cannot be.
    #[error("record header is not valid")]
    Header,
    /// The checksum does not match.
    #[error("record checksum does not match")]
    Checksum,
    /// The payload does not decode.
    #[error("record payload does not decode")]
    Payload,
}

/// Bytes a record takes, given header and payload.
pub const fn padded(len: usize) -> usize {
    len.div_ceil(8) * 8
}

/// Appends a record to `out`, padding included. The caller keeps payloads within [`MAX_PAYLOAD`].
pub fn append(record: &Record, position: u64, durable: u64, epoch: u32, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_LEN]);
    // Encoding into a Vec cannot run out of room.
    let kind = match record {
        Record::Message(m) => {
            m.encode_raw(out);
            Kind::Message
        }
        Record::TokenKick(t) => {
            t.encode_raw(out);
            Kind::TokenKick
        }
    };
    let length = out.len() - start - HEADER_LEN;
    debug_assert!(length <= MAX_PAYLOAD);
    let head = &mut out[start..start + HEADER_LEN];
    head[0..4].copy_from_slice(&(length as u32).to_le_bytes());
    head[8..16].copy_from_slice(&position.to_le_bytes());
    head[16..24].copy_from_slice(&durable.to_le_bytes());
    head[24..28].copy_from_slice(&epoch.to_le_bytes());
    head[28] = kind as u8;
    let crc = crc32c::crc32c(&out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    let end = start + padded(HEADER_LEN + length);
    out.resize(end, 0);
}

fn le<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// Reads and checks the header and checksum of the record at the start of `bytes`, which must stand
/// at `position`.
///
/// # Errors
/// [`RecordError`]; never panics, whatever the bytes.
pub fn check(bytes: &[u8], position: u64) -> Result<Header, RecordError> {
    if bytes.len() < HEADER_LEN {
        return Err(RecordError::Short);
    }
    let field = || -> Option<(Header, u32)> {
        let header = Header {
            length: u32::from_le_bytes(le(bytes, 0)?),
            position: u64::from_le_bytes(le(bytes, 8)?),
            durable: u64::from_le_bytes(le(bytes, 16)?),
            epoch: u32::from_le_bytes(le(bytes, 24)?),
            kind: Kind::from_byte(bytes[28])?,
        };
        let sound = header.length as usize <= MAX_PAYLOAD
            && header.position == position
            && header.durable <= position
            && bytes[29..32] == [0; 3];
        sound.then_some((header, u32::from_le_bytes(le(bytes, 4)?)))
    };
    let (header, crc) = field().ok_or(RecordError::Header)?;
    let covered = bytes
        .get(8..HEADER_LEN + header.length as usize)
        .ok_or(RecordError::Short)?;
    if crc32c::crc32c(covered) != crc {
        return Err(RecordError::Checksum);
    }
    Ok(header)
}

/// Reads the whole record at the start of `bytes`. Returns it and the bytes it takes.
///
/// # Errors
/// [`RecordError`]; never panics, whatever the bytes.
pub fn read(bytes: &[u8], position: u64) -> Result<(Header, Record, usize), RecordError> {
    let header = check(bytes, position)?;
    let payload = &bytes[HEADER_LEN..HEADER_LEN + header.length as usize];
    let record = match header.kind {
        Kind::Message => MessageRecord::decode(payload).map(Record::Message),
        Kind::TokenKick => TokenKickRecord::decode(payload).map(Record::TokenKick),
    };
    Ok((
        header,
        record.map_err(|_| RecordError::Payload)?,
        header.record_len(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Record {
        Record::Message(MessageRecord {
            conversation_id: "si_a_b".into(),
            msg: vec![1, 2, 3].into(),
            operation_id: "op".into(),
        })
    }

    #[test]
    fn a_record_reads_back_and_is_padded() {
        let mut out = Vec::new();
        append(&sample(), 64, 40, 3, &mut out);
        assert_eq!(out.len() % 8, 0);
        let (header, record, len) = read(&out, 64).expect("reads");
        assert_eq!((header.durable, header.epoch, len), (40, 3, out.len()));
        assert_eq!(record, sample());
    }

    #[test]
    fn a_record_at_another_position_is_stale() {
        let mut out = Vec::new();
        append(&sample(), 64, 0, 1, &mut out);
        assert_eq!(check(&out, 128), Err(RecordError::Header));
    }

    proptest! {
        #[test]
        fn every_flipped_bit_is_seen(at in 0usize..1024, bit in 0u8..8) {
            let mut out = Vec::new();
            append(&sample(), 8, 0, 1, &mut out);
            let covered = HEADER_LEN + u32::from_le_bytes([out[0], out[1], out[2], out[3]]) as usize;
            let at = at % covered;
            out[at] ^= 1 << bit;
            prop_assert!(check(&out, 8).is_err());
        }

        #[test]
        fn any_bytes_give_a_record_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..256), position: u64) {
            let _ = read(&bytes, position);
        }
    }
}
