//! RatedUnqueue and BandwidthRatedUnqueue: move packets from pull to push at a rate.

use super::TokenBucket;
use super::unit::Unit;
use crate::config::Bandwidth;
use crate::element::{
    Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind,
};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "RatedUnqueue",
    summary: "pull-to-push converter with a packet rate",
    processing: "l/h",
    args: &[
        Arg::required("RATE", "unsigned", "packets a second"),
        Arg::keyword("BURST", "unsigned", "rate/200", "most packets moved at once after a pause"),
    ],
    handlers: &[Handler::both("rate", "packets a second"), Handler::read("count", "packets moved")],
    state: StateKind::Small,
    build: |args| {
        let rate = args.need("RATE")?;
        build(args, rate, Unit::Packets)
    },
    ..Descriptor::BASE
};

pub(super) static BANDWIDTH: Descriptor = Descriptor {
    class: "BandwidthRatedUnqueue",
    summary: "pull-to-push converter with a rate of bytes",
    processing: "l/h",
    args: &[
        Arg::required("RATE", "bandwidth", "bytes a second"),
        Arg::keyword("BURST", "unsigned", "rate/200", "most bytes moved at once after a pause"),
    ],
    handlers: &[Handler::both("rate", "bytes a second"), Handler::read("count", "packets moved")],
    state: StateKind::Small,
    build: |args| {
        let Bandwidth(rate) = args.need("RATE")?;
        build(args, rate, Unit::Bytes)
    },
    ..Descriptor::BASE
};

struct RatedUnqueue {
    bucket: TokenBucket,
    unit: Unit,
    count: u64,
}

/// Tokens that may be saved: those of 5 ms, or one large packet.
fn default_limit(rate: u64, unit: Unit) -> u64 {
    (rate / 200).max(if unit == Unit::Bytes { 2000 } else { 2 })
}

fn build(args: &Args<'_>, rate: u64, unit: Unit) -> Result<Box<dyn Element>, ConfigError> {
    let limit = args.or("BURST", default_limit(rate, unit))?;
    let first = if unit == Unit::Bytes { limit } else { 1 };
    Ok(Box::new(RatedUnqueue { bucket: TokenBucket::new(rate, limit, first), unit, count: 0 }))
}

impl Element for RatedUnqueue {
    fn start(&mut self, cx: &mut Cx<'_>) {
        cx.schedule();
    }

    fn task(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) -> bool {
        self.bucket.refill(cx.now());
        let tokens = self.bucket.available();
        if tokens == 0 {
            if let Some(at) = self.bucket.when(1) {
                cx.set_timer(at);
            }
            return false;
        }
        // A packet goes as long as there is any token for bytes; what it is too long for is owed.
        let max = if self.unit == Unit::Packets { usize::try_from(tokens).unwrap_or(usize::MAX) } else { 1 };
        cx.pull(0, batch, max);
        if batch.is_empty() {
            return false; // The queue upstream wakes this task.
        }
        self.count += batch.len() as u64;
        self.bucket.take(self.unit.of_all(batch));
        cx.schedule();
        true
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _batch: &mut Batch) {
        cx.schedule();
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "rate" => Ok(self.bucket.rate().to_string()),
            "count" => Ok(self.count.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        if handler != "rate" {
            return Err(HandlerError::NoHandler(handler.to_owned()));
        }
        let rate = self.unit.parse_rate(value)?;
        self.bucket.set_rate(rate, default_limit(rate, self.unit));
        cx.schedule();
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for RatedUnqueue {
    fn schema(&self) -> Schema {
        Schema { name: "rated-unqueue", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.count);
        self.bucket.save(w);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.count = r.get_u64()?;
        self.bucket.restore(r)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::testing::Bench;

    #[test]
    fn packets_leave_at_the_rate() {
        let text = "InfiniteSource -> Queue(50) -> RatedUnqueue(100) -> out :: TestOut;";
        let mut bench = Bench::new(text);
        bench.advance(Duration::from_millis(995));
        assert_eq!(bench.take("out").len(), 100);
    }

    #[test]
    fn bytes_leave_at_the_rate() {
        let text = "InfiniteSource(LENGTH 100) -> Queue(50) -> BandwidthRatedUnqueue(100kB/s, BURST 100) -> out :: TestOut;";
        let mut bench = Bench::new(text);
        bench.advance(Duration::from_millis(999));
        let count = bench.take("out").len();
        assert!((990..=1010).contains(&count), "{count}");
    }
}
