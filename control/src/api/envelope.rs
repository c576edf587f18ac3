//! The reply envelope (spec: api.md 2): `errCode`, `errMsg`, `errDlt`, `data`, in this order.
//!
//! Errors keep HTTP status 200: the JavaScript SDK takes any other status for a broken transport
//! and loses the code. The one exception is the rate limiter's 429.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use ringwire_protocol::error::{ApiError, ErrorCode};

/// What a handler answered with, ready for the envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The reply message has no fields: `data` is absent.
    Empty,
    /// JSON text of `data`.
    Data(Vec<u8>),
}

/// The `errCode` of a reply, kept beside it for the log and the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub i32);

/// Turns a handler's answer into the HTTP reply.
pub fn respond(answer: Result<Reply, ApiError>) -> Response {
    match answer {
        Ok(Reply::Empty) => json(
            StatusCode::OK,
            0,
            br#"{"errCode":0,"errMsg":"","errDlt":""}"#.to_vec(),
        ),
        Ok(Reply::Data(data)) => {
            let mut body = Vec::with_capacity(data.len() + 48);
            body.extend_from_slice(br#"{"errCode":0,"errMsg":"","errDlt":"","data":"#);
            body.extend_from_slice(&data);
            body.push(b'}');
            json(StatusCode::OK, 0, body)
        }
        Err(error) => refuse(&error),
    }
}

/// The reply for an error.
pub fn refuse(error: &ApiError) -> Response {
    let status = if error.code == ErrorCode::TooManyRequests as i32 {
        StatusCode::TOO_MANY_REQUESTS
    } else {
        StatusCode::OK
    };
    let body = format!(
        r#"{{"errCode":{},"errMsg":{},"errDlt":{}}}"#,
        error.code,
        quote(&error.message),
        quote(&error.detail)
    );
    json(status, error.code, body.into_bytes())
}

fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn json(status: StatusCode, code: i32, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response.extensions_mut().insert(Code(code));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(response: Response) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX)
            .await
            .unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn keys_stand_in_order_and_data_is_absent_when_there_is_none() {
        assert_eq!(
            text(respond(Ok(Reply::Empty))).await,
            r#"{"errCode":0,"errMsg":"","errDlt":""}"#
        );
        assert_eq!(
            text(respond(Ok(Reply::Data(b"null".to_vec())))).await,
            r#"{"errCode":0,"errMsg":"","errDlt":"","data":null}"#
        );
        assert_eq!(
            text(refuse(&ApiError::args("no \"x\""))).await,
            r#"{"errCode":1001,"errMsg":"ArgsError","errDlt":"no \"x\""}"#
        );
    }

    #[test]
    fn only_the_rate_limiter_leaves_status_200() {
        assert_eq!(refuse(&ApiError::internal("")).status(), StatusCode::OK);
        assert_eq!(
            refuse(&ApiError::new(ErrorCode::TokenExpired, "")).status(),
            StatusCode::OK
        );
        assert_eq!(
            refuse(&ApiError::new(ErrorCode::TooManyRequests, "")).status(),
            StatusCode::TOO_MANY_REQUESTS
        );
    }
}
