//! FlowMonitor: packets, bytes, first and last time of each flow, in one table that moves with the element.

use std::time::Duration;

use super::pair::{Direction, FlowPair};
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind,
    Time,
};
use crate::packet::{BATCH, Packet};
use crate::state::{FlowTable, Reader, Record, Schema, SlotId, StateError, Stateful, Table, Writer};
use crate::wire::FlowId;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "FlowMonitor",
    summary: "counts packets and bytes of each flow",
    ports: "1-2/1-2",
    processing: "a/a",
    args: &[
        Arg::keyword("TIMEOUT", "time", "300", "after which a silent flow goes"),
        Arg::keyword(
            "CAPACITY",
            "unsigned",
            "4194304",
            "most flows; packets of further flows pass uncounted",
        ),
    ],
    reads: Annotations::NETWORK_HEADER,
    handlers: &[
        Handler::read("count", "flows now"),
        Handler::read("uncounted", "packets of no flow, or of flows beyond the capacity"),
        Handler::read("dump", "a line a flow: the flow, packets and bytes each way, first and last time"),
        Handler::write("clear", "forgets all flows"),
    ],
    state: StateKind::Tables,
    details: "Both directions of a flow are one entry, told apart by the first packet. All packets pass.",
    example: r#"
        RatedSource(DATA \<01 02>, RATE 10, LIMIT 8, STOP true) -> r :: RoundRobinSwitch;
        r[0] -> UDPIPEncap(1.0.0.1, 1000, 2.0.0.2, 53) -> f :: FlowMonitor(CAPACITY 2);
        r[1] -> UDPIPEncap(2.0.0.2, 53, 1.0.0.1, 1000) -> f;
        r[2] -> UDPIPEncap(1.0.0.9, 2000, 2.0.0.2, 53) -> f;
        r[3] -> UDPIPEncap(1.0.0.7, 3000, 2.0.0.2, 53) -> f;
        f -> Discard;
        DriverManager(wait_stop, print "$(f.count) flows, $(f.uncounted) packets not counted", print $(f.dump));
    "#,
    build,
    ..Descriptor::BASE
};

/// Packets and bytes of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Volume {
    packets: u64,
    bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Flow {
    /// Direction of the first packet.
    first: Direction,
    first_seen: u64,
    last_seen: u64,
    /// As the first packet, and against it.
    volumes: [Volume; 2],
}

impl Record for Flow {
    fn put(&self, w: &mut Writer) {
        w.put_bool(self.first == Direction::Down);
        w.put_u64(self.first_seen);
        w.put_u64(self.last_seen);
        for volume in &self.volumes {
            w.put_u64(volume.packets);
            w.put_u64(volume.bytes);
        }
    }

    fn get(r: &mut Reader<'_>) -> Result<Self, StateError> {
        let first = if r.get_bool()? { Direction::Down } else { Direction::Up };
        let (first_seen, last_seen) = (r.get_u64()?, r.get_u64()?);
        let mut volumes = [Volume::default(); 2];
        for volume in &mut volumes {
            *volume = Volume { packets: r.get_u64()?, bytes: r.get_u64()? };
        }
        Ok(Self { first, first_seen, last_seen, volumes })
    }
}

struct FlowMonitor {
    flows: FlowTable<FlowPair, Flow>,
    capacity: usize,
    uncounted: u64,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let timeout = args.or("TIMEOUT", Duration::from_secs(300))?;
    let timeout = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
    let schema = Schema { name: "flow/monitor", version: 1 };
    let flows =
        FlowTable::new(schema, move |_: &FlowPair, flow: &Flow| flow.last_seen.saturating_add(timeout));
    Ok(Box::new(FlowMonitor { flows, capacity: args.or("CAPACITY", 1 << 22)?, uncounted: 0 }))
}

impl FlowMonitor {
    #[inline]
    fn count(
        &mut self,
        packet: &Packet,
        key: Option<(FlowPair, Direction)>,
        found: Option<SlotId>,
        now: u64,
    ) {
        let Some((key, direction)) = key else {
            self.uncounted += 1;
            return;
        };
        let slot = match found.or_else(|| self.flows.find(&key)) {
            Some(slot) => slot,
            None if self.flows.len() >= self.capacity => {
                self.uncounted += 1;
                return;
            }
            None => {
                let flow = Flow {
                    first: direction,
                    first_seen: now,
                    last_seen: now,
                    volumes: [Volume::default(); 2],
                };
                self.flows.insert_lazy(key, flow)
            }
        };
        if let Some(flow) = self.flows.value_mut_lazy(slot) {
            flow.last_seen = now;
            let volume = &mut flow.volumes[usize::from(direction != flow.first)];
            volume.packets += 1;
            volume.bytes += packet.network().len() as u64;
        }
    }

    fn dump(&self) -> String {
        let mut flows: Vec<_> = self.flows.iter().collect();
        flows.sort_by_key(|(key, flow)| {
            let flow = key.flow(flow.first);
            (flow.protocol, flow.source, flow.source_port, flow.destination, flow.destination_port)
        });
        let lines = flows.into_iter().map(|(key, flow)| {
            let [there, back] = flow.volumes;
            let protocol = format!("{:?}", key.protocol()).to_lowercase();
            format!(
                "{protocol} {} packets {} {} bytes {} {} first {} last {}\n",
                key.flow(flow.first),
                there.packets,
                back.packets,
                there.bytes,
                back.bytes,
                Time(flow.first_seen),
                Time(flow.last_seen),
            )
        });
        lines.collect()
    }
}

impl Element for FlowMonitor {
    #[inline]
    fn push(&mut self, cx: &mut Cx<'_>, port: usize, batch: &mut Batch) {
        let now = cx.now().0;
        self.flows.expire(now, |_, _, _| ());
        let mut keys = [None; BATCH];
        let mut found = [None; BATCH];
        for (key, packet) in keys.iter_mut().zip(batch.iter()) {
            let bytes = packet.network();
            *key = FlowId::of_packet(bytes).or_else(|| FlowId::of_ping(bytes)).map(FlowPair::of);
        }
        // All look-ups first: in the processor they overlap. No flow goes while the batch is treated.
        for (slot, key) in found.iter_mut().zip(&keys) {
            *slot = key.as_ref().and_then(|(key, _)| self.flows.find(key));
        }
        for ((packet, key), slot) in batch.iter().zip(keys).zip(found) {
            self.count(packet, key, slot, now);
        }
        if port > 0 {
            cx.leave_by(port);
        }
    }

    fn read(&mut self, cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        self.flows.expire(cx.now().0, |_, _, _| ());
        match handler {
            "count" => Ok(self.flows.len().to_string()),
            "uncounted" => Ok(self.uncounted.to_string()),
            "dump" => Ok(self.dump()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, _value: &str) -> Result<(), HandlerError> {
        if handler != "clear" {
            return Err(HandlerError::NoHandler(handler.to_owned()));
        }
        let all: Vec<_> = self.flows.iter().map(|(key, _)| *key).collect();
        for key in &all {
            self.flows.remove(key);
        }
        self.uncounted = 0;
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for FlowMonitor {
    fn schema(&self) -> Schema {
        Schema { name: "flow/monitor", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.uncounted);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.uncounted = r.get_u64()?;
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

    use crate::state::{Reader, Writer};
    use crate::testing::Bench;

    const TEXT: &str = "in :: TestIn -> MarkIPHeader -> m :: FlowMonitor(TIMEOUT 60) -> out :: TestOut;";

    fn udp(from: u8, to: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        PacketBuilder::ipv4([10, 0, 0, from], [10, 0, 0, to], 64).udp(5, 6).write(&mut bytes, b"12").unwrap();
        bytes
    }

    #[test]
    fn both_ways_are_counted_and_silent_flows_go() {
        let mut bench = Bench::new(TEXT);
        for packet in [udp(9, 1), udp(1, 9), udp(9, 1), vec![7; 40]] {
            bench.push("in", &packet);
        }
        // Ports tell the ways apart: 9:5 to 1:6 and 1:5 to 9:6 are two flows.
        assert_eq!(bench.read("m", "count"), "2");
        let first = "udp (10.0.0.9, 5, 10.0.0.1, 6) packets 2 0 bytes 60 0 first 1.000000 last 1.000000";
        assert!(bench.read("m", "dump").contains(first), "{}", bench.read("m", "dump"));
        assert_eq!((bench.take("out").len(), bench.read("m", "uncounted").as_str()), (4, "1"));
        bench.now += Duration::from_secs(61);
        bench.pass();
        assert_eq!(bench.read("m", "count"), "0");
    }

    #[test]
    fn the_table_moves_by_its_changes_alone() {
        let (mut owner, mut target) = (Bench::new(TEXT), Bench::new(TEXT));
        let (_, element) = owner.router.elements_mut().find(|(name, _)| *name == "m").unwrap();
        element.stateful().unwrap().tables()[0].set_tracking(true);
        for packet in [udp(9, 1), udp(8, 1), udp(9, 1)] {
            owner.push("in", &packet);
            let mut w = Writer::new();
            let (_, element) = owner.router.elements_mut().find(|(name, _)| *name == "m").unwrap();
            let mut state = element.stateful().unwrap().tables();
            assert!(!state[0].has_strict());
            state[0].take_changes(&mut w);
            let (_, element) = target.router.elements_mut().find(|(name, _)| *name == "m").unwrap();
            element.stateful().unwrap().tables()[0].apply(&mut Reader::new(w.as_bytes())).unwrap();
        }
        assert_eq!(owner.read("m", "dump"), target.read("m", "dump"));
    }
}
