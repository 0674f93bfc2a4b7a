//! CheckTCPHeader, CheckUDPHeader, CheckICMPHeader: let only packets with a good transport header through.

use super::faults::{DETAILS, Faults, HANDLERS, VERBOSE};
use crate::element::{
    Annotations, Args, ConfigError, Cx, Descriptor, Element, HandlerError, Packet, StateKind,
};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};
use crate::wire::checksum::Sum;
use crate::wire::{Icmp, Ipv4, Tcp, Udp, checksum, icmp, ipv4, udp};

const NOT_TCP: &str = "not TCP";
const NOT_UDP: &str = "not UDP";
const NOT_ICMP: &str = "not ICMP";
const LENGTH: &str = "bad packet length";
const TCP_CHECKSUM: &str = "bad TCP checksum";
const UDP_CHECKSUM: &str = "bad UDP checksum";
const ICMP_CHECKSUM: &str = "bad ICMP checksum";

const BASE: Descriptor = Descriptor {
    ports: "1/1-2",
    processing: "a/ah",
    args: &[VERBOSE, DETAILS],
    reads: Annotations::NETWORK_HEADER,
    handlers: HANDLERS,
    state: StateKind::Small,
    ..Descriptor::BASE
};

pub(super) static CHECK_TCP: Descriptor = Descriptor {
    class: "CheckTCPHeader",
    summary: "checks TCP header",
    drops: &[NOT_TCP, LENGTH, TCP_CHECKSUM],
    details: "Bad packets leave by output 1, or are dropped: those that are not TCP, whose lengths do not fit, or whose \
              checksum is wrong. A message tells of the first.",
    example: r#"
        InfiniteSource(DATA \<45000028 00000000 4006 0000 0a000001 0a000002 1234 0050 00000000 00000000
            5002 1000 0000 0000>, LIMIT 2) -> MarkIPHeader -> t :: Tee;
        t[0] -> SetTCPChecksum -> c :: CheckTCPHeader -> IPPrint(good, TIMESTAMP false) -> Discard;
        t[1] -> c;
        InfiniteSource(LIMIT 1) -> UDPIPEncap(10.0.0.1, 5000, 10.0.0.2, 53) -> c;
        c[1] -> IPPrint(bad, TIMESTAMP false) -> Discard;
        DriverManager(wait 1s, print $(c.drop_details));
    "#,
    build: |args| build(args, "TCP", &CHECK_TCP, check_tcp),
    ..BASE
};

pub(super) static CHECK_UDP: Descriptor = Descriptor {
    class: "CheckUDPHeader",
    summary: "checks UDP header",
    drops: &[NOT_UDP, LENGTH, UDP_CHECKSUM],
    details: "Bad packets leave by output 1, or are dropped: those that are not UDP, whose lengths do not fit, or whose \
              checksum is wrong; a checksum of 0 is none. A message tells of the first.",
    example: r#"
        InfiniteSource(LIMIT 2) -> UDPIPEncap(10.0.0.1, 5000, 10.0.0.2, 53) -> c :: CheckUDPHeader;
        InfiniteSource(LIMIT 1) -> UDPIPEncap(10.0.0.1, 5001, 10.0.0.2, 53, CHECKSUM false) -> c;
        InfiniteSource(LIMIT 1) -> UDPIPEncap(10.0.0.1, 5002, 10.0.0.2, 53) -> Truncate(60) -> c;
        InfiniteSource(LIMIT 2) -> UDPIPEncap(10.0.0.1, 5003, 10.0.0.2, 53)
            -> StoreIPAddress(10.9.9.9, 12) -> c;
        c[0] -> IPPrint(good, TIMESTAMP false) -> Discard;
        c[1] -> IPPrint(bad, TIMESTAMP false) -> Discard;
        DriverManager(wait 1s, print $(c.drops), print $(c.drop_details));
    "#,
    build: |args| build(args, "UDP", &CHECK_UDP, check_udp),
    ..BASE
};

pub(super) static CHECK_ICMP: Descriptor = Descriptor {
    class: "CheckICMPHeader",
    summary: "checks ICMP header",
    drops: &[NOT_ICMP, LENGTH, ICMP_CHECKSUM],
    details: "Bad packets leave by output 1, or are dropped: those that are not ICMP, whose length does not fit the type \
              of the message, or whose checksum is wrong. A message tells of the first.",
    example: r#"
        InfiniteSource(LIMIT 2) -> ICMPPingEncap(10.0.0.1, 10.0.0.2)
            -> c :: CheckICMPHeader(VERBOSE true)
            -> IPPrint(good, TIMESTAMP false)
            -> Discard;
        InfiniteSource(DATA short, LIMIT 1) -> ICMPIPEncap(10.0.0.1, 10.0.0.2, unreachable, port) -> c;
        InfiniteSource(LIMIT 1) -> IPEncap(icmp, 10.0.0.1, 10.0.0.2) -> c;
        InfiniteSource(LIMIT 1) -> IPEncap(tcp, 10.0.0.1, 10.0.0.2) -> c;
        DriverManager(wait 1s, print $(c.drop_details));
    "#,
    build: |args| build(args, "ICMP", &CHECK_ICMP, check_icmp),
    ..BASE
};

type Check = fn(&[u8]) -> Result<(), &'static str>;

struct CheckTransportHeader {
    check: Check,
    faults: Faults,
}

fn build(
    args: &Args<'_>,
    what: &'static str,
    class: &'static Descriptor,
    check: Check,
) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(CheckTransportHeader { check, faults: Faults::new(what, class.drops, args)? }))
}

/// The IP header, if it is of `protocol`, and all that is behind it.
fn split(bytes: &[u8], protocol: u8) -> Option<(&Ipv4, &[u8])> {
    let (ip, _) = Ipv4::parse(bytes).filter(|(ip, _)| ip.protocol == protocol)?;
    Some((ip, bytes.get(ip.header_length()..)?))
}

/// Whether the checksum over pseudo-header and `bytes` is right.
fn sums_up(ip: &Ipv4, bytes: &[u8]) -> bool {
    let sum = Sum::new().pseudo(ip.source.get(), ip.destination.get(), ip.protocol, bytes.len() as u16);
    sum.bytes(bytes).finish() == 0
}

fn check_tcp(bytes: &[u8]) -> Result<(), &'static str> {
    let (ip, behind) = split(bytes, ipv4::TCP).ok_or(NOT_TCP)?;
    let length = ip.total_length().checked_sub(ip.header_length()).ok_or(LENGTH)?;
    let segment = behind.get(..length).ok_or(LENGTH)?;
    let (tcp, _) = Tcp::parse(segment).ok_or(LENGTH)?;
    if tcp.header_length() < 20 || tcp.header_length() > length {
        return Err(LENGTH);
    }
    if sums_up(ip, segment) { Ok(()) } else { Err(TCP_CHECKSUM) }
}

fn check_udp(bytes: &[u8]) -> Result<(), &'static str> {
    let (ip, behind) = split(bytes, ipv4::UDP).ok_or(NOT_UDP)?;
    let (header, _) = Udp::parse(behind).ok_or(LENGTH)?;
    let length = usize::from(header.length.get());
    let datagram = behind.get(..length).filter(|d| d.len() >= udp::HEADER_LENGTH).ok_or(LENGTH)?;
    if header.checksum.get() == 0 || sums_up(ip, datagram) { Ok(()) } else { Err(UDP_CHECKSUM) }
}

fn check_icmp(bytes: &[u8]) -> Result<(), &'static str> {
    let (_, message) = split(bytes, ipv4::ICMP).ok_or(NOT_ICMP)?;
    let (header, _) = Icmp::parse(message).ok_or(LENGTH)?;
    let fits = match header.kind {
        // An error quotes an IP header and eight bytes.
        kind if Icmp::is_error(kind) => message.len() >= icmp::HEADER_LENGTH + 28,
        icmp::TIMESTAMP | icmp::TIMESTAMP_REPLY => message.len() == 20,
        icmp::INFO_REQUEST | icmp::INFO_REPLY => message.len() == icmp::HEADER_LENGTH,
        _ => true,
    };
    match fits {
        false => Err(LENGTH),
        true if checksum::of(message) == 0 => Ok(()),
        true => Err(ICMP_CHECKSUM),
    }
}

impl Element for CheckTransportHeader {
    fn action(&mut self, cx: &mut Cx<'_>, packet: Packet) -> Option<Packet> {
        match (self.check)(packet.network()) {
            Ok(()) => Some(packet),
            Err(reason) => {
                self.faults.note(cx, reason, packet);
                None
            }
        }
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        self.faults.read(handler)
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for CheckTransportHeader {
    fn schema(&self) -> Schema {
        Schema { name: "ip/check-transport", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        self.faults.save(w);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.faults.restore(r)
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use crate::testing::Bench;

    fn packet(protocol: &str) -> Vec<u8> {
        let ip = PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
        let mut bytes = Vec::new();
        match protocol {
            "TCP" => ip.tcp(1, 2, 3, 4).write(&mut bytes, b"odd").unwrap(),
            "UDP" => ip.udp(1, 2).write(&mut bytes, b"odd").unwrap(),
            _ => ip.icmpv4_echo_request(1, 2).write(&mut bytes, b"odd").unwrap(),
        }
        bytes
    }

    #[test]
    fn good_headers_pass_and_damaged_ones_are_counted() {
        for protocol in ["TCP", "UDP", "ICMP"] {
            let mut bench = Bench::new(&format!(
                "in :: TestIn -> MarkIPHeader -> c :: Check{protocol}Header -> out :: TestOut;"
            ));
            let good = packet(protocol);
            bench.push("in", &good);
            assert_eq!(bench.take("out"), [&good[..]], "{protocol}");
            let mut damaged = good.clone();
            damaged[29] ^= 1;
            bench.push("in", &damaged);
            bench.push("in", &packet(if protocol == "TCP" { "UDP" } else { "TCP" }));
            bench.push("in", &good[..if protocol == "ICMP" { 27 } else { good.len() - 1 }]);
            assert!(bench.take("out").is_empty());
            for reason in
                [format!("not {protocol}"), "bad packet length".into(), format!("bad {protocol} checksum")]
            {
                assert_eq!(bench.drops("c", &reason), 1, "{protocol}: {reason}");
            }
            let details = format!("1\tnot {protocol}\n1\tbad packet length\n1\tbad {protocol} checksum\n");
            assert_eq!((bench.read("c", "drops"), bench.read("c", "drop_details")), ("3".into(), details));
        }
    }
}
