//! The owner side driven by events, against a disk and a control in memory.

mod checks;
mod control;
mod duplicates;
mod order;
mod rig;
mod world;
