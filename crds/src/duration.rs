//! Durations as people write them: `5ms`, `60s`, `1m30s`, `0.84ms`.
//!
//! A [`Duration`] is never negative and never loses a nanosecond in parsing: the text is read as integers, not as
//! floating point. What [`fmt::Display`] prints parses back to the same value.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What the schema lets through; the CEL function `duration()` accepts all of it.
const PATTERN: &str = r"^([0-9]{1,9}(\.[0-9]{1,9})?(ns|us|ms|s|m|h))+$";
const MAX_LENGTH: usize = 32;

/// A length of time, written as one or more numbers with a unit (`ns`, `us`, `ms`, `s`, `m`, `h`).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(time::Duration);

/// Why a text is not a [`Duration`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseDurationError {
    text: String,
}

impl fmt::Display for ParseDurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\" is not a duration; write a number with a unit such as 10ms, 60s or 1m30s",
            self.text
        )
    }
}

impl std::error::Error for ParseDurationError {}

impl Duration {
    /// A duration of whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(time::Duration::from_millis(millis))
    }

    /// A duration of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(time::Duration::from_secs(seconds))
    }

    /// A duration from a measured number of milliseconds, to the microsecond; what is no time at all counts as zero.
    pub fn from_millis_f64(millis: f64) -> Self {
        let micros = (millis * 1e3).round();
        // `as` saturates and turns NaN into 0.
        Self(time::Duration::from_micros(if micros > 0.0 { micros as u64 } else { 0 }))
    }

    /// Milliseconds, with fraction.
    pub fn as_millis_f64(self) -> f64 {
        self.0.as_secs_f64() * 1e3
    }

    /// Whole milliseconds, rounded down, at most `u64::MAX`.
    pub fn as_millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    /// Seconds, with fraction.
    pub fn as_secs_f64(self) -> f64 {
        self.0.as_secs_f64()
    }
}

impl From<time::Duration> for Duration {
    fn from(duration: time::Duration) -> Self {
        Self(duration)
    }
}

impl From<Duration> for time::Duration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

/// Nanoseconds of one unit, and the unit's length in the text; longer names first, since `m` begins `ms`.
const UNITS: [(&str, u64); 6] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

impl FromStr for Duration {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut rest = text;
        let mut nanos: u64 = 0;
        if text.is_empty() || text.len() > MAX_LENGTH {
            return Err(ParseDurationError { text: text.to_owned() });
        }
        while !rest.is_empty() {
            let (term, after) = term(rest).ok_or_else(|| ParseDurationError { text: text.to_owned() })?;
            nanos = nanos.checked_add(term).ok_or_else(|| ParseDurationError { text: text.to_owned() })?;
            rest = after;
        }
        Ok(Self(time::Duration::from_nanos(nanos)))
    }
}

/// One number with its unit from the head of `text`, in nanoseconds, and what follows it.
fn term(text: &str) -> Option<(u64, &str)> {
    let digits = |s: &str| s.find(|c: char| !c.is_ascii_digit()).unwrap_or(s.len());
    let (whole, rest) = text.split_at(digits(text));
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits(rest)),
        None => ("0", rest),
    };
    if fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let (name, scale) = UNITS.iter().find(|(name, _)| rest.starts_with(name))?;
    let whole = whole.parse::<u64>().ok()?.checked_mul(*scale)?;
    let fraction = u128::from(fraction.parse::<u64>().ok()?) * u128::from(*scale)
        / 10u128.pow(u32::try_from(fraction.len()).ok()?);
    Some((whole.checked_add(u64::try_from(fraction).ok()?)?, &rest[name.len()..]))
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let (unit, scale) = match nanos {
            0 => return f.write_str("0s"),
            n if n % 1_000_000_000 == 0 => return write_seconds(f, self.0.as_secs()),
            n if n < 1_000 => ("ns", 1),
            // Milliseconds are what people compare downtimes in; below a second everything is shown in them.
            n if n < 1_000_000_000 => ("ms", 1_000_000),
            _ => ("s", 1_000_000_000),
        };
        let (whole, fraction) = (nanos / scale, nanos % scale);
        if fraction == 0 {
            return write!(f, "{whole}{unit}");
        }
        let width = scale.ilog10() as usize;
        let fraction = format!("{fraction:0width$}");
        write!(f, "{whole}.{}{unit}", fraction.trim_end_matches('0'))
    }
}

fn write_seconds(f: &mut fmt::Formatter<'_>, seconds: u64) -> fmt::Result {
    match (seconds / 3600, seconds % 3600 / 60, seconds % 60) {
        // Up to two minutes are easier to read in seconds.
        _ if seconds < 120 => write!(f, "{seconds}s"),
        (0, m, 0) => write!(f, "{m}m"),
        (0, m, s) => write!(f, "{m}m{s}s"),
        (h, 0, 0) => write!(f, "{h}h"),
        (h, m, 0) => write!(f, "{h}h{m}m"),
        (h, m, s) => write!(f, "{h}h{m}m{s}s"),
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": MAX_LENGTH, "pattern": PATTERN})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read_exactly() {
        let cases = [
            ("10ms", 10_000_000),
            ("60s", 60_000_000_000),
            ("1m30s", 90_000_000_000),
            ("0.84ms", 840_000),
            ("250us", 250_000),
            ("1h", 3_600_000_000_000),
            ("7ns", 7),
            ("0s", 0),
        ];
        for (text, nanos) in cases {
            assert_eq!(text.parse(), Ok(Duration(time::Duration::from_nanos(nanos))), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_a_way_out() {
        for text in ["", "10", "ms", "-5ms", "1.ms", "5 ms", "1e3s", "99999999999999h", "5ms,", "１s"] {
            let error = text.parse::<Duration>().expect_err(text);
            assert!(error.to_string().contains("such as 10ms"), "{error}");
        }
    }

    #[test]
    fn printing_and_reading_gives_the_same_value() {
        for nanos in [
            0,
            1,
            999,
            1_000,
            840_000,
            1_234_567,
            10_000_000,
            1_500_000_000,
            60_000_000_000,
            5_400_000_000_000,
        ] {
            let duration = Duration(time::Duration::from_nanos(nanos));
            assert_eq!(duration.to_string().parse(), Ok(duration), "{duration}");
        }
        assert_eq!(Duration::from_millis_f64(0.84).to_string(), "0.84ms");
        assert_eq!(Duration::from_secs(60).to_string(), "60s");
    }

    #[test]
    fn a_measurement_that_is_no_number_is_zero() {
        assert_eq!(Duration::from_millis_f64(f64::NAN), Duration::default());
        assert_eq!(Duration::from_millis_f64(-1.0), Duration::default());
    }
}
