//! IPRewriter and its kin: network address and port translation, one engine behind four classes.
//!
//! A packet of a known flow is rewritten as its mapping says; one of an unknown flow is treated as its input's
//! specification says. New mappings are strict changes, what packets note in them is lazy. Applications that need their
//! addresses translated inside payloads get no help here: no gateway is active by default (RFC 4787, REQ-10; FTPPortMapper
//! is one for who wants it), and the same packets always get the same treatment (REQ-11). By default a reply reaches an
//! internal endpoint only from the address and port that it talked to; an input of kind `endpoint` lets anybody in
//! that sends to a public endpoint (REQ-8 leaves that to the administrator).

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::admission::{Admission, FULL, NO_PORT, UNKNOWN};
use super::flows::{Flows, handlers};
use super::icmp_rewriter::{Concerned, Quoted};
use super::input_spec::ties;
use super::mapping::{Mapping, Ports, Timeouts, Way};
use super::reply_anno::{self, ByteAnno, REPLY_ANNO};
use super::table::MappingTable;
use super::translate::rewrite;
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet,
    StateKind,
};
use crate::packet::BATCH;
use crate::state::{Schema, SlotId, Stateful};
use crate::wire::{FlowId, Protocol, ipv4};

const NOT_FLOW: &str = "not a packet of a rewritten protocol";
const FRAGMENT: &str = "later fragment";

pub(super) const SPECS: Arg = Arg::rest(
    "INPUTSPEC",
    "drop, pass, keep, pattern or a mapper",
    "treatment of unknown flows, one for each input",
);
pub(super) const CAPACITY: Arg = Arg::keyword(
    "MAPPING_CAPACITY",
    "unsigned or rewriter",
    "2147483647",
    "most flows, or the rewriter to share them with",
);
pub(super) const CAPACITY_TOO: Arg =
    Arg::keyword("CAPACITY", "unsigned or rewriter", "", "as MAPPING_CAPACITY");
const DST_ANNO: Arg =
    Arg::keyword("DST_ANNO", "bool", "true", "set the destination annotation to the rewritten address");
pub(super) const FAIL_OUTPUT: Arg = Arg::keyword(
    "FAIL_OUTPUT",
    "output",
    "",
    "where packets of new flows go for which there is no port or no room; else they are dropped (not in Click)",
);
pub(super) const REAP: Arg =
    Arg::keyword("REAP_INTERVAL", "time", "900", "taken for Click's sake: flows go when they are due");
pub(super) const REAP_TOO: Arg = Arg::keyword("REAP_TIME", "time", "", "as REAP_INTERVAL");
const TCP: Arg = Arg::keyword("TCP_TIMEOUT", "time", "86400", "for TCP flows with data both ways");
const TCP_TOO: Arg = Arg::keyword("TIMEOUT", "time", "", "as TCP_TIMEOUT");
const TCP_DONE: Arg = Arg::keyword("TCP_DONE_TIMEOUT", "time", "240", "for TCP flows that have ended");
const TCP_NODATA: Arg =
    Arg::keyword("TCP_NODATA_TIMEOUT", "time", "300", "for TCP flows without data one way");
const TCP_GUARANTEE: Arg =
    Arg::keyword("TCP_GUARANTEE", "time", "5", "so long after a packet a TCP flow makes room for no other");
const TCP_GUARANTEE_TOO: Arg = Arg::keyword("GUARANTEE", "time", "", "as TCP_GUARANTEE");

const fn udp_timeout(name: &'static str, default: &'static str) -> Arg {
    Arg::keyword(name, "time", default, "for UDP flows")
}
const fn udp_streaming(name: &'static str, default: &'static str) -> Arg {
    Arg::keyword(name, "time", default, "for UDP flows with answers and three packets")
}
pub(super) const fn guarantee(name: &'static str, default: &'static str) -> Arg {
    Arg::keyword(name, "time", default, "so long after a packet a flow makes room for no other")
}

/// What a read handler of a flow takes.
const LOOKUP: &str = "SADDR SPORT DADDR DPORT: the rewritten flow, or nothing";

const BASE: Descriptor = Descriptor {
    ports: "1-/1-",
    processing: "h/h",
    reads: Annotations::NETWORK_HEADER.union(reply_anno::READS),
    ties,
    drops: &[NOT_FLOW, FRAGMENT, UNKNOWN, NO_PORT, FULL],
    state: StateKind::Tables,
    ..Descriptor::BASE
};

pub(super) static IP_REWRITER: Descriptor = Descriptor {
    class: "IPRewriter",
    summary: "rewrites TCP/UDP packets' addresses and ports",
    args: &[
        SPECS,
        TCP,
        TCP_TOO,
        TCP_DONE,
        TCP_NODATA,
        TCP_GUARANTEE,
        TCP_GUARANTEE_TOO,
        udp_timeout("UDP_TIMEOUT", "300"),
        udp_streaming("UDP_STREAMING_TIMEOUT", "UDP_TIMEOUT"),
        guarantee("UDP_GUARANTEE", "5"),
        REAP,
        REAP_TOO,
        CAPACITY,
        CAPACITY_TOO,
        DST_ANNO,
        REPLY_ANNO,
        FAIL_OUTPUT,
    ],
    handlers: handlers![
        Handler::read("table", "all mappings"),
        Handler::read("mappings", "all mappings"),
        Handler::read("tcp_table", "mappings of TCP flows"),
        Handler::read("udp_table", "mappings of UDP flows"),
        Handler::read("tcp_mappings", "mappings of TCP flows"),
        Handler::read("udp_mappings", "mappings of UDP flows"),
        Handler::read("tcp_done_mappings", "mappings of TCP flows that have ended"),
        Handler::read("tcp_lookup", LOOKUP),
        Handler::read("udp_lookup", LOOKUP),
    ],
    details: "Translates TCP and UDP. Input 0 here is the inside: a new flow gets a port of the pattern, and its answers, which come in by input 1, find the way back. Answers to nobody are dropped. docs/nat.md says which requirements of the RFCs it meets.",
    example: r#"
        RatedSource(DATA "query", RATE 10, LIMIT 12, STOP true) -> s :: RoundRobinSwitch;
        s[0] -> UDPIPEncap(10.0.0.1, 1024, 20.0.0.9, 53) -> in :: Null;
        s[1] -> UDPIPEncap(10.0.0.2, 1024, 20.0.0.9, 53) -> in;
        s[2] -> UDPIPEncap(10.0.0.1, 1025, 20.0.0.8, 80) -> in;
        in -> rw :: IPRewriter(pattern 192.0.2.1 5000-5999 - - 0 1, drop, UDP_TIMEOUT 60);
        rw[0] -> IPPrint(out) -> IPMirror -> [1]rw;
        rw[1] -> IPPrint(back) -> Discard;
        Script(wait 0.7s, write rw.clear, print "cleared, $(rw.nmappings) mappings");
        DriverManager(wait_stop, print $(rw.table));
    "#,
    build: |args| build(args, Rewrites::Both),
    ..BASE
};

pub(super) static TCP_REWRITER: Descriptor = Descriptor {
    class: "TCPRewriter",
    summary: "rewrites TCP packets' addresses, ports, and sequence numbers",
    args: &[
        SPECS,
        TCP,
        TCP_TOO,
        TCP_DONE,
        TCP_NODATA,
        TCP_GUARANTEE,
        TCP_GUARANTEE_TOO,
        REAP,
        REAP_TOO,
        CAPACITY,
        CAPACITY_TOO,
        DST_ANNO,
        REPLY_ANNO,
        FAIL_OUTPUT,
    ],
    handlers: handlers![
        Handler::read("table", "all mappings"),
        Handler::read("mappings", "all mappings"),
        Handler::read("tcp_done_mappings", "mappings of flows that have ended"),
        Handler::read("lookup", LOOKUP),
    ],
    details: "As IPRewriter, for TCP alone; it can also shift sequence numbers, which FTPPortMapper asks it for.",
    example: r#"
        FromIPSummaryDump(DATA "10.0.0.1 1024 20.0.0.9 80 S 1 0
        10.0.0.2 1024 20.0.0.9 80 S 7 0
        20.0.0.9 80 192.0.2.1 7000 SA 100 2
        20.0.0.9 80 192.0.2.1 7009 SA 100 2
        10.0.0.1 1024 20.0.0.9 80 A 2 101
        10.0.0.1 1024 20.0.0.9 80 FA 2 101",
            FIELDS ip_src sport ip_dst dport tcp_flags tcp_seq tcp_ack, CHECKSUM true, STOP true)
            -> side :: IPClassifier(src net 10.0.0.0/8, -);
        rw :: TCPRewriter(pattern 192.0.2.1 7000-7999# - - 0 1, drop);
        side[0] -> [0]rw;  side[1] -> [1]rw;
        rw[0] -> IPPrint(out) -> Discard;
        rw[1] -> IPPrint(back) -> Discard;
        DriverManager(wait_stop, print $(rw.table));
    "#,
    build: |args| build(args, Rewrites::Tcp),
    ..BASE
};

pub(super) static UDP_REWRITER: Descriptor = Descriptor {
    class: "UDPRewriter",
    summary: "rewrites TCP/UDP packets' addresses and ports",
    args: &[
        SPECS,
        udp_timeout("TIMEOUT", "300"),
        udp_timeout("UDP_TIMEOUT", ""),
        udp_streaming("STREAMING_TIMEOUT", "TIMEOUT"),
        udp_streaming("UDP_STREAMING_TIMEOUT", ""),
        guarantee("UDP_GUARANTEE", "5"),
        guarantee("GUARANTEE", ""),
        REAP,
        REAP_TOO,
        CAPACITY,
        CAPACITY_TOO,
        DST_ANNO,
        REPLY_ANNO,
        FAIL_OUTPUT,
    ],
    handlers: handlers![Handler::read("table", "all mappings"), Handler::read("mappings", "all mappings")],
    details: "As IPRewriter, for UDP alone and with one timeout.",
    example: r#"
        RatedSource(DATA "query", RATE 10, LIMIT 12, STOP true) -> s :: RoundRobinSwitch;
        s[0] -> UDPIPEncap(10.0.0.1, 1024, 20.0.0.9, 53) -> in :: Null;
        s[1] -> UDPIPEncap(10.0.0.2, 1024, 20.0.0.9, 53) -> in;
        s[2] -> UDPIPEncap(10.0.0.1, 1025, 20.0.0.8, 80) -> in;
        in -> rw :: UDPRewriter(pattern 192.0.2.1 6000-6001# - - 0 0, FAIL_OUTPUT 1, TIMEOUT 60);
        rw[0] -> IPPrint(translated) -> Discard;
        rw[1] -> IPPrint(no_port_left) -> Discard;
        DriverManager(wait_stop, print "$(rw.nmappings) $(rw.mapping_failures)");
    "#,
    build: |args| build(args, Rewrites::Datagrams),
    ..BASE
};

pub(super) static ICMP_PING_REWRITER: Descriptor = Descriptor {
    class: "ICMPPingRewriter",
    summary: "rewrites ICMP echo requests and replies",
    args: &[
        SPECS,
        Arg::keyword("TIMEOUT", "time", "300", "for all flows"),
        guarantee("GUARANTEE", "5"),
        REAP,
        REAP_TOO,
        CAPACITY,
        CAPACITY_TOO,
        DST_ANNO,
        REPLY_ANNO,
        FAIL_OUTPUT,
    ],
    handlers: handlers![Handler::read("table", "all mappings"), Handler::read("mappings", "all mappings")],
    details: "Translates ICMP echo requests and their replies; the identifier takes the place of a port.",
    example: r#"
        RatedSource(DATA "data", RATE 10, LIMIT 6, STOP true) -> s :: RoundRobinSwitch;
        s[0] -> ICMPPingEncap(10.0.0.1, 20.0.0.9, IDENTIFIER 1) -> in :: Null;
        s[1] -> ICMPPingEncap(10.0.0.2, 20.0.0.9, IDENTIFIER 1) -> in;
        in -> rw :: ICMPPingRewriter(pattern 192.0.2.1 - - - 0 1, drop);
        rw[0] -> IPPrint(out) -> ICMPPingResponder -> [1]rw;
        rw[1] -> IPPrint(back) -> Discard;
        DriverManager(wait_stop, print "$(rw.nmappings) mappings");
    "#,
    build: |args| build(args, Rewrites::Pings),
    ..BASE
};

/// Which packets one of the four classes rewrites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rewrites {
    /// TCP and UDP.
    Both,
    /// TCP.
    Tcp,
    /// UDP, and TCP as if it were UDP.
    Datagrams,
    /// ICMP echo.
    Pings,
}

/// The element behind the four classes.
pub(crate) struct IpRewriter {
    rewrites: Rewrites,
    flows: Flows,
    set_destination: bool,
    reply_anno: Option<ByteAnno>,
    fail_output: Option<usize>,
}

/// The output of FAIL_OUTPUT.
pub(super) fn fail_output(args: &Args<'_>) -> Result<Option<usize>, ConfigError> {
    match args.get("FAIL_OUTPUT")? {
        Some(output) if output >= args.outputs() => Err("FAIL_OUTPUT out of range".into()),
        output => Ok(output),
    }
}

/// Drops a packet that could not be rewritten, or sends it where it is wanted.
pub(super) fn refuse(cx: &mut Cx<'_>, fail_output: Option<usize>, reason: &'static str, packet: Packet) {
    match fail_output.filter(|_| reason == NO_PORT || reason == FULL) {
        Some(output) => cx.emit(output, packet),
        None => cx.drop(reason, packet),
    }
}

/// The first of several keywords that is given; they mean the same.
fn one_of(args: &Args<'_>, names: &[&str]) -> Result<Option<Duration>, ConfigError> {
    for name in names {
        if let Some(given) = args.get(name)? {
            return Ok(Some(given));
        }
    }
    Ok(None)
}

pub(super) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

fn timeouts(args: &Args<'_>, rewrites: Rewrites) -> Result<Timeouts, ConfigError> {
    let get =
        |names: &[&str], default: Duration| Ok::<_, ConfigError>(one_of(args, names)?.unwrap_or(default));
    let seconds = Duration::from_secs;
    let tracks_tcp = matches!(rewrites, Rewrites::Both | Rewrites::Tcp);
    let udp = get(if tracks_tcp { &["UDP_TIMEOUT"] } else { &["TIMEOUT", "UDP_TIMEOUT"] }, seconds(300))?;
    let streaming = get(&["STREAMING_TIMEOUT", "UDP_STREAMING_TIMEOUT"], udp)?;
    let guarantee =
        get(if tracks_tcp { &["UDP_GUARANTEE"] } else { &["GUARANTEE", "UDP_GUARANTEE"] }, seconds(5))?;
    let tcp = get(if tracks_tcp { &["TCP_TIMEOUT", "TIMEOUT"] } else { &[] }, seconds(86_400))?;
    let tcp_guarantee = get(if tracks_tcp { &["GUARANTEE", "TCP_GUARANTEE"] } else { &[] }, seconds(5))?;
    Ok(Timeouts {
        tcp: nanos(tcp.max(tcp_guarantee)),
        tcp_done: nanos(get(&["TCP_DONE_TIMEOUT"], seconds(240))?.max(tcp_guarantee)),
        tcp_nodata: nanos(get(&["TCP_NODATA_TIMEOUT"], seconds(300))?.max(tcp_guarantee)),
        udp: nanos(udp.max(guarantee)),
        udp_streaming: nanos(streaming.max(guarantee)),
        tcp_guarantee: nanos(tcp_guarantee),
        guarantee: nanos(guarantee),
        tracks_tcp,
    })
}

fn build(args: &Args<'_>, rewrites: Rewrites) -> Result<Box<dyn Element>, ConfigError> {
    one_of(args, &["REAP_INTERVAL", "REAP_TIME"])?;
    let admission = Admission::build(args, |_| Ok(()))?;
    let table = MappingTable::new(timeouts(args, rewrites)?);
    Ok(Box::new(IpRewriter {
        rewrites,
        flows: Flows::new(Schema { name: "nat/rewriter", version: 2 }, admission, table),
        set_destination: args.or("DST_ANNO", true)?,
        reply_anno: args.get("REPLY_ANNO")?,
        fail_output: fail_output(args)?,
    }))
}

/// Where one packet of a batch goes.
type Verdict = Result<u16, &'static str>;

impl IpRewriter {
    #[inline]
    fn flow_of(&self, packet: &Packet) -> Option<FlowId> {
        let bytes = packet.network();
        match self.rewrites {
            Rewrites::Both | Rewrites::Datagrams => FlowId::of_packet(bytes),
            Rewrites::Tcp => FlowId::of_packet(bytes).filter(|flow| flow.protocol == Protocol::Tcp),
            Rewrites::Pings => FlowId::of_ping(bytes),
        }
    }

    /// Which mapping a flow has; a pure look-up, so that those of a batch can overlap in the processor.
    #[inline]
    fn look_up(&self, input: usize, flow: &FlowId) -> Option<(SlotId, Way)> {
        if self.flows.admission.expects_replies(input) {
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
                None => (self.admit(cx, input, packet, flow, now)?, Way::Forward),
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
        if let Some(anno) = self.reply_anno.filter(|_| way == Way::Reply) {
            anno.set(packet, mapping.reply_anno);
        }
        let Some(mapping) = self.flows.table.note(slot) else { return Err(UNKNOWN) };
        mapping.last_seen = now;
        if flow.protocol == Protocol::Tcp && self.rewrites != Rewrites::Datagrams {
            let was_done = mapping.seen.is_done();
            mapping.seen.tcp(way, segment.flags, segment.has_data);
            let seen = mapping.seen;
            if seen.is_done() && !was_done {
                self.flows.table.hasten(slot);
            }
            if seen.is_adjusted()
                && let Some(transport) = ipv4::payload_mut(packet.network_mut())
            {
                self.flows.adjust(slot, way, transport);
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
        packet: &Packet,
        flow: FlowId,
        now: u64,
    ) -> Result<SlotId, &'static str> {
        if flow.protocol == Protocol::Icmp && flow.source_port == 0 && flow.destination_port != 0 {
            return Err(UNKNOWN); // An answer to nothing: only queries make mappings (RFC 5508, REQ-1).
        }
        let slot = self.flows.admit(cx, input, flow, now)?;
        if let (Some(anno), Some(mapping)) = (self.reply_anno, self.flows.table.change(slot)) {
            mapping.reply_anno = anno.get(packet);
        }
        Ok(slot)
    }

    /// Whether TCP connections are followed here, and sequence numbers can be shifted.
    pub(super) fn tracks_tcp(&self) -> bool {
        matches!(self.rewrites, Rewrites::Both | Rewrites::Tcp)
    }

    /// How many inputs it has.
    pub(super) fn inputs(&self) -> usize {
        self.flows.admission.inputs()
    }

    /// The annotation that replies of a known flow get.
    pub(super) fn reply_anno(&self, flow: &FlowId) -> Option<u8> {
        let (slot, _) = self.flows.table.find(flow)?;
        self.flows.table.get(slot).map(|(_, mapping)| mapping.reply_anno)
    }

    /// What packets of a flow are rewritten to, as if one had come by `input`. A new mapping gets `reply_anno`.
    pub(super) fn entry(
        &mut self,
        cx: &mut Cx<'_>,
        flow: FlowId,
        input: usize,
        reply_anno: u8,
    ) -> Option<FlowId> {
        let now = cx.now().0;
        self.flows.expire(now);
        let (slot, way) = match self.flows.table.find(&flow) {
            Some(found) => found,
            None => (self.flows.admit(cx, input, flow, now).ok()?, Way::Forward),
        };
        self.flows.table.change(slot)?.reply_anno = reply_anno;
        let (original, mapping) = self.flows.table.get(slot)?;
        Some(if way == Way::Forward { mapping.rewritten } else { original.reverse() })
    }

    /// Says that what `flow` sends is `by` bytes longer from sequence number `trigger` on.
    pub(super) fn shift_sequence(&mut self, flow: &FlowId, trigger: u32, by: i32) {
        if let Some((slot, way)) = self.flows.table.find(flow) {
            self.flows.shift_sequence(slot, way, trigger, by);
        }
    }

    pub(super) fn flows(&mut self) -> &mut Flows {
        &mut self.flows
    }

    /// What an ICMP error concerns that quotes a packet.
    pub(super) fn concerned(&self, quoted: &Quoted) -> Option<Concerned> {
        let (slot, way) = self.flows.table.find(&quoted.flow?.reverse())?;
        let (original, mapping) = self.flows.table.get(slot)?;
        let before = match way {
            Way::Forward => mapping.rewritten.reverse(),
            Way::Reply => *original,
        };
        Some(Concerned::of(before, mapping, way))
    }

    fn show(&self, now: u64, wanted: impl Fn(&FlowId, &Mapping) -> bool) -> String {
        let mut lines = BTreeMap::new();
        for (flow, mapping) in self.flows.table.iter().filter(|(flow, mapping)| wanted(flow, mapping)) {
            let left = self.flows.table.left(flow, mapping, now);
            for way in [Way::Forward, Way::Reply] {
                let (from, to) = match way {
                    Way::Forward => (*flow, mapping.rewritten),
                    Way::Reply => (mapping.rewritten.reverse(), flow.reverse()),
                };
                let flows = match flow.protocol {
                    Protocol::Icmp => format!("{} => {}", Ping(&from), Ping(&to)),
                    _ => format!("{from} => {to}"),
                };
                let shift = match self.flows.shifted_by(flow, way) {
                    0 => String::new(),
                    shift => format!(" seq {shift:+}"),
                };
                let line = format!("{flows}{shift} {}\n", Ports { mapping, way, left });
                lines.insert((flow.protocol, *flow, way == Way::Reply), line);
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

/// A ping's flow as click prints it: the identifier stands for both sides.
struct Ping<'a>(&'a FlowId);

impl fmt::Display for Ping<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FlowId { source, destination, source_port, destination_port, .. } = *self.0;
        let (source, destination) = (Ipv4Addr::from(source), Ipv4Addr::from(destination));
        write!(f, "({source}, {destination}, {})", source_port.max(destination_port))
    }
}

impl Element for IpRewriter {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        self.flows.initialize(cx)
    }

    fn start(&mut self, cx: &mut Cx<'_>) {
        self.flows.admission.start(cx);
    }

    fn push(&mut self, cx: &mut Cx<'_>, port: usize, batch: &mut Batch) {
        let now = cx.now().0;
        self.flows.expire(now);
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
                        Err(reason) => refuse(cx, self.fail_output, reason, packet),
                    }
                }
            }
        }
    }

    fn read(&mut self, cx: &mut Cx<'_>, handler: &str, param: &str) -> Result<String, HandlerError> {
        let now = cx.now().0;
        self.flows.expire(now);
        match handler {
            "table" | "mappings" => Ok(self.show(now, |_, _| true)),
            "tcp_table" | "tcp_mappings" => Ok(self.show(now, |flow, _| flow.protocol == Protocol::Tcp)),
            "udp_table" | "udp_mappings" => Ok(self.show(now, |flow, _| flow.protocol == Protocol::Udp)),
            "tcp_done_mappings" => Ok(self.show(now, |_, mapping| mapping.seen.is_done())),
            "tcp_lookup" | "lookup" => self.look_up_text(Protocol::Tcp, param),
            "udp_lookup" => self.look_up_text(Protocol::Udp, param),
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
