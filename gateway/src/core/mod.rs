//! One core: a state machine that takes an [`Event`] and the time and leaves [`Action`]s.

pub mod event;
pub mod ring;

pub use event::{Action, ConnId, CoreId, Event, Now};
pub use ring::RingItem;
