//! Facts: what a gateway must know to judge a message, read from control once and kept fresh by
//! [`FactChange`]s that arrive in the order of the changes.

#![allow(missing_docs)] // the archive derive makes undocumented twins of the documented types

use rkyv::{Archive, Deserialize, Serialize};

/// Names one fact.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[rkyv(derive(Debug))]
pub enum FactKey {
    /// A user's level and receive option.
    User(String),
    /// What two users are to each other; the smaller id (byte order) first.
    Pair(String, String),
    /// A group's status.
    Group(String),
    /// One member of a group.
    Member {
        /// The group.
        group_id: String,
        /// The user.
        user_id: String,
    },
    /// The groups a user is in, for the fan-out index of his home core.
    UserGroups(String),
}

/// The value of a fact at the moment control read it.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub enum Fact {
    /// `None`: not registered.
    User(Option<UserFact>),
    /// Always known; all false / `None` where nothing is recorded.
    Pair(PairFact),
    /// `None`: no such group.
    Group(Option<GroupFact>),
    /// `None`: not a member.
    Member(Option<MemberFact>),
    /// Ids of joined groups, dismissed ones left out.
    UserGroups(Vec<String>),
}

/// A registered user (spec: user.md 1).
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[rkyv(derive(Debug))]
pub struct UserFact {
    /// appMangerLevel; 2 and above skip blacklist and friend checks.
    pub level: i32,
    /// globalRecvMsgOpt: 0 receive, 1 refuse, 2 no offline push.
    pub global_recv_opt: i32,
}

/// Relations of users `a` < `b`.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[rkyv(derive(Debug))]
pub struct PairFact {
    /// `b` is in `a`'s blacklist.
    pub a_blocks_b: bool,
    /// `a` is in `b`'s blacklist.
    pub b_blocks_a: bool,
    /// `b` is in `a`'s friend list.
    pub a_lists_b: bool,
    /// `a` is in `b`'s friend list.
    pub b_lists_a: bool,
    /// recvMsgOpt of `a`'s record of the single chat; `None` without a record.
    pub a_recv_opt: Option<i32>,
    /// recvMsgOpt of `b`'s record of the single chat; `None` without a record.
    pub b_recv_opt: Option<i32>,
}

/// A group (spec: group.md).
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[rkyv(derive(Debug))]
pub struct GroupFact {
    /// 0 ok, 2 dismissed, 3 muted.
    pub status: i32,
    /// groupType; 1 skips the member checks.
    pub group_type: i32,
}

/// A member of a group.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[rkyv(derive(Debug))]
pub struct MemberFact {
    /// 100 owner, 60 admin, 20 member.
    pub role: i32,
    /// Unix milliseconds until which the member may not speak; 0 = not muted.
    pub mute_end_ms: i64,
}

/// One change of the world. A core forgets the facts it touches (they are fetched again when
/// needed) and applies what it must know at once.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub enum FactChange {
    /// The user's fact changed.
    User(String),
    /// The pair's fact changed; smaller id first.
    Pair(String, String),
    /// The group's fact changed.
    Group(String),
    /// Roles or mutes of members changed.
    Members {
        /// The group.
        group_id: String,
        /// Whose record changed.
        user_ids: Vec<String>,
    },
    /// Users joined: their member facts changed and their sessions now get the group's messages.
    Joined {
        /// The group.
        group_id: String,
        /// Who joined.
        user_ids: Vec<String>,
    },
    /// Users left or were removed.
    Left {
        /// The group.
        group_id: String,
        /// Who left.
        user_ids: Vec<String>,
    },
    /// All members are gone (dismissed).
    GroupGone(String),
    /// Stored messages of the conversation changed (deleted, revoked, cleared): forget its tail.
    Conversation(String),
    /// A token's state.
    Token(TokenFact),
}

/// The stored state of one token (spec: auth.md 3).
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct TokenFact {
    /// Whose token.
    pub user_id: String,
    /// Its platform.
    pub platform_id: i32,
    /// First 16 bytes of the SHA-256 of the token string.
    pub token: [u8; 16],
    /// State.
    pub state: TokenState,
    /// Unix seconds after which the state can be forgotten.
    pub expires_s: i64,
}

/// State of a stored token.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub enum TokenState {
    /// Accepted.
    Normal,
    /// Refused with 1506.
    Kicked,
    /// Removed from the store: refused with 1507.
    Gone,
}
