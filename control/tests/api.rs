//! The HTTP API over real sockets: frame, tokens, users, the reading calls of a login.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "api/auth.rs"]
mod auth;
#[path = "api/frame.rs"]
mod frame;
#[path = "api/harness.rs"]
mod harness;
#[path = "api/permissions.rs"]
mod permissions;
#[path = "api/presence.rs"]
mod presence;
#[path = "api/process.rs"]
mod process;
#[path = "api/reads.rs"]
mod reads;
#[path = "api/users.rs"]
mod users;
