//! Batches that came before they may be processed: between the cut and the start of a planned move, and while a take-over
//! after a crash waits for the downstreams. Bounded: what finds no room stays with its sender.

use std::collections::VecDeque;

use crate::link::frame::Data;

/// Most that waits; beyond it the upstreams keep their packets.
const MAX_PACKETS: u64 = 16_384;
const MAX_BYTES: usize = 8 << 20;

/// Batches in the order they came, with their link. The connection that brought them may be gone by the start.
#[derive(Debug, Default)]
pub struct Parked {
    batches: VecDeque<(usize, Data)>,
    packets: u64,
    bytes: usize,
    total: u64,
}

impl Parked {
    /// One more. `false` when there is no room: the sender keeps it and sends it again.
    pub fn push(&mut self, link: usize, data: Data) -> bool {
        if self.packets >= MAX_PACKETS || self.bytes >= MAX_BYTES {
            return false;
        }
        self.packets += u64::from(data.count);
        self.total += u64::from(data.count);
        self.bytes += data.body.len();
        self.batches.push_back((link, data));
        true
    }

    /// Where the batches of an edge end.
    pub fn end_of(&self, link: usize, edge: u16) -> Option<u64> {
        let of_edge = self.batches.iter().rev().find(|(at, data)| *at == link && data.edge == edge);
        of_edge.map(|(_, data)| data.first + u64::from(data.count))
    }

    /// Everything, in order; the room is free again.
    pub fn take(&mut self) -> VecDeque<(usize, Data)> {
        (self.packets, self.bytes) = (0, 0);
        std::mem::take(&mut self.batches)
    }

    /// Forgets what a link has brought: it will be sent again.
    pub fn forget(&mut self, link: usize) {
        for (at, data) in self.take() {
            if at != link {
                self.total -= u64::from(data.count);
                self.push(at, data);
            }
        }
    }

    /// Packets that ever waited.
    pub fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(first: u64, bytes: usize) -> Data {
        Data { edge: 1, epoch: 1, first, count: 64, columns: 0, body: vec![0; bytes].into() }
    }

    #[test]
    fn what_waits_is_bounded_by_packets_and_by_bytes_and_the_rest_stays_with_its_sender() {
        let mut parked = Parked::default();
        let taken = (0..1_000).take_while(|at| parked.push(0, data(at * 64, 1))).count() as u64;
        assert_eq!(taken * 64, MAX_PACKETS);
        parked.take();
        assert_eq!((0..20).take_while(|_| parked.push(0, data(0, 1 << 20))).count(), 8);
    }

    #[test]
    fn a_link_that_sends_again_is_forgotten_and_others_keep_their_order() {
        let mut parked = Parked::default();
        for (link, first) in [(0, 0), (1, 0), (0, 64), (1, 64)] {
            assert!(parked.push(link, data(first, 1)));
        }
        assert_eq!((parked.end_of(0, 1), parked.total()), (Some(128), 256));
        parked.forget(0);
        assert_eq!((parked.end_of(0, 1), parked.total()), (None, 256));
        let rest: Vec<_> = parked.take().into_iter().map(|(link, data)| (link, data.first)).collect();
        assert_eq!(rest, [(1, 0), (1, 64)]);
    }
}
