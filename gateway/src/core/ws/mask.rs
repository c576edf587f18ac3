//! Masking: payload bytes XOR a 4-byte key (RFC 6455 5.3).

/// XORs `bytes` with the key, as if they stood `phase` bytes into the payload. Returns the phase of the
/// byte after them.
pub fn apply_mask(bytes: &mut [u8], key: [u8; 4], phase: usize) -> usize {
    let at = |i: usize| key[(phase + i) % 4];
    let wide = u64::from_ne_bytes([at(0), at(1), at(2), at(3), at(0), at(1), at(2), at(3)]);
    let mut chunks = bytes.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        chunk.copy_from_slice(&(u64::from_ne_bytes(word) ^ wide).to_ne_bytes());
    }
    for (i, byte) in chunks.into_remainder().iter_mut().enumerate() {
        *byte ^= at(i);
    }
    (phase + bytes.len()) % 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn wide_and_split_masking_equal_the_definition(
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
            key: [u8; 4],
            cut in 0usize..100,
        ) {
            let wanted: Vec<u8> = bytes.iter().enumerate().map(|(i, b)| b ^ key[i % 4]).collect();
            let mut got = bytes;
            let cut = cut.min(got.len());
            let (head, tail) = got.split_at_mut(cut);
            let phase = apply_mask(head, key, 0);
            apply_mask(tail, key, phase);
            prop_assert_eq!(got, wanted);
        }
    }
}
