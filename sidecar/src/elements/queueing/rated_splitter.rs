//! RatedSplitter and BandwidthRatedSplitter: let packets through at a rate; what is beyond it leaves by output 1.

use std::time::Duration;

use super::TokenBucket;
use super::unit::Unit;
use crate::config::Bandwidth;
use crate::element::{
    Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind, Time,
};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

const OVER: &str = "over the rate";

const BURST_DURATION: Arg =
    Arg::keyword("BURST_DURATION", "time", "20ms", "the rate of this time may pass at once after a pause");

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "RatedSplitter",
    summary: "splits flow of packets at specified rate",
    args: &[
        Arg::required("RATE", "unsigned", "packets a second"),
        BURST_DURATION,
        Arg::keyword("BURST_SIZE", "unsigned", "", "packets that may pass at once after a pause"),
    ],
    handlers: &[Handler::both("rate", "packets a second")],
    build: |args| build(args, args.need("RATE")?, Unit::Packets),
    ..COMMON
};

pub(super) static BANDWIDTH: Descriptor = Descriptor {
    class: "BandwidthRatedSplitter",
    summary: "splits flow of packets at specified bandwidth rate",
    args: &[
        Arg::required("RATE", "bandwidth", "bytes a second"),
        BURST_DURATION,
        Arg::keyword("BURST_BYTES", "unsigned", "", "bytes that may pass at once after a pause"),
    ],
    handlers: &[Handler::both("rate", "bytes a second")],
    build: |args| build(args, args.need::<Bandwidth>("RATE")?.0, Unit::Bytes),
    ..COMMON
};

const COMMON: Descriptor = Descriptor {
    ports: "1/1-2",
    processing: "h/h",
    drops: &[OVER],
    state: StateKind::Small,
    ..Descriptor::BASE
};

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
        let (time, size) = (args.get("BURST_DURATION")?, args.get(name)?);
        match (time, size) {
            (Some(_), Some(_)) => Err(format!("cannot specify both BURST_DURATION and {name}").into()),
            (None, Some(size)) => Ok(Self::Size(size)),
            (time, None) => Ok(Self::Time(time.unwrap_or(Duration::from_millis(20)))),
        }
    }

    fn limit(self, rate: u64) -> u64 {
        match self {
            Self::Size(size) => size,
            Self::Time(time) => {
                let tokens = u128::from(rate) * time.as_millis() / 1000;
                u64::try_from(tokens).unwrap_or(u64::MAX)
            }
        }
    }
}

struct RatedSplitter {
    bucket: TokenBucket,
    burst: Burst,
    unit: Unit,
}

fn build(args: &Args<'_>, rate: u64, unit: Unit) -> Result<Box<dyn Element>, ConfigError> {
    let burst = Burst::read(args, if unit == Unit::Packets { "BURST_SIZE" } else { "BURST_BYTES" })?;
    let limit = burst.limit(rate).max(1);
    Ok(Box::new(RatedSplitter { bucket: TokenBucket::new(rate, limit, limit), burst, unit }))
}

impl RatedSplitter {
    /// Whether a packet may pass. One goes as long as there is any token for bytes; what it is too long for is owed.
    fn passes(&mut self, packet: &Packet) -> bool {
        let passes = self.bucket.available() > 0;
        if passes {
            self.bucket.take(self.unit.of(packet));
        }
        passes
    }

    fn set_rate(&mut self, now: Time, rate: u64) {
        self.bucket.refill(now);
        self.bucket.set_rate(rate, self.burst.limit(rate));
    }
}

impl Element for RatedSplitter {
    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        self.bucket.refill(cx.now());
        batch.filter_map(|packet| {
            if self.passes(&packet) {
                return Some(packet);
            }
            cx.emit_or_drop(1, OVER, packet);
            None
        });
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "rate" => Ok(self.bucket.rate().to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        if handler != "rate" {
            return Err(HandlerError::NoHandler(handler.to_owned()));
        }
        let rate = self.unit.parse_rate(value)?;
        self.set_rate(cx.now(), rate);
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for RatedSplitter {
    fn schema(&self) -> Schema {
        Schema { name: "rated-splitter", version: 1 }
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

    use crate::packet::Packet;
    use crate::testing::Bench;

    fn push(bench: &mut Bench, count: usize) {
        bench.push_packets("in", 0, (0..count).map(|_| Packet::from_slice(&[0; 100])));
    }

    #[test]
    fn packets_beyond_the_rate_leave_by_output_1() {
        let text =
            "in :: TestIn -> s :: RatedSplitter(1000, BURST_SIZE 4) -> a :: TestOut; s[1] -> b :: TestOut;";
        let mut bench = Bench::new(text);
        push(&mut bench, 6);
        assert_eq!((bench.take("a").len(), bench.take("b").len()), (4, 2));
        bench.advance(Duration::from_millis(3));
        push(&mut bench, 6);
        assert_eq!((bench.take("a").len(), bench.take("b").len()), (3, 3));
    }

    #[test]
    fn without_output_1_they_are_dropped() {
        let mut bench = Bench::new("in :: TestIn -> s :: RatedSplitter(100) -> a :: TestOut;");
        push(&mut bench, 3);
        assert_eq!((bench.take("a").len(), bench.drops("s", "over the rate")), (2, 1));
    }

    #[test]
    fn bytes_are_counted_and_a_long_packet_is_owed() {
        let text = "in :: TestIn -> s :: BandwidthRatedSplitter(10kBps, BURST_BYTES 150) -> a :: TestOut; s[1] -> Discard;";
        let mut bench = Bench::new(text);
        push(&mut bench, 3);
        assert_eq!(bench.take("a").len(), 2);
        bench.advance(Duration::from_millis(4));
        push(&mut bench, 1);
        assert_eq!(bench.take("a").len(), 0);
        bench.advance(Duration::from_millis(2));
        push(&mut bench, 1);
        assert_eq!(bench.take("a").len(), 1);
    }

    #[test]
    fn the_rate_can_be_changed() {
        let mut bench = Bench::new("in :: TestIn -> s :: RatedSplitter(100) -> a :: TestOut;");
        bench.router.write_handler("s", "rate", "0").unwrap();
        push(&mut bench, 5);
        bench.take("a");
        bench.advance(Duration::from_secs(9));
        push(&mut bench, 5);
        assert_eq!((bench.take("a").len(), bench.read("s", "rate")), (0, "0".into()));
    }

    #[test]
    fn used_tokens_stay_used_after_a_move() {
        let text = "in :: TestIn -> s :: RatedSplitter(100) -> a :: TestOut;";
        let (mut from, mut to) = (Bench::new(text), Bench::new(text));
        push(&mut from, 5);
        from.move_to(&mut to);
        push(&mut to, 5);
        assert!(to.take("a").is_empty());
    }

    #[test]
    fn a_burst_is_given_one_way_only() {
        let text = "Idle -> RatedSplitter(1, BURST_SIZE 1, BURST_DURATION 1) -> Discard;";
        let error = Bench::error(text);
        assert!(error.contains("cannot specify both BURST_DURATION and BURST_SIZE"), "{error}");
    }
}
