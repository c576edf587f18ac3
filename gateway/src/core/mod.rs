//! One core: a state machine that takes an [`Event`] and the time and leaves [`Action`]s.

pub mod board;
pub mod connections;
pub mod conversation;
pub mod event;
pub mod facts;
pub mod fanout;
pub mod journal;
pub mod machine;
pub mod out;
pub mod owner;
pub mod presence;
#[cfg(test)]
mod owner_tests;
pub mod ring;
pub mod session;
pub mod stats;
pub mod ws;

pub use board::Board;
pub use connections::{Connections, Place};
pub use event::{Action, ConnId, CoreId, Event, Now};
pub use machine::Core;
pub use out::{Correlations, Out};
pub use owner::{Owner, OwnerConfig, OwnerSeed, OwnerStats};
pub use ring::RingItem;
pub use session::{CoreConfig, Secret};
pub use stats::Stats;
