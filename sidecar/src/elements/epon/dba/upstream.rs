//! The way up, as the bandwidth allocation gives it away: one burst after the other, seen from the OLT.

use std::time::Duration;

use crate::element::Time;
use crate::elements::epon::line::{QUANTUM, clock, span};

/// See the module's head.
#[derive(Debug, Clone, Copy)]
pub(super) struct Upstream {
    /// Dark time between two bursts.
    pub(super) guard: Duration,
    /// From the decision to when the nearest ONU can begin: the GATE has to be sent and understood.
    pub(super) lead: Duration,
    /// Until when all is given away.
    pub(super) free: Time,
}

/// A burst that is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The start of the grant, by the clock of the ONU.
    pub(super) start: u32,
    /// When its light is here, at the earliest and at the latest.
    pub(super) on: Time,
    pub(super) off: Time,
}

impl Upstream {
    /// The first time that light from an ONU with this round trip (in quanta) can be here.
    pub(super) fn earliest(&self, now: Time, round_trip: u32) -> Time {
        (now + self.lead + span(round_trip)).max(self.free + self.guard)
    }

    /// Gives away a time of `length` quanta to ONUs whose round trips lie between `nearest` and `farthest`.
    pub(super) fn give(&mut self, now: Time, nearest: u32, farthest: u32, length: u16) -> Place {
        // Whole quanta, not before the earliest.
        let begin = (self.earliest(now, nearest) - span(nearest)).0.next_multiple_of(QUANTUM);
        let begin = Time(begin);
        self.free = begin + span(farthest) + span(length);
        Place { start: clock(begin), on: begin + span(nearest), off: self.free }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream() -> Upstream {
        Upstream { guard: Duration::from_micros(1), lead: Duration::from_micros(50), free: Time(0) }
    }

    #[test]
    fn bursts_follow_each_other_with_a_guard_whatever_the_round_trips() {
        let mut upstream = upstream();
        let near = upstream.give(Time(1_000_000), 100, 100, 1000);
        assert_eq!((near.on, near.off), (Time(1_051_600), Time(1_067_600)));
        assert_eq!(near.start, (1_051_600 - 1600) / 16);
        // The far one has to be told earlier, and cannot come before light takes its way.
        let far = upstream.give(Time(1_000_000), 12_500, 12_500, 1000);
        assert_eq!(far.on, Time(1_250_000));
        let next = upstream.give(Time(1_000_000), 100, 100, 1000);
        assert_eq!(
            (next.on, next.start),
            (far.off + Duration::from_micros(1) + Duration::from_nanos(8), 79_088)
        );
    }

    #[test]
    fn a_window_for_all_lasts_from_the_nearest_to_the_farthest() {
        let mut upstream = upstream();
        let window = upstream.give(Time(0), 0, 12_500, 1000);
        assert_eq!((window.start, window.on, window.off), (3125, Time(50_000), Time(266_000)));
        assert_eq!(upstream.free, window.off);
    }
}
