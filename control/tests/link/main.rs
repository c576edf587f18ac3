//! The link, served to scripted gateway cores over a real Unix socket, on a real database.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod admission;
mod calls;
mod facts;
mod journal;
mod outbox;
mod stand;
