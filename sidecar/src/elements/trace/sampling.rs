//! SAMPLE: the probability that a source gives out a packet that it read.

use std::fmt;

use crate::element::{Args, ConfigError, Cx};
use crate::elements::queueing::{show_fixed_point, to_fixed_point};

/// Bits of fraction of a probability.
const FRACTION: u32 = 28;
const ONE: u64 = 1 << FRACTION;

/// A probability, out of [`ONE`].
pub(super) struct Sampling(u64);

impl Sampling {
    /// The argument SAMPLE, 1 if it is not given.
    pub(super) fn from_args(args: &Args<'_>) -> Result<Self, ConfigError> {
        let Some(sample) = args.get::<f64>("SAMPLE")? else { return Ok(Self(ONE)) };
        let probability = to_fixed_point(sample, FRACTION).ok_or("SAMPLE: parse error")?;
        if probability > ONE {
            eprintln!("{}: warning: SAMPLE probability reduced to 1", args.element());
        } else if probability == 0 {
            eprintln!("{}: warning: SAMPLE probability is 0; emitting no packets", args.element());
        }
        Ok(Self(probability.min(ONE)))
    }

    /// Whether the next packet is one of the sample.
    #[inline]
    pub(super) fn takes(&self, cx: &mut Cx<'_>) -> bool {
        self.0 == ONE || cx.random() % ONE < self.0
    }
}

impl fmt::Display for Sampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show_fixed_point(self.0, FRACTION))
    }
}
