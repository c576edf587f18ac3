//! The secret: the password of `/auth/get_admin_token` and the key of the tokens (auth.md 2, 6).

use crate::ConfigError;
use std::fmt;
use std::path::Path;

/// Shortest secret accepted, bytes.
pub const SECRET_MIN_BYTES: usize = 16;

/// Parts that give away a placeholder or a published default, compared without case.
const WEAK: [&str; 6] = [
    "openim",
    "ringwire",
    "changeme",
    "change-me",
    "password",
    "secret",
];

/// A secret that was read and found fit for use. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The bytes: the key of the tokens, and what `/auth/get_admin_token` compares with.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Reads the secret at `path`; one line end at the end of the file does not count.
///
/// # Errors
/// [`ConfigError::Read`] if the file cannot be read; [`ConfigError::Secret`] if it is not UTF-8, shorter than
/// [`SECRET_MIN_BYTES`], has fewer than 6 different bytes, or contains a word of published defaults.
pub fn read_secret(path: &Path) -> Result<Secret, ConfigError> {
    let mut bytes = std::fs::read(path).map_err(|source| ConfigError::Read {
        path: path.to_path_buf(),
        source,
    })?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    match weakness(&bytes) {
        None => Ok(Secret(bytes)),
        Some(reason) => Err(ConfigError::Secret {
            path: path.to_path_buf(),
            reason: format!(
                "{reason}; write a new one, for example with: head -c 24 /dev/urandom | base64"
            ),
        }),
    }
}

fn weakness(secret: &[u8]) -> Option<String> {
    // Callers send it inside JSON, so it has to be text.
    let Ok(text) = std::str::from_utf8(secret) else {
        return Some("the secret is not UTF-8 text".to_owned());
    };
    if secret.len() < SECRET_MIN_BYTES {
        return Some(format!(
            "the secret has {} bytes and needs at least {SECRET_MIN_BYTES}",
            secret.len()
        ));
    }
    let mut seen = [false; 256];
    secret.iter().for_each(|b| seen[usize::from(*b)] = true);
    if seen.iter().filter(|s| **s).count() < 6 {
        return Some("the secret repeats a few characters only".to_owned());
    }
    let folded = text.to_lowercase();
    // A long random secret may contain such a word by chance (about once in 10^8); a placeholder consists of it.
    WEAK.iter()
        .any(|word| folded.contains(word))
        .then(|| "the secret contains a word of well-known defaults".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn read(content: &[u8]) -> Result<Secret, ConfigError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        read_secret(file.path())
    }

    #[test]
    fn strips_one_line_end() {
        let secret = read(b"q8mT4zLw0Yc2Vn7p\n").unwrap();
        assert_eq!(secret.as_bytes(), b"q8mT4zLw0Yc2Vn7p");
        let secret = read(b"q8mT4zLw0Yc2Vn7p\r\n").unwrap();
        assert_eq!(secret.as_bytes(), b"q8mT4zLw0Yc2Vn7p");
        let secret = read(b"q8mT4zLw0Yc2Vn7p\n\n").unwrap();
        assert_eq!(secret.as_bytes(), b"q8mT4zLw0Yc2Vn7p\n");
    }

    #[test]
    fn refuses_what_can_be_guessed() {
        let weak: [&[u8]; 6] = [
            b"openIM123",
            b"openIM123openIM123",
            b"Change-Me-Please-1234",
            b"aaaaaaaaaaaaaaaaaaaaaaaa",
            b"q8mT4zLw0Yc2Vn7",
            b"\xff\xfe4zLw0Yc2Vn7pq8mT",
        ];
        for secret in weak {
            let error = read(secret).unwrap_err();
            assert!(matches!(error, ConfigError::Secret { .. }), "{error}");
            let shown = String::from_utf8_lossy(secret);
            assert!(!error.to_string().contains(&*shown), "shows the secret");
        }
    }

    #[test]
    fn debug_hides_it() {
        let secret = read(b"q8mT4zLw0Yc2Vn7p").unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }
}
