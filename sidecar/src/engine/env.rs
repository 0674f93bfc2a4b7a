//! What the outside lends to a router: devices by name, and whether time is virtual.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::PathBuf;

use super::{Console, Time};
use crate::device::{Device, DeviceRequest};

/// Opens the device that an element asks for.
pub type Opener = Box<dyn FnMut(&DeviceRequest) -> io::Result<Box<dyn Device>> + Send>;

/// What a router is built into.
#[derive(Default)]
pub struct Env {
    /// Devices that are open already, by the device name in the Click text. Moved into the router.
    pub devices: HashMap<String, Box<dyn Device>>,
    /// Opens devices that are not in `devices`; without it, they are an error. Moved into the router.
    pub opener: Option<Opener>,
    /// Whether time is virtual: elements then wait for nothing outside.
    pub simulated: bool,
    /// Whether whoever runs the router serves its handlers over control sockets; without, asking for one is an error.
    pub control_sockets: bool,
    /// Whether the router is one part of several: a stop request that no driver script here decides about is for whoever
    /// runs them all ([`Router::take_stop_requests`](super::Router::take_stop_requests)).
    pub part: bool,
    /// Whether nothing outside is touched: no file and no device is opened. Such a router can be initialised, to find
    /// what is wrong with it, and cannot be run.
    pub dry: bool,
    /// The time at which the router starts.
    pub now: Time,
    /// The text that the router is made of, for its handler `config`.
    pub text: String,
    /// Whether the handler `hotconfig` may replace the router by one of another text.
    pub hot_swap: bool,
    /// Where elements print.
    pub console: Console,
    /// Seed of the random numbers that elements use.
    pub seed: u64,
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.devices.keys().collect();
        f.debug_struct("Env").field("devices", &names).field("simulated", &self.simulated).finish()
    }
}

/// Where a ControlSocket listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlPlace {
    /// A TCP port.
    Tcp {
        /// The port.
        port: u16,
        /// Take one of the next ports if it is taken.
        next_free: bool,
        /// Only this machine may connect.
        localhost: bool,
    },
    /// A UNIX socket.
    Unix(PathBuf),
}

/// What a ControlSocket asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlEndpoint {
    /// Where it listens.
    pub place: ControlPlace,
    /// No write handler may be called.
    pub read_only: bool,
}

/// A device of a router, see [`Router::devices`](super::Router::devices).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceId(pub(crate) usize);

pub(crate) struct DeviceSlot {
    pub(crate) device: Box<dyn Device>,
    pub(crate) readers: Vec<u32>,
    pub(crate) writers: Vec<u32>,
    pub(crate) wants_write: bool,
}
