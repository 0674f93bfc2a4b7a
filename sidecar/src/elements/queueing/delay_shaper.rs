//! DelayShaper: lets each packet be pulled when its delay has passed. One packet waits, the others stay upstream.

use super::delay::{COMMON, Delay, Next};
use crate::element::{Args, Batch, ConfigError, Cx, Descriptor, Element, HandlerError};
use crate::state::Stateful;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "DelayShaper",
    summary: "shapes traffic to meet delay requirements",
    processing: "l/l",
    details: "A packet may be pulled when DELAY has passed since its timestamp; one without a timestamp counts \
              from when it was pulled from upstream. One packet waits in the element, the others stay \
              upstream, so a later packet never overtakes. The timestamp is set to when it leaves. A new delay \
              counts for packets that were not pulled yet.",
    example: r#"
        RatedSource(DATA abc, RATE 100, LIMIT 4)
            -> q :: Queue
            -> d :: DelayShaper(25ms)
            -> Unqueue
            -> Print(TIMESTAMP true)
            -> Discard;
        DriverManager(wait 30ms,
            print "$(q.length) wait",
            write d.delay 5ms, wait 50ms,
            print "$(q.length) wait, delay $(d.delay)");
    "#,
    build,
    ..COMMON
};

struct DelayShaper(Delay);

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(DelayShaper(Delay::new(args.need("DELAY")?))))
}

impl Element for DelayShaper {
    fn pull(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch, max: usize) {
        while batch.len() < max && !batch.is_full() {
            match self.0.next(cx, batch) {
                Next::Due(mut packet) => {
                    packet.anno_mut().timestamp = cx.now();
                    batch.push(packet);
                }
                Next::At(time) => {
                    cx.set_timer(time);
                    return;
                }
                // The queue upstream wakes the pullers.
                Next::Nothing => return,
            }
        }
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _batch: &mut Batch) {
        cx.wake_pullers(0);
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

    const TEXT: &str = "in :: TestIn -> Queue -> d :: DelayShaper(20ms) -> Unqueue -> out :: TestOut;";

    #[test]
    fn a_puller_waits_until_the_delay_has_passed() {
        let mut bench = Bench::new(TEXT);
        bench.advance(Duration::from_millis(1));
        bench.push("in", b"x");
        bench.advance(Duration::from_millis(19));
        assert!(bench.take("out").is_empty());
        bench.advance(Duration::from_millis(1));
        let got = bench.take_packets("out");
        assert_eq!((got.len(), got[0].anno().timestamp), (1, bench.now));
    }

    #[test]
    fn the_delay_can_be_changed() {
        let mut bench = Bench::new(TEXT);
        bench.router.write_handler("d", "delay", "1us").unwrap();
        assert_eq!(bench.read("d", "delay"), "1us");
        assert!(bench.router.write_handler("d", "delay", "soon").is_err());
    }

    #[test]
    fn the_packet_that_waits_moves_along() {
        let (mut from, mut to) = (Bench::new(TEXT), Bench::new(TEXT));
        from.push("in", b"x");
        from.settle(5);
        from.move_to(&mut to);
        to.advance(Duration::from_millis(20));
        assert_eq!(to.take("out"), [b"x"]);
    }

    #[test]
    fn a_delay_that_is_no_time_is_refused() {
        let error = Bench::error("Idle -> DelayShaper(long) -> Discard;");
        assert!(error.contains("DELAY: expected time in seconds, got 'long'"), "{error}");
    }
}
