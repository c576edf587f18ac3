//! The link, served to scripted gateway cores over a real Unix socket, on a real database.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod admission;
mod calls;
mod facts;
#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "../api/harness.rs"]
mod harness;
mod journal;
mod outbox;
mod stand;
mod whole;
