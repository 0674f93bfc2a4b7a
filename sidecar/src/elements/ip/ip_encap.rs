//! IPEncap, UDPIPEncap: put packets into IP packets of their own.

use std::net::Ipv4Addr;

use crate::element::{
    Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
};
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
        Arg::required("PROTO", "IP protocol", "number, or icmp, ipip, tcp, udp"),
        Arg::required("SRC", "IP address", "source"),
        Arg::required("DST", "IP address or DST_ANNO", "destination"),
        Arg::keyword("TOS", "0-255", "0", "type of service"),
        Arg::keyword("DSCP", "0-63", "0", "upper six bits of the type of service"),
        Arg::keyword("TTL", "0-255", "255", "time to live"),
        Arg::keyword("DF", "bool", "false", "don't fragment"),
    ],
    writes: WRITES,
    drops: &[TOO_LONG],
    state: StateKind::Small,
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
    writes: WRITES,
    drops: &[TOO_LONG],
    handlers: &[
        Handler::read("src", "source"),
        Handler::read("sport", "source port"),
        Handler::read("dst", "destination"),
        Handler::read("dport", "destination port"),
    ],
    state: StateKind::Small,
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

fn destination(args: &Args<'_>) -> Result<Option<u32>, ConfigError> {
    if args.text("DST") == Some("DST_ANNO") {
        return Ok(None);
    }
    Ok(Some(args.need::<Ipv4Addr>("DST")?.into()))
}

fn build_ip(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let protocol = match args.text("PROTO") {
        Some("icmp") => ipv4::ICMP,
        Some("ipip") => ipv4::IPIP,
        Some("tcp") => ipv4::TCP,
        Some("udp") => ipv4::UDP,
        _ => args.need("PROTO")?,
    };
    let dscp: u8 = args.or("DSCP", 0)?;
    if dscp > 63 {
        return Err("DSCP: out of range, maximum is 63".into());
    }
    Ok(Box::new(Encap {
        protocol,
        source: args.need::<Ipv4Addr>("SRC")?.into(),
        destination: destination(args)?,
        tos: args.or("TOS", 0)? | dscp << 2,
        ttl: args.or("TTL", 255)?,
        fragment: if args.or("DF", false)? { ipv4::DONT_FRAGMENT } else { 0 },
        ports: None,
        next_id: 0,
    }))
}

fn build_udp(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(Encap {
        protocol: ipv4::UDP,
        source: args.need::<Ipv4Addr>("SRC")?.into(),
        destination: destination(args)?,
        tos: 0,
        ttl: 250,
        fragment: 0,
        ports: Some(Ports {
            source: args.need("SPORT")?,
            destination: args.need("DPORT")?,
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
            ("dst", _) => {
                Ok(self.destination.map_or("DST_ANNO".to_owned(), |a| Ipv4Addr::from(a).to_string()))
            }
            ("sport", Some(ports)) => Ok(ports.source.to_string()),
            ("dport", Some(ports)) => Ok(ports.destination.to_string()),
            (other, _) => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for Encap {
    fn schema(&self) -> Schema {
        Schema { name: "ip/encap", version: 1 }
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
}
