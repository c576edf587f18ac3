//! Frames: a preamble once per connection, then `length u32 | correlation u64 | body`, little endian.
//!
//! The preamble is `RWLK`, the version as u16 and two zero bytes; it never changes its layout, so that
//! two sides of different versions can still tell each other so.

use crate::message::{ToControl, ToGateway};
use rkyv::rancor::Error as RkyvError;

/// Version of the link. Raised whenever a body changes its layout; both sides must agree.
pub const VERSION: u16 = 1;

/// Bytes of the preamble.
pub const PREAMBLE_LEN: usize = 8;

/// Largest frame, header excluded: 16 MiB.
pub const MAX_FRAME: usize = 16 << 20;

const MAGIC: &[u8; 4] = b"RWLK";
const HEADER_LEN: usize = 12;

/// Why a link connection cannot go on.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LinkError {
    /// The peer is not a Ringwire process.
    #[error("peer did not open with the link preamble")]
    NotALink,
    /// The peer speaks another version.
    #[error(
        "peer speaks link version {theirs}, this process speaks {VERSION}: run gateway and control of the same release"
    )]
    Version {
        /// What the peer announced.
        theirs: u16,
    },
    /// A frame longer than [`MAX_FRAME`] or shorter than its header.
    #[error("frame length {0} is out of bounds")]
    Length(usize),
    /// The body failed validation.
    #[error("frame body is not valid: {0}")]
    Body(String),
}

/// The bytes each side sends first.
pub fn preamble() -> [u8; PREAMBLE_LEN] {
    let mut bytes = [0; PREAMBLE_LEN];
    bytes[..4].copy_from_slice(MAGIC);
    bytes[4..6].copy_from_slice(&VERSION.to_le_bytes());
    bytes
}

/// A body that travels in one direction.
pub trait Body: Sized {
    /// Appends the archived body.
    ///
    /// # Errors
    /// [`LinkError::Body`] when it cannot be archived.
    fn write(&self, out: &mut Vec<u8>) -> Result<(), LinkError>;

    /// Validates and reads a body.
    ///
    /// # Errors
    /// [`LinkError::Body`] when the bytes are not a valid archive of this type.
    fn read(bytes: &[u8]) -> Result<Self, LinkError>;
}

macro_rules! body {
    ($type:ty) => {
        impl Body for $type {
            fn write(&self, out: &mut Vec<u8>) -> Result<(), LinkError> {
                let bytes = rkyv::to_bytes::<RkyvError>(self)
                    .map_err(|e| LinkError::Body(e.to_string()))?;
                out.extend_from_slice(&bytes);
                Ok(())
            }

            fn read(bytes: &[u8]) -> Result<Self, LinkError> {
                rkyv::from_bytes::<Self, RkyvError>(bytes)
                    .map_err(|e| LinkError::Body(e.to_string()))
            }
        }
    };
}
body!(ToControl);
body!(ToGateway);

/// Appends one frame to `out`. `correlation` is 0 for a frame that neither asks nor answers.
///
/// # Errors
/// [`LinkError::Body`] or [`LinkError::Length`]; `out` is then left as it was.
pub fn encode<B: Body>(correlation: u64, body: &B, out: &mut Vec<u8>) -> Result<(), LinkError> {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_LEN]);
    let written = body.write(out);
    let length = out.len() - start - 4;
    if written.is_err() || length > MAX_FRAME {
        out.truncate(start);
        written?;
        return Err(LinkError::Length(length));
    }
    out[start..start + 4].copy_from_slice(&(length as u32).to_le_bytes());
    out[start + 4..start + HEADER_LEN].copy_from_slice(&correlation.to_le_bytes());
    Ok(())
}

/// One received frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<B> {
    /// Joins an answer to its question; 0 for neither.
    pub correlation: u64,
    /// The validated body.
    pub body: B,
}

/// Cuts a byte stream into frames. Feed with [`FrameDecoder::extend`], drain with [`FrameDecoder::next`].
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffer: Vec<u8>,
    read: usize,
    greeted: bool,
}

impl FrameDecoder {
    /// Adds received bytes.
    pub fn extend(&mut self, bytes: &[u8]) {
        if self.read > 0 {
            self.buffer.drain(..self.read);
            self.read = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, or `None` until more bytes come.
    ///
    /// # Errors
    /// Any [`LinkError`]; the connection must then be closed.
    #[allow(
        clippy::should_implement_trait,
        reason = "the caller names the body, which an iterator cannot take"
    )]
    pub fn next<B: Body>(&mut self) -> Result<Option<Frame<B>>, LinkError> {
        let mut rest = &self.buffer[self.read..];
        if !self.greeted {
            let Some(head) = rest.get(..PREAMBLE_LEN) else {
                return Ok(None);
            };
            if &head[..4] != MAGIC {
                return Err(LinkError::NotALink);
            }
            let theirs = u16::from_le_bytes([head[4], head[5]]);
            if theirs != VERSION {
                return Err(LinkError::Version { theirs });
            }
            self.greeted = true;
            self.read += PREAMBLE_LEN;
            rest = &rest[PREAMBLE_LEN..];
        }
        let Some((length, after)) = rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        if !(8..=MAX_FRAME).contains(&length) {
            return Err(LinkError::Length(length));
        }
        let Some((correlation, body)) =
            after.get(..length).and_then(|f| f.split_first_chunk::<8>())
        else {
            return Ok(None);
        };
        let frame = Frame {
            correlation: u64::from_le_bytes(*correlation),
            body: B::read(body)?,
        };
        self.read += 4 + length;
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(frames: &[(u64, ToControl)]) -> Vec<u8> {
        let mut bytes = preamble().to_vec();
        for (correlation, body) in frames {
            encode(*correlation, body, &mut bytes).expect("encodes");
        }
        bytes
    }

    #[test]
    fn frames_survive_any_split() {
        let sent = [
            (0, ToControl::Heartbeat),
            (
                7,
                ToControl::OpenConversations {
                    ids: vec!["si_a_b".into()],
                },
            ),
        ];
        let bytes = stream(&sent);
        for cut in 0..bytes.len() {
            let mut decoder = FrameDecoder::default();
            let mut seen = Vec::new();
            for part in [&bytes[..cut], &bytes[cut..]] {
                decoder.extend(part);
                while let Some(frame) = decoder.next::<ToControl>().expect("valid") {
                    seen.push((frame.correlation, frame.body));
                }
            }
            assert_eq!(seen, sent);
        }
    }

    #[test]
    fn another_version_is_named_in_the_error() {
        let mut bytes = preamble();
        bytes[4] = 9;
        let mut decoder = FrameDecoder::default();
        decoder.extend(&bytes);
        let error = decoder.next::<ToControl>().expect_err("refused");
        assert_eq!(error, LinkError::Version { theirs: 9 });
        assert!(error.to_string().contains("same release"));
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_frame_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..512), greet: bool) {
            let mut decoder = FrameDecoder::default();
            if greet {
                decoder.extend(&preamble());
            }
            decoder.extend(&bytes);
            while let Ok(Some(_)) = decoder.next::<ToGateway>() {}
        }

        #[test]
        fn a_damaged_body_never_panics(at in 0usize..4096, flip in 1u8..=255) {
            let mut bytes = stream(&[(1, ToControl::OpenConversations { ids: vec!["a".into(), "bb".repeat(20)] })]);
            let at = at % bytes.len();
            bytes[at] ^= flip;
            let mut decoder = FrameDecoder::default();
            decoder.extend(&bytes);
            while let Ok(Some(_)) = decoder.next::<ToControl>() {}
        }
    }
}
