//! What the content of a message sent over HTTP must hold (spec: message.md 5.1, 13).
//!
//! A value that must be there is neither `null`, empty, zero nor `false`. Keys match exactly first, then
//! whatever their case; keys nobody asks for are kept.

use ringwire_protocol::content_type::{
    ADVANCED_TEXT, AT_TEXT, CARD, CUSTOM, CUSTOM_ONLINE_ONLY, CUSTOM_WITHOUT_UPDATE, FACE, FILE,
    LOCATION, MARKDOWN, MERGER, OA_NOTIFICATION, PICTURE, QUOTE, TEXT, VIDEO, VOICE,
};
use ringwire_protocol::error::ApiError;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Users mentioned by one message.
const MAX_MENTIONED: usize = 1000;

/// A JSON object.
pub type Object = Map<String, Value>;

/// Checks the content of a message of this type.
///
/// # Errors
/// 1001 for types that cannot be sent over HTTP, and with the name of what is missing.
pub fn check(content_type: i32, content: &Object) -> Result<(), ApiError> {
    match content_type {
        TEXT | MARKDOWN => need(content, &["content"]),
        PICTURE => {
            for key in ["sourcePicture", "bigPicture", "snapshotPicture"] {
                let picture = object(content, key)?;
                need(picture, &["type", "width", "height", "url"])?;
            }
            Ok(())
        }
        VOICE => need(content, &["sourceUrl", "duration"]),
        VIDEO => need(
            content,
            &[
                "videoUrl",
                "videoType",
                "videoSize",
                "duration",
                "snapshotUrl",
                "snapshotWidth",
                "snapshotHeight",
            ],
        ),
        FILE => need(content, &["sourceUrl", "fileName", "fileSize"]),
        AT_TEXT => mentioned(content).map(|_| ()),
        CUSTOM => need(content, &["data"]),
        OA_NOTIFICATION => {
            need(content, &["notificationName", "notificationType", "text"])?;
            match field(content, "mixType").and_then(Value::as_i64) {
                None | Some(0..=5) => Ok(()),
                Some(_) => Err(ApiError::args("content.mixType is invalid")),
            }
        }
        MERGER
        | CARD
        | LOCATION
        | QUOTE
        | FACE
        | ADVANCED_TEXT
        | CUSTOM_WITHOUT_UPDATE
        | CUSTOM_ONLINE_ONLY => Ok(()),
        _ => Err(ApiError::args(format!(
            "contentType {content_type} cannot be sent"
        ))),
    }
}

/// The users that an at-text mentions.
///
/// # Errors
/// 1001 when the list is missing, empty, too long, or holds something else.
pub fn mentioned(content: &Object) -> Result<Vec<String>, ApiError> {
    let list = field(content, "atUserList").and_then(Value::as_array);
    let list = list
        .filter(|list| !list.is_empty())
        .ok_or_else(|| missing("atUserList"))?;
    if list.len() > MAX_MENTIONED {
        return Err(ApiError::args(format!(
            "content.atUserList has more than {MAX_MENTIONED} entries"
        )));
    }
    let id = |value: &Value| value.as_str().map(str::to_owned);
    list.iter()
        .map(id)
        .collect::<Option<_>>()
        .ok_or_else(|| ApiError::args("content.atUserList"))
}

/// The object as compact JSON with sorted keys, as OpenIM stores it.
pub fn compact(content: &Object) -> String {
    sorted(&Value::Object(content.clone())).to_string()
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let by_key: BTreeMap<&String, Value> =
                map.iter().map(|(k, v)| (k, sorted(v))).collect();
            Value::Object(by_key.into_iter().map(|(k, v)| (k.clone(), v)).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

fn field<'a>(content: &'a Object, key: &str) -> Option<&'a Value> {
    content.get(key).or_else(|| {
        content
            .iter()
            .find(|(k, _)| k.eq_ignore_ascii_case(key))
            .map(|(_, v)| v)
    })
}

fn need(content: &Object, keys: &[&str]) -> Result<(), ApiError> {
    match keys
        .iter()
        .find(|key| !field(content, key).is_some_and(given))
    {
        Some(key) => Err(missing(key)),
        None => Ok(()),
    }
}

fn object<'a>(content: &'a Object, key: &str) -> Result<&'a Object, ApiError> {
    field(content, key)
        .and_then(Value::as_object)
        .ok_or_else(|| missing(key))
}

fn missing(key: &str) -> ApiError {
    ApiError::args(format!("content.{key} is required"))
}

fn given(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(on) => *on,
        Value::Number(number) => number.as_f64().is_some_and(|n| n != 0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn checked(content_type: i32, content: Value) -> Result<(), String> {
        let Value::Object(content) = content else {
            panic!("not an object")
        };
        check(content_type, &content).map_err(|error| {
            assert_eq!(error.code, 1001);
            error.detail.into_owned()
        })
    }

    #[test]
    fn content_is_judged_by_its_type() {
        let picture = json!({"type": "png", "width": 1, "height": 1, "url": "u"});
        let pictures =
            json!({"sourcePicture": picture, "bigPicture": picture, "snapshotPicture": picture});
        let good = [
            (101, json!({"content": "x"})),
            (101, json!({"CONTENT": "x", "other": 5})),
            (118, json!({"content": "x"})),
            (102, pictures),
            (103, json!({"sourceUrl": "u", "duration": 1})),
            (
                105,
                json!({"sourceUrl": "u", "fileName": "n", "fileSize": 1}),
            ),
            (106, json!({"text": "x", "atUserList": ["a"]})),
            (110, json!({"data": "x"})),
            (114, json!({})),
            (109, json!({"latitude": 1.5})),
            (
                1400,
                json!({"notificationName": "n", "notificationType": 1, "text": "t", "mixType": 5}),
            ),
        ];
        for (content_type, content) in good {
            assert_eq!(
                checked(content_type, content.clone()),
                Ok(()),
                "{content_type} {content}"
            );
        }
        let bad = [
            (101, json!({}), "content"),
            (101, json!({"content": ""}), "content"),
            (
                102,
                json!({"sourcePicture": {"type": "png", "width": 1, "height": 0, "url": "u"}}),
                "height",
            ),
            (103, json!({"sourceUrl": "u", "duration": 0}), "duration"),
            (104, json!({"videoUrl": "u"}), "videoType"),
            (106, json!({"atUserList": []}), "atUserList"),
            (106, json!({"atUserList": [5]}), "atUserList"),
            (106, json!({"atUserList": vec!["u"; 1001]}), "1000"),
            (
                1400,
                json!({"notificationName": "n", "notificationType": 1, "text": "t", "mixType": 6}),
                "mixType",
            ),
            (113, json!({}), "113"),
            (1501, json!({}), "1501"),
        ];
        for (content_type, content, expected) in bad {
            let detail = checked(content_type, content.clone()).expect_err("refused");
            assert!(
                detail.contains(expected),
                "{content_type} {content}: {detail}"
            );
        }
    }

    #[test]
    fn content_is_stored_compactly_with_sorted_keys() {
        let Value::Object(content) = json!({"b": [{"d": 1, "c": 2}], "a": "<x>"}) else {
            panic!()
        };
        assert_eq!(compact(&content), r#"{"a":"<x>","b":[{"c":2,"d":1}]}"#);
    }
}
