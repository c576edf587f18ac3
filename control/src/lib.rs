//! The control plane: everything that is not the message hot path.
//!
//! Dependencies point one way: `api` -> `domain` -> `store`; `link` serves the gateways.

pub mod api;
pub mod app;
pub mod clock;
pub mod domain;
pub mod forget;
pub mod link;
pub mod ports;
pub mod process;
pub mod store;
pub mod tokens;
