//! CheckTCPHeader, CheckUDPHeader, CheckICMPHeader: let only packets with a good transport header through.

use super::transport_checksum::pseudo_sum;
use crate::element::{
    Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet,
};
use crate::wire::{Icmp, Tcp, Udp, checksum, icmp, ipv4, udp};

const PROTOCOL: &str = "bad IP protocol";
const LENGTH: &str = "bad packet length";
const CHECKSUM: &str = "bad checksum";
const REASONS: [&str; 3] = [PROTOCOL, LENGTH, CHECKSUM];

const BASE: Descriptor = Descriptor {
    ports: "1/1-2",
    processing: "a/ah",
    args: &[
        Arg::keyword("VERBOSE", "bool", "false", "taken for Click's sake: reasons are counted"),
        Arg::keyword("DETAILS", "bool", "false", "taken for Click's sake: reasons are counted"),
    ],
    reads: Annotations::NETWORK_HEADER,
    drops: &REASONS,
    handlers: &[
        Handler::read("drops", "bad packets dropped"),
        Handler::read("drop_details", "bad packets dropped, by reason"),
    ],
    ..Descriptor::BASE
};

pub(super) static CHECK_TCP: Descriptor = Descriptor {
    class: "CheckTCPHeader",
    summary: "checks TCP header",
    build: |args| build(args, check_tcp),
    ..BASE
};

pub(super) static CHECK_UDP: Descriptor = Descriptor {
    class: "CheckUDPHeader",
    summary: "checks UDP header",
    build: |args| build(args, check_udp),
    ..BASE
};

pub(super) static CHECK_ICMP: Descriptor = Descriptor {
    class: "CheckICMPHeader",
    summary: "checks ICMP header",
    build: |args| build(args, check_icmp),
    ..BASE
};

type Check = fn(&[u8]) -> Result<(), &'static str>;

struct CheckTransportHeader {
    check: Check,
}

fn build(_args: &Args<'_>, check: Check) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(CheckTransportHeader { check }))
}

fn check_tcp(bytes: &[u8]) -> Result<(), &'static str> {
    let segment = ipv4::payload(bytes).ok_or(PROTOCOL)?;
    let sum = pseudo_sum(bytes, ipv4::TCP, segment.len()).ok_or(PROTOCOL)?;
    let (tcp, _) = Tcp::parse(segment).ok_or(LENGTH)?;
    if tcp.header_length() < 20 || tcp.header_length() > segment.len() {
        return Err(LENGTH);
    }
    if sum.bytes(segment).finish() == 0 { Ok(()) } else { Err(CHECKSUM) }
}

fn check_udp(bytes: &[u8]) -> Result<(), &'static str> {
    let datagram = ipv4::payload(bytes).ok_or(PROTOCOL)?;
    pseudo_sum(bytes, ipv4::UDP, 0).ok_or(PROTOCOL)?;
    let (header, _) = Udp::parse(datagram).ok_or(LENGTH)?;
    let length = usize::from(header.length.get());
    let datagram = datagram.get(..length).filter(|d| d.len() >= udp::HEADER_LENGTH).ok_or(LENGTH)?;
    if header.checksum.get() == 0 {
        return Ok(());
    }
    let sum = pseudo_sum(bytes, ipv4::UDP, length).ok_or(LENGTH)?;
    if sum.bytes(datagram).finish() == 0 { Ok(()) } else { Err(CHECKSUM) }
}

fn check_icmp(bytes: &[u8]) -> Result<(), &'static str> {
    let message = ipv4::payload(bytes).ok_or(PROTOCOL)?;
    pseudo_sum(bytes, ipv4::ICMP, 0).ok_or(PROTOCOL)?;
    let (header, _) = Icmp::parse(message).ok_or(LENGTH)?;
    // Click's least lengths: an error quotes an IP header and eight bytes, a timestamp holds three words.
    let least = match header.kind {
        kind if Icmp::is_error(kind) => icmp::HEADER_LENGTH + 28,
        icmp::TIMESTAMP | icmp::TIMESTAMP_REPLY => 20,
        _ => icmp::HEADER_LENGTH,
    };
    if message.len() < least {
        return Err(LENGTH);
    }
    if checksum::of(message) == 0 { Ok(()) } else { Err(CHECKSUM) }
}

impl Element for CheckTransportHeader {
    fn action(&mut self, cx: &mut Cx<'_>, packet: Packet) -> Option<Packet> {
        match (self.check)(packet.network()) {
            Ok(()) => Some(packet),
            Err(reason) => {
                cx.emit_or_drop(1, reason, packet);
                None
            }
        }
    }

    fn read(&mut self, cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        let counts = REASONS.map(|reason| (reason, cx.drop_count(reason)));
        match handler {
            "drops" => Ok(counts.iter().map(|(_, count)| count).sum::<u64>().to_string()),
            "drop_details" => {
                Ok(counts.iter().map(|(reason, count)| format!("{count:15}  {reason}\n")).collect())
            }
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
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
            let mut cut = good.clone();
            (cut[2], cut[3]) = (0, 24);
            bench.push("in", &cut);
            assert!(bench.take("out").is_empty());
            for reason in super::REASONS {
                assert_eq!(bench.drops("c", reason), 1, "{protocol}: {reason}");
            }
        }
    }

    #[test]
    fn checksums_set_anew_are_those_of_an_independent_writer() {
        for protocol in ["TCP", "UDP"] {
            let mut bench = Bench::new(&format!(
                "in :: TestIn -> MarkIPHeader -> Set{protocol}Checksum -> SetIPChecksum -> out :: TestOut;"
            ));
            let good = packet(protocol);
            let at = if protocol == "TCP" { 36 } else { 26 };
            let mut bad = good.clone();
            (bad[at], bad[at + 1], bad[10], bad[11]) = (0xab, 0xcd, 1, 2);
            bench.push("in", &bad);
            assert_eq!(bench.take("out"), [good]);
        }
    }
}
