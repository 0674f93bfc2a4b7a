//! When an ONU may send: its clock, which follows the OLT's, and the grants that are ahead of it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::element::Time;
use crate::elements::epon::line::{QUANTUM, span};
use crate::state::{Reader, StateError, Writer};

/// The least time before a grant that an ONU is told of it (64.2.2.1, min_processing_time).
const PROCESSING: u64 = 1024 * QUANTUM;
/// No grant lies further ahead.
const FARTHEST: u64 = 1_000_000_000;

/// The OLT's clock as it is here: late by the way down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Clock {
    stamp: u32,
    at: Time,
}

impl Clock {
    /// Takes the time from a frame whose address came at `at`. Returns how many quanta the clock was off.
    fn set(&mut self, stamp: u32, at: Time) -> u32 {
        let off = (self.read(at).wrapping_sub(stamp) as i32).unsigned_abs();
        *self = Self { stamp, at };
        off
    }

    /// What the clock says at `at`.
    fn read(&self, at: Time) -> u32 {
        let since = at.0.wrapping_sub(self.at.0) as i64;
        self.stamp.wrapping_add(since.div_euclid(QUANTUM as i64) as u32)
    }

    /// When the clock says `stamp`: within half its range before and after it was set.
    fn when(&self, stamp: u32) -> Time {
        let off = i64::from(stamp.wrapping_sub(self.stamp) as i32) * QUANTUM as i64;
        Time(self.at.0.saturating_add_signed(off))
    }
}

/// What a grant is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To ask for registration, in a discovery window.
    Ask,
    /// To send what waits, or to confirm the registration.
    Send {
        /// Whether a REPORT is due.
        report: bool,
    },
}

/// A time in which to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    /// The laser goes on.
    pub(super) on: Time,
    /// The laser is off.
    pub(super) off: Time,
    pub(super) purpose: Purpose,
}

/// The grants ahead, in order.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    clock: Clock,
    /// How many quanta the clock may be off (64.2.2.1, guardThresholdONU).
    drift: u32,
    slots: VecDeque<Slot>,
    /// Grants that came too late, lie too far ahead, overlap others, or were too many.
    pub(super) missed: u64,
}

impl Schedule {
    /// No grants, and a clock that may be off by so many quanta.
    pub(super) fn new(drift: u32) -> Self {
        Self { drift, ..Self::default() }
    }

    /// Takes the time from a frame whose address came at `at`. `false` if the clock was too far off.
    pub(super) fn set_clock(&mut self, stamp: u32, at: Time) -> bool {
        self.clock.set(stamp, at) <= self.drift
    }

    /// What the clock says at `at`.
    pub(super) fn clock(&self, at: Time) -> u32 {
        self.clock.read(at)
    }

    /// Keeps a grant, unless it cannot be used: then it is missed.
    pub(super) fn add(
        &mut self,
        start: u32,
        length: u16,
        purpose: Purpose,
        most: usize,
    ) -> Option<&mut Slot> {
        let on = self.clock.when(start);
        let slot = Slot { on, off: on + span(length), purpose };
        let ahead = on.0.checked_sub(self.clock.at.0);
        let in_time = ahead.is_some_and(|ahead| (PROCESSING..FARTHEST).contains(&ahead));
        let at = self.slots.iter().take_while(|other| other.on < on).count();
        let free =
            |other: Option<&Slot>| other.is_none_or(|other| other.off <= slot.on || slot.off <= other.on);
        let before = at.checked_sub(1).and_then(|before| self.slots.get(before));
        if !in_time || self.slots.len() >= most || !free(before) || !free(self.slots.get(at)) {
            self.missed += 1;
            return None;
        }
        self.slots.insert(at, slot);
        self.slots.get_mut(at)
    }

    /// When the next laser goes on.
    pub(super) fn next(&self) -> Option<Time> {
        self.slots.front().map(|slot| slot.on)
    }

    /// Takes the next grant if its time has come.
    pub(super) fn take(&mut self, now: Time) -> Option<Slot> {
        if self.next()? <= now { self.slots.pop_front() } else { None }
    }

    /// Forgets all grants.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
    }

    pub(super) fn save(&self, w: &mut Writer) {
        w.put_u32(self.clock.stamp);
        w.put_u64(self.clock.at.0);
        w.put_u64(self.missed);
        w.put_u32(self.slots.len() as u32);
        self.slots.iter().for_each(|slot| slot.save(w));
    }

    pub(super) fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.clock = Clock { stamp: r.get_u32()?, at: Time(r.get_u64()?) };
        self.missed = r.get_u64()?;
        self.slots.clear();
        for _ in 0..r.get_u32()? {
            self.slots.push_back(Slot::restore(r)?);
        }
        Ok(())
    }
}

impl Slot {
    /// How long it is from the laser's going on to its being off.
    pub(super) fn length(&self) -> Duration {
        self.off.since(self.on)
    }

    pub(super) fn save(&self, w: &mut Writer) {
        w.put_u64(self.on.0);
        w.put_u64(self.off.0);
        w.put_u8(match self.purpose {
            Purpose::Ask => 0,
            Purpose::Send { report: false } => 1,
            Purpose::Send { report: true } => 2,
        });
    }

    pub(super) fn restore(r: &mut Reader<'_>) -> Result<Self, StateError> {
        let (on, off) = (Time(r.get_u64()?), Time(r.get_u64()?));
        let purpose = match r.get_u8()? {
            0 => Purpose::Ask,
            1 => Purpose::Send { report: false },
            2 => Purpose::Send { report: true },
            other => return Err(StateError::Invalid { what: "purpose of a grant", value: other.into() }),
        };
        Ok(Self { on, off, purpose })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEND: Purpose = Purpose::Send { report: true };

    #[test]
    fn the_clock_follows_the_olt_over_its_wrap_and_notices_jumps() {
        let mut clock = Clock::default();
        assert!(clock.set(u32::MAX - 10, Time(1_000_000)) > 60_000);
        assert_eq!(clock.read(Time(1_000_000 + 16 * 20)), 9);
        assert_eq!(clock.when(9), Time(1_000_000 + 16 * 20));
        assert_eq!(clock.when(u32::MAX - 11), Time(1_000_000 - 16));
        assert_eq!(clock.set(9 + 8, Time(1_000_000 + 16 * 20)), 8);
        assert_eq!(clock.set(9 + 8 - 9, Time(1_000_000 + 16 * 20)), 9);
        let mut schedule = Schedule::new(8);
        assert!(!schedule.set_clock(9, Time(16 * 18)));
        assert!(schedule.set_clock(9 + 8, Time(16 * 18)) && !schedule.set_clock(9 + 17, Time(16 * 18)));
    }

    #[test]
    fn grants_are_kept_in_order_and_used_when_they_begin() {
        let mut schedule = Schedule::default();
        schedule.clock.set(0, Time(0));
        for start in [30_000, 10_000, 20_000] {
            assert!(schedule.add(start, 5000, SEND, 4).is_some());
        }
        assert_eq!(schedule.next(), Some(Time(160_000)));
        assert_eq!(schedule.take(Time(159_999)), None);
        let slot = schedule.take(Time(160_000)).unwrap();
        assert_eq!((slot.on, slot.off), (Time(160_000), Time(240_000)));
        assert_eq!(schedule.next(), Some(Time(320_000)));
    }

    #[test]
    fn grants_that_cannot_be_used_are_missed() {
        let mut schedule = Schedule::default();
        schedule.clock.set(50_000, Time(800_000));
        // In the past, too close, too far ahead.
        for start in [49_000, 51_023, 50_000 + 62_500_000] {
            assert!(schedule.add(start, 10, SEND, 4).is_none());
        }
        assert!(schedule.add(51_024, 1000, SEND, 4).is_some());
        // They overlap its beginning and its end; behind it is room, for four in all.
        for (start, kept) in [
            (51_100, false),
            (52_023, false),
            (52_024, true),
            (53_024, true),
            (54_024, true),
            (55_024, false),
        ] {
            assert_eq!(schedule.add(start, 1000, SEND, 4).is_some(), kept, "{start}");
        }
        assert_eq!(schedule.missed, 6);
    }
}
