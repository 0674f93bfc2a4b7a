//! The owner's log of state: when to append a frame, what must wait for it, and when to write a snapshot.
//!
//! One append is under way at most: what changes meanwhile goes into the next frame, so load makes frames larger and
//! not more frequent. While the store is away (fail-open) nothing is appended and nothing waits.

use std::collections::VecDeque;

/// Changes that nobody waits for are appended this often.
pub const FLUSH_INTERVAL: u64 = 10_000_000;
/// A snapshot is written when the log has this many frames since the last one, or is so many times as large: who
/// loads it then reads little more than the state itself, and writing snapshots adds a quarter to what is written.
const SNAPSHOT_FRAMES: u64 = 4_096;
const SNAPSHOT_TIMES: u64 = 4;
/// A log that is smaller than this needs no snapshot.
const SMALL_LOG_BYTES: u64 = 1 << 20;

/// Positions that are safe once a frame is stored and the outputs they led to are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    /// The frame that must be stored (0: none).
    pub number: u64,
    /// Per in-link and edge: processed up to here.
    pub inputs: Vec<Vec<u64>>,
    /// Per out-link and edge: produced up to here.
    pub outputs: Vec<Vec<u64>>,
}

/// A snapshot being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotCopy {
    /// The last frame before the copy began.
    pub base: u64,
    /// The next blob to write.
    pub next_blob: u32,
    /// Bytes written.
    pub bytes: u64,
}

/// What one who loads has to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Length {
    /// Bytes of the snapshot.
    pub snapshot_bytes: u64,
    /// Frames since then.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The owner's view of its log.
#[derive(Debug)]
pub struct Journal {
    number: u64,
    stored: u64,
    /// The newest frame with strict changes.
    strict: u64,
    down: bool,
    last_flush: u64,
    covers: VecDeque<Cover>,
    length: Length,
    snapshot: Option<SnapshotCopy>,
    snapshot_wanted: bool,
}

impl Journal {
    /// A journal whose last stored frame is `number`.
    pub fn new(number: u64, length: Length) -> Self {
        Self {
            number,
            stored: number,
            strict: 0,
            down: false,
            last_flush: 0,
            covers: VecDeque::new(),
            length,
            snapshot: None,
            snapshot_wanted: false,
        }
    }

    /// The last stored frame.
    pub fn stored(&self) -> u64 {
        self.stored
    }

    /// What a held packet compares with: everything is released while nothing can be stored.
    pub fn released(&self, fail_open: bool) -> u64 {
        if self.down && fail_open { u64::MAX } else { self.stored }
    }

    /// The number of the newest frame.
    pub fn issued(&self) -> u64 {
        self.number
    }

    /// The frame with strict changes that is under way, if one is: outputs made meanwhile may depend on it.
    pub fn strict_under_way(&self) -> Option<u64> {
        Some(self.strict).filter(|strict| *strict > self.stored)
    }

    /// Whether a flush can do something: with the store away it only moves positions, and only if nothing waits for
    /// the store.
    pub fn can_flush(&self, fail_open: bool) -> bool {
        if self.down { fail_open } else { !self.is_busy() }
    }

    /// The number that the next frame gets.
    pub fn next_number(&self) -> u64 {
        self.number + 1
    }

    /// Whether an append is under way.
    pub fn is_busy(&self) -> bool {
        self.number > self.stored
    }

    /// Whether the store is away.
    pub fn is_down(&self) -> bool {
        self.down
    }

    /// Frames issued and not yet stored.
    pub fn lag(&self) -> u64 {
        self.number - self.stored
    }

    /// The store went away or came back.
    pub fn set_down(&mut self, down: bool) {
        self.down = down;
    }

    /// Whether changes that nobody waits for are due.
    pub fn flush_due(&self, now: u64) -> bool {
        now >= self.last_flush + FLUSH_INTERVAL
    }

    /// When they are.
    pub fn flush_deadline(&self) -> u64 {
        self.last_flush + FLUSH_INTERVAL
    }

    /// A flush happened (whether or not there was something to append).
    pub fn flushed(&mut self, now: u64) {
        self.last_flush = now;
    }

    /// A frame of `bytes` bytes was issued, with or without strict changes; returns its number.
    pub fn issue(&mut self, bytes: usize, strict: bool) -> u64 {
        self.number += 1;
        if strict {
            self.strict = self.number;
        }
        self.length.frames += 1;
        self.length.bytes += bytes as u64;
        self.number
    }

    /// Frame `number` is stored.
    pub fn appended(&mut self, number: u64) {
        self.stored = self.stored.max(number.min(self.number));
    }

    /// Positions to acknowledge later. Bounded: a newer cover replaces the newest when there are many.
    pub fn add_cover(&mut self, cover: Cover) {
        if self.covers.len() >= 64 {
            self.covers.pop_back();
        }
        self.covers.push_back(cover);
    }

    /// The newest cover that holds now, given what downstreams have accepted.
    pub fn take_covered(&mut self, accepted: &[Vec<u64>], fail_open: bool) -> Option<Cover> {
        let mut newest = None;
        while let Some(front) = self.covers.front() {
            let stored = front.number <= self.released(fail_open);
            let delivered =
                front.outputs.iter().flatten().zip(accepted.iter().flatten()).all(|(made, got)| got >= made);
            if !(stored && delivered) {
                break;
            }
            newest = self.covers.pop_front();
        }
        newest
    }

    /// Whether positions wait to be covered.
    pub fn has_covers(&self) -> bool {
        !self.covers.is_empty()
    }

    /// Asks for a snapshot although the log is short (the log is not whole, or a target wants to load quickly).
    pub fn want_snapshot(&mut self) {
        self.snapshot_wanted = true;
    }

    /// The snapshot under way; begins one when it is due. Nothing while the store is away.
    pub fn snapshot(&mut self) -> Option<&mut SnapshotCopy> {
        let Length { snapshot_bytes, frames, bytes } = self.length;
        let due = self.snapshot_wanted
            || frames >= SNAPSHOT_FRAMES
            || bytes >= SMALL_LOG_BYTES.max(SNAPSHOT_TIMES * snapshot_bytes);
        if self.snapshot.is_none() && due && !self.down && !self.is_busy() {
            self.snapshot = Some(SnapshotCopy { base: self.stored, next_blob: 0, bytes: 0 });
            self.length = Length { snapshot_bytes, ..Length::default() };
            self.snapshot_wanted = false;
        }
        self.snapshot.as_mut().filter(|_| !self.down)
    }

    /// The copy is done.
    pub fn snapshot_copied(&mut self) {
        if let Some(copy) = self.snapshot.take() {
            self.length.snapshot_bytes = copy.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_covered_only_when_its_frame_is_stored_and_its_output_accepted() {
        let mut journal = Journal::new(0, Length::default());
        journal.issue(10, false);
        let cover = Cover { number: 1, inputs: vec![vec![5]], outputs: vec![vec![3]] };
        journal.add_cover(cover.clone());
        assert_eq!(journal.take_covered(&[vec![3]], true), None, "not stored");
        journal.appended(1);
        assert_eq!(journal.take_covered(&[vec![2]], true), None, "not accepted");
        assert_eq!(journal.take_covered(&[vec![3]], true), Some(cover));
    }

    #[test]
    fn everything_is_released_while_the_store_is_away_and_fail_open_is_chosen() {
        let mut journal = Journal::new(4, Length::default());
        journal.set_down(true);
        assert_eq!((journal.released(true), journal.released(false)), (u64::MAX, 4));
    }

    #[test]
    fn a_snapshot_begins_when_the_log_is_long_and_no_append_is_under_way() {
        let mut journal = Journal::new(0, Length::default());
        assert!(journal.snapshot().is_none());
        for _ in 0..SNAPSHOT_FRAMES {
            let number = journal.issue(1, false);
            assert!(journal.snapshot().is_none());
            journal.appended(number);
        }
        let copy = SnapshotCopy { base: SNAPSHOT_FRAMES, next_blob: 0, bytes: 0 };
        assert_eq!(journal.snapshot(), Some(&mut copy.clone()));
    }

    #[test]
    fn a_log_stays_in_proportion_to_its_snapshot_whoever_wrote_it() {
        let mib = 1 << 20;
        let long = Length { snapshot_bytes: mib, frames: 3, bytes: 4 * mib };
        let mut journal = Journal::new(7, long);
        journal.snapshot().expect("an owner before wrote most of it").bytes = 2 * mib;
        journal.snapshot_copied();
        let number = journal.issue(8 * mib as usize - 1, false);
        journal.appended(number);
        assert!(journal.snapshot().is_none());
        let number = journal.issue(1, false);
        journal.appended(number);
        assert!(journal.snapshot().is_some());
    }

    #[test]
    fn outputs_made_while_a_strict_frame_is_under_way_wait_for_it() {
        let mut journal = Journal::new(3, Length::default());
        assert_eq!(journal.issue(1, true), 4);
        assert_eq!(journal.strict_under_way(), Some(4));
        journal.appended(4);
        assert_eq!(journal.strict_under_way(), None);
    }

    #[test]
    fn positions_still_move_when_the_store_goes_away_during_an_append() {
        let mut journal = Journal::new(0, Length::default());
        journal.issue(1, false);
        assert!(!journal.can_flush(true), "one append at a time");
        journal.set_down(true);
        assert!(journal.can_flush(true) && !journal.can_flush(false));
        journal.add_cover(Cover { number: 1, inputs: vec![], outputs: vec![] });
        assert!(journal.take_covered(&[], false).is_none() && journal.take_covered(&[], true).is_some());
    }
}
