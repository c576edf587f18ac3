//! A push as frames: encoded once per encoding, shared by every receiver.

use crate::core::ring::Push;
use crate::core::session::Codec;
use bytes::Bytes;
use ringwire_protocol::envelope::{Encoding, Response};
use ringwire_protocol::req;

/// The frames of one push, made when first asked for. `None` inside: larger than SDKs read.
#[derive(Debug)]
pub struct PushFrames {
    response: Response,
    made: [Option<Option<Bytes>>; 4],
}

impl PushFrames {
    /// Frames of a message push (2001).
    pub fn of_message(push: &Push) -> Self {
        Self::new(Response {
            req_identifier: req::PUSH_MSG,
            operation_id: push.operation_id.clone(),
            data: push.payload.clone(),
            ..Response::default()
        })
    }

    /// Frames of any push.
    pub fn new(response: Response) -> Self {
        Self {
            response,
            made: [const { None }; 4],
        }
    }

    /// The frame for one kind of session; `None` when it would be larger than SDKs read.
    pub fn frame(&mut self, codec: &mut Codec, encoding: Encoding, gzip: bool) -> Option<Bytes> {
        let index = usize::from(encoding == Encoding::Json) * 2 + usize::from(gzip);
        self.made[index]
            .get_or_insert_with(|| codec.frame(encoding, gzip, &self.response))
            .clone()
    }

    /// Whether an encoding that was asked for is larger than SDKs read.
    pub fn too_large(&self) -> bool {
        self.made.iter().any(|made| matches!(made, Some(None)))
    }

    /// How many encodings were made.
    pub fn encoded(&self) -> u64 {
        self.made.iter().flatten().count() as u64
    }
}
