//! The gateway: the hot path of Ringwire.
//!
//! [`core`] is what one core does, as a plain state machine: events in, actions out. It names no
//! runtime, no socket, no file and no clock, so that the simulator can drive several of them from one
//! seed. `shell` runs cores on monoio.

pub mod core;
pub mod shell;
