//! The hash by which a client and the server compare full lists of ids (spec: sync.md 4).

use md5::{Digest, Md5};

use crate::json_text::append_string;

/// Hash of a list in its order; 0 of an empty one, and clients that compute none send 0 too.
pub fn id_hash<S: AsRef<str>>(ids: &[S]) -> u64 {
    if ids.is_empty() {
        return 0;
    }
    let mut text = vec![b'['];
    for (i, id) in ids.iter().enumerate() {
        if i > 0 {
            text.push(b',');
        }
        append_string(id.as_ref(), &mut text);
    }
    text.push(b']');
    let digest = Md5::digest(&text);
    digest
        .iter()
        .take(8)
        .fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_spec() {
        let table: [(&[&str], u64); 7] = [
            (&[], 0),
            (&["a"], 5518804830492625176),
            (&["a", "b"], 16518927257079726733),
            (&["b", "a"], 7882299105603966109),
            (&["si_1_2", "sg_3"], 7382252225645293911),
            (&["用户"], 14693797707897875956),
            (&["u<1>&"], 12343829426982829590),
        ];
        for (ids, hash) in table {
            assert_eq!(id_hash(ids), hash, "{ids:?}");
        }
    }

    #[test]
    fn all_escapes_are_the_go_librarys() {
        let mut text = Vec::new();
        append_string(
            "\"\\\u{8}\u{c}\n\r\t\u{1}\u{1f}\u{7f}/\u{2028}\u{2029}é",
            &mut text,
        );
        let expected = "\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\u{7f}/\\u2028\\u2029é\"";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
