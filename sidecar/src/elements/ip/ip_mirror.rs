//! IPMirror: turns packets round, addresses and ports.

use crate::element::{Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Packet};
use crate::wire::{Ipv4, Tcp, Udp, ipv4};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "IPMirror",
    summary: "swaps IP source and destination",
    args: &[Arg::optional("DST_ANNO", "bool", "true", "set the destination annotation")],
    reads: Annotations::NETWORK_HEADER,
    details: "Source and destination change places, and so do the ports of TCP and UDP, and the sequence and \
              acknowledgement numbers of TCP, in packets that have them. All checksums stay right as they are.",
    example: r#"
        InfiniteSource(LIMIT 1) -> UDPIPEncap(10.0.0.1, 5000, 10.0.0.2, 53) -> t :: Tee;
        InfiniteSource(DATA \<45000028 00000000 4006 0000 0a000001 0a000002 1234 0050 0000000a 00000063
            5010 1000 0000 0000>, LIMIT 2) -> MarkIPHeader -> t;
        t[0] -> IPPrint(question, TIMESTAMP false) -> Discard;
        t[1] -> IPMirror -> IPPrint(answer, TIMESTAMP false) -> Discard;
        DriverManager(wait 1s);
    "#,
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
            let transport = ipv4::payload_mut(packet.network_mut()).unwrap_or_default();
            // TCP has its ports where UDP has them.
            if let Some((header, _)) = Udp::parse_mut(transport) {
                (header.source_port, header.destination_port) = (header.destination_port, header.source_port);
            }
            if let Some((tcp, _)) = Tcp::parse_mut(transport).filter(|_| protocol == ipv4::TCP) {
                (tcp.sequence, tcp.acknowledgement) = (tcp.acknowledgement, tcp.sequence);
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

    #[test]
    fn numbers_of_tcp_change_places_too() {
        let tcp = |from: [u8; 4], to: [u8; 4], ports: (u16, u16), numbers: (u32, u32)| {
            let mut bytes = Vec::new();
            let ip = PacketBuilder::ipv4(from, to, 64);
            ip.tcp(ports.0, ports.1, numbers.0, 100).ack(numbers.1).write(&mut bytes, b"x").unwrap();
            bytes
        };
        let (a, b) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        let mut bench = Bench::new("in :: TestIn -> MarkIPHeader -> IPMirror(false) -> out :: TestOut;");
        bench.push("in", &tcp(a, b, (1, 2), (3, 4)));
        let out = bench.take_packets("out");
        assert_eq!(out[0].data(), tcp(b, a, (2, 1), (4, 3)));
        assert!(out[0].anno().dst_ip.is_unspecified());
        let error = Bench::error("Idle -> IPMirror(x) -> Discard;");
        assert!(error.contains("DST_ANNO: expected boolean, got 'x'"), "{error}");
    }
}
