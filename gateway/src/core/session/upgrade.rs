//! The HTTP side of a connection: the upgrade request and its refusals (spec: gateway.md 1).

use super::params::{self, Params};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ringwire_protocol::error::ApiError;
use tungstenite::handshake::derive_accept_key;

/// Largest request head, bytes.
pub(super) const MAX_HEAD: usize = 16 << 10;

/// Most characters kept of `X-Forwarded-For`.
const MAX_FORWARDED: usize = 128;

const MAX_HEADERS: usize = 100;

/// Longest `errDlt` of a refused connect, bytes: SDKs read at most 1,024 bytes of the whole body.
const MAX_DETAIL: usize = 200;

/// A refusal in plain HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HttpRefusal {
    status: &'static str,
    reason: &'static str,
    extra: &'static str,
}

impl HttpRefusal {
    const fn bad(reason: &'static str) -> Self {
        Self {
            status: "400 Bad Request",
            reason,
            extra: "",
        }
    }

    /// The whole HTTP reply; the connection closes after it.
    pub(super) fn reply(self) -> Bytes {
        let Self {
            status,
            reason,
            extra,
        } = self;
        let length = reason.len() + 1;
        Bytes::from(format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n{extra}Content-Length: {length}\r\nConnection: close\r\n\r\n{reason}\n"
        ))
    }
}

/// A parsed request head.
#[derive(Debug)]
pub(super) struct Upgrade {
    /// Bytes of the head; WebSocket frames may follow.
    pub(super) head_len: usize,
    /// The parameters, or why the client is refused.
    pub(super) params: Result<Params, ApiError>,
    /// The client sees an outcome only in a text frame, as far as the raw query tells.
    pub(super) wants_frame: bool,
    /// The header `X-Forwarded-For`, for logs.
    pub(super) forwarded: Option<Box<str>>,
    /// `Sec-WebSocket-Accept`, or why this is no WebSocket handshake.
    pub(super) accept: Result<String, HttpRefusal>,
}

/// Reads a request head from the bytes received so far. `None`: it is not complete.
///
/// # Errors
/// [`HttpRefusal`] when it never can be.
pub(super) fn parse(received: &[u8]) -> Result<Option<Upgrade>, HttpRefusal> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let head_len = match request.parse(&received[..received.len().min(MAX_HEAD)]) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if received.len() < MAX_HEAD => return Ok(None),
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Err(HttpRefusal {
                status: "431 Request Header Fields Too Large",
                reason: "request head is too large",
                extra: "",
            });
        }
        Err(_) => return Err(HttpRefusal::bad("malformed HTTP request")),
    };
    let query = request
        .path
        .and_then(|path| path.split_once('?'))
        .map_or("", |(_, query)| query);
    let compression = header(&request, "compression").next();
    Ok(Some(Upgrade {
        head_len,
        params: params::parse(query, compression),
        wants_frame: params::asks_for_frame(query),
        forwarded: header(&request, "x-forwarded-for").next().map(shown),
        accept: handshake(&request),
    }))
}

/// A header as it goes to logs: not long, and on one line.
fn shown(value: &str) -> Box<str> {
    let plain = value.chars().filter(|c| !c.is_control());
    plain.take(MAX_FORWARDED).collect::<String>().into()
}

fn header<'a>(
    request: &'a httparse::Request<'_, '_>,
    name: &'a str,
) -> impl Iterator<Item = &'a str> {
    request
        .headers
        .iter()
        .filter(move |h| h.name.eq_ignore_ascii_case(name))
        .filter_map(|h| std::str::from_utf8(h.value).ok())
        .map(str::trim)
}

fn handshake(request: &httparse::Request<'_, '_>) -> Result<String, HttpRefusal> {
    let lists = |name, wanted: &str| {
        header(request, name)
            .flat_map(|v| v.split(','))
            .any(|token| token.trim().eq_ignore_ascii_case(wanted))
    };
    if !lists("connection", "upgrade") {
        return Err(HttpRefusal::bad(
            "not a WebSocket handshake: no 'upgrade' in the Connection header",
        ));
    }
    if !lists("upgrade", "websocket") {
        return Err(HttpRefusal::bad(
            "not a WebSocket handshake: no 'websocket' in the Upgrade header",
        ));
    }
    if request.method != Some("GET") {
        return Err(HttpRefusal {
            status: "405 Method Not Allowed",
            reason: "a WebSocket handshake is a GET",
            extra: "Allow: GET\r\n",
        });
    }
    if request.version != Some(1) {
        return Err(HttpRefusal::bad("a WebSocket handshake needs HTTP/1.1"));
    }
    if header(request, "sec-websocket-version").next() != Some("13") {
        return Err(HttpRefusal {
            status: "400 Bad Request",
            reason: "only WebSocket version 13 is spoken here",
            extra: "Sec-WebSocket-Version: 13\r\n",
        });
    }
    let key = header(request, "sec-websocket-key")
        .next()
        .unwrap_or_default();
    if STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16) {
        Ok(derive_accept_key(key.as_bytes()))
    } else {
        Err(HttpRefusal::bad(
            "Sec-WebSocket-Key is not 16 bytes in base64",
        ))
    }
}

/// The reply that switches to WebSocket.
pub(super) fn switching(accept: &str) -> Bytes {
    Bytes::from(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    ))
}

/// The outcome of a connect as JSON, at most 1,024 bytes. `None` is success.
pub(super) fn outcome_json(error: Option<&ApiError>) -> Vec<u8> {
    let cut = |text: &str| {
        let end = (0..=text.len().min(MAX_DETAIL))
            .rev()
            .find(|i| text.is_char_boundary(*i))
            .unwrap_or(0);
        // Control characters would grow sixfold in JSON.
        text[..end].replace(char::is_control, " ")
    };
    let (code, message, detail) = match error {
        None => (0, String::new(), String::new()),
        Some(error) => (error.code, cut(&error.message), cut(&error.detail)),
    };
    let text = |s: String| serde_json::Value::String(s).to_string();
    format!(
        r#"{{"errCode":{code},"errMsg":{},"errDlt":{}}}"#,
        text(message),
        text(detail)
    )
    .into_bytes()
}

/// The HTTP reply to a refused connect: status 200, so that SDKs read the code from the body.
pub(super) fn refused(error: &ApiError) -> Bytes {
    let body = outcome_json(Some(error));
    let mut reply = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    reply.extend_from_slice(&body);
    Bytes::from(reply)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ringwire_protocol::error::ErrorCode;

    const REQUEST: &str = "GET /any?sendID=u&token=t&platformID=5&operationID=o HTTP/1.1\r\nHost: x\r\n\
        Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    fn status(request: &str) -> String {
        let upgrade = parse(request.as_bytes())
            .expect("parses")
            .expect("complete");
        let reply = upgrade.accept.expect_err("refused").reply();
        String::from_utf8_lossy(&reply)
            .split("\r\n")
            .next()
            .unwrap_or_default()
            .to_owned()
    }

    #[test]
    fn a_request_is_complete_only_with_its_last_byte() {
        for cut in 0..REQUEST.len() {
            assert!(
                parse(&REQUEST.as_bytes()[..cut])
                    .expect("not wrong yet")
                    .is_none()
            );
        }
        let upgrade = parse([REQUEST, "frames"].concat().as_bytes())
            .expect("parses")
            .expect("complete");
        assert_eq!(upgrade.head_len, REQUEST.len());
        assert_eq!(upgrade.params.expect("good").user_id, "u");
        assert_eq!(
            upgrade.accept.expect("good"),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn what_a_proxy_says_is_kept_for_logs() {
        let forwarded = |value: &str| {
            let line = format!("Host: x\r\nX-Forwarded-For: {value}\r\n");
            let request = REQUEST.replace("Host: x\r\n", &line);
            let upgrade = parse(request.as_bytes())
                .expect("parses")
                .expect("complete");
            upgrade.forwarded.expect("there")
        };
        assert_eq!(&*forwarded("10.1.2.3, 10.0.0.1"), "10.1.2.3, 10.0.0.1");
        assert_eq!(&*forwarded("a\tb"), "ab");
        assert_eq!(forwarded(&"9".repeat(1_000)).len(), MAX_FORWARDED);
        let upgrade = parse(REQUEST.as_bytes())
            .expect("parses")
            .expect("complete");
        assert_eq!(upgrade.forwarded, None);
    }

    #[test]
    fn malformed_handshakes_have_http_errors() {
        assert!(status(&REQUEST.replace("keep-alive, Upgrade", "close")).contains("400"));
        assert!(status(&REQUEST.replace("WebSocket\r", "h2c\r")).contains("400"));
        assert!(status(&REQUEST.replace(": 13", ": 8")).contains("400"));
        assert!(status(&REQUEST.replace("dGhl", "")).contains("400"));
        assert!(status(&REQUEST.replace("HTTP/1.1", "HTTP/1.0")).contains("400"));
        assert!(status(&REQUEST.replace("GET", "POST")).contains("405"));
        assert!(
            parse(b"\x16\x03\x01\x02\x00\x01\x00").is_err(),
            "TLS on the plain port"
        );
        assert!(parse(&[b'G'; MAX_HEAD]).is_err(), "endless head");
    }

    #[test]
    fn a_refusal_fits_into_what_the_sdk_reads() {
        let error = ApiError::new(ErrorCode::TokenUnknown, "\u{1}\"é".repeat(10_000));
        let body = outcome_json(Some(&error));
        assert!(body.len() <= 1024);
        let json: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(json["errCode"], 1505);
        let reply = refused(&error);
        let text = String::from_utf8_lossy(&reply);
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"));
        assert!(text.contains(&format!("Content-Length: {}\r\n", body.len())));
        assert_eq!(
            outcome_json(None),
            br#"{"errCode":0,"errMsg":"","errDlt":""}"#
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300), prefix: bool) {
            let bytes = if prefix { [b"GET /?".as_slice(), &bytes, b" HTTP/1.1\r\n\r\n"].concat() } else { bytes };
            let _ = parse(&bytes);
        }
    }
}
