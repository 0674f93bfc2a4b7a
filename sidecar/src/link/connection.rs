//! One connection of a link: a transport with its buffers, and the frames in them.
//!
//! Bytes that came in are capped by what one read takes plus one frame; bytes that go out are capped by the sender's
//! window. Errors close the connection, they never end the process.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use bytes::BytesMut;

use super::address::Address;
use super::frame::{Frame, FrameError};
use super::transport::{Listener, Transport, TransportError};

/// Above this much unsent data no more packets are queued.
const HIGH_WATER: usize = 1 << 20;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// What carries it ended.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The peer sent what is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// One connection with what was read and not yet decoded, and what was queued and not yet written.
#[derive(Debug)]
pub struct Connection {
    transport: Transport,
    /// Bytes that came in.
    pub input: BytesMut,
    /// Bytes to go out.
    pub output: BytesMut,
}

impl Connection {
    fn new(transport: Transport) -> Self {
        Self { transport, input: BytesMut::new(), output: BytesMut::new() }
    }

    /// Starts to connect; writing tells when it is there.
    pub fn dial(address: &Address) -> io::Result<Self> {
        Transport::dial(address).map(Self::new)
    }

    /// The next dialler, if one waits.
    pub fn accept(listener: &Listener) -> io::Result<Option<Self>> {
        Ok(listener.accept()?.map(|stream| Self::new(Transport::Stream(stream))))
    }

    /// What kind of transport it is, for status and metrics.
    pub fn transport(&self) -> &'static str {
        self.transport.name()
    }

    /// Reads what is there by way of `scratch` (at most its length) and keeps it for [`Connection::next_frame`].
    pub fn fill(&mut self, scratch: &mut [u8]) -> Result<usize, ConnectionError> {
        Ok(self.transport.receive(&mut self.input, scratch)?)
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
        self.transport.send(&mut self.output)?;
        Ok(self.output.is_empty())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.transport.as_fd()
    }
}
