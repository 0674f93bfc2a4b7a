//! Frames on a link, and how they look on the wire.
//!
//! A frame is a four-byte length (of what follows), a one-byte type and the type's fields, all big-endian. Frames of
//! packets and acknowledgements are binary; control messages are JSON, since they are rare and grow. The peer is
//! untrusted: lengths are capped before anything is allocated, and every field is checked.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::control::Report;

/// Longest frame: a final frame with a large table must fit, memory must stay bounded.
pub const MAX_FRAME: usize = 64 << 20;
/// Most packets in one data frame.
pub const MAX_PACKETS: u16 = 64;

/// One frame of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A batch of packets of one edge.
    Data(Data),
    /// What the receiver has.
    Ack(Ack),
    /// The end of an edge towards an owner that hands over.
    Marker(Marker),
    /// Passes through the elements' place in the order of packets and is timed at the downstream.
    Probe(Probe),
    /// Keeps an idle link alive.
    Heartbeat,
    /// A step of a handshake or of a handover.
    Control(Control),
    /// The final frame of a handover, from source to target: the same bytes that are in the log.
    Final(Bytes),
    /// A step by which the two ends change from a socket to a ring.
    Ring(RingStep),
}

/// How a connection on one node changes from its socket to a ring in memory, each direction on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RingStep {
    /// Dialler → listener: a ring, whose memory comes with this frame or before it.
    Offer,
    /// Either way: all that follows comes by the ring. Of the listener it says as well that it takes the ring.
    Rest,
}

/// A batch of packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// The edge.
    pub edge: u16,
    /// Epoch of the sender.
    pub epoch: u64,
    /// Sequence number of the first packet.
    pub first: u64,
    /// Packets in the body, 1 to [`MAX_PACKETS`].
    pub count: u16,
    /// Numbers at the end of the body, see [`Data::made`].
    pub columns: u8,
    /// The packets, see `packets.rs`; behind them the numbers.
    pub body: Bytes,
}

/// What the receiver of an edge has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// The edge.
    pub edge: u16,
    /// Next sequence number that it will accept: all before it arrived.
    pub accepted: u64,
    /// All before it are covered by stored state: the sender may forget them.
    pub durable: u64,
}

/// The last word on an edge to an owner that hands over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// The edge.
    pub edge: u16,
    /// First sequence number that goes to the new owner.
    pub next: u64,
    /// Epoch of the new owner.
    pub epoch: u64,
}

/// A probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Hash of the handover's id: only the sub-function that moves passes it on.
    pub handover: u64,
    /// Which upstream sent it.
    pub origin: u32,
}

/// Messages of the handover (handover.md, section 4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Control {
    /// S → U, D: a handover begins. S → T: what T shall become.
    Prepare(Prepare),
    /// S → U, D, T: are you ready for the cut?
    Arm {
        /// The handover.
        id: String,
    },
    /// U, D, T → S: ready.
    Armed {
        /// The handover.
        id: String,
    },
    /// U, D, T → S: not ready, and why.
    Refused {
        /// The handover.
        id: String,
        /// Why.
        reason: String,
    },
    /// T → S: how far the state is.
    Synced {
        /// The handover.
        id: String,
        /// Flows loaded so far.
        flows: u64,
        /// Whether T follows the log closely.
        ready: bool,
    },
    /// S → U: end your frames to me with markers, send on to T.
    Cut {
        /// The handover.
        id: String,
    },
    /// S → T: the seal is stored, you own.
    Sealed {
        /// The handover.
        id: String,
    },
    /// S → all: it is off; go on as before.
    Abort {
        /// The handover.
        id: String,
    },
    /// Any owner → a peer that sends packets at an older epoch: the epoch that the peer's sub-function has now.
    Fenced {
        /// That epoch.
        epoch: u64,
    },
    /// An owner → its peers: its own epoch.
    Owner {
        /// Its epoch.
        epoch: u64,
        /// The handover that made it owner, if any.
        id: Option<String>,
    },
    /// U, D → T: what was measured.
    Report(PeerReport),
    /// T → S: all reports are in.
    Finished {
        /// The handover.
        id: String,
        /// Their sum.
        report: Report,
    },
}

/// The announcement of a handover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prepare {
    /// The handover.
    pub id: String,
    /// Epoch of the new owner.
    pub epoch: u64,
    /// Id of the new owner.
    pub target: String,
    /// Where the new owner takes links.
    pub address: String,
    /// Length of the window in which the gap is measured, in milliseconds.
    pub watch_ms: u32,
}

/// What one peer measured of a handover.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerReport {
    /// The handover.
    pub id: String,
    /// The sub-function that reports.
    pub peer: String,
    /// Longest time between probes in the window after ARM, minus the probe interval, in nanoseconds.
    pub gap_ns: u64,
    /// The same before ARM.
    pub baseline_ns: u64,
    /// Probes counted in the window after ARM.
    pub probes: u64,
    /// Sequence numbers that never came, and packets that the link dropped, during the handover.
    pub lost: u64,
    /// Packets delivered twice.
    pub duplicated: u64,
    /// Packets delivered behind a later one.
    pub reordered: u64,
}

/// Why bytes are not a frame. The link is closed and dialled anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is over the cap, or zero.
    #[error("frame length {0} is outside 1..={MAX_FRAME}")]
    Length(usize),
    /// The type is not known.
    #[error("frame type {0} is not known; both ends must run versions that fit")]
    Type(u8),
    /// The fields do not fit the type.
    #[error("a frame of type {kind} is malformed")]
    Malformed {
        /// The type.
        kind: u8,
    },
}

const DATA: u8 = 1;
const ACK: u8 = 2;
const MARKER: u8 = 3;
const PROBE: u8 = 4;
const HEARTBEAT: u8 = 5;
const CONTROL: u8 = 6;
const FINAL: u8 = 7;
const RING_OFFER: u8 = 8;
const RING_REST: u8 = 9;

/// Bytes of a data frame before its body, length included.
pub const DATA_HEADER: usize = 4 + 1 + 2 + 8 + 8 + 2 + 1;

impl Data {
    fn packet_bytes(&self) -> usize {
        self.body.len().saturating_sub(8 * usize::from(self.columns))
    }

    /// The packets alone.
    pub fn packets(&self) -> Bytes {
        self.body.slice(..self.packet_bytes())
    }

    /// How many packets the sender has made on this edge, up to the end of this batch, from each of its causes: its
    /// in-edges in the manifest's order, then itself. Its next owner asks for them after a crash, so as to leave out
    /// what is here already.
    pub fn made(&self) -> impl Iterator<Item = u64> + '_ {
        let (numbers, _) = self.body[self.packet_bytes()..].as_chunks::<8>();
        numbers.iter().map(|number| u64::from_be_bytes(*number))
    }

    /// The header; the body follows it as it is, so that it need not be copied.
    pub fn header(&self) -> [u8; DATA_HEADER] {
        let mut header = [0; DATA_HEADER];
        let mut out = &mut header[..];
        out.put_u32((DATA_HEADER - 4 + self.body.len()) as u32);
        out.put_u8(DATA);
        out.put_u16(self.edge);
        out.put_u64(self.epoch);
        out.put_u64(self.first);
        out.put_u16(self.count);
        out.put_u8(self.columns);
        header
    }

    /// Appends the frame to `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_slice(&self.header());
        out.put_slice(&self.body);
    }
}

impl Frame {
    /// Appends the frame to `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Data(data) => data.encode(out),
            Self::Ack(ack) => {
                put_head(out, ACK, 18);
                out.put_u16(ack.edge);
                out.put_u64(ack.accepted);
                out.put_u64(ack.durable);
            }
            Self::Marker(marker) => {
                put_head(out, MARKER, 18);
                out.put_u16(marker.edge);
                out.put_u64(marker.next);
                out.put_u64(marker.epoch);
            }
            Self::Probe(probe) => {
                put_head(out, PROBE, 12);
                out.put_u64(probe.handover);
                out.put_u32(probe.origin);
            }
            Self::Heartbeat => put_head(out, HEARTBEAT, 0),
            Self::Control(control) => {
                // Serialising these types cannot fail: they hold strings and numbers only.
                let json = serde_json::to_vec(control).unwrap_or_default();
                put_head(out, CONTROL, json.len());
                out.put_slice(&json);
            }
            Self::Final(bytes) => {
                put_head(out, FINAL, bytes.len());
                out.put_slice(bytes);
            }
            Self::Ring(RingStep::Offer) => put_head(out, RING_OFFER, 0),
            Self::Ring(RingStep::Rest) => put_head(out, RING_REST, 0),
        }
    }

    /// Takes the first whole frame from `input`; `None` when more bytes are needed.
    pub fn decode(input: &mut BytesMut) -> Result<Option<Self>, FrameError> {
        let Some(length) = input.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes) as usize) else {
            return Ok(None);
        };
        if length == 0 || length > MAX_FRAME {
            return Err(FrameError::Length(length));
        }
        if input.len() < 4 + length {
            return Ok(None);
        }
        input.advance(4);
        let mut frame = input.split_to(length).freeze();
        let kind = frame.get_u8();
        parse(kind, frame).map(Some)
    }
}

fn put_head(out: &mut BytesMut, kind: u8, length: usize) {
    out.put_u32(length as u32 + 1);
    out.put_u8(kind);
}

fn parse(kind: u8, mut fields: Bytes) -> Result<Frame, FrameError> {
    let malformed = FrameError::Malformed { kind };
    let exact =
        |fields: &Bytes, length: usize| (fields.len() == length).then_some(()).ok_or(malformed.clone());
    match kind {
        DATA => {
            if fields.len() < DATA_HEADER - 5 {
                return Err(malformed);
            }
            let (edge, epoch, first) = (fields.get_u16(), fields.get_u64(), fields.get_u64());
            let (count, columns) = (fields.get_u16(), fields.get_u8());
            let ends = first.checked_add(u64::from(count)).is_some();
            if count == 0 || count > MAX_PACKETS || !ends || fields.len() < 8 * usize::from(columns) {
                return Err(malformed);
            }
            Ok(Frame::Data(Data { edge, epoch, first, count, columns, body: fields }))
        }
        ACK => {
            exact(&fields, 18)?;
            let (edge, accepted, durable) = (fields.get_u16(), fields.get_u64(), fields.get_u64());
            Ok(Frame::Ack(Ack { edge, accepted, durable }))
        }
        MARKER => {
            exact(&fields, 18)?;
            let (edge, next, epoch) = (fields.get_u16(), fields.get_u64(), fields.get_u64());
            Ok(Frame::Marker(Marker { edge, next, epoch }))
        }
        PROBE => {
            exact(&fields, 12)?;
            Ok(Frame::Probe(Probe { handover: fields.get_u64(), origin: fields.get_u32() }))
        }
        HEARTBEAT => exact(&fields, 0).map(|()| Frame::Heartbeat),
        CONTROL => serde_json::from_slice(&fields).map(Frame::Control).map_err(|_| malformed),
        FINAL => Ok(Frame::Final(fields)),
        RING_OFFER => exact(&fields, 0).map(|()| Frame::Ring(RingStep::Offer)),
        RING_REST => exact(&fields, 0).map(|()| Frame::Ring(RingStep::Rest)),
        other => Err(FrameError::Type(other)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn examples() -> Vec<Frame> {
        vec![
            Frame::Data(Data {
                edge: 3,
                epoch: 9,
                first: 77,
                count: 2,
                columns: 1,
                body: Bytes::from_static(b"two packets\0\0\0\0\0\0\x01\x02"),
            }),
            Frame::Ack(Ack { edge: 1, accepted: 5, durable: 4 }),
            Frame::Marker(Marker { edge: 1, next: 5, epoch: 2 }),
            Frame::Probe(Probe { handover: 1, origin: 2 }),
            Frame::Heartbeat,
            Frame::Control(Control::Cut { id: "a".into() }),
            Frame::Control(Control::Owner { epoch: 7, id: None }),
            Frame::Final(Bytes::from_static(b"state")),
            Frame::Ring(RingStep::Offer),
            Frame::Ring(RingStep::Rest),
        ]
    }

    #[test]
    fn frames_are_read_back_from_any_split_of_the_stream() {
        let mut stream = BytesMut::new();
        examples().iter().for_each(|frame| frame.encode(&mut stream));
        let (mut input, mut found) = (BytesMut::new(), Vec::new());
        for byte in stream {
            input.put_u8(byte);
            while let Some(frame) = Frame::decode(&mut input).unwrap() {
                found.push(frame);
            }
        }
        assert_eq!(found, examples());
    }

    #[test]
    fn the_packets_of_a_batch_and_what_was_made_are_told_apart() {
        let Frame::Data(data) = &examples()[0] else { panic!("no data") };
        assert_eq!(data.packets(), b"two packets"[..]);
        assert_eq!(data.made().collect::<Vec<_>>(), [258]);
        let short = Data { columns: 3, ..data.clone() };
        let mut input = BytesMut::new();
        Frame::Data(short).encode(&mut input);
        assert_eq!(Frame::decode(&mut input), Err(FrameError::Malformed { kind: DATA }));
    }

    #[test]
    fn a_length_over_the_cap_is_refused_before_anything_is_stored() {
        let mut input = BytesMut::from(&[0xff, 0xff, 0xff, 0xff, 1][..]);
        assert_eq!(Frame::decode(&mut input), Err(FrameError::Length(0xffff_ffff)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut input = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = Frame::decode(&mut input) {}
        }

        #[test]
        fn no_change_of_a_frame_makes_the_decoder_panic(which in 0usize..10, at in 0usize..64, to in any::<u8>()) {
            let mut input = BytesMut::new();
            examples()[which].encode(&mut input);
            let len = input.len();
            input[at % len] = to;
            while let Ok(Some(_)) = Frame::decode(&mut input) {}
        }
    }
}
