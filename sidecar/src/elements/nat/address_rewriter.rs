//! IPAddrRewriter and IPAddrPairRewriter: translation of addresses alone, for any IP protocol and for fragments.
//!
//! They use the rewriters' table with flows that have no ports. An IPAddrRewriter's flow is one internal address: its
//! forward flow has no destination, its reply flow no source.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::admission::{Accept, Admission, FULL, NO_PORT, UNKNOWN};
use super::flows::{Flows, handlers};
use super::icmp_rewriter::{Concerned, Quoted};
use super::input_spec::ties;
use super::ip_rewriter::{
    CAPACITY, CAPACITY_TOO, FAIL_OUTPUT, REAP, REAP_TOO, SPECS, fail_output, guarantee, nanos, refuse,
};
use super::mapping::{Ports, Timeouts, Way};
use super::pattern::{Pattern, Variation};
use super::reply_anno::{self, ByteAnno, REPLY_ANNO};
use super::table::MappingTable;
use super::translate::rewrite_addresses;
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet,
    StateKind,
};
use crate::state::{Schema, SlotId, Stateful};
use crate::wire::{FlowId, Ipv4, Protocol};

const NOT_IP: &str = "not an IP packet";

const BASE: Descriptor = Descriptor {
    ports: "1-/1-",
    processing: "h/h",
    args: &[
        SPECS,
        Arg::keyword("TIMEOUT", "time", "7200", "a mapping goes after so long without a packet"),
        guarantee("GUARANTEE", "5"),
        REAP,
        REAP_TOO,
        CAPACITY,
        CAPACITY_TOO,
        REPLY_ANNO,
        FAIL_OUTPUT,
    ],
    reads: Annotations::NETWORK_HEADER.union(reply_anno::READS),
    ties,
    drops: &[NOT_IP, UNKNOWN, NO_PORT, FULL],
    handlers: handlers![Handler::read("table", "all mappings"), Handler::read("mappings", "all mappings")],
    state: StateKind::Tables,
    ..Descriptor::BASE
};

pub(super) static IP_ADDR_REWRITER: Descriptor = Descriptor {
    class: "IPAddrRewriter",
    summary: "rewrites IP packets' addresses",
    details: "Translates addresses and leaves ports alone, so it works for every protocol and for fragments: each inside address needs a public one of its own.",
    example: r#"
        RatedSource(DATA "query", RATE 10, LIMIT 12, STOP true) -> s :: RoundRobinSwitch;
        s[0] -> UDPIPEncap(10.0.0.1, 1024, 20.0.0.9, 53) -> in :: Null;
        s[1] -> UDPIPEncap(10.0.0.2, 1024, 20.0.0.9, 53) -> in;
        s[2] -> UDPIPEncap(10.0.0.1, 1025, 20.0.0.8, 80) -> in;
        in -> rw :: IPAddrRewriter(pattern 192.0.2.1-192.0.2.9 - 0 1, drop);
        rw[0] -> IPPrint(out) -> IPMirror -> [1]rw;
        rw[1] -> IPPrint(back) -> Discard;
        DriverManager(wait_stop, print $(rw.table));
    "#,
    build: |args| build(args, Keyed::Address),
    ..BASE
};

pub(super) static IP_ADDR_PAIR_REWRITER: Descriptor = Descriptor {
    class: "IPAddrPairRewriter",
    summary: "rewrites IP packets' addresses by address pair",
    details: "As IPAddrRewriter, with a mapping for each pair of source and destination.",
    example: r#"
        RatedSource(DATA "query", RATE 10, LIMIT 12, STOP true) -> s :: RoundRobinSwitch;
        s[0] -> UDPIPEncap(10.0.0.1, 1024, 20.0.0.9, 53) -> in :: Null;
        s[1] -> UDPIPEncap(10.0.0.2, 1024, 20.0.0.9, 53) -> in;
        s[2] -> UDPIPEncap(10.0.0.1, 1025, 20.0.0.8, 80) -> in;
        in -> rw :: IPAddrPairRewriter(pattern 192.0.2.1-192.0.2.9 - 0 1, drop);
        rw[0] -> IPPrint(out) -> IPMirror -> [1]rw;
        rw[1] -> IPPrint(back) -> Discard;
        DriverManager(wait_stop, print $(rw.table));
    "#,
    build: |args| build(args, Keyed::Pair),
    ..BASE
};

/// What a flow is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keyed {
    /// All packets from an address.
    Address,
    /// All packets from one address to another.
    Pair,
}

/// The element behind both classes.
pub(crate) struct AddressRewriter {
    keyed: Keyed,
    flows: Flows,
    reply_anno: Option<ByteAnno>,
    fail_output: Option<usize>,
}

fn build(args: &Args<'_>, keyed: Keyed) -> Result<Box<dyn Element>, ConfigError> {
    let guarantee = args.or("GUARANTEE", Duration::from_secs(5))?;
    let timeout = nanos(args.or("TIMEOUT", Duration::from_secs(7200))?.max(guarantee));
    let guarantee = nanos(guarantee);
    let timeouts = Timeouts {
        tcp: timeout,
        tcp_done: timeout,
        tcp_nodata: timeout,
        udp: timeout,
        udp_streaming: timeout,
        tcp_guarantee: guarantee,
        guarantee,
        tracks_tcp: false,
    };
    let accept: Accept = match keyed {
        Keyed::Address => |pattern| Keyed::Address.accept(pattern),
        Keyed::Pair => |pattern| Keyed::Pair.accept(pattern),
    };
    let admission = Admission::build(args, accept)?;
    let schema = Schema { name: "nat/address-rewriter", version: 2 };
    Ok(Box::new(AddressRewriter {
        keyed,
        flows: Flows::new(schema, admission, MappingTable::new(timeouts)),
        reply_anno: args.get("REPLY_ANNO")?,
        fail_output: fail_output(args)?,
    }))
}

impl Keyed {
    fn accept(self, pattern: &Pattern) -> Result<(), String> {
        let ports = pattern.source_port.is_some() || pattern.destination_port.is_some();
        if ports || matches!(pattern.variation, Variation::Port { .. }) {
            return Err(
                "a pattern here has addresses only: 'SADDR DADDR'; use IPRewriter for ports".to_owned()
            );
        }
        if self == Self::Address && pattern.destination.is_some() {
            return Err("the destination address must be '-'; use IPAddrPairRewriter".to_owned());
        }
        Ok(())
    }

    fn forward(self, source: u32, destination: u32) -> FlowId {
        let destination = if self == Self::Pair { destination } else { 0 };
        // The protocol stands for all: these tables know no other.
        FlowId { source, destination, source_port: 0, destination_port: 0, protocol: Protocol::Udp }
    }

    fn find(self, table: &MappingTable, source: u32, destination: u32) -> Option<(SlotId, Way)> {
        let forward = table.find_forward(&self.forward(source, destination));
        let reply = self.forward(destination, source).reverse();
        forward
            .map(|slot| (slot, Way::Forward))
            .or_else(|| table.find_reply(&reply).map(|slot| (slot, Way::Reply)))
    }
}

impl AddressRewriter {
    pub(super) fn flows(&mut self) -> &mut Flows {
        &mut self.flows
    }

    /// What an ICMP error concerns that quotes a packet.
    pub(super) fn concerned(&self, quoted: &Quoted) -> Option<Concerned> {
        let (slot, way) = self.keyed.find(&self.flows.table, quoted.destination, quoted.source)?;
        let (original, mapping) = self.flows.table.get(slot)?;
        let (source, destination) = match (self.keyed, way) {
            (Keyed::Address, Way::Forward) => (quoted.source, mapping.rewritten.source),
            (Keyed::Address, Way::Reply) => (original.source, quoted.destination),
            (Keyed::Pair, Way::Forward) => (mapping.rewritten.destination, mapping.rewritten.source),
            (Keyed::Pair, Way::Reply) => (original.source, original.destination),
        };
        let ports = quoted.flow.unwrap_or(*original);
        Some(Concerned::of(FlowId { source, destination, ..ports }, mapping, way))
    }

    /// Rewrites a packet; answers its output.
    fn treat(
        &mut self,
        cx: &mut Cx<'_>,
        input: usize,
        packet: &mut Packet,
        now: u64,
    ) -> Result<u16, &'static str> {
        let Some((ip, _)) = Ipv4::parse(packet.network()) else { return Err(NOT_IP) };
        let (source, destination) = (ip.source.get(), ip.destination.get());
        let (slot, way) = match self.keyed.find(&self.flows.table, source, destination) {
            Some(found) => found,
            None => match self.flows.admission.passes(input) {
                Some(output) => return Ok(output),
                None => {
                    let flow = self.keyed.forward(source, destination);
                    let slot = self.flows.admit(cx, input, flow, now)?;
                    if let (Some(anno), Some(mapping)) = (self.reply_anno, self.flows.table.change(slot)) {
                        mapping.reply_anno = anno.get(packet);
                    }
                    (slot, Way::Forward)
                }
            },
        };
        let Some((original, mapping)) = self.flows.table.get(slot) else { return Err(UNKNOWN) };
        let (to, output) = match way {
            Way::Forward => (mapping.rewritten, mapping.forward_output),
            Way::Reply => (original.reverse(), mapping.reply_output),
        };
        let (new_source, new_destination) = match (self.keyed, way) {
            (Keyed::Pair, _) => (to.source, to.destination),
            (Keyed::Address, Way::Forward) => (to.source, destination),
            (Keyed::Address, Way::Reply) => (source, to.destination),
        };
        rewrite_addresses(packet.network_mut(), new_source, new_destination);
        if self.keyed == Keyed::Pair || way == Way::Reply {
            packet.anno_mut().dst_ip = Ipv4Addr::from(new_destination);
        }
        if let Some(mapping) = self.flows.table.note(slot) {
            mapping.last_seen = now;
            if let Some(anno) = self.reply_anno.filter(|_| way == Way::Reply) {
                anno.set(packet, mapping.reply_anno);
            }
        }
        Ok(output)
    }

    fn show(&self, now: u64) -> String {
        let address = |address: u32| Ipv4Addr::from(address);
        let mut lines = BTreeMap::new();
        for (flow, mapping) in self.flows.table.iter() {
            let (to, left) = (&mapping.rewritten, self.flows.table.left(flow, mapping, now));
            let (forward, reply) = match self.keyed {
                Keyed::Address => (
                    format!("{} => {}", address(flow.source), address(to.source)),
                    // As Click prints it: a reply flow has no source, and the original no destination.
                    format!("{} => {}", address(0), address(0)),
                ),
                Keyed::Pair => {
                    let pair = |a, b| format!("({}, {})", address(a), address(b));
                    let (inside, outside) =
                        (pair(flow.source, flow.destination), pair(to.source, to.destination));
                    let back = (pair(to.destination, to.source), pair(flow.destination, flow.source));
                    (format!("{inside} => {outside}"), format!("{} => {}", back.0, back.1))
                }
            };
            for (flows, way) in [(forward, Way::Forward), (reply, Way::Reply)] {
                let line = format!("{flows} {}\n", Ports { mapping, way, left });
                lines.insert((*flow, way == Way::Reply), line);
            }
        }
        lines.into_values().collect()
    }
}

impl Element for AddressRewriter {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        self.flows.initialize(cx)
    }

    fn start(&mut self, cx: &mut Cx<'_>) {
        self.flows.admission.start(cx);
    }

    fn push(&mut self, cx: &mut Cx<'_>, port: usize, batch: &mut Batch) {
        let now = cx.now().0;
        self.flows.expire(now);
        for mut packet in batch.drain() {
            match self.treat(cx, port, &mut packet, now) {
                Ok(output) => cx.emit(usize::from(output), packet),
                Err(reason) => refuse(cx, self.fail_output, reason, packet),
            }
        }
    }

    fn read(&mut self, cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        let now = cx.now().0;
        self.flows.expire(now);
        match handler {
            "table" | "mappings" => Ok(self.show(now)),
            other => self.flows.read(cx, other),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        self.flows.write(cx, handler, value)
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(&mut self.flows)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{only, tcp, udp, verified};
    use crate::testing::Bench;

    const INSIDE: [u8; 4] = [10, 0, 0, 5];
    const OUTSIDE: [u8; 4] = [192, 0, 2, 7];

    fn bench(element: &str) -> Bench {
        Bench::new(&format!(
            "in :: TestIn -> MarkIPHeader -> [0]rw :: {element};
            back :: TestIn -> MarkIPHeader -> [1]rw; rw[0] -> out :: TestOut; rw[1] -> home :: TestOut;"
        ))
    }

    fn pass(bench: &mut Bench, (input, output): (&str, &str), packet: &[u8]) -> ([u8; 4], [u8; 4]) {
        bench.push(input, packet);
        let (source, destination) = verified(&only(bench.take(output)));
        (source.0, destination.0)
    }

    #[test]
    fn an_internal_host_has_one_public_address_for_all_it_talks_to() {
        let mut bench = bench("IPAddrRewriter(pattern 203.0.113.1-203.0.113.9# - 0 1, drop)");
        let public = [203, 0, 113, 1];
        for packet in [
            udp((INSIDE, 4000), (OUTSIDE, 53), b"question"),
            tcp((INSIDE, 4000), ([192, 0, 2, 8], 80), "S", b""),
        ] {
            assert_eq!(pass(&mut bench, ("in", "out"), &packet).0, public);
        }
        let reply = udp((OUTSIDE, 53), (public, 4000), b"answer");
        assert_eq!(pass(&mut bench, ("back", "home"), &reply), (OUTSIDE, INSIDE));
        assert_eq!((bench.read("rw", "size"), bench.read("rw", "table_size")), ("1".into(), "2".into()));
        assert!(bench.read("rw", "table").starts_with("10.0.0.5 => 203.0.113.1 [*0 1] i0 exp7200\n"));
        bench.push("back", &udp((OUTSIDE, 53), ([203, 0, 113, 2], 4000), b"to nobody"));
        assert_eq!(bench.drops("rw", "no mapping"), 1);
    }

    #[test]
    fn when_all_addresses_are_taken_the_next_host_gets_none() {
        let mut bench = bench("IPAddrRewriter(pattern 203.0.113.1-203.0.113.2# - 0 1, drop)");
        for host in 1..=3 {
            bench.push("in", &udp(([10, 0, 0, host], 1), (OUTSIDE, 2), b""));
        }
        assert_eq!((bench.take("out").len(), bench.drops("rw", "no free port")), (2, 1));
        assert_eq!(bench.read("rw", "mapping_failures"), "1");
    }

    #[test]
    fn a_pair_of_addresses_is_mapped_both_ways_and_printed_as_click_does() {
        let mut bench = bench("IPAddrPairRewriter(pattern 203.0.113.1 198.51.100.1 0 1, drop)");
        let (public, server) = ([203, 0, 113, 1], [198, 51, 100, 1]);
        let request = udp((INSIDE, 4000), (OUTSIDE, 53), b"question");
        assert_eq!(pass(&mut bench, ("in", "out"), &request), (public, server));
        let reply = udp((server, 53), (public, 4000), b"answer");
        assert_eq!(pass(&mut bench, ("back", "home"), &reply), (OUTSIDE, INSIDE));
        let table = bench.read("rw", "mappings");
        let lines: Vec<_> = table.lines().map(|line| line.rsplit_once(" exp").unwrap().0).collect();
        assert_eq!(
            lines,
            [
                "(10.0.0.5, 192.0.2.7) => (203.0.113.1, 198.51.100.1) [*0 1] i0",
                "(198.51.100.1, 203.0.113.1) => (192.0.2.7, 10.0.0.5) [0 *1] i0"
            ]
        );
    }

    #[test]
    fn a_later_fragment_follows_its_flow() {
        let mut bench = bench("IPAddrRewriter(pattern 203.0.113.1 - 0 1, drop)");
        let mut packet = udp((INSIDE, 4000), (OUTSIDE, 53), b"the middle of a datagram");
        packet[7] = 10;
        crate::wire::ipv4::set_checksum(&mut packet);
        bench.push("in", &packet);
        let out = only(bench.take("out"));
        assert_eq!(
            (&out[12..16], &out[20..]),
            (&[203, 0, 113, 1][..], &packet[20..]),
            "the payload is as it was"
        );
    }

    #[test]
    fn patterns_with_ports_or_a_destination_are_refused_with_the_way_out() {
        let refused = |config: &str| Bench::error(&format!("TestIn -> {config} -> TestOut;"));
        let ports = refused("IPAddrRewriter(pattern 1.0.0.1 20-30 - - 0 0)");
        assert!(ports.contains("input spec 0") && ports.contains("use IPRewriter"), "{ports}");
        let destination = refused("IPAddrRewriter(pattern 1.0.0.1 2.0.0.2 0 0)");
        assert!(destination.contains("use IPAddrPairRewriter"), "{destination}");
    }
}
