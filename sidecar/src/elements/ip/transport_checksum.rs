//! SetIPChecksum, SetTCPChecksum, SetUDPChecksum: checksums computed anew, for packets that other elements changed.

use crate::element::{
    Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};
use crate::wire::checksum::Sum;
use crate::wire::{Ipv4, Tcp, Udp, ipv4, tcp};

const BAD_IP: &str = "bad IP header";
const BAD_TCP: &str = "bad lengths";
const BAD_UDP: &str = "fragment or short packet";

pub(super) static SET_IP_CHECKSUM: Descriptor = Descriptor {
    class: "SetIPChecksum",
    summary: "sets IP header checksum",
    reads: Annotations::NETWORK_HEADER,
    drops: &[BAD_IP],
    handlers: &[Handler::read("drops", "packets without an IP header, which are dropped")],
    state: StateKind::Small,
    details: "The IP header is where the annotation says, or at the start of the packet if there is none. Elements such as \
              DecIPTTL keep the checksum right themselves.",
    example: r#"
        InfiniteSource(DATA \<45000014 00000000 4011ffff 0a000001 0a000002>, LIMIT 2)
            -> s :: SetIPChecksum
            -> c :: CheckIPHeader
            -> Print(MAXLENGTH 20)
            -> Discard;
        InfiniteSource(DATA \<45000014 00000000>, LIMIT 3) -> s;
        DriverManager(wait 1s, print $(s.drops), print $(c.drops));
    "#,
    build: |_| Ok(Box::new(SetIpChecksum { drops: 0 })),
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
        "whether a header length that does not fit the packet is set right too",
    )],
    reads: Annotations::NETWORK_HEADER,
    drops: &[BAD_TCP],
    details: "Packets that are not whole, not TCP, or fragments leave by output 1, or are dropped with a message.",
    example: r#"
        InfiniteSource(DATA \<45000028 00000000 4006 0000 0a000001 0a000002 1234 0050 00000000 00000000
            0002 1000 0000 0000>, LIMIT 2)
            -> MarkIPHeader
            -> s :: SetTCPChecksum(FIXOFF true)
            -> CheckTCPHeader
            -> IPPrint(TIMESTAMP false, CONTENTS HEX)
            -> Discard;
        InfiniteSource(LIMIT 1) -> UDPIPEncap(10.0.0.1, 5000, 10.0.0.2, 53) -> s;
        DriverManager(wait 1s, print $(s.drop_reasons));
    "#,
    build: build_tcp,
    ..Descriptor::BASE
};

pub(super) static SET_UDP_CHECKSUM: Descriptor = Descriptor {
    class: "SetUDPChecksum",
    summary: "sets UDP header checksum",
    ports: "1/1-2",
    processing: "a/ah",
    reads: Annotations::NETWORK_HEADER,
    drops: &[BAD_UDP],
    state: StateKind::Small,
    details: "Fragments and packets that end before their UDP length leave by output 1, or are dropped; a message tells of \
              the first.",
    example: r#"
        InfiniteSource(LIMIT 2) -> UDPIPEncap(10.0.0.1, 5000, 10.0.0.2, 53, CHECKSUM false)
            -> s :: SetUDPChecksum
            -> CheckUDPHeader
            -> Print(MAXLENGTH 32)
            -> Discard;
        InfiniteSource(LIMIT 3) -> UDPIPEncap(10.0.0.1, 5000, 10.0.0.2, 53) -> Truncate(40) -> s;
        DriverManager(wait 1s, print $(s.drop_reasons));
    "#,
    build: |_| Ok(Box::new(SetUdpChecksum { told: false })),
    ..Descriptor::BASE
};

struct SetIpChecksum {
    drops: u64,
}

impl Element for SetIpChecksum {
    #[inline]
    fn action(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        let header = match packet.network_offset() {
            Some(_) => packet.network_mut(),
            None => packet.data_mut(),
        };
        if ipv4::set_checksum(header) {
            return Some(packet);
        }
        if self.drops == 0 {
            cx.message("SetIPChecksum: bad input packet");
        }
        self.drops += 1;
        cx.drop(BAD_IP, packet);
        None
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "drops" => Ok(self.drops.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for SetIpChecksum {
    fn schema(&self) -> Schema {
        Schema { name: "ip/set-checksum", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.drops);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.drops = r.get_u64()?;
        Ok(())
    }
}

/// The pseudo-header's part of the checksum of the transport header behind an IP header. Fragments have none that could
/// be computed.
fn pseudo_sum(bytes: &[u8], protocol: u8, length: usize) -> Option<Sum> {
    let (ip, _) = Ipv4::parse(bytes)?;
    let length = u16::try_from(length).ok()?;
    (ip.protocol == protocol && !ip.is_fragment())
        .then(|| Sum::new().pseudo(ip.source.get(), ip.destination.get(), protocol, length))
}

struct SetTcpChecksum {
    fix_offset: bool,
}

fn build_tcp(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(SetTcpChecksum { fix_offset: args.or("FIXOFF", false)? }))
}

impl SetTcpChecksum {
    fn set(&self, bytes: &mut [u8]) -> Option<()> {
        let (ip, _) = Ipv4::parse(bytes)?;
        let claimed = ip.total_length().checked_sub(ip.header_length())?;
        let segment = ipv4::payload(bytes).filter(|segment| segment.len() == claimed)?;
        let sum = pseudo_sum(bytes, ipv4::TCP, segment.len())?;
        let segment = ipv4::payload_mut(bytes)?;
        let length = segment.len();
        let (header, _) = Tcp::parse_mut(segment)?;
        if self.fix_offset {
            let least = tcp::MIN_HEADER_LENGTH;
            header.set_header_length(header.header_length().clamp(least, length.max(least)));
        }
        header.checksum.set(0);
        let sum = sum.bytes(segment).finish();
        Tcp::parse_mut(segment)?.0.checksum.set(sum);
        Some(())
    }
}

impl Element for SetTcpChecksum {
    fn action(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        if self.set(packet.network_mut()).is_some() {
            return Some(packet);
        }
        if cx.outputs() < 2 {
            cx.message("SetTCPChecksum: bad lengths");
        }
        cx.emit_or_drop(1, BAD_TCP, packet);
        None
    }
}

struct SetUdpChecksum {
    /// Whether a message was printed.
    told: bool,
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

impl Element for SetUdpChecksum {
    fn action(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        if set_udp(packet.network_mut()).is_some() {
            return Some(packet);
        }
        if cx.outputs() < 2 && !std::mem::replace(&mut self.told, true) {
            cx.message(format_args!("{} :: SetUDPChecksum: fragment or short packet", cx.name()));
        }
        cx.emit_or_drop(1, BAD_UDP, packet);
        None
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for SetUdpChecksum {
    fn schema(&self) -> Schema {
        Schema { name: "ip/set-udp-checksum", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_bool(self.told);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.told = r.get_bool()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use crate::testing::Bench;

    #[test]
    fn checksums_set_anew_are_those_of_an_independent_writer() {
        for protocol in ["TCP", "UDP"] {
            let ip = PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
            let mut good = Vec::new();
            match protocol {
                "TCP" => ip.tcp(1, 2, 3, 4).write(&mut good, b"odd").unwrap(),
                _ => ip.udp(1, 2).write(&mut good, b"odd").unwrap(),
            }
            let mut bench = Bench::new(&format!(
                "in :: TestIn -> MarkIPHeader -> s :: Set{protocol}Checksum -> SetIPChecksum -> out :: TestOut;
                 s[1] -> bad :: TestOut;"
            ));
            let at = if protocol == "TCP" { 36 } else { 26 };
            let mut wrong = good.clone();
            (wrong[at], wrong[at + 1], wrong[10], wrong[11]) = (0xab, 0xcd, 1, 2);
            bench.push("in", &wrong);
            assert_eq!(bench.take("out"), [&good[..]]);
            wrong[6] = 0x20;
            let short = &good[..good.len() - 1];
            bench.push("in", &wrong);
            bench.push("in", short);
            assert_eq!(bench.take("bad"), [&wrong[..], short]);
        }
    }

    #[test]
    fn a_tcp_header_length_that_does_not_fit_is_set_right_on_demand() {
        let mut good = Vec::new();
        PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).tcp(1, 2, 3, 4).write(&mut good, b"").unwrap();
        for offset in [0x00, 0xf0] {
            let mut bench =
                Bench::new("in :: TestIn -> MarkIPHeader -> SetTCPChecksum(true) -> out :: TestOut;");
            let mut wrong = good.clone();
            wrong[32] = offset;
            bench.push("in", &wrong);
            assert_eq!(bench.take("out"), [&good[..]]);
        }
        let error = Bench::error("Idle -> SetTCPChecksum(x) -> Discard;");
        assert!(error.contains("FIXOFF: expected boolean, got 'x'"), "{error}");
    }

    #[test]
    fn packets_without_an_ip_header_are_dropped_and_counted() {
        let mut bench = Bench::new("in :: TestIn -> s :: SetIPChecksum -> out :: TestOut;");
        bench.push("in", &[0x45; 19]);
        bench.push("in", &[0x41; 20]);
        assert_eq!((bench.read("s", "drops").as_str(), bench.take("out").len()), ("2", 0));
    }
}
