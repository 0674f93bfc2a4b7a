//! One-shot timers, one per element: a heap with stale entries left in it.
//!
//! Setting a timer again replaces it; an entry of the heap counts only while it is what `at` says.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Time;

#[derive(Debug, Default)]
pub(super) struct Timers {
    /// (time, order of setting, element): timers of one instant fire in the order they were set.
    heap: BinaryHeap<Reverse<(Time, u64, u32)>>,
    /// Per element: the entry that counts.
    at: Vec<Option<(Time, u64)>>,
    serial: u64,
}

impl Timers {
    pub(super) fn new(elements: usize) -> Self {
        Self { at: vec![None; elements], ..Self::default() }
    }

    pub(super) fn set(&mut self, element: u32, time: Time) {
        self.serial += 1;
        self.at[element as usize] = Some((time, self.serial));
        self.heap.push(Reverse((time, self.serial, element)));
    }

    pub(super) fn clear(&mut self, element: u32) {
        self.at[element as usize] = None;
    }

    pub(super) fn clear_all(&mut self) {
        self.heap.clear();
        self.at.fill(None);
    }

    /// What is set, in the order in which it fires.
    pub(super) fn pending(&self) -> Vec<(Time, u32)> {
        let set = self.at.iter().enumerate();
        let mut set: Vec<_> =
            set.filter_map(|(element, at)| at.map(|(time, serial)| (time, serial, element as u32))).collect();
        set.sort_unstable();
        set.into_iter().map(|(time, _, element)| (time, element)).collect()
    }

    pub(super) fn get(&self, element: u32) -> Option<Time> {
        self.at[element as usize].map(|(time, _)| time)
    }

    /// Takes the next timer that is due at `now` and was set up to `serial`, so that a timer that sets itself for now
    /// again waits for the next pass.
    #[inline]
    pub(super) fn take_due(&mut self, now: Time, serial: u64) -> Option<u32> {
        while let Some(&Reverse((time, set, element))) = self.heap.peek() {
            if time > now || (set > serial && self.at[element as usize] == Some((time, set))) {
                return None;
            }
            self.heap.pop();
            if self.at[element as usize] == Some((time, set)) {
                self.at[element as usize] = None;
                return Some(element);
            }
        }
        None
    }

    pub(super) fn serial(&self) -> u64 {
        self.serial
    }

    /// When the next timer is due.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Time> {
        while let Some(&Reverse((time, set, element))) = self.heap.peek() {
            if self.at[element as usize] == Some((time, set)) {
                return Some(time);
            }
            self.heap.pop();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_by_time_and_a_timer_set_again_fires_once() {
        let mut timers = Timers::new(3);
        timers.set(0, Time(30));
        timers.set(1, Time(10));
        timers.set(0, Time(20));
        timers.set(2, Time(20));
        timers.clear(2);
        assert_eq!(timers.next(), Some(Time(10)));
        let serial = timers.serial();
        assert_eq!(timers.take_due(Time(25), serial), Some(1));
        assert_eq!(timers.take_due(Time(25), serial), Some(0));
        assert_eq!(timers.take_due(Time(100), serial), None);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_timer_set_while_timers_run_waits_for_the_next_pass() {
        let mut timers = Timers::new(1);
        timers.set(0, Time(1));
        let serial = timers.serial();
        assert_eq!(timers.take_due(Time(5), serial), Some(0));
        timers.set(0, Time(5));
        assert_eq!(timers.take_due(Time(5), serial), None);
        assert_eq!(timers.take_due(Time(5), timers.serial()), Some(0));
    }
}
