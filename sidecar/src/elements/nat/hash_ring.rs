//! Consistent hashing of addresses to servers, with the places on the ring that Click gives them.
//!
//! Places are drawn with the C library's `random()`, seeded by the configuration, so that a source address goes to the
//! server that click(1) would choose on Linux. A server's places depend on its number and the seed only: adding or removing
//! one moves no client between the others.

use std::net::Ipv4Addr;

/// Most places that are drawn, those of numbers without a server included.
const MOST_DRAWN: usize = 1 << 22;

/// See the module's head.
pub(super) struct HashRing {
    /// Place and position of the server, by place.
    places: Vec<(i32, u16)>,
    /// Where addresses beyond the last place go.
    beyond: u16,
}

impl HashRing {
    /// A ring of servers with these numbers, each at `nodes` places.
    pub(super) fn new(ids: &[u16], nodes: usize, seed: i32) -> Result<Self, String> {
        let mut sorted = ids.to_vec();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("server ID {} is given twice", pair[0]));
        }
        let highest = usize::from(sorted.last().copied().unwrap_or(0));
        if nodes.saturating_mul(highest + 1) > MOST_DRAWN {
            return Err("too many nodes for servers with such high IDs".to_owned());
        }
        let mut random = CRandom::new(seed);
        let mut places = Vec::with_capacity(nodes * ids.len());
        let mut servers = sorted.iter().copied().zip(0_u16..).peekable();
        for id in 0..=highest {
            let server = servers.next_if(|(known, _)| usize::from(*known) == id);
            for _ in 0..nodes {
                let place = random.next();
                places.extend(server.map(|(_, position)| (place, position)));
            }
        }
        places.sort_unstable();
        let beyond = places.get(root(places.len())).map_or(0, |(_, server)| *server);
        Ok(Self { places, beyond })
    }

    /// The position, among the servers in the order of their numbers, of the one for a source address.
    pub(super) fn server(&self, source: Ipv4Addr) -> usize {
        // The address as a number in the order that it has in memory, mixed so that neighbours part.
        let number = u32::from_le_bytes(source.octets());
        let mixed = number.wrapping_mul((number & 0xff) << 24 | 1) % i32::MAX.unsigned_abs();
        let at = self.places.partition_point(|(place, _)| place.unsigned_abs() < mixed);
        usize::from(self.places.get(at).map_or(self.beyond, |(_, server)| *server))
    }
}

/// Position of the root of a complete binary search tree with so many nodes: Click's search ends there when an
/// address lies beyond all places.
fn root(nodes: usize) -> usize {
    let Some(half) = nodes.checked_ilog2().map(|bits| 1 << bits) else { return 0 };
    // A full tree's root is in the middle; missing leaves of the last row are on the right.
    let last_row = nodes + 1 - half;
    half / 2 + last_row.min(half / 2) - usize::from(half > 1)
}

/// The additive feedback generator of the GNU C library's `random()`.
struct CRandom {
    state: [u32; 31],
    at: usize,
}

impl CRandom {
    fn new(seed: i32) -> Self {
        let mut word = if seed == 0 { 1 } else { seed };
        let mut state = [0; 31];
        for slot in &mut state {
            *slot = word as u32;
            // 16807 x mod (2^31 - 1), by Schrage's method as the library does it.
            let (high, low) = (word / 127_773, word % 127_773);
            word = 16_807 * low - 2_836 * high;
            if word < 0 {
                word = word.wrapping_add(i32::MAX);
            }
        }
        let mut random = Self { state, at: 3 };
        for _ in 0..310 {
            random.next();
        }
        random
    }

    fn next(&mut self) -> i32 {
        // The word three ahead of the one that leaves is the one that came 28 before.
        let sum = self.state[(self.at + 28) % 31].wrapping_add(self.state[self.at]);
        self.state[self.at] = sum;
        self.at = (self.at + 1) % 31;
        (sum >> 1) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_c_library() {
        // srandom(1); random() three times, as every glibc gives it.
        let mut random = CRandom::new(1);
        assert_eq!(
            [random.next(), random.next(), random.next()],
            [1_804_289_383, 846_930_886, 1_681_692_777]
        );
        let mut random = CRandom::new(42);
        assert_eq!([random.next(), random.next()], [71_876_166, 708_592_740]);
    }

    #[test]
    fn the_root_is_that_of_a_complete_tree() {
        let roots: Vec<_> = (0..=8).map(root).collect();
        assert_eq!(roots, [0, 0, 1, 1, 2, 3, 3, 3, 4]);
    }

    #[test]
    fn a_server_keeps_its_places_when_others_come() {
        let (few, more) = (HashRing::new(&[1, 3], 5, 9).unwrap(), HashRing::new(&[1, 2, 3], 5, 9).unwrap());
        let of = |ring: &HashRing, server| -> Vec<_> {
            ring.places.iter().filter(|(_, s)| *s == server).map(|(place, _)| *place).collect()
        };
        assert_eq!((of(&few, 0), of(&few, 1)), (of(&more, 0), of(&more, 2)));
    }
}
