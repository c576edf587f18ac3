//! Requests and replies as JSON.

use super::envelope::Reply;
use ringwire_protocol::error::ApiError;
use ringwire_protocol::json::{self, EmptyList};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a handler may answer with.
pub trait Answer {
    /// The answer as `data` of the envelope, with empty lists as `empty` says.
    ///
    /// # Errors
    /// 500 when it cannot be written, which a message always can.
    fn reply(&self, empty: EmptyList) -> Result<Reply, ApiError>;
}

/// The reply message has no fields: the envelope has no `data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Empty;

/// The reply is a bare list.
#[derive(Debug, Clone, PartialEq)]
pub struct List<T>(pub Vec<T>);

impl Answer for Empty {
    fn reply(&self, _: EmptyList) -> Result<Reply, ApiError> {
        Ok(Reply::Empty)
    }
}

impl<T: Serialize> Answer for List<T> {
    fn reply(&self, empty: EmptyList) -> Result<Reply, ApiError> {
        if self.0.is_empty() && empty == EmptyList::Null {
            return Ok(Reply::Data(b"null".to_vec()));
        }
        data(&self.0, empty)
    }
}

impl<T: Serialize> Answer for T {
    fn reply(&self, empty: EmptyList) -> Result<Reply, ApiError> {
        data(self, empty)
    }
}

fn data<T: Serialize + ?Sized>(value: &T, empty: EmptyList) -> Result<Reply, ApiError> {
    json::to_vec_with(value, empty)
        .map(Reply::Data)
        .map_err(|error| ApiError::internal(error.to_string()))
}

/// Reads a request.
///
/// # Errors
/// 1001 with what is wrong and where.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    json::from_slice(body).map_err(|error| ApiError::args(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringwire_protocol::pb::msg::GetServerTimeResp;

    #[test]
    fn an_answer_is_an_object_a_list_null_or_nothing() {
        let text = |answer: &dyn Answer| match answer.reply(EmptyList::Null).unwrap() {
            Reply::Empty => "-".to_owned(),
            Reply::Data(data) => String::from_utf8(data).unwrap(),
        };
        assert_eq!(text(&Empty), "-");
        assert_eq!(
            text(&GetServerTimeResp { server_time: 5 }),
            r#"{"serverTime":5}"#
        );
        assert_eq!(text(&List::<GetServerTimeResp>(Vec::new())), "null");
        assert_eq!(
            text(&List(vec![GetServerTimeResp { server_time: 5 }])),
            r#"[{"serverTime":5}]"#
        );
    }
}
