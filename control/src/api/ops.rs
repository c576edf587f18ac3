//! The listener for operators: `/healthz` and `/metrics`, on an address of its own.

use super::metrics::Metrics;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use futures_util::future::{BoxFuture, join_all};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether control is up: both listeners and the link's socket.
pub type Ready = Arc<AtomicBool>;

/// More lines for `/metrics`, from another part of control.
pub type MoreMetrics = Arc<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>;

/// The router of the operators' listener.
pub fn router(ready: Ready, metrics: Arc<Metrics>, more: Vec<MoreMetrics>) -> Router {
    let health = move || {
        let up = ready.load(Ordering::Acquire);
        async move {
            if up {
                (StatusCode::OK, "ok\n")
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, "starting\n")
            }
        }
    };
    let text = move || {
        let mut all = metrics.text();
        let more: Vec<_> = more.iter().map(|more| more()).collect();
        async move {
            for more in join_all(more).await {
                all.push_str(&more);
            }
            ([("content-type", "text/plain; version=0.0.4")], all)
        }
    };
    Router::new()
        .route("/healthz", get(health.clone()))
        .route("/readyz", get(health))
        .route("/metrics", get(text))
}
