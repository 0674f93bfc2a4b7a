//! A token bucket: so many tokens a second, up to a limit that may be saved.
//!
//! Tokens are counted in billionths, so that a rate a second and time in nanoseconds need no rounding.

use crate::element::Time;
use crate::state::{Reader, StateError, Writer};

const TOKEN: i64 = 1_000_000_000;

/// Tokens in billionths.
fn billionths(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX).saturating_mul(TOKEN)
}

/// See the module's head.
#[derive(Debug, Clone)]
pub(crate) struct TokenBucket {
    /// Tokens a second.
    rate: u64,
    /// Most tokens saved, in billionths.
    limit: i64,
    /// In billionths; negative while something larger than what was there is being paid off.
    tokens: i64,
    /// Up to when tokens are accounted for; `None` before the first use.
    at: Option<Time>,
}

impl TokenBucket {
    /// A bucket that starts with `first` tokens.
    pub(crate) fn new(rate: u64, limit: u64, first: u64) -> Self {
        let limit = billionths(limit.max(1));
        Self { rate, limit, tokens: billionths(first).min(limit), at: None }
    }

    pub(crate) fn rate(&self) -> u64 {
        self.rate
    }

    pub(crate) fn set_rate(&mut self, rate: u64, limit: u64) {
        self.rate = rate;
        self.limit = billionths(limit.max(1));
        self.tokens = self.tokens.min(self.limit);
    }

    /// Accounts for time up to `now`.
    pub(crate) fn refill(&mut self, now: Time) {
        let past = now.0.saturating_sub(self.at.unwrap_or(now).0);
        let gained = i64::try_from(u128::from(past) * u128::from(self.rate)).unwrap_or(i64::MAX);
        self.tokens = self.tokens.saturating_add(gained).min(self.limit);
        self.at = Some(now);
    }

    /// Whole tokens there now.
    pub(crate) fn available(&self) -> u64 {
        u64::try_from(self.tokens / TOKEN).unwrap_or(0)
    }

    /// Whether there are `count` tokens. None are there while something is owed.
    pub(crate) fn has(&self, count: u64) -> bool {
        self.tokens >= billionths(count)
    }

    /// Takes tokens; what is not there is owed.
    pub(crate) fn take(&mut self, count: u64) {
        self.tokens = self.tokens.saturating_sub(billionths(count));
    }

    /// When `count` tokens will be there, if nobody takes any; `None` if never.
    pub(crate) fn when(&self, count: u64) -> Option<Time> {
        let missing = billionths(count).min(self.limit).saturating_sub(self.tokens);
        let missing = u64::try_from(missing).unwrap_or(0);
        let at = self.at.unwrap_or_default();
        if missing == 0 {
            return Some(at);
        }
        (self.rate > 0).then(|| Time(at.0.saturating_add(missing.div_ceil(self.rate))))
    }

    pub(crate) fn save(&self, w: &mut Writer) {
        w.put_u64(self.tokens as u64);
        w.put_u64(self.at.map_or(0, |at| at.0));
    }

    pub(crate) fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.tokens = (r.get_u64()? as i64).min(self.limit);
        self.at = Some(Time(r.get_u64()?)).filter(|at| at.0 > 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_a_second_is_one_every_millisecond() {
        let mut bucket = TokenBucket::new(1000, 5, 1);
        bucket.refill(Time(50));
        assert_eq!(bucket.available(), 1);
        bucket.take(1);
        assert_eq!(bucket.when(1), Some(Time(1_000_050)));
        bucket.refill(Time(1_000_049));
        assert_eq!(bucket.available(), 0);
        bucket.refill(Time(1_000_050));
        assert_eq!(bucket.available(), 1);
        bucket.refill(Time(10_000_000_000));
        assert_eq!(bucket.available(), 5);
        assert_eq!(TokenBucket::new(0, 5, 0).when(1), None);
    }
}
