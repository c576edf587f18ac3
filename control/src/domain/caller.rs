//! Who is calling (spec: api.md 7).

use ringwire_protocol::error::ApiError;
use std::net::IpAddr;

/// The acting user of one request, taken from the token alone: no header or field names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The token's user; empty on the routes that need no token.
    pub user_id: String,
    /// The token's platform; 0 on the routes that need no token.
    pub platform_id: i32,
    /// The user is listed in `shared.admin_user_ids`. Nothing stored on the user matters.
    pub admin: bool,
    /// The request's `operationID`: a trace id.
    pub operation_id: String,
    /// Where the request came from.
    pub address: IpAddr,
}

impl Caller {
    /// Only admins may go on.
    ///
    /// # Errors
    /// 1002 for everybody else.
    pub fn require_admin(&self) -> Result<(), ApiError> {
        if self.admin {
            return Ok(());
        }
        Err(ApiError::no_permission(format!(
            "user {} is not admin userID",
            self.user_id
        )))
    }

    /// Only the user himself and admins may go on.
    ///
    /// # Errors
    /// 1002 for everybody else.
    pub fn require_self(&self, user_id: &str) -> Result<(), ApiError> {
        if self.admin || self.user_id == user_id {
            return Ok(());
        }
        Err(ApiError::no_permission(format!("ownerUserID, {user_id}")))
    }

    /// For the routes that OpenIM leaves open to any token (spec: api.md 9): admins only, unless
    /// `open` (`control.legacy_open_routes`) restores that.
    ///
    /// # Errors
    /// 1002.
    pub fn require_admin_unless(&self, open: bool) -> Result<(), ApiError> {
        if open { Ok(()) } else { self.require_admin() }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use ringwire_protocol::error::ErrorCode;

    pub(crate) fn caller(user_id: &str, admin: bool) -> Caller {
        Caller {
            user_id: user_id.into(),
            platform_id: 1,
            admin,
            operation_id: "op".into(),
            address: [127, 0, 0, 1].into(),
        }
    }

    #[test]
    fn an_admin_may_act_for_anybody_a_user_for_himself() {
        let refused =
            |r: Result<(), ApiError>| r.unwrap_err().code == ErrorCode::NoPermission as i32;
        assert!(caller("admin", true).require_self("u").is_ok());
        assert!(caller("u", false).require_self("u").is_ok());
        assert!(refused(caller("u", false).require_self("v")));
        assert!(refused(caller("u", false).require_self("")));
        assert!(refused(caller("u", false).require_admin()));
        assert!(refused(caller("u", false).require_admin_unless(false)));
        assert!(caller("u", false).require_admin_unless(true).is_ok());
    }
}
