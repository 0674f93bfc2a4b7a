//! The receiving side of a cut edge: takes packets strictly in sequence, whichever connection brings them.
//!
//! Always: `durable <= next`, and no sequence number is taken twice. A hole is counted, never hidden.

/// What to do with a batch that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// Process it, without its first `skip` packets, which are known already.
    Take {
        /// Packets to leave out.
        skip: u16,
    },
    /// All of it is known already.
    Known,
}

/// The receiving side of one edge.
#[derive(Debug)]
pub struct InEdge {
    id: u16,
    next: Option<u64>,
    durable: u64,
    acknowledged: (u64, u64),
    lost: u64,
    known: u64,
    made: Vec<u64>,
}

impl InEdge {
    /// An edge that takes any first sequence number.
    pub fn new(id: u16) -> Self {
        Self { id, next: None, durable: 0, acknowledged: (0, 0), lost: 0, known: 0, made: Vec::new() }
    }

    /// The edge's number.
    pub fn id(&self) -> u16 {
        self.id
    }

    /// Next sequence number; `None` before the first packet.
    pub fn next(&self) -> Option<u64> {
        self.next
    }

    /// What the sender had made from each of its causes, up to `next`.
    pub fn made(&self) -> &[u64] {
        &self.made
    }

    /// Notes what the sender had made up to the end of a batch that was taken. An owner that makes again what an owner
    /// before had made counts from further back: what is here stays here.
    pub fn note_made(&mut self, made: impl Iterator<Item = u64>) {
        for (at, made) in made.enumerate() {
            match self.made.get_mut(at) {
                Some(known) => *known = made.max(*known),
                None => self.made.push(made),
            }
        }
    }

    /// All before it are covered by stored state.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// Sequence numbers that never came.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Packets that came again and were left out.
    pub fn known(&self) -> u64 {
        self.known
    }

    /// A batch of `count` packets from `first` on.
    pub fn offer(&mut self, first: u64, count: u16) -> Offer {
        let end = first + u64::from(count);
        let next = *self.next.get_or_insert(first);
        if end <= next {
            self.known += u64::from(count);
            return Offer::Known;
        }
        let skip = next.saturating_sub(first);
        self.known += skip;
        self.lost += first.saturating_sub(next);
        self.next = Some(end);
        Offer::Take { skip: skip as u16 }
    }

    /// Stored state covers everything before `position`.
    pub fn cover(&mut self, position: u64) {
        self.durable = self.durable.max(position.min(self.next.unwrap_or(0)));
    }

    /// The acknowledgement to send: `(accepted, durable)`, when it says at least `step` packets more than the last
    /// one.
    pub fn take_ack(&mut self, step: u64) -> Option<(u64, u64)> {
        let now = (self.next?, self.durable);
        let news = (now.0 - self.acknowledged.0.min(now.0)).max(now.1 - self.acknowledged.1.min(now.1));
        if news < step {
            return None;
        }
        self.acknowledged = now;
        Some(now)
    }

    /// Whoever is told next has heard nothing yet.
    pub fn acknowledge_again(&mut self) {
        self.acknowledged = (0, 0);
    }

    /// Goes on where an owner before stopped.
    pub fn restore(&mut self, next: Option<u64>, made: Vec<u64>) {
        self.made = made;
        self.next = next;
        self.durable = next.unwrap_or(0);
        self.acknowledged = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_taken_in_sequence_and_overlaps_are_left_out() {
        let mut edge = InEdge::new(0);
        assert_eq!(edge.offer(10, 4), Offer::Take { skip: 0 });
        assert_eq!(edge.offer(10, 4), Offer::Known);
        assert_eq!(edge.offer(12, 4), Offer::Take { skip: 2 });
        assert_eq!((edge.next(), edge.known(), edge.lost()), (Some(16), 6, 0));
    }

    #[test]
    fn a_hole_is_counted() {
        let mut edge = InEdge::new(0);
        edge.offer(0, 1);
        assert_eq!(edge.offer(5, 1), Offer::Take { skip: 0 });
        assert_eq!(edge.lost(), 4);
    }

    #[test]
    fn acknowledgements_come_when_there_is_enough_news() {
        let mut edge = InEdge::new(0);
        assert_eq!(edge.take_ack(0), None);
        edge.offer(0, 10);
        assert_eq!(edge.take_ack(64), None);
        assert_eq!(edge.take_ack(1), Some((10, 0)));
        assert_eq!(edge.take_ack(1), None);
        edge.cover(99);
        assert_eq!(edge.take_ack(1), Some((10, 10)));
    }
}
