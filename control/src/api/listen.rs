//! The HTTP listeners: connections in, requests to the router, with limits on both.

use super::frame::Peer;
use super::metrics::Metrics;
use super::stall::Stall;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt;

/// Time for the headers of the next request, waiting for it included: long enough that clients find
/// their pooled connections open.
const IDLE_TIME: Duration = Duration::from_secs(60);

/// Time in which a client must take some part of its reply.
const WRITE_TIME: Duration = Duration::from_secs(10);

/// Bytes that request line and headers may take.
const HEADER_BYTES: usize = 64 << 10;

/// How long requests in progress may take once the process is stopping.
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// Pause after a failed accept (out of descriptors): the next one would fail at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `router` on `listener` until `stop` turns true (or its sender is gone), then finishes what
/// is in progress. More than `max_connections` at once are refused by closing them.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    metrics: Arc<Metrics>,
    max_connections: usize,
    mut stop: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(max_connections));
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Finished connections are forgotten as they end.
            Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
            () = stopped(&mut stop) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else {
            metrics.refused();
            continue;
        };
        let (router, metrics, stop) = (router.clone(), metrics.clone(), stop.clone());
        tasks.spawn(async move {
            metrics.opened();
            connection(stream, peer, router, stop).await;
            metrics.closed();
            drop(slot);
        });
    }
    drop(listener);
    let drained = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_TIME, drained).await.is_err() {
        tracing::warn!("requests still in progress are cut off");
    }
}

/// Returns once the process is stopping.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error says that the sender is gone, and so the process.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    // Replies are written whole; waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        router.clone().oneshot(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIME)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(Stall::new(stream, WRITE_TIME)), service);
    tokio::pin!(served);
    let result = tokio::select! {
        result = served.as_mut() => result,
        () = stopped(&mut stop) => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%peer, %error, "connection ended");
    }
}
