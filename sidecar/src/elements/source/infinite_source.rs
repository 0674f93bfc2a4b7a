//! InfiniteSource: makes packets as fast as the graph takes them, pushed or pulled.

use super::packet_data;
use crate::element::{
    Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
};
use crate::elements::basic::parse_handler;
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
        Arg::keyword("LENGTH", "unsigned", "", "length of the packets: DATA is cut or repeated"),
        Arg::keyword("TIMESTAMP", "bool", "true", "whether packets carry the time they were made"),
        Arg::keyword("STOP", "bool", "false", "whether the router stops at the limit"),
        Arg::keyword("END_CALL", "HANDLER [VALUE]", "", "write handler called at the limit"),
    ],
    writes: anf_click::Annotations::TIMESTAMP,
    handlers: &[
        Handler::read("count", "packets made"),
        Handler::write("reset", "sets count to 0"),
        Handler::both("active", "whether it makes packets"),
        Handler::both("limit", "packets made in all"),
        Handler::both("burst", "packets made each time it runs"),
    ],
    state: StateKind::Small,
    build,
    ..Descriptor::BASE
};

struct InfiniteSource {
    data: Vec<u8>,
    limit: i64,
    burst: u64,
    active: bool,
    timestamp: bool,
    stop: bool,
    end_call: Option<(String, String)>,
    count: u64,
    ended: bool,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let burst: u64 = args.or("BURST", 1)?;
    if burst == 0 {
        return Err("BURST must be positive".into());
    }
    Ok(Box::new(InfiniteSource {
        data: packet_data(args, args.get("LENGTH")?)?,
        limit: args.or("LIMIT", -1)?,
        burst,
        active: args.or("ACTIVE", true)?,
        timestamp: args.or("TIMESTAMP", true)?,
        stop: args.or("STOP", false)?,
        end_call: args.text("END_CALL").map(super::split_call),
        count: 0,
        ended: false,
    }))
}

impl InfiniteSource {
    #[inline]
    fn make(&self, cx: &Cx<'_>) -> Packet {
        let mut packet = Packet::from_slice(&self.data);
        if self.timestamp {
            packet.anno_mut().timestamp = cx.now();
        }
        packet
    }

    fn left(&self) -> u64 {
        u64::try_from(self.limit).map_or(u64::MAX, |limit| limit.saturating_sub(self.count))
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
        for _ in 0..count {
            if batch.is_full() {
                cx.emit_all(0, batch);
            }
            batch.push(self.make(cx));
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
        for _ in 0..count {
            batch.push(self.make(cx));
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
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "reset" => self.count = 0,
            "active" => self.active = parse_handler(value)?,
            "limit" => self.limit = parse_handler(value)?,
            "burst" => self.burst = parse_handler::<u64>(value)?.max(1),
            other => return Err(HandlerError::NoHandler(other.to_owned())),
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
        Schema { name: "infinite-source", version: 1 }
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
    fn wrong_arguments_are_refused() {
        let error = Bench::error("s :: InfiniteSource(LIMIT many, BURST 2) -> Discard;");
        assert!(error.contains("LIMIT: expected integer, got 'many'"), "{error}");
        let error = Bench::error("s :: InfiniteSource(a, 1, 1, 1, 1) -> Discard;");
        assert!(error.contains("too many arguments"), "{error}");
    }
}
