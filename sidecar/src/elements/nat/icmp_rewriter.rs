//! ICMPRewriter: ICMP errors about rewritten packets, sent on to whom they concern.
//!
//! The packet that an error quotes is translated back by the rewriters that the configuration names, and the error's
//! own addresses with it (RFC 5508, REQ-4 and REQ-5; RFC 5382, REQ-9). Mappings stay as they are: an error neither
//! refreshes nor ends one (RFC 4787, REQ-12; RFC 5382, REQ-10).

use std::net::Ipv4Addr;

use super::ip_rewriter::IpRewriter;
use super::translate::rewrite;
use crate::config::{split_arguments, split_words};
use crate::element::{Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, ElementId, Packet};
use crate::wire::checksum::{self, Change};
use crate::wire::{FlowId, Icmp, Ipv4, icmp, ipv4};

const NOT_ERROR: &str = "not an ICMP error";
const BAD_CHECKSUM: &str = "bad ICMP checksum";
const UNKNOWN: &str = "no mapping";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "ICMPRewriter",
    summary: "rewrites ICMP errors about rewritten packets",
    ports: "1/1-2",
    processing: "h/h",
    args: &[
        Arg::required("MAPS", "element names", "the rewriters whose flows the errors may concern"),
        Arg::keyword("DST_ANNO", "bool", "true", "set the destination annotation to the rewritten address"),
    ],
    reads: Annotations::NETWORK_HEADER,
    writes: Annotations::DST_IP,
    ties: |config| split_arguments(config).first().map(|maps| split_words(maps)).unwrap_or_default(),
    drops: &[NOT_ERROR, BAD_CHECKSUM, UNKNOWN],
    build,
    ..Descriptor::BASE
};

struct IcmpRewriter {
    names: Vec<String>,
    rewriters: Vec<ElementId>,
    set_destination: bool,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(IcmpRewriter {
        names: split_words(&args.need::<String>("MAPS")?),
        rewriters: Vec::new(),
        set_destination: args.or("DST_ANNO", true)?,
    }))
}

/// The flow of the packet that the ICMP error at the start of `bytes` quotes.
fn quoted_flow(bytes: &[u8]) -> Result<FlowId, &'static str> {
    let (ip, _) = Ipv4::parse(bytes)
        .filter(|(ip, _)| ip.protocol == ipv4::ICMP && ip.is_first_fragment())
        .ok_or(NOT_ERROR)?;
    let message = ipv4::payload(bytes).ok_or(NOT_ERROR)?;
    let (header, quoted) = Icmp::parse(message).ok_or(NOT_ERROR)?;
    if !Icmp::is_error(header.kind) {
        return Err(NOT_ERROR);
    }
    // Of a fragment the checksum covers more than is here.
    if !ip.is_fragment() && checksum::of(message) != 0 {
        return Err(BAD_CHECKSUM);
    }
    FlowId::of_packet(quoted).or_else(|| FlowId::of_ping(quoted)).ok_or(UNKNOWN)
}

/// Translates the error at the start of `bytes`, which quotes a packet of `quoted`, into one that quotes `original`.
fn translate(bytes: &mut [u8], quoted: &FlowId, original: &FlowId) -> Option<u32> {
    let (ip, _) = Ipv4::parse_mut(bytes)?;
    let (source, destination) = (ip.source.get(), ip.destination.get());
    // The error comes from a router on the way (left as it is) or from the quoted packet's destination itself.
    let new_source = if source == quoted.destination { original.destination } else { source };
    let new_destination = if destination == quoted.source { original.source } else { destination };
    let change = Change::new().double(source, new_source).double(destination, new_destination);
    ip.source.set(new_source);
    ip.destination.set(new_destination);
    ip.checksum.set(change.apply(ip.checksum.get()));
    let message = ipv4::payload_mut(bytes)?;
    rewrite(message.get_mut(icmp::HEADER_LENGTH..)?, quoted, original);
    Icmp::parse_mut(message)?.0.checksum.set(0);
    let sum = checksum::of(message);
    Icmp::parse_mut(message)?.0.checksum.set(sum);
    Some(new_destination)
}

impl Element for IcmpRewriter {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        for name in &self.names {
            let id = cx.find(name).ok_or_else(|| format!("no element named '{name}'"))?;
            if cx.element_mut::<IpRewriter>(id).is_none() {
                return Err(format!("element '{name}' is not an IPRewriter-like element"));
            }
            self.rewriters.push(id);
        }
        Ok(())
    }

    fn action(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        let quoted = match quoted_flow(packet.network()) {
            Ok(quoted) => quoted,
            Err(reason) => {
                cx.emit_or_drop(1, reason, packet);
                return None;
            }
        };
        let mut found =
            self.rewriters.iter().filter_map(|id| cx.element_mut::<IpRewriter>(*id)?.untranslate(&quoted));
        let Some(original) = found.next() else {
            cx.emit_or_drop(1, UNKNOWN, packet);
            return None;
        };
        if let Some(destination) =
            translate(packet.network_mut(), &quoted, &original).filter(|_| self.set_destination)
        {
            packet.anno_mut().dst_ip = Ipv4Addr::from(destination);
        }
        Some(packet)
    }
}
