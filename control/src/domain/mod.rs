//! The rules: what is answered to whom, and what follows from a change. No HTTP, no sockets, no SQL.

pub mod active_conversations;
pub mod caller;
pub mod conversation_list;
pub mod friends;
pub mod groups;
pub mod message_access;
pub mod message_content;
pub mod notification;
pub mod pull;
pub mod pull_rules;
pub mod reply_budget;
pub mod send;
pub mod sync;
pub mod users;
