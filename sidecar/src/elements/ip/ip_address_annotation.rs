//! GetIPAddress, SetIPAddress, StoreIPAddress: the destination address annotation, from and into packets.

use std::net::Ipv4Addr;

use crate::element::{Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Packet};
use crate::wire::checksum::Change;
use crate::wire::{Ipv4, Tcp, Udp, ipv4};

const TOO_SHORT: &str = "packet too short";

pub(super) static GET_IP_ADDRESS: Descriptor = Descriptor {
    class: "GetIPAddress",
    summary: "sets destination IP address annotation from packet data",
    args: &[
        Arg::optional(
            "OFFSET",
            "unsigned",
            "",
            "where the address is; 16 for the destination of a bare IP packet",
        ),
        Arg::keyword("IP", "src or dst", "", "the address of the IP header, in place of OFFSET"),
    ],
    reads: Annotations::NETWORK_HEADER,
    writes: Annotations::DST_IP,
    details: "The annotation is 0.0.0.0 where the packet is too short.",
    example: r#"
        InfiniteSource(LIMIT 2) -> UDPIPEncap(10.0.0.7, 5000, 10.0.1.9, 53)
            -> GetIPAddress(12)
            -> rt :: StaticIPLookup(10.0.0.0/24 0, 10.0.1.0/24 1);
        rt[0] -> Print("to the source's network", 0) -> GetIPAddress(IP dst) -> rt;
        rt[1] -> Print("to the destination's", 0) -> Discard;
        DriverManager(wait 1s);
    "#,
    build: build_get,
    ..Descriptor::BASE
};

pub(super) static SET_IP_ADDRESS: Descriptor = Descriptor {
    class: "SetIPAddress",
    summary: "sets destination IP address annotation",
    args: &[Arg::required("IPADDR", "IP address", "what it is set to")],
    writes: Annotations::DST_IP,
    details: "Behind a routing table, this sends packets to a gateway: ARPQuerier looks at the annotation, not at the \
              packet.",
    example: r#"
        InfiniteSource(LIMIT 2) -> UDPIPEncap(10.0.0.7, 5000, 10.0.9.9, 53)
            -> SetIPAddress(10.0.0.1)
            -> arp :: ARPQuerier(10.0.0.7, 2:0:0:0:0:7)
            -> ARPPrint(TIMESTAMP false)
            -> Discard;
        Idle -> [1] arp;
        DriverManager(wait 1s);
    "#,
    build: |args| Ok(Box::new(SetIpAddress { address: args.need("IPADDR")? })),
    ..Descriptor::BASE
};

pub(super) static STORE_IP_ADDRESS: Descriptor = Descriptor {
    class: "StoreIPAddress",
    summary: "stores IP address in packet",
    ports: "1/1-2",
    processing: "a/ah",
    args: &[
        Arg::optional("ADDR", "IP address", "", "the address; without it, the annotation's"),
        Arg::optional("OFFSET", "unsigned, src or dst", "", "where it goes; a single argument is the offset"),
    ],
    reads: Annotations(Annotations::DST_IP.0 | Annotations::NETWORK_HEADER.0),
    drops: &[TOO_SHORT],
    details: "`src` and `dst` mean the fields of the IP header, whose checksum and that of TCP or UDP stay right. At an \
              offset, an annotation of 0.0.0.0 is not stored. Packets into which nothing can be stored leave by output \
              1, or are dropped.",
    example: r#"
        InfiniteSource(DATA \<00000000 00000000 ffff>, LIMIT 2)
            -> SetIPAddress(10.0.1.9)
            -> StoreIPAddress(4)
            -> s :: StoreIPAddress(192.168.0.1, 0)
            -> Print(stored)
            -> Discard;
        InfiniteSource(DATA \<010203>, LIMIT 1) -> s;
        s[1] -> Print("too short") -> Discard;
        InfiniteSource(LIMIT 1) -> UDPIPEncap(10.0.0.7, 5000, 10.0.1.9, 53)
            -> StoreIPAddress(10.0.0.8, src)
            -> CheckIPHeader -> CheckUDPHeader
            -> IPPrint("still good", TIMESTAMP false)
            -> Discard;
        DriverManager(wait 1s);
    "#,
    build: build_store,
    ..Descriptor::BASE
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Offset(usize),
    Source,
    Destination,
}

struct GetIpAddress {
    place: Place,
}

fn build_get(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let place = match (args.get::<usize>("OFFSET")?, args.text("IP")) {
        (Some(offset), None) => Place::Offset(offset),
        (None, Some("src")) => Place::Source,
        (None, Some("dst")) => Place::Destination,
        (None, Some(_)) => return Err("bad IP".into()),
        (None, None) | (Some(_), Some(_)) => return Err("set one of OFFSET, IP".into()),
    };
    Ok(Box::new(GetIpAddress { place }))
}

impl GetIpAddress {
    #[inline]
    fn address(&self, packet: &Packet) -> Option<Ipv4Addr> {
        match self.place {
            Place::Offset(offset) => {
                packet.data().get(offset..)?.first_chunk::<4>().copied().map(Ipv4Addr::from)
            }
            Place::Source => Some(Ipv4::parse(packet.network())?.0.source_address()),
            Place::Destination => Some(Ipv4::parse(packet.network())?.0.destination_address()),
        }
    }
}

impl Element for GetIpAddress {
    #[inline]
    fn action(&mut self, _cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        packet.anno_mut().dst_ip = self.address(&packet).unwrap_or(Ipv4Addr::UNSPECIFIED);
        Some(packet)
    }
}

struct SetIpAddress {
    address: Ipv4Addr,
}

impl Element for SetIpAddress {
    fn action(&mut self, _cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        packet.anno_mut().dst_ip = self.address;
        Some(packet)
    }
}

struct StoreIpAddress {
    /// `None`: the annotation's.
    address: Option<Ipv4Addr>,
    place: Place,
}

fn build_store(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let (address, place) = match (args.text("ADDR"), args.text("OFFSET")) {
        (Some(_), Some(place)) => (Some(args.need("ADDR")?), place),
        (Some(place), None) | (None, Some(place)) => (None, place),
        (None, None) => return Err("missing mandatory OFFSET argument".into()),
    };
    let place = match place.to_ascii_lowercase().as_str() {
        "src" => Place::Source,
        "dst" => Place::Destination,
        offset => {
            Place::Offset(args.parse("OFFSET", offset).map_err(|_| "type mismatch: OFFSET requires integer")?)
        }
    };
    Ok(Box::new(StoreIpAddress { address, place }))
}

impl StoreIpAddress {
    fn store(&self, packet: &mut Packet) -> Option<()> {
        let address = self.address.unwrap_or(packet.anno().dst_ip);
        if let Place::Offset(offset) = self.place {
            if self.address.is_none() && address.is_unspecified() {
                return None;
            }
            *packet.data_mut().get_mut(offset..)?.first_chunk_mut::<4>()? = address.octets();
            return Some(());
        }
        let (ip, _) = Ipv4::parse_mut(packet.network_mut())?;
        if ip.header_length() < ipv4::MIN_HEADER_LENGTH {
            return None;
        }
        let field = if self.place == Place::Source { &mut ip.source } else { &mut ip.destination };
        let change = Change::new().double(field.get(), address.into());
        field.set(address.into());
        ip.checksum.set(change.apply(ip.checksum.get()));
        let (protocol, first) = (ip.protocol, ip.is_first_fragment());
        let segment = ipv4::payload_mut(packet.network_mut()).filter(|_| first).unwrap_or_default();
        match protocol {
            ipv4::TCP => {
                if let Some((tcp, _)) = Tcp::parse_mut(segment) {
                    tcp.checksum.set(change.apply(tcp.checksum.get()));
                }
            }
            ipv4::UDP => {
                if let Some((udp, _)) = Udp::parse_mut(segment).filter(|(udp, _)| udp.checksum.get() != 0) {
                    udp.checksum.set(change.apply(udp.checksum.get()));
                }
            }
            _ => {}
        }
        Some(())
    }
}

impl Element for StoreIpAddress {
    fn action(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        match self.store(&mut packet) {
            Some(()) => Some(packet),
            None => {
                cx.emit_or_drop(1, TOO_SHORT, packet);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use crate::testing::Bench;

    fn datagram(from: [u8; 4], to: [u8; 4]) -> Vec<u8> {
        let mut bytes = Vec::new();
        PacketBuilder::ipv4(from, to, 64).udp(5, 53).write(&mut bytes, b"abc").unwrap();
        bytes
    }

    #[test]
    fn the_annotation_goes_from_packet_to_packet() {
        let mut bench = Bench::new(
            "in :: TestIn -> GetIPAddress(2) -> s :: StoreIPAddress(0) -> out :: TestOut; s[1] -> bad :: TestOut;",
        );
        bench.push("in", &[0, 0, 1, 2, 3, 4]);
        bench.push("in", &[9, 9, 0, 0, 0, 0]);
        bench.push("in", &[9, 9]);
        assert_eq!(bench.take("out"), [[1, 2, 3, 4, 3, 4]]);
        assert_eq!(bench.take("bad"), [&[9, 9, 0, 0, 0, 0][..], &[9, 9]]);
    }

    #[test]
    fn addresses_of_the_header_are_known_by_name() {
        for (field, expected) in [("src", [10, 0, 0, 1]), ("dst", [10, 0, 0, 2])] {
            let mut bench = Bench::new(&format!(
                "in :: TestIn -> Strip(1) -> MarkIPHeader -> GetIPAddress(IP {field}) -> out :: TestOut;"
            ));
            bench.push("in", &[&[0][..], &datagram([10, 0, 0, 1], [10, 0, 0, 2])].concat());
            assert_eq!(bench.take_packets("out")[0].anno().dst_ip.octets(), expected);
        }
    }

    #[test]
    fn a_stored_address_keeps_all_checksums_right() {
        for (config, expected) in [
            ("1.2.3.4, src", datagram([1, 2, 3, 4], [10, 0, 0, 2])),
            ("1.2.3.4, DST", datagram([10, 0, 0, 1], [1, 2, 3, 4])),
        ] {
            let mut bench = Bench::new(&format!(
                "in :: TestIn -> MarkIPHeader -> StoreIPAddress({config}) -> out :: TestOut;"
            ));
            bench.push("in", &datagram([10, 0, 0, 1], [10, 0, 0, 2]));
            assert_eq!(bench.take("out"), [expected]);
        }
    }

    #[test]
    fn wrong_places_are_refused() {
        for (element, expected) in [
            ("GetIPAddress", "set one of OFFSET, IP"),
            ("GetIPAddress(16, IP src)", "set one of OFFSET, IP"),
            ("GetIPAddress(IP both)", "bad IP"),
            ("StoreIPAddress", "missing mandatory OFFSET argument"),
            ("StoreIPAddress(1.2.3.4, there)", "type mismatch: OFFSET requires integer"),
            ("SetIPAddress(x)", "IPADDR: expected IP address, got 'x'"),
        ] {
            let error = Bench::error(&format!("Idle -> {element} -> Discard;"));
            assert!(error.contains(expected), "{error}");
        }
    }
}
