//! TimeSortedSched: pulls from its inputs in the order of timestamps.

use std::collections::BTreeMap;

use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet,
    StateKind, Time,
};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "TimeSortedSched",
    summary: "merges sorted packet streams by timestamp",
    ports: "-/1",
    processing: "l/l",
    args: &[
        Arg::keyword("STOP", "bool", "false", "whether the router stops when no input has a packet"),
        Arg::keyword("BUFFER", "unsigned", "1", "packets kept of each input, to put them in order"),
    ],
    reads: Annotations::TIMESTAMP,
    handlers: &[Handler::read("well_ordered", "whether all packets left in the order of their timestamps")],
    state: StateKind::Small,
    // A buffer puts packets of one input in another order.
    keeps_order: false,
    details: "Each pull gives the packet with the earliest timestamp of those at hand. BUFFER packets of each \
              input are pulled ahead: with more than one, inputs that are nearly in order come out in order.",
    example: r#"
        TimedSource(0.2, DATA \<0a>, LIMIT 5) -> Queue -> [0]s :: TimeSortedSched;
        TimedSource(0.3, DATA \<0b>, LIMIT 3) -> Queue -> [1]s;
        s -> Print(TIMESTAMP true) -> d :: Discard(ACTIVE false);
        DriverManager(wait 1.1s, write d.active true, wait 0.1s,
                      print "well ordered: $(s.well_ordered)", stop);
    "#,
    build,
    ..Descriptor::BASE
};

struct TimeSortedSched {
    stop: bool,
    buffer: usize,
    /// Packets by timestamp; those of one time in the order in which they came. With each, its input.
    waiting: BTreeMap<(Time, u64), (usize, Packet)>,
    /// How many packets of each input wait.
    held: Vec<usize>,
    /// Packets that came so far.
    arrivals: u64,
    last: Time,
    well_ordered: bool,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let buffer = args.or("BUFFER", 1)?;
    if buffer == 0 {
        return Err("BUFFER must be at least 1".into());
    }
    Ok(Box::new(TimeSortedSched {
        stop: args.or("STOP", false)?,
        buffer,
        waiting: BTreeMap::new(),
        held: vec![0; args.inputs()],
        arrivals: 0,
        last: Time(0),
        well_ordered: true,
    }))
}

impl TimeSortedSched {
    fn keep(&mut self, input: usize, packet: Packet) {
        self.waiting.insert((packet.anno().timestamp, self.arrivals), (input, packet));
        self.arrivals += 1;
        if let Some(held) = self.held.get_mut(input) {
            *held += 1;
        }
    }

    /// Pulls as many packets of each input as may be kept.
    fn fill(&mut self, cx: &mut Cx<'_>) {
        for input in 0..self.held.len() {
            while self.held[input] < self.buffer {
                let mut batch = Batch::new();
                cx.pull(input, &mut batch, self.buffer - self.held[input]);
                if batch.is_empty() {
                    break;
                }
                for packet in batch.drain() {
                    self.keep(input, packet);
                }
            }
        }
    }

    /// The earliest packet.
    fn next(&mut self) -> Option<Packet> {
        let ((at, _), (input, packet)) = self.waiting.pop_first()?;
        if let Some(held) = self.held.get_mut(input) {
            *held = held.saturating_sub(1);
        }
        if at != Time(0) {
            self.well_ordered &= at >= self.last;
            self.last = at;
        }
        Some(packet)
    }
}

impl Element for TimeSortedSched {
    fn pull(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch, max: usize) {
        while batch.len() < max.min(crate::packet::BATCH) {
            self.fill(cx);
            match self.next() {
                Some(packet) => batch.push(packet),
                None => break,
            }
        }
        if batch.is_empty() && max > 0 && self.stop {
            cx.stop();
        }
    }

    fn start(&mut self, cx: &mut Cx<'_>) {
        if !self.waiting.is_empty() {
            cx.wake_pullers(0);
        }
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "well_ordered" => Ok(self.well_ordered.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for TimeSortedSched {
    fn schema(&self) -> Schema {
        Schema { name: "time-sorted-sched", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.last.0);
        w.put_bool(self.well_ordered);
        w.put_u32(self.waiting.len() as u32);
        for (input, packet) in self.waiting.values() {
            w.put_u32(*input as u32);
            packet.save(w);
        }
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.last = Time(r.get_u64()?);
        self.well_ordered = r.get_bool()?;
        self.waiting.clear();
        self.held.fill(0);
        for _ in 0..r.get_u32()? {
            let input = r.get_u32()? as usize;
            if input >= self.held.len() {
                return Err(StateError::Invalid { what: "input", value: input as u64 });
            }
            let packet = Packet::restore(r)?;
            self.keep(input, packet);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    const TEXT: &str = "a :: TestIn -> Queue -> [0]s :: TimeSortedSched -> out :: TestPuller;
                        b :: TestIn -> Queue -> [1]s;";

    fn push(bench: &mut Bench, name: &str, times: &[u64]) {
        let packets = times.iter().map(|at| {
            let mut packet = Packet::from_slice(b"x");
            packet.anno_mut().timestamp = Time(*at);
            packet
        });
        bench.push_packets(name, 0, packets.collect::<Vec<_>>());
    }

    fn times(packets: &[Packet]) -> Vec<u64> {
        packets.iter().map(|p| p.anno().timestamp.0).collect()
    }

    #[test]
    fn streams_are_merged_by_time() {
        let mut bench = Bench::new(TEXT);
        push(&mut bench, "a", &[1, 4, 5]);
        push(&mut bench, "b", &[2, 3, 9]);
        assert_eq!(times(&bench.pull("out", 4)), [1, 2, 3, 4]);
        assert_eq!(times(&bench.pull("out", 9)), [5, 9]);
        assert_eq!(bench.read("s", "well_ordered"), "true");
    }

    #[test]
    fn a_buffer_puts_a_stream_in_order_and_disorder_is_told() {
        let mut bench = Bench::new(TEXT);
        push(&mut bench, "a", &[2, 1]);
        assert_eq!(times(&bench.pull("out", 9)), [2, 1]);
        assert_eq!(bench.read("s", "well_ordered"), "false");
        let mut bench = Bench::new(&TEXT.replace("Sched ->", "Sched(BUFFER 2) ->"));
        push(&mut bench, "a", &[2, 1]);
        assert_eq!(times(&bench.pull("out", 9)), [1, 2]);
        let error = Bench::error("Idle -> TimeSortedSched(BUFFER 0) -> Discard;");
        assert!(error.contains("BUFFER must be at least 1"), "{error}");
    }

    #[test]
    fn the_router_stops_when_there_is_nothing_left() {
        let mut bench =
            Bench::new("a :: TestIn -> Queue -> TimeSortedSched(STOP true) -> Unqueue -> Discard;");
        assert!((0..9).any(|_| bench.pass().stop));
    }

    #[test]
    fn packets_that_wait_move() {
        let mut bench = Bench::new(TEXT);
        push(&mut bench, "a", &[1]);
        push(&mut bench, "b", &[2]);
        bench.pull("out", 1);
        let mut moved = Bench::new(TEXT);
        bench.move_to(&mut moved);
        assert_eq!(times(&moved.pull("out", 9)), [2]);
    }
}
