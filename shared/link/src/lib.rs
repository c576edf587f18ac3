//! The link between gateway cores and the control plane: frame layout and bodies, plus the journal
//! record, which a gateway writes and control reads.
//!
//! Sans-I/O: both sides feed bytes in and take frames out; sockets, timers and reconnects are theirs.

pub mod facts;
pub mod frame;
pub mod message;
pub mod record;

pub use frame::{Frame, FrameDecoder, LinkError, PREAMBLE_LEN, VERSION};
pub use message::{ToControl, ToGateway};
