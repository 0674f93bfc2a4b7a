//! What one receiver can say about one flow from its sequence numbers alone.
//!
//! A number counts once as received; every further copy is a duplicate. A first copy that comes after a higher number
//! is reordered. Numbers more than [`WINDOW`] behind the highest are too old to tell apart and count as duplicates.

/// How far behind the highest number a late packet is still recognised.
pub const WINDOW: u64 = 4096;
const WORDS: usize = (WINDOW / 64) as usize;

/// What an arrival was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The first copy, and no higher number came before it.
    InOrder,
    /// The first copy, but a higher number came before it.
    Reordered,
    /// Seen before.
    Duplicate,
}

/// The counts that a receiver has for a flow; they only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// One more than the highest number seen.
    pub expected: u32,
    /// Different numbers seen.
    pub unique: u32,
    /// Further copies.
    pub duplicated: u32,
    /// First copies that came after a higher number.
    pub reordered: u32,
}

impl Counts {
    /// Numbers below the highest that have not been seen.
    pub fn missing(&self) -> u32 {
        self.expected.saturating_sub(self.unique)
    }
}

/// The sequence numbers that a receiver has seen of a flow.
#[derive(Debug, Clone)]
pub struct Arrivals {
    counts: Counts,
    seen: Box<[u64; WORDS]>,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self { counts: Counts::default(), seen: Box::new([0; WORDS]) }
    }
}

impl Arrivals {
    /// The counts so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Notes the arrival of a packet. The last number of the space is never used by the sender and is ignored.
    pub fn note(&mut self, sequence: u32) -> Arrival {
        if sequence == u32::MAX {
            self.counts.duplicated += 1;
            return Arrival::Duplicate;
        }
        let (sequence, expected) = (u64::from(sequence), u64::from(self.counts.expected));
        if sequence >= expected {
            self.forget(expected, sequence);
            self.mark(sequence);
            self.counts.expected = sequence as u32 + 1;
            self.counts.unique += 1;
            return Arrival::InOrder;
        }
        if expected - sequence > WINDOW || self.is_marked(sequence) {
            self.counts.duplicated = self.counts.duplicated.saturating_add(1);
            return Arrival::Duplicate;
        }
        self.mark(sequence);
        self.counts.unique += 1;
        self.counts.reordered += 1;
        Arrival::Reordered
    }

    /// Clears the places that the numbers `from..=to` will use.
    fn forget(&mut self, from: u64, to: u64) {
        if to - from >= WINDOW {
            self.seen.fill(0);
            return;
        }
        for sequence in from..=to {
            let (word, bit) = place(sequence);
            self.seen[word] &= !bit;
        }
    }

    fn mark(&mut self, sequence: u64) {
        let (word, bit) = place(sequence);
        self.seen[word] |= bit;
    }

    fn is_marked(&self, sequence: u64) -> bool {
        let (word, bit) = place(sequence);
        self.seen[word] & bit != 0
    }
}

fn place(sequence: u64) -> (usize, u64) {
    let slot = sequence % WINDOW;
    ((slot / 64) as usize, 1 << (slot % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_in_order_has_nothing_missing() {
        let mut arrivals = Arrivals::default();
        for sequence in 0..3 * WINDOW as u32 {
            assert_eq!(arrivals.note(sequence), Arrival::InOrder);
        }
        assert_eq!(arrivals.counts().missing(), 0);
        assert_eq!(arrivals.counts().unique, 3 * WINDOW as u32);
    }

    #[test]
    fn a_late_packet_is_reordered_once_and_a_duplicate_afterwards() {
        let mut arrivals = Arrivals::default();
        arrivals.note(0);
        arrivals.note(2);
        assert_eq!(arrivals.counts().missing(), 1);
        assert_eq!(arrivals.note(1), Arrival::Reordered);
        assert_eq!(arrivals.note(1), Arrival::Duplicate);
        assert_eq!(arrivals.note(2), Arrival::Duplicate);
        assert_eq!(arrivals.counts(), Counts { expected: 3, unique: 3, duplicated: 2, reordered: 1 });
    }

    #[test]
    fn a_jump_over_the_whole_window_does_not_remember_stale_numbers() {
        let mut arrivals = Arrivals::default();
        arrivals.note(5);
        let far = 5 + 2 * WINDOW as u32;
        assert_eq!(arrivals.note(far), Arrival::InOrder);
        assert_eq!(arrivals.note(far - WINDOW as u32 + 1), Arrival::Reordered);
        assert_eq!(arrivals.note(5), Arrival::Duplicate);
    }

    #[test]
    fn the_last_number_of_the_space_does_no_harm() {
        let mut arrivals = Arrivals::default();
        assert_eq!(arrivals.note(u32::MAX), Arrival::Duplicate);
        assert_eq!(arrivals.note(u32::MAX - 1), Arrival::InOrder);
    }
}
