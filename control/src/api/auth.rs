//! `/auth/*` (spec: auth.md 6).

use super::check;
use super::codec::Empty;
use crate::app::App;
use crate::domain::caller::Caller;
use crate::store::User;
use crate::tokens::policy::ADMIN_PLATFORM;
use hmac::{Hmac, KeyInit, Mac};
use ringwire_protocol::error::{ApiError, ErrorCode};
use ringwire_protocol::pb::auth::{
    ForceLogoutReq, GetAdminTokenReq, GetAdminTokenResp, GetUserTokenReq, GetUserTokenResp,
    ParseTokenReq, ParseTokenResp,
};
use sha2::Sha256;
use std::time::Instant;

/// Level from which an account cannot get a token.
const NOTIFICATION_LEVEL: i32 = 3;

/// A token for an admin, against the secret. The reply's `expireTimeSeconds` is a duration.
pub(super) async fn get_admin_token(
    app: &App,
    caller: Caller,
    request: GetAdminTokenReq,
) -> Result<GetAdminTokenResp, ApiError> {
    check::present("userID", &request.user_id)?;
    let now = Instant::now();
    if !app.secret_failures.has(&caller.address, now) {
        return Err(ApiError::new(
            ErrorCode::TooManyRequests,
            "too many wrong secrets",
        ));
    }
    if !same(app.secret.as_bytes(), request.secret.as_bytes()) {
        app.secret_failures.take(caller.address, now);
        return Err(ApiError::no_permission("secret invalid"));
    }
    if !app.is_admin(&request.user_id) {
        return Err(ApiError::args(format!(
            "userID {} is not an admin",
            request.user_id
        )));
    }
    find(app, &request.user_id, "user not found").await?;
    let issued = app.tokens.issue(&request.user_id, ADMIN_PLATFORM).await?;
    Ok(GetAdminTokenResp {
        token: issued.token,
        expire_time_seconds: issued.lifetime_s,
    })
}

/// A token for a user on a platform. The reply's `expireTimeSeconds` is a duration.
pub(super) async fn get_user_token(
    app: &App,
    caller: Caller,
    request: GetUserTokenReq,
) -> Result<GetUserTokenResp, ApiError> {
    caller.require_admin()?;
    if request.platform_id == ADMIN_PLATFORM {
        return Err(ApiError::no_permission(
            "platformID invalid. platformID must not be adminPlatformID",
        ));
    }
    if !(1..=11).contains(&request.platform_id) {
        return Err(ApiError::args("platformID is invalid"));
    }
    if app.is_admin(&request.user_id) {
        return Err(ApiError::no_permission("don't get Admin token"));
    }
    let user = find(app, &request.user_id, "record not found").await?;
    if user.level >= NOTIFICATION_LEVEL {
        return Err(ApiError::args("app account can`t get token"));
    }
    let issued = app
        .tokens
        .issue(&request.user_id, request.platform_id)
        .await?;
    Ok(GetUserTokenResp {
        token: issued.token,
        expire_time_seconds: issued.lifetime_s,
    })
}

/// Whose a token is. The reply's `expireTimeSeconds` is a point in time.
pub(super) async fn parse_token(
    app: &App,
    _: Caller,
    request: ParseTokenReq,
) -> Result<ParseTokenResp, ApiError> {
    check::present("token", &request.token)?;
    let holder = app.tokens.check(&request.token)?;
    Ok(ParseTokenResp {
        user_id: holder.user_id,
        platform_id: holder.platform_id,
        expire_time_seconds: holder.expires_s,
    })
}

/// Puts a user's tokens on a platform (0 = on all) out of force, then closes the sessions there.
pub(super) async fn force_logout(
    app: &App,
    caller: Caller,
    request: ForceLogoutReq,
) -> Result<Empty, ApiError> {
    check::present("userID", &request.user_id)?;
    let (platform, platforms) = match request.platform_id {
        0 => (None, Vec::new()),
        id @ 1..=11 => (Some(id), vec![id]),
        _ => return Err(ApiError::args("platformID is invalidate")),
    };
    caller.require_admin()?;
    // In this order: a quick client would come back with the token still in force.
    app.tokens.kick(&request.user_id, platform).await?;
    app.gateways.kick(&request.user_id, &platforms).await;
    Ok(Empty)
}

async fn find(app: &App, user_id: &str, otherwise: &'static str) -> Result<User, ApiError> {
    let found = app.stores.users.get(&[user_id.to_owned()]).await?;
    found
        .into_iter()
        .next()
        .ok_or_else(|| ApiError::not_found(otherwise))
}

/// Compares without telling by its duration where the two differ, or whether in length.
fn same(secret: &[u8], given: &[u8]) -> bool {
    // Both under one key, so that what is compared has one length.
    let mac =
        |text: &[u8]| Hmac::<Sha256>::new_from_slice(secret).map(|mac| mac.chain_update(text));
    match (mac(secret), mac(given)) {
        (Ok(ours), Ok(theirs)) => ours.verify_slice(&theirs.finalize().into_bytes()).is_ok(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn only_the_secret_itself_is_the_same() {
        assert!(same(b"0123456789abcdef", b"0123456789abcdef"));
        for wrong in [
            &b""[..],
            b"0123456789abcdeg",
            b"0123456789abcde",
            b"0123456789abcdef0",
        ] {
            assert!(!same(b"0123456789abcdef", wrong));
        }
    }
}
