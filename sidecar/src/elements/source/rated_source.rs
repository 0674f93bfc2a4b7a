//! RatedSource: makes packets at a rate, pushed or pulled.

use super::contents::{Contents, DATA_HANDLER, DATASIZE, LENGTH, LENGTH_HANDLER};
use super::{AtEnd, left, parse_as};
use crate::config::Bandwidth;
use crate::element::{
    Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind,
};
use crate::elements::queueing::TokenBucket;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "RatedSource",
    summary: "generates packets at specified rate",
    ports: "0/1",
    args: &[
        Arg::optional("DATA", "bytes", "", "what the packets contain"),
        Arg::optional("RATE", "unsigned", "10", "packets a second"),
        Arg::optional("LIMIT", "integer", "-1", "packets made in all; negative: no limit"),
        Arg::optional("ACTIVE", "bool", "true", "whether it makes packets"),
        Arg::keyword("BANDWIDTH", "bandwidth", "", "bytes a second; taken instead of RATE"),
        LENGTH,
        DATASIZE,
        Arg::keyword("STOP", "bool", "false", "whether the router stops at the limit"),
        Arg::keyword("END_CALL", "HANDLER [VALUE]", "", "write handler called at the limit"),
    ],
    writes: anf_click::Annotations::TIMESTAMP,
    handlers: &[
        Handler::read("count", "packets made"),
        Handler::write("reset", "sets count to 0"),
        Handler::both("active", "whether it makes packets"),
        Handler::both("rate", "packets a second"),
        Handler::both("limit", "packets made in all"),
        DATA_HANDLER,
        LENGTH_HANDLER,
    ],
    ties: AtEnd::ties,
    state: StateKind::Small,
    details: "Packets are spread evenly. What could not be sent in time is made up for, up to the packets of \
              some milliseconds.",
    example: r#"
        s :: RatedSource(DATA \<01 02>, RATE 10, LIMIT 8, STOP true) -> Print(TIMESTAMP true) -> Discard;
        DriverManager(wait 0.35s, print "$(s.count) at $(s.rate) a second", write s.rate 50,
                      wait_stop, print "$(s.count) at $(s.rate) a second", write s.reset, wait_stop);
    "#,
    build,
    ..Descriptor::BASE
};

struct RatedSource {
    contents: Contents,
    bucket: TokenBucket,
    limit: i64,
    active: bool,
    at_end: AtEnd,
    count: u64,
    ended: bool,
}

/// Packets that may be made up for at once: those of 10 ms.
fn catch_up(rate: u64) -> u64 {
    (rate / 100).max(2)
}

/// RATE, or as many packets as BANDWIDTH allows.
fn rate(args: &Args<'_>, length: usize) -> Result<u64, ConfigError> {
    let rate = args.or("RATE", 10)?;
    match args.or("BANDWIDTH", Bandwidth(0))? {
        Bandwidth(0) => Ok(rate),
        Bandwidth(bytes) => Ok(bytes / length.max(1) as u64),
    }
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let contents = Contents::build(args)?;
    let rate = rate(args, contents.len())?;
    Ok(Box::new(RatedSource {
        contents,
        bucket: TokenBucket::new(rate, catch_up(rate), 1),
        limit: args.or("LIMIT", -1)?,
        active: args.or("ACTIVE", true)?,
        at_end: AtEnd::build(args)?,
        count: 0,
        ended: false,
    }))
}

impl RatedSource {
    /// Makes the packets that are due, up to `max`.
    fn make(&mut self, cx: &mut Cx<'_>, batch: &mut Batch, max: usize) {
        if !self.active {
            return;
        }
        self.bucket.refill(cx.now());
        let left = left(self.limit, self.count);
        if left == 0 {
            self.end(cx);
            return;
        }
        let count = self.bucket.available().min(left).min(max as u64);
        for _ in 0..count {
            batch.push(self.contents.packet(Some(cx.now())));
        }
        self.bucket.take(count);
        self.count += count;
        if let Some(at) = self.bucket.when(1) {
            cx.set_timer(at);
        }
    }

    fn end(&mut self, cx: &mut Cx<'_>) {
        if !std::mem::replace(&mut self.ended, true) {
            self.at_end.happen(cx);
        }
    }
}

impl Element for RatedSource {
    fn start(&mut self, cx: &mut Cx<'_>) {
        cx.set_timer(cx.now());
    }

    fn timer(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        if cx.output_is_pull(0) {
            cx.wake_pullers(0);
        } else {
            self.make(cx, batch, batch.room());
        }
    }

    fn pull(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch, max: usize) {
        self.make(cx, batch, max);
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "count" => Ok(self.count.to_string()),
            "active" => Ok(self.active.to_string()),
            "rate" => Ok(self.bucket.rate().to_string()),
            "limit" => Ok(self.limit.to_string()),
            other => self.contents.read(other),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "reset" => self.count = 0,
            "active" => self.active = parse_as(value, "syntax error")?,
            "limit" => self.limit = parse_as(value, "syntax error")?,
            "rate" => {
                let rate = parse_as(value, "syntax error")?;
                self.bucket.set_rate(rate, catch_up(rate));
            }
            other => self.contents.write(other, value)?,
        }
        if !self.active || left(self.limit, self.count) == 0 {
            return Ok(());
        }
        self.ended = false;
        cx.set_timer(cx.now());
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for RatedSource {
    fn schema(&self) -> Schema {
        Schema { name: "rated-source", version: 2 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.count);
        w.put_bool(self.active);
        w.put_u64(self.limit as u64);
        w.put_bool(self.ended);
        w.put_u64(self.bucket.rate());
        self.bucket.save(w);
        self.contents.save(w);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.count = r.get_u64()?;
        self.active = r.get_bool()?;
        self.limit = r.get_u64()? as i64;
        self.ended = r.get_bool()?;
        let rate = r.get_u64()?;
        self.bucket.set_rate(rate, catch_up(rate));
        self.bucket.restore(r)?;
        self.contents.restore(r)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::testing::Bench;

    #[test]
    fn packets_are_made_at_the_rate_from_the_start_on() {
        let mut bench = Bench::new("RatedSource(RATE 100) -> out :: TestOut;");
        bench.pass();
        assert_eq!(bench.take("out").len(), 1);
        bench.advance(Duration::from_secs(2));
        assert_eq!(bench.take("out").len(), 200);
    }

    #[test]
    fn the_limit_ends_it() {
        let mut bench = Bench::new("s :: RatedSource(RATE 100, LIMIT 5, STOP true) -> out :: TestOut;");
        bench.advance(Duration::from_secs(2));
        assert_eq!(bench.take("out").len(), 5);
        assert!(bench.pass().stop);
    }

    #[test]
    fn a_bandwidth_says_the_rate_and_both_move() {
        let text = "s :: RatedSource(DATA abcd, LENGTH 10, BANDWIDTH 1000Bps, LIMIT 5) -> out :: TestOut;";
        let (mut from, mut to) = (Bench::new(text), Bench::new(text));
        assert_eq!(from.read("s", "rate"), "100");
        from.router.write_handler("s", "rate", "10").unwrap();
        from.router.write_handler("s", "limit", "-1").unwrap();
        from.advance(Duration::from_millis(250));
        assert_eq!(from.take("out").len(), 3);
        from.move_to(&mut to);
        to.now = from.now;
        to.advance(Duration::from_millis(1000));
        assert_eq!(
            (to.take("out").len(), to.read("s", "rate"), to.read("s", "count")),
            (10, "10".into(), "13".into())
        );
    }

    #[test]
    fn wrong_arguments_are_refused() {
        let error = Bench::error("RatedSource(RATE fast) -> Discard;");
        assert!(error.contains("RATE: expected unsigned integer, got 'fast'"), "{error}");
        let mut bench = Bench::new("s :: RatedSource -> out :: TestOut;");
        let refused = bench.router.write_handler("s", "rate", "x").unwrap_err();
        assert_eq!(refused.to_string(), "syntax error");
    }

    #[test]
    fn it_can_be_pulled() {
        let mut bench = Bench::new("RatedSource(RATE 100) -> Unqueue -> out :: TestOut;");
        bench.advance(Duration::from_millis(995));
        assert_eq!(bench.take("out").len(), 100);
    }
}
