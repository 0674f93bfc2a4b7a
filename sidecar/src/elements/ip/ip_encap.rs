//! IPEncap, UDPIPEncap: put packets into IP packets of their own.

use std::net::Ipv4Addr;

use crate::element::{
    Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
};
use crate::elements::basic::parse_handler;
use crate::elements::classify::ip_names;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};
use crate::wire::checksum::Sum;
use crate::wire::ipv4::{MIN_HEADER_LENGTH, set_checksum};
use crate::wire::{Ipv4, Udp, ipv4, udp};

const TOO_LONG: &str = "too long for an IP packet";
const WRITES: Annotations =
    Annotations(Annotations::NETWORK_HEADER.0 | Annotations::TRANSPORT_HEADER.0 | Annotations::DST_IP.0);

pub(super) static IP_ENCAP: Descriptor = Descriptor {
    class: "IPEncap",
    summary: "encapsulates packets in static IP header",
    args: &[
        Arg::required("PROTO", "IP protocol", "number or name, such as udp or ipip"),
        Arg::required("SRC", "IP address", "source"),
        Arg::required("DST", "IP address or DST_ANNO", "destination"),
        Arg::keyword("TOS", "0-255", "0", "type of service"),
        Arg::keyword("TTL", "0-255", "250", "time to live"),
        Arg::keyword("DSCP", "0-63", "0", "upper six bits of the type of service"),
        Arg::keyword("ECT", "bool or 2", "false", "ECN-capable transport: ECN bits are 1, or 2"),
        Arg::keyword("CE", "bool", "false", "congestion experienced: ECN bits are 3"),
        Arg::keyword("DF", "bool", "false", "don't fragment"),
    ],
    reads: Annotations::DST_IP,
    writes: WRITES,
    drops: &[TOO_LONG],
    handlers: &[Handler::both("src", "source"), Handler::both("dst", "destination, or DST_ANNO")],
    state: StateKind::Small,
    details: "Packets are numbered by the identification. The header annotations and the destination annotation are set; \
              with a DST of DST_ANNO, the destination is that of the annotation.",
    example: r#"
        RatedSource(DATA hello, RATE 10, LIMIT 4)
            -> e :: IPEncap(gre, 10.0.0.1, 10.0.0.2, TTL 7, DSCP 46, ECT true, DF true)
            -> IPEncap(ipip, 192.168.0.1, 192.168.0.2)
            -> CheckIPHeader
            -> IPPrint(outer, TTL true, TOS true, ID true, TIMESTAMP false)
            -> MarkIPHeader(20)
            -> IPPrint(inner, TTL true, TOS true, ID true, TIMESTAMP false)
            -> Discard;
        DriverManager(wait 0.15s, write e.dst 10.0.0.9, wait 1s, print "$(e.src) to $(e.dst)");
    "#,
    build: build_ip,
    ..Descriptor::BASE
};

pub(super) static UDP_IP_ENCAP: Descriptor = Descriptor {
    class: "UDPIPEncap",
    summary: "encapsulates packets in static UDP/IP headers",
    args: &[
        Arg::required("SRC", "IP address", "source"),
        Arg::required("SPORT", "port", "source port"),
        Arg::required("DST", "IP address or DST_ANNO", "destination"),
        Arg::required("DPORT", "port", "destination port"),
        Arg::optional("CHECKSUM", "bool", "true", "whether the UDP checksum is set"),
    ],
    reads: Annotations::DST_IP,
    writes: WRITES,
    drops: &[TOO_LONG],
    handlers: &[
        Handler::both("src", "source"),
        Handler::both("sport", "source port"),
        Handler::both("dst", "destination, or DST_ANNO"),
        Handler::both("dport", "destination port"),
    ],
    state: StateKind::Small,
    details: "Packets are numbered by the identification; their time to live is 250. The header annotations and the \
              destination annotation are set; with a DST of DST_ANNO, the destination is that of the annotation.",
    example: r#"
        RatedSource(DATA "hello, world", RATE 10, LIMIT 4)
            -> e :: UDPIPEncap(10.0.0.1, 5000, 10.0.0.2, 53)
            -> CheckIPHeader -> CheckUDPHeader
            -> IPPrint(ID true, TIMESTAMP false, PAYLOAD ASCII)
            -> Discard;
        DriverManager(wait 0.15s, write e.dport 5353, write e.src 10.0.0.9, wait 1s,
            print "$(e.src) $(e.sport) to $(e.dst) $(e.dport)");
    "#,
    build: build_udp,
    ..Descriptor::BASE
};

/// The UDP header that goes between.
#[derive(Debug, Clone, Copy)]
struct Ports {
    source: u16,
    destination: u16,
    checksum: bool,
}

struct Encap {
    protocol: u8,
    source: u32,
    /// `None`: the destination annotation's.
    destination: Option<u32>,
    tos: u8,
    ttl: u8,
    fragment: u16,
    ports: Option<Ports>,
    next_id: u16,
}

const DST_ANNO: &str = "DST_ANNO";

/// Time to live of the headers that Click makes.
const TTL: u8 = 250;

fn destination(args: &Args<'_>) -> Result<Option<u32>, ConfigError> {
    if args.text("DST") == Some(DST_ANNO) {
        return Ok(None);
    }
    let address = args.need::<Ipv4Addr>("DST");
    Ok(Some(address.map_err(|_| "DST argument should be IP address or 'DST_ANNO'")?.into()))
}

/// The type of service, from the arguments that each say a part of it.
fn tos(args: &Args<'_>) -> Result<u8, ConfigError> {
    let tos = args.get::<u32>("TOS")?;
    let dscp = args.get::<u32>("DSCP")?;
    let ce = args.or("CE", false)?;
    let ect = match args.text("ECT") {
        None => 0,
        Some("2") => 2,
        Some(text) => u8::from(args.or("ECT", false).map_err(|_| format!("bad ECT value '{text}'"))?),
    };
    match (tos, dscp) {
        (Some(_), Some(_)) => return Err("cannot set both TOS and DSCP".into()),
        (Some(_), _) if ect != 0 || ce => return Err("cannot set both TOS and ECN bits".into()),
        (Some(256..), _) => return Err("TOS too large; max 255".into()),
        (_, Some(64..)) => return Err("DSCP too large; max 63".into()),
        _ if ect != 0 && ce => return Err("can set at most one ECN option".into()),
        _ => {}
    }
    let ecn = if ce { 3 } else { ect };
    Ok(tos.unwrap_or(0) as u8 | (dscp.unwrap_or(0) as u8) << 2 | ecn)
}

fn build_ip(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let protocol = match args.text("PROTO").and_then(ip_names::protocol) {
        Some(protocol) => protocol,
        None => args.need("PROTO").map_err(|_| "bad IP protocol")?,
    };
    Ok(Box::new(Encap {
        protocol,
        source: args.need::<Ipv4Addr>("SRC")?.into(),
        destination: destination(args)?,
        tos: tos(args)?,
        ttl: args.or("TTL", TTL)?,
        fragment: if args.or("DF", false)? { ipv4::DONT_FRAGMENT } else { 0 },
        ports: None,
        next_id: 0,
    }))
}

/// A port by number, by a name of PortInfo, or by the name of its service.
fn port(args: &Args<'_>, argument: &str) -> Result<u16, ConfigError> {
    let named = args.text(argument).and_then(|name| {
        args.scope().find(name).and_then(|found| found.port).or_else(|| ip_names::port(name))
    });
    named.map_or_else(|| args.need(argument), Ok)
}

fn build_udp(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(Encap {
        protocol: ipv4::UDP,
        source: args.need::<Ipv4Addr>("SRC")?.into(),
        destination: destination(args)?,
        tos: 0,
        ttl: TTL,
        fragment: 0,
        ports: Some(Ports {
            source: port(args, "SPORT")?,
            destination: port(args, "DPORT")?,
            checksum: args.or("CHECKSUM", true)?,
        }),
        next_id: 0,
    }))
}

impl Encap {
    fn encapsulate(&mut self, packet: &mut Packet) -> Option<()> {
        let destination = self.destination.unwrap_or(packet.anno().dst_ip.into());
        let header = MIN_HEADER_LENGTH + if self.ports.is_some() { udp::HEADER_LENGTH } else { 0 };
        let length = u16::try_from(packet.len() + header).ok()?;
        packet.grow_front(header);
        let (ip, rest) = Ipv4::parse_mut(packet.data_mut())?;
        *ip = Ipv4::new(self.protocol, self.source, destination, length);
        ip.tos = self.tos;
        ip.ttl = self.ttl;
        ip.fragment.set(self.fragment);
        ip.id.set(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        if let Some(ports) = self.ports {
            let udp_length = length - MIN_HEADER_LENGTH as u16;
            let fresh = Udp {
                source_port: ports.source.into(),
                destination_port: ports.destination.into(),
                length: udp_length.into(),
                checksum: 0.into(),
            };
            *Udp::parse_mut(rest)?.0 = fresh;
            if ports.checksum {
                let sum =
                    Sum::new().pseudo(self.source, destination, ipv4::UDP, udp_length).bytes(rest).finish();
                Udp::parse_mut(rest)?.0.checksum.set(if sum == 0 { 0xffff } else { sum });
            }
        }
        set_checksum(packet.data_mut());
        packet.set_network_header(0, MIN_HEADER_LENGTH);
        packet.anno_mut().dst_ip = destination.into();
        Some(())
    }
}

impl Element for Encap {
    fn action(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        if self.encapsulate(&mut packet).is_some() {
            return Some(packet);
        }
        cx.drop(TOO_LONG, packet);
        None
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match (handler, self.ports) {
            ("src", _) => Ok(Ipv4Addr::from(self.source).to_string()),
            ("dst", _) => Ok(self.destination.map_or(DST_ANNO.to_owned(), |a| Ipv4Addr::from(a).to_string())),
            ("sport", Some(ports)) => Ok(ports.source.to_string()),
            ("dport", Some(ports)) => Ok(ports.destination.to_string()),
            (other, _) => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match (handler, &mut self.ports) {
            ("src", _) => self.source = parse_handler::<Ipv4Addr>(value)?.into(),
            ("dst", _) if value.trim() == DST_ANNO => self.destination = None,
            ("dst", _) => self.destination = Some(parse_handler::<Ipv4Addr>(value)?.into()),
            ("sport", Some(ports)) => ports.source = parse_handler(value)?,
            ("dport", Some(ports)) => ports.destination = parse_handler(value)?,
            (other, _) => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for Encap {
    fn schema(&self) -> Schema {
        Schema { name: "ip/encap", version: 2 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u16(self.next_id);
        w.put_u32(self.source);
        w.put_bool(self.destination.is_some());
        w.put_u32(self.destination.unwrap_or(0));
        if let Some(ports) = self.ports {
            w.put_u16(ports.source);
            w.put_u16(ports.destination);
        }
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.next_id = r.get_u16()?;
        self.source = r.get_u32()?;
        let known = r.get_bool()?;
        self.destination = Some(r.get_u32()?).filter(|_| known);
        if let Some(ports) = &mut self.ports {
            ports.source = r.get_u16()?;
            ports.destination = r.get_u16()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use etherparse::{NetHeaders, PacketHeaders, TransportHeader};

    use crate::testing::Bench;

    #[test]
    fn a_datagram_is_what_an_independent_reader_expects() {
        let mut bench = Bench::new("in :: TestIn -> UDPIPEncap(10.0.0.1, 5, 10.0.0.2, 6) -> out :: TestOut;");
        bench.push("in", b"odd");
        let out = bench.take_packets("out");
        let headers = PacketHeaders::from_ip_slice(out[0].data()).unwrap();
        let (Some(NetHeaders::Ipv4(ip, _)), Some(TransportHeader::Udp(udp))) =
            (headers.net, headers.transport)
        else {
            panic!("no UDP")
        };
        assert_eq!(ip.header_checksum, ip.calc_header_checksum());
        assert_eq!(udp.checksum, udp.calc_checksum_ipv4(&ip, b"odd").unwrap());
        assert_eq!((udp.source_port, udp.destination_port, headers.payload.slice()), (5, 6, &b"odd"[..]));
        assert_eq!(out[0].anno().dst_ip.octets(), [10, 0, 0, 2]);
    }

    #[test]
    fn packets_are_wrapped_and_numbered_and_too_long_ones_dropped() {
        let mut bench = Bench::new(
            "in :: TestIn -> e :: IPEncap(ipip, 10.0.0.1, 10.0.0.2, TTL 7, DF true) -> out :: TestOut;",
        );
        bench.push("in", &[1]);
        bench.push("in", &[2]);
        let out = bench.take("out");
        assert_eq!((out[0][8], out[0][9], out[0][6], &out[0][20..]), (7, 4, 0x40, &[1][..]));
        assert_eq!((out[0][5], out[1][5]), (0, 1));
        bench.push("in", &[0; 65_530]);
        assert_eq!(bench.drops("e", super::TOO_LONG), 1);
    }

    #[test]
    fn the_type_of_service_is_made_of_parts() {
        for (config, tos) in [
            ("", 0),
            ("TOS 255", 255),
            ("DSCP 63, ECT 2", 254),
            ("ECT true", 1),
            ("CE true", 3),
            ("DSCP 46", 184),
        ] {
            let mut bench = Bench::new(&format!(
                "in :: TestIn -> IPEncap(gre, 10.0.0.1, 10.0.0.2, {config}) -> out :: TestOut;"
            ));
            bench.push("in", &[1]);
            let out = bench.take("out");
            assert_eq!((out[0][1], out[0][8], out[0][9]), (tos, 250, 47), "{config}");
        }
    }

    #[test]
    fn addresses_and_ports_are_changed_by_handlers() {
        let text = "in :: TestIn -> SetIPAddress(10.0.0.7) -> e :: UDPIPEncap(10.0.0.1, 5, 10.0.0.2, 6) -> out :: TestOut;";
        let (mut bench, mut moved) = (Bench::new(text), Bench::new(text));
        for (handler, value) in [("src", "10.0.0.9"), ("dst", "DST_ANNO"), ("sport", "8"), ("dport", "9")] {
            bench.router.write_handler("e", handler, value).unwrap();
            assert_eq!(bench.read("e", handler), value);
        }
        bench.push("in", &[1]);
        bench.move_to(&mut moved);
        moved.push("in", &[1]);
        let out = moved.take("out");
        assert_eq!(out[0][12..24], [10, 0, 0, 9, 10, 0, 0, 7, 0, 8, 0, 9]);
        assert_eq!(out[0][4..6], [0, 1]);
        assert!(bench.router.write_handler("e", "dst", "there").is_err());
    }

    #[test]
    fn wrong_arguments_are_refused() {
        for (element, expected) in [
            ("IPEncap(300, 1.1.1.1, 1.1.1.2)", "bad IP protocol"),
            ("IPEncap(udp, 1.1.1.1, there)", "DST argument should be IP address or 'DST_ANNO'"),
            ("IPEncap(udp, 1.1.1.1, 1.1.1.2, TOS 1, DSCP 1)", "cannot set both TOS and DSCP"),
            ("IPEncap(udp, 1.1.1.1, 1.1.1.2, TOS 1, CE true)", "cannot set both TOS and ECN bits"),
            ("IPEncap(udp, 1.1.1.1, 1.1.1.2, TOS 256)", "TOS too large; max 255"),
            ("IPEncap(udp, 1.1.1.1, 1.1.1.2, DSCP 64)", "DSCP too large; max 63"),
            ("IPEncap(udp, 1.1.1.1, 1.1.1.2, ECT 2, CE true)", "can set at most one ECN option"),
            ("IPEncap(udp, 1.1.1.1, 1.1.1.2, ECT 3)", "bad ECT value '3'"),
            ("UDPIPEncap(1.1.1.1, 65536, 1.1.1.2, 5)", "SPORT: "),
        ] {
            let error = Bench::error(&format!("Idle -> {element} -> Discard;"));
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn ports_may_be_names() {
        let text = "PortInfo(game 7777/udp); in :: TestIn -> UDPIPEncap(1.0.0.1, domain, 2.0.0.2, game) -> out :: TestOut;";
        let mut bench = Bench::new(text);
        bench.push("in", b"x");
        assert_eq!(bench.take("out")[0][20..24], [0, 53, 0x1e, 0x61]);
        let error = Bench::error("Idle -> UDPIPEncap(1.0.0.1, nobody, 2.0.0.2, 5) -> Discard;");
        assert!(error.contains("SPORT: expected unsigned integer, got 'nobody'"), "{error}");
    }
}
