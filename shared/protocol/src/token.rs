//! Login tokens: JWT, HS256 (spec: auth.md 2). Both processes check signatures; whether a token is
//! still wanted is a matter of its stored state, found by its [`fingerprint`].

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::error::{ApiError, ErrorCode};
use crate::json_text::{append_string, match_key};

/// Longest token looked at, in bytes; ours are some 250.
pub const MAX_LEN: usize = 4096;

/// How far `iat` is put into the past, in seconds, so that another host's clock may be late.
const IAT_SKEW_S: i64 = 5;

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Whose token.
    pub user_id: String,
    /// For which platform; need not be a known one.
    pub platform_id: i32,
    /// Unix seconds from which on it is expired.
    pub exp: i64,
    /// Unix seconds at which it was issued; 0 if it does not say.
    pub iat: i64,
}

impl Claims {
    /// Claims of a token issued at `now_s` (Unix seconds) that lasts `days` days.
    pub fn new(user_id: impl Into<String>, platform_id: i32, now_s: i64, days: u32) -> Self {
        Self {
            user_id: user_id.into(),
            platform_id,
            exp: now_s.saturating_add(i64::from(days) * 86_400),
            iat: now_s.saturating_sub(IAT_SKEW_S),
        }
    }
}

/// Why a token is refused. Holds nothing of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// 1503: not three base64url parts with JSON of the right types, too long, or without `exp`.
    #[error("token is malformed")]
    Malformed,
    /// 1505: another algorithm than HS256.
    #[error("signing method is not accepted")]
    Algorithm,
    /// 1505: made with another secret.
    #[error("signature is invalid")]
    Signature,
    /// 1501: past its `exp`.
    #[error("token is expired")]
    Expired,
    /// 1504: before its `nbf`.
    #[error("token is not valid yet")]
    NotValidYet,
    /// 1505: before its `iat`.
    #[error("token used before issued")]
    UsedBeforeIssued,
}

impl TokenError {
    /// Code that clients act on.
    pub const fn code(self) -> ErrorCode {
        match self {
            TokenError::Malformed => ErrorCode::TokenMalformed,
            TokenError::Algorithm | TokenError::Signature | TokenError::UsedBeforeIssued => {
                ErrorCode::TokenUnknown
            }
            TokenError::Expired => ErrorCode::TokenExpired,
            TokenError::NotValidYet => ErrorCode::TokenNotValidYet,
        }
    }
}

impl From<TokenError> for ApiError {
    fn from(e: TokenError) -> Self {
        ApiError::new(e.code(), e.to_string())
    }
}

fn mac(secret: &[u8], signed: &str) -> Hmac<Sha256> {
    // What HMAC does with its key: hashed if longer than a block, then filled up with zeros.
    let mut block = [0; 64];
    if secret.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(secret));
    } else {
        block[..secret.len()].copy_from_slice(secret);
    }
    let mut mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
    mac.update(signed.as_bytes());
    mac
}

/// Makes a token. The same claims give the same string: two logins of a user at a platform within
/// one second share it.
pub fn sign(claims: &Claims, secret: impl AsRef<[u8]>) -> String {
    let mut body = br#"{"UserID":"#.to_vec();
    append_string(&claims.user_id, &mut body);
    let Claims {
        platform_id,
        exp,
        iat,
        ..
    } = claims;
    body.extend_from_slice(
        format!(r#","PlatformID":{platform_id},"exp":{exp},"iat":{iat}}}"#).as_bytes(),
    );
    let mut token = URL_SAFE_NO_PAD.encode(HEADER);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(body, &mut token);
    let signature = mac(secret.as_ref(), &token).finalize().into_bytes();
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    token
}

fn object(part: &str) -> Result<Map<String, Value>, TokenError> {
    let text = URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&text).map_err(|_| TokenError::Malformed)
}

/// A time claim: whole or fractional seconds; `null` is absent.
fn seconds(value: &Value) -> Result<Option<i64>, TokenError> {
    match value {
        Value::Null => Ok(None),
        Value::Number(n) => n
            .as_i64()
            .or(n.as_f64().map(|s| s as i64))
            .map(Some)
            .ok_or(TokenError::Malformed),
        _ => Err(TokenError::Malformed),
    }
}

/// Checks a token's form, algorithm, signature and times, in this order; `now_s` is Unix seconds.
///
/// # Errors
/// See [`TokenError`].
pub fn verify(token: &str, secret: impl AsRef<[u8]>, now_s: i64) -> Result<Claims, TokenError> {
    const KEYS: [&str; 5] = ["UserID", "PlatformID", "exp", "nbf", "iat"];
    if token.len() > MAX_LEN {
        return Err(TokenError::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (header, body) = signed.split_once('.').ok_or(TokenError::Malformed)?;
    if body.contains('.') {
        return Err(TokenError::Malformed);
    }
    let (header, body) = (object(header)?, object(body)?);
    let signature = URL_SAFE_NO_PAD
        .decode(signature)
        .map_err(|_| TokenError::Malformed)?;

    let mut claims = Claims {
        user_id: String::new(),
        platform_id: 0,
        exp: 0,
        iat: 0,
    };
    let (mut exp, mut nbf, mut iat) = (None, None, None);
    for (key, value) in &body {
        match (match_key(&KEYS, key), value) {
            (Some(0 | 1), Value::Null) => {}
            (Some(0), Value::String(user_id)) => claims.user_id.clone_from(user_id),
            (Some(1), Value::Number(n)) => {
                let id = n.as_i64().and_then(|id| i32::try_from(id).ok());
                claims.platform_id = id.ok_or(TokenError::Malformed)?;
            }
            (Some(2), value) => exp = seconds(value)?,
            (Some(3), value) => nbf = seconds(value)?,
            (Some(4), value) => iat = seconds(value)?,
            (Some(_), _) => return Err(TokenError::Malformed),
            (None, _) => {}
        }
    }
    if header.get("alg").and_then(Value::as_str) != Some("HS256") {
        return Err(TokenError::Algorithm);
    }
    // Compares in constant time.
    mac(secret.as_ref(), signed)
        .verify_slice(&signature)
        .map_err(|_| TokenError::Signature)?;

    claims.exp = exp.ok_or(TokenError::Malformed)?;
    claims.iat = iat.unwrap_or(0);
    if now_s >= claims.exp {
        return Err(TokenError::Expired);
    }
    if nbf.is_some_and(|nbf| now_s < nbf) {
        return Err(TokenError::NotValidYet);
    }
    if now_s < claims.iat {
        return Err(TokenError::UsedBeforeIssued);
    }
    Ok(claims)
}

/// First 16 bytes of the token's SHA-256: its name wherever it is stored, cached or told.
pub fn fingerprint(token: &str) -> [u8; 16] {
    let digest = Sha256::digest(token);
    std::array::from_fn(|i| digest[i])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: &str = "openIM123";
    const NOW: i64 = 1_700_000_000;

    fn token() -> String {
        sign(&Claims::new("u1", 5, NOW, 90), SECRET)
    }

    /// A token with any header and claims, signed as ours are.
    fn custom(header: &str, body: &str) -> String {
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(body)
        );
        let signature = mac(SECRET.as_bytes(), &signed).finalize().into_bytes();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn check(header: &str, body: &str) -> Result<Claims, TokenError> {
        verify(&custom(header, body), SECRET, NOW)
    }

    #[test]
    fn the_signature_is_that_of_the_published_example() {
        // RFC 7515, A.1; the key there is longer than a hash and as long as a block.
        let key = URL_SAFE_NO_PAD
            .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
            .unwrap();
        let signed = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
            eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let token = format!("{signed}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        let claims = verify(&token, &key, 1_300_819_379).unwrap();
        assert_eq!((claims.user_id.as_str(), claims.exp), ("", 1_300_819_380));
        assert_eq!(
            verify(&token, &key, 1_300_819_380),
            Err(TokenError::Expired)
        );
        // RFC 4231, case 6: a key longer than a block.
        let long = mac(
            &[0xaa; 131],
            "Test Using Larger Than Block-Size Key - Hash Key First",
        );
        assert_eq!(long.finalize().into_bytes()[..4], [0x60, 0xe4, 0x31, 0x59]);
    }

    #[test]
    fn header_and_claims_are_openims_byte_for_byte() {
        let token = token();
        let parts: Vec<_> = token.split('.').collect();
        let plain = |part: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        assert_eq!(plain(parts[0]), HEADER);
        assert_eq!(
            plain(parts[1]),
            r#"{"UserID":"u1","PlatformID":5,"exp":1707776000,"iat":1699999995}"#
        );
        assert_eq!(parts.len(), 3);
        assert_eq!(
            verify(&token, SECRET, NOW),
            Ok(Claims::new("u1", 5, NOW, 90))
        );
    }

    #[test]
    fn times_are_checked_in_order() {
        let claims = Claims::new("u1", 5, NOW, 1);
        let token = sign(&claims, SECRET);
        assert_eq!(verify(&token, SECRET, claims.exp - 1), Ok(claims.clone()));
        assert_eq!(verify(&token, SECRET, claims.exp), Err(TokenError::Expired));
        assert_eq!(
            verify(&token, SECRET, claims.iat - 1),
            Err(TokenError::UsedBeforeIssued)
        );
        let table = [
            (
                format!(r#"{{"exp":{NOW},"nbf":{},"iat":{}}}"#, NOW + 1, NOW + 1),
                TokenError::Expired,
            ),
            (
                format!(
                    r#"{{"exp":{},"nbf":{},"iat":{}}}"#,
                    NOW + 9,
                    NOW + 1,
                    NOW + 1
                ),
                TokenError::NotValidYet,
            ),
            (
                format!(r#"{{"exp":{},"iat":{}}}"#, NOW + 9, NOW + 1),
                TokenError::UsedBeforeIssued,
            ),
            (r#"{"UserID":"u1"}"#.to_owned(), TokenError::Malformed),
            (r#"{"exp":null}"#.to_owned(), TokenError::Malformed),
        ];
        for (body, error) in table {
            assert_eq!(check(HEADER, &body), Err(error), "{body}");
        }
    }

    #[test]
    fn claims_are_read_as_the_go_library_does() {
        let body = format!(
            r#"{{"userid":"é\n","PLATFORMID":11,"EXP":{}.5,"jti":"x","iat":null}}"#,
            NOW + 1
        );
        let claims = check(HEADER, &body).unwrap();
        assert_eq!(
            claims,
            Claims {
                user_id: "é\n".into(),
                platform_id: 11,
                exp: NOW + 1,
                iat: 0
            }
        );
        for bad in [
            r#"{"UserID":1,"exp":9999999999}"#,
            r#"{"PlatformID":"5","exp":9999999999}"#,
            r#"{"PlatformID":5.5,"exp":9999999999}"#,
            r#"{"PlatformID":2147483648,"exp":9999999999}"#,
            r#"{"exp":"9999999999"}"#,
            r#"{"exp":9999999999,"nbf":[]}"#,
            r#"[]"#,
            r#"{"exp":9999999999}x"#,
        ] {
            assert_eq!(check(HEADER, bad), Err(TokenError::Malformed), "{bad}");
        }
    }

    #[test]
    fn other_algorithms_and_secrets_are_refused_before_the_times() {
        let body = r#"{"exp":1}"#;
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"HS512"}"#,
            r#"{"alg":"hs256"}"#,
            r#"{"alg":["HS256"]}"#,
            r#"{"typ":"JWT"}"#,
        ] {
            assert_eq!(check(header, body), Err(TokenError::Algorithm), "{header}");
        }
        let token = sign(&Claims::new("u1", 5, 0, 1), SECRET);
        assert_eq!(verify(&token, "other", NOW), Err(TokenError::Signature));
        assert_eq!(verify(&token, SECRET, NOW), Err(TokenError::Expired));
        let unsigned = &token[..=token.rfind('.').unwrap()];
        assert_eq!(verify(unsigned, SECRET, NOW), Err(TokenError::Signature));
    }

    #[test]
    fn what_is_no_token_is_malformed() {
        let good = token();
        let dotted = format!("{good}.");
        let padded = format!("{good}=");
        let long = format!("{good}{}", "A".repeat(MAX_LEN));
        for bad in [
            "", ".", "..", "a.b", "a.b.c", "e30.e30", &dotted, &padded, &long, "é.é.é", "e30..e30",
        ] {
            assert_eq!(
                verify(bad, SECRET, NOW),
                Err(TokenError::Malformed),
                "{bad:.20}"
            );
        }
    }

    #[test]
    fn errors_map_to_the_codes_of_the_api_and_tell_nothing_of_the_token() {
        let codes = [
            (TokenError::Malformed, 1503),
            (TokenError::Algorithm, 1505),
            (TokenError::Signature, 1505),
            (TokenError::Expired, 1501),
            (TokenError::NotValidYet, 1504),
            (TokenError::UsedBeforeIssued, 1505),
        ];
        for (error, code) in codes {
            let api = ApiError::from(error);
            assert_eq!(api.code, code);
            assert!(api.detail.len() < 40);
        }
    }

    #[test]
    fn fingerprints_are_the_first_half_of_sha_256() {
        assert_eq!(fingerprint("abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_ne!(fingerprint("abc"), fingerprint("abd"));
    }

    proptest! {
        #[test]
        fn any_user_survives(user: String, platform: i32, secret: Vec<u8>) {
            let claims = Claims::new(user, platform, NOW, 1);
            prop_assert_eq!(verify(&sign(&claims, &secret), &secret, NOW), Ok(claims));
        }

        #[test]
        fn any_text_is_answered(text in "[A-Za-z0-9_.=-]{0,80}|.*") {
            prop_assert!(verify(&text, SECRET, NOW).is_err());
        }

        #[test]
        fn no_changed_byte_is_accepted(at in 0usize..200, byte in "[A-Za-z0-9_.-]") {
            let good = token();
            let mut changed = good.clone();
            let at = at % good.len();
            changed.replace_range(at..=at, &byte);
            prop_assert_eq!(verify(&changed, SECRET, NOW).is_ok(), changed == good);
        }
    }
}
