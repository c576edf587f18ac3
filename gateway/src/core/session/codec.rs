//! Envelopes in frames: gob or JSON, gzip or not, with buffers used again.

use crate::core::ws;
use bytes::Bytes;
use ringwire_protocol::envelope::{self, Encoding, EnvelopeError, Request, Response};
use ringwire_protocol::gzip::{Deflater, GzipError, Inflater};

/// Largest frame SDKs read; above it they reconnect and ask for the same again, for ever.
pub const MAX_FRAME: usize = 1 << 20;

/// A reused buffer larger than this is given back.
const KEEP: usize = 256 << 10;

/// Why a binary message is no request. The session is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// Not one gzip stream.
    #[error("bad gzip: {0}")]
    Gzip(GzipError),
    /// Larger than allowed once inflated.
    #[error("too large when inflated")]
    TooLarge,
    /// Not an envelope.
    #[error("{0}")]
    Envelope(#[from] EnvelopeError),
}

/// Contexts and buffers of one core.
#[derive(Debug)]
pub struct Codec {
    inflater: Inflater,
    deflater: Deflater,
    plain: Vec<u8>,
    max_inflated: usize,
}

impl Codec {
    /// `max_inflated` bounds a request after inflation, bytes.
    pub fn new(max_inflated: usize) -> Self {
        Self {
            inflater: Inflater::new(),
            deflater: Deflater::new(),
            plain: Vec::new(),
            max_inflated,
        }
    }

    /// A reply or push as a whole WebSocket frame; `None` when it would be larger than SDKs read.
    pub fn frame(&mut self, encoding: Encoding, gzip: bool, response: &Response) -> Option<Bytes> {
        let hint = response.data.len() * if encoding == Encoding::Json { 4 } else { 3 } / 3 + 256;
        let frame = if gzip {
            self.plain.clear();
            envelope::encode_response(encoding, response, &mut self.plain);
            let (deflater, plain) = (&mut self.deflater, &self.plain);
            let frame = ws::frame_around(plain.len() + 32, |out| deflater.pack(plain, out));
            self.give_back();
            frame
        } else {
            ws::frame_around(hint, |out| {
                envelope::encode_response(encoding, response, out)
            })
        };
        (frame.len() <= MAX_FRAME).then_some(frame)
    }

    /// Reads a binary message.
    ///
    /// # Errors
    /// [`BadRequest`].
    pub fn request(
        &mut self,
        encoding: Encoding,
        gzip: bool,
        message: &[u8],
    ) -> Result<Request, BadRequest> {
        if !gzip {
            return Ok(envelope::decode_request(encoding, message)?);
        }
        self.plain.clear();
        let inflated = self
            .inflater
            .inflate(message, self.max_inflated, &mut self.plain);
        let request = match inflated {
            Ok(()) => envelope::decode_request(encoding, &self.plain).map_err(BadRequest::from),
            Err(GzipError::TooLarge) => Err(BadRequest::TooLarge),
            Err(error) => Err(BadRequest::Gzip(error)),
        };
        self.give_back();
        request
    }

    fn give_back(&mut self) {
        if self.plain.capacity() > KEEP {
            self.plain = Vec::new();
        }
    }
}
