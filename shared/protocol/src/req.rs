//! Request identifiers of the gateway (spec: gateway.md 5).
//!
//! The two sides of OpenIM name 1002 and 1005 the other way round; the numbers count.

/// Max seq of all own conversations.
pub const GET_MAX_SEQ: i32 = 1001;
/// Pull messages by ranges of seqs.
pub const PULL_BY_RANGE: i32 = 1002;
/// Send a message.
pub const SEND_MSG: i32 = 1003;
/// Signalling: not part of the open server, always answered 1001.
pub const SIGNAL: i32 = 1004;
/// Pull messages by lists of seqs.
pub const PULL_BY_LIST: i32 = 1005;
/// Read seq and max seq of conversations.
pub const GET_HAS_READ_AND_MAX_SEQ: i32 = 1006;
/// Last message of conversations.
pub const GET_LAST_MESSAGE: i32 = 1007;
/// Messages pushed to the client.
pub const PUSH_MSG: i32 = 2001;
/// The client is kicked: its token is no longer good.
pub const KICK: i32 = 2002;
/// Logout.
pub const LOGOUT: i32 = 2003;
/// The app goes to the background or comes back.
pub const SET_BACKGROUND: i32 = 2004;
/// Subscribe to online states; also pushed with an empty msgIncr.
pub const SUBSCRIBE_ONLINE: i32 = 2005;

/// Whether a client may send it. Anything else ends the session.
pub const fn is_request(id: i32) -> bool {
    matches!(id, GET_MAX_SEQ..=GET_LAST_MESSAGE | LOGOUT..=SUBSCRIBE_ONLINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_are_requests() {
        let all: Vec<i32> = (0..4000).filter(|id| is_request(*id)).collect();
        assert_eq!(
            all,
            [1001, 1002, 1003, 1004, 1005, 1006, 1007, 2003, 2004, 2005]
        );
    }
}
