//! Traffic between ordinary hosts, with the kernels' own stacks, that can tell what a network did to it.
//!
//! Many UDP flows at a constant rate are echoed by the server; one long TCP download has a content that the receiver
//! can compute. Loss, duplicates and reordering come from sequence numbers of each flow, in both directions, and owe
//! nothing to the counters of the network under test.

pub mod arrivals;
pub mod client;
pub mod download;
pub mod ledger;
pub mod message;
pub mod remote;
pub mod server;

/// The port on which the server echoes UDP and serves downloads.
pub const DEFAULT_PORT: u16 = 7777;
