//! Longest-prefix match: a 16-bit root array, then nodes of 8 bits that keep only where the answer changes.
//!
//! A node stands for 256 consecutive slots; a bit says that a slot differs from the one before, and the number of bits
//! up to a slot is the place of its target. So 100,000 routes take a few megabytes and a look-up touches the root and at
//! most two nodes. Routes are the truth; a change rebuilds the part of the trie that it covers. Route 0 means "none".

use std::collections::BTreeMap;

/// What a slot leads to: a route number, or a node when the top bit is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Target(u32);

const NODE: u32 = 1 << 31;
const NONE: Target = Target(0);

/// 256 slots.
#[derive(Debug, Default)]
struct Node {
    changes: [u64; 4],
    /// Changes in the words before each word.
    before: [u8; 4],
    targets: Box<[Target]>,
}

impl Node {
    fn new(slots: &[Target; 256]) -> Self {
        let mut node = Self::default();
        let mut targets = vec![slots[0]];
        for at in 1..256 {
            if slots[at] != slots[at - 1] {
                node.changes[at >> 6] |= 1 << (at & 63);
                targets.push(slots[at]);
            }
        }
        for word in 1..4 {
            node.before[word] = node.before[word - 1] + node.changes[word - 1].count_ones() as u8;
        }
        node.targets = targets.into();
        node
    }

    #[inline]
    fn target(&self, slot: u8) -> Target {
        let word = usize::from(slot >> 6);
        let upto = self.changes[word] & (u64::MAX >> (63 - (slot & 63)));
        let at = usize::from(self.before[word]) + upto.count_ones() as usize;
        self.targets.get(at).copied().unwrap_or(NONE)
    }
}

/// A prefix: network address and length, which order it before all longer prefixes in it.
type Prefix = (u32, u8);

/// The trie, from prefix to a route number (not 0, below 2^31).
#[derive(Debug)]
pub(super) struct RouteTrie {
    root: Vec<Target>,
    nodes: Vec<Node>,
    free: Vec<u32>,
    routes: BTreeMap<Prefix, u32>,
}

impl RouteTrie {
    pub(super) fn new() -> Self {
        Self { root: vec![NONE; 1 << 16], nodes: Vec::new(), free: Vec::new(), routes: BTreeMap::new() }
    }

    /// The route of the longest prefix that holds `address`.
    #[inline]
    pub(super) fn find(&self, address: u32) -> Option<u32> {
        let mut target = self.root[(address >> 16) as usize];
        for slot in [(address >> 8) as u8, address as u8] {
            if target.0 & NODE == 0 {
                break;
            }
            target = self.nodes.get((target.0 & !NODE) as usize)?.target(slot);
        }
        (target != NONE).then_some(target.0)
    }

    /// The route of exactly this prefix.
    pub(super) fn exact(&self, network: u32, length: u8) -> Option<u32> {
        self.routes.get(&(network, length)).copied()
    }

    /// Puts many routes in at once; of equal prefixes the last counts.
    pub(super) fn extend(&mut self, routes: impl Iterator<Item = (u32, u8, u32)>) {
        self.routes.extend(routes.map(|(network, length, route)| ((network, length), route)));
        self.rebuild(0, 0);
    }

    pub(super) fn insert(&mut self, network: u32, length: u8, route: u32) {
        self.routes.insert((network, length), route);
        self.rebuild(network, length);
    }

    pub(super) fn remove(&mut self, network: u32, length: u8) -> Option<u32> {
        let route = self.routes.remove(&(network, length))?;
        self.rebuild(network, length);
        Some(route)
    }

    /// All routes, by address and length.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, u8, u32)> {
        self.routes.iter().map(|((network, length), route)| (*network, *length, *route))
    }

    /// Brings the root slots that a prefix covers up to date.
    fn rebuild(&mut self, network: u32, length: u8) {
        let first = (network >> 16) as usize;
        let count = 1_usize << 16_u8.saturating_sub(length);
        for slot in first..first + count {
            self.release(self.root[slot]);
            self.root[slot] = NONE;
        }
        self.paint_short(first, count, length.min(16));
        // Every root slot with longer routes is filled from the routes that begin in it.
        let end = ((first + count) as u64) << 16;
        let mut at = (first as u64) << 16;
        while at < end {
            let mut longer = self.routes.range((at as u32, 0)..).filter(|((_, length), _)| *length > 16);
            let Some((&(network, _), _)) = longer.next().filter(|((n, _), _)| u64::from(*n) < end) else {
                break;
            };
            let slot = (network >> 16) as usize;
            self.root[slot] = self.build(u64::from(network) & !0xffff, 16, self.root[slot]);
            at = (slot as u64 + 1) << 16;
        }
    }

    /// Fills the root slots of a prefix of `length` bits with the routes of at most 16 bits.
    fn paint_short(&mut self, first: usize, count: usize, length: u8) {
        let start = (first as u32) << 16;
        let around = (0..=length).rev().find_map(|length| {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            self.routes.get(&(start & mask, length)).map(|route| (start & mask, length, *route))
        });
        let within =
            self.routes.range((start, 0)..).take_while(|((n, _), _)| ((*n >> 16) as usize) < first + count);
        let within =
            within.filter(|((_, length), _)| *length <= 16).map(|((n, length), route)| (*n, *length, *route));
        // In order of address, then length: an inner prefix comes after the one around it.
        for (network, length, route) in around.into_iter().chain(within) {
            let low = ((network >> 16) as usize).max(first);
            let high = ((network >> 16) as usize + (1 << (16 - length))).min(first + count);
            self.root[low..high].fill(Target(route));
        }
    }

    /// Builds the node for the slots of `bits` fixed bits (16 or 24) at `base`; `around` is the answer from further up.
    fn build(&mut self, base: u64, bits: u8, around: Target) -> Target {
        let mut slots = [around; 256];
        let shift = 24 - bits;
        let end = base + (1 << (32 - bits));
        let mut deeper = Vec::new();
        for ((network, length), route) in self.routes.range((base as u32, 0)..) {
            if u64::from(*network) >= end {
                break;
            }
            let slot = (network >> shift) as usize & 0xff;
            if *length > bits + 8 {
                deeper.push(slot);
            } else if *length > bits {
                slots[slot..slot + (1 << (bits + 8 - length))].fill(Target(*route));
            }
        }
        deeper.dedup();
        for slot in deeper {
            slots[slot] = self.build(base + ((slot as u64) << shift), bits + 8, slots[slot]);
        }
        let node = Node::new(&slots);
        let at = match self.free.pop() {
            Some(at) => {
                self.nodes[at as usize] = node;
                at
            }
            None => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as u32
            }
        };
        Target(NODE | at)
    }

    fn release(&mut self, target: Target) {
        if target.0 & NODE == 0 {
            return;
        }
        let at = target.0 & !NODE;
        let node = std::mem::take(&mut self.nodes[at as usize]);
        self.free.push(at);
        node.targets.iter().for_each(|target| self.release(*target));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mask(length: u8) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)
    }

    fn slow(routes: &BTreeMap<Prefix, u32>, address: u32) -> Option<u32> {
        (0..=32).rev().find_map(|length| routes.get(&(address & mask(length), length)).copied())
    }

    /// Addresses that fall together, so that prefixes nest.
    fn address() -> impl Strategy<Value = u32> {
        (0u32..3, 0u32..3, prop::sample::select(vec![0u32, 1, 127, 128, 254, 255]), any::<u8>())
            .prop_map(|(a, b, c, d)| a << 30 | b << 16 | c << 8 | u32::from(d))
    }

    proptest! {
        #[test]
        fn a_look_up_finds_the_longest_prefix_after_any_changes(
            changes in prop::collection::vec((address(), 0u8..=32, 1u32..9, prop::bool::weighted(0.7)), 1..60),
            probes in prop::collection::vec(address(), 30),
        ) {
            let (mut trie, mut model) = (RouteTrie::new(), BTreeMap::new());
            for (address, length, route, add) in changes {
                let network = address & mask(length);
                if add {
                    trie.insert(network, length, route);
                    model.insert((network, length), route);
                } else {
                    prop_assert_eq!(trie.remove(network, length), model.remove(&(network, length)));
                }
            }
            let mut bulk = RouteTrie::new();
            bulk.extend(model.iter().map(|((n, l), r)| (*n, *l, *r)));
            for probe in probes {
                prop_assert_eq!(trie.find(probe), slow(&model, probe));
                prop_assert_eq!(bulk.find(probe), slow(&model, probe));
            }
        }
    }

    #[test]
    fn a_route_that_goes_uncovers_the_one_around_it_not_the_one_within() {
        let mut trie = RouteTrie::new();
        for (length, route) in [(15, 3), (0, 1), (9, 2)] {
            trie.insert(0x4000_0000 & mask(length), length, route);
        }
        trie.remove(0x4000_0000, 9);
        assert_eq!((trie.find(0x4002_0000), trie.find(0x4001_0000)), (Some(1), Some(3)));
    }

    #[test]
    fn nodes_are_used_again_after_routes_go() {
        let mut trie = RouteTrie::new();
        for _ in 0..100 {
            trie.insert(0x0a00_0101, 32, 5);
            trie.remove(0x0a00_0101, 32);
        }
        assert!(trie.nodes.len() <= 2);
        assert_eq!(trie.find(0x0a00_0101), None);
    }
}
