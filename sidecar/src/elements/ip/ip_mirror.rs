//! IPMirror: turns packets round, addresses and ports.

use crate::element::{Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Packet};
use crate::wire::{Ipv4, Udp, ipv4};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "IPMirror",
    summary: "swaps IP source and destination",
    args: &[Arg::keyword("DST_ANNO", "bool", "true", "set the destination annotation")],
    reads: Annotations::NETWORK_HEADER,
    writes: Annotations::DST_IP,
    build,
    ..Descriptor::BASE
};

struct IpMirror {
    set_destination: bool,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(IpMirror { set_destination: args.or("DST_ANNO", true)? }))
}

impl Element for IpMirror {
    fn action(&mut self, _cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        // Checksums hold for either order of what changes places.
        let Some((ip, _)) = Ipv4::parse_mut(packet.network_mut()) else { return Some(packet) };
        (ip.source, ip.destination) = (ip.destination, ip.source);
        let (destination, protocol, first) = (ip.destination.get(), ip.protocol, ip.is_first_fragment());
        if first && matches!(protocol, ipv4::TCP | ipv4::UDP) {
            // TCP has its ports where UDP has them.
            if let Some((header, _)) = ipv4::payload_mut(packet.network_mut()).and_then(Udp::parse_mut) {
                (header.source_port, header.destination_port) = (header.destination_port, header.source_port);
            }
        }
        if self.set_destination {
            packet.anno_mut().dst_ip = destination.into();
        }
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use crate::testing::Bench;

    #[test]
    fn a_mirrored_packet_is_the_answer_with_right_checksums() {
        let udp = |from: ([u8; 4], u16), to: ([u8; 4], u16)| {
            let mut bytes = Vec::new();
            PacketBuilder::ipv4(from.0, to.0, 64).udp(from.1, to.1).write(&mut bytes, b"x").unwrap();
            bytes
        };
        let (a, b) = (([10, 0, 0, 1], 5), ([10, 0, 0, 2], 6));
        let mut bench = Bench::new("in :: TestIn -> MarkIPHeader -> IPMirror -> out :: TestOut;");
        bench.push("in", &udp(a, b));
        assert_eq!(bench.take("out"), [udp(b, a)]);
    }
}
