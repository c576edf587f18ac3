//! WebSocket frames and journal segments with damaged input.

#[path = "../../shared/protocol/tests/mutate/mod.rs"]
mod mutate;

use mutate::{cases, damaged};
use proptest::prelude::*;
use proptest::sample::Index;
use prost::Message;
use ringwire_gateway::core::journal::layout::{HEADER_LEN, Seal, first_position, header};
use ringwire_gateway::core::journal::{Recovered, Recovery};
use ringwire_gateway::core::ws::{Decoder, Incoming, Violation};
use ringwire_link::record::{self, MessageRecord, Record};
use ringwire_protocol::pb::sdkws::MsgData;

const MAX_MESSAGE: usize = 2_000;

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x21, 0x43, 0x65, 0x87];
    let mut out = vec![first];
    match payload.len() {
        n @ 0..=125 => out.push(0x80 | n as u8),
        n => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(n as u16).to_be_bytes());
        }
    }
    out.extend_from_slice(&key);
    out.extend(payload.iter().enumerate().map(|(i, b)| b ^ key[i % 4]));
    out
}

fn conversation() -> Vec<u8> {
    [
        frame(0x82, &[1; 300]),
        frame(0x01, "h\u{20ac}llo ".as_bytes()),
        frame(0x89, b"ping"),
        frame(0x00, b""),
        frame(0x80, "\u{1f600}".as_bytes()),
        frame(0x8a, b""),
        frame(0x82, &[2; 1_999]),
        frame(0x88, &[0x03, 0xe8, b'o', b'k']),
    ]
    .concat()
}

/// What a decoder says to `parts`, one after the other, up to a close or a violation.
fn decoded(parts: &[&[u8]]) -> (Vec<Incoming>, Option<Violation>, usize) {
    let mut decoder = Decoder::new(MAX_MESSAGE);
    let mut seen = Vec::new();
    let mut most = 0;
    for part in parts {
        let mut rest = *part;
        loop {
            let next = decoder.next(&mut rest);
            most = most.max(decoder.held());
            match next {
                Ok(Some(close @ Incoming::Close(_))) => {
                    seen.push(close);
                    return (seen, None, most);
                }
                Ok(Some(incoming)) => seen.push(incoming),
                Ok(None) => break,
                Err(violation) => return (seen, Some(violation), most),
            }
        }
    }
    (seen, None, most)
}

const SEGMENT: u64 = 4096;
const EPOCH: u32 = 2;

fn text(n: u64) -> Record {
    Record::Message(MessageRecord {
        conversation_id: format!("si_a_{}", n % 3),
        msg: MsgData {
            client_msg_id: n.to_string(),
            seq: 1 + n as i64 / 3,
            content: vec![n as u8; 20].into(),
            ..MsgData::default()
        }
        .encode_to_vec()
        .into(),
        operation_id: "op".into(),
    })
}

/// Two segments, the first full and sealed, the second with a few records.
fn journal() -> [Vec<u8>; 2] {
    let mut n = 0;
    let mut segments = [0, 1].map(|segment| {
        let mut bytes = header(0, segment, SEGMENT, EPOCH).to_vec();
        for _ in 0..8 {
            let position = segment * SEGMENT + bytes.len() as u64;
            let durable = if n == 0 { 0 } else { position };
            record::append(&text(n), position, durable, EPOCH, &mut bytes);
            n += 1;
        }
        bytes
    });
    let position = segments[0].len() as u64;
    Seal {
        position,
        durable: position,
        epoch: EPOCH,
    }
    .append(&mut segments[0]);
    segments
        .iter_mut()
        .for_each(|s| s.resize(SEGMENT as usize, 0));
    segments
}

fn recovered(segments: &[Vec<u8>]) -> Option<Recovered> {
    let mut recovery = Recovery::new(0, SEGMENT);
    for (n, bytes) in (0..).zip(segments) {
        recovery.feed(n, bytes).ok()?;
    }
    recovery.finish().ok()?
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn messages_are_the_same_however_they_arrive(input in damaged(vec![conversation()]), cut: Index) {
        let (head, tail) = input.split_at(cut.index(input.len() + 1));
        let (whole, end, _) = decoded(&[&input]);
        let (parts, end_of_parts, held) = decoded(&[head, tail]);
        prop_assert_eq!(&parts, &whole);
        prop_assert_eq!(end_of_parts.map(|v| v.code), end.map(|v| v.code));
        prop_assert!(held <= 2 * MAX_MESSAGE + 256, "{held} bytes held");
        for message in &whole {
            if let Incoming::Text(bytes) | Incoming::Binary(bytes) = message {
                prop_assert!(bytes.len() <= MAX_MESSAGE);
            }
        }
    }

    #[test]
    fn a_damaged_journal_is_refused_or_read_up_to_the_damage(
        second in damaged(vec![journal()[1].clone()]),
        first in prop_oneof![3 => Just(journal()[0].clone()), 1 => damaged(vec![journal()[0].clone()])],
    ) {
        let sound = recovered(&journal()).expect("a sound journal reads");
        let mut damaged = [first, second];
        damaged.iter_mut().for_each(|s| s.resize(SEGMENT as usize, 0));
        if let Some(found) = recovered(&damaged) {
            prop_assert!(found.span.first == first_position(0, SEGMENT));
            prop_assert!(found.span.end >= found.span.first && found.span.end <= 2 * SEGMENT);
            prop_assert_eq!(found.span.end % 8, 0);
            // Damage shortens a journal; it never adds to it.
            prop_assert!(found.span.end <= sound.span.end);
            prop_assert!(found.conversations.keys().all(|id| sound.conversations.contains_key(id)));
        }
    }
}

#[test]
fn the_sound_samples_are_sound() {
    let (seen, violation, _) = decoded(&[&conversation()]);
    assert_eq!((seen.len(), violation), (6, None));
    let found = recovered(&journal()).expect("reads");
    assert_eq!(found.cut_bytes, 0);
    assert_eq!(found.conversations.len(), 3);
    assert!(found.span.end > SEGMENT + HEADER_LEN as u64);
}
