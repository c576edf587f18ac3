//! The rules: what is answered to whom. No HTTP, no sockets, no SQL.

pub mod conversation_list;
pub mod message_access;
pub mod pull;
pub mod pull_rules;
pub mod reply_budget;
pub mod sync;
