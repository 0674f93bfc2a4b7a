//! A byte stream of the system: TCP between nodes or UNIX on one node.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use bytes::{Buf, BytesMut};
use socket2::{Domain, Protocol, Socket, Type};

use super::TransportError;
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
    pub fn accept(&self) -> io::Result<Option<Stream>> {
        let stream = match self {
            Self::Tcp(listener) => listener.accept().and_then(|(stream, _)| {
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                Ok(Stream::Tcp(stream))
            }),
            Self::Unix(listener) => listener.accept().and_then(|(stream, _)| {
                stream.set_nonblocking(true)?;
                Ok(Stream::Unix(stream))
            }),
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

/// One end of a stream; it never blocks.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// UNIX.
    Unix(UnixStream),
}

impl Stream {
    /// Starts to connect; that it can be written to tells when it is there.
    pub fn dial(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let socket = Socket::new(Domain::for_address(*address), Type::STREAM, Some(Protocol::TCP))?;
                socket.set_nonblocking(true)?;
                socket.set_tcp_nodelay(true)?;
                match socket.connect(&(*address).into()) {
                    Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) && !would_block(&error) => {
                        Err(error)
                    }
                    _ => Ok(Self::Tcp(OwnedFd::from(socket).into())),
                }
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_nonblocking(true)?;
                Ok(Self::Unix(stream))
            }
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Unix(_) => "unix",
        }
    }

    /// See [`super::Transport::receive`].
    pub(super) fn receive(
        &mut self,
        input: &mut BytesMut,
        scratch: &mut [u8],
    ) -> Result<usize, TransportError> {
        let read = match self {
            Self::Tcp(stream) => stream.read(scratch),
            Self::Unix(stream) => stream.read(scratch),
        };
        match read {
            Ok(0) => Err(TransportError::Closed),
            Ok(count) => {
                input.extend_from_slice(&scratch[..count]);
                Ok(count)
            }
            Err(error) if would_block(&error) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// See [`super::Transport::send`].
    pub(super) fn send(&mut self, output: &mut BytesMut) -> Result<(), TransportError> {
        while !output.is_empty() {
            let written = match self {
                Self::Tcp(stream) => stream.write(output),
                Self::Unix(stream) => stream.write(output),
            };
            match written {
                Ok(0) => return Err(TransportError::Closed),
                Ok(count) => output.advance(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if would_block(&error) || error.kind() == io::ErrorKind::NotConnected => {
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
