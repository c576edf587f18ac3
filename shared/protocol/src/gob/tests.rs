//! The vectors of gob.md 7, and properties.

use super::*;
use crate::envelope::{Encoding, decode_request, decode_response, encode_response};
use proptest::prelude::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

const P: &str = "
    5f7f030101045265737001ff80000106010d5265714964656e7469666965720104
    0001074d7367496e6372010c00010b4f7065726174696f6e4944010c0001074572
    72436f646501040001064572724d7367010c00010444617461010a000000";
const Q64: &str = "
    657f0301010c47656e6572616c577352657101ff80000106010d5265714964656e
    7469666965720104000105546f6b656e010c00010653656e644944010c00010b4f
    7065726174696f6e4944010c0001074d7367496e6372010c00010444617461010a
    000000";
const Q65: &str = "
    66ff810301010c47656e6572616c577352657101ff82000106010d526571496465
    6e7469666965720104000105546f6b656e010c00010653656e644944010c00010b
    4f7065726174696f6e4944010c0001074d7367496e6372010c0001044461746101
    0a000000";

fn response(id: i32, incr: &str, op: &str, code: i32, msg: &str, data: &[u8]) -> Response {
    Response {
        req_identifier: id,
        msg_incr: incr.into(),
        operation_id: op.into(),
        err_code: code,
        err_msg: msg.into(),
        data: Bytes::copy_from_slice(data),
    }
}

fn request(id: i32, token: &str, send_id: &str, op: &str, incr: &str, data: &[u8]) -> Request {
    Request {
        req_identifier: id,
        token: token.into(),
        send_id: send_id.into(),
        operation_id: op.into(),
        msg_incr: incr.into(),
        data: Bytes::copy_from_slice(data),
    }
}

#[test]
fn prefixes_are_those_of_the_go_library() {
    assert_eq!(RESPONSE_PREFIX[..], hex(P));
    assert_eq!(REQUEST_PREFIX[..], hex(Q64));
}

#[test]
fn replies_r1_to_r12() {
    let table = [
        (response(0, "", "", 0, "", b""), "03ff8000"),
        (response(2002, "", "", 0, "", b""), "07ff8001fe0fa400"),
        (
            response(1001, "u1_1", "op1", 0, "", b""),
            "12ff8001fe07d2010475315f3101036f703100",
        ),
        (
            response(1003, "u1_7", "op2", 1001, "ArgsError", b""),
            "21ff8001fe07d6010475315f3701036f703201fe07d20109417267734572726f7200",
        ),
        (
            response(2001, "", "op3", 0, "", b"\x0a\x03abc"),
            "13ff8001fe0fa202036f703303050a0361626300",
        ),
        (
            response(2005, "", "", 0, "", b"\x0a\x02\x0a\x00"),
            "0dff8001fe0faa05040a020a0000",
        ),
        (
            response(2004, "u1_9", "op4", 0, "", b""),
            "12ff8001fe0fa8010475315f3901036f703400",
        ),
        (response(-1, "", "", -5, "", b""), "07ff800101030900"),
        (response(63, "", "", 0, "", b""), "05ff80017e00"),
        (response(64, "", "", 0, "", b""), "06ff8001ff8000"),
        (
            response(i32::MAX, "", "", 0, "", b""),
            "09ff8001fcfffffffe00",
        ),
        (
            response(i32::MIN, "", "", 0, "", b""),
            "09ff8001fcffffffff00",
        ),
    ];
    for (value, expected) in table {
        let expected = hex(&format!("{P}{expected}"));
        let mut out = Vec::new();
        encode_response(Encoding::Gob, &value, &mut out);
        assert_eq!(out, expected, "{value:?}");
        assert_eq!(decode_response(Encoding::Gob, &expected).unwrap(), value);
    }
}

#[test]
fn long_replies_r13_to_r16() {
    let table = [
        (127, "ff88 ff80 01fe0fa2 05 7f", 234),
        (128, "ff8a ff80 01fe0fa2 05 ff80", 236),
        (200, "ffd2 ff80 01fe0fa2 05 ffc8", 308),
        (70000, "fd01117c ff80 01fe0fa2 05 fd011170", 70112),
    ];
    for (n, start, total) in table {
        let value = response(2001, "", "", 0, "", &vec![0x41; n]);
        let mut out = Vec::new();
        encode_response(Encoding::Gob, &value, &mut out);
        assert_eq!(out.len(), total);
        assert!(out[96..].starts_with(&hex(start)));
        assert_eq!(out.last(), Some(&0));
        assert_eq!(decode_response(Encoding::Gob, &out).unwrap(), value);
    }
}

#[test]
fn requests_q1_to_q7() {
    let q1 = request(1001, "", "u1", "op", "u1_1", &hex("0a027531"));
    let table = [
        (
            Q64,
            "1bff8001fe07d20202753101026f70010475315f3101040a02753100",
            q1.clone(),
        ),
        (
            Q65,
            "1bff8201fe07d20202753101026f70010475315f3101040a02753100",
            q1,
        ),
        (
            Q64,
            "17ff8001fe0faa0202753101013701013801040a02753200",
            request(2005, "", "u1", "7", "8", &hex("0a027532")),
        ),
        (
            Q64,
            "18ff8001fe0fa802027531010139010475315f390102100100",
            request(2004, "", "u1", "9", "u1_9", &hex("1001")),
        ),
        (
            Q64,
            "1eff8001fe0fa60202753101023130010575315f313001060a027531100200",
            request(2003, "", "u1", "10", "u1_10", &hex("0a0275311002")),
        ),
        (
            Q64,
            "15ff8001fe07d20101740102753101026f7001016900",
            request(1001, "t", "u1", "op", "i", b""),
        ),
        (Q64, "03ff8000", request(0, "", "", "", "", b"")),
    ];
    for (prefix, value, expected) in table {
        let stream = hex(&format!("{prefix}{value}"));
        assert!(sdk_definition(&stream).is_some(), "the fast path takes it");
        assert_eq!(decode_request(Encoding::Gob, &stream).unwrap(), expected);
        let slow = decode(&REQUEST, &stream).unwrap();
        assert_eq!(slow.bytes[2], expected.send_id.as_bytes());
        if prefix == Q64 {
            let mut out = Vec::new();
            encode_request(&expected, &mut out);
            assert_eq!(out, stream);
        }
    }
}

#[test]
fn the_fast_path_knows_every_type_id_but_no_other_definition() {
    let rest =
        &Q64.replace(char::is_whitespace, "")["657f0301010c47656e6572616c577352657101ff80".len()..];
    for (minus, plus) in [("ff8b", "ff8c"), ("fe018f", "fe0190"), ("fe07cf", "fe07d0")] {
        let body = hex(&format!(
            "{minus}0301010c47656e6572616c577352657101{plus}{rest}"
        ));
        let mut stream = vec![body.len() as u8];
        stream.extend_from_slice(&body);
        let value = hex(&format!("{plus}01fe07d2040161 00"));
        stream.push(value.len() as u8);
        stream.extend_from_slice(&value);
        assert!(sdk_definition(&stream).is_some());
        let expected = request(1001, "", "", "", "a", b"");
        assert_eq!(decode_request(Encoding::Gob, &stream).unwrap(), expected);
        // Another value type than the one defined.
        let at = stream.len() - value.len() + plus.len() / 2 - 1;
        stream[at] ^= 2;
        assert!(decode_request(Encoding::Gob, &stream).is_err());
    }
    assert!(sdk_definition(&hex(P)).is_none());
}

#[test]
fn variants_v1_to_v4() {
    let v1 = hex("1d7f030102ff80000101010d5265714964656e746966696572010400000007ff8001fe0fa400");
    assert_eq!(
        decode_response(Encoding::Gob, &v1).unwrap(),
        response(2002, "", "", 0, "", b"")
    );
    assert_eq!(
        decode_request(Encoding::Gob, &v1).unwrap(),
        request(2002, "", "", "", "", b"")
    );
    let v2 = hex(
        "69ff850301010d47656e6572616c57735265737001ff86000106010d5265714964656e7469666965720104000107457272436f6465
         01040001064572724d7367010c0001074d7367496e6372010c00010b4f7065726174696f6e4944010c00010444617461010a000000
         09ff8601fe07d2010200",
    );
    assert_eq!(
        decode_response(Encoding::Gob, &v2).unwrap(),
        response(1001, "", "", 1, "", b"")
    );
    let v3 = hex(&format!("{P}11ff8001fe0fa20100010001000100010000"));
    assert_eq!(
        decode_response(Encoding::Gob, &v3).unwrap(),
        response(2001, "", "", 0, "", b"")
    );
    let v4 = hex(&format!("{P}09ff8001fc00000fa400"));
    assert_eq!(
        decode_response(Encoding::Gob, &v4).unwrap(),
        response(2002, "", "", 0, "", b"")
    );
}

#[test]
fn failures_f1_to_f7() {
    let table = [
        String::new(),
        P.to_owned(),
        "07ff8001fe0fa400".to_owned(),
        format!("{P}07ff8007fe0fa200"),
        format!("{P}{P}07ff8001fe0fa400"),
        format!("{Q64}1bff8001fe07d20220753101026f70010475315f3101040a02753100"),
        "080c000568656c6c6f".to_owned(),
    ];
    for stream in table {
        assert!(
            decode_response(Encoding::Gob, &hex(&stream)).is_err(),
            "{stream}"
        );
        assert!(
            decode_request(Encoding::Gob, &hex(&stream)).is_err(),
            "{stream}"
        );
    }
}

#[test]
fn every_truncation_fails() {
    let stream = hex(&format!(
        "{Q64}1bff8001fe07d20202753101026f70010475315f3101040a02753100"
    ));
    for end in 0..stream.len() {
        assert!(
            decode_request(Encoding::Gob, &stream[..end]).is_err(),
            "cut at {end}"
        );
    }
}

/// A definition with the given fields, under type id 64 and without a name.
fn define(fields: &[(&str, u8)]) -> Vec<u8> {
    let mut body = hex("7f030102ff800001");
    body.push(fields.len() as u8);
    for (name, id) in fields {
        body.extend_from_slice(&[1, name.len() as u8]);
        body.extend_from_slice(name.as_bytes());
        body.push(1);
        put_uint(&mut body, 2 * u64::from(*id));
        body.push(0);
    }
    body.extend_from_slice(&[0, 0]);
    let mut out = Vec::new();
    put_uint(&mut out, body.len() as u64);
    out.extend(body);
    out
}

#[test]
fn fields_are_matched_by_name_and_unknown_ones_are_skipped() {
    let mut stream = define(&[
        ("Data", 5),
        ("More", 6),
        ("Flag", 1),
        ("Z", 7),
        ("ReqIdentifier", 2),
        ("Unused", 70),
    ]);
    stream.extend(hex(
        "13 ff80 01 02 6162 01 01 63 01 01 01 05 05 01 fe07d2 00",
    ));
    assert_eq!(
        decode_request(Encoding::Gob, &stream).unwrap(),
        request(1001, "", "", "", "", b"ab")
    );
}

#[test]
fn a_known_name_of_another_type_or_case_is_refused() {
    for fields in [
        &[("Data", 6)][..],
        &[("ReqIdentifier", 3)],
        &[("data", 5)],
        &[],
    ] {
        let mut stream = define(fields);
        stream.extend(hex("03ff8000"));
        assert!(
            decode_request(Encoding::Gob, &stream).is_err(),
            "{fields:?}"
        );
    }
}

#[test]
fn an_unknown_field_that_cannot_be_skipped_fails_only_when_sent() {
    let mut unsent = define(&[("ReqIdentifier", 2), ("Nested", 70)]);
    let mut sent = unsent.clone();
    unsent.extend(hex("05ff80010200"));
    sent.extend(hex("06ff8002010000"));
    assert!(decode_request(Encoding::Gob, &unsent).is_ok());
    assert!(decode_request(Encoding::Gob, &sent).is_err());
}

#[test]
fn what_follows_the_value_is_ignored_and_unrelated_definitions_are_allowed() {
    // A slice type 65 of strings, defined first.
    let mut stream = hex("09 ff81 02 01 02 ff82 00 01 0c 00 00");
    stream[0] = (stream.len() - 1) as u8;
    stream.extend(hex(&format!("{P}07ff8001fe0fa400 deadbeef")));
    assert_eq!(
        decode_response(Encoding::Gob, &stream)
            .unwrap()
            .req_identifier,
        2002
    );
}

#[test]
fn numbers_out_of_range_and_too_many_definitions_are_refused() {
    let beyond = hex(&format!("{P}0aff8001fb020000000000"));
    assert_eq!(decode(&RESPONSE, &beyond).map(|v| v.ints[0]), Ok(1 << 32));
    assert!(decode_response(Encoding::Gob, &beyond).is_err());
    let mut many = Vec::new();
    for id in 0..9u8 {
        many.extend([6, 0xff, 0x81 + 2 * id, 3, 1, 0, 0]);
    }
    many.extend(hex(&format!("{P}03ff8000")));
    assert!(matches!(
        decode(&RESPONSE, &many).map(|_| ()),
        Err(GobError::TooManyDefinitions)
    ));
}

proptest! {
    #[test]
    fn any_request_survives(id: i32, token: String, send: String, op: String, incr: String, data: Vec<u8>) {
        let value = request(id, &token, &send, &op, &incr, &data);
        let mut out = Vec::new();
        encode_request(&value, &mut out);
        prop_assert_eq!(super::decode_request(&out).unwrap(), value);
    }

    #[test]
    fn any_response_survives(id: i32, code: i32, incr: String, op: String, msg: String, data: Vec<u8>) {
        let value = response(id, &incr, &op, code, &msg, &data);
        let mut out = Vec::new();
        super::encode_response(&value, &mut out);
        prop_assert_eq!(super::decode_response(&out).unwrap(), value);
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = super::decode_request(&bytes);
        let _ = super::decode_response(&bytes);
    }

    #[test]
    fn a_damaged_stream_is_answered(at in 0usize..130, byte: u8, cut in 0usize..140) {
        let mut stream = hex(&format!("{Q64}1bff8001fe07d20202753101026f70010475315f3101040a02753100"));
        let at = at.min(stream.len() - 1);
        stream[at] = byte;
        stream.truncate(cut);
        let fast = super::decode_request(&stream);
        let slow = decode(&REQUEST, &stream);
        if fast.is_ok() {
            prop_assert!(slow.is_ok(), "the fast path accepts nothing that the full reader refuses");
        }
    }

    #[test]
    fn length_of_a_number_is_what_is_written(value: u64) {
        let mut out = Vec::new();
        put_uint(&mut out, value);
        prop_assert_eq!(out.len(), uint_len(value));
        prop_assert_eq!(Reader(&out).uint().unwrap(), value);
    }
}
