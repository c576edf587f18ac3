//! JSON shapes of all messages, as the official server writes and reads them (spec: api.md 3).
//!
//! The build script lists every message's fields; here is what each kind of field looks like. All
//! messages so get `serde::Serialize` and `serde::Deserialize`, without reflection at run time.
//!
//! Output: every field by its protobuf name, zero values written; empty lists as `null` (or
//! `[]`, see [`EmptyList`]), empty maps left out, map keys ascending; unset messages, optionals and wrappers `null`;
//! set wrappers as bare values; bytes as base64 or `null`; 64-bit integers as numbers.
//!
//! Input: unknown keys are ignored; a missing key or `null` is zero or unset; keys match exactly or
//! else in any case; the last of repeated keys wins; no strings, fractions or exponents for
//! integers; bytes as base64 or as an array of numbers. Bad UTF-8 becomes U+FFFD.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::{
    Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IgnoredAny,
    MapAccess, SeqAccess, Visitor,
};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::json_text::{Blob, Int, Text, base64_text, match_key};

/// What an empty list is written as. SDKs take either; unknown back-ends may compare with OpenIM's
/// output, so `null` is what everything but [`to_vec_with`] writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmptyList {
    /// `null`, as OpenIM does.
    Null,
    /// `[]`.
    Brackets,
}

thread_local! {
    // A serializer cannot carry it down to the lists, and a value is written on one thread.
    static EMPTY_LIST: Cell<EmptyList> = const { Cell::new(EmptyList::Null) };
}

/// Puts the switch back when the writing ends, however it ends.
struct Restore(EmptyList);

impl Drop for Restore {
    fn drop(&mut self) {
        EMPTY_LIST.set(self.0);
    }
}

/// Why a JSON text is not the message expected. The text itself is never part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{fault} at line {line}, column {column}")]
pub struct JsonError {
    /// Kind of fault.
    pub fault: JsonFault,
    /// Line, from 1; 0 when writing.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
}

/// Kind of a [`JsonError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// Not JSON, or text after the value.
    #[error("malformed JSON")]
    Syntax,
    /// The text ends before the value does.
    #[error("JSON ends too early")]
    Truncated,
    /// JSON of a wrong type, a number out of range, bad base64.
    #[error("JSON value of a wrong type or out of range")]
    Type,
}

impl From<serde_json::Error> for JsonError {
    fn from(e: serde_json::Error) -> Self {
        let fault = match e.classify() {
            serde_json::error::Category::Eof => JsonFault::Truncated,
            serde_json::error::Category::Data => JsonFault::Type,
            _ => JsonFault::Syntax,
        };
        Self {
            fault,
            line: e.line(),
            column: e.column(),
        }
    }
}

/// Writes a value.
///
/// # Errors
/// None for messages; whatever other values' own serialization may give.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, JsonError> {
    Ok(serde_json::to_vec(value)?)
}

/// Writes a value with empty lists as `empty` says, those inside it included.
///
/// # Errors
/// As [`to_vec`].
pub fn to_vec_with<T: Serialize + ?Sized>(
    value: &T,
    empty: EmptyList,
) -> Result<Vec<u8>, JsonError> {
    let _restore = Restore(EMPTY_LIST.replace(empty));
    to_vec(value)
}

/// Writes a value.
///
/// # Errors
/// None for messages; whatever other values' own serialization may give.
pub fn to_string<T: Serialize + ?Sized>(value: &T) -> Result<String, JsonError> {
    Ok(serde_json::to_string(value)?)
}

/// Reads a whole text as one value. `null` is the all-zero message; an empty text is an error.
///
/// # Errors
/// See [`JsonFault`].
pub fn from_slice<T: DeserializeOwned>(text: &[u8]) -> Result<T, JsonError> {
    Ok(serde_json::from_slice(text)?)
}

/// A protobuf message: a JSON object with fixed keys.
pub trait Message: Default {
    /// Names of the fields in the order of declaration.
    const KEYS: &'static [&'static str];

    /// Writes all fields into an object.
    ///
    /// # Errors
    /// Those of the serializer.
    fn write_fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error>;

    /// Reads the next value of an object as the field with this index.
    ///
    /// # Errors
    /// The value is not one of the field's.
    fn read_field<'de, A: MapAccess<'de>>(
        &mut self,
        index: usize,
        map: &mut A,
    ) -> Result<(), A::Error>;
}

/// Something that stands in a field of a message.
pub trait Value: Sized {
    /// Whether the field's key is left out: only empty maps are.
    fn is_left_out(&self) -> bool {
        false
    }

    /// Writes it.
    ///
    /// # Errors
    /// Those of the serializer.
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;

    /// Reads it; `null` is its zero value.
    ///
    /// # Errors
    /// The JSON value is not one of this type.
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// Makes serde write a [`Value`].
struct Out<'a, T>(&'a T);

impl<T: Value> Serialize for Out<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(serializer)
    }
}

/// Makes serde read a [`Value`].
struct In<T>(PhantomData<T>);

impl<'de, T: Value> DeserializeSeed<'de> for In<T> {
    type Value = T;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::read(deserializer)
    }
}

fn put<M: SerializeMap, T: Value>(map: &mut M, key: &str, value: &T) -> Result<(), M::Error> {
    if value.is_left_out() {
        Ok(())
    } else {
        map.serialize_entry(key, &Out(value))
    }
}

fn get<'de, A: MapAccess<'de>, T: Value>(map: &mut A) -> Result<T, A::Error> {
    map.next_value_seed(In(PhantomData))
}

impl Value for bool {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(*self)
    }
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<bool>::deserialize(deserializer)?.unwrap_or_default())
    }
}

macro_rules! integers {
    ($($type:ty)*) => { $(
        impl Value for $type {
            fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Serialize::serialize(self, serializer)
            }
            fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(Int::<$type>::deserialize(deserializer)?.0)
            }
        }
    )* };
}

integers! { i32 i64 u32 u64 }

macro_rules! floats {
    ($($type:ty)*) => { $(
        impl Value for $type {
            fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Serialize::serialize(self, serializer)
            }
            fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(Option::<$type>::deserialize(deserializer)?.unwrap_or_default())
            }
        }
    )* };
}

floats! { f32 f64 }

impl Value for String {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Text::deserialize(deserializer)?.0)
    }
}

impl Value for Vec<u8> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_slice() {
            [] => serializer.serialize_unit(),
            bytes => serializer.serialize_str(&base64_text(bytes)),
        }
    }
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Blob::deserialize(deserializer)?.0)
    }
}

impl Value for Bytes {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self[..] {
            [] => serializer.serialize_unit(),
            bytes => serializer.serialize_str(&base64_text(bytes)),
        }
    }
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Blob::deserialize(deserializer)?.0.into())
    }
}

impl<T: Value> Value for Box<T> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        T::write(self, serializer)
    }
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Box::new(T::read(deserializer)?))
    }
}

/// Messages, optional scalars and wrappers: all of them the bare value, or `null`.
impl<T: Value> Value for Option<T> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Some(value) => value.write(serializer),
            None => serializer.serialize_unit(),
        }
    }
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V<T>(PhantomData<T>);
        impl<'de, T: Value> Visitor<'de> for V<T> {
            type Value = Option<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or null")
            }
            fn visit_none<E>(self) -> Result<Option<T>, E> {
                Ok(None)
            }
            fn visit_unit<E>(self) -> Result<Option<T>, E> {
                Ok(None)
            }
            fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Option<T>, D::Error> {
                T::read(d).map(Some)
            }
        }
        deserializer.deserialize_option(V(PhantomData))
    }
}

impl<T: Value> Value for Vec<T> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_empty() && EMPTY_LIST.get() == EmptyList::Null {
            return serializer.serialize_unit();
        }
        serializer.collect_seq(self.iter().map(Out))
    }
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V<T>(PhantomData<T>);
        impl<'de, T: Value> Visitor<'de> for V<T> {
            type Value = Vec<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_unit<E>(self) -> Result<Vec<T>, E> {
                Ok(Vec::new())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(value) = seq.next_element_seed(In(PhantomData))? {
                    list.push(value);
                }
                Ok(list)
            }
        }
        deserializer.deserialize_any(V(PhantomData))
    }
}

impl<T: Value> Value for BTreeMap<String, T> {
    fn is_left_out(&self) -> bool {
        self.is_empty()
    }
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(key, value)| (key, Out(value))))
    }
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V<T>(PhantomData<T>);
        impl<'de, T: Value> Visitor<'de> for V<T> {
            type Value = BTreeMap<String, T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(BTreeMap::new())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some(Text(key)) = map.next_key()? {
                    entries.insert(key, get(&mut map)?);
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_any(V(PhantomData))
    }
}

fn write_message<T: Message, S: Serializer>(message: &T, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    message.write_fields(&mut map)?;
    map.end()
}

fn read_message<'de, T: Message, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct V<T>(PhantomData<T>);
    impl<'de, T: Message> Visitor<'de> for V<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_unit<E>(self) -> Result<T, E> {
            Ok(T::default())
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
            let mut message = T::default();
            while let Some(Text(key)) = map.next_key()? {
                match match_key(T::KEYS, &key) {
                    Some(index) => message.read_field(index, &mut map)?,
                    None => {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
            }
            Ok(message)
        }
    }
    deserializer.deserialize_any(V(PhantomData))
}

/// One message: type, then index, Rust name and JSON name of each field.
macro_rules! message {
    ($type:ty { $($index:literal $field:ident $key:literal,)* }) => {
        impl Message for $type {
            const KEYS: &'static [&'static str] = &[$($key),*];
            fn write_fields<M: SerializeMap>(&self, _map: &mut M) -> Result<(), M::Error> {
                $(put(_map, $key, &self.$field)?;)*
                Ok(())
            }
            fn read_field<'de, A: MapAccess<'de>>(&mut self, index: usize, _map: &mut A) -> Result<(), A::Error> {
                match index {
                    $($index => self.$field = get(_map)?,)*
                    _ => return Err(A::Error::custom("no such field")),
                }
                #[allow(unreachable_code)]
                Ok(())
            }
        }
        impl Value for $type {
            fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                write_message(self, serializer)
            }
            fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                read_message(deserializer)
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                write_message(self, serializer)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                read_message(deserializer)
            }
        }
    };
}

include!(concat!(env!("OUT_DIR"), "/json_messages.rs"));

#[cfg(test)]
mod tests;
