//! Parameters of statements, and how each driver takes them.

use super::super::{StoreError, StoreResult};
use sqlx::Arguments as _;
use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use std::borrow::Cow;

/// A parameter.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Int(i64),
    Text(&'a str),
    Blob(&'a [u8]),
    /// For [`Dialect::any`] and [`Dialect::keys`].
    Texts(&'a [String]),
    /// For [`Dialect::any`].
    Ints(&'a [i64]),
    /// For [`Dialect::pairs`].
    Pairs(&'a [(String, String)]),
}

impl From<i64> for Value<'_> {
    fn from(v: i64) -> Self {
        Self::Int(v)
    }
}

impl From<i32> for Value<'_> {
    fn from(v: i32) -> Self {
        Self::Int(v.into())
    }
}

impl From<bool> for Value<'_> {
    fn from(v: bool) -> Self {
        Self::Int(v.into())
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(v: &'a str) -> Self {
        Self::Text(v)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(v: &'a String) -> Self {
        Self::Text(v)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(v: &'a [u8]) -> Self {
        Self::Blob(v)
    }
}

impl<'a> From<&'a [String]> for Value<'a> {
    fn from(v: &'a [String]) -> Self {
        Self::Texts(v)
    }
}

/// The parameters of a statement, each by `Value::from`.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::store::sql::value::Value::from($value)),*] };
}
pub(super) use values;

/// PostgreSQL cannot store a NUL in a text, and what a client puts into a message must never make a
/// batch impossible to store; both databases get the replacement character, so that look-ups agree.
pub(super) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

fn storable_list(texts: &[String]) -> Vec<Cow<'_, str>> {
    texts.iter().map(|t| storable(t)).collect()
}

fn json<T: serde::Serialize>(value: &T) -> StoreResult<String> {
    serde_json::to_string(value).map_err(|e| StoreError::Database(e.to_string()))
}

fn pairs_json(pairs: &[(String, String)]) -> StoreResult<String> {
    json(
        &pairs
            .iter()
            .map(|(a, b)| (storable(a), storable(b)))
            .collect::<Vec<_>>(),
    )
}

fn bound(result: Result<(), sqlx::error::BoxDynError>) -> StoreResult<()> {
    result.map_err(|e| StoreError::Database(e.to_string()))
}

pub(super) fn sqlite_arguments(values: &[Value<'_>]) -> StoreResult<SqliteArguments> {
    let mut args = SqliteArguments::default();
    args.reserve(values.len(), 0);
    for value in values {
        bound(match value {
            Value::Int(v) => args.add(*v),
            Value::Text(v) => args.add(storable(v).into_owned()),
            Value::Blob(v) => args.add(v.to_vec()),
            Value::Texts(v) => args.add(json(&storable_list(v))?),
            Value::Ints(v) => args.add(json(v)?),
            Value::Pairs(v) => args.add(pairs_json(v)?),
        })?;
    }
    Ok(args)
}

pub(super) fn postgres_arguments(values: &[Value<'_>]) -> StoreResult<PgArguments> {
    let mut args = PgArguments::default();
    args.reserve(values.len(), 0);
    for value in values {
        bound(match value {
            Value::Int(v) => args.add(*v),
            Value::Text(v) => args.add(storable(v).as_ref()),
            Value::Blob(v) => args.add(*v),
            Value::Texts(v) => args.add(
                storable_list(v)
                    .iter()
                    .map(|t| t.as_ref().to_owned())
                    .collect::<Vec<_>>(),
            ),
            Value::Ints(v) => args.add(*v),
            Value::Pairs(v) => args.add(pairs_json(v)?),
        })?;
    }
    Ok(args)
}
