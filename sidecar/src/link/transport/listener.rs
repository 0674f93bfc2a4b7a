//! The sockets that take links.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;

use super::local::Local;
use super::tcp::Tcp;
use super::{Transport, would_block};
use crate::link::address::Address;

/// A socket that takes links.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// UNIX.
    Unix(UnixListener),
}

impl Listener {
    /// Listens at `address`. A UNIX socket left by an earlier process is replaced.
    pub fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let listener = TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                Ok(Self::Tcp(listener))
            }
            Address::Unix(path) => {
                let _ = std::fs::remove_file(path);
                let listener = UnixListener::bind(path)?;
                listener.set_nonblocking(true)?;
                Ok(Self::Unix(listener))
            }
        }
    }

    /// The next connection, if one waits.
    pub fn accept(&self) -> io::Result<Option<Transport>> {
        let stream = match self {
            Self::Tcp(listener) => listener.accept().and_then(|(stream, _)| {
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                Ok(Transport::Tcp(Tcp::new(stream)))
            }),
            Self::Unix(listener) => {
                listener.accept().and_then(|(socket, _)| Ok(Transport::Local(Local::new(socket)?)))
            }
        };
        match stream {
            Ok(stream) => Ok(Some(stream)),
            Err(error) if would_block(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}
