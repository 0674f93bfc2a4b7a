//! Connections on one node, and sealed ones between nodes.

mod ring;
mod sealed;
