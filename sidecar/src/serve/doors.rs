//! Where links come in and go out: an address that every node reaches, and for peers on the same node sockets in a
//! directory that the function's sidecars share.

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use crate::handover::dialer::Destination;
use crate::link::address::Address;
use crate::link::connection::Connection;
use crate::link::transport::{Directory, Listener};

/// The ways in and out of one sidecar.
#[derive(Debug)]
pub(super) struct Doors {
    listeners: Vec<Listener>,
    directory: Option<Directory>,
    owner: String,
    rings: bool,
}

impl Doors {
    /// Takes links at `address` and, if there is a directory, in it as `owner`. A directory that cannot be used is
    /// reported and left out: links then use the address. `rings` tells whether links on one node may change to a ring.
    pub(super) fn open(
        address: &Address,
        directory: Option<PathBuf>,
        owner: &str,
        rings: bool,
    ) -> io::Result<Self> {
        let mut listeners = vec![Listener::bind(address)?];
        let directory = directory.map(Directory::new);
        match directory.as_ref().map(|directory| directory.listen(owner)) {
            Some(Ok(listener)) => listeners.push(listener),
            Some(Err(error)) => {
                tracing::warn!(%error, "no links in the directory of this node: they use {address}");
            }
            None => {}
        }
        Ok(Self { listeners, directory, owner: owner.to_string(), rings })
    }

    /// Whether `connection` may change to a ring.
    pub(super) fn allows_ring(&self, connection: &Connection) -> bool {
        self.rings && connection.can_have_ring()
    }

    /// The descriptors to watch for diallers.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = impl AsFd> {
        self.listeners.iter().map(AsFd::as_fd)
    }

    /// The next dialler at the door with that number, if one waits.
    pub(super) fn accept(&self, at: usize) -> io::Result<Option<Connection>> {
        self.listeners.get(at).map_or(Ok(None), Connection::accept)
    }

    /// Begins to connect, by the directory if the owner is on this node.
    pub(super) fn dial(&self, to: &Destination) -> Result<Connection, String> {
        if let Some(transport) = self.directory.as_ref().and_then(|directory| directory.dial(&to.owner)) {
            return Ok(Connection::new(transport));
        }
        let address = to.address.parse::<Address>().map_err(|error| error.to_string())?;
        Connection::dial(&address).map_err(|error| error.to_string())
    }
}

impl Drop for Doors {
    fn drop(&mut self) {
        if let Some(directory) = &self.directory {
            directory.leave(&self.owner);
        }
    }
}
