//! Frames of a session: control frames, heartbeats, requests (spec: gateway.md 2 to 4).

use super::codec::BadRequest;
use super::conn::{ConnKey, Current, ReplyHead, Waiting};
use super::home::{End, Home};
use crate::core::event::{Action, ConnId, Now};
use crate::core::out::Out;
use crate::core::ws::{self, CloseCode, Incoming};
use bytes::Bytes;
use ringwire_protocol::envelope::Response;
use ringwire_protocol::error::ApiError;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Bytes of requests that may wait behind the one in progress before the session is no longer read.
const MAX_WAITING_BYTES: usize = 128 << 10;

/// Time a session with the token of a newer one has to show that it lives, milliseconds.
const PROBE_MS: u64 = 5_000;

/// The only text a client may send.
#[derive(Deserialize)]
struct Heartbeat<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
}

impl Home {
    /// Bytes of an open session.
    pub(super) fn frames(&mut self, key: ConnKey, now: Now, bytes: &[u8], out: &mut Out) {
        let mut input = bytes;
        while let Some(session) = self.session(key) {
            match session.decoder.next(&mut input) {
                Ok(None) => return,
                Ok(Some(incoming)) => self.incoming(key, now, incoming, out),
                Err(violation) => {
                    self.stats.bad_input += 1;
                    self.end(key, End::Close(violation.code, violation.reason), out);
                }
            }
        }
    }

    fn incoming(&mut self, key: ConnKey, now: Now, incoming: Incoming, out: &mut Out) {
        let Some(session) = self.session(key) else {
            return;
        };
        if !matches!(incoming, Incoming::Close(_)) {
            session.last_heard = now.mono_ms;
            session.probed_until = None;
            for older in std::mem::take(&mut session.supersedes) {
                self.probe(older, now, out);
            }
        }
        match incoming {
            // At once, also while a request is in progress or between fragments.
            Incoming::Ping(payload) => self.enqueue(key, ws::pong(&payload), out),
            Incoming::Pong => {}
            Incoming::Close(code) => self.end(key, End::Echo(code), out),
            Incoming::Text(text) => self.heartbeat(key, &text, out),
            Incoming::Binary(message) => self.request(key, now, message, out),
        }
    }

    /// A session with the same token as a newer one: most likely what a client left behind that lost
    /// its connection, so it must show now that it lives. A second tab of a browser will.
    fn probe(&mut self, conn: ConnId, now: Now, out: &mut Out) {
        let Some(key) = self.open(conn) else { return };
        if let Some(session) = self.session(key).filter(|session| !session.paused) {
            session.probed_until = Some(now.mono_ms + PROBE_MS);
            self.enqueue(key, ws::ping(), out);
            self.arm(key, now);
        }
    }

    fn heartbeat(&mut self, key: ConnKey, text: &[u8], out: &mut Out) {
        match serde_json::from_slice::<Heartbeat<'_>>(text) {
            Ok(Heartbeat { kind, body }) if kind == "ping" => {
                let body = body.map_or("null", RawValue::get);
                let pong = format!(r#"{{"type":"pong","body":{body}}}"#);
                self.enqueue(key, ws::text(pong.as_bytes()), out);
            }
            Ok(Heartbeat { kind, .. }) if kind == "pong" => {}
            Ok(_) => self.bad_input(key, CloseCode::Policy, "unknown text message", out),
            Err(_) => self.bad_input(
                key,
                CloseCode::Invalid,
                "text message is not a heartbeat",
                out,
            ),
        }
    }

    pub(super) fn bad_input(
        &mut self,
        key: ConnKey,
        code: CloseCode,
        reason: &'static str,
        out: &mut Out,
    ) {
        self.stats.bad_input += 1;
        self.end(key, End::Close(code, reason), out);
    }

    /// A request: begun at once, or kept until the one in progress is answered.
    fn request(&mut self, key: ConnKey, now: Now, message: Bytes, out: &mut Out) {
        let most = self.config.limits.session_pipeline as usize;
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        let id = conn.id;
        let Some(session) = conn.session_mut() else {
            return;
        };
        if session.current.is_none() && session.waiting.is_empty() {
            self.begin(key, now, &message, out);
            return;
        }
        session.waiting_bytes += message.len();
        session.waiting.push_back(message);
        let full = session.waiting.len() >= most || session.waiting_bytes >= MAX_WAITING_BYTES;
        if full && !session.paused {
            session.paused = true;
            out.act(Action::PauseReading { conn: id });
        }
    }

    /// Begins requests that wait until one stays in progress.
    pub(super) fn pump(&mut self, key: ConnKey, now: Now, out: &mut Out) {
        let most = self.config.limits.session_pipeline as usize;
        while let Some(session) = self.session(key) {
            if session.current.is_some() {
                break;
            }
            let Some(message) = session.waiting.pop_front() else {
                break;
            };
            session.waiting_bytes -= message.len();
            if session.waiting.is_empty() {
                session.waiting.shrink_to(0);
            }
            self.begin(key, now, &message, out);
        }
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        let id = conn.id;
        if let Some(session) = conn.session_mut()
            && session.paused
            && session.waiting.len() <= most / 2
            && session.waiting_bytes <= MAX_WAITING_BYTES / 2
        {
            session.paused = false;
            session.last_heard = now.mono_ms;
            out.act(Action::ResumeReading { conn: id });
        }
    }

    fn begin(&mut self, key: ConnKey, now: Now, message: &[u8], out: &mut Out) {
        let Some(session) = self.conns.get_mut(key).and_then(|c| c.session_mut()) else {
            return;
        };
        let request = match self.codec.request(session.encoding, session.gzip, message) {
            Ok(request) => request,
            Err(BadRequest::TooLarge) => {
                self.bad_input(
                    key,
                    CloseCode::Size,
                    "request is too big when inflated",
                    out,
                );
                return;
            }
            Err(error) => {
                tracing::debug!(user = %session.user, %error, "request does not decode");
                self.bad_input(key, CloseCode::Invalid, "request does not decode", out);
                return;
            }
        };
        if request.send_id != *session.user {
            self.bad_input(
                key,
                CloseCode::Policy,
                "sendID is not the session's user",
                out,
            );
            return;
        }
        session.requests += 1;
        self.stats.requests += 1;
        self.dispatch(key, now, request, out);
    }

    /// The request stays in progress until something comes.
    pub(super) fn await_outcome(&mut self, key: ConnKey, now: Now, head: ReplyHead, what: Waiting) {
        let timeout = self.config.limits.call_timeout_ms;
        let Some(session) = self.session(key) else {
            return;
        };
        let deadline = match what {
            Waiting::Control { .. } | Waiting::Groups { .. } => Some(now.mono_ms + timeout),
            // The owner core and the cores asked for presence always answer.
            Waiting::Owner | Waiting::Online { .. } => None,
        };
        session.current = Some(Box::new(Current {
            number: session.requests,
            head,
            what,
            deadline,
        }));
        if deadline.is_some() {
            self.arm(key, now);
        }
    }

    /// Answers the request in progress and goes on with the next.
    pub(super) fn finish(
        &mut self,
        key: ConnKey,
        now: Now,
        result: Result<Bytes, ApiError>,
        out: &mut Out,
    ) {
        let Some(current) = self.session(key).and_then(|s| s.current.take()) else {
            return;
        };
        self.forget_request(&current);
        let logout = current.head.id == ringwire_protocol::req::LOGOUT;
        self.reply(key, current.head, result, out);
        if logout {
            self.end(key, End::Close(CloseCode::Normal, "logged out"), out);
        }
        self.pump(key, now, out);
    }

    /// No answer to it is expected any more.
    pub(super) fn forget_request(&mut self, current: &Current) {
        if let Waiting::Control { correlation } = current.what {
            self.calls.remove(&correlation);
        }
    }

    /// Queues a reply.
    pub(super) fn reply(
        &mut self,
        key: ConnKey,
        head: ReplyHead,
        result: Result<Bytes, ApiError>,
        out: &mut Out,
    ) {
        let Some(session) = self.conns.get(key).and_then(|c| c.session()) else {
            return;
        };
        let (encoding, gzip) = (session.encoding, session.gzip);
        let mut response = Response {
            req_identifier: head.id,
            msg_incr: head.msg_incr,
            operation_id: head.operation_id,
            ..Response::default()
        };
        match result {
            Ok(data) => response.data = data,
            Err(error) => {
                tracing::debug!(user = %session.user, id = head.id, operation = response.operation_id, %error, "request refused");
                self.stats.request_errors += 1;
                response.err_code = error.code;
                response.err_msg = error.message.into_owned();
            }
        }
        let frame = self.codec.frame(encoding, gzip, &response).or_else(|| {
            // Clients read no frame above 1 MiB: they would reconnect and ask the same again. Cutting
            // the answer would make them believe that they have it all.
            tracing::warn!(user = %session.user, id = head.id, "reply is larger than clients read");
            self.stats.request_errors += 1;
            let error = ApiError::internal("reply is larger than 1 MiB");
            response.err_code = error.code;
            response.err_msg = "reply is larger than 1 MiB: ask for less".into();
            response.data = Bytes::new();
            self.codec.frame(encoding, gzip, &response)
        });
        if let Some(frame) = frame {
            self.enqueue(key, frame, out);
        }
    }
}
