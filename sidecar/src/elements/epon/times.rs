//! What OLT and ONUs have to agree on: how long lasers and receivers take, and how far the network reaches.

use std::time::Duration;

use super::line::{TO_ADDRESS, clock, first_bit, occupied, quanta};
use super::mpcp::{Control, LENGTH};
use crate::element::{Arg, Args, ConfigError, Packet, Time};

/// Quanta by which the longest round trip may be longer than light takes: clocks count whole quanta.
const MARGIN: u32 = 64;

pub(super) const LASER_ON: Arg =
    Arg::keyword("LASER_ON", "time", "512ns", "how long the lasers of ONUs take to go on");
pub(super) const LASER_OFF: Arg = Arg::keyword("LASER_OFF", "time", "512ns", "how long they take to go off");
pub(super) const SYNC: Arg = Arg::keyword(
    "SYNC",
    "time",
    "800ns",
    "how long the OLT's receiver needs to lock on to a burst (AGC and CDR)",
);
pub(super) const REACH: Arg = Arg::keyword("REACH", "real number", "20", "kilometres to the farthest ONU");

/// What a burst needs beside its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BurstTimes {
    laser_on: Duration,
    sync: Duration,
    laser_off: Duration,
}

/// The longest that each of them may be: together with a frame they fit a grant.
const LONGEST: Duration = Duration::from_micros(100);

impl BurstTimes {
    /// From the arguments [`LASER_ON`], [`LASER_OFF`] and [`SYNC`].
    pub(super) fn from_args(args: &Args<'_>) -> Result<Self, ConfigError> {
        let get = |name: &str, nanos| {
            let time = args.or(name, Duration::from_nanos(nanos))?;
            if time > LONGEST { Err(ConfigError::from(format!("{name}: at most 100us"))) } else { Ok(time) }
        };
        Ok(Self {
            laser_on: get("LASER_ON", 512)?,
            sync: get("SYNC", 800)?,
            laser_off: get("LASER_OFF", 512)?,
        })
    }

    /// The synchronisation time, in quanta.
    pub(super) fn sync(&self) -> u16 {
        quanta(self.sync) as u16
    }

    pub(super) fn laser_on(&self) -> Duration {
        self.laser_on
    }

    pub(super) fn laser_off(&self) -> Duration {
        self.laser_off
    }

    /// What a burst takes beside its frames.
    pub(super) fn overhead(&self) -> Duration {
        self.laser_on + self.sync + self.laser_off
    }

    /// The length of a grant for one control frame somewhere in `spread`, in quanta. `None` if it is too long.
    pub(super) fn control_grant(&self, spread: Duration) -> Option<u16> {
        u16::try_from(quanta(self.overhead() + occupied(LENGTH) + spread)).ok()
    }
}

/// The longest round trip in quanta, from the argument [`REACH`].
pub(super) fn reach(args: &Args<'_>) -> Result<u32, ConfigError> {
    let kilometres = args.or("REACH", 20.0)?;
    // Farther than any fiber: over devices of a kernel, light takes as long as a scheduler.
    if !(0.0..=1000.0).contains(&kilometres) {
        return Err("REACH: between 0 and 1000 km".into());
    }
    Ok(quanta(Duration::from_nanos((kilometres * 10_000.0) as u64)) + MARGIN)
}

/// The round trip that a control frame tells: when it came, without the time stamp in it (64.2.2.2). The ONU's clock is
/// late by the way down, and the frame by the way up.
pub(super) fn round_trip(packet: &Packet, control: &Control, now: Time) -> u32 {
    clock(first_bit(packet, now) + TO_ADDRESS).wrapping_sub(control.timestamp)
}
