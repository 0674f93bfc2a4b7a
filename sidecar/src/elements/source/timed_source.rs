//! TimedSource: makes a packet every interval.

use std::time::Duration;

use super::contents::{Contents, DATA_HANDLER};
use super::{AtEnd, left, parse_as};
use crate::element::{
    Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind,
};
use crate::elements::queueing::{SHORTEST, show_interval};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "TimedSource",
    summary: "generates packets periodically",
    ports: "0/1",
    processing: "a/h",
    args: &[
        Arg::optional("INTERVAL", "time", "0.5s", "time between packets"),
        Arg::optional("DATA", "bytes", "", "what the packets contain"),
        Arg::keyword("LIMIT", "integer", "-1", "packets made in all; negative: no limit"),
        Arg::keyword("ACTIVE", "bool", "true", "whether it makes packets"),
        Arg::keyword("STOP", "bool", "false", "whether the router stops at the limit"),
        Arg::keyword("HEADROOM", "unsigned", "28", "no effect: packets always have room in front"),
    ],
    writes: anf_click::Annotations::TIMESTAMP,
    handlers: &[
        Handler::read("count", "packets made"),
        Handler::write("reset", "sets count to 0"),
        Handler::both("active", "whether it makes packets"),
        Handler::both("interval", "time between packets; the one that is running stays as it is"),
        Handler::both("limit", "packets made in all"),
        DATA_HANDLER,
    ],
    state: StateKind::Small,
    details: "The first packet comes one interval after the start.",
    example: r#"
        s :: TimedSource(0.5, DATA tick, LIMIT 5, STOP true)
            -> Print(CONTENTS ASCII, TIMESTAMP true) -> Discard;
        DriverManager(wait 1.2s, print "$(s.count) every $(s.interval)", write s.interval 0.1,
                      wait_stop, print "$(s.count) every $(s.interval)");
    "#,
    build,
    ..Descriptor::BASE
};

struct TimedSource {
    contents: Contents,
    interval: Duration,
    limit: i64,
    active: bool,
    at_end: AtEnd,
    count: u64,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    args.or("HEADROOM", 28_u32)?;
    Ok(Box::new(TimedSource {
        contents: Contents::build(args)?,
        interval: args.or("INTERVAL", Duration::from_millis(500))?.max(SHORTEST),
        limit: args.or("LIMIT", -1)?,
        active: args.or("ACTIVE", true)?,
        at_end: AtEnd::build(args)?,
        count: 0,
    }))
}

impl Element for TimedSource {
    fn start(&mut self, cx: &mut Cx<'_>) {
        if self.active {
            cx.set_timer(cx.now() + self.interval);
        }
    }

    fn timer(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        if !self.active {
            return;
        }
        if left(self.limit, self.count) == 0 {
            self.at_end.happen(cx);
            return;
        }
        batch.push(self.contents.packet(Some(cx.now())));
        self.count += 1;
        cx.set_timer(cx.now() + self.interval);
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "count" => Ok(self.count.to_string()),
            "active" => Ok(self.active.to_string()),
            "interval" => Ok(show_interval(self.interval)),
            "limit" => Ok(self.limit.to_string()),
            other => self.contents.read(other),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "reset" => self.count = 0,
            "active" => self.active = parse_as(value, "bad active")?,
            "interval" => {
                let interval: Duration = parse_as(value, "bad interval")?;
                if interval.is_zero() {
                    return Err(HandlerError::Refused("bad interval".to_owned()));
                }
                self.interval = interval.max(SHORTEST);
                return Ok(());
            }
            "limit" => {
                self.limit = parse_as(value, "expected integer")?;
                return Ok(());
            }
            other => return self.contents.write(other, value),
        }
        if self.active && cx.timer().is_none() {
            cx.set_timer(cx.now());
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for TimedSource {
    fn schema(&self) -> Schema {
        Schema { name: "timed-source", version: 2 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.count);
        w.put_bool(self.active);
        w.put_u64(self.limit as u64);
        w.put_u64(u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX));
        self.contents.save(w);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.count = r.get_u64()?;
        self.active = r.get_bool()?;
        self.limit = r.get_u64()? as i64;
        self.interval = Duration::from_nanos(r.get_u64()?).max(SHORTEST);
        self.contents.restore(r)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::testing::Bench;

    #[test]
    fn a_packet_comes_every_interval() {
        let mut bench = Bench::new("s :: TimedSource(0.1, \"tick\") -> out :: TestOut;");
        bench.advance(Duration::from_millis(950));
        assert_eq!(bench.take("out"), vec![b"tick".to_vec(); 9]);
    }

    #[test]
    fn handlers_change_it_and_what_they_changed_moves() {
        let text = "s :: TimedSource(0.1, DATA tick, LIMIT 1) -> out :: TestOut;";
        let (mut from, mut to) = (Bench::new(text), Bench::new(text));
        assert_eq!(from.read("s", "interval"), "100ms");
        from.advance(Duration::from_millis(250));
        assert_eq!(from.take("out").len(), 1);
        for (handler, value) in [("interval", "2"), ("limit", "2"), ("data", "tock"), ("active", "true")] {
            from.router.write_handler("s", handler, value).unwrap();
        }
        from.move_to(&mut to);
        to.now = from.now;
        to.advance(Duration::from_secs(1));
        assert_eq!((to.take("out"), to.read("s", "interval")), (vec![b"tock".to_vec()], "2.000000s".into()));
        let refused = to.router.write_handler("s", "interval", "0").unwrap_err();
        assert_eq!(refused.to_string(), "bad interval");
        assert!(
            Bench::error("TimedSource(often) -> Discard;")
                .contains("INTERVAL: expected time in seconds, got 'often'")
        );
    }
}
