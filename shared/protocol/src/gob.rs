//! Gob encoding of requests and replies (spec: gob.md).
//!
//! One WebSocket message is one self-contained gob stream: type definitions, then one value.
//! Nothing is remembered from one message to the next. Decoding is total: any bytes give a value or
//! an error, and nothing is allocated beyond the fields' own bytes and a bounded definition table.

use crate::envelope::{EnvelopeError, Request, Response};
use bytes::Bytes;

/// The definition of `Resp` under type id 64, the same before every reply (gob.md 5.1).
pub const RESPONSE_PREFIX: &[u8; 96] = b"\x5f\x7f\x03\x01\x01\x04Resp\x01\xff\x80\x00\x01\x06\
\x01\x0dReqIdentifier\x01\x04\x00\x01\x07MsgIncr\x01\x0c\x00\x01\x0bOperationID\x01\x0c\x00\
\x01\x07ErrCode\x01\x04\x00\x01\x06ErrMsg\x01\x0c\x00\x01\x04Data\x01\x0a\x00\x00\x00";

/// The definition of `GeneralWsReq` under type id 64, as SDKs send it (gob.md 6.3).
pub const REQUEST_PREFIX: &[u8; 102] =
    b"\x65\x7f\x03\x01\x01\x0cGeneralWsReq\x01\xff\x80\x00\x01\x06\
\x01\x0dReqIdentifier\x01\x04\x00\x01\x05Token\x01\x0c\x00\x01\x06SendID\x01\x0c\x00\
\x01\x0bOperationID\x01\x0c\x00\x01\x07MsgIncr\x01\x0c\x00\x01\x04Data\x01\x0a\x00\x00\x00";

/// Everything in an SDK's definition before the type id, and everything after it.
const SDK_HEAD: &[u8] = b"\x03\x01\x01\x0cGeneralWsReq\x01";
const SDK_TAIL: &[u8] = REQUEST_PREFIX.split_at(21).1;

const MAX_DEFINITIONS: usize = 8;
const MAX_FIELDS: usize = 64;

/// First type id of user types; below are the builtin ones.
const FIRST_USER_ID: i64 = 64;
const ID_BOOL: i64 = 1;
const ID_INT: i64 = 2;
const ID_UINT: i64 = 3;
const ID_FLOAT: i64 = 4;
const ID_BYTES: i64 = 5;
const ID_STRING: i64 = 6;
const ID_COMPLEX: i64 = 7;

/// Why bytes are not a gob stream that holds the expected struct.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GobError {
    /// The stream or a message in it ends too early.
    #[error("ends too early")]
    Truncated,
    /// A number takes more than eight bytes.
    #[error("number too long")]
    NumberTooLong,
    /// A number outside the 32 bits of its field.
    #[error("number out of range")]
    OutOfRange,
    /// A definition that is not understood, is repeated or has an id below 64.
    #[error("bad type definition")]
    BadDefinition,
    /// More definitions or fields than accepted.
    #[error("too many definitions")]
    TooManyDefinitions,
    /// A value of a type that was not defined as a struct.
    #[error("value of an undefined type")]
    Undefined,
    /// A field index past the definition's last field.
    #[error("no such field")]
    NoSuchField,
    /// A known field with another type than expected, or an unknown one that cannot be skipped.
    #[error("field of a wrong type")]
    WrongType,
    /// No field of the definition is known.
    #[error("no known field")]
    NothingKnown,
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    NotUtf8,
}

type Result<T> = std::result::Result<T, GobError>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Int,
    Text,
    Bytes,
}

/// Names and types of a struct's fields in our order; slots of the values read follow it.
type Shape = [(&'static str, Kind); 6];

const REQUEST: Shape = [
    ("ReqIdentifier", Kind::Int),
    ("Token", Kind::Text),
    ("SendID", Kind::Text),
    ("OperationID", Kind::Text),
    ("MsgIncr", Kind::Text),
    ("Data", Kind::Bytes),
];

const RESPONSE: Shape = [
    ("ReqIdentifier", Kind::Int),
    ("MsgIncr", Kind::Text),
    ("OperationID", Kind::Text),
    ("ErrCode", Kind::Int),
    ("ErrMsg", Kind::Text),
    ("Data", Kind::Bytes),
];

/// What to do with a field of the sender's definition.
#[derive(Clone, Copy)]
enum Field {
    Int(usize),
    Bytes(usize),
    SkipNumbers(u8),
    SkipBytes,
    /// Fails once it is really sent.
    Unreadable,
}

/// The fields of `GeneralWsReq` are those of [`REQUEST`], in the same order.
const SDK_FIELDS: [Field; 6] = [
    Field::Int(0),
    Field::Bytes(1),
    Field::Bytes(2),
    Field::Bytes(3),
    Field::Bytes(4),
    Field::Bytes(5),
];

#[derive(Default)]
struct Values<'a> {
    ints: [i64; 6],
    bytes: [&'a [u8]; 6],
}

/// Names and type ids of the fields that a sender defines.
type Definition<'a> = Vec<(&'a [u8], i64)>;

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n).ok_or(GobError::Truncated)?;
        self.0 = tail;
        Ok(head)
    }

    fn uint(&mut self) -> Result<u64> {
        let (&first, tail) = self.0.split_first().ok_or(GobError::Truncated)?;
        self.0 = tail;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let n = 256 - usize::from(first);
        if n > 8 {
            return Err(GobError::NumberTooLong);
        }
        Ok(self
            .take(n)?
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn int(&mut self) -> Result<i64> {
        let raw = self.uint()?;
        let half = (raw >> 1) as i64;
        Ok(if raw & 1 == 0 { half } else { !half })
    }

    fn bytes(&mut self) -> Result<&'a [u8]> {
        let n = usize::try_from(self.uint()?).map_err(|_| GobError::Truncated)?;
        self.take(n)
    }

    /// Index of the next field sent, or nothing at the end of the struct.
    fn next_field(&mut self, index: &mut Option<u64>) -> Result<Option<u64>> {
        let delta = self.uint()?;
        if delta == 0 {
            return Ok(None);
        }
        let next = match *index {
            None => delta - 1,
            Some(last) => last.checked_add(delta).ok_or(GobError::NoSuchField)?,
        };
        *index = Some(next);
        Ok(Some(next))
    }
}

/// Type id and position of the value when the stream starts with the definition that every official
/// SDK sends; only the type id differs from process to process.
fn sdk_definition(stream: &[u8]) -> Option<(i64, &[u8])> {
    let mut reader = Reader(stream);
    let mut body = Reader(reader.bytes().ok()?);
    let id = body.int().ok()?.checked_neg()?;
    let rest = body.0.strip_prefix(SDK_HEAD)?;
    body.0 = rest;
    let inner = body.int().ok()?;
    (id >= FIRST_USER_ID && inner == id && body.0 == SDK_TAIL).then_some((id, reader.0))
}

/// Reads `(name, id)` of the part all descriptions share, or of a field: both are structs of a
/// string and an int.
fn name_and_id<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], i64)> {
    let (mut index, mut name, mut id) = (None, &[][..], 0);
    while let Some(field) = reader.next_field(&mut index)? {
        match field {
            0 => name = reader.bytes()?,
            1 => id = reader.int()?,
            _ => return Err(GobError::BadDefinition),
        }
    }
    Ok((name, id))
}

/// Reads the body of a definition. Nothing for kinds other than a struct.
fn definition<'a>(reader: &mut Reader<'a>) -> Result<Option<Definition<'a>>> {
    const STRUCT: u64 = 2;
    const LAST_KIND: u64 = 6;
    match reader.next_field(&mut None)? {
        Some(STRUCT) => {}
        Some(kind) if kind <= LAST_KIND => return Ok(None),
        _ => return Err(GobError::BadDefinition),
    }
    let (mut index, mut fields) = (None, Vec::new());
    while let Some(part) = reader.next_field(&mut index)? {
        match part {
            0 => {
                name_and_id(reader)?;
            }
            1 => {
                let count = reader.uint()?;
                if count > MAX_FIELDS as u64 {
                    return Err(GobError::TooManyDefinitions);
                }
                for _ in 0..count {
                    fields.push(name_and_id(reader)?);
                }
            }
            _ => return Err(GobError::BadDefinition),
        }
    }
    Ok(Some(fields))
}

/// Matches a sender's fields with ours by name.
fn plan(shape: &Shape, fields: &[(&[u8], i64)]) -> Result<Vec<Field>> {
    let mut known = false;
    let plan = fields.iter().map(|(name, id)| {
        if let Some(slot) = shape.iter().position(|(ours, _)| ours.as_bytes() == *name) {
            known = true;
            return match (shape[slot].1, *id) {
                (Kind::Int, ID_INT) => Ok(Field::Int(slot)),
                (Kind::Text, ID_STRING) | (Kind::Bytes, ID_BYTES) => Ok(Field::Bytes(slot)),
                _ => Err(GobError::WrongType),
            };
        }
        Ok(match *id {
            ID_BOOL | ID_INT | ID_UINT | ID_FLOAT => Field::SkipNumbers(1),
            ID_COMPLEX => Field::SkipNumbers(2),
            ID_BYTES | ID_STRING => Field::SkipBytes,
            _ => Field::Unreadable,
        })
    });
    let plan = plan.collect::<Result<Vec<_>>>()?;
    if known {
        Ok(plan)
    } else {
        Err(GobError::NothingKnown)
    }
}

fn struct_value<'a>(reader: &mut Reader<'a>, plan: &[Field]) -> Result<Values<'a>> {
    let (mut index, mut values) = (None, Values::default());
    while let Some(field) = reader.next_field(&mut index)? {
        let field = usize::try_from(field)
            .ok()
            .and_then(|i| plan.get(i))
            .ok_or(GobError::NoSuchField)?;
        match *field {
            Field::Int(slot) => values.ints[slot] = reader.int()?,
            Field::Bytes(slot) => values.bytes[slot] = reader.bytes()?,
            Field::SkipNumbers(count) => {
                for _ in 0..count {
                    reader.uint()?;
                }
            }
            Field::SkipBytes => {
                reader.bytes()?;
            }
            Field::Unreadable => return Err(GobError::WrongType),
        }
    }
    Ok(values)
}

fn decode<'a>(shape: &Shape, stream: &'a [u8]) -> Result<Values<'a>> {
    let mut reader = Reader(stream);
    let mut defined: Vec<(i64, Option<Definition<'_>>)> = Vec::new();
    loop {
        let mut message = Reader(reader.bytes()?);
        let id = message.int()?;
        if id < 0 {
            let id = id.checked_neg().ok_or(GobError::BadDefinition)?;
            if id < FIRST_USER_ID || defined.iter().any(|(other, _)| *other == id) {
                return Err(GobError::BadDefinition);
            }
            if defined.len() == MAX_DEFINITIONS {
                return Err(GobError::TooManyDefinitions);
            }
            defined.push((id, definition(&mut message)?));
            continue;
        }
        let fields = defined
            .iter()
            .find(|(other, _)| *other == id)
            .and_then(|(_, fields)| fields.as_ref());
        let plan = plan(shape, fields.ok_or(GobError::Undefined)?)?;
        return struct_value(&mut message, &plan);
    }
}

fn to_i32(value: i64) -> Result<i32> {
    i32::try_from(value).map_err(|_| GobError::OutOfRange)
}

fn to_text(bytes: &[u8]) -> Result<String> {
    std::str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|_| GobError::NotUtf8)
}

fn request_values(stream: &[u8]) -> Result<Values<'_>> {
    if let Some((id, rest)) = sdk_definition(stream) {
        let mut message = Reader(Reader(rest).bytes()?);
        let value_id = message.int()?;
        if value_id == id {
            return struct_value(&mut message, &SDK_FIELDS);
        }
    }
    decode(&REQUEST, stream)
}

/// Reads a request. The definition all official SDKs send is recognised by its bytes, whatever its
/// type id; every other one is read field by field.
///
/// # Errors
/// See [`GobError`]; the connection is then dropped (gateway.md 3.1).
pub fn decode_request(stream: &[u8]) -> std::result::Result<Request, EnvelopeError> {
    let values = request_values(stream)?;
    Ok(Request {
        req_identifier: to_i32(values.ints[0])?,
        token: to_text(values.bytes[1])?,
        send_id: to_text(values.bytes[2])?,
        operation_id: to_text(values.bytes[3])?,
        msg_incr: to_text(values.bytes[4])?,
        data: Bytes::copy_from_slice(values.bytes[5]),
    })
}

/// Reads a reply, whatever order of fields its sender declares.
///
/// # Errors
/// See [`GobError`].
pub fn decode_response(stream: &[u8]) -> std::result::Result<Response, EnvelopeError> {
    let values = decode(&RESPONSE, stream)?;
    Ok(Response {
        req_identifier: to_i32(values.ints[0])?,
        msg_incr: to_text(values.bytes[1])?,
        operation_id: to_text(values.bytes[2])?,
        err_code: to_i32(values.ints[3])?,
        err_msg: to_text(values.bytes[4])?,
        data: Bytes::copy_from_slice(values.bytes[5]),
    })
}

fn raw_int(value: i32) -> u64 {
    let value = i64::from(value);
    ((value << 1) ^ (value >> 63)) as u64
}

fn uint_len(value: u64) -> usize {
    if value < 0x80 {
        1
    } else {
        1 + (71 - value.leading_zeros() as usize) / 8
    }
}

fn put_uint(out: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        out.push(value as u8);
        return;
    }
    let n = uint_len(value) - 1;
    out.push((256 - n) as u8);
    out.extend_from_slice(&value.to_be_bytes()[8 - n..]);
}

/// A field to be sent, in declaration order.
enum Out<'a> {
    Int(i32),
    Bytes(&'a [u8]),
}

impl Out<'_> {
    fn len(&self) -> usize {
        match self {
            Out::Int(0) | Out::Bytes([]) => 0,
            Out::Int(value) => 1 + uint_len(raw_int(*value)),
            Out::Bytes(bytes) => 1 + uint_len(bytes.len() as u64) + bytes.len(),
        }
    }
}

fn encode(prefix: &[u8], fields: &[Out<'_>; 6], out: &mut Vec<u8>) {
    const ID_AND_END: usize = 3;
    let len = ID_AND_END + fields.iter().map(Out::len).sum::<usize>();
    out.reserve(prefix.len() + uint_len(len as u64) + len);
    out.extend_from_slice(prefix);
    put_uint(out, len as u64);
    out.extend_from_slice(&[0xff, 0x80]);
    let mut delta = 0;
    for field in fields {
        delta += 1;
        match field {
            Out::Int(0) | Out::Bytes([]) => continue,
            Out::Int(value) => {
                out.push(delta);
                put_uint(out, raw_int(*value));
            }
            Out::Bytes(bytes) => {
                out.push(delta);
                put_uint(out, bytes.len() as u64);
                out.extend_from_slice(bytes);
            }
        }
        delta = 0;
    }
    out.push(0);
}

/// Appends a reply in one pass, byte for byte as the official server does.
pub fn encode_response(response: &Response, out: &mut Vec<u8>) {
    let fields = [
        Out::Int(response.req_identifier),
        Out::Bytes(response.msg_incr.as_bytes()),
        Out::Bytes(response.operation_id.as_bytes()),
        Out::Int(response.err_code),
        Out::Bytes(response.err_msg.as_bytes()),
        Out::Bytes(&response.data),
    ];
    encode(RESPONSE_PREFIX, &fields, out);
}

/// Appends a request as an SDK sends it.
pub fn encode_request(request: &Request, out: &mut Vec<u8>) {
    let fields = [
        Out::Int(request.req_identifier),
        Out::Bytes(request.token.as_bytes()),
        Out::Bytes(request.send_id.as_bytes()),
        Out::Bytes(request.operation_id.as_bytes()),
        Out::Bytes(request.msg_incr.as_bytes()),
        Out::Bytes(&request.data),
    ];
    encode(REQUEST_PREFIX, &fields, out);
}

#[cfg(test)]
mod tests;
