//! Whole-frame gzip (RFC 1952; spec: gateway.md 2.2, gob.md 7.5).
//!
//! Contexts are reused from frame to frame: making one costs far more than a small frame does.

use flate2::{Compress, Compression, Crc, Decompress, FlushCompress, FlushDecompress, Status};

/// Frames shorter than this are stored, not deflated: together with the WebSocket and TCP headers
/// they fit one Ethernet packet either way, so deflating them saves no packet and only costs time.
pub const DEFLATE_FROM: usize = 1300;

const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// Deflate makes at most 1032 bytes out of one.
const MAX_RATIO: usize = 1032;
const MAX_STORED_BLOCK: usize = 65_535;

/// Why bytes are not one complete gzip stream of acceptable size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GzipError {
    /// No gzip header where a member has to start: empty input, other data, or bytes after the last
    /// member.
    #[error("no gzip header")]
    Header,
    /// The input ends inside a member.
    #[error("ends too early")]
    Truncated,
    /// The deflate stream is damaged.
    #[error("damaged deflate stream")]
    Damaged,
    /// A checksum or length differs.
    #[error("checksum differs")]
    Checksum,
    /// The output would be longer than allowed.
    #[error("too large when inflated")]
    TooLarge,
}

/// Inflates one frame after the other with one context (about 40 KiB).
#[derive(Debug)]
pub struct Inflater(Decompress);

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

impl Inflater {
    /// A new context.
    pub fn new() -> Self {
        Self(Decompress::new(false))
    }

    /// Appends the contents of all members of `input` to `out`, at most `limit` bytes; at no time is
    /// more than that (and one byte) allocated for them.
    ///
    /// # Errors
    /// See [`GzipError`]; `out` then holds what it held before.
    pub fn inflate(
        &mut self,
        input: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), GzipError> {
        let start = out.len();
        let mut room = Room {
            start,
            filled: 0,
            limit,
            out,
        };
        let result = self.members(input, &mut room);
        let filled = room.filled;
        out.truncate(if result.is_ok() {
            start + filled
        } else {
            start
        });
        result
    }

    fn members(&mut self, mut input: &[u8], room: &mut Room<'_>) -> Result<(), GzipError> {
        // The trailer of a single member tells its length; a lie costs no more than what so many bytes
        // could really hold, nor than the limit.
        let told = input
            .last_chunk::<4>()
            .map_or(0, |len| u32::from_le_bytes(*len) as usize)
            .min(input.len().saturating_mul(MAX_RATIO));
        room.grow_to(told.saturating_add(1));
        loop {
            input = after_header(input)?;
            let member = room.filled;
            input = self.deflate_stream(input, room)?;
            let (trailer, rest) = input.split_first_chunk::<8>().ok_or(GzipError::Truncated)?;
            let mut crc = Crc::new();
            crc.update(&room.out[room.start + member..room.start + room.filled]);
            let (sum, len) = trailer.split_at(4);
            if sum != crc.sum().to_le_bytes() || len != crc.amount().to_le_bytes() {
                return Err(GzipError::Checksum);
            }
            if rest.is_empty() {
                return Ok(());
            }
            input = rest;
        }
    }

    /// Inflates one deflate stream and returns what follows it.
    fn deflate_stream<'a>(
        &mut self,
        mut input: &'a [u8],
        room: &mut Room<'_>,
    ) -> Result<&'a [u8], GzipError> {
        self.0.reset(false);
        loop {
            let (before_in, before_out) = (self.0.total_in(), self.0.total_out());
            let status = self
                .0
                .decompress(input, room.free(), FlushDecompress::None)
                .map_err(|_| GzipError::Damaged)?;
            let read = (self.0.total_in() - before_in) as usize;
            let written = (self.0.total_out() - before_out) as usize;
            input = input.get(read..).ok_or(GzipError::Damaged)?;
            room.filled += written;
            if room.filled > room.limit {
                return Err(GzipError::TooLarge);
            }
            if status == Status::StreamEnd {
                return Ok(input);
            }
            if room.free().is_empty() {
                room.grow_to(room.filled.saturating_mul(2));
            } else if input.is_empty() || read + written == 0 {
                return Err(GzipError::Truncated);
            }
        }
    }
}

/// Where output goes. Its memory is cleared once, however many members share it, so that many empty
/// members cost no more than one.
struct Room<'a> {
    /// Where it begins in `out`.
    start: usize,
    /// Bytes of output so far.
    filled: usize,
    limit: usize,
    out: &'a mut Vec<u8>,
}

impl Room<'_> {
    fn grow_to(&mut self, len: usize) {
        // One byte more than is allowed, so that longer output shows itself.
        let len = len.max(256).min(self.limit.saturating_add(1));
        if self.start + len > self.out.len() {
            self.out.resize(self.start + len, 0);
        }
    }

    fn free(&mut self) -> &mut [u8] {
        &mut self.out[self.start + self.filled..]
    }
}

/// Checks a member's header and returns what follows it.
fn after_header(input: &[u8]) -> Result<&[u8], GzipError> {
    const HEADER_CRC: u8 = 2;
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    let (fixed, mut rest) = input.split_first_chunk::<10>().ok_or(GzipError::Header)?;
    if fixed[..3] != HEADER[..3] {
        return Err(GzipError::Header);
    }
    let flags = fixed[3];
    if flags & EXTRA != 0 {
        let (len, tail) = rest.split_first_chunk::<2>().ok_or(GzipError::Truncated)?;
        rest = tail
            .get(usize::from(u16::from_le_bytes(*len))..)
            .ok_or(GzipError::Truncated)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = rest
                .iter()
                .position(|b| *b == 0)
                .ok_or(GzipError::Truncated)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & HEADER_CRC != 0 {
        let mut crc = Crc::new();
        crc.update(&input[..input.len() - rest.len()]);
        let (sum, tail) = rest.split_first_chunk::<2>().ok_or(GzipError::Truncated)?;
        if *sum != (crc.sum() as u16).to_le_bytes() {
            return Err(GzipError::Checksum);
        }
        rest = tail;
    }
    Ok(rest)
}

fn append_trailer(input: &[u8], out: &mut Vec<u8>) {
    let mut crc = Crc::new();
    crc.update(input);
    out.extend_from_slice(&crc.sum().to_le_bytes());
    out.extend_from_slice(&crc.amount().to_le_bytes());
}

/// Appends `input` as a gzip stream of stored blocks: 18 bytes longer, and 5 for every 65,535 bytes
/// begun.
pub fn store(input: &[u8], out: &mut Vec<u8>) {
    let blocks = input.len().div_ceil(MAX_STORED_BLOCK).max(1);
    out.reserve(HEADER.len() + 5 * blocks + input.len() + 8);
    out.extend_from_slice(&HEADER);
    let mut rest = input;
    loop {
        let (block, tail) = rest.split_at(rest.len().min(MAX_STORED_BLOCK));
        let len = block.len() as u16;
        out.push(u8::from(tail.is_empty()));
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&(!len).to_le_bytes());
        out.extend_from_slice(block);
        rest = tail;
        if rest.is_empty() {
            break;
        }
    }
    append_trailer(input, out);
}

/// Deflates one frame after the other, at the fastest level, with one context (about 300 KiB).
#[derive(Debug)]
pub struct Deflater(Compress);

impl Default for Deflater {
    fn default() -> Self {
        Self::new()
    }
}

impl Deflater {
    /// A new context.
    pub fn new() -> Self {
        Self(Compress::new(Compression::new(1), false))
    }

    /// Appends `input` as a gzip stream, stored or deflated, whichever pays at its length
    /// ([`DEFLATE_FROM`]).
    pub fn pack(&mut self, input: &[u8], out: &mut Vec<u8>) {
        if input.len() < DEFLATE_FROM {
            store(input, out);
        } else {
            self.deflate(input, out);
        }
    }

    /// Appends `input` as a gzip stream with one deflate stream inside.
    pub fn deflate(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        if !self.try_deflate(input, out) {
            out.truncate(start);
            store(input, out);
        }
    }

    /// Whether the whole input was deflated. A fresh context and output with room leave nothing to
    /// fail, but the library's signature does not say so.
    fn try_deflate(&mut self, input: &[u8], out: &mut Vec<u8>) -> bool {
        self.0.reset();
        out.extend_from_slice(&HEADER);
        let mut rest = input;
        out.reserve(input.len() / 2 + 64);
        loop {
            let (before_in, before_out) = (self.0.total_in(), out.len());
            match self.0.compress_vec(rest, out, FlushCompress::Finish) {
                Ok(Status::StreamEnd) => break,
                Ok(_) => {}
                Err(_) => return false,
            }
            let read = (self.0.total_in() - before_in) as usize;
            let full = out.len() == out.capacity();
            if read == 0 && out.len() == before_out && !full {
                return false;
            }
            rest = rest.get(read..).unwrap_or_default();
            out.reserve(rest.len() / 2 + 256);
        }
        append_trailer(input, out);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::{GzEncoder, MultiGzDecoder};
    use proptest::prelude::*;
    use std::io::Read;

    #[test]
    fn a_lie_about_the_length_takes_no_more_memory_than_the_input_could_fill() {
        let mut packed = Vec::new();
        store(b"x", &mut packed);
        let end = packed.len();
        packed[end - 4..].copy_from_slice(&(1u32 << 20).to_le_bytes());
        let mut out = Vec::new();
        let refused = Inflater::new().inflate(&packed, 1 << 20, &mut out);
        assert_eq!(refused, Err(GzipError::Checksum));
        assert!(out.capacity() < 32 << 10, "{}", out.capacity());
    }

    const KICK: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\0\x68\0\x97\xff\x5f\x7f\x03\x01\x01\x04Resp\x01\xff\x80\0\
\x01\x06\x01\x0dReqIdentifier\x01\x04\0\x01\x07MsgIncr\x01\x0c\0\x01\x0bOperationID\x01\x0c\0\x01\x07ErrCode\
\x01\x04\0\x01\x06ErrMsg\x01\x0c\0\x01\x04Data\x01\x0a\0\0\0\x07\xff\x80\x01\xfe\x0f\xa4\0\x03\0\xbd\x9b\xca\x85\
\x68\0\0\0";

    fn inflate(input: &[u8], limit: usize) -> Result<Vec<u8>, GzipError> {
        let mut out = Vec::new();
        Inflater::new()
            .inflate(input, limit, &mut out)
            .map(|()| out)
    }

    fn stored(input: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        store(input, &mut out);
        out
    }

    /// What an independent reader makes of a stream.
    fn peer(input: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        MultiGzDecoder::new(input).read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn the_kick_frame_of_the_spec_is_read() {
        assert_eq!(KICK.len(), 129);
        let out = inflate(KICK, 104).unwrap();
        assert_eq!(out.len(), 104);
        assert!(out.starts_with(crate::gob::RESPONSE_PREFIX));
        assert_eq!(inflate(KICK, 103), Err(GzipError::TooLarge));
    }

    #[test]
    fn members_may_be_concatenated_but_nothing_else_may_follow() {
        let two = [stored(b"ab"), KICK.to_vec(), stored(b"")].concat();
        assert_eq!(inflate(&two, 106).unwrap().len(), 106);
        assert_eq!(inflate(&two, 105), Err(GzipError::TooLarge));
        for tail in [&b"\0"[..], b"x", b"\x1f\x8b", &[0; 20]] {
            assert_eq!(
                inflate(&[KICK, tail].concat(), 1000),
                Err(GzipError::Header),
                "{tail:?}"
            );
        }
        assert_eq!(inflate(b"", 1000), Err(GzipError::Header));
    }

    #[test]
    fn truncations_and_damage_are_refused() {
        for end in 0..KICK.len() {
            assert!(inflate(&KICK[..end], 1000).is_err(), "cut at {end}");
        }
        for at in [0, 1, 2, 11, 12, 40, 121, 122, 126] {
            let mut damaged = KICK.to_vec();
            damaged[at] ^= 0x10;
            assert!(inflate(&damaged, 1000).is_err(), "byte {at}");
        }
    }

    #[test]
    fn optional_header_fields_are_skipped() {
        let mut input = vec![0x1f, 0x8b, 8, 2 | 4 | 8 | 16, 0, 0, 0, 0, 0, 0xff];
        input.extend_from_slice(b"\x02\0xyname\0comment\0");
        let mut crc = Crc::new();
        crc.update(&input);
        input.extend_from_slice(&(crc.sum() as u16).to_le_bytes());
        input.extend_from_slice(&stored(b"body")[10..]);
        assert_eq!(inflate(&input, 10).unwrap(), b"body");
        input[30] ^= 1;
        assert!(inflate(&input, 10).is_err());
    }

    #[test]
    fn a_bomb_costs_no_more_than_the_limit() {
        let mut bomb = Vec::new();
        Deflater::new().deflate(&vec![0; 20_000_000], &mut bomb);
        assert!(bomb.len() < 1_000_000);
        let mut out = Vec::new();
        assert_eq!(
            Inflater::new().inflate(&bomb, 4096, &mut out),
            Err(GzipError::TooLarge)
        );
        assert!(out.is_empty() && out.capacity() < 16_384);
    }

    #[test]
    fn stored_blocks_split_where_they_must() {
        for n in [0, 1, 65_535, 65_536, 131_070, 131_071] {
            let data = vec![7; n];
            let out = stored(&data);
            assert_eq!(out.len(), 18 + n + 5 * n.div_ceil(65_535).max(1));
            assert_eq!(peer(&out), data);
            assert_eq!(inflate(&out, n).unwrap(), data);
        }
    }

    #[test]
    fn contexts_forget_the_frame_before() {
        let (mut inflater, mut deflater) = (Inflater::new(), Deflater::new());
        let texts = [
            b"one two one two".repeat(400),
            b"x".to_vec(),
            b"one two".repeat(300),
        ];
        let mut sizes = Vec::new();
        for round in 0..2 {
            for (i, text) in texts.iter().enumerate() {
                let (mut packed, mut out) = (Vec::new(), b"kept".to_vec());
                deflater.deflate(text, &mut packed);
                assert_eq!(peer(&packed), *text);
                assert!(
                    inflater
                        .inflate(&packed[..packed.len() - 9], 10_000, &mut out)
                        .is_err()
                );
                assert_eq!(out, b"kept");
                inflater.inflate(&packed, 10_000, &mut out).unwrap();
                assert_eq!(out[4..], *text);
                if round == 0 {
                    sizes.push(packed.len());
                } else {
                    assert_eq!(sizes[i], packed.len());
                }
            }
        }
    }

    #[test]
    fn short_frames_are_stored_and_long_ones_deflated() {
        let mut deflater = Deflater::new();
        for (n, smaller) in [(DEFLATE_FROM - 1, false), (DEFLATE_FROM, true)] {
            let mut out = Vec::new();
            deflater.pack(&vec![b'a'; n], &mut out);
            assert_eq!(out.len() < n, smaller);
            assert_eq!(peer(&out).len(), n);
        }
    }

    proptest! {
        #[test]
        fn what_others_deflate_is_read(data: Vec<u8>, level in 0u32..10) {
            let mut packed = Vec::new();
            GzEncoder::new(&data[..], Compression::new(level)).read_to_end(&mut packed).unwrap();
            prop_assert_eq!(inflate(&packed, data.len()).unwrap(), data);
        }

        #[test]
        fn what_we_deflate_is_read_by_others(data in prop::collection::vec(0u8..4, 0..5000)) {
            let mut packed = Vec::new();
            Deflater::new().deflate(&data, &mut packed);
            prop_assert_eq!(peer(&packed), data);
        }

        #[test]
        fn any_bytes_are_answered_within_the_limit(mut bytes: Vec<u8>, header: bool, limit in 0usize..2000) {
            if header {
                bytes.splice(0..0, HEADER);
            }
            let mut out = Vec::new();
            let _ = Inflater::new().inflate(&bytes, limit, &mut out);
            prop_assert!(out.len() <= limit);
        }
    }
}
