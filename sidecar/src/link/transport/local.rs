//! On one node: a UNIX socket, and beside it, once both ends agreed, a ring in shared memory.
//!
//! Each direction begins on the socket and changes to the ring at a frame of its own (see [`RingStep`]): what was sent
//! before it comes by the socket, what follows by the ring, so nothing is lost, doubled or reordered. From then on the
//! socket carries doorbells only, one for each time that the peer sleeps, and tells when the peer is gone.
//!
//! [`RingStep`]: crate::link::frame::RingStep

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use bytes::{Buf, BytesMut};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use super::TransportError;
use crate::link::ring::{Ring, Waits};

/// The byte that wakes a peer.
const DOORBELL: u8 = 0;

/// One end of a link on one node.
#[derive(Debug)]
pub struct Local {
    socket: UnixStream,
    /// Beside a ring: what the socket still has to carry, the end of the stream and doorbells.
    rest: BytesMut,
    /// The file to pass with the next byte that is sent.
    to_pass: Option<OwnedFd>,
    /// A file that the peer passed.
    passed: Option<OwnedFd>,
    ring: Option<Ring>,
    sends_by_ring: bool,
    receives_by_ring: bool,
    /// The peer sleeps although there is something for it in the ring. It is woken at the end of the round, so that it
    /// finds more than the first batch.
    owes_doorbell: bool,
}

impl Local {
    /// Connects; a UNIX socket does so at once or not at all.
    pub(super) fn dial(path: &Path) -> io::Result<Self> {
        Self::new(UnixStream::connect(path)?)
    }

    pub(in crate::link) fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            rest: BytesMut::new(),
            to_pass: None,
            passed: None,
            ring: None,
            sends_by_ring: false,
            receives_by_ring: false,
            owes_doorbell: false,
        })
    }

    pub(super) fn name(&self) -> &'static str {
        if self.sends_by_ring || self.receives_by_ring { "ring" } else { "unix" }
    }

    // ---- the change to the ring -----------------------------------------------------------------------------

    /// Makes a ring; its file goes with the next byte that is sent.
    pub(in crate::link) fn offer_ring(&mut self) -> Result<(), TransportError> {
        let (ring, file) = Ring::create()?;
        self.ring = Some(ring);
        self.to_pass = Some(file);
        Ok(())
    }

    /// Takes the ring whose file came with an offer.
    pub(in crate::link) fn adopt_ring(&mut self) -> Result<(), TransportError> {
        let file = self.passed.take().filter(|_| self.ring.is_none()).ok_or(TransportError::NoRing)?;
        self.ring = Some(Ring::adopt(&file)?);
        Ok(())
    }

    /// `output` is the last that goes by the socket.
    pub(in crate::link) fn send_by_ring(&mut self, output: &mut BytesMut) -> Result<(), TransportError> {
        if self.ring.is_none() || self.sends_by_ring {
            return Err(TransportError::NoRing);
        }
        self.rest = output.split();
        self.sends_by_ring = true;
        self.send_rest()
    }

    /// What comes from now on comes by the ring; what came behind the end of the stream are doorbells.
    pub(in crate::link) fn receive_by_ring(&mut self, input: &mut BytesMut) -> Result<(), TransportError> {
        if self.ring.is_none() || self.receives_by_ring {
            return Err(TransportError::NoRing);
        }
        self.receives_by_ring = true;
        check_doorbells(&input.split())
    }

    pub(in crate::link) fn sends_by_ring(&self) -> bool {
        self.sends_by_ring
    }

    // ---- bytes ----------------------------------------------------------------------------------------------

    /// See [`super::Transport::receive`].
    pub(super) fn receive(
        &mut self,
        input: &mut BytesMut,
        scratch: &mut [u8],
    ) -> Result<usize, TransportError> {
        let by_socket = self.receive_by_socket(scratch);
        if !self.receives_by_ring {
            let count = by_socket?;
            input.extend_from_slice(&scratch[..count]);
            return Ok(count);
        }
        // What the peer wrote before it went still counts.
        match (by_socket, self.poll(input)?) {
            (_, count) if count > 0 => Ok(count),
            (Ok(doorbells), _) => check_doorbells(&scratch[..doorbells]).map(|()| 0),
            (Err(error), _) => Err(error),
        }
    }

    fn receive_by_socket(&mut self, scratch: &mut [u8]) -> Result<usize, TransportError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut into = [IoSliceMut::new(scratch)];
        match recvmsg(&self.socket, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(message) if message.bytes == 0 => Err(TransportError::Closed),
            Ok(message) => {
                for message in control.drain() {
                    if let RecvAncillaryMessage::ScmRights(files) = message {
                        self.passed = files.last();
                    }
                }
                Ok(message.bytes)
            }
            Err(error) => waits(error).map(|()| 0),
        }
    }

    /// Reads from the ring, without asking the system.
    pub(in crate::link) fn poll(&mut self, input: &mut BytesMut) -> Result<usize, TransportError> {
        let Some(ring) = self.ring.as_mut().filter(|_| self.receives_by_ring) else { return Ok(0) };
        let (count, wake) = ring.read(input)?;
        if wake {
            self.ring_doorbell()?;
        }
        Ok(count)
    }

    /// Whether [`Local::poll`] has something to say, be it that the ring was tampered with.
    pub(in crate::link) fn is_readable(&mut self) -> bool {
        let ring = self.ring.as_mut().filter(|_| self.receives_by_ring);
        ring.is_some_and(|ring| ring.is_readable().unwrap_or(true))
    }

    /// See [`super::Transport::send`].
    pub(super) fn send(&mut self, output: &mut BytesMut) -> Result<(), TransportError> {
        if !self.sends_by_ring {
            return send_by_socket(&self.socket, output, &mut self.to_pass);
        }
        if let Some(ring) = &mut self.ring {
            self.owes_doorbell |= ring.write(output)?;
        }
        if std::mem::take(&mut self.owes_doorbell) {
            return self.ring_doorbell();
        }
        self.send_rest()
    }

    /// Writes all of `parts` to the ring at once; `false`: there is no ring or no room, nothing was written. The peer hears
    /// of it with the next [`Local::send`].
    pub(in crate::link) fn write_at_once(&mut self, parts: &[&[u8]]) -> Result<bool, TransportError> {
        let Some(ring) = self.ring.as_mut().filter(|_| self.sends_by_ring) else { return Ok(false) };
        let Some(wake) = ring.write_all(parts)? else { return Ok(false) };
        self.owes_doorbell |= wake;
        Ok(true)
    }

    pub(in crate::link) fn owes_doorbell(&self) -> bool {
        self.owes_doorbell
    }

    /// Whether the socket must take something before anything can go on.
    pub(super) fn has_rest(&self) -> bool {
        !self.rest.is_empty()
    }

    fn ring_doorbell(&mut self) -> Result<(), TransportError> {
        // What waits for the socket already wakes the peer as well.
        if self.rest.is_empty() {
            self.rest.extend_from_slice(&[DOORBELL]);
        }
        self.send_rest()
    }

    fn send_rest(&mut self) -> Result<(), TransportError> {
        send_by_socket(&self.socket, &mut self.rest, &mut self.to_pass)
    }

    // ---- sleeping -------------------------------------------------------------------------------------------

    /// See [`super::Transport::sleep`].
    pub(super) fn sleep(&mut self, waits: Waits) -> Result<bool, TransportError> {
        let waits = Waits {
            to_read: waits.to_read && self.receives_by_ring,
            to_write: waits.to_write && self.sends_by_ring,
        };
        self.ring.as_mut().map_or(Ok(true), |ring| Ok(ring.sleep(waits)?))
    }

    pub(in crate::link) fn wake(&self) {
        if let Some(ring) = &self.ring {
            ring.wake();
        }
    }

    /// Bytes in the ring that the peer has not taken.
    pub(super) fn unread_bytes(&self) -> usize {
        self.ring.as_ref().map_or(0, Ring::unread_bytes)
    }
}

#[cfg(test)]
impl Local {
    pub(in crate::link) fn scribble(&self, value: u32) {
        if let Some(ring) = &self.ring {
            ring.scribble(value);
        }
    }
}

impl AsFd for Local {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Takes from the front of `bytes` what the socket takes, with the file, if there is one.
fn send_by_socket(
    socket: &UnixStream,
    bytes: &mut BytesMut,
    to_pass: &mut Option<OwnedFd>,
) -> Result<(), TransportError> {
    while !bytes.is_empty() {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let file = to_pass.as_ref().map(|file| [file.as_fd()]);
        if let Some(files) = &file {
            control.push(SendAncillaryMessage::ScmRights(files));
        }
        match sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL) {
            Ok(count) => {
                bytes.advance(count);
                *to_pass = None;
            }
            Err(error) => return waits(error),
        }
    }
    Ok(())
}

/// An error that only says "later".
fn waits(error: rustix::io::Errno) -> Result<(), TransportError> {
    match error {
        rustix::io::Errno::AGAIN | rustix::io::Errno::INTR => Ok(()),
        error => Err(io::Error::from(error).into()),
    }
}

fn check_doorbells(bytes: &[u8]) -> Result<(), TransportError> {
    if bytes.iter().all(|byte| *byte == DOORBELL) { Ok(()) } else { Err(TransportError::NoDoorbell) }
}
