//! Stored messages and seqs (spec: message.md 6.2, 6.3, 7).

use super::StoreResult;
use async_trait::async_trait;
use bytes::Bytes;
use ringwire_link::message::{ConversationState, KnownMessage};

/// A stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Seq.
    pub seq: i64,
    /// Unix milliseconds.
    pub send_time: i64,
    /// Encoded `sdkws.MsgData` as the journal held it.
    pub msg: Bytes,
}

/// What bounds one user's view of one conversation or notification stream. The visible range is
/// `max(min_seq, user_min_seq, 1) ..= min(max_seq, user_max_seq if > 0)`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Window {
    /// Conversation or stream.
    pub conversation_id: String,
    /// Highest stored seq; 0 = empty or unknown.
    pub max_seq: i64,
    /// First seq kept for everyone; 0 = from the start.
    pub min_seq: i64,
    /// sendTime of the message at `max_seq`, Unix milliseconds; 0 = empty.
    pub max_send_time: i64,
    /// First seq this user may see; 0 = no limit.
    pub user_min_seq: i64,
    /// Last seq this user may see (set on leaving a group); 0 = no limit.
    pub user_max_seq: i64,
    /// Everything up to here is read.
    pub read_seq: i64,
    /// The user has a conversation record of this id.
    pub has_record: bool,
    /// That record is pinned.
    pub is_pinned: bool,
}

impl Window {
    /// First and last visible seq; first > last when nothing is visible.
    pub fn visible(&self) -> (i64, i64) {
        let first = self.min_seq.max(self.user_min_seq).max(1);
        let last = if self.user_max_seq > 0 {
            self.max_seq.min(self.user_max_seq)
        } else {
            self.max_seq
        };
        (first, last)
    }
}

/// The windows of everything a user has, read in one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserWindows {
    /// One a conversation record, in order of creation.
    pub chats: Vec<Window>,
    /// The notification twin of each of them (each twin once) and the user's own `n_<u>_<u>`; empty
    /// streams are left out.
    pub notifications: Vec<Window>,
}

/// A range of one conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeQuery {
    /// Conversation or stream.
    pub conversation_id: String,
    /// First seq.
    pub begin: i64,
    /// Last seq.
    pub end: i64,
    /// At most so many messages.
    pub limit: i64,
    /// With more than `limit` in range: `true` takes the highest seqs, `false` the lowest.
    pub highest: bool,
}

/// Messages and seqs.
#[async_trait]
pub trait MessageStore: Send + Sync {
    /// For each conversation, in order: max seq, its send time, the newest 64 messages. Unknown ones
    /// are empty.
    ///
    /// # Errors
    /// Database failures.
    async fn states(&self, conversation_ids: &[String]) -> StoreResult<Vec<ConversationState>>;

    /// The first message stored with this sender and clientMsgID in the conversation; never one for
    /// an empty clientMsgID.
    ///
    /// # Errors
    /// Database failures.
    async fn find_duplicate(
        &self,
        conversation_id: &str,
        send_id: &str,
        client_msg_id: &str,
    ) -> StoreResult<Option<KnownMessage>>;

    /// One answer a query, in order, each ascending by seq. Seqs without a message are left out.
    ///
    /// # Errors
    /// Database failures.
    async fn ranges(&self, queries: &[RangeQuery]) -> StoreResult<Vec<Vec<StoredMessage>>>;

    /// Messages with these seqs for each conversation, in order, each ascending by seq; seqs without
    /// a message are left out.
    ///
    /// # Errors
    /// Database failures.
    async fn by_seqs(&self, queries: &[(String, Vec<i64>)])
    -> StoreResult<Vec<Vec<StoredMessage>>>;

    /// The user's window of each conversation, in the order of `conversation_ids`; unknown ones are
    /// all zero.
    ///
    /// # Errors
    /// Database failures.
    async fn windows(&self, user_id: &str, conversation_ids: &[String])
    -> StoreResult<Vec<Window>>;

    /// The windows of all conversations of a user and of their notification streams.
    ///
    /// # Errors
    /// Database failures.
    async fn user_windows(&self, user_id: &str) -> StoreResult<UserWindows>;

    /// Raises read positions: (user, conversation, seq). They never decrease.
    ///
    /// # Errors
    /// Database failures.
    async fn raise_read_seqs(&self, marks: &[(String, String, i64)]) -> StoreResult<()>;

    /// Sets the visible bounds of users in a conversation; `None` leaves a bound, 0 lifts it.
    ///
    /// # Errors
    /// Database failures.
    async fn set_bounds(
        &self,
        user_ids: &[String],
        conversation_id: &str,
        min_seq: Option<i64>,
        max_seq: Option<i64>,
    ) -> StoreResult<()>;
}
