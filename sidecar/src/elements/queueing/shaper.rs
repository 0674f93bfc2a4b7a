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
    handlers: &[Handler::both("rate", "packets a second")],
    state: StateKind::Small,
    details: "Lets packets be pulled at RATE, evenly: what was not used is saved for 5 ms only. A pull beyond \
              the rate gives nothing, and pullers sleep until there is something again.",
    example: r#"
        InfiniteSource(DATA abc, LIMIT 10)
            -> q :: Queue
            -> s :: Shaper(200)
            -> Unqueue
            -> SetTimestamp
            -> Print(TIMESTAMP true)
            -> Discard;
        DriverManager(wait 22ms, print "$(q.length) wait",
            write s.rate 1000, wait 3ms,
            print "rate $(s.rate), $(q.length) wait");
    "#,
    build: |args| {
        let rate: u64 = args.need("RATE")?;
        build(rate, Unit::Packets)
    },
    ..Descriptor::BASE
};

pub(super) static BANDWIDTH: Descriptor = Descriptor {
    class: "BandwidthShaper",
    summary: "shapes traffic to maximum rate (bytes/s)",
    processing: "l/l",
    args: &[Arg::required("RATE", "bandwidth", "bytes a second")],
    handlers: &[Handler::both("rate", "bandwidth")],
    state: StateKind::Small,
    details: "As Shaper, for bytes: a packet may be pulled when those before it are paid for. At most the \
              bytes of 5 ms, or 2000, are saved.",
    example: r#"
        InfiniteSource(LENGTH 100, LIMIT 10)
            -> q :: Queue
            -> s :: BandwidthShaper(160kbps)
            -> Unqueue
            -> SetTimestamp
            -> Print(MAXLENGTH 4, TIMESTAMP true)
            -> Discard;
        DriverManager(wait 22ms, print "$(q.length) wait",
            write s.rate 100kBps, wait 3ms,
            print "rate $(s.rate), $(q.length) wait");
    "#,
    build: |args| {
        let Bandwidth(rate) = args.need("RATE")?;
        build(rate, Unit::Bytes)
    },
    ..Descriptor::BASE
};

struct Shaper {
    bucket: TokenBucket,
    unit: Unit,
}

fn build(rate: u64, unit: Unit) -> Result<Box<dyn Element>, ConfigError> {
    // The first packet goes at once, the next one when it is paid for.
    let bucket = TokenBucket::new(rate, limit(rate, unit), unit.needed());
    Ok(Box::new(Shaper { bucket, unit }))
}

/// What may be made up for at once: that of 5 ms, or one large packet.
fn limit(rate: u64, unit: Unit) -> u64 {
    (rate / 200).max(if unit == Unit::Bytes { 2000 } else { 2 })
}

impl Element for Shaper {
    fn pull(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch, max: usize) {
        self.bucket.refill(cx.now());
        let mut left = max;
        while left > 0 && self.bucket.has(self.unit.needed()) {
            let before = batch.len();
            cx.pull(0, batch, 1);
            let Some(packet) = batch.get(before) else { return };
            self.bucket.take(self.unit.of(packet));
            left -= 1;
        }
        if left > 0
            && let Some(at) = self.bucket.when(self.unit.needed())
        {
            cx.set_timer(at);
        }
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _batch: &mut Batch) {
        cx.wake_pullers(0);
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "rate" => Ok(self.unit.show_rate(self.bucket.rate())),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        if handler != "rate" {
            return Err(HandlerError::NoHandler(handler.to_owned()));
        }
        let rate = self.unit.parse_rate(value)?;
        self.bucket.refill(cx.now());
        self.bucket.set_rate(rate, limit(rate, self.unit));
        cx.wake_pullers(0);
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for Shaper {
    fn schema(&self) -> Schema {
        Schema { name: "shaper", version: 2 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.bucket.rate());
        self.bucket.save(w);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        let rate = r.get_u64()?;
        self.bucket.set_rate(rate, limit(rate, self.unit));
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

    #[test]
    fn the_rate_can_be_changed_and_a_bandwidth_is_shown_in_bits() {
        let text = "InfiniteSource(LENGTH 100) -> Queue(50) -> s :: BandwidthShaper(1MBps)
                    -> Unqueue -> out :: TestOut;";
        let mut bench = Bench::new(text);
        bench.advance(Duration::from_micros(99_950));
        assert_eq!((bench.take("out").len(), bench.read("s", "rate")), (1000, "8Mbps".into()));
        bench.router.write_handler("s", "rate", "10kBps").unwrap();
        bench.advance(Duration::from_secs(1));
        assert!((99..=101).contains(&bench.take("out").len()));
        assert!(bench.router.write_handler("s", "rate", "fast").is_err());
        assert!(Bench::error("Idle -> Shaper(fast) -> Discard;").contains("RATE: expected unsigned integer"));
    }
}
