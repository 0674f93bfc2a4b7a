//! InfiniteSource: makes packets as fast as the graph takes them, pushed or pulled.

use super::contents::{Contents, DATA_HANDLER, DATASIZE, LENGTH, LENGTH_HANDLER};
use super::{AtEnd, left, parse_as};
use crate::element::{
    Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Queueing, StateKind, Time,
};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "InfiniteSource",
    summary: "generates packets whenever scheduled",
    ports: "0/1",
    args: &[
        Arg::optional("DATA", "bytes", "", "what the packets contain"),
        Arg::optional("LIMIT", "integer", "-1", "packets made in all; negative: no limit"),
        Arg::optional("BURST", "unsigned", "1", "packets made each time it runs"),
        Arg::optional("ACTIVE", "bool", "true", "whether it makes packets"),
        LENGTH,
        DATASIZE,
        Arg::keyword("TIMESTAMP", "bool", "true", "whether packets carry the time they were made"),
        Arg::keyword("STOP", "bool", "false", "whether the router stops at the limit"),
        Arg::keyword("END_CALL", "HANDLER [VALUE]", "", "write handler called at the limit"),
    ],
    writes: anf_click::Annotations::TIMESTAMP,
    queueing: Queueing { heeds_full: true, ..Queueing::NONE },
    handlers: &[
        Handler::read("count", "packets made"),
        Handler::write("reset", "sets count to 0"),
        Handler::both("active", "whether it makes packets"),
        Handler::both("limit", "packets made in all"),
        Handler::both("burst", "packets made each time it runs"),
        DATA_HANDLER,
        LENGTH_HANDLER,
    ],
    ties: AtEnd::ties,
    state: StateKind::Small,
    details: "Makes BURST packets each time it runs, as often as it can; it rests while a queue behind it is \
              full. Pulled, it has a packet whenever it is asked. At the limit it calls END_CALL or stops the \
              router, again whenever a handler lets it go on and it reaches the limit once more.",
    example: r#"
        s :: InfiniteSource(DATA \<01 02 03>, LIMIT 5, BURST 2, LENGTH 4, STOP true) -> Print -> Discard;
        DriverManager(wait_stop, print "$(s.count) of $(s.limit)", write s.limit 7, wait_stop,
                      print "$(s.count) of $(s.limit)", write s.reset, write s.limit 1, wait_stop,
                      print "$(s.count) of $(s.limit)");
    "#,
    build,
    ..Descriptor::BASE
};

struct InfiniteSource {
    contents: Contents,
    limit: i64,
    burst: u64,
    active: bool,
    timestamp: bool,
    at_end: AtEnd,
    count: u64,
    ended: bool,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let burst: u64 = args.or("BURST", 1)?;
    if burst == 0 {
        return Err("burst size must be >= 1".into());
    }
    Ok(Box::new(InfiniteSource {
        contents: Contents::build(args)?,
        limit: args.or("LIMIT", -1)?,
        burst,
        active: args.or("ACTIVE", true)?,
        timestamp: args.or("TIMESTAMP", true)?,
        at_end: AtEnd::build(args)?,
        count: 0,
        ended: false,
    }))
}

impl InfiniteSource {
    /// The timestamp of packets made now.
    fn made(&self, cx: &Cx<'_>) -> Option<Time> {
        self.timestamp.then(|| cx.now())
    }

    fn left(&self) -> u64 {
        left(self.limit, self.count)
    }

    fn end(&mut self, cx: &mut Cx<'_>) {
        if !std::mem::replace(&mut self.ended, true) {
            self.at_end.happen(cx);
        }
    }
}

impl Element for InfiniteSource {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        if !cx.output_is_pull(0) {
            cx.watch_downstream();
            cx.schedule();
        }
        Ok(())
    }

    fn start(&mut self, cx: &mut Cx<'_>) {
        if cx.output_is_pull(0) {
            cx.wake_pullers(0);
        }
    }

    fn task(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) -> bool {
        if !self.active || cx.downstream_full() || cx.output_is_pull(0) {
            return false;
        }
        let count = self.burst.min(self.left());
        if count == 0 {
            self.end(cx);
            return false;
        }
        let made = self.made(cx);
        for _ in 0..count {
            if batch.is_full() {
                cx.emit_all(0, batch);
            }
            batch.push(self.contents.packet(made));
        }
        self.count += count;
        cx.schedule();
        true
    }

    fn pull(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch, max: usize) {
        if !self.active {
            return;
        }
        let count = self.left().min(max as u64);
        let made = self.made(cx);
        for _ in 0..count {
            batch.push(self.contents.packet(made));
        }
        self.count += count;
        if count == 0 {
            self.end(cx);
        }
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "count" => Ok(self.count.to_string()),
            "active" => Ok(self.active.to_string()),
            "limit" => Ok(self.limit.to_string()),
            "burst" => Ok(self.burst.to_string()),
            other => self.contents.read(other),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "reset" => self.count = 0,
            "active" => self.active = parse_as(value, "active parameter must be boolean")?,
            "limit" => self.limit = parse_as(value, "limit parameter must be integer")?,
            "burst" => {
                let refusal = "burstsize parameter must be integer >= 1";
                let burst = parse_as(value, refusal)?;
                if burst == 0 {
                    return Err(HandlerError::Refused(refusal.to_owned()));
                }
                self.burst = burst;
            }
            other => self.contents.write(other, value)?,
        }
        if !self.active || self.left() == 0 {
            return Ok(());
        }
        self.ended = false;
        if cx.output_is_pull(0) {
            cx.wake_pullers(0)
        } else {
            cx.schedule()
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for InfiniteSource {
    fn schema(&self) -> Schema {
        Schema { name: "infinite-source", version: 2 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.count);
        w.put_bool(self.active);
        w.put_u64(self.limit as u64);
        w.put_u64(self.burst);
        w.put_bool(self.ended);
        self.contents.save(w);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.count = r.get_u64()?;
        self.active = r.get_bool()?;
        self.limit = r.get_u64()? as i64;
        self.burst = r.get_u64()?.max(1);
        self.ended = r.get_bool()?;
        self.contents.restore(r)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn it_sends_its_data_up_to_the_limit_and_stops_the_router() {
        let text = r"s :: InfiniteSource(DATA \<01 02>, LIMIT 3, LENGTH 5, STOP true) -> out :: TestOut;";
        let mut bench = Bench::new(text);
        while !bench.pass().stop {}
        assert_eq!(bench.take("out"), vec![vec![1, 2, 1, 2, 1]; 3]);
        assert_eq!(bench.read("s", "count"), "3");
    }

    #[test]
    fn a_burst_larger_than_a_batch_goes_out_whole() {
        let mut bench = Bench::new("InfiniteSource(LIMIT 100, BURST 70) -> out :: TestOut;");
        bench.pass();
        assert_eq!(bench.take("out").len(), 70);
        bench.pass();
        assert_eq!(bench.take("out").len(), 30);
    }

    #[test]
    fn it_can_be_pulled() {
        let mut bench = Bench::new("InfiniteSource(\"x\", 3) -> out :: TestPuller;");
        assert_eq!(bench.pull("out", 2).len(), 2);
        assert_eq!(bench.pull("out", 2).len(), 1);
    }

    #[test]
    fn handlers_let_it_go_on_and_change_its_packets() {
        let text = r"s :: InfiniteSource(DATA \<01 02>, LIMIT 1, END_CALL c.reset) -> c :: Counter -> out :: TestOut;";
        let mut bench = Bench::new(text);
        bench.settle(3);
        assert_eq!((bench.take("out").len(), bench.read("c", "count")), (1, "0".into()));
        bench.router.write_handler("s", "active", "true").unwrap();
        bench.router.write_handler("s", "data", "abc").unwrap();
        bench.router.write_handler("s", "length", "4").unwrap();
        bench.settle(3);
        assert_eq!(bench.take("out").len(), 0);
        bench.router.write_handler("s", "limit", "2").unwrap();
        bench.settle(3);
        assert_eq!(bench.take("out"), [b"abca"]);
        assert_eq!((bench.read("s", "data"), bench.read("s", "length")), ("abc".into(), "4".into()));
        let refused = bench.router.write_handler("s", "burst", "0").unwrap_err();
        assert_eq!(refused.to_string(), "burstsize parameter must be integer >= 1");
    }

    #[test]
    fn the_driver_that_it_asks_to_stop_may_let_it_go_on() {
        let text = "s :: InfiniteSource(a, 2, STOP true) -> out :: TestOut;
                    DriverManager(wait_stop, write s.limit 5, wait_stop, wait 1s);";
        let mut bench = Bench::new(text);
        bench.settle(20);
        assert_eq!(bench.take("out").len(), 5);
        assert!(bench.pass().next_timer.is_some());
    }

    #[test]
    fn what_handlers_changed_moves() {
        let text = "s :: InfiniteSource(a, 1) -> out :: TestOut;";
        let (mut from, mut to) = (Bench::new(text), Bench::new(text));
        for (handler, value) in [("limit", "3"), ("burst", "2"), ("data", "xy"), ("length", "3")] {
            from.router.write_handler("s", handler, value).unwrap();
        }
        from.move_to(&mut to);
        to.settle(3);
        assert_eq!(to.take("out"), [b"xyx", b"xyx", b"xyx"]);
    }

    #[test]
    fn wrong_arguments_are_refused() {
        let error = Bench::error("s :: InfiniteSource(STOP true, END_CALL s.reset) -> Discard;");
        assert!(error.contains("END_CALL and STOP are mutually exclusive"), "{error}");
        let error = Bench::error("s :: InfiniteSource(BURST 0) -> Discard;");
        assert!(error.contains("burst size must be >= 1"), "{error}");
        let error = Bench::error("s :: InfiniteSource(LIMIT many, BURST 2) -> Discard;");
        assert!(error.contains("LIMIT: expected integer, got 'many'"), "{error}");
        let error = Bench::error("s :: InfiniteSource(a, 1, 1, 1, 1) -> Discard;");
        assert!(error.contains("too many arguments"), "{error}");
    }
}
