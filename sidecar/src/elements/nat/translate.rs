//! Rewriting the addresses and ports of one packet, checksums brought up to date by what changed (RFC 1624).

use zerocopy::byteorder::network_endian::U16;

use crate::wire::checksum::Change;
use crate::wire::icmp::ECHO;
use crate::wire::{FlowId, Icmp, Ipv4, Protocol, Tcp, Udp, ipv4};

/// What of a TCP segment decides about the state of its flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Segment {
    pub(super) flags: u8,
    pub(super) has_data: bool,
}

/// Gives the packet of flow `from`, whose IP header is at the start of `bytes`, the addresses and ports of `to`.
/// Returns what a TCP segment says. A transport header that ends before its checksum keeps what is there.
#[inline]
pub(super) fn rewrite(bytes: &mut [u8], from: &FlowId, to: &FlowId) -> Segment {
    let addresses = Change::new().double(from.source, to.source).double(from.destination, to.destination);
    let Some((ip, _)) = Ipv4::parse_mut(bytes) else { return Segment::default() };
    ip.source.set(to.source);
    ip.destination.set(to.destination);
    ip.checksum.set(addresses.apply(ip.checksum.get()));
    let ports =
        addresses.word(from.source_port, to.source_port).word(from.destination_port, to.destination_port);
    let Some(transport) = ipv4::payload_mut(bytes) else { return Segment::default() };
    match from.protocol {
        Protocol::Tcp => rewrite_tcp(transport, to, ports),
        Protocol::Udp => {
            if let Some((udp, _)) = Udp::parse_mut(transport) {
                udp.source_port.set(to.source_port);
                udp.destination_port.set(to.destination_port);
                udp.checksum.set(ports.apply_udp(udp.checksum.get()));
            }
            Segment::default()
        }
        Protocol::Icmp => {
            if let Some((icmp, _)) = Icmp::parse_mut(transport) {
                let identifier = if icmp.kind == ECHO { to.source_port } else { to.destination_port };
                let change = Change::new().word(icmp.identifier.get(), identifier);
                icmp.identifier.set(identifier);
                icmp.checksum.set(change.apply(icmp.checksum.get()));
            }
            Segment::default()
        }
    }
}

#[inline]
fn rewrite_tcp(transport: &mut [u8], to: &FlowId, change: Change) -> Segment {
    let length = transport.len();
    if let Some((tcp, _)) = Tcp::parse_mut(transport) {
        tcp.source_port.set(to.source_port);
        tcp.destination_port.set(to.destination_port);
        tcp.checksum.set(change.apply(tcp.checksum.get()));
        return Segment { flags: tcp.flags, has_data: length > tcp.header_length() };
    }
    // A segment too short for its checksum, such as a header quoted by an ICMP error: the ports only.
    if let Some(([source, destination], _)) = ports_mut(transport) {
        source.set(to.source_port);
        destination.set(to.destination_port);
    }
    Segment::default()
}

/// Gives the packet whose IP header is at the start of `bytes` other addresses, whatever its protocol.
pub(super) fn rewrite_addresses(bytes: &mut [u8], source: u32, destination: u32) {
    let Some((ip, _)) = Ipv4::parse_mut(bytes) else { return };
    let change = Change::new().double(ip.source.get(), source).double(ip.destination.get(), destination);
    ip.source.set(source);
    ip.destination.set(destination);
    ip.checksum.set(change.apply(ip.checksum.get()));
    let (protocol, has_transport) = (ip.protocol, ip.is_first_fragment());
    let Some(transport) = ipv4::payload_mut(bytes).filter(|_| has_transport) else { return };
    match protocol {
        ipv4::TCP => {
            if let Some((tcp, _)) = Tcp::parse_mut(transport) {
                tcp.checksum.set(change.apply(tcp.checksum.get()));
            }
        }
        ipv4::UDP => {
            if let Some((udp, _)) = Udp::parse_mut(transport) {
                udp.checksum.set(change.apply_udp(udp.checksum.get()));
            }
        }
        _ => {}
    }
}

fn ports_mut(transport: &mut [u8]) -> Option<(&mut [U16; 2], &mut [u8])> {
    zerocopy::FromBytes::mut_from_prefix(transport).ok()
}
