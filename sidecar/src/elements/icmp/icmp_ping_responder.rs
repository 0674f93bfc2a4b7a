//! ICMPPingResponder: answers echo requests (RFC 1122, section 3.2.2.6).

use std::net::Ipv4Addr;

use crate::element::{Annotations, Cx, Descriptor, Element, Packet};
use crate::wire::checksum::Change;
use crate::wire::{Icmp, Ipv4, icmp, ipv4};

const NOT_ECHO: &str = "not an echo request";
/// Time to live of answers.
const TTL: u8 = 255;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "ICMPPingResponder",
    summary: "responds to ICMP echo requests",
    ports: "1/1-2",
    processing: "a/ah",
    reads: Annotations::NETWORK_HEADER,
    writes: Annotations(Annotations::DST_IP.0 | Annotations::PAINT.0 | Annotations::TIMESTAMP.0),
    drops: &[NOT_ECHO],
    details: "Addresses change places, the time to live is 255, no fragment bit is set, and checksums stay right. The \
              destination annotation is set, the timestamp is now, and the paint is 0. All other packets leave by output 1, \
              or are dropped.",
    example: r#"
        InfiniteSource(DATA "hello, world", LIMIT 2) -> ICMPPingEncap(10.0.0.1, 10.0.0.2, IDENTIFIER 7)
            -> Paint(5)
            -> p :: ICMPPingResponder
            -> CheckIPHeader -> CheckICMPHeader
            -> IPPrint(answer, TTL true, PAINT true, TIMESTAMP false)
            -> Discard;
        InfiniteSource(LIMIT 1) -> UDPIPEncap(10.0.0.1, 5000, 10.0.0.2, 53) -> p;
        p[1] -> IPPrint("no ping", TIMESTAMP false) -> Discard;
        DriverManager(wait 1s);
    "#,
    build: |_| Ok(Box::new(IcmpPingResponder)),
    ..Descriptor::BASE
};

struct IcmpPingResponder;

/// Turns the echo request at the start of `bytes` into its answer; returns to whom it goes.
fn answer(bytes: &mut [u8]) -> Option<Ipv4Addr> {
    let (ip, _) = Ipv4::parse(bytes).filter(|(ip, _)| ip.protocol == ipv4::ICMP && ip.is_first_fragment())?;
    let (source, destination) = (ip.source, ip.destination);
    let (header, _) = Icmp::parse_mut(ipv4::payload_mut(bytes)?)?;
    if header.kind != icmp::ECHO {
        return None;
    }
    let before = u16::from(icmp::ECHO) << 8 | u16::from(header.code);
    let change = Change::new().word(before, u16::from(icmp::ECHO_REPLY) << 8);
    (header.kind, header.code) = (icmp::ECHO_REPLY, 0);
    header.checksum.set(change.apply(header.checksum.get()));
    // Addresses that change places leave the header's checksum as it is.
    let (ip, _) = Ipv4::parse_mut(bytes)?;
    (ip.source, ip.destination) = (destination, source);
    let lifetime = |ttl: u8| u16::from(ttl) << 8;
    let change = Change::new().word(ip.fragment.get(), 0).word(lifetime(ip.ttl), lifetime(TTL));
    ip.fragment.set(0);
    ip.ttl = TTL;
    ip.checksum.set(change.apply(ip.checksum.get()));
    Some(source.get().into())
}

impl Element for IcmpPingResponder {
    fn action(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        match answer(packet.network_mut()) {
            Some(to) => {
                let anno = packet.anno_mut();
                (anno.dst_ip, anno.paint, anno.timestamp) = (to, 0, cx.now());
                Some(packet)
            }
            None => {
                cx.emit_or_drop(1, NOT_ECHO, packet);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use crate::wire::checksum;
    use crate::wire::ipv4::set_checksum;

    #[test]
    fn an_echo_is_answered_with_right_checksums_and_other_packets_are_not() {
        let mut bench = Bench::new(
            "in :: TestIn -> MarkIPHeader -> p :: ICMPPingResponder -> out :: TestOut; p[1] -> other :: TestOut;",
        );
        let mut ping = vec![0x45, 0, 0, 32, 0, 0, 0x40, 0, 9, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        ping.extend([8, 5, 0, 0, 1, 2, 3, 4, b'a', b'b', b'c', b'd']);
        let sum = checksum::of(&ping[20..]);
        ping[22..24].copy_from_slice(&sum.to_be_bytes());
        set_checksum(&mut ping);
        bench.push("in", &ping);
        let out = bench.take("out");
        assert_eq!(
            (&out[0][12..16], &out[0][16..20], &out[0][20..22], out[0][6], out[0][8]),
            (&[10, 0, 0, 2][..], &[10, 0, 0, 1][..], &[0, 0][..], 0, 255)
        );
        assert_eq!(
            (checksum::of(&out[0][..20]), checksum::of(&out[0][20..]), &out[0][24..]),
            (0, 0, &ping[24..])
        );
        bench.push("in", &out[0]);
        assert_eq!(bench.take("other"), out);
    }
}
