//! One connection of a link: a transport with its buffers, and the greetings and frames in them, sealed between nodes.
//!
//! Bytes that came in are capped by what one read takes plus one frame; bytes that go out are capped by the sender's
//! window. Errors close the connection, they never end the process.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use bytes::BytesMut;

use super::address::Address;
use super::frame::{Data, Frame, FrameError, RingStep};
use super::handshake::{Handshake, HandshakeError, Hello, Step, Terms, Welcome};
use super::ring::{RegionError, Waits};
use super::seal::{Opener, RecordWriter, SealError, Sealer};
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
    /// What came in was tampered with.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The ends do not meet.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
}

impl ConnectionError {
    /// The error as a metric's label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Transport(TransportError::Closed) => "closed-by-peer",
            Self::Transport(TransportError::Io(_)) => "system",
            Self::Transport(_) => "tampered-ring",
            Self::Frame(_) => "malformed-frame",
            Self::Seal(_) => "broken-seal",
            Self::Handshake(error) => error.reason(),
        }
    }
}

/// What the peer's greetings led to.
#[derive(Debug)]
pub enum Met {
    /// More bytes are needed.
    Pending,
    /// Listener: the dialler is who it says; answer with [`Connection::welcome`] or [`Connection::refuse`].
    Known(Box<Hello>),
    /// Dialler: the link is up.
    Up(Welcome),
}

/// One connection with what was read and not yet decoded, and what was queued and not yet written.
#[derive(Debug)]
pub struct Connection {
    transport: Transport,
    /// Bytes that came in and are not yet opened; unused without records.
    sealed_input: BytesMut,
    input: BytesMut,
    output: BytesMut,
    /// Between nodes, once both ends have the keys.
    records: Option<(RecordWriter, Opener)>,
    terms: Terms,
}

impl Connection {
    /// A connection over a transport that is up or comes up.
    pub fn new(transport: Transport) -> Self {
        Self {
            transport,
            sealed_input: BytesMut::new(),
            input: BytesMut::new(),
            output: BytesMut::new(),
            records: None,
            terms: Terms::default(),
        }
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
        let input = if self.records.is_some() { &mut self.sealed_input } else { &mut self.input };
        Ok(self.transport.receive(input, scratch)?)
    }

    /// Opens the next record, if there are records and a whole one is there.
    fn open(&mut self) -> Result<bool, ConnectionError> {
        match &mut self.records {
            Some((_, opener)) => Ok(opener.open(&mut self.sealed_input, &mut self.input)?),
            None => Ok(false),
        }
    }

    /// The next whole frame that came in, other than those by which the two ends change to a ring.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, ConnectionError> {
        loop {
            match Frame::decode(&mut self.input)? {
                Some(Frame::Ring(step)) => self.ring_step(step)?,
                None if self.open()? => {}
                other => return Ok(other),
            }
        }
    }

    // ---- greetings --------------------------------------------------------------------------------------------

    /// The dialling end introduces itself.
    pub fn introduce(
        &mut self,
        key: &[u8],
        hello: Hello,
        terms: Terms,
    ) -> Result<Handshake, ConnectionError> {
        Ok(Handshake::dial(key, hello, terms, &mut self.output)?)
    }

    /// Goes through the greetings that came in. After an error, what is still to be written tells the peer why.
    pub fn greet(&mut self, handshake: &mut Handshake) -> Result<Met, ConnectionError> {
        loop {
            match handshake.step(&mut self.input, &mut self.output)? {
                Step::Pending => {
                    if !self.open()? {
                        return Ok(Met::Pending);
                    }
                }
                Step::Keyed(keys) => self.seal(keys.of_dialler()),
                Step::Known(hello, terms, keys) => {
                    self.terms = terms;
                    self.seal(keys.of_listener());
                    return Ok(Met::Known(hello));
                }
                Step::Up(welcome, terms) => {
                    self.terms = terms;
                    if let Some((writer, _)) = &mut self.records {
                        writer.seal_packets(terms.seal_packets);
                    }
                    return Ok(Met::Up(welcome));
                }
            }
        }
    }

    /// From here on both directions are records, where strangers may reach the bytes.
    fn seal(&mut self, (sealer, opener): (Sealer, Opener)) {
        if self.transport.is_within_node() {
            return;
        }
        // What came behind the greeting is a record already.
        self.sealed_input = self.input.split();
        self.records = Some((RecordWriter::new(sealer, self.terms.seal_packets), opener));
    }

    /// The listener takes the dialler.
    pub fn welcome(&mut self, welcome: Welcome) {
        let terms = self.terms;
        self.put_sealed(|out| Handshake::welcome(welcome, terms, out));
    }

    /// The listener does not, and says why.
    pub fn refuse(&mut self, reason: &str) {
        self.put_sealed(|out| Handshake::refuse(reason, out));
    }

    // ---- the way out ------------------------------------------------------------------------------------------

    /// Queues a frame. A batch of packets that fits into a ring goes there at once, so that it is copied once less.
    pub fn queue(&mut self, frame: &Frame) -> Result<(), ConnectionError> {
        match frame {
            Frame::Data(data) => self.queue_data(data),
            _ => {
                self.put_sealed(|out| frame.encode(out));
                Ok(())
            }
        }
    }

    fn queue_data(&mut self, data: &Data) -> Result<(), ConnectionError> {
        if let Some((writer, _)) = &mut self.records {
            writer.put_data(data, &mut self.output);
        } else if !self.goes_by_ring(data)? {
            data.encode(&mut self.output);
        }
        Ok(())
    }

    /// Writes a batch into the ring, if there is one with room and nothing waits before it.
    fn goes_by_ring(&mut self, data: &Data) -> Result<bool, ConnectionError> {
        match self.transport.local() {
            Some(local) if self.output.is_empty() => Ok(local.write_at_once(&[&data.header(), &data.body])?),
            _ => Ok(false),
        }
    }

    fn put_sealed(&mut self, write: impl FnOnce(&mut BytesMut)) {
        match &mut self.records {
            Some((writer, _)) => writer.put_sealed(&mut self.output, write),
            None => write(&mut self.output),
        }
    }

    /// Whether something is queued, or lies in the ring and the peer does not know.
    pub fn has_output(&self) -> bool {
        let owes_doorbell = matches!(&self.transport, Transport::Local(local) if local.owes_doorbell());
        !self.output.is_empty() || owes_doorbell
    }

    /// Bytes of packets that may be queued now.
    pub fn room(&self) -> usize {
        HIGH_WATER.saturating_sub(self.output.len())
    }

    /// Writes what can be written of what is queued.
    pub fn flush(&mut self) -> Result<(), ConnectionError> {
        if let Some((writer, _)) = &mut self.records {
            writer.close(&mut self.output);
        }
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
        let Self { transport, input, output, .. } = self;
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
mod tests;
