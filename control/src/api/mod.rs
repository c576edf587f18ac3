//! The HTTP API (spec: api.md): one file a route group; parse, authorize, call the domain, answer.
//!
//! [`table`] lists every route; [`frame`] is what all of them share.

pub mod codec;
pub mod envelope;
pub mod frame;
pub mod limit;
pub mod listen;
pub mod metrics;
pub mod ops;
pub mod route;
pub mod table;

mod auth;
mod check;
mod client_config;
mod compress;
mod conversation;
mod friend;
mod group;
mod jssdk;
mod msg;
mod presence;
mod server_time;
mod stall;
mod statistics;
mod user;
