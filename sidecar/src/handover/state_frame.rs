//! The frame that a log entry is: changes of state, and where each edge stood when they were taken.
//!
//! A *cut frame* holds changes of tables. The *final frame* of a handover also holds the small state of every element
//! and the packets that the downstreams had not accepted. Both are read back as untrusted bytes.

use bytes::Bytes;

use crate::link::sender::Batch;
use crate::state::{Reader, StateError, Writer};

/// Version of this form.
const VERSION: u8 = 1;

/// Where an out-edge stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutPosition {
    /// The edge.
    pub edge: u16,
    /// Sequence number of the next packet.
    pub next: u64,
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
    /// For each in-edge the next sequence number to process, if it has one.
    pub inputs: Vec<(u16, Option<u64>)>,
    /// For each out-edge where it stood.
    pub outputs: Vec<OutPosition>,
    /// Changes of the tables, in the engine's form.
    pub changes: Bytes,
    /// In a final frame: the small state of all elements, in the engine's form, and the handover's id.
    pub last: Option<FinalPart>,
}

/// What only a final frame has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinalPart {
    /// The handover.
    pub id: String,
    /// Small state of all elements.
    pub small_state: Bytes,
}

impl StateFrame {
    /// The frame as bytes.
    pub fn encode(&self) -> Bytes {
        let mut w = Writer::new();
        w.put_u8(VERSION);
        w.put_u64(self.number);
        w.put_u64(self.epoch);
        w.put_u64(self.time);
        w.put_u16(self.inputs.len() as u16);
        for (edge, next) in &self.inputs {
            w.put_u16(*edge);
            w.put_bool(next.is_some());
            w.put_u64(next.unwrap_or(0));
        }
        w.put_u16(self.outputs.len() as u16);
        for position in &self.outputs {
            w.put_u16(position.edge);
            w.put_u64(position.next);
            w.put_u64(position.accepted);
            w.put_u32(position.tail.len() as u32);
            for batch in &position.tail {
                w.put_u64(batch.first);
                w.put_u16(batch.count);
                w.put_bytes(&batch.body);
            }
        }
        w.put_bytes(&self.changes);
        w.put_bool(self.last.is_some());
        if let Some(last) = &self.last {
            w.put_str(&last.id);
            w.put_bytes(&last.small_state);
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
        let inputs = (0..r.get_u16()?).map(|_| read_input(&mut r)).collect::<Result<_, _>>()?;
        let outputs = (0..r.get_u16()?).map(|_| read_output(&mut r)).collect::<Result<_, _>>()?;
        let changes = Bytes::copy_from_slice(r.get_bytes()?);
        let last = match r.get_bool()? {
            false => None,
            true => Some(FinalPart {
                id: r.get_str()?.to_string(),
                small_state: Bytes::copy_from_slice(r.get_bytes()?),
            }),
        };
        match r.remaining() {
            0 => Ok(Self { number, epoch, time, inputs, outputs, changes, last }),
            left => Err(StateError::TrailingBytes(left)),
        }
    }
}

fn read_input(r: &mut Reader<'_>) -> Result<(u16, Option<u64>), StateError> {
    let (edge, known, next) = (r.get_u16()?, r.get_bool()?, r.get_u64()?);
    Ok((edge, known.then_some(next)))
}

fn read_output(r: &mut Reader<'_>) -> Result<OutPosition, StateError> {
    let (edge, next, accepted) = (r.get_u16()?, r.get_u64()?, r.get_u64()?);
    let mut tail = Vec::new();
    let mut expected = None;
    for _ in 0..r.get_u32()? {
        let (first, count) = (r.get_u64()?, r.get_u16()?);
        let body = Bytes::copy_from_slice(r.get_bytes()?);
        let end = first.checked_add(u64::from(count)).filter(|end| *end <= next);
        let in_order = expected.is_none_or(|expected| expected == first);
        let Some(end) = end.filter(|_| in_order && count > 0) else {
            return Err(StateError::Invalid { what: "output tail", value: first });
        };
        expected = Some(end);
        tail.push(Batch { first, count, body, hold: 0 });
    }
    if accepted > next || expected.is_some_and(|end| end != next) {
        return Err(StateError::Invalid { what: "output position", value: accepted });
    }
    Ok(OutPosition { edge, next, accepted, tail })
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
            inputs: vec![(1, Some(7)), (2, None)],
            outputs: vec![OutPosition {
                edge: 3,
                next: 12,
                accepted: 10,
                tail: vec![Batch { first: 10, count: 2, body: Bytes::from_static(b"pp"), hold: 0 }],
            }],
            changes: Bytes::from_static(b"changes"),
            last: Some(FinalPart { id: "m".into(), small_state: Bytes::from_static(b"small") }),
        }
    }

    #[test]
    fn a_frame_is_read_back() {
        assert_eq!(StateFrame::decode(&example().encode()), Ok(example()));
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
