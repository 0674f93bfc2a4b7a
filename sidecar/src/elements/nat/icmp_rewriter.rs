//! ICMPRewriter: ICMP errors about rewritten packets, sent on to whom they concern.
//!
//! The packet that an error quotes is translated back by the rewriters that the configuration names, and the error's
//! own addresses with it (RFC 5508, REQ-4 and REQ-5; RFC 5382, REQ-9). Mappings stay as they are: an error neither
//! refreshes nor ends one (RFC 4787, REQ-12; RFC 5382, REQ-10; RFC 5508, REQ-6).

use std::net::Ipv4Addr;

use super::address_rewriter::AddressRewriter;
use super::flows::Flows;
use super::ip_rewriter::IpRewriter;
use super::mapping::{Mapping, Way};
use super::reply_anno::{ByteAnno, REPLY_ANNO};
use super::translate::{rewrite, rewrite_addresses};
use crate::config::{split_arguments, split_words};
use crate::element::{Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, ElementId, Packet};
use crate::wire::checksum::{self, Change, Sum};
use crate::wire::{FlowId, Icmp, Ipv4, icmp, ipv4};

const NOT_ICMP: &str = "not an ICMP packet";
const NOT_ERROR: &str = "not an ICMP error";
const BAD_CHECKSUM: &str = "bad ICMP checksum";
const BAD_QUOTE: &str = "bad IP header quoted";
const UNKNOWN: &str = "no mapping";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "ICMPRewriter",
    summary: "rewrites ICMP packets based on IP rewriter mappings",
    ports: "1/1-",
    processing: "h/h",
    args: &[
        Arg::required(
            "MAPS",
            "element names",
            "the rewriters whose flows the errors may concern; NAME:N sends their errors to output N and up",
        ),
        Arg::keyword("DST_ANNO", "bool", "true", "set the destination annotation to the rewritten address"),
        REPLY_ANNO,
    ],
    reads: Annotations::NETWORK_HEADER,
    ties: |config| {
        let maps = split_arguments(config).first().map(|maps| split_words(maps)).unwrap_or_default();
        maps.iter().map(|map| map.split(':').next().unwrap_or(map).to_owned()).collect()
    },
    drops: &[NOT_ICMP, NOT_ERROR, BAD_CHECKSUM, BAD_QUOTE, UNKNOWN],
    details: "Translates the packet that an ICMP error quotes, and the error's addresses with it, by the mappings of the rewriters that it names. It stays in one part of a cut with them.",
    example: r#"
        RatedSource(DATA "query", RATE 10, LIMIT 6, STOP true)
            -> UDPIPEncap(10.0.0.1, 1024, 20.0.0.9, 53)
            -> rw :: IPRewriter(pattern 192.0.2.1 5000-5999 - - 0 1, drop);
        rw[0] -> IPPrint(out) -> ICMPError(20.0.0.254, unreachable, port)
            -> errors :: ICMPRewriter(rw);
        rw[1] -> Discard;  Idle -> [1]rw;
        errors[0] -> IPPrint(error_of) -> Discard;
    "#,
    build,
    ..Descriptor::BASE
};

/// A rewriter, and what is added to its outputs if they count.
struct Map {
    name: String,
    offset: Option<usize>,
    id: Option<ElementId>,
}

struct IcmpRewriter {
    maps: Vec<Map>,
    set_destination: bool,
    reply_anno: Option<ByteAnno>,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let (mut maps, mut problems) = (Vec::new(), Vec::new());
    for word in split_words(&args.need::<String>("MAPS")?) {
        let (name, offset) = match word.split_once(':') {
            None => (word.as_str(), Some(None)),
            Some((name, offset)) => (name, offset.parse().ok().map(Some)),
        };
        match offset {
            Some(offset) => maps.push(Map { name: name.to_owned(), offset, id: None }),
            None => problems.push(format!("{word} not an IP rewriter")),
        }
    }
    if maps.is_empty() && problems.is_empty() {
        problems.push("no IP rewriters supplied".to_owned());
    }
    if !problems.is_empty() {
        return Err(ConfigError(problems));
    }
    Ok(Box::new(IcmpRewriter {
        maps,
        set_destination: args.or("DST_ANNO", true)?,
        reply_anno: args.get("REPLY_ANNO")?,
    }))
}

/// The packet that an error quotes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quoted {
    pub(super) source: u32,
    pub(super) destination: u32,
    /// Its flow, if it has one that the quotation shows.
    pub(super) flow: Option<FlowId>,
}

/// What a rewriter knows about a quoted packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Concerned {
    /// Its flow before it was rewritten.
    before: FlowId,
    output: u16,
    /// The annotation of REPLY_ANNO, for errors that go the way of replies.
    anno: Option<u8>,
}

impl Concerned {
    /// An error that goes `way` through a mapping, about a packet that was of flow `before`.
    pub(super) fn of(before: FlowId, mapping: &Mapping, way: Way) -> Self {
        match way {
            Way::Forward => Self { before, output: mapping.forward_output, anno: None },
            Way::Reply => Self { before, output: mapping.reply_output, anno: Some(mapping.reply_anno) },
        }
    }
}

/// What the ICMP error at the start of `bytes` quotes.
fn quoted(bytes: &[u8]) -> Result<Quoted, &'static str> {
    let (ip, _) = Ipv4::parse(bytes).filter(|(ip, _)| ip.protocol == ipv4::ICMP).ok_or(NOT_ICMP)?;
    let message = ipv4::payload(bytes).filter(|_| ip.is_first_fragment()).ok_or(NOT_ERROR)?;
    let (header, quote) = Icmp::parse(message).ok_or(NOT_ERROR)?;
    if !Icmp::is_error(header.kind) {
        return Err(NOT_ERROR);
    }
    // RFC 5508, REQ-3. Of a fragment the checksum covers more than is here.
    if !ip.is_fragment() && checksum::of(message) != 0 {
        return Err(BAD_CHECKSUM);
    }
    let (inner, _) = Ipv4::parse(quote).filter(|(inner, _)| inner.version() == 4).ok_or(BAD_QUOTE)?;
    let inner_header = quote.get(..inner.header_length()).filter(|h| h.len() >= ipv4::MIN_HEADER_LENGTH);
    // RFC 5508, REQ-3a.
    if inner_header.is_none_or(|header| checksum::of(header) != 0) {
        return Err(BAD_QUOTE);
    }
    Ok(Quoted {
        source: inner.source.get(),
        destination: inner.destination.get(),
        flow: FlowId::of_packet(quote).or_else(|| FlowId::of_ping(quote)),
    })
}

/// Translates the error at the start of `bytes` into one about the packet as it was `before`. Returns the error's new
/// destination, if it has one.
fn translate(bytes: &mut [u8], quoted: &Quoted, before: &FlowId) -> Option<u32> {
    let (ip, _) = Ipv4::parse_mut(bytes)?;
    let (source, destination) = (ip.source.get(), ip.destination.get());
    // Whoever sent it inside is known outside by the address that the quoted packet was sent to (RFC 5508, REQ-5).
    let hidden = before.destination != quoted.destination;
    let new_source = if hidden { before.destination } else { source };
    let concerns_sender = destination == quoted.source;
    let new_destination = if concerns_sender { before.source } else { destination };
    let change = Change::new().double(source, new_source).double(destination, new_destination);
    ip.source.set(new_source);
    ip.destination.set(new_destination);
    ip.checksum.set(change.apply(ip.checksum.get()));
    let message = ipv4::payload_mut(bytes)?;
    let quote = message.get_mut(icmp::HEADER_LENGTH..)?;
    let sum = Sum::new().bytes(quote).fold();
    match &quoted.flow {
        Some(flow) => drop(rewrite(quote, flow, before)),
        None => rewrite_addresses(quote, before.source, before.destination),
    }
    let change = Change::new().word(sum, Sum::new().bytes(quote).fold());
    let header = Icmp::parse_mut(message)?.0;
    header.checksum.set(change.apply(header.checksum.get()));
    concerns_sender.then_some(new_destination)
}

impl IcmpRewriter {
    /// The first rewriter that knows the quoted packet, and what it knows.
    fn find(&self, cx: &mut Cx<'_>, quoted: &Quoted) -> Option<(&Map, Concerned)> {
        self.maps.iter().find_map(|map| {
            let id = map.id?;
            let found = match cx.element_mut::<IpRewriter>(id) {
                Some(rewriter) => rewriter.concerned(quoted),
                None => cx.element_mut::<AddressRewriter>(id)?.concerned(quoted),
            };
            Some((map, found?))
        })
    }
}

impl Element for IcmpRewriter {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        let outputs = cx.outputs();
        for map in &mut self.maps {
            let id = cx.find(&map.name).filter(|id| Flows::of(cx, *id).is_some());
            let id = id.ok_or_else(|| format!("{} not an IP rewriter", map.name))?;
            if map.offset.is_some_and(|offset| offset + cx.neighbours(id, false).len() > outputs) {
                let (name, s) = (&map.name, if outputs == 1 { "" } else { "s" });
                return Err(format!("{name} port offset requires more than {outputs} output{s}"));
            }
            map.id = Some(id);
        }
        Ok(())
    }

    fn action(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        let quoted = match quoted(packet.network()) {
            Ok(quoted) => quoted,
            Err(NOT_ICMP) => {
                cx.drop(NOT_ICMP, packet);
                return None;
            }
            Err(reason) => {
                cx.emit_or_drop(1, reason, packet);
                return None;
            }
        };
        let Some((map, concerned)) = self.find(cx, &quoted) else {
            cx.emit_or_drop(1, UNKNOWN, packet);
            return None;
        };
        let destination = translate(packet.network_mut(), &quoted, &concerned.before);
        if let Some(destination) = destination.filter(|_| self.set_destination) {
            packet.anno_mut().dst_ip = Ipv4Addr::from(destination);
        }
        if let (Some(anno), Some(value)) = (self.reply_anno, concerned.anno) {
            anno.set(&mut packet, value);
        }
        match map.offset {
            Some(offset) => {
                cx.emit(offset + usize::from(concerned.output), packet);
                None
            }
            None => Some(packet),
        }
    }
}
