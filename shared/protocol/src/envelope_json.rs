//! The JSON form of the envelopes (spec: gateway.md 2.1).

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::envelope::{EnvelopeError, Request, Response};
use crate::json_text::{Blob, Int, Text, append_string, base64_append, match_key};
use crate::req;

const REQUEST_KEYS: [&str; 6] = [
    "reqIdentifier",
    "token",
    "sendID",
    "operationID",
    "msgIncr",
    "data",
];
const RESPONSE_KEYS: [&str; 6] = [
    "reqIdentifier",
    "msgIncr",
    "operationID",
    "errCode",
    "errMsg",
    "data",
];

/// An envelope that is read key by key.
trait Keyed: Default {
    const KEYS: [&'static str; 6];
    /// Reads the value of the key with this index.
    fn read<'de, A: MapAccess<'de>>(&mut self, key: usize, map: &mut A) -> Result<(), A::Error>;
}

impl Keyed for Request {
    const KEYS: [&'static str; 6] = REQUEST_KEYS;
    fn read<'de, A: MapAccess<'de>>(&mut self, key: usize, map: &mut A) -> Result<(), A::Error> {
        match key {
            0 => self.req_identifier = map.next_value::<Int<i32>>()?.0,
            1 => self.token = map.next_value::<Text>()?.0,
            2 => self.send_id = map.next_value::<Text>()?.0,
            3 => self.operation_id = map.next_value::<Text>()?.0,
            4 => self.msg_incr = map.next_value::<Text>()?.0,
            _ => self.data = Bytes::from(map.next_value::<Blob>()?.0),
        }
        Ok(())
    }
}

impl Keyed for Response {
    const KEYS: [&'static str; 6] = RESPONSE_KEYS;
    fn read<'de, A: MapAccess<'de>>(&mut self, key: usize, map: &mut A) -> Result<(), A::Error> {
        match key {
            0 => self.req_identifier = map.next_value::<Int<i32>>()?.0,
            1 => self.msg_incr = map.next_value::<Text>()?.0,
            2 => self.operation_id = map.next_value::<Text>()?.0,
            3 => self.err_code = map.next_value::<Int<i32>>()?.0,
            4 => self.err_msg = map.next_value::<Text>()?.0,
            _ => self.data = Bytes::from(map.next_value::<Blob>()?.0),
        }
        Ok(())
    }
}

struct Envelope<T>(T);

impl<'de, T: Keyed> Deserialize<'de> for Envelope<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V<T>(std::marker::PhantomData<T>);
        impl<'de, T: Keyed> Visitor<'de> for V<T> {
            type Value = Envelope<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_unit<E: Error>(self) -> Result<Envelope<T>, E> {
                Ok(Envelope(T::default()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope<T>, A::Error> {
                let mut value = T::default();
                while let Some(Text(key)) = map.next_key()? {
                    match match_key(&T::KEYS, &key) {
                        Some(index) => value.read(index, &mut map)?,
                        None => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(Envelope(value))
            }
        }
        deserializer.deserialize_any(V(std::marker::PhantomData))
    }
}

fn decode<T: Keyed>(frame: &[u8]) -> Result<T, EnvelopeError> {
    match serde_json::from_slice::<Envelope<T>>(frame) {
        Ok(Envelope(value)) => Ok(value),
        Err(e) => Err(EnvelopeError::Json {
            line: e.line(),
            column: e.column(),
        }),
    }
}

pub(crate) fn decode_request(frame: &[u8]) -> Result<Request, EnvelopeError> {
    decode(frame)
}

pub(crate) fn decode_response(frame: &[u8]) -> Result<Response, EnvelopeError> {
    decode(frame)
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    /// What comes before the next key: the opening brace, then commas.
    mark: u8,
    keys: std::slice::Iter<'a, &'static str>,
}

impl<'a> Writer<'a> {
    fn new(out: &'a mut Vec<u8>, keys: &'a [&'static str; 6]) -> Self {
        Self {
            out,
            mark: b'{',
            keys: keys.iter(),
        }
    }

    fn key(&mut self) {
        self.out.push(self.mark);
        self.mark = b',';
        if let Some(key) = self.keys.next() {
            self.out.push(b'"');
            self.out.extend_from_slice(key.as_bytes());
            self.out.extend_from_slice(b"\":");
        }
    }

    fn int(&mut self, value: i32) {
        self.key();
        self.out.extend_from_slice(value.to_string().as_bytes());
    }

    fn text(&mut self, value: &str) {
        self.key();
        append_string(value, self.out);
    }

    /// Bytes, or what stands for their absence.
    fn blob(&mut self, value: &[u8], absent: &str) {
        self.key();
        if value.is_empty() {
            self.out.extend_from_slice(absent.as_bytes());
            return;
        }
        self.out.push(b'"');
        base64_append(value, self.out);
        self.out.push(b'"');
    }
}

/// What stands for empty data in a reply. A reply message without any field set is an empty string
/// and only where there is no message at all it is `null`; a client may decode the one and choke on
/// the other.
fn absent_data(response: &Response) -> &'static str {
    let has_message = matches!(
        response.req_identifier,
        req::GET_MAX_SEQ..=req::GET_LAST_MESSAGE | req::LOGOUT | req::SUBSCRIBE_ONLINE
    );
    if has_message && response.err_code == 0 {
        "\"\""
    } else {
        "null"
    }
}

pub(crate) fn encode_request(request: &Request, out: &mut Vec<u8>) {
    let mut writer = Writer::new(out, &REQUEST_KEYS);
    writer.int(request.req_identifier);
    writer.text(&request.token);
    writer.text(&request.send_id);
    writer.text(&request.operation_id);
    writer.text(&request.msg_incr);
    writer.blob(&request.data, "null");
    writer.out.push(b'}');
}

pub(crate) fn encode_response(response: &Response, out: &mut Vec<u8>) {
    let mut writer = Writer::new(out, &RESPONSE_KEYS);
    writer.int(response.req_identifier);
    writer.text(&response.msg_incr);
    writer.text(&response.operation_id);
    writer.int(response.err_code);
    writer.text(&response.err_msg);
    writer.blob(&response.data, absent_data(response));
    writer.out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(text: &str) -> Option<Request> {
        decode_request(text.as_bytes()).ok()
    }

    #[test]
    fn a_reply_has_all_six_keys_in_order() {
        let mut out = Vec::new();
        encode_response(&Response::default(), &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"reqIdentifier":0,"msgIncr":"","operationID":"","errCode":0,"errMsg":"","data":null}"#
        );
        let full = Response {
            req_identifier: -1003,
            msg_incr: "a\"b".into(),
            operation_id: "<\n\u{2028}é\u{1}".into(),
            err_code: 1001,
            err_msg: "ArgsError".into(),
            data: Bytes::from_static(b"abcd"),
        };
        let mut out = Vec::new();
        encode_response(&full, &mut out);
        assert_eq!(
            String::from_utf8(out.clone()).unwrap(),
            "{\"reqIdentifier\":-1003,\"msgIncr\":\"a\\\"b\",\"operationID\":\"\\u003c\\n\\u2028é\\u0001\",\
             \"errCode\":1001,\"errMsg\":\"ArgsError\",\"data\":\"YWJjZA==\"}"
        );
        assert_eq!(decode_response(&out).unwrap(), full);
    }

    #[test]
    fn an_empty_message_is_told_from_none() {
        let data = |req_identifier, err_code| {
            let mut out = Vec::new();
            let reply = Response {
                req_identifier,
                err_code,
                ..Default::default()
            };
            encode_response(&reply, &mut out);
            let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
            value["data"].clone()
        };
        for id in [1001, 1002, 1005, 1006, 1007, 2003, 2005] {
            assert_eq!(data(id, 0), "", "{id}");
            assert!(data(id, 1001).is_null(), "{id}");
        }
        assert!(data(2002, 0).is_null() && data(2004, 0).is_null());
    }

    #[test]
    fn keys_match_in_any_case_and_the_last_one_wins() {
        let read = request(
            r#" {"REQIDENTIFIER":1,"reqIdentifier":1003,"x":[{"y":1}],"SendId":"u","sendID":null} "#,
        );
        let read = read.unwrap();
        assert_eq!((read.req_identifier, read.send_id.as_str()), (1003, ""));
        assert_eq!(request("null"), Some(Request::default()));
        assert_eq!(request("{}"), Some(Request::default()));
    }

    #[test]
    fn the_identifier_is_a_whole_number_only() {
        for bad in [
            "1001.0",
            "1e3",
            "\"1001\"",
            "2147483648",
            "true",
            "[1]",
            "{}",
        ] {
            assert_eq!(
                request(&format!("{{\"reqIdentifier\":{bad}}}")),
                None,
                "{bad}"
            );
        }
        assert_eq!(
            request(r#"{"reqIdentifier":-2147483648}"#)
                .unwrap()
                .req_identifier,
            i32::MIN
        );
    }

    #[test]
    fn data_is_padded_base64_or_numbers() {
        let good = [
            (r#""YWI=""#, &b"ab"[..]),
            (r#""YW\nI\r=""#, b"ab"),
            (r#""YWJ=""#, b"ab"),
            ("[97, 98]", b"ab"),
            ("null", b""),
            (r#""""#, b""),
        ];
        for (text, data) in good {
            assert_eq!(
                request(&format!("{{\"data\":{text}}}")).unwrap().data,
                data,
                "{text}"
            );
        }
        for bad in [
            r#""YWI""#,
            r#""YW I=""#,
            r#""YWI=x""#,
            r#""_-_-""#,
            "[256]",
            "[-1]",
            "[\"a\"]",
            "5",
            "{}",
        ] {
            assert_eq!(request(&format!("{{\"data\":{bad}}}")), None, "{bad}");
        }
    }

    #[test]
    fn trailing_text_and_other_values_are_refused() {
        for bad in [
            "{} x",
            "{}{}",
            "",
            "[]",
            "1",
            "\"\"",
            "{\"token\":1}",
            "{\"token\":[97]}",
        ] {
            assert_eq!(request(bad), None, "{bad}");
        }
        assert!(request(" {}\r\n\t ").is_some());
    }

    #[test]
    fn bad_text_is_replaced_not_refused() {
        let read = decode_request(
            b"{\"sendID\":\"a\xff\xfeb\",\"msgIncr\":\"\\ud83d!\",\"x\":\"\\ud83d\"}",
        )
        .unwrap();
        assert_eq!(read.send_id, "a\u{fffd}\u{fffd}b");
        assert_eq!(read.msg_incr, "\u{fffd}!");
    }

    proptest! {
        #[test]
        fn any_envelope_survives(id: i32, a: String, b: String, c: String, d: String, data: Vec<u8>) {
            let value = Request {
                req_identifier: id, token: a, send_id: b, operation_id: c, msg_incr: d, data: Bytes::from(data),
            };
            let mut out = Vec::new();
            encode_request(&value, &mut out);
            prop_assert_eq!(decode_request(&out).unwrap(), value.clone());
            let reply = Response {
                req_identifier: id, msg_incr: value.msg_incr, operation_id: value.operation_id,
                err_code: id, err_msg: value.token, data: value.data,
            };
            out.clear();
            encode_response(&reply, &mut out);
            prop_assert_eq!(decode_response(&out).unwrap(), reply);
        }

        #[test]
        fn any_bytes_are_answered(bytes: Vec<u8>) {
            let _ = decode_request(&bytes);
            let _ = decode_response(&bytes);
        }

        #[test]
        fn damaged_text_is_answered(at in 0usize..60, byte: u8) {
            let mut text = br#"{"reqIdentifier":1001,"data":"YWI=","sendID":"u\u00e9","x":[]}"#.to_vec();
            let at = at.min(text.len() - 1);
            text[at] = byte;
            let _ = decode_request(&text);
        }
    }
}
