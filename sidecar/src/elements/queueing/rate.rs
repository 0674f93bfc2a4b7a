//! The rate of RatedUnqueue, RatedSplitter and their kin for bytes: a token bucket, full at first, that saves what
//! BURST_DURATION or BURST_SIZE (BURST_BYTES) says.

use std::time::Duration;

use super::TokenBucket;
use super::unit::Unit;
use crate::config::Bandwidth;
use crate::element::{Arg, Args, ConfigError, HandlerError, Time};
use crate::state::{Reader, StateError, Writer};

const DURATION: Arg =
    Arg::keyword("BURST_DURATION", "time", "20ms", "the rate of this time may pass at once after a pause");

/// Arguments of a rate of packets.
pub(super) const PACKETS: &[Arg] = &[
    Arg::required("RATE", "unsigned", "packets a second"),
    DURATION,
    Arg::keyword("BURST_SIZE", "unsigned", "", "packets that may pass at once after a pause"),
];

/// Arguments of a rate of bytes.
pub(super) const BYTES: &[Arg] = &[
    Arg::required("RATE", "bandwidth", "bytes a second"),
    DURATION,
    Arg::keyword("BURST_BYTES", "unsigned", "", "bytes that may pass at once after a pause"),
];

/// What may pass at once after a pause.
#[derive(Clone, Copy)]
enum Burst {
    /// The rate of so much time.
    Time(Duration),
    /// So many packets or bytes.
    Size(u64),
}

impl Burst {
    fn read(args: &Args<'_>, name: &str) -> Result<Self, ConfigError> {
        match (args.get::<Duration>("BURST_DURATION")?, args.get(name)?) {
            (Some(_), Some(_)) => Err("cannot specify both BURST_DURATION and BURST_SIZE".into()),
            (None, Some(size)) => Ok(Self::Size(size)),
            (time, None) => Ok(Self::Time(time.unwrap_or(Duration::from_millis(20)))),
        }
    }

    fn limit(self, rate: u64) -> u64 {
        match self {
            Self::Size(size) => size.max(1),
            Self::Time(time) => {
                let tokens = u128::from(rate).saturating_mul(time.as_millis()) / 1000;
                u64::try_from(tokens).unwrap_or(u64::MAX).max(1)
            }
        }
    }
}

/// See the module's head.
pub(super) struct Rate {
    bucket: TokenBucket,
    burst: Burst,
    unit: Unit,
}

impl Rate {
    pub(super) fn new(args: &Args<'_>, unit: Unit) -> Result<Self, ConfigError> {
        let (rate, size) = match unit {
            Unit::Packets => (args.need("RATE")?, "BURST_SIZE"),
            Unit::Bytes => (args.need::<Bandwidth>("RATE")?.0, "BURST_BYTES"),
        };
        let burst = Burst::read(args, size)?;
        let limit = burst.limit(rate);
        Ok(Self { bucket: TokenBucket::new(rate, limit, limit), burst, unit })
    }

    pub(super) fn unit(&self) -> Unit {
        self.unit
    }

    /// Accounts for time up to `now`.
    pub(super) fn refill(&mut self, now: Time) {
        self.bucket.refill(now);
    }

    /// Whether a packet may pass. Nothing passes at a rate of 0.
    pub(super) fn ready(&self) -> bool {
        self.bucket.rate() > 0 && self.bucket.has(self.unit.needed())
    }

    /// How many packets may pass at once. Of those whose bytes count, one after the other.
    pub(super) fn packets(&self) -> usize {
        match self.unit {
            _ if !self.ready() => 0,
            Unit::Packets => usize::try_from(self.bucket.available()).unwrap_or(usize::MAX),
            Unit::Bytes => 1,
        }
    }

    /// So many packets or bytes have passed.
    pub(super) fn take(&mut self, count: u64) {
        self.bucket.take(count);
    }

    /// When a packet may pass; `None` if never.
    pub(super) fn next_time(&self) -> Option<Time> {
        self.bucket.when(self.unit.needed()).filter(|_| self.bucket.rate() > 0)
    }

    /// As a handler shows it.
    pub(super) fn show(&self) -> String {
        self.unit.show_rate(self.bucket.rate())
    }

    /// Sets it as a handler does.
    pub(super) fn set(&mut self, now: Time, value: &str) -> Result<(), HandlerError> {
        let rate = self.unit.parse_rate(value)?;
        self.bucket.refill(now);
        self.bucket.set_rate(rate, self.burst.limit(rate));
        Ok(())
    }

    pub(super) fn save(&self, w: &mut Writer) {
        w.put_u64(self.bucket.rate());
        self.bucket.save(w);
    }

    pub(super) fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        let rate = r.get_u64()?;
        self.bucket.set_rate(rate, self.burst.limit(rate));
        self.bucket.restore(r)
    }
}
