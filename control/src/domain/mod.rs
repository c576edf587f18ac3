//! The rules of control: what a change of the world means, and what follows from it.

pub mod caller;
pub mod friends;
pub mod groups;
pub mod notification;
pub mod users;
