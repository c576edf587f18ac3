//! What happens to every request before and after its handler (spec: api.md 1, 4).
//!
//! In order: gzip, log and metrics, CORS, trailing slash, `operationID`, token, rate limit, dispatch.
//! The rate limit stands behind CORS so that browsers can read the refusal, and behind the token so
//! that it can be counted by user.

use super::envelope::{Code, refuse, respond};
use super::limit::Limiter;
use super::metrics::Metrics;
use super::route::{RawBody, Route, Who};
use super::{compress, table};
use crate::app::App;
use crate::domain::caller::Caller;
use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use bytes::BytesMut;
use futures_util::StreamExt;
use ringwire_protocol::error::{ApiError, ErrorCode};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument;

/// Bytes of a refused body that are still read, so that its sender comes to read the refusal.
const DRAINED: u64 = 64 << 20;

/// Time for that. The refusal must not wait for a sender that sends nothing.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// Clients give up after 10 s; an answer must come before.
const HANDLER_TIME: Duration = Duration::from_secs(9);

/// Body limit of the routes that anybody may call.
const OPEN_BODY: u64 = 64 << 10;

/// A body beyond this needs one of [`LARGE_BODIES`] permits, so that memory stays bounded.
const SMALL_BODY: usize = 1 << 20;

/// Characters of a path or an operationID that are logged.
const LOGGED: usize = 128;

/// Large bodies read at the same time.
const LARGE_BODIES: usize = 16;

/// The remote address of a request's connection, put there by the listener.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

struct Frame {
    app: Arc<App>,
    routes: HashMap<&'static str, Route>,
    limits: Option<Limits>,
    metrics: Arc<Metrics>,
    large_bodies: Arc<Semaphore>,
}

struct Limits {
    by_user: Limiter<String>,
    by_address: Limiter<IpAddr>,
}

/// The registered path of a reply, kept beside it for the log and the metrics.
#[derive(Debug, Clone, Copy)]
struct Path(&'static str);

/// The whole HTTP API. Requests must carry [`Peer`].
pub fn router(app: Arc<App>, metrics: Arc<Metrics>) -> Router {
    router_of(app, metrics, table::routes())
}

/// The same frame around other routes.
pub fn router_of(app: Arc<App>, metrics: Arc<Metrics>, routes: Vec<Route>) -> Router {
    let control = &app.config.control;
    let limits = (control.request_rate > 0).then(|| {
        let per = Duration::from_secs(1) / control.request_rate;
        Limits {
            by_user: Limiter::new(per, control.request_burst),
            by_address: Limiter::new(per, control.request_burst),
        }
    });
    let frame = Arc::new(Frame {
        routes: routes
            .into_iter()
            .map(|route| (route.path, route))
            .collect(),
        app,
        limits,
        metrics,
        large_bodies: Arc::new(Semaphore::new(LARGE_BODIES)),
    });
    // The last layer added is the first to see a request.
    Router::new()
        .fallback(dispatch)
        .with_state(frame.clone())
        .layer(from_fn_with_state(frame.clone(), admit))
        .layer(from_fn_with_state(frame.clone(), slash))
        .layer(from_fn(cors))
        .layer(from_fn_with_state(frame, observe))
        .layer(from_fn(compress::gzip))
}

/// Names the reply, counts it and logs one line: never a body, a token or a secret.
async fn observe(State(frame): State<Arc<Frame>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let id = http_id();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let operation = header_text(request.headers(), "operationid");
    let mut response = next.run(request).await;
    let took = start.elapsed();
    let code = response.extensions().get::<Code>().map_or(0, |code| code.0);
    let known = response
        .extensions()
        .get::<Path>()
        .map_or("other", |path| path.0);
    frame.metrics.answered(known, code, took);
    tracing::info!(
        target: "ringwire_control::api",
        %method, path = loggable(&path), operation = loggable(&operation), id, code,
        status = response.status().as_u16(),
        ms = took.as_millis() as u64,
        "request"
    );
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-http-id", value);
    }
    response
}

/// CORS headers on every reply, errors included; an OPTIONS request ends here, whatever its path.
async fn cors(request: Request, next: Next) -> Response {
    let mut response = if request.method() == Method::OPTIONS {
        let mut response = Response::new(Body::from("\"Options Request!\""));
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        response
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "*"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "*"),
        (header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "false"),
        (header::ACCESS_CONTROL_MAX_AGE, "172800"),
        (
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            "Content-Length, Access-Control-Allow-Origin, Access-Control-Allow-Headers,Cache-Control,\
             Content-Language,Content-Type,Expires,Last-Modified,Pragma,FooBar",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A surplus trailing slash leads to the registered path.
async fn slash(State(frame): State<Arc<Frame>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if request.method() == Method::POST
        && let Some(registered) = path.strip_suffix('/')
        && let Some(route) = frame.routes.get(registered)
    {
        let target = match request.uri().query() {
            Some(query) => format!("{}?{query}", route.path),
            None => route.path.to_owned(),
        };
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
        if let Ok(value) = HeaderValue::from_str(&target) {
            response.headers_mut().insert(header::LOCATION, value);
        }
        return response;
    }
    next.run(request).await
}

/// `operationID`, token and rate, checked on every POST before its path is looked at: an unknown
/// path without headers is answered with the envelope.
async fn admit(State(frame): State<Arc<Frame>>, mut request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let known = frame.routes.get(request.uri().path()).copied();
    let mut response = match frame.caller(&request, known) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => refuse(&error),
    };
    if let Some(route) = known {
        response.extensions_mut().insert(Path(route.path));
    }
    response
}

impl Frame {
    fn caller(&self, request: &Request, route: Option<Route>) -> Result<Caller, ApiError> {
        let headers = request.headers();
        let operation_id = header_text(headers, "operationid");
        if operation_id.is_empty() {
            return Err(ApiError::args("header must have operationID"));
        }
        let address = client_address(request);
        let mut caller = Caller {
            user_id: String::new(),
            platform_id: 0,
            admin: false,
            operation_id,
            address,
        };
        if route.is_some_and(|r| r.who == Who::Open) {
            self.limit_address(address)?;
            return Ok(caller);
        }
        let token = header_text(headers, "token");
        if token.is_empty() {
            return Err(ApiError::args("header must have token"));
        }
        match self.app.tokens.check(&token) {
            Ok(holder) => {
                caller.admin = self.app.is_admin(&holder.user_id);
                caller.platform_id = holder.platform_id;
                caller.user_id = holder.user_id;
            }
            Err(error) => {
                // Counted by address, so that guessing is bounded too.
                self.limit_address(address)?;
                return Err(error);
            }
        }
        // An admin's token is a back-end that acts for everybody.
        if let Some(limits) = &self.limits
            && !caller.admin
            && !limits.by_user.take(caller.user_id.clone(), Instant::now())
        {
            return Err(too_many());
        }
        Ok(caller)
    }

    fn limit_address(&self, address: IpAddr) -> Result<(), ApiError> {
        match &self.limits {
            Some(limits) if !limits.by_address.take(address, Instant::now()) => Err(too_many()),
            _ => Ok(()),
        }
    }

    async fn body(
        &self,
        request: Request,
        limit: u64,
    ) -> Result<(RawBody, Option<OwnedSemaphorePermit>), ApiError> {
        let too_long = || ApiError::args(format!("request body is longer than {limit} bytes"));
        let content_type = header_text(request.headers(), "content-type");
        let announced = header_text(request.headers(), "content-length")
            .parse::<u64>()
            .unwrap_or(0);
        let mut stream = request.into_body().into_data_stream();
        if announced > limit {
            drain(&mut stream, announced).await;
            return Err(too_long());
        }
        let mut bytes = BytesMut::new();
        let mut permit = None;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|_| ApiError::args("read http request body failed"))?;
            if (bytes.len() + chunk.len()) as u64 > limit {
                drain(&mut stream, DRAINED).await;
                return Err(too_long());
            }
            if bytes.len() + chunk.len() > SMALL_BODY && permit.is_none() {
                permit = self.large_bodies.clone().acquire_owned().await.ok();
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok((
            RawBody {
                bytes: bytes.freeze(),
                content_type,
            },
            permit,
        ))
    }
}

/// Throws away what is left of a refused body. A client that is still writing when the connection
/// closes sees a reset instead of the refusal; one that announces more than [`DRAINED`] may.
async fn drain(stream: &mut BodyDataStream, left: u64) {
    if left > DRAINED {
        return;
    }
    let all = async {
        let mut seen = 0;
        while let Some(Ok(chunk)) = stream.next().await {
            seen += chunk.len() as u64;
            if seen > DRAINED {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(DRAIN_TIME, all).await;
}

async fn dispatch(State(frame): State<Arc<Frame>>, mut request: Request) -> Response {
    let route = frame.routes.get(request.uri().path()).copied();
    let (Some(route), Some(caller)) = (route, request.extensions_mut().remove::<Caller>()) else {
        return not_found();
    };
    let control = &frame.app.config.control;
    let limit = if route.who == Who::Open {
        OPEN_BODY.min(control.max_body_bytes)
    } else {
        control.max_body_bytes
    };
    let read_time = Duration::from_millis(control.read_timeout_ms);
    let (body, permit) = match tokio::time::timeout(read_time, frame.body(request, limit)).await {
        Ok(Ok(body)) => body,
        Ok(Err(error)) => return refuse(&error),
        Err(_) => return refuse(&ApiError::args("read http request body failed: too slow")),
    };
    // A task of its own: when the client goes away half-way, what was begun (a commit, then the word
    // to the gateways) is still finished; and a panic ends here.
    let span = tracing::info_span!(
        "call",
        path = route.path,
        operation = loggable(&caller.operation_id)
    );
    let call = (route.call)(frame.app.clone(), caller, body);
    let task = tokio::spawn(
        async move {
            let answer = call.await;
            drop(permit);
            answer
        }
        .instrument(span),
    );
    match tokio::time::timeout(HANDLER_TIME, task).await {
        Ok(Ok(answer)) => respond(answer),
        Ok(Err(_)) => refuse(&ApiError::internal("panic error")),
        Err(_) => refuse(&ApiError::internal("the call took too long")),
    }
}

fn not_found() -> Response {
    let mut response = Response::new(Body::from("404 page not found"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

fn too_many() -> ApiError {
    ApiError::new(ErrorCode::TooManyRequests, "")
}

fn header_text(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map_or_else(String::new, |value| {
        String::from_utf8_lossy(value.as_bytes()).into_owned()
    })
}

/// What a client chose, as it goes into the log: short, and nothing that a terminal acts on.
fn loggable(text: &str) -> String {
    let plain = |c: char| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    text.chars().take(LOGGED).map(plain).collect()
}

/// The peer's address; behind a proxy on this host, what that proxy says (it appends the last entry).
fn client_address(request: &Request) -> IpAddr {
    let peer = request
        .extensions()
        .get::<Peer>()
        .map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0.ip());
    if !peer.is_loopback() {
        return peer;
    }
    let forwarded = header_text(request.headers(), "x-forwarded-for");
    forwarded
        .rsplit(',')
        .next()
        .and_then(|entry| entry.trim().parse().ok())
        .unwrap_or(peer)
}

/// A random UUID, version 4.
fn http_id() -> String {
    let mut b = [0u8; 16];
    // The id only helps to find a log line: without randomness it is all zeros but its marks.
    let _ = getrandom::fill(&mut b);
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    let h = u128::from_be_bytes(b);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        (h >> 96) as u32,
        (h >> 80) as u16,
        (h >> 64) as u16,
        (h >> 48) as u16,
        h & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_http_id_is_a_version_4_uuid() {
        let id = http_id();
        let parts: Vec<&str> = id.split('-').collect();
        assert_eq!(
            parts.iter().map(|p| p.len()).collect::<Vec<_>>(),
            [8, 4, 4, 4, 12]
        );
        assert!(parts[2].starts_with('4') && "89ab".contains(&parts[3][..1]));
        assert_ne!(id, http_id());
    }

    #[test]
    fn what_clients_choose_is_logged_short_and_plain() {
        assert_eq!(loggable("op-1"), "op-1");
        assert_eq!(loggable("a\u{9b}2J\tb"), "a\u{fffd}2J\u{fffd}b");
        assert_eq!(loggable(&"ü".repeat(60_000)).chars().count(), LOGGED);
    }

    #[test]
    fn only_a_proxy_on_this_host_is_believed() {
        let address = |peer: &str, forwarded: &str| {
            let mut request = Request::new(Body::empty());
            request.extensions_mut().insert(Peer(peer.parse().unwrap()));
            request
                .headers_mut()
                .insert("x-forwarded-for", HeaderValue::from_str(forwarded).unwrap());
            client_address(&request).to_string()
        };
        assert_eq!(address("127.0.0.1:1", "6.6.6.6, 1.2.3.4"), "1.2.3.4");
        assert_eq!(address("127.0.0.1:1", "nonsense"), "127.0.0.1");
        assert_eq!(address("9.9.9.9:1", "1.2.3.4"), "9.9.9.9");
    }
}
