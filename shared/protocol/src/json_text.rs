//! JSON text and bytes as the Go library writes and reads them: strings that survive bad UTF-8, and
//! base64 in its lenient and its number-array form (spec: api.md 3, gateway.md 2.1).

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// Standard alphabet; padding demanded, unused low bits of the last digit ignored, as Go does.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical)
        .with_decode_allow_trailing_bits(true),
);

/// Decodes padded standard base64, skipping CR and LF. Nothing if it is malformed.
pub(crate) fn base64_decode(text: &[u8]) -> Option<Vec<u8>> {
    if !text.iter().any(|b| matches!(b, b'\r' | b'\n')) {
        return BASE64.decode(text).ok();
    }
    let digits: Vec<u8> = text
        .iter()
        .copied()
        .filter(|b| !matches!(b, b'\r' | b'\n'))
        .collect();
    BASE64.decode(digits).ok()
}

/// Appends padded standard base64.
pub(crate) fn base64_append(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    // Four digits for every three bytes begun; a slice in memory is too short to overflow this.
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = BASE64.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
}

/// Padded standard base64.
pub(crate) fn base64_text(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Appends a JSON string. Beyond what JSON demands, `<`, `>`, `&`, U+2028 and U+2029 are written as
/// escapes, as OpenIM does.
pub(crate) fn append_string(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut done = 0;
    let mut i = 0;
    while i < bytes.len() {
        let (width, escape): (usize, &[u8]) = match bytes[i] {
            b'"' => (1, b"\\\""),
            b'\\' => (1, b"\\\\"),
            b'\n' => (1, b"\\n"),
            b'\r' => (1, b"\\r"),
            b'\t' => (1, b"\\t"),
            0x08 => (1, b"\\b"),
            0x0c => (1, b"\\f"),
            0xe2 if bytes[i..].starts_with("\u{2028}".as_bytes()) => (3, b"\\u2028"),
            0xe2 if bytes[i..].starts_with("\u{2029}".as_bytes()) => (3, b"\\u2029"),
            b if b < 0x20 || matches!(b, b'<' | b'>' | b'&') => (1, b""),
            _ => {
                i += 1;
                continue;
            }
        };
        out.extend_from_slice(&bytes[done..i]);
        if escape.is_empty() {
            let b = usize::from(bytes[i]);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[b >> 4], HEX[b & 15]]);
        } else {
            out.extend_from_slice(escape);
        }
        i += width;
        done = i;
    }
    out.extend_from_slice(&bytes[done..]);
    out.push(b'"');
}

/// Text of bytes that may hold bad UTF-8 or, from `\ud800`-like escapes, lone surrogates in their
/// three-byte form: each becomes one U+FFFD.
fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        let (valid, bad) = match std::str::from_utf8(rest) {
            Ok(valid) => (valid, 0),
            Err(e) => {
                let (valid, tail) = rest.split_at(e.valid_up_to());
                let surrogate = matches!(tail, [0xed, 0xa0..=0xbf, 0x80..=0xbf, ..]);
                // Go replaces byte by byte.
                (
                    std::str::from_utf8(valid).unwrap_or_default(),
                    if surrogate { 3 } else { 1 },
                )
            }
        };
        text.push_str(valid);
        if bad > 0 {
            text.push('\u{fffd}');
        }
        rest = &rest[valid.len() + bad..];
    }
    Cow::Owned(text)
}

/// A JSON string, or `null` as the empty one. Bad UTF-8 and lone surrogates become U+FFFD.
pub(crate) struct Text(pub(crate) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_bytes<E: Error>(self, v: &[u8]) -> Result<Text, E> {
                Ok(Text(lossy(v).into_owned()))
            }
            fn visit_str<E: Error>(self, v: &str) -> Result<Text, E> {
                Ok(Text(v.to_owned()))
            }
            fn visit_none<E: Error>(self) -> Result<Text, E> {
                Ok(Text(String::new()))
            }
            fn visit_unit<E: Error>(self) -> Result<Text, E> {
                Ok(Text(String::new()))
            }
            fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Text, D::Error> {
                d.deserialize_bytes(V)
            }
        }
        deserializer.deserialize_option(V)
    }
}

/// A whole number within the range of `T`, or `null` as 0. Never a string, a fraction or an
/// exponent.
pub(crate) struct Int<T>(pub(crate) T);

impl<'de, T: TryFrom<i64> + TryFrom<u64> + Default> Deserialize<'de> for Int<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V<T>(std::marker::PhantomData<T>);
        impl<'de, T: TryFrom<i64> + TryFrom<u64> + Default> Visitor<'de> for V<T> {
            type Value = Int<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number in range")
            }
            fn visit_i64<E: Error>(self, v: i64) -> Result<Int<T>, E> {
                T::try_from(v)
                    .map(Int)
                    .map_err(|_| E::custom("number out of range"))
            }
            fn visit_u64<E: Error>(self, v: u64) -> Result<Int<T>, E> {
                T::try_from(v)
                    .map(Int)
                    .map_err(|_| E::custom("number out of range"))
            }
            fn visit_unit<E: Error>(self) -> Result<Int<T>, E> {
                Ok(Int(T::default()))
            }
        }
        deserializer.deserialize_any(V(std::marker::PhantomData))
    }
}

/// Bytes as padded base64 or as an array of numbers, or `null` as none.
pub(crate) struct Blob(pub(crate) Vec<u8>);

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Blob;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64 or an array of bytes")
            }
            fn visit_str<E: Error>(self, v: &str) -> Result<Blob, E> {
                base64_decode(v.as_bytes())
                    .map(Blob)
                    .ok_or_else(|| E::custom("bad base64"))
            }
            fn visit_unit<E: Error>(self) -> Result<Blob, E> {
                Ok(Blob(Vec::new()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Blob, A::Error> {
                let mut bytes = Vec::new();
                while let Some(Int(byte)) = seq.next_element::<Int<u8>>()? {
                    bytes.push(byte);
                }
                Ok(Blob(bytes))
            }
        }
        deserializer.deserialize_any(V)
    }
}

/// Index of the name that a JSON key means: the exact one, else one that differs in case only.
pub(crate) fn match_key(names: &[&str], key: &str) -> Option<usize> {
    names
        .iter()
        .position(|name| *name == key)
        .or_else(|| names.iter().position(|name| name.eq_ignore_ascii_case(key)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn surrogates_and_bad_bytes_are_replaced_one_for_one() {
        let table = [
            (&b"ok"[..], "ok"),
            (b"a\xed\xa0\xbdb", "a\u{fffd}b"),
            (b"\xff\xfe", "\u{fffd}\u{fffd}"),
            (b"\xe2\x82", "\u{fffd}\u{fffd}"),
            ("é\u{d7ff}".as_bytes(), "é\u{d7ff}"),
        ];
        for (bytes, text) in table {
            assert_eq!(lossy(bytes), text);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_written_as_json(text: String) {
            let mut out = Vec::new();
            append_string(&text, &mut out);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }

        #[test]
        fn any_bytes_are_replaced_within_bounds(bytes: Vec<u8>) {
            prop_assert!(lossy(&bytes).len() <= 3 * bytes.len());
        }

        #[test]
        fn any_bytes_survive_base64_with_line_breaks(bytes: Vec<u8>, every in 1usize..80) {
            let mut text = Vec::new();
            base64_append(&bytes, &mut text);
            prop_assert_eq!(text.clone(), base64_text(&bytes).into_bytes());
            let broken = text.chunks(every).collect::<Vec<_>>().join(&b"\r\n"[..]);
            prop_assert_eq!(base64_decode(&text).unwrap(), bytes.clone());
            prop_assert_eq!(base64_decode(&broken).unwrap(), bytes);
        }

        #[test]
        fn any_text_is_base64_or_refused(text in "[A-Za-z0-9+/=\\r\\n_-]{0,40}") {
            if let Some(bytes) = base64_decode(text.as_bytes()) {
                prop_assert!(bytes.len() <= text.len());
                prop_assert_eq!(text.bytes().filter(|b| !matches!(b, b'\r' | b'\n')).count() % 4, 0);
            }
        }
    }
}
