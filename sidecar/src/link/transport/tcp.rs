//! Between nodes: a TCP stream.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bytes::{Buf, BytesMut};
use socket2::{Domain, Protocol, Socket, Type};

use super::{TransportError, would_block};

/// One end of a TCP stream.
#[derive(Debug)]
pub struct Tcp(TcpStream);

impl Tcp {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self(stream)
    }

    /// Starts to connect.
    pub(super) fn dial(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) && !would_block(&error) => {
                Err(error)
            }
            _ => Ok(Self(OwnedFd::from(socket).into())),
        }
    }

    /// See [`super::Transport::receive`].
    pub(super) fn receive(
        &mut self,
        input: &mut BytesMut,
        scratch: &mut [u8],
    ) -> Result<usize, TransportError> {
        match self.0.read(scratch) {
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
            match self.0.write(output) {
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

impl AsFd for Tcp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
