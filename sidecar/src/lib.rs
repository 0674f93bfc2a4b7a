//! See the crate description.
pub mod state;
