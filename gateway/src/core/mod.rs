//! One core: a state machine that takes an [`Event`] and the time and leaves [`Action`]s.

pub mod board;
pub mod conversation;
pub mod event;
pub mod facts;
pub mod journal;
pub mod out;
pub mod owner;
pub mod ring;
pub mod session;
pub mod ws;

pub use board::Board;
pub use event::{Action, ConnId, CoreId, Event, Now};
pub use owner::{Owner, OwnerConfig, OwnerSeed, OwnerStats};
pub use out::{Correlations, Out};
pub use ring::RingItem;
