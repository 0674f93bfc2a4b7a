//! The handover protocol (handover.md): sans-I/O machines that own the order of packets, the state log and the moves.
//!
//! [`node::Node`] is one sidecar: events and the time go in, [`node::Action`]s come out. It never touches a socket,
//! Redis or a clock; `serve` gives it real ones, the simulator its own.

pub mod dialer;
pub mod downstream;
pub mod engine;
pub mod journal;
pub mod loader;
pub mod node;
pub mod parked;
pub mod source;
pub mod state_frame;
pub mod target;
pub mod upstream;
pub mod watch;

#[cfg(test)]
mod sim;
