//! Which ports of one public address and protocol are in use, and by how many flows.
//!
//! A pool is derived from the flow records and never saved: the table tells it of each flow that comes and goes, so the
//! counts always equal the number of live flows on a port. Finding an unused port looks at a bit map of 1,024 words
//! through a summary of 16, so its cost does not grow when ports run out.

/// The bits of even and of odd ports in a word.
const PARITY: [u64; 2] = [0x5555_5555_5555_5555, 0xaaaa_aaaa_aaaa_aaaa];

/// The ports of one public address.
pub(super) struct PortPool {
    flows: Vec<u32>,
    /// Bit set: the port has no flow.
    unused: Vec<u64>,
    /// Bit set: the word of `unused` has a bit of an even, or of an odd port set.
    words: [[u64; 16]; 2],
}

/// Which ports are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Any,
    /// Even ones if this port is even, else odd ones.
    LikeThis(u16),
}

impl Wanted {
    /// What a pool finds of which all ports are unused.
    pub(super) fn first_in(self, low: u16, high: u16, start: u16) -> Option<u16> {
        let start = start.clamp(low, high);
        (start..=high).chain(low..start).find(|port| match self {
            Self::Any => true,
            Self::LikeThis(own) => own % 2 == port % 2,
        })
    }
}

impl Default for PortPool {
    fn default() -> Self {
        Self { flows: vec![0; 1 << 16], unused: vec![u64::MAX; 1 << 10], words: [[u64::MAX; 16]; 2] }
    }
}

impl PortPool {
    pub(super) fn add(&mut self, port: u16) {
        let count = &mut self.flows[usize::from(port)];
        *count += 1;
        if *count == 1 {
            let word = usize::from(port >> 6);
            self.unused[word] &= !(1 << (port & 63));
            let parity = usize::from(port & 1);
            if self.unused[word] & PARITY[parity] == 0 {
                self.words[parity][word >> 6] &= !(1 << (word & 63));
            }
        }
    }

    pub(super) fn remove(&mut self, port: u16) {
        let count = &mut self.flows[usize::from(port)];
        *count = count.saturating_sub(1);
        if *count == 0 {
            let word = usize::from(port >> 6);
            self.unused[word] |= 1 << (port & 63);
            self.words[usize::from(port & 1)][word >> 6] |= 1 << (word & 63);
        }
    }

    pub(super) fn is_unused(&self, port: u16) -> bool {
        self.flows[usize::from(port)] == 0
    }

    /// The first unused port of those wanted at or after `start` in `low..=high`, going round at the end.
    pub(super) fn find_unused(&self, low: u16, high: u16, start: u16, wanted: Wanted) -> Option<u16> {
        let start = start.clamp(low, high);
        let round = || if start > low { self.first_in(low, start - 1, wanted) } else { None };
        self.first_in(start, high, wanted).or_else(round)
    }

    fn first_in(&self, from: u16, to: u16, wanted: Wanted) -> Option<u16> {
        let mask = match wanted {
            Wanted::Any => u64::MAX,
            Wanted::LikeThis(port) => PARITY[usize::from(port & 1)],
        };
        let word = usize::from(from >> 6);
        let here = self.unused[word] & mask & (u64::MAX << (from & 63));
        let (word, bits) = if here != 0 {
            (word, here)
        } else {
            let next = self.word_after(word + 1, wanted)?;
            (next, self.unused[next] & mask)
        };
        let port = (word as u32) << 6 | bits.trailing_zeros();
        u16::try_from(port).ok().filter(|port| *port <= to)
    }

    /// The first word at or after `word` that has a port of those wanted.
    fn word_after(&self, word: usize, wanted: Wanted) -> Option<usize> {
        let summary = |group: usize| match wanted {
            Wanted::Any => self.words[0][group] | self.words[1][group],
            Wanted::LikeThis(port) => self.words[usize::from(port & 1)][group],
        };
        let group = word >> 6;
        if group >= self.words[0].len() {
            return None;
        }
        let here = summary(group) & (u64::MAX << (word & 63));
        if here != 0 {
            return Some(group << 6 | here.trailing_zeros() as usize);
        }
        let next = (group + 1..self.words[0].len()).find(|at| summary(*at) != 0)?;
        Some(next << 6 | summary(next).trailing_zeros() as usize)
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
            low in 0u16..300, span in 0u16..200, start in 0u16..600, own: Option<u16>,
        ) {
            let (mut pool, mut model) = (PortPool::default(), BTreeSet::new());
            for (port, add) in used {
                if add && model.insert(port) { pool.add(port) } else if !add && model.remove(&port) { pool.remove(port) }
            }
            let high = low + span;
            let from = start.clamp(low, high);
            let wanted = own.map_or(Wanted::Any, Wanted::LikeThis);
            prop_assert_eq!(PortPool::default().find_unused(low, high, start, wanted), wanted.first_in(low, high, start));
            let fits = |port: &u16| own.is_none_or(|own| own % 2 == port % 2);
            let expected = (from..=high).chain(low..from).find(|port| fits(port) && !model.contains(port));
            prop_assert_eq!(pool.find_unused(low, high, start, wanted), expected);
        }
    }

    #[test]
    fn a_full_pool_has_no_unused_port_and_one_freed_is_found_from_anywhere() {
        let mut pool = PortPool::default();
        (0..=u16::MAX).for_each(|port| pool.add(port));
        assert_eq!(pool.find_unused(0, u16::MAX, 7, Wanted::Any), None);
        pool.add(9);
        pool.remove(9);
        assert_eq!(pool.find_unused(0, u16::MAX, 7, Wanted::Any), None);
        pool.remove(9);
        assert_eq!(pool.find_unused(0, u16::MAX, 60_000, Wanted::Any), Some(9));
        assert_eq!(pool.find_unused(0, u16::MAX, 60_000, Wanted::LikeThis(1)), Some(9));
        assert_eq!(pool.find_unused(0, u16::MAX, 60_000, Wanted::LikeThis(2)), None);
    }
}
