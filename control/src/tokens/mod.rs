//! Tokens (spec: auth.md): a signed JWT and a stored state, both of which must agree.

pub mod book;
pub mod policy;

pub use book::{Holder, Issued, TokenBook, TokenConfig};
pub use policy::Policy;
