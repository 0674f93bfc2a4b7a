//! RatedSplitter and BandwidthRatedSplitter: let packets through at a rate; what is beyond it leaves by output 1.

use super::rate::{BYTES, PACKETS, Rate};
use super::unit::Unit;
use crate::element::{Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

const OVER: &str = "over the rate";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "RatedSplitter",
    summary: "splits flow of packets at specified rate",
    args: PACKETS,
    handlers: &[Handler::both("rate", "packets a second")],
    details: "A token bucket that gains RATE tokens a second and saves those of BURST_DURATION, or BURST_SIZE; \
              it is full at first. A packet that finds a token takes it and leaves by output 0; the others \
              leave by output 1, or are dropped.",
    example: r#"
        RatedSource(DATA abc, RATE 1000, LIMIT 60)
            -> s :: RatedSplitter(500, BURST_SIZE 4);
        s[0] -> passed :: Counter -> Discard;
        s[1] -> over :: Counter -> Discard;
        DriverManager(wait 30ms, print "$(passed.count) passed, $(over.count) over",
            write s.rate 100,
            wait 40ms, print "rate $(s.rate): $(passed.count) passed, $(over.count) over");
    "#,
    build: |args| build(args, Unit::Packets),
    ..COMMON
};

pub(super) static BANDWIDTH: Descriptor = Descriptor {
    class: "BandwidthRatedSplitter",
    summary: "splits flow of packets at specified bandwidth rate",
    args: BYTES,
    handlers: &[Handler::both("rate", "bandwidth")],
    details: "A token bucket that gains RATE tokens a second and saves those of BURST_DURATION, or \
              BURST_BYTES; it is full at first. A packet takes a token a byte and leaves by output 0; what is \
              missing for the last one is owed, and until it is paid packets leave by output 1, or are \
              dropped.",
    example: r#"
        RatedSource(LENGTH 100, RATE 1000, LIMIT 60)
            -> s :: BandwidthRatedSplitter(400kbps, BURST_BYTES 300);
        s[0] -> passed :: Counter -> Discard;
        s[1] -> over :: Counter -> Discard;
        DriverManager(wait 30ms, print "$(passed.byte_count) bytes passed, $(over.byte_count) over",
            write s.rate 80kbps,
            wait 40ms, print "rate $(s.rate): $(passed.byte_count) bytes passed, $(over.byte_count) over");
    "#,
    build: |args| build(args, Unit::Bytes),
    ..COMMON
};

const COMMON: Descriptor = Descriptor {
    ports: "1/1-2",
    processing: "h/h",
    drops: &[OVER],
    state: StateKind::Small,
    ..Descriptor::BASE
};

struct RatedSplitter(Rate);

fn build(args: &Args<'_>, unit: Unit) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(RatedSplitter(Rate::new(args, unit)?)))
}

impl Element for RatedSplitter {
    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        self.0.refill(cx.now());
        batch.filter_map(|packet| {
            if self.0.ready() {
                self.0.take(self.0.unit().of(&packet));
                return Some(packet);
            }
            cx.emit_or_drop(1, OVER, packet);
            None
        });
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "rate" => Ok(self.0.show()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "rate" => self.0.set(cx.now(), value),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for RatedSplitter {
    fn schema(&self) -> Schema {
        Schema { name: "rated-splitter", version: 2 }
    }

    fn save(&self, w: &mut Writer) {
        self.0.save(w);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.0.restore(r)
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
    fn nothing_passes_at_a_rate_of_0_and_a_bandwidth_is_shown_in_bits() {
        let text = "in :: TestIn -> s :: BandwidthRatedSplitter(0) -> a :: TestOut;";
        let mut bench = Bench::new(text);
        push(&mut bench, 5);
        assert_eq!((bench.take("a").len(), bench.drops("s", "over the rate")), (0, 5));
        bench.router.write_handler("s", "rate", "10kBps").unwrap();
        assert_eq!(bench.read("s", "rate"), "80kbps");
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
