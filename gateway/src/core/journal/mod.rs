//! The journal of an owner core: layout, recovery, group commit and streaming to control.

pub mod layout;
pub mod recovery;

pub use recovery::{
    ConversationHead, JournalSpan, Recovered, Recovery, RecoveryError, Seeds, seeds,
};
