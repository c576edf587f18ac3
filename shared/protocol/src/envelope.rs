//! The request and reply envelopes of a WebSocket connection (spec: gateway.md 2.1, gob.md).

use bytes::Bytes;

use crate::{envelope_json, gob};

/// How a connection's binary frames are encoded; agreed by `sdkType` (gateway.md 1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// `sdkType` empty or `go`: native and wasm SDKs.
    Gob,
    /// `sdkType=js`. JSON, too, travels in binary frames.
    Json,
}

/// A client's request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// What is asked, see [`crate::req`].
    pub req_identifier: i32,
    /// Never used: a connection is authenticated when it is opened.
    pub token: String,
    /// Must be the connection's user, or the connection is dropped.
    pub send_id: String,
    /// Trace id, copied to the reply.
    pub operation_id: String,
    /// Key by which the client finds the reply, copied to it.
    pub msg_incr: String,
    /// The protobuf message.
    pub data: Bytes,
}

/// A reply, or, with an empty `msg_incr`, a push.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// That of the request, or 2001, 2002, 2005.
    pub req_identifier: i32,
    /// That of the request; empty in pushes.
    pub msg_incr: String,
    /// That of the request, or of the request that caused the push.
    pub operation_id: String,
    /// 0 is success.
    pub err_code: i32,
    /// Name of the error; there is no field for its detail.
    pub err_msg: String,
    /// The protobuf message; empty and absent are the same.
    pub data: Bytes,
}

/// Why a frame is no envelope. The connection is dropped without a reply (gateway.md 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Bad gob.
    #[error("bad gob: {0}")]
    Gob(#[from] gob::GobError),
    /// Bad JSON: syntax, a wrong type, a number out of range, bad base64 or trailing text.
    #[error("bad JSON at line {line}, column {column}")]
    Json {
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault, from 1; 0 is the line's start.
        column: usize,
    },
}

/// Reads one whole uncompressed frame as a request. Memory used is bounded by the frame's length.
///
/// # Errors
/// The bytes are not a request in this encoding.
pub fn decode_request(encoding: Encoding, frame: &[u8]) -> Result<Request, EnvelopeError> {
    match encoding {
        Encoding::Gob => gob::decode_request(frame),
        Encoding::Json => envelope_json::decode_request(frame),
    }
}

/// Reads one whole uncompressed frame as a reply or push.
///
/// # Errors
/// The bytes are not a reply in this encoding.
pub fn decode_response(encoding: Encoding, frame: &[u8]) -> Result<Response, EnvelopeError> {
    match encoding {
        Encoding::Gob => gob::decode_response(frame),
        Encoding::Json => envelope_json::decode_response(frame),
    }
}

/// Appends a request to `out`.
pub fn encode_request(encoding: Encoding, request: &Request, out: &mut Vec<u8>) {
    match encoding {
        Encoding::Gob => gob::encode_request(request, out),
        Encoding::Json => envelope_json::encode_request(request, out),
    }
}

/// Appends a reply or push to `out`.
pub fn encode_response(encoding: Encoding, response: &Response, out: &mut Vec<u8>) {
    match encoding {
        Encoding::Gob => gob::encode_response(response, out),
        Encoding::Json => envelope_json::encode_response(response, out),
    }
}
