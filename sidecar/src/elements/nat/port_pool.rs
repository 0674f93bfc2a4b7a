//! Which ports of one public address and protocol are in use, and by how many flows.
//!
//! A pool is derived from the flow records and never saved: the table tells it of each flow that comes and goes, so the
//! counts always equal the number of live flows on a port. Finding an unused port looks at a bit map of 1,024 words
//! through a summary of 16, so its cost does not grow when ports run out.

/// The ports of one public address.
pub(super) struct PortPool {
    flows: Vec<u32>,
    /// Bit set: the port has no flow.
    unused: Vec<u64>,
    /// Bit set: the word of `unused` has a bit set.
    words: [u64; 16],
}

impl Default for PortPool {
    fn default() -> Self {
        Self { flows: vec![0; 1 << 16], unused: vec![u64::MAX; 1 << 10], words: [u64::MAX; 16] }
    }
}

impl PortPool {
    pub(super) fn add(&mut self, port: u16) {
        let count = &mut self.flows[usize::from(port)];
        *count += 1;
        if *count == 1 {
            let word = usize::from(port >> 6);
            self.unused[word] &= !(1 << (port & 63));
            if self.unused[word] == 0 {
                self.words[word >> 6] &= !(1 << (word & 63));
            }
        }
    }

    pub(super) fn remove(&mut self, port: u16) {
        let count = &mut self.flows[usize::from(port)];
        *count = count.saturating_sub(1);
        if *count == 0 {
            let word = usize::from(port >> 6);
            self.unused[word] |= 1 << (port & 63);
            self.words[word >> 6] |= 1 << (word & 63);
        }
    }

    pub(super) fn is_unused(&self, port: u16) -> bool {
        self.flows[usize::from(port)] == 0
    }

    /// The first unused port at or after `start` in `low..=high`, going round at the end.
    pub(super) fn find_unused(&self, low: u16, high: u16, start: u16) -> Option<u16> {
        let start = start.clamp(low, high);
        self.first_in(start, high).or_else(|| if start > low { self.first_in(low, start - 1) } else { None })
    }

    fn first_in(&self, from: u16, to: u16) -> Option<u16> {
        let word = usize::from(from >> 6);
        let here = self.unused[word] & (u64::MAX << (from & 63));
        let port =
            if here != 0 { (word as u32) << 6 | here.trailing_zeros() } else { self.first_after(word + 1)? };
        u16::try_from(port).ok().filter(|port| *port <= to)
    }

    /// The first unused port in word `word` or later.
    fn first_after(&self, word: usize) -> Option<u32> {
        let group = word >> 6;
        let here = self.words.get(group)? & (u64::MAX << (word & 63));
        let found = if here != 0 {
            group << 6 | here.trailing_zeros() as usize
        } else {
            let next = (group + 1..self.words.len()).find(|at| self.words[*at] != 0)?;
            next << 6 | self.words[next].trailing_zeros() as usize
        };
        Some((found as u32) << 6 | self.unused[found].trailing_zeros())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_port_found_is_the_one_that_a_search_one_by_one_finds(
            used in prop::collection::vec((0u16..400, any::<bool>()), 0..300),
            low in 0u16..300, span in 0u16..200, start in 0u16..600,
        ) {
            let (mut pool, mut model) = (PortPool::default(), BTreeSet::new());
            for (port, add) in used {
                if add && model.insert(port) { pool.add(port) } else if !add && model.remove(&port) { pool.remove(port) }
            }
            let high = low + span;
            let from = start.clamp(low, high);
            let expected = (from..=high).chain(low..from).find(|port| !model.contains(port));
            prop_assert_eq!(pool.find_unused(low, high, start), expected);
        }
    }

    #[test]
    fn a_full_pool_has_no_unused_port_and_one_freed_is_found_from_anywhere() {
        let mut pool = PortPool::default();
        (0..=u16::MAX).for_each(|port| pool.add(port));
        assert_eq!(pool.find_unused(0, u16::MAX, 7), None);
        pool.add(9);
        pool.remove(9);
        assert_eq!(pool.find_unused(0, u16::MAX, 7), None);
        pool.remove(9);
        assert_eq!(pool.find_unused(0, u16::MAX, 60_000), Some(9));
    }
}
