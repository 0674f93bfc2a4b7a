//! ICMPError: turns packets into ICMP errors about them, where RFC 1812 allows one.

use std::net::Ipv4Addr;

use crate::config::split_words;
use crate::element::{
    Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
};
use crate::elements::basic::parse_handler;
use crate::elements::classify::ip_names;
use crate::packet::{HEADROOM, PacketType};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};
use crate::wire::ipv4::{self, Ipv4, MIN_HEADER_LENGTH};
use crate::wire::{Icmp, checksum, icmp};

const NO_HEADER: &str = "no IP header";
/// Time to live of errors.
const TTL: u8 = 200;
/// Code of unreachable: "fragmentation needed".
const NEEDFRAG: u8 = 4;
const FORBIDDEN: &str = "no error may be sent about this packet";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "ICMPError",
    summary: "generates ICMP error packets",
    args: &[
        Arg::required("SRC", "IP address", "source of the errors"),
        Arg::required("TYPE", "ICMP type", "number or name"),
        Arg::optional("CODE", "ICMP code", "0", "number or name"),
        Arg::optional(
            "BADADDRS",
            "IP addresses",
            "",
            "addresses of no single host, such as broadcast addresses: no error is sent to or about them",
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
    handlers: &[
        Handler::both("src", "source of the errors"),
        Handler::both("mtu", "the longest error"),
        Handler::both("pmtu", "next-hop MTU in errors of code needfrag"),
    ],
    state: StateKind::Small,
    details: "An error quotes the packet and goes to its source. None is sent about ICMP errors, later fragments, packets \
              from or to broadcast and multicast addresses, and, for redirects, packets with a source route (RFC 1812, \
              4.3.2.7): such packets are dropped. A redirect names the gateway of the destination annotation. A source route is \
              reversed into the error.",
    example: r#"
        ip :: MarkIPHeader -> e :: ICMPError(10.0.0.254, unreachable, needfrag, 10.0.0.255, PMTU 1400)
            -> CheckIPHeader -> CheckICMPHeader
            -> IPPrint(TIMESTAMP false, LENGTH true)
            -> Discard;
        RatedSource(LENGTH 1000, RATE 1, LIMIT 3) -> UDPIPEncap(10.0.0.1, 5000, 10.9.9.9, 53) -> ip;
        InfiniteSource(LIMIT 1) -> UDPIPEncap(10.0.0.255, 5000, 10.9.9.9, 53) -> ip;
        InfiniteSource(LIMIT 1) -> UDPIPEncap(10.0.0.1, 5000, 224.0.0.1, 53) -> ip;
        InfiniteSource(LIMIT 1) -> ICMPIPEncap(10.0.0.1, 10.9.9.9, timeexceeded) -> ip;
        DriverManager(wait 0.5s, write e.mtu 100, write e.pmtu 1300, wait 1s, write e.src 10.0.0.253,
            wait 1s, print $(e.drop_reasons));
    "#,
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
        None => args.need("TYPE").map_err(|_| "ICMP type must be between 0 and 255")?,
    };
    let code = match args.text("CODE") {
        None => 0,
        Some(name) => match ip_names::icmp_code(kind, name) {
            Some(code) => code,
            None => {
                args.need("CODE").map_err(|_| "argument 2 takes ICMP code (integer between 0 and 255)")?
            }
        },
    };
    if !Icmp::is_error(kind) {
        return Err(format!("ICMP type {kind} is not an error type").into());
    }
    let bad = split_words(args.text("BADADDRS").unwrap_or(""));
    let bad_addresses = bad.iter().map(|word| args.parse::<Ipv4Addr>("BADADDRS", word).map(u32::from));
    let mtu = check_mtu(args.or("MTU", 576)?)?;
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

/// An error holds at least two IP headers, its own header and eight bytes.
fn check_mtu(mtu: usize) -> Result<usize, String> {
    if mtu < 2 * MIN_HEADER_LENGTH + 2 * icmp::HEADER_LENGTH {
        return Err("MTU must be at least 56".to_owned());
    }
    Ok(mtu)
}

/// The source route among the options of a header, and where it is.
fn source_route(header: &[u8]) -> Option<(usize, &[u8])> {
    let mut at = MIN_HEADER_LENGTH;
    while let [kind, rest @ ..] = header.get(at..)? {
        let length = match (kind, rest) {
            (0, _) => return None,
            (1, _) => {
                at += 1;
                continue;
            }
            (_, [length, ..]) => usize::from(*length),
            _ => return None,
        };
        let option = header.get(at..at + length).filter(|option| option.len() >= 2)?;
        let pointer = option.get(2).map_or(0, |pointer| usize::from(*pointer));
        if matches!(kind, 0x83 | 0x89) && pointer >= 4 && pointer % 4 == 0 && pointer <= length + 1 {
            return Some((at, option));
        }
        at += length;
    }
    None
}

/// The way back, as options of an error (RFC 1812, 4.3.2.6): the route up to here, its addresses in reverse.
fn reversed(route: &[u8]) -> Vec<u8> {
    let length = usize::from(route[2]) - 1;
    let mut options = vec![route[0], length as u8, 4];
    for address in route.get(3..length).unwrap_or(&[]).chunks_exact(4).rev() {
        options.extend_from_slice(address);
    }
    options.resize(options.len().next_multiple_of(4), 0);
    options
}

impl IcmpError {
    /// Whether RFC 1812, 4.3.2.7 forbids an error about this packet.
    fn is_forbidden(&self, packet: &Packet, ip: &Ipv4, bytes: &[u8]) -> bool {
        let about_error = ip.protocol == ipv4::ICMP
            && ipv4::payload(bytes).and_then(|p| p.first()).is_none_or(|kind| Icmp::is_error(*kind));
        let redirected_source_route = self.kind == icmp::REDIRECT
            && bytes.get(..ip.header_length()).is_none_or(|header| source_route(header).is_some());
        let (source, destination) = (ip.source.get(), ip.destination.get());
        about_error
            || redirected_source_route
            || !is_host(source)
            || !ip.is_first_fragment()
            || destination >> 28 == 0xe
            || destination == u32::MAX
            || [source, destination].iter().any(|address| self.bad_addresses.contains(address))
            || matches!(packet.anno().packet_type, PacketType::Broadcast | PacketType::Multicast)
    }

    /// The options of an error about the packet with this IP header.
    fn options(&self, header: &[u8], wrong: u8) -> Vec<u8> {
        let Some((at, route)) = source_route(header) else { return Vec::new() };
        let about_route = self.kind == icmp::PARAMETER_PROBLEM
            && self.code == 0
            && (at..at + route.len()).contains(&usize::from(wrong));
        if about_route { Vec::new() } else { reversed(route) }
    }

    fn error_about(&mut self, packet: &Packet, now: crate::engine::Time) -> Result<Packet, &'static str> {
        let bytes = packet.network();
        let (ip, _) = Ipv4::parse(bytes).ok_or(NO_HEADER)?;
        if self.is_forbidden(packet, ip, bytes) {
            return Err(FORBIDDEN);
        }
        let wrong = packet.anno().icmp_param_prob;
        let options = self.options(bytes.get(..ip.header_length()).unwrap_or(&[]), wrong);
        let ip_header = MIN_HEADER_LENGTH + options.len();
        let header = ip_header + icmp::HEADER_LENGTH;
        let most = self.mtu.saturating_sub(header);
        let quoted = &bytes[..ip.total_length().min(bytes.len()).min(most)];
        let length = header + quoted.len();
        let mut error = Packet::stale(HEADROOM, length);
        let data = error.data_mut();
        data[header..].copy_from_slice(quoted);
        data[MIN_HEADER_LENGTH..ip_header].copy_from_slice(&options);
        let message = &mut data[ip_header..];
        message[..icmp::HEADER_LENGTH].fill(0);
        message[0] = self.kind;
        message[1] = self.code;
        match self.kind {
            icmp::REDIRECT => message[4..8].copy_from_slice(&packet.anno().dst_ip.octets()),
            icmp::PARAMETER_PROBLEM if self.code == 0 => message[4] = wrong,
            icmp::UNREACHABLE if self.code == NEEDFRAG => {
                message[6..8].copy_from_slice(&self.path_mtu.to_be_bytes());
            }
            _ => {}
        }
        let sum = checksum::of(message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let destination = ip.source.get();
        if let Some((new, _)) = Ipv4::parse_mut(data) {
            *new = Ipv4::new(ipv4::ICMP, self.source, destination, length as u16);
            new.set_header_length(ip_header);
            new.ttl = TTL;
            new.id.set(self.next_id);
        }
        self.next_id = self.next_id.wrapping_add(1);
        ipv4::set_checksum(data);
        error.set_network_header(0, ip_header);
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

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "src" => Ok(Ipv4Addr::from(self.source).to_string()),
            "mtu" => Ok(self.mtu.to_string()),
            "pmtu" => Ok(self.path_mtu.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "src" => self.source = parse_handler::<Ipv4Addr>(value)?.into(),
            "mtu" => self.mtu = check_mtu(parse_handler(value)?).map_err(HandlerError::Refused)?,
            "pmtu" => self.path_mtu = parse_handler(value)?,
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for IcmpError {
    fn schema(&self) -> Schema {
        Schema { name: "icmp/error", version: 2 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u16(self.next_id);
        w.put_u32(self.source);
        w.put_u64(self.mtu as u64);
        w.put_u16(self.path_mtu);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.next_id = r.get_u16()?;
        self.source = r.get_u32()?;
        let mtu = r.get_u64()?;
        let invalid = StateError::Invalid { what: "MTU of errors", value: mtu };
        self.mtu = usize::try_from(mtu).ok().and_then(|mtu| check_mtu(mtu).ok()).ok_or(invalid)?;
        self.path_mtu = r.get_u16()?;
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
        for destination in [[224, 0, 0, 1], [255; 4], [10, 0, 1, 255]] {
            let mut to_many = packet(100, [10, 0, 1, 9]);
            to_many[16..20].copy_from_slice(&destination);
            bench.push("in", &to_many);
        }
        bench.push("in", &later_fragment);
        bench.push("in", &icmp_error);
        let mut broadcast = Packet::from_slice(&packet(100, [10, 0, 1, 9]));
        broadcast.anno_mut().packet_type = PacketType::Broadcast;
        bench.push_packets("in", 0, [broadcast]);
        assert!(bench.take("out").is_empty());
        assert_eq!(bench.drops("e", super::FORBIDDEN), 11);
        icmp_error[20] = 8;
        bench.push("in", &icmp_error);
        assert_eq!(bench.take("out").len(), 1);
    }

    #[test]
    fn a_source_route_is_reversed_unless_the_error_is_about_it() {
        let mut about = packet(60, [10, 0, 1, 9]);
        about[0] = 0x49;
        about[20..36].copy_from_slice(&[0x83, 15, 12, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 0]);
        let text = "in :: TestIn -> MarkIPHeader -> ICMPError(10.0.1.1, KIND) -> out :: TestOut;";
        let mut bench = Bench::new(&text.replace("KIND", "unreachable, host"));
        bench.push("in", &about);
        let out = bench.take("out");
        assert_eq!((out[0][0], &out[0][20..32]), (0x48, &[0x83, 11, 4, 2, 2, 2, 2, 1, 1, 1, 1, 0][..]));
        assert_eq!((&out[0][32..34], out[0][8]), (&[3, 1][..], 200));
        assert!(Ipv4::check(&out[0], Verify::Checksum).is_ok());
        for (kind, wrong, options, count) in
            [("parameterproblem", 22, 0, 1), ("parameterproblem", 40, 12, 1), ("redirect", 0, 0, 0)]
        {
            let mut bench = Bench::new(&text.replace("KIND", kind));
            let mut asking = Packet::from_slice(&about);
            asking.anno_mut().icmp_param_prob = wrong;
            bench.push_packets("in", 0, [asking]);
            let out = bench.take("out");
            assert_eq!(out.len(), count);
            assert!(out.iter().all(|error| usize::from(error[0] & 15) * 4 == 20 + options), "{kind} {wrong}");
        }
    }

    #[test]
    fn what_handlers_change_moves() {
        let text = "in :: TestIn -> MarkIPHeader -> e :: ICMPError(10.0.1.1, unreachable, needfrag) -> out :: TestOut;";
        let (mut bench, mut moved) = (Bench::new(text), Bench::new(text));
        for (handler, value) in [("src", "1.2.3.4"), ("mtu", "60"), ("pmtu", "9")] {
            bench.router.write_handler("e", handler, value).unwrap();
            assert_eq!(bench.read("e", handler), value);
        }
        assert!(bench.router.write_handler("e", "mtu", "5").is_err());
        bench.move_to(&mut moved);
        moved.push("in", &packet(100, [10, 0, 1, 9]));
        let out = moved.take("out");
        assert_eq!((out[0].len(), &out[0][12..16], out[0][27]), (60, &[1, 2, 3, 4][..], 9));
    }

    #[test]
    fn types_and_codes_that_do_not_exist_are_refused() {
        assert!(
            Bench::error("in :: TestIn -> ICMPError(1.1.1.1, gargle) -> TestOut;")
                .contains("ICMP type must be between 0 and 255")
        );
        assert!(
            Bench::error("in :: TestIn -> ICMPError(1.1.1.1, redirect, needfrag) -> TestOut;")
                .contains("argument 2 takes ICMP code (integer between 0 and 255)")
        );
        assert!(
            Bench::error("in :: TestIn -> ICMPError(1.1.1.1, echo) -> TestOut;")
                .contains("ICMP type 8 is not an error type")
        );
        assert!(
            Bench::error("in :: TestIn -> ICMPError(1.1.1.1, 3, MTU 55) -> TestOut;")
                .contains("MTU must be at least 56")
        );
    }
}
