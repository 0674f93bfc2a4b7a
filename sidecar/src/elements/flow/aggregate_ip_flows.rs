//! AggregateIPFlows: numbers flows, and sets each packet's aggregate annotation to its flow's number.
//!
//! Both directions of a flow have one number; the paint annotation says the direction, 0 as the first packet of the
//! flow, 1 against it. Numbers count up from 1 and are never used twice while the element lives.

use std::time::Duration;

use super::pair::{Direction, FlowPair};
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind,
};
use crate::packet::{BATCH, Packet};
use crate::state::{FlowTable, Reader, Record, Schema, SlotId, StateError, Stateful, Table, Writer};
use crate::wire::tcp::{FIN, RST, SYN};
use crate::wire::{FlowId, Protocol, Tcp, ipv4};

const NO_FLOW: &str = "not a packet of a flow";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "AggregateIPFlows",
    summary: "sets aggregate annotation based on flow",
    ports: "1-2/1-2",
    processing: "a/ah",
    args: &[
        Arg::keyword("TCP_TIMEOUT", "time", "86400", "for TCP flows"),
        Arg::keyword("TCP_DONE_TIMEOUT", "time", "30", "for TCP flows that have ended"),
        Arg::keyword("UDP_TIMEOUT", "time", "60", "for UDP flows and pings"),
        Arg::keyword("BIDI", "bool", "true", "whether both directions are one flow"),
        Arg::keyword("ICMP", "bool", "false", "whether pings are flows too"),
        Arg::keyword("REAP", "time", "1200", "taken for Click's sake: flows go when they are due"),
    ],
    reads: Annotations::NETWORK_HEADER,
    writes: Annotations(Annotations::AGGREGATE.0 | Annotations::PAINT.0),
    drops: &[NO_FLOW],
    handlers: &[Handler::read("nflows", "flows now"), Handler::write("clear", "forgets all flows")],
    state: StateKind::Tables,
    details: "Flows count up from 1. Both directions of a flow have one number; the paint annotation says the \
              direction, 0 as the first packet of the flow and 1 against it. A flow that is silent for its \
              timeout ends: its next packet begins another one. With two inputs, packets leave by the output of \
              their input's number; with one, what belongs to no flow leaves by output 1 or is dropped.",
    example: r#"
        RatedSource(DATA \<01 02>, RATE 1, LIMIT 8, STOP true) -> r :: RoundRobinSwitch;
        r[0] -> UDPIPEncap(1.0.0.1, 1000, 2.0.0.2, 53) -> f :: AggregateIPFlows(UDP_TIMEOUT 2);
        r[1] -> UDPIPEncap(2.0.0.2, 53, 1.0.0.1, 1000) -> f;
        r[2] -> UDPIPEncap(1.0.0.9, 2000, 2.0.0.2, 53) -> f;
        r[3] -> MarkIPHeader -> f;
        f -> IPPrint(AGGREGATE true, PAINT true) -> Discard;
        f[1] -> Print(noflow) -> Discard;
        DriverManager(wait_stop, print "$(f.nflows) flows");
    "#,
    build,
    ..Descriptor::BASE
};

const SCHEMA: Schema = Schema { name: "flow/aggregates", version: 1 };

#[derive(Debug, Clone, Copy)]
struct Flow {
    aggregate: u32,
    last_seen: u64,
    /// Direction of the first packet.
    first: Direction,
    /// Directions that have ended, as bits; both for a reset.
    done: u8,
}

impl Record for Flow {
    fn put(&self, w: &mut Writer) {
        w.put_u32(self.aggregate);
        w.put_u64(self.last_seen);
        w.put_bool(self.first == Direction::Down);
        w.put_u8(self.done);
    }

    fn get(r: &mut Reader<'_>) -> Result<Self, StateError> {
        let (aggregate, last_seen) = (r.get_u32()?, r.get_u64()?);
        let first = if r.get_bool()? { Direction::Down } else { Direction::Up };
        match r.get_u8()? {
            done @ 0..=3 => Ok(Self { aggregate, last_seen, first, done }),
            other => Err(StateError::Invalid { what: "state of a flow", value: u64::from(other) }),
        }
    }
}

const ALL_DONE: u8 = 3;

struct AggregateIpFlows {
    flows: FlowTable<FlowPair, Flow>,
    next: u32,
    both_ways: bool,
    pings: bool,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let time = |name: &str, default: u64| -> Result<u64, ConfigError> {
        let span = args.or(name, Duration::from_secs(default))?;
        Ok(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX))
    };
    let (tcp, done, udp) =
        (time("TCP_TIMEOUT", 86_400)?, time("TCP_DONE_TIMEOUT", 30)?, time("UDP_TIMEOUT", 60)?);
    let flows = FlowTable::new(SCHEMA, move |key: &FlowPair, flow: &Flow| {
        let timeout = match key.protocol() {
            Protocol::Tcp if flow.done == ALL_DONE => done,
            Protocol::Tcp => tcp,
            Protocol::Udp | Protocol::Icmp => udp,
        };
        flow.last_seen.saturating_add(timeout)
    });
    Ok(Box::new(AggregateIpFlows {
        flows,
        next: 1,
        both_ways: args.or("BIDI", true)?,
        pings: args.or("ICMP", false)?,
    }))
}

/// The directions that a TCP segment opens or ends, as bits: (ended, opened).
fn tcp_ends(packet: &Packet, way: u8) -> (u8, u8) {
    let Some((tcp, _)) = ipv4::payload(packet.network()).and_then(Tcp::parse) else { return (0, 0) };
    match tcp.flags {
        flags if flags & RST != 0 => (ALL_DONE, 0),
        flags if flags & FIN != 0 => (1 << way, 0),
        flags if flags & SYN != 0 => (0, 1 << way),
        _ => (0, 0),
    }
}

impl AggregateIpFlows {
    #[inline]
    fn key_of(&self, packet: &Packet) -> Option<(FlowPair, Direction)> {
        let bytes = packet.network();
        let flow = match FlowId::of_packet(bytes) {
            Some(flow) => flow,
            None if self.pings => FlowId::of_ping(bytes)?,
            None => return None,
        };
        Some(if self.both_ways { FlowPair::of(flow) } else { (FlowPair::one_way(flow), Direction::Up) })
    }

    #[inline]
    fn annotate(
        &mut self,
        packet: &mut Packet,
        key: FlowPair,
        direction: Direction,
        found: Option<SlotId>,
        now: u64,
    ) {
        let slot = match found.or_else(|| self.flows.find(&key)) {
            Some(slot) => slot,
            None => {
                let flow = Flow { aggregate: self.next, last_seen: now, first: direction, done: 0 };
                self.next = self.next.checked_add(1).unwrap_or(1);
                self.flows.insert_lazy(key, flow)
            }
        };
        let Some(flow) = self.flows.value_mut_lazy(slot) else { return };
        flow.last_seen = now;
        let way = u8::from(direction != flow.first);
        packet.anno_mut().aggregate = flow.aggregate;
        packet.anno_mut().paint = way;
        if key.protocol() == Protocol::Tcp {
            let (ended, opened) = tcp_ends(packet, way);
            let was_done = flow.done == ALL_DONE;
            flow.done = (flow.done | ended) & !opened;
            if flow.done == ALL_DONE && !was_done {
                self.flows.reschedule(slot);
            }
        }
    }
}

impl Element for AggregateIpFlows {
    /// With two inputs, packets leave by the output of their input's number, so that one element can watch both
    /// directions of a link.
    #[inline]
    fn push(&mut self, cx: &mut Cx<'_>, port: usize, batch: &mut Batch) {
        let now = cx.now().0;
        self.flows.expire(now, |_, _, _| ());
        let mut keys = [None; BATCH];
        let mut found = [None; BATCH];
        for (key, packet) in keys.iter_mut().zip(batch.iter()) {
            *key = self.key_of(packet);
        }
        // All look-ups first: in the processor they overlap. No flow goes while the batch is treated.
        for (slot, key) in found.iter_mut().zip(&keys) {
            *slot = key.as_ref().and_then(|(key, _)| self.flows.find(key));
        }
        let mut at = 0;
        batch.filter_map(|mut packet| {
            let (key, slot) = (keys[at], found[at]);
            at += 1;
            match key {
                Some((key, direction)) => {
                    self.annotate(&mut packet, key, direction, slot, now);
                    Some(packet)
                }
                // Output 1 is for packets of no flow only when it is not the other input's.
                None if cx.inputs() > 1 => Some(packet),
                None => {
                    cx.emit_or_drop(1, NO_FLOW, packet);
                    None
                }
            }
        });
        if port > 0 {
            cx.leave_by(port);
        }
    }

    fn read(&mut self, cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        self.flows.expire(cx.now().0, |_, _, _| ());
        match handler {
            "nflows" => Ok(self.flows.len().to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, _value: &str) -> Result<(), HandlerError> {
        match handler {
            "clear" => {
                let all: Vec<_> = self.flows.iter().map(|(key, _)| *key).collect();
                for key in &all {
                    self.flows.remove(key);
                }
            }
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for AggregateIpFlows {
    fn schema(&self) -> Schema {
        Schema { name: "flow/numbering", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u32(self.next);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.next = r.get_u32()?;
        Ok(())
    }

    fn tables(&mut self) -> Vec<&mut dyn Table> {
        vec![&mut self.flows]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use etherparse::PacketBuilder;

    use crate::testing::Bench;

    fn udp(from: (u8, u16), to: (u8, u16)) -> Vec<u8> {
        let mut bytes = Vec::new();
        PacketBuilder::ipv4([10, 0, 0, from.0], [10, 0, 0, to.0], 64)
            .udp(from.1, to.1)
            .write(&mut bytes, b"")
            .unwrap();
        bytes
    }

    fn annotation(bench: &mut Bench, packet: &[u8]) -> (u32, u8) {
        bench.push("in", packet);
        let out = bench.take_packets("out");
        (out[0].anno().aggregate, out[0].anno().paint)
    }

    #[test]
    fn flows_are_numbered_both_ways_with_one_number_and_start_anew_after_their_timeout() {
        let mut bench =
            Bench::new("in :: TestIn -> MarkIPHeader -> AggregateIPFlows(UDP_TIMEOUT 60) -> out :: TestOut;");
        assert_eq!(annotation(&mut bench, &udp((9, 1), (1, 2))), (1, 0));
        assert_eq!(annotation(&mut bench, &udp((1, 2), (9, 1))), (1, 1));
        assert_eq!(annotation(&mut bench, &udp((1, 2), (9, 3))), (2, 0));
        bench.now += Duration::from_secs(59);
        assert_eq!(annotation(&mut bench, &udp((9, 1), (1, 2))), (1, 0));
        bench.now += Duration::from_secs(62);
        assert_eq!(annotation(&mut bench, &udp((1, 2), (9, 1))), (3, 0));
    }

    #[test]
    fn with_two_inputs_each_has_its_output_and_the_flows_are_shared() {
        let mut bench = Bench::new(
            "in :: TestIn -> MarkIPHeader -> [0]f :: AggregateIPFlows; back :: TestIn -> MarkIPHeader -> [1]f;
             f[0] -> out :: TestOut; f[1] -> home :: TestOut;",
        );
        bench.push("in", &udp((9, 1), (1, 2)));
        bench.push("back", &udp((1, 2), (9, 1)));
        let (out, home) = (bench.take_packets("out"), bench.take_packets("home"));
        assert_eq!((out[0].anno().aggregate, home[0].anno().aggregate, home[0].anno().paint), (1, 1, 1));
        bench.push("back", &[0x45; 30]);
        assert_eq!(bench.take("home").len(), 1);
        assert_eq!(bench.read("f", "nflows"), "1");
    }
}
