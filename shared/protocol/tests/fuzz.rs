//! Every decoder of this library with damaged input: a value or an error, never a panic, never more memory than
//! allowed, and a value that is read is written back as the same value.

mod mutate;

use bytes::Bytes;
use mutate::{cases, damaged};
use proptest::prelude::*;
use ringwire_protocol::envelope::{
    Encoding, Request, Response, decode_request, decode_response, encode_request, encode_response,
};
use ringwire_protocol::gzip::{Deflater, Inflater, store};
use ringwire_protocol::json;
use ringwire_protocol::pb;
use ringwire_protocol::token::{Claims, sign, verify};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn requests(encoding: Encoding) -> Vec<Vec<u8>> {
    let request = Request {
        req_identifier: 1003,
        token: String::new(),
        send_id: "user-1".into(),
        operation_id: "op".into(),
        msg_incr: "user-1_42".into(),
        data: Bytes::from(vec![7; 140]),
    };
    let empty = Request {
        data: Bytes::new(),
        req_identifier: i32::MIN,
        token: "token".into(),
        ..request.clone()
    };
    [request, empty]
        .map(|r| written(|out| encode_request(encoding, &r, out)))
        .into()
}

fn responses(encoding: Encoding) -> Vec<Vec<u8>> {
    let response = Response {
        req_identifier: 1003,
        msg_incr: "user-1_42".into(),
        operation_id: "op".into(),
        err_code: 1001,
        err_msg: "ArgsError".into(),
        data: Bytes::from(vec![7; 300]),
    };
    vec![written(|out| encode_response(encoding, &response, out))]
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

fn checked_request(encoding: Encoding, input: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(request) = decode_request(encoding, input) {
        let again = written(|out| encode_request(encoding, &request, out));
        prop_assert_eq!(decode_request(encoding, &again).ok(), Some(request));
    }
    Ok(())
}

fn checked_response(encoding: Encoding, input: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(response) = decode_response(encoding, input) {
        let again = written(|out| encode_response(encoding, &response, out));
        prop_assert_eq!(decode_response(encoding, &again).ok(), Some(response));
    }
    Ok(())
}

fn checked_json<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
    input: &[u8],
) -> Result<(), TestCaseError> {
    if let Ok(value) = json::from_slice::<T>(input) {
        let again = json::to_vec(&value).expect("what was read can be written");
        prop_assert_eq!(json::from_slice::<T>(&again).ok(), Some(value));
    }
    Ok(())
}

fn message() -> pb::sdkws::MsgData {
    pb::sdkws::MsgData {
        send_id: "a".into(),
        recv_id: "b".into(),
        content: b"{\"content\":\"x\"}".to_vec().into(),
        seq: i64::MAX,
        options: [
            ("history".to_owned(), true),
            ("unreadCount".to_owned(), false),
        ]
        .into(),
        offline_push_info: Some(pb::sdkws::OfflinePushInfo::default()),
        at_user_id_list: vec!["c".into(), "d".into()],
        ..Default::default()
    }
}

const SECRET: &[u8] = b"q8mT4zLw0Yc2Vn7p";

fn token() -> (Claims, String) {
    let claims = Claims::new("user-1", 5, 1_800_000_000, 90);
    let token = sign(&claims, SECRET);
    (claims, token)
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn gob_requests(input in damaged(requests(Encoding::Gob))) {
        checked_request(Encoding::Gob, &input)?;
    }

    #[test]
    fn gob_responses(input in damaged(responses(Encoding::Gob))) {
        checked_response(Encoding::Gob, &input)?;
    }

    #[test]
    fn json_requests(input in damaged(requests(Encoding::Json))) {
        checked_request(Encoding::Json, &input)?;
    }

    #[test]
    fn json_responses(input in damaged(responses(Encoding::Json))) {
        checked_response(Encoding::Json, &input)?;
    }

    #[test]
    fn json_messages(input in damaged(vec![json::to_vec(&message()).expect("writes")])) {
        checked_json::<pb::sdkws::MsgData>(&input)?;
        checked_json::<pb::user::UserRegisterReq>(&input)?;
        checked_json::<pb::sdkws::PullMessageBySeqsResp>(&input)?;
    }

    #[test]
    fn gzip_stays_within_its_limit(
        input in damaged(vec![
            written(|out| Deflater::new().deflate(&[b'x'; 5_000], out)),
            written(|out| Deflater::new().deflate(b"short", out)),
            written(|out| store(&[9; 700], out)),
        ]),
        limit in 0usize..6_000,
    ) {
        let mut out = Vec::new();
        let result = Inflater::new().inflate(&input, limit, &mut out);
        prop_assert!(out.len() <= limit);
        prop_assert!(out.capacity() <= 2 * limit + 64, "{} bytes held", out.capacity());
        prop_assert!(result.is_ok() || out.is_empty());
    }

    #[test]
    fn a_damaged_token_is_refused_or_means_the_same(input in damaged(vec![token().1.into_bytes()])) {
        if let Ok(text) = std::str::from_utf8(&input)
            && let Ok(claims) = verify(text, SECRET, 1_800_000_100)
        {
            prop_assert_eq!(claims, token().0);
        }
    }
}
