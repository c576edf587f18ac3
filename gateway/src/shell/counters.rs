//! What the shell counts. Plain cells: a core's counters are read on its own thread only.

use std::cell::Cell;

/// How a number behaves over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// One number for the metrics endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Prometheus name.
    pub name: &'static str,
    /// What it means, one line.
    pub help: &'static str,
    /// Counter or gauge.
    pub kind: Kind,
    /// The value now.
    pub value: u64,
}

macro_rules! counters {
    ($($field:ident: $kind:ident $name:literal $help:literal,)*) => {
        /// The shell's own numbers of one core.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $field: Cell<u64>,)*
        }

        impl Counters {
            /// Appends all of them.
            pub(crate) fn samples(&self, into: &mut Vec<Sample>) {
                $(into.push(Sample { name: $name, help: $help, kind: Kind::$kind, value: self.$field.get() });)*
            }
        }
    };
}

counters! {
    turns: Counter "ringwire_turns_total" "Turns of the core's loop",
    accepted: Counter "ringwire_connections_accepted_total" "TCP connections accepted",
    accept_errors: Counter "ringwire_accept_errors_total" "Failed accepts, most often for want of descriptors",
    handed_over: Counter "ringwire_connections_handed_over_total" "Connections moved to another core",
    connections: Gauge "ringwire_connections" "Open TCP connections of the core",
    received_bytes: Counter "ringwire_received_bytes_total" "Bytes received from clients",
    sent_bytes: Counter "ringwire_sent_bytes_total" "Bytes sent to clients",
    writes: Counter "ringwire_writes_total" "Writes to clients completed",
    ring_waiting: Gauge "ringwire_ring_waiting" "Items that wait for room on a full ring",
    journal_writes: Counter "ringwire_journal_commits_total" "Journal writes made durable",
    journal_bytes: Counter "ringwire_journal_bytes_total" "Bytes written to the journal",
    link_up: Gauge "ringwire_link_up" "1 while the link to control is connected",
    ready: Gauge "ringwire_ready" "1 while every request can be served",
    link_connects: Counter "ringwire_link_connects_total" "Times the link was connected",
    link_dropped: Counter "ringwire_link_frames_dropped_total" "Frames for control dropped because the link was down",
    link_queued_bytes: Gauge "ringwire_link_queued_bytes" "Bytes waiting to be sent to control",
}

/// Adds to a counter.
pub(crate) fn add(counter: &Cell<u64>, by: u64) {
    counter.set(counter.get() + by);
}
