//! The sending side of a cut edge: numbers packets, keeps them until they are safe, sends and re-sends in order.
//!
//! Always: `durable <= accepted <= next`, the ring holds every packet from `durable` on, and packets leave in
//! sequence. A batch may be *held* until a frame of state is stored (strict changes); what is behind it waits too.
//!
//! Each batch tells how many packets this end had made from each of its *causes* (its in-edges, then itself) up to the
//! batch's end. The next owner after a crash asks the receiver for these numbers, makes the same packets again from the
//! same inputs, and passes over as many of each cause as the receiver has.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};

use super::frame::{Data, MAX_PACKETS};

/// Most packets that one edge keeps.
pub const MAX_RING_PACKETS: u64 = 32_768;
/// Most bytes that one edge keeps.
pub const MAX_RING_BYTES: usize = 16 << 20;
/// Above this share of either, who can wait waits: what he has begun still fits.
const WAITING_SHARE: usize = 2;
/// Most packets sent ahead of the receiver's acknowledgement.
const WINDOW_PACKETS: u64 = 8_192;
/// A batch is closed when it has this many bytes.
const BATCH_BYTES: usize = 56 << 10;
/// Batches are written into pieces of memory of this size, so that a batch of common packets needs no larger one.
const CHUNK_BYTES: usize = 64 << 10;
/// With less than this left of its piece, a batch begins a new one.
const LEAST_ROOM: usize = 8 << 10;

/// A batch in the ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Sequence number of the first packet.
    pub first: u64,
    /// Packets in it.
    pub count: u16,
    /// Numbers at the end of the body, see [`Data::made`].
    pub columns: u8,
    /// Their encoded form, with the numbers.
    pub body: Bytes,
    /// May be sent once this state frame is stored; 0: at once.
    pub hold: u64,
}

impl Batch {
    fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }

    /// The batch as a frame of `edge`.
    pub fn data(&self, edge: u16, epoch: u64) -> Data {
        let Self { first, count, columns, .. } = *self;
        Data { edge, epoch, first, count, columns, body: self.body.clone() }
    }
}

/// The sending side of one edge.
#[derive(Debug)]
pub struct OutEdge {
    id: u16,
    next: u64,
    sent: u64,
    accepted: u64,
    durable: u64,
    ring: VecDeque<Batch>,
    ring_bytes: usize,
    open: BytesMut,
    open_count: u16,
    dropped: u64,
    resent: u64,
    /// Packets made from each cause; brought up to date when the cause changes or a batch is closed.
    made: Vec<u64>,
    cause: usize,
    /// Packets made when `made` was last brought up to date.
    counted: u64,
    /// Packets of each cause that the receiver has from an owner before, and that are made again.
    repeats: Vec<u64>,
    /// Packets made again and passed over.
    passed_over: u64,
}

impl OutEdge {
    /// An edge on which nothing was sent yet, whose packets have one of `causes` causes.
    pub fn new(id: u16, causes: usize) -> Self {
        Self {
            id,
            next: 0,
            sent: 0,
            accepted: 0,
            durable: 0,
            ring: VecDeque::new(),
            ring_bytes: 0,
            open: BytesMut::new(),
            open_count: 0,
            dropped: 0,
            resent: 0,
            made: vec![0; causes],
            cause: 0,
            counted: 0,
            repeats: Vec::new(),
            passed_over: 0,
        }
    }

    /// The edge's number.
    pub fn id(&self) -> u16 {
        self.id
    }

    /// Sequence number that the next packet gets.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// First sequence number that the receiver has not accepted, as far as is known.
    pub fn accepted(&self) -> u64 {
        self.accepted
    }

    /// First sequence number not sent on the present connection.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Packets that did not fit.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Packets sent more than once.
    pub fn resent(&self) -> u64 {
        self.resent
    }

    /// Packets kept.
    pub fn kept(&self) -> u64 {
        self.next - self.durable.min(self.next)
    }

    /// Whether so much is kept that a sender who can wait must wait.
    pub fn must_wait(&self) -> bool {
        self.kept() >= MAX_RING_PACKETS / WAITING_SHARE as u64
            || self.ring_bytes + self.open.len() >= MAX_RING_BYTES / WAITING_SHARE
    }

    /// Whether there is no room for another packet.
    pub fn is_full(&self) -> bool {
        self.kept() >= MAX_RING_PACKETS || self.ring_bytes + self.open.len() >= MAX_RING_BYTES
    }

    /// The buffer for one more packet, numbered next; `None` when the ring is full: the packet is dropped and counted.
    pub fn open_packet(&mut self) -> Option<&mut BytesMut> {
        if self.is_full() {
            self.dropped += 1;
            return None;
        }
        if self.open_count == MAX_PACKETS || self.open.len() >= BATCH_BYTES {
            self.close(0);
        }
        if self.open_count == 0 && self.open.capacity() < LEAST_ROOM {
            self.open = BytesMut::with_capacity(CHUNK_BYTES);
        }
        self.open_count += 1;
        self.next += 1;
        Some(&mut self.open)
    }

    /// Closes the batch being filled; `hold` is the state frame that it waits for (0: none).
    pub fn close(&mut self, hold: u64) {
        if self.open_count == 0 {
            return;
        }
        self.count_made();
        self.made.iter().for_each(|made| self.open.put_u64(*made));
        let body = self.open.split().freeze();
        self.ring_bytes += body.len();
        let (first, count) = (self.next - u64::from(self.open_count), self.open_count);
        self.ring.push_back(Batch { first, count, columns: self.made.len() as u8, body, hold });
        self.open_count = 0;
    }

    /// What is made from here on comes from `cause`.
    pub fn set_cause(&mut self, cause: usize) {
        self.count_made();
        self.cause = cause;
    }

    fn count_made(&mut self) {
        let all = self.next + self.dropped + self.passed_over;
        if let Some(made) = self.made.get_mut(self.cause) {
            *made += all - self.counted;
        }
        self.counted = all;
    }

    /// Packets made from each cause.
    pub fn made(&mut self) -> &[u64] {
        self.count_made();
        &self.made
    }

    /// Whether packets are made again that the receiver has.
    pub fn has_repeats(&self) -> bool {
        self.repeats.iter().any(|left| *left > 0)
    }

    /// As [`OutEdge::open_packet`] after a crash: `None` also for a packet that the receiver has from the owner before.
    pub fn open_packet_again(&mut self) -> Option<&mut BytesMut> {
        match self.repeats.get_mut(self.cause).filter(|left| **left > 0) {
            Some(left) => {
                *left -= 1;
                self.passed_over += 1;
                None
            }
            None => self.open_packet(),
        }
    }

    /// Makes every batch from sequence number `from` on wait for a state frame.
    pub fn hold_from(&mut self, from: u64, hold: u64) {
        for batch in self.ring.iter_mut().rev().take_while(|batch| batch.first >= from) {
            batch.hold = batch.hold.max(hold);
        }
    }

    /// Nothing waits any more.
    pub fn release(&mut self) {
        self.ring.iter_mut().for_each(|batch| batch.hold = 0);
    }

    /// The next batch to send, if the window and the stored state allow one.
    pub fn next_to_send(&mut self, epoch: u64, stored: u64) -> Option<Data> {
        if self.sent >= self.accepted + WINDOW_PACKETS {
            return None;
        }
        let at = self.ring.partition_point(|batch| batch.end() <= self.sent);
        let batch = self.ring.get(at).filter(|batch| batch.hold <= stored)?;
        self.sent = batch.end();
        Some(batch.data(self.id, epoch))
    }

    /// The receiver's word; what it cannot have is ignored.
    pub fn acknowledge(&mut self, accepted: u64, durable: u64) {
        self.accepted = self.accepted.max(accepted.min(self.next));
        self.durable = self.durable.max(durable.min(self.accepted));
        while let Some(batch) = self.ring.front().filter(|batch| batch.end() <= self.durable) {
            self.ring_bytes -= batch.body.len();
            self.ring.pop_front();
        }
    }

    /// A new connection: the receiver accepts from `accepted` on. Returns how many packets can no longer be re-sent.
    /// A sender that starts without a past goes on where the receiver is.
    pub fn resume(&mut self, accepted: Option<u64>, durable: u64) -> u64 {
        let Some(accepted) = accepted else {
            self.sent = self.ring_start();
            return 0;
        };
        if accepted > self.next {
            self.skip_to(accepted);
            return 0;
        }
        let start = self.ring_start();
        self.resent += self.sent.saturating_sub(accepted.max(start));
        self.sent = accepted.max(start);
        // A receiver that started again may be behind what it had acknowledged.
        self.accepted = accepted.max(self.durable);
        self.acknowledge(accepted, durable);
        start.saturating_sub(accepted)
    }

    /// First sequence number that is still kept.
    fn ring_start(&self) -> u64 {
        self.ring.front().map_or(self.next - u64::from(self.open_count), |batch| batch.first)
    }

    /// A receiver that is ahead of us: an owner before us got that far. Renumbers what is kept to follow it.
    fn skip_to(&mut self, accepted: u64) {
        let shift = accepted - self.ring_start().min(accepted);
        self.ring.iter_mut().for_each(|batch| batch.first += shift);
        self.next += shift;
        self.sent = accepted;
        self.accepted = accepted;
        self.durable = accepted;
    }

    /// The next packet to send is `from`: everything kept from there on is sent (again) on another connection.
    pub fn send_from(&mut self, from: u64) {
        let from = from.max(self.ring_start()).min(self.next);
        self.resent += self.sent.saturating_sub(from);
        self.sent = from;
    }

    /// Batches from `from` up to, not including, `to`.
    pub fn batches(&self, from: u64, to: u64) -> impl Iterator<Item = &Batch> {
        self.ring.iter().filter(move |batch| batch.end() > from && batch.first < to)
    }

    /// Takes over from an owner before: its next number, what it had made, and what its receiver had not accepted.
    pub fn restore(&mut self, next: u64, made: &[u64], accepted: u64, tail: Vec<Batch>) {
        *self = Self { dropped: self.dropped, resent: self.resent, ..Self::new(self.id, self.made.len()) };
        self.made.iter_mut().zip(made).for_each(|(mine, made)| *mine = *made);
        self.counted = next + self.dropped;
        self.next = next;
        self.accepted = accepted.min(next);
        self.ring_bytes = tail.iter().map(|batch| batch.body.len()).sum();
        self.ring = tail.into();
        self.durable = self.ring_start().min(self.accepted);
        self.sent = self.ring_start();
    }

    /// The owner before died, and the receiver has its packets before `accepted`, which are `made` of each cause: goes
    /// on there. With `repeat`, as many packets as the receiver has of each in-edge (all causes but the last) since the
    /// stored state are passed over when they are made again. Returns how many the receiver lacks that nobody has.
    pub fn take_over(&mut self, accepted: u64, durable: u64, made: &[u64], repeat: bool) -> u64 {
        let known = self.made().to_vec();
        let has = |at: usize| made.get(at).map_or(0, |made| made.saturating_sub(known[at]));
        let in_edges = if repeat { known.len().saturating_sub(1) } else { 0 };
        let repeats = (0..in_edges).map(has).collect();
        let mut lost = 0;
        if accepted <= self.next {
            lost = self.resume(Some(accepted), durable);
        } else {
            self.restore(accepted, &known, accepted, Vec::new());
        }
        // Also where the numbers agree: the owner before may have died while it made packets again.
        self.repeats = repeats;
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(edge: &mut OutEdge, packets: u64) {
        for _ in 0..packets {
            edge.open_packet().unwrap().extend_from_slice(b"p");
            edge.close(0);
        }
    }

    fn sent(edge: &mut OutEdge, stored: u64) -> Vec<u64> {
        std::iter::from_fn(|| edge.next_to_send(1, stored)).map(|data| data.first).collect()
    }

    #[test]
    fn packets_are_kept_until_durable_and_sent_again_after_a_new_connection() {
        let mut edge = OutEdge::new(0, 1);
        push(&mut edge, 5);
        assert_eq!(sent(&mut edge, 0), [0, 1, 2, 3, 4]);
        edge.acknowledge(4, 2);
        assert_eq!(edge.kept(), 3);
        assert_eq!(edge.resume(Some(3), 2), 0);
        assert_eq!(
            edge.accepted(),
            3,
            "a receiver that started again has not stored all that it had accepted"
        );
        assert_eq!(sent(&mut edge, 0), [3, 4]);
    }

    #[test]
    fn a_receiver_that_lost_more_than_is_kept_is_reported() {
        let mut edge = OutEdge::new(0, 1);
        push(&mut edge, 5);
        sent(&mut edge, 0);
        edge.acknowledge(4, 4);
        assert_eq!(edge.resume(Some(1), 0), 3);
    }

    #[test]
    fn a_held_batch_and_all_behind_it_wait_for_the_stored_frame() {
        let mut edge = OutEdge::new(0, 1);
        push(&mut edge, 3);
        edge.hold_from(1, 7);
        assert_eq!(sent(&mut edge, 6), [0]);
        assert_eq!(sent(&mut edge, 7), [1, 2]);
    }

    #[test]
    fn a_full_ring_drops_and_counts_and_stays_within_its_cap() {
        let mut edge = OutEdge::new(0, 1);
        push(&mut edge, MAX_RING_PACKETS);
        assert!(edge.open_packet().is_none());
        assert_eq!((edge.dropped(), edge.kept()), (1, MAX_RING_PACKETS));
        edge.acknowledge(1, 1);
        assert!(edge.open_packet().is_some());
    }

    #[test]
    fn acknowledgements_that_cannot_be_true_are_ignored() {
        let mut edge = OutEdge::new(0, 1);
        push(&mut edge, 2);
        edge.acknowledge(u64::MAX, u64::MAX);
        assert_eq!(edge.accepted(), 2);
        edge.acknowledge(1, 0);
        assert_eq!(edge.accepted(), 2);
    }

    #[test]
    fn a_sender_without_a_past_goes_on_where_the_receiver_is() {
        let mut edge = OutEdge::new(0, 1);
        push(&mut edge, 2);
        assert_eq!(edge.resume(Some(100), 90), 0);
        assert_eq!(sent(&mut edge, 0), [100, 101]);
        assert_eq!(edge.next(), 102);
    }

    #[test]
    fn a_new_owner_sends_the_tail_and_then_its_own() {
        let mut old = OutEdge::new(0, 1);
        push(&mut old, 5);
        sent(&mut old, 0);
        old.acknowledge(3, 1);
        let tail: Vec<_> = old.batches(old.accepted(), old.next()).cloned().collect();
        let mut new = OutEdge::new(0, 1);
        new.restore(old.next(), &[5], old.accepted(), tail);
        push(&mut new, 1);
        assert_eq!(sent(&mut new, 0), [3, 4, 5]);
    }

    /// Makes a packet of `cause` and tells whether it was passed over.
    fn make_again(edge: &mut OutEdge, cause: usize) -> bool {
        edge.set_cause(cause);
        edge.open_packet_again().is_none()
    }

    #[test]
    fn after_a_crash_as_many_packets_of_each_cause_are_passed_over_as_the_receiver_has() {
        let mut edge = OutEdge::new(0, 3);
        edge.restore(10, &[6, 4, 0], 10, Vec::new());
        assert_eq!(edge.take_over(13, 10, &[7, 6, 0], true), 0);
        let passed: Vec<bool> = [1, 0, 0, 1, 1].map(|cause| make_again(&mut edge, cause)).to_vec();
        assert_eq!(passed, [true, true, false, true, false]);
        assert_eq!((edge.next(), edge.has_repeats()), (15, false));
        assert_eq!(edge.made(), [8, 7, 0]);
    }

    #[test]
    fn an_owner_that_died_while_it_made_packets_again_leaves_the_rest_to_the_next() {
        let mut edge = OutEdge::new(0, 2);
        edge.take_over(5, 0, &[5, 0], true);
        (0..2).for_each(|_| assert!(make_again(&mut edge, 0)));
        let (next, made) = (edge.next(), edge.made().to_vec());
        let mut another = OutEdge::new(0, 2);
        another.restore(next, &made, next, Vec::new());
        another.take_over(5, 0, &[5, 0], true);
        let passed = (0..5).take_while(|_| make_again(&mut another, 0)).count();
        assert_eq!(passed, 3);
    }

    #[test]
    fn what_a_sub_function_makes_by_itself_or_cannot_repeat_is_never_passed_over() {
        let mut edge = OutEdge::new(0, 2);
        edge.take_over(5, 0, &[3, 2], true);
        assert!(!make_again(&mut edge, 1));
        let mut unsure = OutEdge::new(0, 2);
        unsure.take_over(5, 0, &[5, 0], false);
        assert!(!make_again(&mut unsure, 0));
        assert_eq!(unsure.next(), 6, "the numbers go on all the same");
    }
}
