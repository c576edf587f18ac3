//! What a client says about itself in the upgrade request (spec: gateway.md 1.1, 1.2).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ringwire_protocol::error::{ApiError, ErrorCode};
use serde_json::{Map, Value};

/// Connection parameters, checked for presence and form, the token not yet for truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Params {
    /// Whose session it is to be.
    pub(super) user_id: String,
    /// The token; never logged.
    pub(super) token: String,
    /// 1..=11.
    pub(super) platform_id: i32,
    /// Trace id of the connect.
    pub(super) operation_id: String,
    /// The app says that it is in background.
    pub(super) background: bool,
    /// gzip around every binary frame.
    pub(super) gzip: bool,
    /// JSON instead of gob.
    pub(super) json: bool,
    /// The outcome goes into a first text frame.
    pub(super) msg_resp: bool,
}

fn refuse(detail: impl Into<std::borrow::Cow<'static, str>>) -> ApiError {
    ApiError::new(ErrorCode::ConnArgs, detail)
}

/// Reads the query of an upgrade request. `header_compression` is the header `compression`.
///
/// # Errors
/// 1602 for what is missing or malformed, 500 for a malformed `isBackground` (as OpenIM does).
pub(super) fn parse(query: &str, header_compression: Option<&str>) -> Result<Params, ApiError> {
    match value(query, "v").filter(|v| !v.is_empty()) {
        Some(v) => form_b(&v),
        None => form_a(query, header_compression),
    }
}

/// Whether the raw query asks for the outcome in a text frame, read leniently: the parameters around
/// it may be unusable, and a browser can see no other answer.
pub(super) fn asks_for_frame(query: &str) -> bool {
    value(query, "isMsgResp")
        .and_then(|v| boolean(&v))
        .unwrap_or(false)
}

fn form_a(query: &str, header_compression: Option<&str>) -> Result<Params, ApiError> {
    let get = |name| value(query, name).unwrap_or_default();
    let platform_id = get("platformID")
        .parse::<i32>()
        .map_err(|_| refuse("platformID is not an integer"))?;
    let msg_resp = match get("isMsgResp").as_str() {
        "" => false,
        text => boolean(text).ok_or_else(|| refuse("isMsgResp is not a boolean"))?,
    };
    // OpenIM refuses a missing isBackground; taking it for false breaks no client.
    let background = match get("isBackground").as_str() {
        "" => false,
        text => boolean(text).ok_or_else(|| ApiError::internal("isBackground is not a boolean"))?,
    };
    let mut compression = get("compression");
    if compression.is_empty() {
        compression = header_compression.unwrap_or_default().to_owned();
    }
    check(Unchecked {
        user_id: get("sendID"),
        token: get("token"),
        platform_id,
        operation_id: get("operationID"),
        background,
        compression,
        sdk_type: get("sdkType"),
        msg_resp,
    })
}

fn form_b(encoded: &str) -> Result<Params, ApiError> {
    let packed: String = encoded
        .chars()
        .filter(|c| !matches!(c, '\r' | '\n'))
        .collect();
    let bytes = URL_SAFE_NO_PAD
        .decode(packed)
        .map_err(|_| refuse("v is not base64url"))?;
    let object = match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => object,
        Ok(Value::Null) => Map::new(),
        _ => return Err(refuse("v is not a JSON object")),
    };
    let text = |name| match field(&object, name) {
        None => Ok(String::new()),
        Some(Value::String(s)) => Ok(s.clone()),
        Some(_) => Err(refuse("v has a field of the wrong type")),
    };
    let flag = |name| match field(&object, name) {
        None => Ok(false),
        Some(Value::Bool(b)) => Ok(*b),
        Some(_) => Err(refuse("v has a field of the wrong type")),
    };
    let platform_id = match field(&object, "platformID") {
        None => 0,
        Some(Value::Number(n)) => n
            .as_i64()
            .and_then(|n| i32::try_from(n).ok())
            .ok_or_else(|| refuse("platformID is not an integer"))?,
        Some(_) => return Err(refuse("v has a field of the wrong type")),
    };
    check(Unchecked {
        user_id: text("userID")?,
        token: text("token")?,
        platform_id,
        operation_id: text("operationID")?,
        background: flag("background")?,
        compression: text("compression")?,
        sdk_type: text("sdkType")?,
        msg_resp: flag("sendResponse")?,
    })
}

/// A key of the object in any case; the last one wins, `null` counts as absent.
fn field<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object
        .iter()
        .rev()
        .find(|(key, value)| key.eq_ignore_ascii_case(name) && !value.is_null())
        .map(|(_, v)| v)
}

struct Unchecked {
    user_id: String,
    token: String,
    platform_id: i32,
    operation_id: String,
    background: bool,
    compression: String,
    sdk_type: String,
    msg_resp: bool,
}

fn check(raw: Unchecked) -> Result<Params, ApiError> {
    if raw.operation_id.is_empty() {
        return Err(refuse("operationID is empty"));
    }
    if raw.token.is_empty() {
        return Err(refuse("token is empty"));
    }
    if raw.user_id.is_empty() {
        return Err(refuse("sendID is empty"));
    }
    if !(1..=11).contains(&raw.platform_id) {
        return Err(refuse("platformID is not known"));
    }
    let json = match raw.sdk_type.as_str() {
        "" | "go" => false,
        "js" => true,
        _ => return Err(refuse("sdkType is not known")),
    };
    Ok(Params {
        user_id: raw.user_id,
        token: raw.token,
        platform_id: raw.platform_id,
        operation_id: raw.operation_id,
        background: raw.background,
        gzip: raw.compression == "gzip",
        json,
        msg_resp: raw.msg_resp,
    })
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// The first value of a query parameter, decoded. Pairs that cannot be decoded do not count.
fn value(query: &str, name: &str) -> Option<String> {
    query
        .split('&')
        .filter(|pair| !pair.contains(';'))
        .filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescape(key)? == name).then(|| unescape(value))
        })
        .flatten()
        .next()
}

fn unescape(text: &str) -> Option<String> {
    if !text.contains(['%', '+']) {
        return Some(text.to_owned());
    }
    let digit = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => digit(bytes.next()?)? << 4 | digit(bytes.next()?)?,
            other => other,
        });
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "sendID=u1&token=t.o.k&platformID=1&operationID=op&isBackground=false";

    fn code(query: &str) -> i32 {
        parse(query, None).expect_err("refused").code
    }

    #[test]
    fn a_native_query_is_read() {
        let params = parse(&format!("{GOOD}&compression=gzip&sdkVersion=v3"), None).expect("good");
        assert_eq!((params.user_id.as_str(), params.platform_id), ("u1", 1));
        assert!(params.gzip && !params.json && !params.msg_resp && !params.background);
    }

    #[test]
    fn the_header_switches_compression_only_when_the_query_is_silent() {
        assert!(parse(GOOD, Some("gzip")).expect("good").gzip);
        assert!(
            !parse(&format!("{GOOD}&compression=none"), Some("gzip"))
                .expect("good")
                .gzip
        );
        assert!(
            !parse(&format!("{GOOD}&compression=GZIP"), None)
                .expect("good")
                .gzip
        );
    }

    #[test]
    fn every_fault_has_its_code() {
        assert_eq!(code(""), 1602);
        for name in ["sendID=u1", "token=t.o.k", "operationID=op"] {
            assert_eq!(code(&GOOD.replace(name, "x=1")), 1602, "{name}");
        }
        for platform in ["0", "12", "x", ""] {
            assert_eq!(
                code(&GOOD.replace("platformID=1", &format!("platformID={platform}"))),
                1602
            );
        }
        assert_eq!(code(&format!("{GOOD}&sdkType=php")), 1602);
        assert_eq!(code(&format!("{GOOD}&isMsgResp=maybe")), 1602);
        assert_eq!(code(&GOOD.replace("=false", "=maybe")), 500);
        assert!(
            !parse(&GOOD.replace("isBackground=false", ""), None)
                .expect("missing is false")
                .background
        );
    }

    #[test]
    fn the_first_value_wins_and_escapes_are_decoded() {
        let params = parse(&format!("sendID=a%20b+c&{GOOD}"), None).expect("good");
        assert_eq!(params.user_id, "a b c");
        assert_eq!(
            parse(&format!("sendID=%zz&{GOOD}"), None)
                .expect("good")
                .user_id,
            "u1"
        );
    }

    fn v(json: &str) -> String {
        format!("v={}&sendID=ignored", URL_SAFE_NO_PAD.encode(json))
    }

    #[test]
    fn form_b_has_its_own_keys_in_any_case() {
        let json = r#"{"TOKEN":"t","userID":"u","platformID":5,"operationID":"o","sendResponse":true,"sdkType":"js","x":1,"background":null}"#;
        let params = parse(&v(json), Some("gzip")).expect("good");
        assert_eq!(params.user_id, "u");
        assert!(params.msg_resp && params.json && !params.gzip && !params.background);
    }

    #[test]
    fn form_b_faults_are_1602() {
        for bad in [
            v("[]"),
            v("{"),
            v(r#"{"platformID":"1"}"#),
            v(r#"{"platformID":1.5}"#),
            v("{}"),
            "v=a=".into(),
            "v=*".into(),
        ] {
            assert_eq!(code(&bad), 1602, "{bad}");
        }
    }

    #[test]
    fn a_wish_for_a_frame_is_seen_even_in_a_bad_query() {
        assert!(asks_for_frame("platformID=x&isMsgResp=true"));
        assert!(!asks_for_frame("platformID=x&isMsgResp=maybe"));
    }
}
