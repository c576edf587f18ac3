//! Sessions.
pub mod params;
pub mod upgrade;
