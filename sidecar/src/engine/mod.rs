//! The engine: one thread runs a graph of elements to completion on batches of packets.
//!
//! `router` holds the elements and runs passes; `build` makes a router from a settled graph; `core` is what a running
//! element sees through [`Cx`]; `tasks` and `timers` say what runs next; `env` is what the outside lends. Nothing here
//! blocks, reads a clock, or takes a lock.

mod build;
mod core;
mod cx;
mod env;
mod handlers;
mod router;
mod time;
mod timers;
mod wiring;

pub use cx::{Cx, NO_PORT};
pub use env::{ControlEndpoint, ControlPlace, DeviceId, Env, Opener};
pub use handlers::Access;
pub use router::{ElementId, Pass, Router};
pub use time::Time;
