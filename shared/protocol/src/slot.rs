//! Ownership: which slot, and so which core, orders a conversation or holds a user's sessions.
//!
//! The slot table has a fixed size so that cores, gateways and hosts can be added by moving slots.

use xxhash_rust::xxh3::xxh3_64;

/// Number of slots in the ownership table.
pub const SLOTS: u16 = 4096;

/// Slot of a user (for its home core) or of an ordering key (for an owner core).
pub fn slot_of(key: &str) -> u16 {
    (xxh3_64(key.as_bytes()) % u64::from(SLOTS)) as u16
}

/// Core that holds a slot when one gateway with `cores` cores holds all of them.
pub fn core_of_slot(slot: u16, cores: u16) -> u16 {
    slot % cores.max(1)
}

/// Core of a user or of an ordering key, for one gateway with `cores` cores.
pub fn core_of(key: &str, cores: u16) -> u16 {
    core_of_slot(slot_of(key), cores)
}
