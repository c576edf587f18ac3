//! Frames that a server sends: never masked, never fragmented.

use bytes::Bytes;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// Longest header of an unmasked frame.
const MAX_HEADER: usize = 10;

/// Builds one binary frame around what `write` appends, without copying it. `hint` is the likely
/// length of the payload.
pub fn frame_around(hint: usize, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    around(OpCode::Data(Data::Binary), hint, write)
}

/// A text frame.
pub fn text(payload: &[u8]) -> Bytes {
    around(OpCode::Data(Data::Text), payload.len(), |out| {
        out.extend_from_slice(payload)
    })
}

/// The answer to a control ping. `payload` is at most 125 bytes.
pub fn pong(payload: &[u8]) -> Bytes {
    around(OpCode::Control(Control::Pong), payload.len(), |out| {
        out.extend_from_slice(payload)
    })
}

/// A control ping without payload.
pub fn ping() -> Bytes {
    around(OpCode::Control(Control::Ping), 0, |_| {})
}

/// A close frame. `None` has no code (the echo of a close without one). A long reason is cut.
pub fn close(code: Option<CloseCode>, reason: &str) -> Bytes {
    around(OpCode::Control(Control::Close), 2 + reason.len(), |out| {
        if let Some(code) = code {
            out.extend_from_slice(&u16::from(code).to_be_bytes());
            let end = (0..=reason.len().min(123))
                .rev()
                .find(|i| reason.is_char_boundary(*i))
                .unwrap_or(0);
            out.extend_from_slice(&reason.as_bytes()[..end]);
        }
    })
}

fn around(opcode: OpCode, hint: usize, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut out = Vec::with_capacity(MAX_HEADER + hint);
    out.resize(MAX_HEADER, 0);
    write(&mut out);
    let length = (out.len() - MAX_HEADER) as u64;
    let header = FrameHeader {
        opcode,
        ..FrameHeader::default()
    };
    let start = MAX_HEADER - header.len(length);
    let mut slot = &mut out[start..MAX_HEADER];
    // The slot has exactly the header's length, so the write cannot fail.
    let written = header.format(length, &mut slot);
    debug_assert!(written.is_ok());
    Bytes::from(out).slice(start..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_their_shortest_form() {
        for (length, header) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let frame = frame_around(length, |out| out.resize(out.len() + length, 7));
            assert_eq!(frame.len(), header + length);
            assert_eq!(frame[0], 0x82);
            assert_eq!(frame[1] & 0x80, 0, "never masked");
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let frame = close(Some(CloseCode::Policy), &"é".repeat(100));
        assert_eq!(frame[0], 0x88);
        assert!(frame.len() <= 127);
        assert_eq!(&frame[2..4], &1008u16.to_be_bytes());
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
        assert_eq!(&close(None, "")[..], &[0x88, 0]);
    }
}
