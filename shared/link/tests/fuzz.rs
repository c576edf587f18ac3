//! Link frames and journal records with damaged input.

#[path = "../../protocol/tests/mutate/mod.rs"]
mod mutate;

use mutate::{cases, damaged};
use proptest::prelude::*;
use proptest::sample::Index;
use ringwire_link::frame::{LinkError, encode, preamble};
use ringwire_link::record::{self, MessageRecord, Record, TokenKickRecord};
use ringwire_link::{FrameDecoder, ToControl};
use std::mem::{Discriminant, discriminant};

fn frames() -> Vec<u8> {
    let bodies = [
        ToControl::Heartbeat,
        ToControl::FindDuplicate {
            conversation_id: "si_a_b".into(),
            send_id: "a".into(),
            client_msg_id: "0123456789abcdef".into(),
        },
        ToControl::Journal {
            journal: 1,
            from: 64,
            to: 128,
            bytes: vec![5; 64],
        },
        ToControl::OpenConversations {
            ids: vec!["si_a_b".into(), "sg_1".into()],
        },
        ToControl::FactsApplied { version: 7 },
    ];
    let mut bytes = preamble().to_vec();
    for (correlation, body) in (1..).zip(&bodies) {
        encode(correlation, body, &mut bytes).expect("encodes");
    }
    bytes
}

/// What a decoder says to `parts`, one after the other: the frames, and the kind of error that ended it (the texts of
/// validation errors contain addresses).
fn decoded(parts: &[&[u8]]) -> (Vec<String>, Option<Discriminant<LinkError>>) {
    let mut decoder = FrameDecoder::default();
    let mut seen = Vec::new();
    for part in parts {
        decoder.extend(part);
        loop {
            match decoder.next::<ToControl>() {
                Ok(Some(frame)) => seen.push(format!("{frame:?}")),
                Ok(None) => break,
                Err(error) => return (seen, Some(discriminant(&error))),
            }
        }
    }
    (seen, None)
}

fn records() -> Vec<Vec<u8>> {
    let message = Record::Message(MessageRecord {
        conversation_id: "si_a_b".into(),
        msg: vec![1; 90].into(),
        operation_id: "op".into(),
    });
    let kick = Record::TokenKick(TokenKickRecord {
        user_id: "a".into(),
        tokens: vec![vec![3; 16]],
        platform_id: 5,
        keep: vec![4; 16],
        at_ms: 1_800_000_000_000,
    });
    [message, kick]
        .map(|r| {
            let mut out = Vec::new();
            record::append(&r, POSITION, 64, 3, &mut out);
            out
        })
        .into()
}

const POSITION: u64 = 4096;

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn frames_are_the_same_however_they_arrive(input in damaged(vec![frames()]), cut: Index) {
        let (head, tail) = input.split_at(cut.index(input.len() + 1));
        prop_assert_eq!(decoded(&[head, tail]), decoded(&[&input]));
    }

    #[test]
    fn a_record_that_reads_is_one_that_was_written(input in damaged(records())) {
        if let Ok((header, read, taken)) = record::read(&input, POSITION) {
            prop_assert!(taken <= record::padded(input.len()));
            let mut again = Vec::new();
            record::append(&read, header.position, header.durable, header.epoch, &mut again);
            let (_, same, _) = record::read(&again, POSITION).expect("reads back");
            prop_assert_eq!(&same, &read);
            // The checksum lets nothing through but what was written, save damage to padding.
            prop_assert!(records().iter().any(|r| record::read(r, POSITION).expect("reads").1 == same));
        }
    }
}
