//! Segment files: what stands where.
//!
//! A segment is a header of [`HEADER_LEN`] bytes, records (see `ringwire_link::record`), and, once the
//! journal went on in the next segment, a seal behind its last record. The seal is what tells a
//! segment that is simply full from one whose last records were damaged.
//!
//! Header, little endian:
//!
//! | bytes | field |
//! |---|---|
//! | 0..8 | magic `RWJOURNL` |
//! | 8..10 | layout version |
//! | 10..12 | journal number |
//! | 12..16 | owner epoch of the run that made the segment |
//! | 16..24 | segment number |
//! | 24..32 | bytes of the whole segment |
//! | 32..60 | zero |
//! | 60..64 | CRC32C of bytes 0..60 |
//!
//! Seal: magic `RWSEGEND`, position u64, durable u64, epoch u32, CRC32C of the 28 bytes before it.

use std::ops::Range;

/// Bytes of a segment's header; its first record stands here.
pub const HEADER_LEN: usize = 64;

/// Bytes of a seal. Every segment keeps this much room behind its last record.
pub const SEAL_LEN: usize = 32;

/// Version of this layout.
pub const LAYOUT_VERSION: u16 = 1;

/// Smallest segment that makes sense.
pub const MIN_SEGMENT_BYTES: u64 = 1024;

const MAGIC: &[u8; 8] = b"RWJOURNL";
const SEAL_MAGIC: &[u8; 8] = b"RWSEGEND";

/// Position of the first record of a segment.
pub const fn first_position(segment: u64, segment_bytes: u64) -> u64 {
    segment * segment_bytes + HEADER_LEN as u64
}

/// Segment and offset of a position.
pub const fn place(position: u64, segment_bytes: u64) -> (u64, u64) {
    (position / segment_bytes, position % segment_bytes)
}

/// Largest record (header and padding included) that fits a segment.
pub const fn max_record(segment_bytes: u64) -> usize {
    let room = segment_bytes as usize - HEADER_LEN - SEAL_LEN;
    let largest = ringwire_link::record::padded(
        ringwire_link::record::HEADER_LEN + ringwire_link::record::MAX_PAYLOAD,
    );
    if room < largest { room } else { largest }
}

/// The header of a new segment, to be written before the file gets its name.
pub fn header(journal: u16, segment: u64, segment_bytes: u64, epoch: u32) -> [u8; HEADER_LEN] {
    let mut head = [0; HEADER_LEN];
    head[..8].copy_from_slice(MAGIC);
    head[8..10].copy_from_slice(&LAYOUT_VERSION.to_le_bytes());
    head[10..12].copy_from_slice(&journal.to_le_bytes());
    head[12..16].copy_from_slice(&epoch.to_le_bytes());
    head[16..24].copy_from_slice(&segment.to_le_bytes());
    head[24..32].copy_from_slice(&segment_bytes.to_le_bytes());
    let crc = crc32c::crc32c(&head[..60]);
    head[60..].copy_from_slice(&crc.to_le_bytes());
    head
}

/// A decoded segment header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Journal number.
    pub journal: u16,
    /// Segment number.
    pub segment: u64,
    /// Bytes of the segment.
    pub segment_bytes: u64,
    /// Owner epoch of the run that made it.
    pub epoch: u32,
}

/// Why bytes are not a segment header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Too few bytes, wrong magic or checksum.
    #[error("not a journal segment (header damaged)")]
    NotASegment,
    /// Another layout version.
    #[error("journal layout version {0}, this release reads {LAYOUT_VERSION}")]
    Version(u16),
}

fn le<const N: usize>(bytes: &[u8], range: Range<usize>) -> Option<[u8; N]> {
    bytes.get(range)?.try_into().ok()
}

/// Reads a segment header.
///
/// # Errors
/// [`HeaderError`]; never panics, whatever the bytes.
pub fn read_header(bytes: &[u8]) -> Result<SegmentHeader, HeaderError> {
    let fields = || {
        let head = bytes.get(..HEADER_LEN)?;
        let crc = u32::from_le_bytes(le(head, 60..64)?);
        let header = SegmentHeader {
            journal: u16::from_le_bytes(le(head, 10..12)?),
            epoch: u32::from_le_bytes(le(head, 12..16)?),
            segment: u64::from_le_bytes(le(head, 16..24)?),
            segment_bytes: u64::from_le_bytes(le(head, 24..32)?),
        };
        let version = u16::from_le_bytes(le(head, 8..10)?);
        (head[..8] == MAGIC[..] && crc == crc32c::crc32c(&head[..60])).then_some((version, header))
    };
    match fields() {
        None => Err(HeaderError::NotASegment),
        Some((LAYOUT_VERSION, header)) => Ok(header),
        Some((version, _)) => Err(HeaderError::Version(version)),
    }
}

/// The seal behind the last record of a full segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal {
    /// Where it stands.
    pub position: u64,
    /// Everything before this position was durable when the seal was written.
    pub durable: u64,
    /// Owner epoch of the writer.
    pub epoch: u32,
}

impl Seal {
    /// Appends the seal.
    pub fn append(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(SEAL_MAGIC);
        out.extend_from_slice(&self.position.to_le_bytes());
        out.extend_from_slice(&self.durable.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        let crc = crc32c::crc32c(&out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
    }

    /// The seal at the start of `bytes`, if one stands there and belongs at `position`.
    pub fn read(bytes: &[u8], position: u64) -> Option<Self> {
        let bytes = bytes.get(..SEAL_LEN)?;
        let seal = Self {
            position: u64::from_le_bytes(le(bytes, 8..16)?),
            durable: u64::from_le_bytes(le(bytes, 16..24)?),
            epoch: u32::from_le_bytes(le(bytes, 24..28)?),
        };
        let crc = u32::from_le_bytes(le(bytes, 28..32)?);
        let sound = bytes[..8] == SEAL_MAGIC[..]
            && crc == crc32c::crc32c(&bytes[..28])
            && seal.position == position
            && seal.durable <= position;
        sound.then_some(seal)
    }
}
