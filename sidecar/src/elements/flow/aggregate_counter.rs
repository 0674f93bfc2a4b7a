//! AggregateCounter: counts packets or bytes for each aggregate annotation.

use super::aggregate_file::{self, Format};
use super::limit::Limit;
use crate::config::Bytes;
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind,
};
use crate::elements::basic::{HandlerCall, parse_handler};
use crate::packet::{BATCH, Packet};
use crate::state::{FlowTable, Reader, Record, Schema, SlotId, StateError, Stateful, Table, Writer};

/// No more than these are kept: forged addresses must not use up the memory of the machine.
const MOST_AGGREGATES: usize = 1 << 22;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "AggregateCounter",
    summary: "counts packets per aggregate annotation",
    ports: "1-2/1-2",
    args: &[
        Arg::keyword("BYTES", "bool", "false", "count bytes instead of packets"),
        Arg::keyword("IP_BYTES", "bool", "false", "count no bytes before the network header"),
        Arg::keyword("MULTIPACKET", "bool", "true", "let a packet that stands for several count as many"),
        Arg::keyword("EXTRA_LENGTH", "bool", "true", "count bytes that were not captured"),
        Arg::keyword("AGGREGATE_FREEZE", "unsigned", "", "freeze at this number of aggregates"),
        Arg::keyword("COUNT_FREEZE", "unsigned", "", "freeze at this total"),
        Arg::keyword("AGGREGATE_STOP", "unsigned", "", "stop the router at this number of aggregates"),
        Arg::keyword("COUNT_STOP", "unsigned", "", "stop the router at this total"),
        Arg::keyword("AGGREGATE_CALL", "N HANDLER [VALUE]", "", "write handler called at N aggregates"),
        Arg::keyword("COUNT_CALL", "N HANDLER [VALUE]", "", "write handler called at a total of N"),
        Arg::keyword("BANNER", "string", "", "written at the head of files"),
    ],
    reads: Annotations(
        Annotations::AGGREGATE.0
            | Annotations::EXTRA_LENGTH.0
            | Annotations::EXTRA_PACKETS.0
            | Annotations::NETWORK_HEADER.0,
    ),
    handlers: &[
        Handler::read("nagg", "aggregates counted"),
        Handler::read("count", "total over all aggregates"),
        Handler::read("counts", "aggregate and count, a line each"),
        Handler::both("freeze", "whether new aggregates are left out"),
        Handler::both("active", "whether packets are counted"),
        Handler::write("stop", "counts no more, and stops the router"),
        Handler::write("clear", "forgets all counts"),
        Handler::write(
            "reaggregate_counts",
            "makes each count an aggregate, counted as often as it appeared",
        ),
        Handler::write("counts_pdf", "same as reaggregate_counts"),
        Handler::both("banner", "written at the head of files"),
        Handler::both("aggregate_call", "N HANDLER [VALUE]"),
        Handler::both("count_call", "N HANDLER [VALUE]"),
        Handler::write("write_text_file", "writes aggregates and counts to a file, - for standard output"),
        Handler::write("write_ascii_file", "same as write_text_file"),
        Handler::write("write_ip_file", "same with aggregates as addresses"),
        Handler::write("write_pdf_file", "same with counts as parts of the total"),
        Handler::write("write_file", "same in binary: 32 bits each"),
    ],
    ties: |config| HandlerCall::ties(config, &["AGGREGATE_CALL", "COUNT_CALL"], 1),
    state: StateKind::Tables,
    details: "The aggregate annotation is a number that AggregateIP or AggregateIPFlows sets. A frozen counter counts only \
              packets of aggregates that it knows; so does the second input, always. With two outputs, pushed packets \
              that were not counted leave by output 1. At most 4194304 aggregates are kept. Of AGGREGATE_FREEZE, \
              AGGREGATE_STOP and AGGREGATE_CALL only one can be given, and of COUNT_FREEZE, COUNT_STOP and COUNT_CALL; \
              those on aggregates happen before the packet of one aggregate more is counted. Files begin with \
              !IPAggregate 1.0, the banner and the number of aggregates.",
    example: r#"
        InfiniteSource(DATA \<01 02>, LIMIT 12, STOP true) -> r :: RoundRobinSwitch;
        r[0] -> UDPIPEncap(1.0.0.1, 1000, 2.0.0.2, 53) -> a :: AggregateIP(ip src) -> n :: AggregateCounter;
        r[1] -> UDPIPEncap(2.0.0.2, 53, 1.0.0.1, 1000) -> a;
        r[2] -> Counter(COUNT_CALL 2 n.freeze true) -> sw :: Switch -> UDPIPEncap(3.0.0.1, 2000, 2.0.0.2, 53) -> a;
        sw[1] -> UDPIPEncap(4.0.0.1, 2000, 2.0.0.2, 53) -> a;
        n -> Counter(COUNT_CALL 7 sw.switch 1) -> Discard;
        DriverManager(wait_stop, print "$(n.nagg) aggregates, $(n.count) packets",
                      write n.write_ip_file -);
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
    ip_bytes: bool,
    multipacket: bool,
    extra_length: bool,
    frozen: bool,
    active: bool,
    total: u64,
    /// What happens at numbers of aggregates, and at totals.
    at_aggregates: Limit,
    at_count: Limit,
    banner: Vec<u8>,
    /// Whether the table was emptied while a batch is treated: what was found in it before is not there any more.
    cleared: bool,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(AggregateCounter {
        // Counts stay until they are cleared.
        counts: FlowTable::new(Schema { name: "flow/counts", version: 1 }, |_, _| u64::MAX),
        bytes: args.or("BYTES", false)?,
        ip_bytes: args.or("IP_BYTES", false)?,
        multipacket: args.or("MULTIPACKET", true)?,
        extra_length: args.or("EXTRA_LENGTH", true)?,
        frozen: false,
        active: true,
        total: 0,
        at_aggregates: Limit::build(
            args,
            ["AGGREGATE_FREEZE", "AGGREGATE_STOP", "AGGREGATE_CALL"],
            "number of aggregates",
        )?,
        at_count: Limit::build(args, ["COUNT_FREEZE", "COUNT_STOP", "COUNT_CALL"], "count")?,
        banner: args.or("BANNER", Bytes::default())?.0,
        cleared: false,
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
        let before = packet.network_offset().filter(|_| self.ip_bytes).unwrap_or(0);
        let length = packet.len() as u64 + if self.extra_length { u64::from(anno.extra_length) } else { 0 };
        length.saturating_add_signed(-(before as i64))
    }

    /// Counts a packet; `false` if it is left out.
    #[inline]
    fn count(&mut self, cx: &mut Cx<'_>, packet: &Packet, found: Option<SlotId>, frozen: bool) -> bool {
        let (key, amount) = (Aggregate(packet.anno().aggregate), self.amount(packet));
        let slot = found.or_else(|| self.counts.find(&key));
        if let Some(count) = slot.and_then(|slot| self.counts.value_mut_lazy(slot)) {
            count.0 = count.0.saturating_add(amount);
        } else if amount > 0 {
            if !frozen && !self.frozen && self.reach(cx, true) {
                // The handler may have changed anything.
                return self.active && self.count(cx, packet, None, frozen);
            }
            if frozen || self.frozen || self.counts.len() >= MOST_AGGREGATES {
                return false;
            }
            self.counts.insert_lazy(key, Count(amount));
        }
        self.total = self.total.saturating_add(amount);
        self.reach(cx, false);
        true
    }

    /// Does what is to happen at a number of aggregates (or at a total), if it is reached. Whether it was.
    #[inline]
    fn reach(&mut self, cx: &mut Cx<'_>, aggregates: bool) -> bool {
        let number = if aggregates { self.counts.len() as u64 } else { self.total };
        let limit = if aggregates { &mut self.at_aggregates } else { &mut self.at_count };
        if number < limit.at {
            return false;
        }
        let (handler, value) = limit.reached(cx.name());
        match handler.rsplit_once('.') {
            Some((name, own)) if name == cx.name() => {
                if let Err(error) = self.write(cx, own, &value) {
                    cx.message(format_args!("{handler}: {error}"));
                }
            }
            _ => cx.write_later(handler, value),
        }
        true
    }

    fn stop(&mut self, cx: &mut Cx<'_>) {
        self.active = false;
        cx.stop();
    }

    /// Aggregates and counts, in order of aggregates.
    fn sorted(&self) -> Vec<(u32, u64)> {
        let mut all: Vec<_> = self.counts.iter().map(|(key, count)| (key.0, count.0)).collect();
        all.sort_unstable();
        all
    }

    fn clear(&mut self) {
        let all: Vec<_> = self.counts.iter().map(|(key, _)| *key).collect();
        for key in &all {
            self.counts.remove(key);
        }
        self.total = 0;
        self.cleared = true;
    }

    fn reaggregate(&mut self) {
        let old = self.sorted();
        self.clear();
        for (_, count) in old {
            let key = Aggregate(u32::try_from(count).unwrap_or(u32::MAX));
            match self.counts.find(&key).and_then(|slot| self.counts.value_mut_lazy(slot)) {
                Some(count) => count.0 += 1,
                None => {
                    self.counts.insert_lazy(key, Count(1));
                }
            }
            self.total += 1;
        }
    }

    fn write_file(&self, cx: &Cx<'_>, file: &str, format: Format) -> Result<(), HandlerError> {
        let contents = aggregate_file::contents(&self.banner, &self.sorted(), self.total, format);
        aggregate_file::write(cx, file, &contents).map_err(HandlerError::Refused)
    }
}

impl Element for AggregateCounter {
    #[inline]
    fn push(&mut self, cx: &mut Cx<'_>, port: usize, batch: &mut Batch) {
        // All look-ups first: in the processor they overlap. No count goes while the batch is treated.
        let mut found = [None; BATCH];
        if self.active {
            for (slot, packet) in found.iter_mut().zip(batch.iter()) {
                *slot = self.counts.find(&Aggregate(packet.anno().aggregate));
            }
        }
        self.cleared = false;
        let apart = cx.outputs() > 1;
        let mut found = found.into_iter();
        batch.filter_map(|packet| {
            let slot = found.next().flatten().filter(|_| !self.cleared);
            let counted = self.active && self.count(cx, &packet, slot, port > 0);
            if counted || !apart {
                return Some(packet);
            }
            cx.emit(1, packet);
            None
        });
    }

    fn pull(&mut self, cx: &mut Cx<'_>, port: usize, batch: &mut Batch, max: usize) {
        cx.pull(if cx.inputs() > 1 { port } else { 0 }, batch, max);
        for packet in batch.iter() {
            if self.active {
                self.count(cx, packet, None, port > 0);
            }
        }
    }

    fn read(&mut self, cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "nagg" => Ok(self.counts.len().to_string()),
            "count" => Ok(self.total.to_string()),
            "freeze" => Ok(self.frozen.to_string()),
            "active" => Ok(self.active.to_string()),
            "counts" => Ok(self.sorted().iter().map(|(key, count)| format!("{key} {count}\n")).collect()),
            "banner" => Ok(String::from_utf8_lossy(&self.banner).into_owned()),
            "aggregate_call" => Ok(self.at_aggregates.show(cx.name())),
            "count_call" => Ok(self.at_count.show(cx.name())),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "freeze" => self.frozen = parse_handler(value)?,
            "active" => self.active = parse_handler(value)?,
            "stop" => self.stop(cx),
            "clear" => self.clear(),
            "reaggregate_counts" | "counts_pdf" => self.reaggregate(),
            "banner" => self.banner = aggregate_file::banner(value),
            "aggregate_call" => self.at_aggregates = Limit::parse_handler(handler, value)?,
            "count_call" => self.at_count = Limit::parse_handler(handler, value)?,
            "write_text_file" | "write_ascii_file" => self.write_file(cx, value, Format::Text)?,
            "write_ip_file" => self.write_file(cx, value, Format::Addresses)?,
            "write_pdf_file" => self.write_file(cx, value, Format::Parts)?,
            "write_file" => self.write_file(cx, value, Format::Binary)?,
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
        Schema { name: "flow/counter", version: 2 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.total);
        w.put_bool(self.frozen);
        w.put_bool(self.active);
        self.at_aggregates.save(w);
        self.at_count.save(w);
        w.put_bytes(&self.banner);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.total = r.get_u64()?;
        self.frozen = r.get_bool()?;
        self.active = r.get_bool()?;
        self.at_aggregates.restore(r)?;
        self.at_count.restore(r)?;
        self.banner = r.get_bytes()?.to_vec();
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

    fn counter(config: &str) -> Bench {
        Bench::new(&format!(
            "in :: TestIn -> c :: AggregateCounter({config}) -> out :: TestOut; c[1] -> no :: TestOut;"
        ))
    }

    fn push(bench: &mut Bench, aggregates: &[u32]) {
        for &aggregate in aggregates {
            let mut packet = Packet::from_slice(&[0; 10]);
            packet.anno_mut().aggregate = aggregate;
            bench.push_packets("in", 0, [packet]);
        }
    }

    #[test]
    fn each_aggregate_is_counted_apart_until_it_freezes() {
        let mut bench = counter("AGGREGATE_FREEZE 2");
        push(&mut bench, &[1, 2, 1, 3]);
        let counts = (bench.read("c", "counts"), bench.read("c", "nagg"), bench.read("c", "count"));
        assert_eq!(counts, ("1 2\n2 1\n".into(), "2".into(), "3".into()));
        assert_eq!((bench.take("out").len(), bench.take("no").len()), (3, 1));
        assert_eq!(bench.read("c", "freeze"), "true");
        bench.router.write_handler("c", "clear", "").unwrap();
        assert_eq!(bench.read("c", "nagg"), "0");
    }

    #[test]
    fn the_second_input_is_frozen_and_one_output_gets_all() {
        let mut bench = Bench::new(
            "in :: TestIn -> c :: AggregateCounter(BYTES true) -> out :: TestOut; second :: TestIn -> [1]c;",
        );
        bench.push("second", b"12");
        push(&mut bench, &[0]);
        bench.push("second", b"12");
        assert_eq!((bench.read("c", "counts"), bench.take("out").len()), ("0 12\n".into(), 3));
    }

    #[test]
    fn totals_and_numbers_of_aggregates_stop_or_call() {
        let mut bench = counter("COUNT_STOP 2");
        push(&mut bench, &[1, 2, 3]);
        assert!(bench.pass().stop);
        assert_eq!((bench.read("c", "active"), bench.read("c", "count")), ("false".into(), "2".into()));
        let mut bench = counter("AGGREGATE_CALL 1 c.clear");
        assert_eq!(bench.read("c", "aggregate_call"), "1 c.clear");
        push(&mut bench, &[1, 2, 3]);
        assert_eq!(
            (bench.read("c", "counts"), bench.read("c", "aggregate_call")),
            ("2 1\n3 1\n".into(), String::new())
        );
        bench.router.write_handler("c", "count_call", "3 c.freeze true").unwrap();
        push(&mut bench, &[3, 3, 4]);
        assert_eq!(bench.read("c", "counts"), "2 1\n3 3\n");
    }

    #[test]
    fn counts_become_aggregates() {
        let mut bench = counter("");
        push(&mut bench, &[1, 1, 2, 3, 4, 4]);
        bench.router.write_handler("c", "reaggregate_counts", "").unwrap();
        assert_eq!((bench.read("c", "counts"), bench.read("c", "count")), ("1 2\n2 2\n".into(), "4".into()));
    }

    #[test]
    fn small_state_moves() {
        let (mut from, mut to) = (counter("AGGREGATE_FREEZE 9"), counter("AGGREGATE_FREEZE 9"));
        for (handler, value) in [("banner", "!x"), ("aggregate_call", "7 c.stop"), ("freeze", "true")] {
            from.router.write_handler("c", handler, value).unwrap();
        }
        from.move_to(&mut to);
        for (handler, value) in [("banner", "!x\n"), ("aggregate_call", "7 c.stop"), ("freeze", "true")] {
            assert_eq!(to.read("c", handler), value);
        }
    }

    #[test]
    fn what_excludes_each_other_and_wrong_calls_are_refused() {
        let error = |config: &str| Bench::error(&format!("Idle -> AggregateCounter({config}) -> Discard;"));
        let wanted = "'AGGREGATE_FREEZE', 'AGGREGATE_STOP', and 'AGGREGATE_CALL' are mutually exclusive";
        assert!(error("AGGREGATE_FREEZE 1, AGGREGATE_STOP 2").contains(wanted));
        assert!(error("COUNT_CALL many x.y").contains("COUNT_CALL first word should be unsigned (count)"));
        let mut bench = counter("");
        let refused = bench.router.write_handler("c", "count_call", "x").unwrap_err();
        assert_eq!(refused.to_string(), "argument to 'count_call' should be 'N HANDLER [VALUE]'");
    }
}
