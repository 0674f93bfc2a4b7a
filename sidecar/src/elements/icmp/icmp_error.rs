//! ICMPError: turns packets into ICMP errors about them, where RFC 1812 allows one.

use std::net::Ipv4Addr;

use crate::config::split_words;
use crate::element::{Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Packet, StateKind};
use crate::elements::classify::ip_names;
use crate::packet::{HEADROOM, PacketType};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};
use crate::wire::ipv4::{self, Ipv4, MIN_HEADER_LENGTH};
use crate::wire::{Icmp, checksum, icmp};

const NO_HEADER: &str = "no IP header";
const FORBIDDEN: &str = "no error may be sent about this packet";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "ICMPError",
    summary: "generates ICMP error packets",
    args: &[
        Arg::required("SRC", "IP address", "source of the errors"),
        Arg::required("TYPE", "ICMP type", "number or name"),
        Arg::optional("CODE", "ICMP code", "0", "number or name"),
        Arg::keyword(
            "BADADDRS",
            "IP addresses",
            "",
            "sources to which no error is sent, such as broadcast addresses",
        ),
        Arg::keyword("MTU", "unsigned", "576", "the longest error, in bytes"),
        Arg::keyword("PMTU", "unsigned", "0", "next-hop MTU in errors of code needfrag (RFC 1191)"),
        Arg::keyword("SET_FIX_ANNO", "bool", "true", "let FixIPSrc replace the source"),
    ],
    reads: Annotations(
        Annotations::NETWORK_HEADER.0
            | Annotations::DST_IP.0
            | Annotations::PACKET_TYPE.0
            | Annotations::ICMP_PARAM_PROB.0,
    ),
    writes: Annotations(
        Annotations::FIX_IP_SRC.0 | Annotations::TRANSPORT_HEADER.0 | Annotations::TIMESTAMP.0,
    ),
    drops: &[NO_HEADER, FORBIDDEN],
    state: StateKind::Small,
    build,
    ..Descriptor::BASE
};

struct IcmpError {
    source: u32,
    kind: u8,
    code: u8,
    bad_addresses: Vec<u32>,
    mtu: usize,
    path_mtu: u16,
    set_fix: bool,
    /// Identification of the next error.
    next_id: u16,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let kind_text: String = args.need("TYPE")?;
    let kind = match ip_names::icmp_type(&kind_text) {
        Some(kind) => kind,
        None => args.need("TYPE").map_err(|_| format!("TYPE: unknown ICMP type '{kind_text}'"))?,
    };
    let code = match args.text("CODE") {
        None => 0,
        Some(name) => match ip_names::icmp_code(kind, name) {
            Some(code) => code,
            None => args.need("CODE").map_err(|_| format!("CODE: unknown ICMP code '{name}'"))?,
        },
    };
    if !Icmp::is_error(kind) {
        return Err(format!("TYPE: ICMP type {kind} is no error").into());
    }
    let bad = split_words(args.text("BADADDRS").unwrap_or(""));
    let bad_addresses = bad.iter().map(|word| args.parse::<Ipv4Addr>("BADADDRS", word).map(u32::from));
    let mtu = args.or("MTU", 576)?;
    if mtu < 2 * MIN_HEADER_LENGTH + 2 * icmp::HEADER_LENGTH {
        return Err("MTU must be at least 56".into());
    }
    Ok(Box::new(IcmpError {
        source: args.need::<Ipv4Addr>("SRC")?.into(),
        kind,
        code,
        bad_addresses: bad_addresses.collect::<Result<_, _>>()?,
        mtu,
        path_mtu: args.or("PMTU", 0)?,
        set_fix: args.or("SET_FIX_ANNO", true)?,
        next_id: 1,
    }))
}

/// Whether an address names one host: not 0/8, loopback, multicast, reserved or broadcast.
fn is_host(address: u32) -> bool {
    let first = address >> 24;
    first != 0 && first != 127 && first < 224
}

/// Whether the options of a header hold a source route, of which no error may report a redirect.
fn has_source_route(header: &[u8]) -> bool {
    let mut options = header.get(MIN_HEADER_LENGTH..).unwrap_or(&[]);
    while let [kind, rest @ ..] = options {
        let length = match (kind, rest) {
            (0, _) => return false,
            (1, _) => 1,
            (0x83 | 0x89, _) => return true,
            (_, [length, ..]) => usize::from(*length).max(2),
            _ => return false,
        };
        options = options.get(length..).unwrap_or(&[]);
    }
    false
}

impl IcmpError {
    /// Whether RFC 1812, 4.3.2.7 forbids an error about this packet.
    fn is_forbidden(&self, packet: &Packet, ip: &Ipv4, bytes: &[u8]) -> bool {
        let about_error = ip.protocol == ipv4::ICMP
            && ipv4::payload(bytes).and_then(|p| p.first()).is_none_or(|kind| Icmp::is_error(*kind));
        let redirected_source_route =
            self.kind == icmp::REDIRECT && bytes.get(..ip.header_length()).is_none_or(has_source_route);
        let source = ip.source.get();
        about_error
            || redirected_source_route
            || !is_host(source)
            || !ip.is_first_fragment()
            || self.bad_addresses.contains(&source)
            || matches!(packet.anno().packet_type, PacketType::Broadcast | PacketType::Multicast)
    }

    fn error_about(&mut self, packet: &Packet, now: crate::engine::Time) -> Result<Packet, &'static str> {
        let bytes = packet.network();
        let (ip, _) = Ipv4::parse(bytes).ok_or(NO_HEADER)?;
        if self.is_forbidden(packet, ip, bytes) {
            return Err(FORBIDDEN);
        }
        let header = MIN_HEADER_LENGTH + icmp::HEADER_LENGTH;
        let quoted = &bytes[..ip.total_length().min(bytes.len()).min(self.mtu - header)];
        let length = header + quoted.len();
        let mut error = Packet::stale(HEADROOM, length);
        let data = error.data_mut();
        data[header..].copy_from_slice(quoted);
        let message = &mut data[MIN_HEADER_LENGTH..];
        message[..icmp::HEADER_LENGTH].fill(0);
        message[0] = self.kind;
        message[1] = self.code;
        match self.kind {
            icmp::REDIRECT => message[4..8].copy_from_slice(&packet.anno().dst_ip.octets()),
            icmp::PARAMETER_PROBLEM => message[4] = packet.anno().icmp_param_prob,
            icmp::UNREACHABLE => message[6..8].copy_from_slice(&self.path_mtu.to_be_bytes()),
            _ => {}
        }
        let sum = checksum::of(message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let destination = ip.source.get();
        if let Some((new, _)) = Ipv4::parse_mut(data) {
            *new = Ipv4::new(ipv4::ICMP, self.source, destination, length as u16);
            new.id.set(self.next_id);
        }
        self.next_id = self.next_id.wrapping_add(1);
        ipv4::set_checksum(data);
        error.set_network_header(0, MIN_HEADER_LENGTH);
        error.anno_mut().dst_ip = destination.into();
        error.anno_mut().fix_ip_src = self.set_fix;
        error.anno_mut().timestamp = now;
        Ok(error)
    }
}

impl Element for IcmpError {
    fn action(&mut self, cx: &mut Cx<'_>, packet: Packet) -> Option<Packet> {
        match self.error_about(&packet, cx.now()) {
            Ok(error) => Some(error),
            Err(reason) => {
                cx.drop(reason, packet);
                None
            }
        }
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for IcmpError {
    fn schema(&self) -> Schema {
        Schema { name: "icmp/error", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u16(self.next_id);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.next_id = r.get_u16()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::element::Packet;
    use crate::packet::PacketType;
    use crate::testing::Bench;
    use crate::wire::checksum;
    use crate::wire::ipv4::{Ipv4, Verify, set_checksum};

    fn packet(length: u16, source: [u8; 4]) -> Vec<u8> {
        let mut bytes = vec![0x45, 0];
        bytes.extend(length.to_be_bytes());
        bytes.extend([0, 0, 0, 0, 1, 17, 0, 0]);
        bytes.extend(source);
        bytes.extend([10, 0, 2, 9]);
        bytes.resize(usize::from(length), 7);
        set_checksum(&mut bytes);
        bytes
    }

    #[test]
    fn an_error_quotes_the_packet_and_goes_to_its_source() {
        let mut bench = Bench::new(
            "in :: TestIn -> MarkIPHeader -> ICMPError(10.0.1.1, unreachable, needfrag, PMTU 1400) -> out :: TestOut;",
        );
        let about = packet(1000, [10, 0, 1, 9]);
        bench.push("in", &about);
        let out = bench.take_packets("out");
        let bytes = out[0].data();
        let ip = Ipv4::check(bytes, Verify::Checksum).unwrap();
        assert_eq!(
            (ip.source_address().octets(), ip.destination_address().octets()),
            ([10, 0, 1, 1], [10, 0, 1, 9])
        );
        assert_eq!((bytes.len(), &bytes[20..22], &bytes[24..28]), (576, &[3, 4][..], &[0, 0, 5, 120][..]));
        assert_eq!(checksum::of(&bytes[20..]), 0);
        assert_eq!(bytes[28..], about[..548]);
        assert!(out[0].anno().fix_ip_src);
        assert_eq!(out[0].anno().dst_ip.octets(), [10, 0, 1, 9]);
    }

    #[test]
    fn no_error_is_sent_where_rfc_1812_forbids_it() {
        let mut bench = Bench::new(
            "in :: TestIn -> MarkIPHeader -> e :: ICMPError(10.0.1.1, timeexceeded, BADADDRS 10.0.1.255) -> out :: TestOut;",
        );
        let mut later_fragment = packet(100, [10, 0, 1, 9]);
        later_fragment[7] = 5;
        let mut icmp_error = packet(100, [10, 0, 1, 9]);
        (icmp_error[9], icmp_error[20]) = (1, 11);
        for source in [[0, 0, 0, 0], [224, 0, 0, 1], [255, 255, 255, 255], [127, 0, 0, 1], [10, 0, 1, 255]] {
            bench.push("in", &packet(100, source));
        }
        bench.push("in", &later_fragment);
        bench.push("in", &icmp_error);
        let mut broadcast = Packet::from_slice(&packet(100, [10, 0, 1, 9]));
        broadcast.anno_mut().packet_type = PacketType::Broadcast;
        bench.push_packets("in", 0, [broadcast]);
        assert!(bench.take("out").is_empty());
        assert_eq!(bench.drops("e", super::FORBIDDEN), 8);
        icmp_error[20] = 8;
        bench.push("in", &icmp_error);
        assert_eq!(bench.take("out").len(), 1);
    }

    #[test]
    fn types_and_codes_that_do_not_exist_are_refused() {
        assert!(
            Bench::error("in :: TestIn -> ICMPError(1.1.1.1, gargle) -> TestOut;")
                .contains("unknown ICMP type 'gargle'")
        );
        assert!(
            Bench::error("in :: TestIn -> ICMPError(1.1.1.1, redirect, needfrag) -> TestOut;")
                .contains("ICMP code")
        );
        assert!(Bench::error("in :: TestIn -> ICMPError(1.1.1.1, echo) -> TestOut;").contains("is no error"));
    }
}
