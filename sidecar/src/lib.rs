//! The packet sidecar: it runs one part of a network function's Click graph on batches of packets, keeps its flow
//! state, and hands both over to another node.
//!
//! From the inside out: [`packet`] and [`engine`] carry packets through [`element`]s, which [`registry`] knows and
//! [`config`] configures; [`device`]s are where frames enter and leave; [`driver`] is the click(1) command line.

pub mod config;
pub mod control;
pub mod device;
pub mod driver;
pub mod element;
pub mod elements;
pub mod engine;
pub mod handover;
pub mod link;
pub mod link_map;
pub mod manifest;
pub mod packet;
pub mod registry;
pub mod serve;
pub mod state;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod wire;
