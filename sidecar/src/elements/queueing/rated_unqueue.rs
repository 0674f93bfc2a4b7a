//! RatedUnqueue and BandwidthRatedUnqueue: move packets from pull to push at a rate.

use super::rate::{BYTES, PACKETS, Rate};
use super::unit::Unit;
use crate::element::{Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind};
use crate::elements::basic::parse_handler;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

const COMMON: Descriptor = Descriptor {
    processing: "l/h",
    handlers: &[
        Handler::both("rate", "packets, or bits, a second"),
        Handler::both("active", "whether it moves packets"),
        Handler::read("count", "packets moved"),
        Handler::read("calls", "how often it ran, and what came of it"),
    ],
    state: StateKind::Small,
    ..Descriptor::BASE
};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "RatedUnqueue",
    summary: "pull-to-push converter with a packet rate",
    args: PACKETS,
    details: "A token bucket that gains RATE tokens a second and saves those of BURST_DURATION, or BURST_SIZE; \
              it is full at first. Every packet moved takes one token.",
    example: r#"
        InfiniteSource(DATA abc, LIMIT 12)
            -> q :: Queue
            -> u :: RatedUnqueue(200, BURST_SIZE 3)
            -> SetTimestamp
            -> Print(TIMESTAMP true)
            -> Discard;
        DriverManager(wait 22ms, print "$(u.count) moved, $(q.length) wait",
            write u.active false, wait 20ms, print "$(q.length) wait",
            write u.rate 100, write u.active true, wait 15ms,
            print "rate $(u.rate), $(q.length) wait", print $(u.calls));
    "#,
    build: |args| build(args, Unit::Packets),
    ..COMMON
};

pub(super) static BANDWIDTH: Descriptor = Descriptor {
    class: "BandwidthRatedUnqueue",
    summary: "pull-to-push converter with a rate of bytes",
    args: BYTES,
    details: "A token bucket that gains RATE tokens a second and saves those of BURST_DURATION, or \
              BURST_BYTES; it is full at first. A packet takes a token a byte; what is missing for the last \
              one is owed, and until it is paid nothing moves.",
    example: r#"
        InfiniteSource(LENGTH 100, LIMIT 12)
            -> q :: Queue
            -> u :: BandwidthRatedUnqueue(160kbps, BURST_BYTES 250)
            -> SetTimestamp
            -> Print(MAXLENGTH 4, TIMESTAMP true)
            -> Discard;
        DriverManager(wait 22ms, print "$(u.count) moved, $(q.length) wait",
            write u.active false, wait 20ms, print "$(q.length) wait",
            write u.rate 10kBps, write u.active true, wait 15ms,
            print "rate $(u.rate), $(q.length) wait");
    "#,
    build: |args| build(args, Unit::Bytes),
    ..COMMON
};

struct RatedUnqueue {
    rate: Rate,
    active: bool,
    calls: Calls,
}

/// How often the task ran. One run that moves several packets counts as one for each of them, as in Click.
#[derive(Default)]
struct Calls {
    runs: u64,
    empty: u64,
    pushes: u64,
    failed: u64,
}

fn build(args: &Args<'_>, unit: Unit) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(RatedUnqueue { rate: Rate::new(args, unit)?, active: true, calls: Calls::default() }))
}

impl Element for RatedUnqueue {
    fn start(&mut self, cx: &mut Cx<'_>) {
        cx.schedule();
    }

    fn task(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) -> bool {
        self.calls.runs += 1;
        if !self.active {
            return false;
        }
        self.rate.refill(cx.now());
        let most = self.rate.packets();
        if most == 0 {
            self.calls.empty += 1;
            if let Some(at) = self.rate.next_time() {
                cx.set_timer(at);
            }
            return false;
        }
        cx.pull(0, batch, most);
        if batch.is_empty() {
            self.calls.failed += 1;
            return false; // The queue upstream wakes this task.
        }
        let moved = batch.len() as u64;
        self.calls.pushes += moved;
        self.calls.runs += moved - 1;
        self.rate.take(self.rate.unit().of_all(batch));
        cx.schedule();
        true
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _batch: &mut Batch) {
        cx.schedule();
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        let Calls { runs, empty, pushes, failed } = self.calls;
        match handler {
            "rate" => Ok(self.rate.show()),
            "active" => Ok(self.active.to_string()),
            "count" => Ok(pushes.to_string()),
            "calls" => Ok(format!(
                "{runs} calls to run_task()\n{empty} empty runs\n{pushes} pushes\n{failed} failed pulls\n"
            )),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "rate" => self.rate.set(cx.now(), value)?,
            "active" => self.active = parse_handler(value)?,
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        cx.schedule();
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for RatedUnqueue {
    fn schema(&self) -> Schema {
        Schema { name: "rated-unqueue", version: 2 }
    }

    fn save(&self, w: &mut Writer) {
        let Calls { runs, empty, pushes, failed } = self.calls;
        for count in [runs, empty, pushes, failed] {
            w.put_u64(count);
        }
        w.put_bool(self.active);
        self.rate.save(w);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        let (runs, empty) = (r.get_u64()?, r.get_u64()?);
        self.calls = Calls { runs, empty, pushes: r.get_u64()?, failed: r.get_u64()? };
        self.active = r.get_bool()?;
        self.rate.restore(r)
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
        // Two at once, those of 20 ms, and one more every 10 ms.
        assert_eq!(bench.take("out").len(), 101);
    }

    #[test]
    fn a_burst_may_be_given_as_time_or_size_and_it_can_be_stopped() {
        for (burst, first) in [("", 20), (", BURST_DURATION 5ms", 5), (", BURST_SIZE 7", 7)] {
            let text =
                format!("InfiniteSource -> Queue(50) -> u :: RatedUnqueue(1000{burst}) -> out :: TestOut;");
            let mut bench = Bench::new(&text);
            bench.settle(40);
            assert_eq!(bench.take("out").len(), first, "{burst}");
            bench.router.write_handler("u", "active", "false").unwrap();
            bench.advance(Duration::from_secs(1));
            assert!(bench.take("out").is_empty());
            assert_eq!(bench.read("u", "active"), "false");
            assert!(bench.read("u", "calls").contains(&format!("\n{first} pushes\n")));
        }
        let error =
            Bench::error("Idle -> BandwidthRatedUnqueue(1, BURST_BYTES 1, BURST_DURATION 1) -> Discard;");
        assert!(error.contains("cannot specify both BURST_DURATION and BURST_SIZE"), "{error}");
    }

    #[test]
    fn bytes_leave_at_the_rate() {
        let text = "InfiniteSource(LENGTH 100) -> Queue(50) -> BandwidthRatedUnqueue(100kB/s, BURST_BYTES 100) -> out :: TestOut;";
        let mut bench = Bench::new(text);
        bench.advance(Duration::from_millis(999));
        let count = bench.take("out").len();
        assert!((990..=1010).contains(&count), "{count}");
    }
}
