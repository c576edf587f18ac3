//! Our decoder beside tungstenite's: the same bytes, the same messages, the same refusals.

use super::{CloseCode, Decoder, Incoming};
use proptest::prelude::*;
use std::io::{self, Cursor, Read, Write};
use tungstenite::protocol::{Role, WebSocket};
use tungstenite::{Error, Message};

/// Reads what was prepared and swallows what is answered.
struct Tape(Cursor<Vec<u8>>);

impl Read for Tape {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Tape {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug, PartialEq)]
enum Said {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

/// Messages up to the end, a close or a refusal; whether it was a refusal.
fn ours(bytes: &[u8]) -> (Vec<Said>, bool) {
    let mut decoder = Decoder::new(1 << 20);
    let (mut input, mut said) = (bytes, Vec::new());
    loop {
        said.push(match decoder.next(&mut input) {
            Ok(None) => return (said, false),
            Err(_) => return (said, true),
            Ok(Some(Incoming::Text(bytes))) => Said::Text(bytes.to_vec()),
            Ok(Some(Incoming::Binary(bytes))) => Said::Binary(bytes.to_vec()),
            Ok(Some(Incoming::Ping(bytes))) => Said::Ping(bytes.to_vec()),
            Ok(Some(Incoming::Pong)) => Said::Pong,
            Ok(Some(Incoming::Close(Some(CloseCode::Protocol)))) => return (said, true),
            Ok(Some(Incoming::Close(code))) => {
                said.push(Said::Close(code.map(u16::from)));
                return (said, false);
            }
        });
    }
}

fn theirs(bytes: &[u8]) -> (Vec<Said>, bool) {
    let tape = Tape(Cursor::new(bytes.to_vec()));
    let mut socket = WebSocket::from_raw_socket(tape, Role::Server, None);
    let mut said = Vec::new();
    loop {
        said.push(match socket.read() {
            Ok(Message::Text(text)) => Said::Text(text.as_bytes().to_vec()),
            Ok(Message::Binary(bytes)) => Said::Binary(bytes.to_vec()),
            Ok(Message::Ping(bytes)) => Said::Ping(bytes.to_vec()),
            Ok(Message::Pong(_)) => Said::Pong,
            // What it answers a close of a forbidden code with.
            Ok(Message::Close(Some(close))) if u16::from(close.code) == 1002 => return (said, true),
            Ok(Message::Close(close)) => {
                said.push(Said::Close(close.map(|c| c.code.into())));
                return (said, false);
            }
            Ok(Message::Frame(_)) => return (said, true),
            // The tape ended, between frames or inside one.
            Err(Error::Protocol(
                tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            )) => {
                return (said, false);
            }
            Err(Error::ConnectionClosed | Error::Io(_)) => return (said, false),
            Err(_) => return (said, true),
        });
    }
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        4 => "[a-z\u{e9}\u{20ac}\u{1f600}]{0,12}".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..12),
        1 => Just(vec![0x03, 0xe8]),
        1 => proptest::collection::vec(Just(b'x'), 120..140),
    ];
    let first = prop_oneof![
        8 => (prop_oneof![Just(0u8), Just(1), Just(2), Just(9), Just(10)], any::<bool>())
            .prop_map(|(opcode, fin)| opcode | if fin { 0x80 } else { 0 }),
        1 => Just(0x88u8),
        1 => any::<u8>(),
    ];
    (first, payload, any::<[u8; 4]>(), 0u8..20).prop_map(|(first, payload, key, masked)| {
        let mask = if masked == 0 { 0 } else { 0x80 };
        let mut out = vec![first];
        match payload.len() {
            n @ 0..=125 => out.push(mask | n as u8),
            n => {
                out.push(mask | 126);
                out.extend_from_slice(&(n as u16).to_be_bytes());
            }
        }
        if mask != 0 {
            out.extend_from_slice(&key);
        }
        out.extend(payload.iter().enumerate().map(|(i, b)| b ^ key[i % 4]));
        out
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn both_read_the_same(frames in proptest::collection::vec(frame(), 0..12)) {
        let bytes = frames.concat();
        let (ours, refused) = ours(&bytes);
        let (theirs, refused_there) = theirs(&bytes);
        prop_assert_eq!(&ours, &theirs);
        // Ours may refuse text that can never become valid before its message is complete.
        prop_assert!(refused == refused_there || refused && ours.len() == theirs.len());
    }
}
