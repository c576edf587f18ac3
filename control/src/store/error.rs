//! Errors of the store and what clients see of them.

use ringwire_protocol::error::{ApiError, ErrorCode};

/// Why a store operation failed. Nothing of a failed operation stays behind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A row that must exist does not; names what.
    #[error("not found: {0}")]
    NotFound(String),
    /// A unique key is taken; names the key where it is known.
    #[error("already exists: {0}")]
    Duplicate(String),
    /// The input cannot be stored (an id too long, an empty list where one is needed).
    #[error("cannot be stored: {0}")]
    Invalid(&'static str),
    /// The database is locked, out of connections or undid the transaction for another; trying again helps.
    #[error("database is busy: {0}")]
    Busy(String),
    /// The database takes none of it, now or later (a key too long for an index, a value out of
    /// range). Driver text: for logs only.
    #[error("database cannot store it: {0}")]
    Unstorable(String),
    /// A journal batch does not start where the stored part of its journal ends.
    #[error(
        "journal {journal} of {gateway} is stored up to {stored}, but the batch starts at {from}"
    )]
    Gap {
        /// Gateway.
        gateway: String,
        /// Journal.
        journal: u16,
        /// Stored up to here.
        stored: u64,
        /// Where the batch starts.
        from: u64,
    },
    /// Another message is stored under this seq: two owners numbered the same conversation.
    #[error("another message is stored as seq {seq} of {conversation_id}")]
    SeqTaken {
        /// Conversation.
        conversation_id: String,
        /// Seq.
        seq: i64,
    },
    /// A journal record that does not decode.
    #[error("journal record does not decode: {0}")]
    Record(String),
    /// The database refused or cannot be reached. Driver text: for logs only.
    #[error("database: {0}")]
    Database(String),
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(what) => ApiError::not_found(what),
            StoreError::Duplicate(what) => ApiError::new(ErrorCode::DuplicateKey, what),
            StoreError::Invalid(why) => ApiError::args(why),
            other => {
                tracing::error!(error = %other, "store operation failed");
                ApiError::internal("the store cannot answer")
            }
        }
    }
}
