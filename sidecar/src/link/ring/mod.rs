//! A ring of bytes in memory that two processes share, one for each direction: how links on one node carry packets.
//!
//! `region` is the memory and the only part that is `unsafe`; `cursor` is where the two ends stand. Whoever dials makes
//! the memory and passes it over the UNIX socket (`transport/local.rs`).

mod cursor;
mod region;

use std::os::fd::OwnedFd;

use bytes::{Buf, BytesMut};

pub use cursor::Tampered;
pub use region::RegionError;

use cursor::{Consumer, Producer};
use region::{CAPACITY, Direction, Region};

/// Most bytes that one read takes, so that they are still in the cache when they are decoded.
const READ_BYTES: usize = 64 << 10;

/// One end of a ring.
#[derive(Debug)]
pub struct Ring {
    region: Region,
    out: (Direction, Producer),
    into: (Direction, Consumer),
}

impl Ring {
    /// A new ring, and the file by which the peer gets it.
    pub fn create() -> Result<(Self, OwnedFd), RegionError> {
        let (region, file) = Region::create()?;
        Ok((Self::new(region, Direction::FromMaker, Direction::ToMaker), file))
    }

    /// The other end of a ring that the peer made.
    pub fn adopt(file: &OwnedFd) -> Result<Self, RegionError> {
        Ok(Self::new(Region::adopt(file)?, Direction::ToMaker, Direction::FromMaker))
    }

    fn new(region: Region, out: Direction, into: Direction) -> Self {
        let capacity = CAPACITY as u32;
        Self { region, out: (out, Producer::new(capacity)), into: (into, Consumer::new(capacity)) }
    }

    /// Takes from the front of `output` what fits. Returns whether the peer must be woken.
    pub fn write(&mut self, output: &mut BytesMut) -> Result<bool, Tampered> {
        let (direction, producer) = &mut self.out;
        let positions = self.region.positions(*direction);
        let count = output.len().min(producer.room(positions, output.len())?);
        if count == 0 {
            return Ok(false);
        }
        self.region.write(*direction, producer.offset(), &output[..count]);
        output.advance(count);
        Ok(producer.publish(positions, count))
    }

    /// Writes all of `parts`, one behind the other, or nothing if they do not fit (`None`). Returns whether the peer must
    /// be woken.
    pub fn write_all(&mut self, parts: &[&[u8]]) -> Result<Option<bool>, Tampered> {
        let (direction, producer) = &mut self.out;
        let positions = self.region.positions(*direction);
        let count = parts.iter().map(|part| part.len()).sum();
        if producer.room(positions, count)? < count {
            return Ok(None);
        }
        let mut offset = producer.offset();
        for part in parts {
            self.region.write(*direction, offset, part);
            offset += part.len();
        }
        Ok(Some(producer.publish(positions, count)))
    }

    /// Appends to `input` what is there. Returns how many bytes, and whether the peer must be woken.
    pub fn read(&mut self, input: &mut BytesMut) -> Result<(usize, bool), Tampered> {
        let (direction, consumer) = &mut self.into;
        let positions = self.region.positions(*direction);
        let count = consumer.available(positions)?.min(READ_BYTES);
        if count == 0 {
            return Ok((0, false));
        }
        self.region.read(*direction, consumer.offset(), count, input);
        Ok((count, consumer.release(positions, count)))
    }

    /// Whether there is something to read.
    pub fn is_readable(&mut self) -> Result<bool, Tampered> {
        let (direction, consumer) = &mut self.into;
        Ok(consumer.available(self.region.positions(*direction))? > 0)
    }

    /// This end will sleep until there is something to read or, if it waits for that, until there is room to write.
    /// `false`: it is so already, do not sleep.
    pub fn sleep(&mut self, waits: Waits) -> Result<bool, Tampered> {
        let mut sleeps = true;
        if waits.to_read {
            sleeps &= self.into.1.sleep(self.region.positions(self.into.0))?;
        }
        if waits.to_write {
            sleeps &= self.out.1.sleep(self.region.positions(self.out.0))?;
        }
        Ok(sleeps)
    }

    /// This end is awake.
    pub fn wake(&self) {
        self.into.1.wake(self.region.positions(self.into.0));
        self.out.1.wake(self.region.positions(self.out.0));
    }

    /// Bytes written that the peer has not taken, as far as this end has looked.
    pub fn unread_bytes(&self) -> usize {
        self.out.1.unread()
    }
}

#[cfg(test)]
impl Ring {
    /// What a peer can do that keeps to no rule: writes over both positions of what it sends.
    pub(in crate::link) fn scribble(&self, value: u32) {
        let positions = self.region.positions(self.out.0);
        positions.produced.0.store(value, std::sync::atomic::Ordering::Relaxed);
        positions.consumed.0.store(value, std::sync::atomic::Ordering::Relaxed);
    }
}

/// What an end of a ring waits for when it sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// Bytes that come in.
    pub to_read: bool,
    /// Room for bytes that go out.
    pub to_write: bool,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pair() -> (Ring, Ring) {
        let (maker, file) = Ring::create().unwrap();
        (maker, Ring::adopt(&file).unwrap())
    }

    const WAITS: Waits = Waits { to_read: true, to_write: true };

    #[test]
    fn bytes_cross_both_ways_in_order_many_times_around() {
        let (mut here, mut there) = pair();
        let (mut sent, mut got, mut back) = (0u32, 0u32, BytesMut::new());
        let (mut output, mut input) = (BytesMut::new(), BytesMut::new());
        while got < 400_000 {
            while output.len() < 70_000 {
                output.extend_from_slice(&sent.to_be_bytes());
                sent += 1;
            }
            here.write(&mut output).unwrap();
            there.read(&mut input).unwrap();
            while input.len() >= 4 {
                assert_eq!(input.get_u32(), got);
                got += 1;
            }
            there.write(&mut BytesMut::from(&b"back"[..])).unwrap();
            here.read(&mut back).unwrap();
            assert_eq!(back.split(), &b"back"[..]);
        }
    }

    #[test]
    fn a_full_ring_takes_no_more_and_room_wakes_the_writer() {
        let (mut here, mut there) = pair();
        let mut output = BytesMut::zeroed(CAPACITY + 100);
        here.write(&mut output).unwrap();
        assert_eq!((output.len(), here.unread_bytes()), (100, CAPACITY));
        assert_eq!(here.sleep(WAITS), Ok(true));
        let mut input = BytesMut::new();
        assert_eq!(there.read(&mut input), Ok((READ_BYTES, false)));
        assert_eq!(there.read(&mut input), Ok((READ_BYTES, true)));
        here.wake();
        assert_eq!(here.write(&mut output), Ok(false));
        assert!(output.is_empty());
    }

    /// What a peer can do: write anything anywhere in the shared memory, at any time.
    fn scribble(region: &Region, at: usize, value: u64) {
        let direction = if at.is_multiple_of(2) { Direction::FromMaker } else { Direction::ToMaker };
        let positions = region.positions(direction);
        let words = [&positions.produced, &positions.consumed, &positions.wants_bytes, &positions.wants_room];
        let relaxed = std::sync::atomic::Ordering::Relaxed;
        match words.get(at / 2 % 8) {
            // Often a small change of what is there, since any other value is found at once.
            Some(word) if value.is_multiple_of(3) => {
                word.0.store(word.0.load(relaxed).wrapping_add(value as u32 % 512), relaxed);
            }
            Some(word) => word.0.store(value as u32, relaxed),
            None => region.write(direction, at, &value.to_ne_bytes()),
        }
    }

    proptest! {
        #[test]
        fn whatever_is_scribbled_an_end_reads_and_writes_within_bounds_or_says_that_it_was_tampered_with(
            steps in prop::collection::vec((any::<usize>(), any::<u64>(), 0usize..100_000), 1..60)
        ) {
            let (maker, file) = Ring::create().unwrap();
            let mut ring = maker;
            let peer = Region::adopt(&file).unwrap();
            let mut input = BytesMut::new();
            for (at, value, count) in steps {
                scribble(&peer, at, value);
                let mut output = BytesMut::zeroed(count);
                let alive = ring.write(&mut output).is_ok()
                    && ring.read(&mut input).is_ok()
                    && ring.sleep(WAITS).is_ok();
                prop_assert!(input.len() <= READ_BYTES);
                input.clear();
                if !alive {
                    break;
                }
            }
        }
    }
}
