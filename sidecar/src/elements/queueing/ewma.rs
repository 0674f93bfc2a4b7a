//! Exponentially weighted moving averages, as Click's: with 10 bits of fraction, a new value weighing 1 / 2^stability.

use super::fixed_point::show_fixed_point;
use crate::element::Time;
use crate::state::{Reader, StateError, Writer};

/// Bits of fraction of an average.
pub(super) const FRACTION: u32 = 10;

/// The average of a series of values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ewma {
    average: u64,
    stability: u32,
}

impl Ewma {
    /// An average of 0. `stability` is at most 16; 0 makes the last value the average.
    pub(super) fn new(stability: u32) -> Self {
        Self { average: 0, stability }
    }

    /// The average, with [`FRACTION`] bits of fraction.
    pub(super) fn scaled(self) -> u64 {
        self.average
    }

    /// The average, rounded.
    pub(super) fn rounded(self) -> u64 {
        (self.average + (1 << (FRACTION - 1))) >> FRACTION
    }

    pub(super) fn stability(self) -> u32 {
        self.stability
    }

    /// Takes in a value (below 2^50).
    pub(super) fn update(&mut self, value: u64) {
        let rounding = (1_u64 << self.stability) >> 1;
        let difference = ((value << FRACTION) + rounding) as i64 - self.average as i64;
        self.average = self.average.saturating_add_signed(difference >> self.stability);
    }

    /// Takes in 0, `count` times; from 100 times on, the past counts no more.
    pub(super) fn update_zeros(&mut self, count: u64) {
        if count >= 100 {
            self.average = 0;
            return;
        }
        for _ in 0..count {
            self.update(0);
        }
    }

    pub(super) fn save(&self, w: &mut Writer) {
        w.put_u64(self.average);
    }

    pub(super) fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        let average = r.get_u64()?;
        if average >= 1 << 62 {
            return Err(StateError::Invalid { what: "average", value: average });
        }
        self.average = average;
        Ok(())
    }
}

/// Periods a second of a [`RateEwma`].
pub(super) const PERIODS: u64 = 1000;

/// A rate as [`RateEwma::scaled`] gives it, a second.
pub(in crate::elements) fn show_rate(scaled: u64) -> String {
    show_fixed_point(scaled.saturating_mul(PERIODS), FRACTION)
}

/// The average of a count a period of 1 ms, over some 16 ms.
#[derive(Debug, Clone, Copy)]
pub(in crate::elements) struct RateEwma {
    period: u64,
    /// Counted in this period.
    current: u64,
    average: Ewma,
}

impl Default for RateEwma {
    fn default() -> Self {
        Self::new()
    }
}

impl RateEwma {
    pub(in crate::elements) fn new() -> Self {
        Self { period: 0, current: 0, average: Ewma::new(4) }
    }

    /// Counts. The count is part of the average from the next period on.
    pub(in crate::elements) fn update(&mut self, now: Time, count: u64) {
        let period = now.0 / (1_000_000_000 / PERIODS);
        if period > self.period {
            self.average.update(self.current.min(1 << 49));
            self.average.update_zeros(period - self.period - 1);
            self.period = period;
            self.current = 0;
        }
        self.current = self.current.saturating_add(count);
    }

    /// The average count a period, with [`FRACTION`] bits of fraction, up to the last update.
    pub(in crate::elements) fn scaled(&self) -> u64 {
        self.average.scaled()
    }

    pub(in crate::elements) fn save(&self, w: &mut Writer) {
        w.put_u64(self.period);
        w.put_u64(self.current);
        self.average.save(w);
    }

    pub(in crate::elements) fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.period = r.get_u64()?;
        self.current = r.get_u64()?;
        self.average.restore(r)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_comes_close_to_what_stays_the_same() {
        let mut average = Ewma::new(4);
        average.update(16);
        assert_eq!(average.rounded(), 1);
        for _ in 0..200 {
            average.update(16);
        }
        assert_eq!(average.rounded(), 16);
        average.update_zeros(10);
        assert!((7..=9).contains(&average.rounded()), "{average:?}");
        average.update_zeros(100);
        assert_eq!(average.scaled(), 0);
    }

    #[test]
    fn a_rate_is_that_of_the_periods_that_are_over() {
        let mut rate = RateEwma::new();
        for ms in 1000..1200 {
            rate.update(Time(ms * 1_000_000), 5);
        }
        assert!((4.9..5.1).contains(&(rate.scaled() as f64 / 1024.0)), "{rate:?}");
        rate.update(Time(2_000_000_000), 0);
        assert_eq!(rate.scaled(), 0);
    }
}
