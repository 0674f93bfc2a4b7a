//! DelayUnqueue: pulls packets and pushes each on when its delay has passed. One packet waits, the others stay upstream.

use super::delay::{COMMON, Delay, Next};
use crate::element::{Args, Batch, ConfigError, Cx, Descriptor, Element, HandlerError};
use crate::state::Stateful;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "DelayUnqueue",
    summary: "delay inducing pull-to-push converter",
    processing: "l/h",
    details: "Pulls packets, and pushes each when DELAY has passed since its timestamp; one without a \
              timestamp counts from when it was pulled. One packet waits in the element, the others stay \
              upstream, so a later packet never overtakes. The timestamp of what leaves is when it was due. A \
              new delay counts for packets that were not pulled yet.",
    example: r#"
        RatedSource(DATA abc, RATE 100, LIMIT 5)
            -> q :: Queue
            -> d :: DelayUnqueue(25ms)
            -> SetTimestamp
            -> Print(TIMESTAMP true)
            -> Discard;
        DriverManager(wait 20ms,
            print "$(q.length) wait",
            write d.delay 5ms, wait 50ms,
            print "$(q.length) wait, delay $(d.delay)");
    "#,
    build,
    ..COMMON
};

struct DelayUnqueue(Delay);

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(DelayUnqueue(Delay::new(args.need("DELAY")?))))
}

impl Element for DelayUnqueue {
    fn start(&mut self, cx: &mut Cx<'_>) {
        cx.schedule();
    }

    fn task(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) -> bool {
        while !batch.is_full() {
            match self.0.next(cx, batch) {
                Next::Due(packet) => batch.push(packet),
                Next::At(time) => {
                    cx.set_timer(time);
                    return !batch.is_empty();
                }
                // The queue upstream wakes this task.
                Next::Nothing => return !batch.is_empty(),
            }
        }
        cx.schedule();
        true
    }

    fn timer(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        self.task(cx, batch);
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        self.0.read(handler)
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        self.0.write(handler, value)
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::testing::Bench;

    const TEXT: &str = "in :: TestIn -> SetTimestamp -> Queue -> d :: DelayUnqueue(20ms) -> out :: TestOut;";

    #[test]
    fn every_packet_is_late_by_the_delay() {
        let mut bench = Bench::new(TEXT);
        bench.push("in", b"1");
        bench.advance(Duration::from_millis(5));
        bench.push("in", b"2");
        bench.advance(Duration::from_millis(14));
        assert!(bench.take("out").is_empty());
        bench.advance(Duration::from_millis(1));
        assert_eq!(bench.take("out"), [b"1"]);
        bench.advance(Duration::from_millis(4));
        assert!(bench.take("out").is_empty());
        bench.advance(Duration::from_millis(1));
        assert_eq!(bench.take("out"), [b"2"]);
    }

    #[test]
    fn more_packets_than_a_batch_holds_all_go() {
        let mut bench =
            Bench::new("InfiniteSource(LIMIT 100) -> Queue -> DelayUnqueue(0) -> out :: TestOut;");
        bench.settle(999);
        assert_eq!(bench.take("out").len(), 100);
    }

    #[test]
    fn the_delay_can_be_changed() {
        let mut bench = Bench::new(TEXT);
        bench.router.write_handler("d", "delay", "1.5").unwrap();
        assert_eq!(bench.read("d", "delay"), "1.500000s");
    }

    #[test]
    fn the_packet_that_waits_moves_along() {
        let (mut from, mut to) = (Bench::new(TEXT), Bench::new(TEXT));
        from.push("in", b"x");
        from.settle(5);
        assert_eq!(from.router.read_handler("d", "delay").unwrap(), "20ms");
        from.move_to(&mut to);
        to.advance(Duration::from_millis(19));
        assert!(to.take("out").is_empty());
        to.advance(Duration::from_millis(1));
        assert_eq!(to.take("out"), [b"x"]);
    }

    #[test]
    fn a_delay_has_to_be_given() {
        assert!(Bench::error("Idle -> DelayUnqueue -> Discard;").contains("need 'DELAY'"));
    }
}
