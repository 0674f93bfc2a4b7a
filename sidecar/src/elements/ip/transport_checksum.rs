//! SetIPChecksum, SetTCPChecksum, SetUDPChecksum: checksums computed anew, for packets that other elements changed.

use crate::element::{Annotations, Arg, Cx, Descriptor, Element, Packet};
use crate::wire::checksum::Sum;
use crate::wire::{Ipv4, Tcp, Udp, ipv4};

const BAD: &str = "no such header";

pub(super) static SET_IP_CHECKSUM: Descriptor = Descriptor {
    class: "SetIPChecksum",
    summary: "sets IP header checksum",
    reads: Annotations::NETWORK_HEADER,
    drops: &[BAD],
    build: |_| Ok(Box::new(SetChecksum { set: |bytes| ipv4::set_checksum(bytes).then_some(()) })),
    ..Descriptor::BASE
};

pub(super) static SET_TCP_CHECKSUM: Descriptor = Descriptor {
    class: "SetTCPChecksum",
    summary: "sets TCP header checksum",
    ports: "1/1-2",
    processing: "a/ah",
    args: &[Arg::optional(
        "FIXOFF",
        "bool",
        "false",
        "taken for Click's sake: header offsets are left alone",
    )],
    reads: Annotations::NETWORK_HEADER,
    drops: &[BAD],
    build: |_| Ok(Box::new(SetChecksum { set: set_tcp })),
    ..Descriptor::BASE
};

pub(super) static SET_UDP_CHECKSUM: Descriptor = Descriptor {
    class: "SetUDPChecksum",
    summary: "sets UDP header checksum",
    ports: "1/1-2",
    processing: "a/ah",
    reads: Annotations::NETWORK_HEADER,
    drops: &[BAD],
    build: |_| Ok(Box::new(SetChecksum { set: set_udp })),
    ..Descriptor::BASE
};

struct SetChecksum {
    /// Sets the checksum in the packet whose IP header is at the start of the bytes; `None` if that cannot be.
    set: fn(&mut [u8]) -> Option<()>,
}

/// The pseudo-header's part of the checksum of the transport header behind an IP header. Fragments have none that could
/// be computed.
pub(super) fn pseudo_sum(bytes: &[u8], protocol: u8, length: usize) -> Option<Sum> {
    let (ip, _) = Ipv4::parse(bytes)?;
    let length = u16::try_from(length).ok()?;
    (ip.protocol == protocol && !ip.is_fragment())
        .then(|| Sum::new().pseudo(ip.source.get(), ip.destination.get(), protocol, length))
}

fn set_tcp(bytes: &mut [u8]) -> Option<()> {
    let sum = pseudo_sum(bytes, ipv4::TCP, ipv4::payload(bytes)?.len())?;
    let segment = ipv4::payload_mut(bytes)?;
    Tcp::parse_mut(segment)?.0.checksum.set(0);
    let sum = sum.bytes(segment).finish();
    Tcp::parse_mut(segment)?.0.checksum.set(sum);
    Some(())
}

fn set_udp(bytes: &mut [u8]) -> Option<()> {
    let length = usize::from(Udp::parse(ipv4::payload(bytes)?)?.0.length.get());
    let sum = pseudo_sum(bytes, ipv4::UDP, length)?;
    let datagram = ipv4::payload_mut(bytes)?.get_mut(..length)?;
    Udp::parse_mut(datagram)?.0.checksum.set(0);
    let sum = sum.bytes(datagram).finish();
    Udp::parse_mut(datagram)?.0.checksum.set(if sum == 0 { 0xffff } else { sum });
    Some(())
}

impl Element for SetChecksum {
    fn action(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        if (self.set)(packet.network_mut()).is_some() {
            return Some(packet);
        }
        cx.emit_or_drop(1, BAD, packet);
        None
    }
}
