//! A batch: up to [`BATCH`] packets in a fixed array.
//!
//! Invariant behind every `unsafe` block here: the first `len` slots hold packets that the batch owns, the others are
//! uninitialised. `len` is lowered before user code runs on moved-out slots, so a panic leaks at worst.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};

use super::Packet;

/// The most packets that a batch holds.
pub const BATCH: usize = 32;

/// Up to [`BATCH`] packets, in order. Dereferences to a slice of packets.
pub struct Batch {
    len: usize,
    slots: [MaybeUninit<Packet>; BATCH],
}

impl Batch {
    /// An empty batch.
    #[inline]
    pub const fn new() -> Self {
        Self { len: 0, slots: [const { MaybeUninit::uninit() }; BATCH] }
    }

    /// Whether no more packet fits.
    #[inline(always)]
    pub fn is_full(&self) -> bool {
        self.len == BATCH
    }

    /// How many more packets fit.
    #[inline(always)]
    pub fn room(&self) -> usize {
        BATCH - self.len
    }

    /// Appends a packet. On a full batch the packet is dropped: callers check [`Batch::is_full`] first.
    #[inline(always)]
    pub fn push(&mut self, packet: Packet) {
        debug_assert!(!self.is_full(), "push onto a full batch");
        if self.len < BATCH {
            self.slots[self.len].write(packet);
            self.len += 1;
        }
    }

    /// Removes the last packet.
    #[inline]
    pub fn pop(&mut self) -> Option<Packet> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: the slot held a packet and is now beyond `len`.
        Some(unsafe { self.slots[self.len].assume_init_read() })
    }

    /// Replaces each packet by what `f` makes of it, in order; `None` removes it.
    #[inline(always)]
    pub fn filter_map(&mut self, mut f: impl FnMut(Packet) -> Option<Packet>) {
        let count = std::mem::replace(&mut self.len, 0);
        for at in 0..count {
            // SAFETY: slots below `count` held packets, each is read once; `len <= at`, so no slot that is still to be
            // read is overwritten.
            let packet = unsafe { self.slots.get_unchecked(at).assume_init_read() };
            if let Some(packet) = f(packet) {
                // SAFETY: `len <= at < BATCH`.
                unsafe { self.slots.get_unchecked_mut(self.len).write(packet) };
                self.len += 1;
            }
        }
    }

    /// Takes all packets out, in order.
    #[inline]
    pub fn drain(&mut self) -> Drain<'_> {
        let end = std::mem::replace(&mut self.len, 0);
        Drain { batch: self, at: 0, end }
    }

    /// Moves the packets of `other` to the end of this batch, as many as fit.
    pub fn append(&mut self, other: &mut Batch) {
        let count = other.len.min(self.room());
        let mut at = 0;
        other.filter_map(|packet| {
            at += 1;
            if at > count {
                return Some(packet);
            }
            self.push(packet);
            None
        });
    }

    /// Drops the first `count` packets and moves the rest to the front.
    pub fn drop_first(&mut self, count: usize) {
        let mut at = 0;
        self.filter_map(|packet| {
            at += 1;
            (at > count).then_some(packet)
        });
    }

    /// Drops all packets.
    #[inline]
    pub fn clear(&mut self) {
        self.drain();
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Deref for Batch {
    type Target = [Packet];
    #[inline(always)]
    fn deref(&self) -> &[Packet] {
        // SAFETY: the first `len` slots hold packets; MaybeUninit has the layout of its content.
        unsafe { std::slice::from_raw_parts(self.slots.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Batch {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [Packet] {
        // SAFETY: as `deref`.
        unsafe { std::slice::from_raw_parts_mut(self.slots.as_mut_ptr().cast(), self.len) }
    }
}

impl Extend<Packet> for Batch {
    fn extend<I: IntoIterator<Item = Packet>>(&mut self, packets: I) {
        for packet in packets {
            self.push(packet);
        }
    }
}

impl FromIterator<Packet> for Batch {
    /// A batch of the packets; those beyond [`BATCH`] are dropped.
    fn from_iter<I: IntoIterator<Item = Packet>>(packets: I) -> Self {
        let mut batch = Self::new();
        batch.extend(packets.into_iter().take(BATCH));
        batch
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Packets leaving a batch, see [`Batch::drain`]. Dropping it drops the packets that are left.
#[derive(Debug)]
pub struct Drain<'a> {
    batch: &'a mut Batch,
    at: usize,
    end: usize,
}

impl Iterator for Drain<'_> {
    type Item = Packet;
    #[inline(always)]
    fn next(&mut self) -> Option<Packet> {
        if self.at == self.end {
            return None;
        }
        let at = self.at;
        self.at += 1;
        // SAFETY: slots in `at..end` hold packets that belong to the drain (the batch's `len` is 0).
        Some(unsafe { self.batch.slots[at].assume_init_read() })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.end - self.at, Some(self.end - self.at))
    }
}

impl ExactSizeIterator for Drain<'_> {}

impl Drop for Drain<'_> {
    #[inline]
    fn drop(&mut self) {
        while self.next().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(count: u8) -> Batch {
        (0..count).map(|n| Packet::from_slice(&[n])).collect()
    }

    fn numbers(batch: &Batch) -> Vec<u8> {
        batch.iter().map(|p| p.data()[0]).collect()
    }

    #[test]
    fn filtering_keeps_the_order() {
        let mut batch = numbered(7);
        batch.filter_map(|p| (p.data()[0] % 3 != 0).then_some(p));
        assert_eq!(numbers(&batch), [1, 2, 4, 5]);
    }

    #[test]
    fn draining_part_drops_the_rest() {
        let mut batch = numbered(5);
        assert_eq!(batch.drain().next().unwrap().data(), [0]);
        assert!(batch.is_empty());
        assert!(batch.pop().is_none());
    }

    #[test]
    fn appending_moves_what_fits() {
        let (mut a, mut b) = (numbered(30), numbered(5));
        a.append(&mut b);
        assert_eq!((a.len(), numbers(&b)), (32, vec![2, 3, 4]));
    }
}
