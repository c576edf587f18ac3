//! A client's side of the wire: the upgrade request, masked frames in random pieces, and reading what
//! the server sends.

use crate::oracle::Violation;
use crate::random::Random;
use ringwire_protocol::envelope::{self, Encoding, Request, Response};
use ringwire_protocol::gzip::{Deflater, Inflater, store};

/// What a client agreed on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialect {
    pub(crate) encoding: Encoding,
    pub(crate) gzip: bool,
    /// It asks for the outcome of the connect as a text frame.
    pub(crate) outcome_frame: bool,
}

/// The upgrade request.
pub(crate) fn upgrade(
    user: &str,
    token: &str,
    platform: i32,
    operation: &str,
    dialect: Dialect,
) -> Vec<u8> {
    let mut query = format!(
        "sendID={user}&token={token}&platformID={platform}&operationID={operation}&isBackground=false"
    );
    if dialect.gzip {
        query.push_str("&compression=gzip");
    }
    if dialect.encoding == Encoding::Json {
        query.push_str("&sdkType=js");
    }
    if dialect.outcome_frame {
        query.push_str("&isMsgResp=true");
    }
    format!(
        "GET /?{query} HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes()
}

fn frame(random: &mut Random, fin: bool, opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(opcode | if fin { 0x80 } else { 0 });
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    let mask = (random.next() as u32).to_le_bytes();
    out.extend_from_slice(&mask);
    out.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
}

/// A control ping.
pub(crate) fn ping(random: &mut Random, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame(random, true, 0x9, payload, &mut out);
    out
}

/// The answer to one.
pub(crate) fn pong(random: &mut Random, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame(random, true, 0xa, payload, &mut out);
    out
}

/// A request as one message, possibly in fragments with pings between them.
pub(crate) fn request(random: &mut Random, dialect: Dialect, request: &Request) -> Vec<u8> {
    let mut plain = Vec::new();
    envelope::encode_request(dialect.encoding, request, &mut plain);
    let mut payload = Vec::new();
    match (dialect.gzip, random.chance(500)) {
        (false, _) => payload = plain,
        (true, true) => store(&plain, &mut payload),
        (true, false) => Deflater::new().deflate(&plain, &mut payload),
    }
    let mut out = Vec::new();
    let mut opcode = 0x2;
    let mut rest = payload.as_slice();
    while random.chance(150) && !rest.is_empty() {
        let (piece, after) = rest.split_at(random.index(rest.len()));
        frame(random, false, opcode, piece, &mut out);
        if random.chance(300) {
            frame(random, true, 0x9, b"between", &mut out);
        }
        (opcode, rest) = (0, after);
    }
    frame(random, true, opcode, rest, &mut out);
    out
}

/// What the server said.
#[derive(Debug)]
pub(crate) enum Said {
    /// 101, or in a text frame.
    Welcome,
    /// The connect is refused with this code; 0 when it says none.
    Refused(i32),
    Envelope(Response),
    Ping(Vec<u8>),
    Pong,
    Close,
}

/// Reads the server's bytes.
#[derive(Default)]
pub(crate) struct Reader {
    buffer: Vec<u8>,
    upgraded: bool,
    expects_outcome: bool,
}

fn broken(what: impl std::fmt::Display) -> Violation {
    Violation::new("the wire", format!("{what}"))
}

impl Reader {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self {
            expects_outcome: dialect.outcome_frame,
            ..Self::default()
        }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole thing.
    pub(crate) fn next(&mut self, dialect: Dialect) -> Result<Option<Said>, Violation> {
        if !self.upgraded {
            return self.http();
        }
        let buffer = self.buffer.as_slice();
        let [first, second, rest @ ..] = buffer else {
            return Ok(None);
        };
        if second & 0x80 != 0 || first & 0x70 != 0 || first & 0x80 == 0 {
            return Err(broken(
                "a masked, reserved or fragmented frame from the server",
            ));
        }
        let (length, rest) = match (second & 0x7f, rest) {
            (126, [a, b, rest @ ..]) => (usize::from(u16::from_be_bytes([*a, *b])), rest),
            (127, rest) => match rest.split_first_chunk::<8>() {
                Some((length, rest)) => (u64::from_be_bytes(*length) as usize, rest),
                None => return Ok(None),
            },
            (126, _) => return Ok(None),
            (length, rest) => (usize::from(length), rest),
        };
        let Some(payload) = rest.get(..length) else {
            return Ok(None);
        };
        let said = match first & 0xf {
            0x1 if self.expects_outcome => {
                self.expects_outcome = false;
                outcome(payload)?
            }
            0x2 if self.expects_outcome => {
                return Err(broken("something ahead of the outcome frame"));
            }
            0x2 => Said::Envelope(response(dialect, payload)?),
            0x8 => Said::Close,
            0x9 => Said::Ping(payload.to_vec()),
            0xa => Said::Pong,
            opcode => {
                return Err(broken(format!(
                    "a frame with opcode {opcode} that was not asked for"
                )));
            }
        };
        let used = buffer.len() - rest.len() + length;
        self.buffer.drain(..used);
        Ok(Some(said))
    }

    fn http(&mut self) -> Result<Option<Said>, Violation> {
        let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        if head.starts_with("HTTP/1.1 101 ") {
            if !head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") {
                return Err(broken("wrong Sec-WebSocket-Accept"));
            }
            self.buffer.drain(..end + 4);
            self.upgraded = true;
            // With an outcome frame to come, that is what counts.
            return if self.expects_outcome {
                self.next(Dialect {
                    encoding: Encoding::Gob,
                    gzip: false,
                    outcome_frame: true,
                })
            } else {
                Ok(Some(Said::Welcome))
            };
        }
        let length = head
            .lines()
            .find_map(|l| l.strip_prefix("Content-Length: "))
            .and_then(|l| l.parse::<usize>().ok());
        let Some(length) = length else {
            return Err(broken("an HTTP reply without Content-Length"));
        };
        match self.buffer.get(end + 4..end + 4 + length) {
            None => Ok(None),
            Some(body) if head.starts_with("HTTP/1.1 200 ") => outcome(body).map(Some),
            Some(_) => Ok(Some(Said::Refused(0))),
        }
    }
}

fn outcome(body: &[u8]) -> Result<Said, Violation> {
    let json: serde_json::Value = serde_json::from_slice(body).map_err(broken)?;
    match json["errCode"].as_i64() {
        Some(0) => Ok(Said::Welcome),
        Some(code) => Ok(Said::Refused(code as i32)),
        None => Err(broken("an outcome without errCode")),
    }
}

fn response(dialect: Dialect, payload: &[u8]) -> Result<Response, Violation> {
    let mut inflated = Vec::new();
    let plain = if dialect.gzip {
        Inflater::new()
            .inflate(payload, 1 << 24, &mut inflated)
            .map_err(broken)?;
        &inflated
    } else {
        payload
    };
    envelope::decode_response(dialect.encoding, plain).map_err(broken)
}
