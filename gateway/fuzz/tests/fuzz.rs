//! One target a decoder: a value or an error for any bytes, and what is read is never more than allowed.

use ringwire_gateway::core::journal::Recovery;
use ringwire_gateway::core::ws::Decoder;
use ringwire_link::{FrameDecoder, ToControl, ToGateway, frame, record};
use ringwire_protocol::envelope::{Encoding, decode_request, decode_response};
use ringwire_protocol::gzip::Inflater;

/// Inputs of each target in an ordinary test run.
const INPUTS: usize = 10_000;

/// Bytes of a journal segment in these tests.
const SEGMENT: u64 = 4 << 10;

#[test]
fn gob() {
    bolero::check!()
        .with_iterations(INPUTS)
        .for_each(|input: &[u8]| {
            let _ = decode_request(Encoding::Gob, input);
            let _ = decode_response(Encoding::Gob, input);
        });
}

#[test]
fn json_envelope() {
    bolero::check!()
        .with_iterations(INPUTS)
        .for_each(|input: &[u8]| {
            let _ = decode_request(Encoding::Json, input);
            let _ = decode_response(Encoding::Json, input);
        });
}

#[test]
fn gzip() {
    bolero::check!()
        .with_iterations(INPUTS)
        .for_each(|input: &[u8]| {
            let mut out = Vec::new();
            let _ = Inflater::default().inflate(input, 1 << 16, &mut out);
            assert!(out.len() <= 1 << 16);
        });
}

#[test]
fn websocket_frames() {
    bolero::check!()
        .with_iterations(INPUTS)
        .for_each(|input: &[u8]| {
            let mut decoder = Decoder::new(51_200);
            let mut rest = input;
            while let Ok(Some(_)) = decoder.next(&mut rest) {}
        });
}

#[test]
fn link_frames() {
    bolero::check!()
        .with_iterations(INPUTS)
        .for_each(|input: &[u8]| {
            let mut control = FrameDecoder::default();
            control.extend(&frame::preamble());
            control.extend(input);
            while let Ok(Some(_)) = control.next::<ToControl>() {}
            let mut gateway = FrameDecoder::default();
            gateway.extend(input);
            while let Ok(Some(_)) = gateway.next::<ToGateway>() {}
        });
}

#[test]
fn journal_records() {
    bolero::check!()
        .with_iterations(INPUTS)
        .for_each(|input: &[u8]| {
            let _ = record::read(input, 64);
        });
}

#[test]
fn journal_recovery() {
    bolero::check!()
        .with_iterations(INPUTS)
        .for_each(|input: &[u8]| {
            let mut segment =
                ringwire_gateway::core::journal::layout::header(0, 0, SEGMENT, 1).to_vec();
            segment.extend_from_slice(&input[..input.len().min(SEGMENT as usize - segment.len())]);
            segment.resize(SEGMENT as usize, 0);
            let mut recovery = Recovery::new(0, SEGMENT);
            if recovery.feed(0, &segment).is_ok() {
                let _ = recovery.finish();
            }
        });
}
