//! TimedSink: pulls a packet every so often and discards it.

use std::time::Duration;

use super::interval::{SHORTEST, get_duration, put_duration, show_interval};
use crate::element::{
    Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind,
};
use crate::elements::basic::parse_handler;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "TimedSink",
    summary: "periodically pulls and drops a packet",
    ports: "1/0",
    processing: "l/l",
    args: &[Arg::optional("INTERVAL", "time", "500ms", "time between packets")],
    handlers: &[Handler::both("interval", "time between packets")],
    state: StateKind::Small,
    example: r#"
        InfiniteSource(DATA abc, LIMIT 9)
            -> q :: Queue
            -> SetTimestamp
            -> Print(TIMESTAMP true)
            -> s :: TimedSink(30ms);
        DriverManager(wait 100ms, print "$(q.length) wait",
            write s.interval 5ms, wait 32ms,
            print "every $(s.interval), $(q.length) wait");
    "#,
    build,
    ..Descriptor::BASE
};

struct TimedSink {
    interval: Duration,
    /// The last pull gave nothing because its packet had to come over a link.
    owed: bool,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let interval = args.or("INTERVAL", Duration::from_millis(500))?.max(SHORTEST);
    Ok(Box::new(TimedSink { interval, owed: false }))
}

impl Element for TimedSink {
    fn start(&mut self, cx: &mut Cx<'_>) {
        cx.set_timer(cx.now() + self.interval);
    }

    fn timer(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        let _earlier = cx.take_owed();
        cx.pull(0, batch, 1);
        self.owed = cx.take_owed() && batch.is_empty();
        batch.clear();
        cx.set_timer(cx.now() + self.interval);
    }

    fn task(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) -> bool {
        if !std::mem::take(&mut self.owed) {
            return false; // Woken by a queue, but it is not yet time.
        }
        cx.pull(0, batch, 1);
        batch.clear();
        true
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "interval" => Ok(show_interval(self.interval)),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        if handler != "interval" {
            return Err(HandlerError::NoHandler(handler.to_owned()));
        }
        let interval: Duration = parse_handler(value)?;
        if interval.is_zero() {
            return Err(HandlerError::Refused("bad interval".to_owned()));
        }
        self.interval = interval.max(SHORTEST);
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for TimedSink {
    fn schema(&self) -> Schema {
        Schema { name: "timed-sink", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        put_duration(self.interval, w);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.interval = get_duration(r)?.max(SHORTEST);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::packet::{Batch, Packet};
    use crate::testing::Bench;

    #[test]
    fn a_packet_that_has_to_come_over_a_link_is_taken_when_it_is_there() {
        let mut bench =
            Bench::new("l :: FromLinkPull(EDGE 1, SIGNAL 2) -> c :: Counter -> TimedSink(100ms);");
        let arrive = |bench: &mut Bench| {
            let mut batch: Batch = [Packet::from_slice(b"x")].into_iter().collect();
            bench.router.inject(1, &mut batch, bench.now);
            bench.settle(9);
            bench.read("c", "count")
        };
        bench.advance(Duration::from_millis(110));
        assert_eq!(arrive(&mut bench), "1");
        assert_eq!(arrive(&mut bench), "1"); // for the next interval
        bench.advance(Duration::from_millis(100));
        assert_eq!(arrive(&mut bench), "2");
    }

    #[test]
    fn a_packet_is_pulled_every_interval() {
        let mut bench = Bench::new("InfiniteSource -> c :: Counter -> s :: TimedSink(100ms);");
        bench.advance(Duration::from_millis(550));
        assert_eq!((bench.read("c", "count"), bench.read("s", "interval")), ("5".into(), "100ms".into()));
        bench.router.write_handler("s", "interval", "1").unwrap();
        assert_eq!(bench.read("s", "interval"), "1.000000s");
        assert!(bench.router.write_handler("s", "interval", "0").is_err());
    }

    #[test]
    fn an_interval_that_is_no_time_is_refused() {
        let error = Bench::error("Idle -> TimedSink(often);");
        assert!(error.contains("INTERVAL: expected time in seconds, got 'often'"), "{error}");
    }

    #[test]
    fn the_interval_moves_along() {
        let text = "Idle -> s :: TimedSink;";
        let (mut from, mut to) = (Bench::new(text), Bench::new(text));
        from.router.write_handler("s", "interval", "20ms").unwrap();
        from.move_to(&mut to);
        assert_eq!(to.read("s", "interval"), "20ms");
    }
}
