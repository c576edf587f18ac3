//! Input for fuzz tests: arbitrary bytes, and valid samples with damage.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::Config;

/// The number of cases of every fuzz test; `RINGWIRE_FUZZ_CASES` sets another.
pub(crate) fn cases() -> Config {
    let wanted = std::env::var("RINGWIRE_FUZZ_CASES").ok();
    Config {
        cases: wanted.and_then(|n| n.parse().ok()).unwrap_or(20_000),
        failure_persistence: None,
        ..Config::default()
    }
}

#[derive(Debug, Clone)]
enum Edit {
    Set(Index, u8),
    Flip(Index, u8),
    Cut(Index),
    Remove(Index, Index),
    Insert(Index, Vec<u8>),
    Repeat(Index, Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    // Bytes on which length and type decisions hang.
    let telling = select(vec![0x00, 0x01, 0x7f, 0x80, 0xf8, 0xfe, 0xff]);
    prop_oneof![
        (any::<Index>(), telling).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (any::<Index>(), 0u8..8).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        any::<Index>().prop_map(Edit::Cut),
        (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Edit::Remove(a, b)),
        (any::<Index>(), prop::collection::vec(any::<u8>(), 1..12))
            .prop_map(|(at, b)| Edit::Insert(at, b)),
        (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Edit::Repeat(a, b)),
    ]
}

fn apply(bytes: &mut Vec<u8>, edit: Edit) {
    if bytes.is_empty() {
        return;
    }
    let range = |a: Index, b: Index, len| {
        let (a, b) = (a.index(len), b.index(len));
        a.min(b)..a.max(b)
    };
    match edit {
        Edit::Set(at, byte) => {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        Edit::Flip(at, bit) => {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        Edit::Cut(at) => bytes.truncate(at.index(bytes.len())),
        Edit::Remove(a, b) => drop(bytes.drain(range(a, b, bytes.len()))),
        Edit::Insert(at, new) => {
            let at = at.index(bytes.len());
            bytes.splice(at..at, new);
        }
        Edit::Repeat(a, b) => {
            let part = bytes[range(a, b, bytes.len())].to_vec();
            bytes.extend(part);
        }
    }
}

/// Mostly `samples` with one to five edits, sometimes whole, sometimes arbitrary bytes.
pub(crate) fn damaged(samples: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec(edit(), 0..6);
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..300),
        8 => (select(samples), edits).prop_map(|(mut bytes, edits)| {
            edits.into_iter().for_each(|e| apply(&mut bytes, e));
            bytes
        }),
    ]
}
