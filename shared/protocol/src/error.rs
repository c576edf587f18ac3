//! Error codes of the API and of the gateway (spec: api.md 5).

use std::borrow::Cow;

/// An API error as clients see it: code, the code's fixed name, and free text for people.
///
/// Every typed error of the libraries is mapped to one of these in one place per crate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code} {message}: {detail}")]
pub struct ApiError {
    /// `errCode`, never 0.
    pub code: i32,
    /// `errMsg`.
    pub message: Cow<'static, str>,
    /// `errDlt`; may be empty. Never holds a secret or a token.
    pub detail: Cow<'static, str>,
}

impl ApiError {
    /// An error of a known code, with its fixed name.
    pub fn new(code: ErrorCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code: code as i32,
            message: Cow::Borrowed(code.name()),
            detail: detail.into(),
        }
    }

    /// 1001 ArgsError.
    pub fn args(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::Args, detail)
    }

    /// 1002 NoPermissionError.
    pub fn no_permission(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::NoPermission, detail)
    }

    /// 1004 RecordNotFoundError.
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::RecordNotFound, detail)
    }

    /// 500 ServerInternalError.
    pub fn internal(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::ServerInternal, detail)
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        /// Codes that Ringwire answers with.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(i32)]
        pub enum ErrorCode { $($(#[$doc])* $name = $value,)* }

        impl ErrorCode {
            /// Every code, in ascending order.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$name,)*];

            /// The fixed `errMsg` of the code.
            pub const fn name(self) -> &'static str {
                match self { $(ErrorCode::$name => $text,)* }
            }
        }
    };
}

codes! {
    /// Rate limited.
    TooManyRequests = 429, "too many requests, please try again later";
    /// Anything unexpected, and what needs control while control is away.
    ServerInternal = 500, "ServerInternalError";
    /// Bad input.
    Args = 1001, "ArgsError";
    /// Not allowed.
    NoPermission = 1002, "NoPermissionError";
    /// Unique key taken.
    DuplicateKey = 1003, "DuplicateKeyError";
    /// Record not found.
    RecordNotFound = 1004, "RecordNotFoundError";
    /// User not registered (group calls, OA sending).
    UserIDNotFound = 1101, "UserIDNotFoundError";
    /// User exists.
    RegisteredAlready = 1102, "RegisteredAlreadyError";
    /// Group does not exist.
    GroupIDNotFound = 1201, "GroupIDNotFoundError";
    /// Group id taken.
    GroupIDExisted = 1202, "GroupIDExisted";
    /// Not a member.
    NotInGroupYet = 1203, "NotInGroupYetError";
    /// Group dismissed.
    DismissedAlready = 1204, "DismissedAlreadyError";
    /// Join request already handled.
    GroupRequestHandled = 1206, "GroupRequestHandled";
    /// Befriending oneself.
    CanNotAddYourself = 1301, "CanNotAddYourselfError";
    /// In the peer's blacklist.
    BlockedByPeer = 1302, "BlockedByPeer";
    /// Not a friend of the peer.
    NotPeersFriend = 1303, "NotPeersFriend";
    /// Already friends.
    RelationshipAlready = 1304, "RelationshipAlreadyError";
    /// Friend request already handled.
    FriendRequestHandled = 1305, "FriendRequestHandled";
    /// Sender muted in the group.
    MutedInGroup = 1402, "MutedInGroup";
    /// Group muted.
    MutedGroup = 1403, "MutedGroup";
    /// Message already revoked.
    MsgAlreadyRevoke = 1404, "MsgAlreadyRevoke";
    /// Token past its `exp`.
    TokenExpired = 1501, "TokenExpiredError";
    /// Token of another user or platform (gateway only).
    TokenInvalid = 1502, "TokenInvalidError";
    /// Not a parsable JWT.
    TokenMalformed = 1503, "TokenMalformedError";
    /// `nbf` in the future.
    TokenNotValidYet = 1504, "TokenNotValidYetError";
    /// Bad signature, unusable algorithm, unexpected stored state.
    TokenUnknown = 1505, "TokenUnknownError";
    /// Token marked kicked.
    TokenKicked = 1506, "TokenKickedError";
    /// Token not in the store.
    TokenNotExist = 1507, "TokenNotExistError";
    /// Gateway connection limit.
    ConnOverMaxNumLimit = 1601, "ConnOverMaxNumLimit";
    /// Gateway query arguments.
    ConnArgs = 1602, "args err, need token, sendID, platformID";
    /// Push to a connection failed.
    PushMsg = 1603, "push msg err";
    /// iOS connection in background.
    IosBackgroundPush = 1604, "ios background push err";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_ascend_and_have_names() {
        let values: Vec<i32> = ErrorCode::ALL.iter().map(|c| *c as i32).collect();
        assert!(values.windows(2).all(|w| w[0] < w[1]));
        assert!(ErrorCode::ALL.iter().all(|c| !c.name().is_empty()));
    }
}
