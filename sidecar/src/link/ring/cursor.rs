//! Where the two ends of a ring stand: a single producer and a single consumer in two processes that do not trust each
//! other.
//!
//! Each end keeps its own position in private memory and only publishes it. What the other end publishes is read once
//! for each decision and believed only if it lies between what it said before and what this end's position allows; so
//! a peer that scribbles can stop its own link and nothing else. Positions count bytes and wrap around.
//!
//! An end that is about to sleep raises its flag, then looks again; the other end publishes, then looks at the flag.
//! A full fence between the two on both sides makes sure that one of them sees the other (checked with loom below).

use std::sync::atomic::{AtomicU32, Ordering, fence};

/// An atomic 32-bit word of memory that both ends share; loom's stands in for it in tests.
pub(super) trait Word {
    fn load(&self, ordering: Ordering) -> u32;
    fn store(&self, value: u32, ordering: Ordering);
    fn fence();
}

impl Word for AtomicU32 {
    #[inline]
    fn load(&self, ordering: Ordering) -> u32 {
        AtomicU32::load(self, ordering)
    }

    #[inline]
    fn store(&self, value: u32, ordering: Ordering) {
        AtomicU32::store(self, value, ordering);
    }

    #[inline]
    fn fence() {
        fence(Ordering::SeqCst);
    }
}

/// On a cache line of its own, since the two ends write different words.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(super) struct Line<W>(pub(super) W);

/// What the two ends of one direction tell each other. Zero bytes are a valid beginning.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Shared<W> {
    /// Bytes produced; written by the producer.
    pub(super) produced: Line<W>,
    /// Bytes consumed; written by the consumer.
    pub(super) consumed: Line<W>,
    /// Not 0 while the consumer sleeps until there are bytes.
    pub(super) wants_bytes: Line<W>,
    /// Not 0 while the producer sleeps until there is room.
    pub(super) wants_room: Line<W>,
}

/// The peer's position cannot be true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the peer's position in the ring cannot be true: {said}, but {known} was known and {own} is this end's"
)]
pub struct Tampered {
    said: u32,
    known: u32,
    own: u32,
}

/// The sending end's position.
#[derive(Debug)]
pub(super) struct Producer {
    capacity: u32,
    produced: u32,
    consumed: u32,
}

impl Producer {
    /// At the beginning of an empty ring of `capacity` bytes, a power of two.
    pub(super) fn new(capacity: u32) -> Self {
        Self { capacity, produced: 0, consumed: 0 }
    }

    /// Where in the ring the next byte goes.
    pub(super) fn offset(&self) -> usize {
        (self.produced & (self.capacity - 1)) as usize
    }

    /// Bytes that fit, as far as this end has looked; with fewer than `wanted` it looks again.
    pub(super) fn room<W: Word>(&mut self, shared: &Shared<W>, wanted: usize) -> Result<usize, Tampered> {
        if self.known_room() < wanted {
            let said = shared.consumed.0.load(Ordering::Acquire);
            if said.wrapping_sub(self.consumed) > self.produced.wrapping_sub(self.consumed) {
                return Err(Tampered { said, known: self.consumed, own: self.produced });
            }
            self.consumed = said;
        }
        Ok(self.known_room())
    }

    fn known_room(&self) -> usize {
        (self.capacity - self.produced.wrapping_sub(self.consumed)) as usize
    }

    /// Bytes that the consumer has not taken, as far as this end has looked.
    pub(super) fn unread(&self) -> usize {
        self.produced.wrapping_sub(self.consumed) as usize
    }

    /// `count` bytes were written, no more than there was room for. Returns whether the consumer must be woken.
    pub(super) fn publish<W: Word>(&mut self, shared: &Shared<W>, count: usize) -> bool {
        self.produced = self.produced.wrapping_add(count as u32);
        shared.produced.0.store(self.produced, Ordering::Release);
        take_flag(&shared.wants_bytes)
    }

    /// The producer will sleep until there is room. `false`: there is some already, do not sleep.
    pub(super) fn sleep<W: Word>(&mut self, shared: &Shared<W>) -> Result<bool, Tampered> {
        raise_flag(&shared.wants_room);
        let sleeps = self.room(shared, 1)? == 0;
        if !sleeps {
            self.wake(shared);
        }
        Ok(sleeps)
    }

    /// The producer is awake.
    pub(super) fn wake<W: Word>(&self, shared: &Shared<W>) {
        shared.wants_room.0.store(0, Ordering::Relaxed);
    }
}

/// The receiving end's position.
#[derive(Debug)]
pub(super) struct Consumer {
    capacity: u32,
    produced: u32,
    consumed: u32,
}

impl Consumer {
    /// At the beginning of an empty ring of `capacity` bytes, a power of two.
    pub(super) fn new(capacity: u32) -> Self {
        Self { capacity, produced: 0, consumed: 0 }
    }

    /// Where in the ring the next byte is.
    pub(super) fn offset(&self) -> usize {
        (self.consumed & (self.capacity - 1)) as usize
    }

    /// Bytes that can be read.
    pub(super) fn available<W: Word>(&mut self, shared: &Shared<W>) -> Result<usize, Tampered> {
        let said = shared.produced.0.load(Ordering::Acquire);
        let known = self.produced.wrapping_sub(self.consumed);
        let now = said.wrapping_sub(self.consumed);
        if now < known || now > self.capacity {
            return Err(Tampered { said, known: self.produced, own: self.consumed });
        }
        self.produced = said;
        Ok(now as usize)
    }

    /// `count` bytes were read, no more than were available. Returns whether the producer must be woken: when half of the
    /// ring is free, so that it is not woken for every read of a full one. A producer sleeps only when there is no room
    /// at all, and a consumer reads on while there is something, so it gets there.
    pub(super) fn release<W: Word>(&mut self, shared: &Shared<W>, count: usize) -> bool {
        self.consumed = self.consumed.wrapping_add(count as u32);
        shared.consumed.0.store(self.consumed, Ordering::Release);
        self.produced.wrapping_sub(self.consumed) <= self.capacity / 2 && take_flag(&shared.wants_room)
    }

    /// The consumer will sleep until there are bytes. `false`: there are some already, do not sleep.
    pub(super) fn sleep<W: Word>(&mut self, shared: &Shared<W>) -> Result<bool, Tampered> {
        raise_flag(&shared.wants_bytes);
        let sleeps = self.available(shared)? == 0;
        if !sleeps {
            self.wake(shared);
        }
        Ok(sleeps)
    }

    /// The consumer is awake.
    pub(super) fn wake<W: Word>(&self, shared: &Shared<W>) {
        shared.wants_bytes.0.store(0, Ordering::Relaxed);
    }
}

fn raise_flag<W: Word>(flag: &Line<W>) {
    flag.0.store(1, Ordering::Relaxed);
    W::fence();
}

/// Whether the other end sleeps. It is woken once: it raises the flag again when it sleeps again.
fn take_flag<W: Word>(flag: &Line<W>) -> bool {
    W::fence();
    let raised = flag.0.load(Ordering::Relaxed) != 0;
    if raised {
        flag.0.store(0, Ordering::Relaxed);
    }
    raised
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use proptest::prelude::*;

    use super::*;

    const CAPACITY: u32 = 64;

    #[test]
    fn room_and_bytes_add_up_across_the_wrap_of_the_positions() {
        let shared = Shared::<AtomicU32>::default();
        let start = u32::MAX - 20;
        let mut producer = Producer { capacity: CAPACITY, produced: start, consumed: start };
        let mut consumer = Consumer { capacity: CAPACITY, produced: start, consumed: start };
        shared.produced.0.store(start, Ordering::Relaxed);
        shared.consumed.0.store(start, Ordering::Relaxed);
        for _ in 0..5 {
            assert_eq!(producer.room(&shared, 48), Ok(64));
            producer.publish(&shared, 48);
            assert_eq!(producer.room(&shared, 48), Ok(16));
            assert_eq!(consumer.available(&shared), Ok(48));
            assert_eq!(consumer.offset(), (producer.offset() + 16) % 64);
            consumer.release(&shared, 48);
        }
    }

    #[test]
    fn an_end_is_woken_once_for_each_sleep_and_only_when_it_sleeps() {
        let shared = Shared::<AtomicU32>::default();
        let (mut producer, mut consumer) = (Producer::new(CAPACITY), Consumer::new(CAPACITY));
        assert!(!producer.publish(&shared, 1));
        assert_eq!(consumer.sleep(&shared), Ok(false), "a byte is there");
        consumer.release(&shared, 1);
        assert_eq!(consumer.sleep(&shared), Ok(true));
        assert_eq!(producer.room(&shared, 64), Ok(64));
        assert!(producer.publish(&shared, 63));
        assert!(!producer.publish(&shared, 1));
        assert_eq!(producer.sleep(&shared), Ok(true));
        assert_eq!(consumer.available(&shared), Ok(64));
        assert!(!consumer.release(&shared, 31));
        assert!(consumer.release(&shared, 1), "half of it is free");
        assert!(!consumer.release(&shared, 1));
    }

    proptest! {
        #[test]
        fn whatever_the_peer_writes_an_end_stays_within_the_ring(words in prop::collection::vec(any::<u32>(), 1..40)) {
            let shared = Shared::<AtomicU32>::default();
            let (mut producer, mut consumer) = (Producer::new(CAPACITY), Consumer::new(CAPACITY));
            for word in words {
                shared.produced.0.store(word, Ordering::Relaxed);
                shared.consumed.0.store(word.rotate_left(7), Ordering::Relaxed);
                if let Ok(count) = consumer.available(&shared) {
                    prop_assert!(count <= CAPACITY as usize);
                    consumer.release(&shared, count);
                }
                shared.consumed.0.store(word.rotate_left(7), Ordering::Relaxed);
                if let Ok(room) = producer.room(&shared, CAPACITY as usize) {
                    prop_assert!(room <= CAPACITY as usize);
                    producer.publish(&shared, room);
                }
            }
        }
    }

    /// Every order in which two processors may see each other's writes.
    mod every_interleaving {
        use loom::sync::Arc;
        use loom::sync::Notify;
        use loom::sync::atomic::{AtomicU8, AtomicU32};

        use super::*;

        impl Word for AtomicU32 {
            fn load(&self, ordering: Ordering) -> u32 {
                AtomicU32::load(self, ordering)
            }

            fn store(&self, value: u32, ordering: Ordering) {
                AtomicU32::store(self, value, ordering);
            }

            fn fence() {
                loom::sync::atomic::fence(Ordering::SeqCst);
            }
        }

        /// One slot: every byte but the first waits for room.
        const SLOTS: usize = 1;
        const BYTES: u8 = 2;

        struct Ring {
            shared: Shared<AtomicU32>,
            /// Written and read without any order of their own, as the bytes of a ring are.
            slots: [AtomicU8; SLOTS],
            doorbell_of_consumer: Notify,
            doorbell_of_producer: Notify,
        }

        fn ring() -> Ring {
            Ring {
                shared: Shared::default(),
                slots: [AtomicU8::new(0)],
                doorbell_of_consumer: Notify::new(),
                doorbell_of_producer: Notify::new(),
            }
        }

        fn produce(ring: &Ring) {
            let mut producer = Producer::new(SLOTS as u32);
            for byte in 1..=BYTES {
                while producer.room(&ring.shared, 1) == Ok(0) {
                    if producer.sleep(&ring.shared) == Ok(true) {
                        ring.doorbell_of_producer.wait();
                    }
                }
                ring.slots[producer.offset()].store(byte, Ordering::Relaxed);
                if producer.publish(&ring.shared, 1) {
                    ring.doorbell_of_consumer.notify();
                }
            }
        }

        fn consume(ring: &Ring) {
            let mut consumer = Consumer::new(SLOTS as u32);
            for expected in 1..=BYTES {
                while consumer.available(&ring.shared) == Ok(0) {
                    if consumer.sleep(&ring.shared) == Ok(true) {
                        ring.doorbell_of_consumer.wait();
                    }
                }
                let byte = ring.slots[consumer.offset()].load(Ordering::Relaxed);
                assert_eq!(byte, expected);
                if consumer.release(&ring.shared, 1) {
                    ring.doorbell_of_producer.notify();
                }
            }
        }

        #[test]
        fn every_byte_arrives_once_and_in_order_and_nobody_sleeps_for_ever() {
            let mut model = loom::model::Builder::new();
            model.preemption_bound = Some(3);
            model.check(|| {
                let here = Arc::new(ring());
                let there = here.clone();
                let producer = loom::thread::spawn(move || produce(&there));
                consume(&here);
                let _ = producer.join();
            });
        }
    }
}
