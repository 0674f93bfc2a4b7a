//! What carries the bytes of a link: each transport is an ordered, reliable stream of bytes that never blocks and tells
//! by one file descriptor when it can go on. Frames, handshake and order know nothing of it.

mod stream;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use bytes::BytesMut;

use super::address::Address;

pub use stream::Listener;
use stream::Stream;

/// Why a transport ended.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The peer closed it.
    #[error("closed by the peer")]
    Closed,
    /// The system says so.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// One end of a link's byte stream.
#[derive(Debug)]
pub enum Transport {
    /// A socket of the system.
    Stream(Stream),
}

impl Transport {
    /// Starts to connect; that it can be written to tells when it is there.
    pub fn dial(address: &Address) -> io::Result<Self> {
        Stream::dial(address).map(Self::Stream)
    }

    /// What kind it is, for status and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stream(stream) => stream.name(),
        }
    }

    /// Appends what is there to `input`, by way of `scratch` and at most its length; returns how many bytes came.
    pub fn receive(&mut self, input: &mut BytesMut, scratch: &mut [u8]) -> Result<usize, TransportError> {
        match self {
            Self::Stream(stream) => stream.receive(input, scratch),
        }
    }

    /// Takes from the front of `output` what can go now.
    pub fn send(&mut self, output: &mut BytesMut) -> Result<(), TransportError> {
        match self {
            Self::Stream(stream) => stream.send(output),
        }
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Stream(stream) => stream.as_fd(),
        }
    }
}
