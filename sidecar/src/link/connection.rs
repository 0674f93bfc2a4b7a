//! One connection of a link: a transport with its buffers, and the frames in them.
//!
//! Bytes that came in are capped by what one read takes plus one frame; bytes that go out are capped by the sender's
//! window. Errors close the connection, they never end the process.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use bytes::BytesMut;

use super::address::Address;
use super::frame::{Frame, FrameError, RingStep};
use super::ring::{RegionError, Waits};
use super::transport::{Listener, Local, Transport, TransportError};

/// Above this much unsent data no more packets are queued: what waits longer waits with its edge, which keeps it anyway,
/// and is not copied to and fro here.
const HIGH_WATER: usize = 256 << 10;

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

impl ConnectionError {
    /// One word for it, for counters.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Transport(TransportError::Closed) => "closed",
            Self::Transport(TransportError::Io(_)) => "system",
            Self::Transport(_) => "tampered",
            Self::Frame(_) => "malformed",
        }
    }
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
    /// A connection over a transport that is up or comes up.
    pub fn new(transport: Transport) -> Self {
        Self { transport, input: BytesMut::new(), output: BytesMut::new() }
    }

    /// Starts to connect; writing tells when it is there.
    pub fn dial(address: &Address) -> io::Result<Self> {
        Transport::dial(address).map(Self::new)
    }

    /// The next dialler, if one waits.
    pub fn accept(listener: &Listener) -> io::Result<Option<Self>> {
        Ok(listener.accept()?.map(Self::new))
    }

    /// What kind of transport it is, for status and metrics.
    pub fn transport(&self) -> &'static str {
        self.transport.name()
    }

    /// Reads what is there by way of `scratch` (at most its length) and keeps it for [`Connection::next_frame`].
    pub fn fill(&mut self, scratch: &mut [u8]) -> Result<usize, ConnectionError> {
        Ok(self.transport.receive(&mut self.input, scratch)?)
    }

    /// The next whole frame that came in, other than those by which the two ends change to a ring.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, ConnectionError> {
        loop {
            match Frame::decode(&mut self.input)? {
                Some(Frame::Ring(step)) => self.ring_step(step)?,
                other => return Ok(other),
            }
        }
    }

    /// Queues a frame. A batch of packets that fits into a ring goes there at once, so that it is copied once less.
    pub fn queue(&mut self, frame: &Frame) -> Result<(), ConnectionError> {
        if let Frame::Data(data) = frame
            && self.output.is_empty()
            && let Some(local) = self.transport.local()
            && local.write_at_once(&[&data.header(), &data.body])?
        {
            return Ok(());
        }
        frame.encode(&mut self.output);
        Ok(())
    }

    /// Bytes of packets that may be queued now.
    pub fn room(&self) -> usize {
        HIGH_WATER.saturating_sub(self.output.len())
    }

    /// Writes what can be written of what is queued.
    pub fn flush(&mut self) -> Result<(), ConnectionError> {
        Ok(self.transport.send(&mut self.output)?)
    }

    /// Whether the descriptor is to be watched for being writable.
    pub fn waits_to_write(&self) -> bool {
        self.transport.waits_to_write(self.output.len())
    }

    // ---- rings ----------------------------------------------------------------------------------------------

    /// Whether the two ends may change to a ring in memory.
    pub fn can_have_ring(&self) -> bool {
        matches!(self.transport, Transport::Local(_))
    }

    /// The dialler offers a ring. Nothing changes until the peer has taken it.
    pub fn offer_ring(&mut self) -> Result<(), ConnectionError> {
        if let Some(local) = self.transport.local() {
            local.offer_ring()?;
            Frame::Ring(RingStep::Offer).encode(&mut self.output);
        }
        Ok(())
    }

    fn ring_step(&mut self, step: RingStep) -> Result<(), ConnectionError> {
        let Self { transport, input, output } = self;
        let local = transport.local().ok_or(TransportError::NoRing)?;
        match step {
            RingStep::Offer => match local.adopt_ring() {
                // Without memory for it the link stays where it is.
                Err(TransportError::Region(RegionError::Io(_))) => return Ok(()),
                adopted => adopted?,
            },
            RingStep::Rest => local.receive_by_ring(input)?,
        }
        if !local.sends_by_ring() {
            Frame::Ring(RingStep::Rest).encode(output);
            local.send_by_ring(output)?;
        }
        Ok(())
    }

    /// Reads from the ring, if there is one, without asking the system.
    pub fn poll_ring(&mut self) -> Result<usize, ConnectionError> {
        let Self { transport, input, .. } = self;
        Ok(transport.local().map_or(Ok(0), |local| local.poll(input))?)
    }

    /// Whether [`Connection::poll_ring`] has something to say.
    pub fn ring_is_readable(&mut self) -> bool {
        self.transport.local().is_some_and(Local::is_readable)
    }

    /// The caller will sleep until the descriptor is ready; `takes` tells whether it cares for what comes in. `false`:
    /// it must not sleep, there is something to do.
    pub fn sleep(&mut self, takes: Takes) -> Result<bool, ConnectionError> {
        let waits = Waits { to_read: takes == Takes::Frames, to_write: !self.output.is_empty() };
        Ok(self.transport.sleep(waits)?)
    }

    /// The caller is awake.
    pub fn wake(&mut self) {
        if let Some(local) = self.transport.local() {
            local.wake();
        }
    }

    /// Bytes queued, or in the ring, that the peer has not taken, as far as this end knows.
    pub fn unread_bytes(&self) -> usize {
        self.output.len() + self.transport.unread_bytes()
    }
}

/// Whether one who sleeps cares for what comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// It does.
    Frames,
    /// It does not: what comes has to wait.
    Nothing,
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.transport.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use bytes::Bytes;

    use super::*;
    use crate::link::frame::{Data, MAX_PACKETS};

    /// The two ends of a link on one node, dialler first.
    fn pair() -> (Connection, Connection) {
        let (here, there) = UnixStream::pair().unwrap();
        let end = |socket| Connection::new(Transport::Local(Local::new(socket).unwrap()));
        (end(here), end(there))
    }

    fn frame(first: u64) -> Frame {
        let body = Bytes::from(vec![first as u8; 1_000]);
        Frame::Data(Data { edge: 1, epoch: 1, first, count: MAX_PACKETS, body })
    }

    /// Everything that can be read now.
    fn read(end: &mut Connection) -> Result<Vec<u64>, ConnectionError> {
        let mut found = Vec::new();
        while end.fill(&mut [0; 4096])? > 0 {
            while let Some(frame) = end.next_frame()? {
                match frame {
                    Frame::Data(data) => found.push(data.first),
                    other => panic!("{other:?}"),
                }
            }
        }
        Ok(found)
    }

    /// Until both ends send by the ring.
    fn settle(dialler: &mut Connection, listener: &mut Connection) {
        dialler.offer_ring().unwrap();
        for _ in 0..4 {
            dialler.flush().unwrap();
            listener.flush().unwrap();
            assert_eq!((read(listener).unwrap().len(), read(dialler).unwrap().len()), (0, 0));
        }
        assert_eq!((dialler.transport(), listener.transport()), ("ring", "ring"));
    }

    #[test]
    fn a_link_changes_to_a_ring_under_way_and_every_frame_comes_once_and_in_order() {
        let (mut dialler, mut listener) = pair();
        let (mut to_listener, mut to_dialler) = (Vec::new(), Vec::new());
        for number in 0..3_000 {
            dialler.queue(&frame(number)).unwrap();
            listener.queue(&frame(number)).unwrap();
            if number == 100 {
                dialler.offer_ring().unwrap();
            }
            dialler.flush().unwrap();
            // The listener sends and reads less often: buffers and ring fill up.
            if number % 7 == 0 {
                listener.flush().unwrap();
                to_listener.extend(read(&mut listener).unwrap());
                to_dialler.extend(read(&mut dialler).unwrap());
            }
        }
        while !(dialler.output.is_empty() && listener.output.is_empty()) {
            dialler.flush().unwrap();
            listener.flush().unwrap();
            to_listener.extend(read(&mut listener).unwrap());
            to_dialler.extend(read(&mut dialler).unwrap());
        }
        to_listener.extend(read(&mut listener).unwrap());
        to_dialler.extend(read(&mut dialler).unwrap());
        assert_eq!((dialler.transport(), listener.transport()), ("ring", "ring"));
        assert_eq!(to_listener, (0..3_000).collect::<Vec<u64>>());
        assert_eq!(to_dialler, (0..3_000).collect::<Vec<u64>>());
    }

    #[test]
    fn what_a_peer_wrote_before_it_died_is_read_and_then_the_link_is_closed() {
        let (mut dialler, mut listener) = pair();
        settle(&mut dialler, &mut listener);
        (0..5).for_each(|number| frame(number).encode(&mut dialler.output));
        dialler.flush().unwrap();
        drop(dialler);
        assert!(listener.fill(&mut [0; 64]).unwrap() > 5_000);
        assert!(matches!(listener.next_frame(), Ok(Some(_))));
        assert_eq!(listener.fill(&mut [0; 64]).unwrap_err().kind(), "closed");
    }

    #[test]
    fn an_end_that_sleeps_is_woken_by_the_socket_and_one_that_must_not_sleep_is_told() {
        let (mut dialler, mut listener) = pair();
        settle(&mut dialler, &mut listener);
        assert!(listener.sleep(Takes::Frames).unwrap());
        frame(0).encode(&mut dialler.output);
        dialler.flush().unwrap();
        let mut doorbell = [0; 8];
        let Transport::Local(local) = &listener.transport else { unreachable!() };
        assert_eq!(rustix::net::recv(local, &mut doorbell, rustix::net::RecvFlags::PEEK).unwrap().1, 1);
        assert!(!listener.sleep(Takes::Frames).unwrap());
        assert!(listener.sleep(Takes::Nothing).unwrap());
        assert_eq!(read(&mut listener).unwrap(), [0]);
    }

    #[test]
    fn a_writer_that_waits_for_room_is_woken_when_there_is_some() {
        let (mut dialler, mut listener) = pair();
        settle(&mut dialler, &mut listener);
        dialler.output.resize(1 << 20, 0);
        dialler.flush().unwrap();
        assert!(!dialler.output.is_empty() && !dialler.waits_to_write());
        assert!(dialler.sleep(Takes::Frames).unwrap());
        assert!(listener.poll_ring().unwrap() > 0);
        assert_eq!(dialler.fill(&mut [1; 8]).unwrap(), 0, "a doorbell is no byte of the stream");
        assert!(!dialler.sleep(Takes::Frames).unwrap());
    }

    #[test]
    fn a_peer_that_tampers_with_a_ring_or_with_the_change_to_it_is_cut_off() {
        let (mut dialler, mut listener) = pair();
        settle(&mut dialler, &mut listener);
        let Transport::Local(local) = &dialler.transport else { unreachable!() };
        local.scribble(0x8000_0000);
        assert!(listener.ring_is_readable(), "so that somebody looks");
        assert_eq!(listener.poll_ring().unwrap_err().kind(), "tampered");

        let (mut dialler, mut listener) = pair();
        settle(&mut dialler, &mut listener);
        let Transport::Local(local) = &dialler.transport else { unreachable!() };
        rustix::io::write(local, b"by the socket").unwrap();
        assert_eq!(listener.fill(&mut [0; 64]).unwrap_err().kind(), "tampered");

        for step in [RingStep::Offer, RingStep::Rest] {
            let (mut dialler, mut listener) = pair();
            Frame::Ring(step).encode(&mut dialler.output);
            dialler.flush().unwrap();
            assert_eq!(read(&mut listener).unwrap_err().kind(), "tampered", "without a ring");
        }
    }

    #[test]
    fn frames_of_garbage_in_a_ring_close_the_link() {
        let (mut dialler, mut listener) = pair();
        settle(&mut dialler, &mut listener);
        dialler.output.extend_from_slice(&[0xff; 100]);
        dialler.flush().unwrap();
        listener.poll_ring().unwrap();
        assert_eq!(listener.next_frame().unwrap_err().kind(), "malformed");
    }
}
