//! What a row of the route table is, and how its typed handler is reached.

use super::envelope::Reply;
use crate::app::App;
use crate::domain::caller::Caller;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use ringwire_protocol::error::ApiError;
use std::sync::Arc;

/// Who may call a route (spec: api.md 10). [`Who::Open`] is enforced by the frame; the others say what
/// the handler enforces after its field checks, which by contract come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// No token needed.
    Open,
    /// Any valid token.
    Any,
    /// The user the request is about, or an admin.
    Own,
    /// Members of the group the request is about, or an admin.
    Member,
    /// Admins.
    Admin,
}

/// A request body as it came.
#[derive(Debug, Clone)]
pub struct RawBody {
    /// The bytes, within the limit.
    pub bytes: Bytes,
    /// `Content-Type`, empty when absent. Only `/jssdk/*` looks at it.
    pub content_type: String,
}

/// An untyped handler.
pub type Call = fn(Arc<App>, Caller, RawBody) -> BoxFuture<'static, Result<Reply, ApiError>>;

/// One POST route.
#[derive(Clone, Copy)]
pub struct Route {
    /// The path, without a trailing slash.
    pub path: &'static str,
    /// Who may call it.
    pub who: Who,
    /// Its handler: JSON in, JSON out.
    pub call: Call,
}

/// A row of the table: path, who may call, `async fn(&App, Caller, Req) -> Result<Resp, ApiError>`.
macro_rules! post {
    ($path:literal, $who:ident, $handler:path) => {
        $crate::api::route::Route {
            path: $path,
            who: $crate::api::route::Who::$who,
            call: |app, caller, body| {
                Box::pin(async move {
                    let request = $crate::api::codec::decode(&body.bytes)?;
                    let answer = $handler(&app, caller, request).await?;
                    $crate::api::codec::Answer::reply(&answer, app.empty_lists())
                })
            },
        }
    };
}
pub(super) use post;
