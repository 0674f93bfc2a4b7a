//! A link's socket: a non-blocking stream, TCP between nodes or UNIX on one node, with its buffers.
//!
//! Bytes that came in are capped by what one read takes plus one frame; bytes that go out are capped by the sender's
//! window. Errors close the connection, they never end the process.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::str::FromStr;

use bytes::{Buf, BytesMut};
use socket2::{Domain, Protocol, Socket, Type};

use super::frame::{Frame, FrameError};

/// Above this much unsent data no more packets are queued.
const HIGH_WATER: usize = 1 << 20;

/// Where a sidecar takes links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Between nodes.
    Tcp(SocketAddr),
    /// On one node.
    Unix(PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a link address; write IP:PORT or unix:PATH")]
pub struct BadAddress(String);

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        match text.strip_prefix("unix:") {
            Some(path) if !path.is_empty() => Ok(Self::Unix(path.into())),
            _ => text.parse().map(Self::Tcp).map_err(|_| BadAddress(text.to_string())),
        }
    }
}

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
    pub fn accept(&self) -> io::Result<Option<Connection>> {
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
            Ok(stream) => Ok(Some(Connection::new(stream))),
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

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The peer closed it.
    #[error("closed by the peer")]
    Closed,
    /// The system says so.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The peer sent what is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// One connection with what was read and not yet decoded, and what was queued and not yet written.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    /// Bytes that came in.
    pub input: BytesMut,
    /// Bytes to go out.
    pub output: BytesMut,
}

impl Connection {
    fn new(stream: Stream) -> Self {
        Self { stream, input: BytesMut::new(), output: BytesMut::new() }
    }

    /// Starts to connect; writing tells when it is there.
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
                    _ => Ok(Self::new(Stream::Tcp(OwnedFd::from(socket).into()))),
                }
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_nonblocking(true)?;
                Ok(Self::new(Stream::Unix(stream)))
            }
        }
    }

    /// What kind of transport it is, for status and metrics.
    pub fn transport(&self) -> &'static str {
        match self.stream {
            Stream::Tcp(_) => "tcp",
            Stream::Unix(_) => "unix",
        }
    }

    /// Reads what is there into `scratch` (at most its length) and keeps it for [`Connection::next_frame`].
    pub fn fill(&mut self, scratch: &mut [u8]) -> Result<usize, ConnectionError> {
        let read = match &mut self.stream {
            Stream::Tcp(stream) => stream.read(scratch),
            Stream::Unix(stream) => stream.read(scratch),
        };
        match read {
            Ok(0) => Err(ConnectionError::Closed),
            Ok(count) => {
                self.input.extend_from_slice(&scratch[..count]);
                Ok(count)
            }
            Err(error) if would_block(&error) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// The next whole frame that came in.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, ConnectionError> {
        Ok(Frame::decode(&mut self.input)?)
    }

    /// Whether so much is unsent that the sender should wait.
    pub fn is_congested(&self) -> bool {
        self.output.len() >= HIGH_WATER
    }

    /// Writes what is queued; `true` when all of it went.
    pub fn flush(&mut self) -> Result<bool, ConnectionError> {
        while !self.output.is_empty() {
            let written = match &mut self.stream {
                Stream::Tcp(stream) => stream.write(&self.output),
                Stream::Unix(stream) => stream.write(&self.output),
            };
            match written {
                Ok(0) => return Err(ConnectionError::Closed),
                Ok(count) => self.output.advance(count),
                Err(error) if would_block(&error) || error.kind() == io::ErrorKind::NotConnected => {
                    return Ok(false);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
