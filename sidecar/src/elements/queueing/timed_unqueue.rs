//! TimedUnqueue and Burster: pull some packets every so often and push them on.
//!
//! While there is nothing to pull they sleep, and what comes after that is pushed on at once.

use std::time::Duration;

use super::interval::SHORTEST;
use super::unqueue::pull_up_to;
use crate::element::{Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, StateKind, Time};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

const INTERVAL: Arg = Arg::required("INTERVAL", "time", "time between bursts");

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "TimedUnqueue",
    summary: "pull-to-push converter, some packets every so often",
    processing: "l/h",
    args: &[INTERVAL, Arg::optional("BURST", "unsigned", "1", "most packets moved at once")],
    state: StateKind::Small,
    details: "Every INTERVAL, moves up to BURST packets. It sleeps while there is nothing to pull, and moves \
              what comes after that at once.",
    example: r#"
        InfiniteSource(DATA abc, LIMIT 5) -> q :: Queue;
        late :: InfiniteSource(DATA late, LIMIT 1, ACTIVE false) -> q;
        q -> TimedUnqueue(20ms, 2) -> SetTimestamp -> Print(TIMESTAMP true) -> Discard;
        DriverManager(wait 30ms, print "$(q.length) wait",
            wait 45ms, write late.active true,
            wait 30ms, print "$(q.length) wait");
    "#,
    build: |args| build(args, 1),
    ..Descriptor::BASE
};

pub(super) static BURSTER: Descriptor = Descriptor {
    class: "Burster",
    summary: "pull-to-push converter in bursts",
    processing: "l/h",
    args: &[INTERVAL, Arg::optional("BURST", "unsigned", "8", "most packets moved at once")],
    state: StateKind::Small,
    details: "TimedUnqueue with another default: every INTERVAL, moves up to 8 packets.",
    example: r#"
        InfiniteSource(DATA abc, LIMIT 20, BURST 20) -> q :: Queue -> Burster(20ms) -> c :: Counter -> Discard;
        DriverManager(wait 1ms, print "$(c.count) moved, $(q.length) wait",
            wait 20ms, print "$(c.count) moved, $(q.length) wait",
            wait 20ms, print "$(c.count) moved, $(q.length) wait");
    "#,
    build: |args| build(args, 8),
    ..Descriptor::BASE
};

struct TimedUnqueue {
    interval: Duration,
    burst: usize,
    /// When the last burst was due; `None` after a sleep.
    due: Option<Time>,
}

fn build(args: &Args<'_>, burst: usize) -> Result<Box<dyn Element>, ConfigError> {
    let burst = args.or("BURST", burst)?;
    if burst == 0 {
        return Err("bad BURST".into());
    }
    Ok(Box::new(TimedUnqueue {
        interval: args.need::<Duration>("INTERVAL")?.max(SHORTEST),
        burst,
        due: None,
    }))
}

impl Element for TimedUnqueue {
    fn start(&mut self, cx: &mut Cx<'_>) {
        cx.schedule();
    }

    fn task(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) -> bool {
        if cx.timer().is_some() {
            return false; // Woken by a queue, but it is not yet time.
        }
        if pull_up_to(cx, batch, self.burst) == 0 {
            self.due = None;
            return false; // The queue upstream wakes this task.
        }
        // Counted from when it was due, so that the average holds, unless that is long past.
        let due = self.due.map_or(cx.now(), |due| (due + self.interval).max(cx.now() - self.interval));
        self.due = Some(due);
        cx.set_timer(due + self.interval);
        true
    }

    fn timer(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        self.task(cx, batch);
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for TimedUnqueue {
    fn schema(&self) -> Schema {
        Schema { name: "timed-unqueue", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.due.map_or(0, |due| due.0));
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.due = Some(Time(r.get_u64()?)).filter(|due| due.0 > 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::state::{Reader, Writer};
    use crate::testing::Bench;

    #[test]
    fn a_burst_is_moved_every_interval() {
        let mut bench =
            Bench::new("InfiniteSource(BURST 50) -> Queue(50) -> Burster(10ms) -> out :: TestOut;");
        bench.advance(Duration::from_millis(95));
        assert_eq!(bench.take("out").len(), 80);
    }

    #[test]
    fn after_a_sleep_the_next_packet_goes_at_once() {
        let mut bench = Bench::new("in :: TestIn -> Queue -> TimedUnqueue(10ms, 2) -> out :: TestOut;");
        bench.advance(Duration::from_millis(33));
        for _ in 0..3 {
            bench.push("in", b"x");
        }
        bench.settle(5);
        assert_eq!(bench.take("out").len(), 2);
        bench.advance(Duration::from_millis(9));
        assert_eq!(bench.take("out").len(), 0);
        bench.advance(Duration::from_millis(1));
        assert_eq!(bench.take("out").len(), 1);
    }

    #[test]
    fn an_empty_burst_is_refused() {
        assert!(Bench::error("Idle -> Burster(1, 0) -> Discard;").contains("bad BURST"));
        assert!(Bench::error("Idle -> Burster -> Discard;").contains("too few arguments; need 'INTERVAL'"));
    }

    #[test]
    fn the_interval_goes_on_after_a_move() {
        let text = "in :: TestIn -> Queue -> TimedUnqueue(10ms) -> out :: TestOut;";
        let (mut from, mut to) = (Bench::new(text), Bench::new(text));
        for _ in 0..3 {
            from.push("in", b"x");
        }
        from.advance(Duration::from_millis(4));
        assert_eq!(from.take("out").len(), 1);
        let mut w = Writer::new();
        from.router.save(&mut w);
        to.router.restore(&mut Reader::new(w.as_bytes())).unwrap();
        to.now = from.now;
        to.advance(Duration::from_millis(5));
        assert!(to.take("out").is_empty());
        to.advance(Duration::from_millis(1));
        assert_eq!(to.take("out").len(), 1);
    }
}
