//! RatedSource: makes packets at a rate, pushed or pulled.

use super::packet_data;
use crate::element::{
    Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
};
use crate::elements::basic::parse_handler;
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
        Arg::keyword("LENGTH", "unsigned", "", "length of the packets: DATA is cut or repeated"),
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
    ],
    state: StateKind::Small,
    build,
    ..Descriptor::BASE
};

struct RatedSource {
    data: Vec<u8>,
    bucket: TokenBucket,
    limit: i64,
    active: bool,
    stop: bool,
    end_call: Option<(String, String)>,
    count: u64,
    ended: bool,
}

/// Packets that may be made up for at once: those of 5 ms.
fn catch_up(rate: u64) -> u64 {
    (rate / 200).max(2)
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let rate = args.or("RATE", 10)?;
    Ok(Box::new(RatedSource {
        data: packet_data(args, args.get("LENGTH")?)?,
        bucket: TokenBucket::new(rate, catch_up(rate), 1),
        limit: args.or("LIMIT", -1)?,
        active: args.or("ACTIVE", true)?,
        stop: args.or("STOP", false)?,
        end_call: args.text("END_CALL").map(super::split_call),
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
        let left = u64::try_from(self.limit).map_or(u64::MAX, |limit| limit.saturating_sub(self.count));
        if left == 0 {
            self.end(cx);
            return;
        }
        let count = self.bucket.available().min(left).min(max as u64);
        for _ in 0..count {
            let mut packet = Packet::from_slice(&self.data);
            packet.anno_mut().timestamp = cx.now();
            batch.push(packet);
        }
        self.bucket.take(count);
        self.count += count;
        if let Some(at) = self.bucket.when(1) {
            cx.set_timer(at);
        }
    }

    fn end(&mut self, cx: &mut Cx<'_>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        if let Some((handler, value)) = &self.end_call {
            cx.write_later(handler, value);
        }
        if self.stop {
            cx.stop();
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
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "reset" => self.count = 0,
            "active" => self.active = parse_handler(value)?,
            "limit" => self.limit = parse_handler(value)?,
            "rate" => {
                let rate = parse_handler(value)?;
                self.bucket.set_rate(rate, catch_up(rate));
            }
            other => return Err(HandlerError::NoHandler(other.to_owned())),
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
        Schema { name: "rated-source", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.count);
        w.put_bool(self.active);
        self.bucket.save(w);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.count = r.get_u64()?;
        self.active = r.get_bool()?;
        self.bucket.restore(r)
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
    fn it_can_be_pulled() {
        let mut bench = Bench::new("RatedSource(RATE 100) -> Unqueue -> out :: TestOut;");
        bench.advance(Duration::from_millis(995));
        assert_eq!(bench.take("out").len(), 100);
    }
}
