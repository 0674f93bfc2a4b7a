//! TimedSource: makes a packet every interval.

use std::time::Duration;

use super::packet_data;
use crate::element::{
    Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
};
use crate::elements::basic::parse_handler;
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
    ],
    writes: anf_click::Annotations::TIMESTAMP,
    handlers: &[
        Handler::read("count", "packets made"),
        Handler::write("reset", "sets count to 0"),
        Handler::both("active", "whether it makes packets"),
        Handler::both("interval", "time between packets"),
    ],
    state: StateKind::Small,
    build,
    ..Descriptor::BASE
};

struct TimedSource {
    data: Vec<u8>,
    interval: Duration,
    limit: i64,
    active: bool,
    stop: bool,
    count: u64,
}

/// Shorter intervals would let one element take all the time.
const SHORTEST: Duration = Duration::from_nanos(1000);

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(TimedSource {
        data: packet_data(args, None)?,
        interval: args.or("INTERVAL", Duration::from_millis(500))?.max(SHORTEST),
        limit: args.or("LIMIT", -1)?,
        active: args.or("ACTIVE", true)?,
        stop: args.or("STOP", false)?,
        count: 0,
    }))
}

impl Element for TimedSource {
    fn start(&mut self, cx: &mut Cx<'_>) {
        if self.active {
            cx.set_timer(cx.now());
        }
    }

    fn timer(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        if !self.active {
            return;
        }
        if u64::try_from(self.limit).is_ok_and(|limit| self.count >= limit) {
            if self.stop {
                cx.stop();
            }
            return;
        }
        let mut packet = Packet::from_slice(&self.data);
        packet.anno_mut().timestamp = cx.now();
        batch.push(packet);
        self.count += 1;
        cx.set_timer(cx.now() + self.interval);
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "count" => Ok(self.count.to_string()),
            "active" => Ok(self.active.to_string()),
            "interval" => Ok(self.interval.as_secs_f64().to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "reset" => self.count = 0,
            "active" => self.active = parse_handler(value)?,
            "interval" => self.interval = parse_handler::<Duration>(value)?.max(SHORTEST),
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        cx.set_timer(cx.now());
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for TimedSource {
    fn schema(&self) -> Schema {
        Schema { name: "timed-source", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.count);
        w.put_bool(self.active);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.count = r.get_u64()?;
        self.active = r.get_bool()?;
        Ok(())
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
        assert_eq!(bench.take("out"), vec![b"tick".to_vec(); 10]);
    }
}
