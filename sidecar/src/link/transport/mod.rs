//! What carries the bytes of a link: each transport is an ordered, reliable stream of bytes that never blocks and tells
//! by one file descriptor when it can go on. Handshake and order know nothing of it.

mod directory;
mod listener;
mod local;
mod tcp;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use bytes::BytesMut;

use super::address::Address;
use super::ring::{RegionError, Tampered, Waits};

pub use directory::Directory;
pub use listener::Listener;
pub use local::Local;
pub use tcp::Tcp;

/// Why a transport ended.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The peer closed it.
    #[error("closed by the peer")]
    Closed,
    /// The system says so.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The peer speaks of a ring that it did not pass, or passes one that is none.
    #[error("the peer changes to a ring that is not there")]
    NoRing,
    /// The ring's memory is not what it must be.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// The peer does not keep to the ring's rules.
    #[error(transparent)]
    Tampered(#[from] Tampered),
    /// Beside a ring the socket carries doorbells only.
    #[error("the peer sends bytes by the socket although it sends by the ring")]
    NoDoorbell,
}

/// One end of a link's byte stream.
#[derive(Debug)]
pub enum Transport {
    /// Between nodes.
    Tcp(Tcp),
    /// On one node.
    Local(Local),
}

impl Transport {
    /// Starts to connect; that it can be written to tells when it is there.
    pub fn dial(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => Tcp::dial(*address).map(Self::Tcp),
            Address::Unix(path) => Local::dial(path).map(Self::Local),
        }
    }

    /// What kind it is, for status and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Local(local) => local.name(),
        }
    }

    /// Whether the bytes never leave the node, so that the system alone decides who can reach them.
    pub fn is_within_node(&self) -> bool {
        matches!(self, Self::Local(_))
    }

    /// Appends what is there to `input`, by way of `scratch` and at most its length; returns how many bytes came.
    pub fn receive(&mut self, input: &mut BytesMut, scratch: &mut [u8]) -> Result<usize, TransportError> {
        match self {
            Self::Tcp(tcp) => tcp.receive(input, scratch),
            Self::Local(local) => local.receive(input, scratch),
        }
    }

    /// Takes from the front of `output` what can go now.
    pub fn send(&mut self, output: &mut BytesMut) -> Result<(), TransportError> {
        match self {
            Self::Tcp(tcp) => tcp.send(output),
            Self::Local(local) => local.send(output),
        }
    }

    /// Whether the descriptor is to be watched for being writable, when `unsent` bytes could not be sent.
    pub fn waits_to_write(&self, unsent: usize) -> bool {
        match self {
            Self::Local(local) if local.sends_by_ring() => local.has_rest(),
            _ => unsent > 0,
        }
    }

    /// The transport on one node, if it is that.
    pub fn local(&mut self) -> Option<&mut Local> {
        match self {
            Self::Local(local) => Some(local),
            Self::Tcp(_) => None,
        }
    }

    /// The caller will sleep until the descriptor is ready, and cares for no more than `waits`. `false`: it must not,
    /// there is something to do.
    pub fn sleep(&mut self, waits: Waits) -> Result<bool, TransportError> {
        self.local().map_or(Ok(true), |local| local.sleep(waits))
    }

    /// Bytes on their way that the peer has not taken, as far as this end can know.
    pub fn unread_bytes(&self) -> usize {
        match self {
            Self::Tcp(_) => 0,
            Self::Local(local) => local.unread_bytes(),
        }
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(tcp) => tcp.as_fd(),
            Self::Local(local) => local.as_fd(),
        }
    }
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
