//! IPRewriter and its kin: network address and port translation, one engine behind four classes.
//!
//! A packet of a known flow is rewritten as its mapping says; one of an unknown flow is treated as its input's
//! specification says. New mappings are strict changes, what packets note in them is lazy. Applications that need their
//! addresses translated inside payloads get no help here: no gateway is active by default (RFC 4787, REQ-10), and
//! the same packets always get the same treatment (REQ-11). A reply reaches an internal endpoint only from the address
//! and port that it talked to: the strictest filtering, which RFC 4787, REQ-8 leaves to the administrator.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::admission::{Admission, FULL, NO_PORT, UNKNOWN};
use super::flows::Flows;
use super::input_spec::ties;
use super::mapping::{Mapping, Printed, Timeouts, Way};
use super::table::MappingTable;
use super::translate::rewrite;
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet,
    StateKind,
};
use crate::packet::BATCH;
use crate::state::{Schema, SlotId, Stateful};
use crate::wire::{FlowId, Protocol};

const DROPS: &[&str] = &[NOT_FLOW, FRAGMENT, UNKNOWN, NO_PORT, FULL];
const NOT_FLOW: &str = "not a packet of a rewritten protocol";
const FRAGMENT: &str = "later fragment";

const HANDLERS: &[Handler] = &[
    Handler::read("table_size", "mappings, two for each flow"),
    Handler::read("nmappings", "mappings, two for each flow"),
    Handler::read("mapping_failures", "new flows that got no mapping"),
    Handler::read("size", "flows"),
    Handler::both("capacity", "most flows, and how many of them are reserved"),
    Handler::read("table", "all mappings"),
    Handler::read("mappings", "all mappings"),
    Handler::read("tcp_table", "mappings of TCP flows"),
    Handler::read("udp_table", "mappings of UDP flows"),
    Handler::read("tcp_mappings", "mappings of TCP flows"),
    Handler::read("udp_mappings", "mappings of UDP flows"),
    Handler::read("tcp_done_mappings", "mappings of TCP flows that have ended"),
    Handler::read("tcp_lookup", "SADDR SPORT DADDR DPORT: the rewritten flow, or nothing"),
    Handler::read("udp_lookup", "SADDR SPORT DADDR DPORT: the rewritten flow, or nothing"),
    Handler::read("patterns", "the patterns of the inputs, a line each"),
];

pub(super) const SPECS: Arg =
    Arg::rest("INPUTSPEC", "drop, pass, keep or pattern", "treatment of unknown flows, one for each input");
pub(super) const CAPACITY: Arg = Arg::keyword("MAPPING_CAPACITY", "unsigned", "2147483647", "most flows");
pub(super) const DST_ANNO: Arg =
    Arg::keyword("DST_ANNO", "bool", "true", "set the destination annotation to the rewritten address");
pub(super) const REAP: Arg =
    Arg::keyword("REAP_INTERVAL", "time", "900", "taken for Click's sake: flows go when they are due");
const TCP: Arg = Arg::keyword("TCP_TIMEOUT", "time", "86400", "for TCP flows with data both ways");
const TCP_DONE: Arg = Arg::keyword("TCP_DONE_TIMEOUT", "time", "240", "for TCP flows that have ended");
const TCP_NODATA: Arg =
    Arg::keyword("TCP_NODATA_TIMEOUT", "time", "300", "for TCP flows without data one way");
const TCP_GUARANTEE: Arg =
    Arg::keyword("TCP_GUARANTEE", "time", "5", "no TCP flow goes earlier after a packet");

const BASE: Descriptor = Descriptor {
    ports: "1-/1-",
    processing: "h/h",
    reads: Annotations::NETWORK_HEADER,
    writes: Annotations::DST_IP,
    ties,
    drops: DROPS,
    handlers: HANDLERS,
    state: StateKind::Tables,
    ..Descriptor::BASE
};

pub(super) static IP_REWRITER: Descriptor = Descriptor {
    class: "IPRewriter",
    summary: "rewrites TCP/UDP packets' addresses and ports",
    args: &[
        SPECS,
        TCP,
        TCP_DONE,
        TCP_NODATA,
        TCP_GUARANTEE,
        Arg::keyword("UDP_TIMEOUT", "time", "300", "for UDP flows"),
        Arg::keyword(
            "UDP_STREAMING_TIMEOUT",
            "time",
            "UDP_TIMEOUT",
            "for UDP flows with answers and three packets",
        ),
        Arg::keyword("UDP_GUARANTEE", "time", "5", "no UDP flow goes earlier after a packet"),
        REAP,
        CAPACITY,
        DST_ANNO,
    ],
    build: |args| {
        build(args, &[Protocol::Tcp, Protocol::Udp], "UDP_TIMEOUT", "UDP_STREAMING_TIMEOUT", "UDP_GUARANTEE")
    },
    ..BASE
};

pub(super) static TCP_REWRITER: Descriptor = Descriptor {
    class: "TCPRewriter",
    summary: "rewrites TCP packets' addresses and ports",
    args: &[SPECS, TCP, TCP_DONE, TCP_NODATA, TCP_GUARANTEE, REAP, CAPACITY, DST_ANNO],
    build: |args| build(args, &[Protocol::Tcp], "", "", ""),
    ..BASE
};

pub(super) static UDP_REWRITER: Descriptor = Descriptor {
    class: "UDPRewriter",
    summary: "rewrites UDP packets' addresses and ports",
    args: &[
        SPECS,
        Arg::keyword("TIMEOUT", "time", "300", "for all flows"),
        Arg::keyword("STREAMING_TIMEOUT", "time", "TIMEOUT", "for flows with answers and three packets"),
        Arg::keyword("GUARANTEE", "time", "5", "no flow goes earlier after a packet"),
        REAP,
        CAPACITY,
        DST_ANNO,
    ],
    build: |args| build(args, &[Protocol::Udp], "TIMEOUT", "STREAMING_TIMEOUT", "GUARANTEE"),
    ..BASE
};

pub(super) static ICMP_PING_REWRITER: Descriptor = Descriptor {
    class: "ICMPPingRewriter",
    summary: "rewrites ICMP echo requests and replies",
    args: &[
        SPECS,
        Arg::keyword("TIMEOUT", "time", "300", "for all flows"),
        Arg::keyword("GUARANTEE", "time", "5", "no flow goes earlier after a packet"),
        REAP,
        CAPACITY,
        DST_ANNO,
    ],
    build: |args| build(args, &[Protocol::Icmp], "TIMEOUT", "", "GUARANTEE"),
    ..BASE
};

/// The element behind the four classes.
pub(crate) struct IpRewriter {
    protocols: &'static [Protocol],
    flows: Flows,
    set_destination: bool,
}

fn build(
    args: &Args<'_>,
    protocols: &'static [Protocol],
    timeout: &str,
    streaming: &str,
    guarantee: &str,
) -> Result<Box<dyn Element>, ConfigError> {
    let seconds = |name: &str, default: u64| args.or(name, Duration::from_secs(default));
    let at_least =
        |span: Duration, least: Duration| u64::try_from(span.max(least).as_nanos()).unwrap_or(u64::MAX);
    let tcp_guarantee = seconds("TCP_GUARANTEE", 5)?;
    let guarantee = seconds(guarantee, 5)?;
    let udp = seconds(timeout, 300)?;
    let timeouts = Timeouts {
        tcp: at_least(seconds("TCP_TIMEOUT", 86_400)?, tcp_guarantee),
        tcp_done: at_least(seconds("TCP_DONE_TIMEOUT", 240)?, tcp_guarantee),
        tcp_nodata: at_least(seconds("TCP_NODATA_TIMEOUT", 300)?, tcp_guarantee),
        udp: at_least(udp, guarantee),
        udp_streaming: at_least(args.or(streaming, udp)?, guarantee),
    };
    let admission = Admission::build(args)?;
    let table = MappingTable::new(timeouts);
    let flows = Flows { schema: Schema { name: "nat/rewriter", version: 1 }, admission, table };
    Ok(Box::new(IpRewriter { protocols, flows, set_destination: args.or("DST_ANNO", true)? }))
}

/// Where one packet of a batch goes.
type Verdict = Result<u16, &'static str>;

impl IpRewriter {
    #[inline]
    fn flow_of(&self, packet: &Packet) -> Option<FlowId> {
        let bytes = packet.network();
        let flow = if self.protocols == [Protocol::Icmp] {
            FlowId::of_ping(bytes)
        } else {
            FlowId::of_packet(bytes)
        };
        flow.filter(|flow| self.protocols.contains(&flow.protocol))
    }

    /// Which mapping a flow has; a pure look-up, so that those of a batch can overlap in the processor.
    #[inline]
    fn look_up(&self, input: usize, flow: &FlowId) -> Option<(SlotId, Way)> {
        // What comes in where no new flows are made is a reply, most likely.
        if self.flows.admission.drops(input) {
            let reply = self.flows.table.find_reply(flow).map(|slot| (slot, Way::Reply));
            return reply.or_else(|| self.flows.table.find_forward(flow).map(|slot| (slot, Way::Forward)));
        }
        self.flows.table.find(flow)
    }

    #[inline]
    fn treat(
        &mut self,
        cx: &mut Cx<'_>,
        input: usize,
        packet: &mut Packet,
        flow: Option<FlowId>,
        found: Option<(SlotId, Way)>,
        now: u64,
    ) -> Verdict {
        let Some(flow) = flow else { return self.without_flow(input, packet) };
        // An earlier packet of the batch may have added or removed mappings since the look-up.
        let found = match found.filter(|(slot, way)| self.flows.table.is_at(*slot, *way, &flow)) {
            Some(found) => Some(found),
            None => self.flows.table.find(&flow),
        };
        let (slot, way) = match found {
            Some(found) => found,
            None => match self.flows.admission.passes(input) {
                Some(output) => return Ok(output),
                None => (self.admit(cx, input, flow, now)?, Way::Forward),
            },
        };
        self.pass_through(slot, way, packet, &flow, now)
    }

    /// Rewrites a packet of a known flow and notes it in its mapping.
    #[inline]
    fn pass_through(
        &mut self,
        slot: SlotId,
        way: Way,
        packet: &mut Packet,
        flow: &FlowId,
        now: u64,
    ) -> Verdict {
        let Some((original, mapping)) = self.flows.table.get(slot) else { return Err(UNKNOWN) };
        let (to, output) = match way {
            Way::Forward => (mapping.rewritten, mapping.forward_output),
            Way::Reply => (original.reverse(), mapping.reply_output),
        };
        let segment = rewrite(packet.network_mut(), flow, &to);
        if self.set_destination {
            packet.anno_mut().dst_ip = Ipv4Addr::from(to.destination);
        }
        let Some(mapping) = self.flows.table.note(slot) else { return Err(UNKNOWN) };
        mapping.last_seen = now;
        if flow.protocol == Protocol::Tcp {
            let was_done = mapping.seen.is_done();
            mapping.seen.tcp(way, segment.flags, segment.has_data);
            if mapping.seen.is_done() && !was_done {
                self.flows.table.hasten(slot);
            }
        } else {
            mapping.seen.datagram(way);
        }
        Ok(output)
    }

    /// A packet that belongs to no flow that can be rewritten.
    #[cold]
    fn without_flow(&self, input: usize, packet: &Packet) -> Verdict {
        if let Some(output) = self.flows.admission.passes(input) {
            return Ok(output);
        }
        let fragment =
            crate::wire::Ipv4::parse(packet.network()).is_some_and(|(ip, _)| !ip.is_first_fragment());
        // RFC 4787, REQ-14 wants fragments translated in any order: an IPReassembler before this element does that.
        Err(if fragment { FRAGMENT } else { NOT_FLOW })
    }

    /// Makes a mapping for a flow that has none.
    fn admit(
        &mut self,
        cx: &mut Cx<'_>,
        input: usize,
        flow: FlowId,
        now: u64,
    ) -> Result<SlotId, &'static str> {
        if flow.protocol == Protocol::Icmp && flow.source_port == 0 && flow.destination_port != 0 {
            return Err(UNKNOWN); // An answer to nothing: only queries make mappings (RFC 5508, REQ-1).
        }
        self.flows.admission.admit(cx, &mut self.flows.table, input, flow, now)
    }

    /// For the packet of flow `quoted` that an ICMP error quotes: the flow that the quoted packet had before it was rewritten here.
    pub(crate) fn untranslate(&self, quoted: &FlowId) -> Option<FlowId> {
        let (slot, way) = self.flows.table.find(&quoted.reverse())?;
        let (original, mapping) = self.flows.table.get(slot)?;
        Some(match way {
            Way::Forward => mapping.rewritten.reverse(),
            Way::Reply => *original,
        })
    }

    fn show(&self, now: u64, wanted: impl Fn(&FlowId, &Mapping) -> bool) -> String {
        let mut lines = BTreeMap::new();
        for (flow, mapping) in self.flows.table.iter().filter(|(flow, mapping)| wanted(flow, mapping)) {
            let left = self.flows.table.left(flow, mapping, now);
            for way in [Way::Forward, Way::Reply] {
                let key = (
                    flow.protocol,
                    flow.source,
                    flow.source_port,
                    flow.destination,
                    flow.destination_port,
                    way == Way::Reply,
                );
                lines.insert(key, format!("{}\n", Printed { flow, mapping, way, left }));
            }
        }
        lines.into_values().collect()
    }

    fn look_up_text(&self, protocol: Protocol, param: &str) -> Result<String, HandlerError> {
        let refuse = || HandlerError::Refused("expected 'SADDR SPORT DADDR DPORT'".to_owned());
        let words: Vec<_> = param.split_whitespace().collect();
        let [source, source_port, destination, destination_port] = words[..] else { return Err(refuse()) };
        let address = |word: &str| word.parse::<Ipv4Addr>().map(u32::from).map_err(|_| refuse());
        let port = |word: &str| word.parse::<u16>().map_err(|_| refuse());
        let flow = FlowId {
            source: address(source)?,
            destination: address(destination)?,
            source_port: port(source_port)?,
            destination_port: port(destination_port)?,
            protocol,
        };
        let found = self.flows.table.find_forward(&flow).and_then(|slot| self.flows.table.get(slot));
        Ok(found.map_or(String::new(), |(_, Mapping { rewritten: to, .. })| {
            let (source, destination) = (Ipv4Addr::from(to.source), Ipv4Addr::from(to.destination));
            format!("{source} {} {destination} {}", to.source_port, to.destination_port)
        }))
    }
}

impl Element for IpRewriter {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        let table = &mut self.flows.table;
        self.flows.admission.initialize(cx, &mut |pattern| {
            table.serve(pattern);
            Ok(())
        })
    }

    fn push(&mut self, cx: &mut Cx<'_>, port: usize, batch: &mut Batch) {
        let now = cx.now().0;
        self.flows.table.expire(now);
        let mut flows = [None; BATCH];
        let mut found = [None; BATCH];
        for (at, packet) in batch.iter().enumerate() {
            flows[at] = self.flow_of(packet);
        }
        for (flow, found) in flows.iter().zip(&mut found) {
            *found = flow.as_ref().and_then(|flow| self.look_up(port, flow));
        }
        let mut verdicts: [Verdict; BATCH] = [Ok(0); BATCH];
        for (at, packet) in batch.iter_mut().enumerate() {
            verdicts[at] = self.treat(cx, port, packet, flows[at], found[at], now);
        }
        let first = verdicts[0];
        match first {
            Ok(output) if verdicts[..batch.len()].iter().all(|v| *v == first) => {
                cx.leave_by(usize::from(output))
            }
            _ => {
                for (packet, verdict) in batch.drain().zip(verdicts) {
                    match verdict {
                        Ok(output) => cx.emit(usize::from(output), packet),
                        Err(reason) => cx.drop(reason, packet),
                    }
                }
            }
        }
    }

    fn read(&mut self, cx: &mut Cx<'_>, handler: &str, param: &str) -> Result<String, HandlerError> {
        let now = cx.now().0;
        self.flows.table.expire(now);
        match handler {
            "table" | "mappings" => Ok(self.show(now, |_, _| true)),
            "tcp_table" | "tcp_mappings" => Ok(self.show(now, |flow, _| flow.protocol == Protocol::Tcp)),
            "udp_table" | "udp_mappings" => Ok(self.show(now, |flow, _| flow.protocol == Protocol::Udp)),
            "tcp_done_mappings" => Ok(self.show(now, |_, mapping| mapping.seen.is_done())),
            "tcp_lookup" => self.look_up_text(Protocol::Tcp, param),
            "udp_lookup" => self.look_up_text(Protocol::Udp, param),
            other => self.flows.read(other),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        self.flows.admission.write(handler, value)
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(&mut self.flows)
    }
}
