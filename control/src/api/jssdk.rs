//! `/jssdk/*`: compound calls of the JavaScript SDK (spec: conversation.md 11, api.md 1).
//!
//! The body is JSON or protobuf by its content type; the reply is the JSON envelope either way, for a
//! protobuf request with the base64 text of the protobuf as `data`.

use super::codec::{self, Answer};
use super::envelope::Reply;
use super::route::{Call, RawBody, Route, Who};
use crate::app::App;
use crate::domain::active_conversations;
use crate::domain::caller::Caller;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use ringwire_protocol::error::ApiError;
use ringwire_protocol::json::EmptyList;
use ringwire_protocol::pb::jssdk::{
    GetActiveConversationsReq, GetActiveConversationsResp, GetConversationsReq,
    GetConversationsResp,
};
use serde::de::DeserializeOwned;

/// Most ids in one `get_conversations`.
const MAX_IDS: usize = 1000;

/// The routes.
pub(super) const ROUTES: [Route; 2] = [
    Route {
        path: "/jssdk/get_active_conversations",
        who: Who::Any,
        call: GET_ACTIVE_CONVERSATIONS,
    },
    Route {
        path: "/jssdk/get_conversations",
        who: Who::Any,
        call: GET_CONVERSATIONS,
    },
];

const GET_ACTIVE_CONVERSATIONS: Call = |app, caller, body| {
    Box::pin(async move {
        let (request, encoding) = decode(&body)?;
        let reply = get_active_conversations(&app, caller, request).await?;
        encoding.answer(&reply, app.empty_lists())
    })
};

const GET_CONVERSATIONS: Call = |app, caller, body| {
    Box::pin(async move {
        let (request, encoding) = decode(&body)?;
        let reply = get_conversations(&app, caller, request).await?;
        encoding.answer(&reply, app.empty_lists())
    })
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Json,
    Protobuf,
}

impl Encoding {
    fn of(content_type: &str) -> Result<Self, ApiError> {
        if content_type.is_empty() || content_type.contains("application/json") {
            Ok(Self::Json)
        } else if content_type.contains("application/protobuf")
            || content_type.contains("application/x-protobuf")
        {
            Ok(Self::Protobuf)
        } else {
            Err(ApiError::args("unsupported content type"))
        }
    }

    fn answer<M: Message + Answer>(self, message: &M, empty: EmptyList) -> Result<Reply, ApiError> {
        match self {
            Self::Json => message.reply(empty),
            // Base64 needs no escaping in JSON.
            Self::Protobuf => Ok(Reply::Data(
                format!("\"{}\"", STANDARD.encode(message.encode_to_vec())).into_bytes(),
            )),
        }
    }
}

fn decode<M: Message + Default + DeserializeOwned>(
    body: &RawBody,
) -> Result<(M, Encoding), ApiError> {
    let encoding = Encoding::of(&body.content_type)?;
    let message = match encoding {
        Encoding::Json => codec::decode(&body.bytes)?,
        Encoding::Protobuf => M::decode(body.bytes.clone())
            .map_err(|_| ApiError::args("the body is not the protobuf of this request"))?,
    };
    Ok((message, encoding))
}

/// The caller's conversations that were active last. `ownerUserID` is not looked at.
async fn get_active_conversations(
    app: &App,
    caller: Caller,
    request: GetActiveConversationsReq,
) -> Result<GetActiveConversationsResp, ApiError> {
    let (unread_count, conversations) =
        active_conversations::newest(&app.stores, &caller.user_id, request.count).await?;
    Ok(GetActiveConversationsResp {
        unread_count,
        conversations,
    })
}

/// The caller's conversations by id. `ownerUserID` is not looked at.
async fn get_conversations(
    app: &App,
    caller: Caller,
    request: GetConversationsReq,
) -> Result<GetConversationsResp, ApiError> {
    if request.conversation_i_ds.len() > MAX_IDS {
        return Err(ApiError::args(format!(
            "conversationIDs has more than {MAX_IDS} entries"
        )));
    }
    let (unread_count, conversations) =
        active_conversations::by_id(&app.stores, &caller.user_id, &request.conversation_i_ds)
            .await?;
    Ok(GetConversationsResp {
        unread_count,
        conversations,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_decides_what_the_body_is() {
        let cases = [
            ("", Some(Encoding::Json)),
            ("application/json; charset=utf-8", Some(Encoding::Json)),
            ("application/protobuf", Some(Encoding::Protobuf)),
            ("application/x-protobuf", Some(Encoding::Protobuf)),
            ("text/plain", None),
        ];
        for (content_type, expected) in cases {
            assert_eq!(Encoding::of(content_type).ok(), expected, "{content_type}");
        }
    }

    #[test]
    fn protobuf_is_answered_as_base64_text() {
        let request = GetActiveConversationsReq {
            owner_user_id: "u".into(),
            count: 20,
        };
        let body = RawBody {
            bytes: request.encode_to_vec().into(),
            content_type: "application/x-protobuf".into(),
        };
        let (read, encoding) = decode::<GetActiveConversationsReq>(&body).unwrap();
        assert_eq!((read, encoding), (request, Encoding::Protobuf));
        let answer = GetActiveConversationsResp {
            unread_count: 5,
            conversations: Vec::new(),
        };
        assert_eq!(
            encoding.answer(&answer, EmptyList::Null).unwrap(),
            Reply::Data(b"\"CAU=\"".to_vec())
        );
        let damaged = RawBody {
            bytes: vec![0xff].into(),
            ..body
        };
        assert_eq!(
            decode::<GetActiveConversationsReq>(&damaged)
                .unwrap_err()
                .code,
            1001
        );
    }
}
