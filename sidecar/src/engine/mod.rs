//! The engine: one thread runs a graph of elements to completion on batches of packets.
//!
//! `router` holds the elements and runs passes; `build` makes a router from a settled graph; `core` is what a running
//! element sees through [`Cx`]; `tasks` and `timers` say what runs next; `env` is what the outside lends. Nothing here
//! blocks, reads a clock, or takes a lock.

mod build;
mod console;
mod core;
mod cx;
mod env;
mod handlers;
mod router;
mod state;
mod time;
mod timers;
mod wiring;

pub use console::Console;
pub use cx::{Cx, NO_PORT};
pub use env::{ControlEndpoint, ControlPlace, DeviceId, Env, Opener};
pub use handlers::Access;
pub(crate) use handlers::is_common;
pub use router::{ElementId, Pass, Router};
pub use state::put_table;
pub use time::Time;

/// Why a packet is dropped that an element leaves to an output that it does not have.
const NO_OUTPUT: &str = "no such output";
