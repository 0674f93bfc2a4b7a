//! Shifted sequence numbers of TCP connections whose data was made longer or shorter on the way.
//!
//! Bytes before a trigger were sent before the change and keep the older offset, also when they are sent again. The
//! receiver's acknowledgements, selective ones included (RFC 2018), are shifted back. Few connections have an
//! adjustment: they are kept beside the mappings, whose records only say that there is one.

use crate::state::{Reader, Record, Schema, StateError, Writer};
use crate::wire::{Tcp, checksum, tcp};

use super::mapping::Way;

/// The binary form of the table of adjustments.
pub(super) const SCHEMA: Schema = Schema { name: "nat/adjustments", version: 1 };

/// Changes of one direction that are told apart; of more, the oldest counts for all bytes before it.
const MOST_STEPS: usize = 8;
/// How far a stream has gone when nothing from before a trigger can come any more.
const FAR: u32 = 1 << 30;

const NO_OPERATION: u8 = 1;
const END_OF_OPTIONS: u8 = 0;
const SACK: u8 = 5;

/// Whether `a` is at or after `b` in sequence space.
fn at_or_after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) < 1 << 31
}

/// The offsets of what one side sends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Stream {
    /// Before the first trigger.
    base: i32,
    /// From which sequence number on, as the sender counts, which offset counts.
    steps: Vec<(u32, i32)>,
}

impl Stream {
    /// From `trigger` on, `by` more. `false` if a later trigger is known: then all stays as it is. The same trigger again
    /// replaces its offset: the changed segment was sent again.
    fn shift(&mut self, trigger: u32, by: i32) -> bool {
        match self.steps.last() {
            Some((last, _)) if *last == trigger => drop(self.steps.pop()),
            Some((last, _)) if !at_or_after(trigger, *last) => return false,
            _ => {}
        }
        let before = self.newest();
        self.age(trigger);
        if self.steps.len() >= MOST_STEPS {
            self.base = self.steps.remove(0).1;
        }
        self.steps.push((trigger, before.wrapping_add(by)));
        true
    }

    fn newest(&self) -> i32 {
        self.steps.last().map_or(self.base, |(_, offset)| *offset)
    }

    /// Forgets triggers that lie so far back that sequence numbers will soon wrap round to them.
    fn age(&mut self, sequence: u32) -> bool {
        let far = |trigger: u32| {
            let gone = sequence.wrapping_sub(trigger);
            (FAR..1 << 31).contains(&gone)
        };
        let old = self.steps.iter().take_while(|(trigger, _)| far(*trigger)).count();
        if let Some((_, offset)) = self.steps.drain(..old).next_back() {
            self.base = offset;
        }
        old > 0
    }

    /// A sequence number as the receiver gets it.
    fn sent(&self, sequence: u32) -> u32 {
        let step = self.steps.iter().rev().find(|(trigger, _)| at_or_after(sequence, *trigger));
        sequence.wrapping_add_signed(step.map_or(self.base, |(_, offset)| *offset))
    }

    /// The receiver's acknowledgement as the sender gets it.
    fn acknowledged(&self, number: u32) -> u32 {
        let back = |offset: i32| number.wrapping_sub(offset as u32);
        let step = self.steps.iter().rev().find(|(trigger, offset)| at_or_after(back(*offset), *trigger));
        back(step.map_or(self.base, |(_, offset)| *offset))
    }
}

/// The offsets of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Adjustment {
    forward: Stream,
    reply: Stream,
}

impl Adjustment {
    fn stream(&mut self, way: Way) -> &mut Stream {
        match way {
            Way::Forward => &mut self.forward,
            Way::Reply => &mut self.reply,
        }
    }

    /// What goes `way` is `by` bytes longer from sequence number `trigger` on. `false` if it is too late to say that.
    pub(super) fn shift(&mut self, way: Way, trigger: u32, by: i32) -> bool {
        self.stream(way).shift(trigger, by)
    }

    /// The offset of the newest bytes that go `way`.
    pub(super) fn newest(&self, way: Way) -> i32 {
        match way {
            Way::Forward => self.forward.newest(),
            Way::Reply => self.reply.newest(),
        }
    }

    /// Shifts the numbers of the segment at the start of `transport`, which goes `way`, its checksum with them. Says
    /// whether the adjustment itself changed.
    pub(super) fn apply(&mut self, way: Way, transport: &mut [u8]) -> bool {
        let Some((header, _)) = Tcp::parse(transport) else { return false };
        let (length, sequence) = (header.header_length(), header.sequence.get());
        if length > transport.len() {
            return false;
        }
        let (mine, other) = match way {
            Way::Forward => (&mut self.forward, &self.reply),
            Way::Reply => (&mut self.reply, &self.forward),
        };
        let aged = mine.age(sequence);
        let Some(header) = transport.get_mut(..length) else { return aged };
        // A header has an even length, so the change of its sum is the change of the whole sum.
        let before = checksum::Sum::new().bytes(header).fold();
        let Some((tcp, options)) = Tcp::parse_mut(header) else { return aged };
        tcp.sequence.set(mine.sent(sequence));
        if tcp.flags & tcp::ACK != 0 {
            tcp.acknowledgement.set(other.acknowledged(tcp.acknowledgement.get()));
            shift_sacks(other, options);
        }
        let after = checksum::Sum::new().bytes(header).fold();
        if let Some((tcp, _)) = Tcp::parse_mut(header) {
            tcp.checksum.set(checksum::Change::new().word(before, after).apply(tcp.checksum.get()));
        }
        aged
    }
}

/// Shifts the edges of selective acknowledgements.
fn shift_sacks(of: &Stream, mut options: &mut [u8]) {
    while let Some(&kind) = options.first() {
        let length = match kind {
            END_OF_OPTIONS => return,
            NO_OPERATION => 1,
            _ => options.get(1).map_or(0, |length| usize::from(*length)),
        };
        if length == 0 || kind != NO_OPERATION && length < 2 {
            return;
        }
        let Some((option, rest)) = options.split_at_mut_checked(length) else { return };
        if kind == SACK && length % 8 == 2 {
            for edge in option[2..].chunks_exact_mut(4) {
                if let Ok(bytes) = <[u8; 4]>::try_from(&*edge) {
                    edge.copy_from_slice(&of.acknowledged(u32::from_be_bytes(bytes)).to_be_bytes());
                }
            }
        }
        options = rest;
    }
}

impl Record for Stream {
    fn put(&self, w: &mut Writer) {
        w.put_u32(self.base as u32);
        w.put_u8(self.steps.len() as u8);
        for (trigger, offset) in &self.steps {
            w.put_u32(*trigger);
            w.put_u32(*offset as u32);
        }
    }

    fn get(r: &mut Reader<'_>) -> Result<Self, StateError> {
        let base = r.get_u32()? as i32;
        let count = r.get_u8()?;
        if usize::from(count) > MOST_STEPS {
            return Err(StateError::Invalid { what: "number of offsets", value: u64::from(count) });
        }
        let steps = (0..count).map(|_| Ok((r.get_u32()?, r.get_u32()? as i32)));
        Ok(Self { base, steps: steps.collect::<Result<_, StateError>>()? })
    }
}

impl Record for Adjustment {
    fn put(&self, w: &mut Writer) {
        self.forward.put(w);
        self.reply.put(w);
    }

    fn get(r: &mut Reader<'_>) -> Result<Self, StateError> {
        Ok(Self { forward: Stream::get(r)?, reply: Stream::get(r)? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_sent_before_a_change_keep_the_older_offset() {
        let mut stream = Stream::default();
        assert!(stream.shift(1000, 5) && stream.shift(2000, -2));
        assert_eq!([stream.sent(999), stream.sent(1000), stream.sent(1999)], [999, 1005, 2004]);
        assert_eq!(stream.sent(2000), 2003);
        assert_eq!(
            [stream.acknowledged(999), stream.acknowledged(1005), stream.acknowledged(2003)],
            [999, 1000, 2000]
        );
        assert!(!stream.shift(1500, 1), "a change before one that is known");
        assert_eq!(stream.sent(2000), 2003);
    }

    #[test]
    fn a_segment_sent_again_does_not_count_twice() {
        let mut stream = Stream::default();
        assert!(stream.shift(1000, 5) && stream.shift(1000, 5));
        assert_eq!(stream.sent(1000), 1005);
    }

    #[test]
    fn a_trigger_far_behind_counts_for_all() {
        let mut stream = Stream::default();
        stream.shift(u32::MAX - 10, 7);
        assert!(!stream.age(5) && stream.age(FAR));
        // Half the number space later, the old trigger would lie ahead.
        assert_eq!(stream.sent(3 << 30), (3 << 30) + 7);
    }

    #[test]
    fn any_number_of_changes_takes_bounded_memory() {
        let mut stream = Stream::default();
        for change in 0..1000 {
            assert!(stream.shift(change * 100, 1));
        }
        assert_eq!((stream.steps.len(), stream.newest(), stream.base), (MOST_STEPS, 1000, 992));
    }

    proptest! {
        #[test]
        fn what_is_read_back_is_what_was_written(changes in prop::collection::vec((any::<u32>(), -99i32..99, any::<bool>()), 0..20)) {
            let mut adjustment = Adjustment::default();
            for (trigger, by, forward) in changes {
                adjustment.shift(if forward { Way::Forward } else { Way::Reply }, trigger, by);
            }
            let mut w = Writer::new();
            adjustment.put(&mut w);
            prop_assert_eq!(Adjustment::get(&mut Reader::new(w.as_bytes())), Ok(adjustment));
        }

        #[test]
        fn no_segment_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), length in 0u8..16) {
            let mut bytes = bytes;
            if let Some(offset) = bytes.get_mut(12) {
                *offset = length << 4;
            }
            let mut adjustment = Adjustment::default();
            adjustment.shift(Way::Reply, 5, 1);
            adjustment.apply(Way::Forward, &mut bytes);
        }
    }
}
