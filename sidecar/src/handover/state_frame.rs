//! The frame that a log entry is. Read back as untrusted bytes.
//!
//! A *strict frame* holds records on which later outputs depend, and no position: it may be applied to any state before
//! or after. A *cut frame* is a consistent state: all changes since the one before, where each edge stood when they were
//! taken, and the small state of the elements if it has changed. It is stored once the downstreams have accepted the
//! outputs before it, so that whoever goes on from it has nothing to send again. The *final frame* of a handover is a
//! cut frame that is stored earlier: it holds the packets that the downstreams had not accepted.

use bytes::Bytes;

use crate::link::sender::Batch;
use crate::state::{Reader, StateError, Writer};

/// Version of this form.
const VERSION: u8 = 2;

/// Where an in-edge stood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InPosition {
    /// The edge.
    pub edge: u16,
    /// The next sequence number to process, if it has one.
    pub next: Option<u64>,
    /// What its sender had made from each cause up to there.
    pub made: Vec<u64>,
}

/// Where an out-edge stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutPosition {
    /// The edge.
    pub edge: u16,
    /// Sequence number of the next packet.
    pub next: u64,
    /// Packets made from each cause.
    pub made: Vec<u64>,
    /// What the downstream had accepted, as far as was known.
    pub accepted: u64,
    /// In a final frame: the packets from `accepted` on.
    pub tail: Vec<Batch>,
}

/// One frame of state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateFrame {
    /// Its number in the log.
    pub number: u64,
    /// Epoch of the owner that wrote it.
    pub epoch: u64,
    /// Engine time, nanoseconds since the Unix epoch.
    pub time: u64,
    /// Changes of the tables, in the engine's form.
    pub changes: Bytes,
    /// What a strict frame does not have.
    pub cut: Option<Cut>,
}

/// The part of a cut frame beside the changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cut {
    /// Where the in-edges stood.
    pub inputs: Vec<InPosition>,
    /// Where the out-edges stood.
    pub outputs: Vec<OutPosition>,
    /// Small state of all elements, in the engine's form; `None`: as in the cut frame before.
    pub small_state: Option<Bytes>,
    /// In a final frame: the handover.
    pub handover: Option<String>,
}

impl StateFrame {
    /// The handover whose final frame it is.
    pub fn handover(&self) -> Option<&str> {
        self.cut.as_ref()?.handover.as_deref()
    }

    /// The frame as bytes.
    pub fn encode(&self) -> Bytes {
        let mut w = Writer::new();
        w.put_u8(VERSION);
        w.put_u64(self.number);
        w.put_u64(self.epoch);
        w.put_u64(self.time);
        w.put_bytes(&self.changes);
        w.put_bool(self.cut.is_some());
        if let Some(cut) = &self.cut {
            cut.put(&mut w);
        }
        w.into_bytes().into()
    }

    /// Reads a frame that [`StateFrame::encode`] wrote.
    pub fn decode(bytes: &Bytes) -> Result<Self, StateError> {
        let mut r = Reader::new(bytes);
        match r.get_u8()? {
            VERSION => {}
            other => {
                return Err(StateError::Invalid {
                    what: "version of a state frame",
                    value: u64::from(other),
                });
            }
        }
        let (number, epoch, time) = (r.get_u64()?, r.get_u64()?, r.get_u64()?);
        let changes = Bytes::copy_from_slice(r.get_bytes()?);
        let cut = if r.get_bool()? { Some(Cut::get(&mut r)?) } else { None };
        match r.remaining() {
            0 => Ok(Self { number, epoch, time, changes, cut }),
            left => Err(StateError::TrailingBytes(left)),
        }
    }
}

impl Cut {
    fn put(&self, w: &mut Writer) {
        w.put_u16(self.inputs.len() as u16);
        for InPosition { edge, next, made } in &self.inputs {
            w.put_u16(*edge);
            w.put_bool(next.is_some());
            w.put_u64(next.unwrap_or(0));
            put_made(made, w);
        }
        w.put_u16(self.outputs.len() as u16);
        for position in &self.outputs {
            w.put_u16(position.edge);
            w.put_u64(position.next);
            put_made(&position.made, w);
            w.put_u64(position.accepted);
            w.put_u32(position.tail.len() as u32);
            for batch in &position.tail {
                w.put_u64(batch.first);
                w.put_u16(batch.count);
                w.put_u8(batch.columns);
                w.put_bytes(&batch.body);
            }
        }
        w.put_bool(self.small_state.is_some());
        if let Some(small) = &self.small_state {
            w.put_bytes(small);
        }
        w.put_bool(self.handover.is_some());
        if let Some(id) = &self.handover {
            w.put_str(id);
        }
    }

    fn get(r: &mut Reader<'_>) -> Result<Self, StateError> {
        let inputs = (0..r.get_u16()?).map(|_| read_input(r)).collect::<Result<_, _>>()?;
        let outputs = (0..r.get_u16()?).map(|_| read_output(r)).collect::<Result<_, _>>()?;
        let small_state = if r.get_bool()? { Some(Bytes::copy_from_slice(r.get_bytes()?)) } else { None };
        let handover = if r.get_bool()? { Some(r.get_str()?.to_string()) } else { None };
        Ok(Self { inputs, outputs, small_state, handover })
    }
}

fn put_made(made: &[u64], w: &mut Writer) {
    w.put_u8(made.len() as u8);
    made.iter().for_each(|made| w.put_u64(*made));
}

fn read_made(r: &mut Reader<'_>) -> Result<Vec<u64>, StateError> {
    (0..r.get_u8()?).map(|_| r.get_u64()).collect()
}

fn read_input(r: &mut Reader<'_>) -> Result<InPosition, StateError> {
    let (edge, known, next) = (r.get_u16()?, r.get_bool()?, r.get_u64()?);
    Ok(InPosition { edge, next: known.then_some(next), made: read_made(r)? })
}

fn read_output(r: &mut Reader<'_>) -> Result<OutPosition, StateError> {
    let (edge, next, made, accepted) = (r.get_u16()?, r.get_u64()?, read_made(r)?, r.get_u64()?);
    let mut tail = Vec::new();
    let mut expected = None;
    for _ in 0..r.get_u32()? {
        let (first, count, columns) = (r.get_u64()?, r.get_u16()?, r.get_u8()?);
        let body = Bytes::copy_from_slice(r.get_bytes()?);
        let end = first.checked_add(u64::from(count)).filter(|end| *end <= next);
        let in_order = expected.is_none_or(|expected| expected == first);
        let whole = body.len() >= 8 * usize::from(columns);
        let Some(end) = end.filter(|_| in_order && whole && count > 0) else {
            return Err(StateError::Invalid { what: "output tail", value: first });
        };
        expected = Some(end);
        tail.push(Batch { first, count, columns, body, hold: 0 });
    }
    if accepted > next || expected.is_some_and(|end| end != next) {
        return Err(StateError::Invalid { what: "output position", value: accepted });
    }
    Ok(OutPosition { edge, next, made, accepted, tail })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn example() -> StateFrame {
        StateFrame {
            number: 8,
            epoch: 4,
            time: 99,
            changes: Bytes::from_static(b"changes"),
            cut: Some(Cut {
                inputs: vec![
                    InPosition { edge: 1, next: Some(7), made: vec![4, 3] },
                    InPosition { edge: 2, next: None, made: vec![] },
                ],
                outputs: vec![OutPosition {
                    edge: 3,
                    next: 12,
                    made: vec![12],
                    accepted: 10,
                    tail: vec![Batch {
                        first: 10,
                        count: 2,
                        columns: 1,
                        body: Bytes::from_static(b"pp\0\0\0\0\0\0\0\x0c"),
                        hold: 0,
                    }],
                }],
                small_state: Some(Bytes::from_static(b"small")),
                handover: Some("m".into()),
            }),
        }
    }

    #[test]
    fn a_frame_is_read_back() {
        assert_eq!(StateFrame::decode(&example().encode()), Ok(example()));
        let strict = StateFrame { cut: None, ..example() };
        assert_eq!(StateFrame::decode(&strict.encode()), Ok(strict));
    }

    proptest! {
        #[test]
        fn a_changed_or_cut_frame_is_refused_or_read_but_never_panics(at in 0usize..200, to in any::<u8>(), keep in 0usize..200) {
            let mut bytes = example().encode().to_vec();
            let len = bytes.len();
            bytes[at % len] = to;
            bytes.truncate(keep.min(len));
            let _ = StateFrame::decode(&bytes.into());
        }
    }
}
