//! WebSocket framing (RFC 6455), server side, as a plain state machine over our own buffers.
//!
//! Header parsing, opcodes and close codes come from tungstenite; nothing here reads or writes a
//! stream. No extension is ever negotiated. An idle [`Decoder`] holds no buffer.

mod decoder;
#[cfg(test)]
mod differential_tests;
mod encode;
mod mask;

pub use decoder::{Decoder, Incoming, Violation};
pub use encode::{close, frame_around, ping, pong, text};
pub use mask::apply_mask;
pub use tungstenite::protocol::frame::coding::CloseCode;
