//! AggregateCounter: counts packets or bytes for each aggregate annotation.

use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind,
};
use crate::packet::{BATCH, Packet};
use crate::state::{FlowTable, Reader, Record, Schema, SlotId, StateError, Stateful, Table, Writer};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "AggregateCounter",
    summary: "counts packets per aggregate annotation",
    ports: "1/1",
    processing: "a/a",
    args: &[
        Arg::keyword("BYTES", "bool", "false", "count bytes instead of packets"),
        Arg::keyword("MULTIPACKET", "bool", "true", "let a packet that stands for several count as many"),
        Arg::keyword("EXTRA_LENGTH", "bool", "true", "count bytes that were not captured"),
        Arg::keyword(
            "AGGREGATE_FREEZE",
            "unsigned",
            "0",
            "count no new aggregates beyond this number; 0 for no limit",
        ),
    ],
    reads: Annotations(Annotations::AGGREGATE.0 | Annotations::EXTRA_LENGTH.0 | Annotations::EXTRA_PACKETS.0),
    handlers: &[
        Handler::read("nagg", "aggregates counted"),
        Handler::read("count", "total over all aggregates"),
        Handler::read("counts", "aggregate and count, a line each"),
        Handler::both("freeze", "whether new aggregates are left out"),
        Handler::both("active", "whether packets are counted"),
        Handler::write("clear", "forgets all counts"),
    ],
    state: StateKind::Tables,
    details: "The aggregate annotation is a number that AggregateIP or AggregateIPFlows sets. Once frozen, or \
              with AGGREGATE_FREEZE aggregates, only packets of those already known count.",
    example: r#"
        InfiniteSource(DATA \<01 02>, LIMIT 12, STOP true) -> r :: RoundRobinSwitch;
        r[0] -> UDPIPEncap(1.0.0.1, 1000, 2.0.0.2, 53) -> a :: AggregateIP(ip src) -> n :: AggregateCounter;
        r[1] -> UDPIPEncap(2.0.0.2, 53, 1.0.0.1, 1000) -> a;
        r[2] -> Counter(COUNT_CALL 2 n.freeze true) -> sw :: Switch -> UDPIPEncap(3.0.0.1, 2000, 2.0.0.2, 53) -> a;
        sw[1] -> UDPIPEncap(4.0.0.1, 2000, 2.0.0.2, 53) -> a;
        n -> Counter(COUNT_CALL 7 sw.switch 1) -> Discard;
        DriverManager(wait_stop, print "$(n.nagg) aggregates, $(n.count) packets", print $(n.counts));
    "#,
    build,
    ..Descriptor::BASE
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Aggregate(u32);

#[derive(Debug, Clone, Copy)]
struct Count(u64);

impl Record for Aggregate {
    fn put(&self, w: &mut Writer) {
        w.put_u32(self.0);
    }
    fn get(r: &mut Reader<'_>) -> Result<Self, StateError> {
        r.get_u32().map(Self)
    }
}

impl Record for Count {
    fn put(&self, w: &mut Writer) {
        w.put_u64(self.0);
    }
    fn get(r: &mut Reader<'_>) -> Result<Self, StateError> {
        r.get_u64().map(Self)
    }
}

struct AggregateCounter {
    counts: FlowTable<Aggregate, Count>,
    bytes: bool,
    multipacket: bool,
    extra_length: bool,
    limit: usize,
    frozen: bool,
    active: bool,
    total: u64,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(AggregateCounter {
        // Counts stay until they are cleared.
        counts: FlowTable::new(Schema { name: "flow/counts", version: 1 }, |_, _| u64::MAX),
        bytes: args.or("BYTES", false)?,
        multipacket: args.or("MULTIPACKET", true)?,
        extra_length: args.or("EXTRA_LENGTH", true)?,
        limit: args.or("AGGREGATE_FREEZE", 0)?,
        frozen: false,
        active: true,
        total: 0,
    }))
}

impl AggregateCounter {
    #[inline]
    fn amount(&self, packet: &Packet) -> u64 {
        let anno = packet.anno();
        let packets = if self.multipacket { 1 + u64::from(anno.extra_packets) } else { 1 };
        if !self.bytes {
            return packets;
        }
        packet.len() as u64 + if self.extra_length { u64::from(anno.extra_length) } else { 0 }
    }

    #[inline]
    fn count(&mut self, packet: &Packet, found: Option<SlotId>) {
        let (key, amount) = (Aggregate(packet.anno().aggregate), self.amount(packet));
        let slot = found.or_else(|| self.counts.find(&key));
        if let Some(count) = slot.and_then(|slot| self.counts.value_mut_lazy(slot)) {
            count.0 += amount;
        } else {
            if self.frozen || self.limit != 0 && self.counts.len() >= self.limit {
                return;
            }
            self.counts.insert_lazy(key, Count(amount));
        }
        self.total += amount;
    }
}

impl Element for AggregateCounter {
    #[inline]
    fn push(&mut self, _cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        if !self.active {
            return;
        }
        // All look-ups first: in the processor they overlap. No count goes while the batch is treated.
        let mut found = [None; BATCH];
        for (slot, packet) in found.iter_mut().zip(batch.iter()) {
            *slot = self.counts.find(&Aggregate(packet.anno().aggregate));
        }
        for (packet, slot) in batch.iter().zip(found) {
            self.count(packet, slot);
        }
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "nagg" => Ok(self.counts.len().to_string()),
            "count" => Ok(self.total.to_string()),
            "freeze" => Ok(self.frozen.to_string()),
            "active" => Ok(self.active.to_string()),
            "counts" => {
                let mut all: Vec<_> = self.counts.iter().map(|(key, count)| (key.0, count.0)).collect();
                all.sort_unstable();
                Ok(all.iter().map(|(aggregate, count)| format!("{aggregate} {count}\n")).collect())
            }
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "freeze" => self.frozen = crate::elements::basic::parse_handler(value)?,
            "active" => self.active = crate::elements::basic::parse_handler(value)?,
            "clear" => {
                let all: Vec<_> = self.counts.iter().map(|(key, _)| *key).collect();
                for key in &all {
                    self.counts.remove(key);
                }
                self.total = 0;
            }
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for AggregateCounter {
    fn schema(&self) -> Schema {
        Schema { name: "flow/counter", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.total);
        w.put_bool(self.frozen);
        w.put_bool(self.active);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.total = r.get_u64()?;
        self.frozen = r.get_bool()?;
        self.active = r.get_bool()?;
        Ok(())
    }

    fn tables(&mut self) -> Vec<&mut dyn Table> {
        vec![&mut self.counts]
    }
}

#[cfg(test)]
mod tests {
    use crate::element::Packet;
    use crate::testing::Bench;

    #[test]
    fn each_aggregate_is_counted_apart_until_the_limit() {
        let mut bench =
            Bench::new("in :: TestIn -> c :: AggregateCounter(AGGREGATE_FREEZE 2) -> out :: TestOut;");
        for aggregate in [1, 2, 1, 3] {
            let mut packet = Packet::from_slice(&[0; 10]);
            packet.anno_mut().aggregate = aggregate;
            bench.push_packets("in", 0, [packet]);
        }
        assert_eq!(
            (bench.read("c", "counts").as_str(), bench.read("c", "nagg").as_str()),
            ("1 2\n2 1\n", "2")
        );
        assert_eq!((bench.take("out").len(), bench.read("c", "count").as_str()), (4, "3"));
        bench.router.write_handler("c", "clear", "").unwrap();
        assert_eq!(bench.read("c", "nagg"), "0");
    }
}
