//! The owner's log of state: when to append a frame, what must wait for it, and when to write a snapshot.
//!
//! One append is under way at most: what changes meanwhile goes into the next frame, so load makes frames larger and
//! not more frequent. Strict changes are appended at once. A cut is taken now and then and appended when the
//! downstreams have accepted the outputs before it. While the store is away (fail-open) nothing is appended and nothing
//! waits.

use std::collections::VecDeque;

use super::state_frame::Cut;

/// A cut is taken this often.
pub const FLUSH_INTERVAL: u64 = 10_000_000;
/// Small state is written whole in each cut in which it differs: at most at this pace, which is 64 MB a second.
const NANOS_PER_SMALL_BYTE: u64 = 16;
/// Strict changes since a cut that waits are part of it, up to this many bytes; then the cut is taken anew.
const MAX_STRICT_SINCE: usize = 1 << 20;
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

/// A cut that was taken and waits until its outputs are accepted.
#[derive(Debug)]
pub struct Pending {
    /// Engine time.
    pub time: u64,
    /// Positions and small state.
    pub cut: Cut,
    /// Changes up to the cut, in the engine's form.
    pub changes: Vec<u8>,
    /// Strict changes since, which are in the log before the cut will be.
    pub strict_since: Vec<u8>,
    /// What the cut makes safe; numbered when it is appended.
    pub cover: Cover,
    /// Whether it ends the snapshot that is copied.
    ends_snapshot: bool,
}

/// A snapshot being written. It is whole when a cut that was taken after its last blob is stored: its blobs were copied
/// while packets went on, and only the changes up to such a cut make one state of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotCopy {
    /// The last frame before the copy began.
    pub base: u64,
    /// The next blob to write.
    pub next_blob: u32,
    /// Bytes written.
    pub bytes: u64,
    /// How many blobs it has, once all are written.
    blobs: Option<u32>,
    /// The cut frame that makes it whole.
    whole_at: Option<u64>,
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
    flush_interval: u64,
    pending: Option<Pending>,
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
            flush_interval: FLUSH_INTERVAL,
            pending: None,
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

    /// Whether a cut can be taken: one waits at most. With the store away it only moves positions.
    pub fn can_cut(&self, fail_open: bool) -> bool {
        if self.down { fail_open } else { self.pending.is_none() }
    }

    /// Whether a frame can be appended.
    pub fn can_append(&self) -> bool {
        !self.down && !self.is_busy()
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

    /// Whether a cut is due.
    pub fn flush_due(&self, now: u64) -> bool {
        now >= self.flush_deadline()
    }

    /// When it is.
    pub fn flush_deadline(&self) -> u64 {
        self.last_flush + self.flush_interval
    }

    /// A cut was taken or there was none to take.
    pub fn flushed(&mut self, now: u64) {
        self.last_flush = now;
    }

    /// A cut was taken. It becomes part of the one that waits, if one does.
    pub fn hold_cut(&mut self, time: u64, mut cut: Cut, changes: &[u8], cover: Cover) {
        let small = cut.small_state.as_ref().map_or(0, bytes::Bytes::len) as u64;
        self.flush_interval = FLUSH_INTERVAL.max(small * NANOS_PER_SMALL_BYTE);
        let ends_snapshot = self.snapshot.is_some_and(|copy| copy.blobs.is_some());
        let mut all = Vec::new();
        if let Some(before) = self.pending.take() {
            all = before.changes;
            cut.small_state = cut.small_state.or(before.cut.small_state);
        }
        all.extend_from_slice(changes);
        self.pending =
            Some(Pending { time, cut, changes: all, strict_since: Vec::new(), cover, ends_snapshot });
    }

    /// Strict changes are appended while a cut may wait.
    pub fn note_strict(&mut self, changes: &[u8]) {
        if let Some(pending) = &mut self.pending {
            pending.strict_since.extend_from_slice(changes);
        }
    }

    /// Whether the cut that waits should be taken anew, because strict changes have piled up behind it.
    pub fn is_stale(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.strict_since.len() > MAX_STRICT_SINCE)
    }

    /// The cut that waits, if its outputs are accepted.
    pub fn take_ready(&mut self, accepted: &[Vec<u64>]) -> Option<Pending> {
        let ready = self.pending.take_if(|pending| is_delivered(&pending.cover.outputs, accepted))?;
        if let Some(copy) = self.snapshot.as_mut().filter(|_| ready.ends_snapshot) {
            copy.whole_at.get_or_insert(self.number + 1);
        }
        Some(ready)
    }

    /// The changes of the cut that waits, for a final frame that takes its place.
    pub fn take_pending_changes(&mut self) -> Vec<u8> {
        self.pending.take().map_or(Vec::new(), |pending| pending.changes)
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
            if !(stored && is_delivered(&front.outputs, accepted)) {
                break;
            }
            newest = self.covers.pop_front();
        }
        newest
    }

    /// Whether positions wait to be covered.
    pub fn has_covers(&self) -> bool {
        !self.covers.is_empty() || self.pending.is_some()
    }

    /// Whether the next cut must be taken although nothing has moved, and hold the small state: a snapshot waits for it.
    pub fn needs_cut(&self) -> bool {
        self.snapshot.is_some_and(|copy| copy.blobs.is_some() && copy.whole_at.is_none())
            && !self.pending.as_ref().is_some_and(|pending| pending.ends_snapshot)
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
            self.snapshot =
                Some(SnapshotCopy { base: self.stored, next_blob: 0, bytes: 0, blobs: None, whole_at: None });
            self.length = Length { snapshot_bytes, ..Length::default() };
            self.snapshot_wanted = false;
        }
        self.snapshot.as_mut().filter(|copy| !self.down && copy.blobs.is_none())
    }

    /// All blobs are written: the snapshot waits for a cut.
    pub fn snapshot_copied(&mut self, blobs: u32) {
        if let Some(copy) = &mut self.snapshot {
            copy.blobs = Some(blobs);
        }
    }

    /// The snapshot that has become whole, once: its name and the number of its blobs.
    pub fn take_whole_snapshot(&mut self) -> Option<(u64, u32)> {
        let stored = self.stored;
        let copy = self.snapshot.take_if(|copy| copy.whole_at.is_some_and(|number| number <= stored))?;
        self.length.snapshot_bytes = copy.bytes;
        Some((copy.base, copy.blobs.unwrap_or(0)))
    }
}

/// Whether all outputs are accepted.
fn is_delivered(outputs: &[Vec<u64>], accepted: &[Vec<u64>]) -> bool {
    outputs.iter().flatten().zip(accepted.iter().flatten()).all(|(made, got)| got >= made)
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
        assert_eq!(journal.snapshot().map(|copy| copy.base), Some(SNAPSHOT_FRAMES));
    }

    fn cut(journal: &mut Journal) {
        let cover = Cover { number: 0, inputs: vec![], outputs: vec![vec![3]] };
        journal.hold_cut(0, Cut::default(), b"changes", cover);
    }

    #[test]
    fn a_cut_waits_until_its_outputs_are_accepted_and_takes_strict_changes_along() {
        let mut journal = Journal::new(0, Length::default());
        cut(&mut journal);
        assert!(!journal.can_cut(true), "one cut waits at most");
        journal.note_strict(b"strict");
        assert!(journal.take_ready(&[vec![2]]).is_none());
        let ready = journal.take_ready(&[vec![3]]).expect("accepted");
        assert_eq!((&ready.changes[..], &ready.strict_since[..]), (&b"changes"[..], &b"strict"[..]));
        assert!(journal.can_cut(true));
    }

    #[test]
    fn a_cut_that_strict_changes_pile_up_behind_is_taken_anew_with_the_changes_of_the_old_one() {
        let mut journal = Journal::new(0, Length::default());
        cut(&mut journal);
        journal.note_strict(&vec![0; MAX_STRICT_SINCE + 1]);
        assert!(journal.is_stale());
        cut(&mut journal);
        assert!(!journal.is_stale());
        assert_eq!(journal.take_pending_changes(), b"changeschanges");
    }

    #[test]
    fn a_snapshot_is_whole_when_a_cut_that_was_taken_after_its_last_blob_is_stored() {
        let mut journal = Journal::new(0, Length::default());
        journal.want_snapshot();
        cut(&mut journal);
        assert!(journal.snapshot().is_some());
        journal.snapshot_copied(2);
        assert!(journal.needs_cut(), "the cut before the last blob does not count");
        journal.take_ready(&[vec![3]]);
        let number = journal.issue(1, false);
        journal.appended(number);
        assert_eq!(journal.take_whole_snapshot(), None);
        cut(&mut journal);
        assert!(!journal.needs_cut());
        journal.take_ready(&[vec![3]]);
        let number = journal.issue(1, false);
        assert_eq!(journal.take_whole_snapshot(), None, "not stored");
        journal.appended(number);
        assert_eq!(journal.take_whole_snapshot(), Some((0, 2)));
    }

    #[test]
    fn a_log_stays_in_proportion_to_its_snapshot_whoever_wrote_it() {
        let mib = 1 << 20;
        let long = Length { snapshot_bytes: mib, frames: 3, bytes: 4 * mib };
        let mut journal = Journal::new(7, long);
        journal.snapshot().expect("an owner before wrote most of it").bytes = 2 * mib;
        journal.snapshot_copied(2);
        cut(&mut journal);
        journal.take_ready(&[vec![3]]);
        let number = journal.issue(0, false);
        journal.appended(number);
        journal.take_whole_snapshot().expect("whole");
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
        assert!(!journal.can_append(), "one append at a time");
        journal.set_down(true);
        assert!(journal.can_cut(true) && !journal.can_cut(false) && !journal.can_append());
        journal.add_cover(Cover { number: 1, inputs: vec![], outputs: vec![] });
        assert!(journal.take_covered(&[], false).is_none() && journal.take_covered(&[], true).is_some());
    }
}
