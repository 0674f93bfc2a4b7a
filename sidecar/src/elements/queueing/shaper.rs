//! Shaper and BandwidthShaper: let packets be pulled at a rate. When the rate is used up, a pull gives nothing, and the
//! pullers are woken when there is something again.

use super::TokenBucket;
use super::unit::Unit;
use crate::config::Bandwidth;
use crate::element::{Arg, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "Shaper",
    summary: "shapes traffic to maximum rate (packets/s)",
    processing: "l/l",
    args: &[Arg::required("RATE", "unsigned", "packets a second")],
    handlers: &[Handler::read("rate", "packets a second")],
    state: StateKind::Small,
    build: |args| {
        let rate: u64 = args.need("RATE")?;
        build(rate, (rate / 200).max(2), Unit::Packets)
    },
    ..Descriptor::BASE
};

pub(super) static BANDWIDTH: Descriptor = Descriptor {
    class: "BandwidthShaper",
    summary: "shapes traffic to maximum rate (bytes/s)",
    processing: "l/l",
    args: &[Arg::required("RATE", "bandwidth", "bytes a second")],
    handlers: &[Handler::read("rate", "bytes a second")],
    state: StateKind::Small,
    build: |args| {
        let Bandwidth(rate) = args.need("RATE")?;
        build(rate, (rate / 200).max(2000), Unit::Bytes)
    },
    ..Descriptor::BASE
};

struct Shaper {
    bucket: TokenBucket,
    unit: Unit,
}

fn build(rate: u64, limit: u64, unit: Unit) -> Result<Box<dyn Element>, ConfigError> {
    let first = if unit == Unit::Bytes { limit } else { 1 };
    Ok(Box::new(Shaper { bucket: TokenBucket::new(rate, limit, first), unit }))
}

impl Element for Shaper {
    fn pull(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch, max: usize) {
        self.bucket.refill(cx.now());
        let mut left = max;
        while left > 0 && self.bucket.available() > 0 {
            let before = batch.len();
            cx.pull(0, batch, 1);
            let Some(packet) = batch.get(before) else { return };
            self.bucket.take(self.unit.of(packet));
            left -= 1;
        }
        if left > 0
            && let Some(at) = self.bucket.when(1)
        {
            cx.set_timer(at);
        }
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _batch: &mut Batch) {
        cx.wake_pullers(0);
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "rate" => Ok(self.bucket.rate().to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for Shaper {
    fn schema(&self) -> Schema {
        Schema { name: "shaper", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        self.bucket.save(w);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.bucket.restore(r)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::testing::Bench;

    #[test]
    fn a_puller_gets_the_rate_and_no_more() {
        let text = "InfiniteSource -> Queue(50) -> Shaper(1000) -> Unqueue -> out :: TestOut;";
        let mut bench = Bench::new(text);
        bench.advance(Duration::from_micros(99_500));
        assert_eq!(bench.take("out").len(), 100);
    }
}
