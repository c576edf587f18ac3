//! The OpenIM 3.8 wire: protobuf messages, JSON shapes, gob, envelopes, identifiers, error codes.
//!
//! Nothing here does I/O, reads a clock or knows any other Ringwire crate.

pub mod content_type;
pub mod conversation_id;
pub mod envelope;
mod envelope_json;
pub mod error;
pub mod gob;
pub mod gzip;
pub mod id_hash;
pub mod json;
mod json_text;
pub mod message_limits;
pub mod notification;
pub mod options;
pub mod platform;
pub mod req;
pub mod slot;
pub mod token;

/// Protobuf messages, one module a package, generated from `proto/openim`.
#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod pb {
    mod generated {
        include!(concat!(env!("OUT_DIR"), "/messages.rs"));
    }
    pub use generated::openim::*;
}
