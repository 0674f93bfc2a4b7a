//! GetIPAddress, SetIPAddress, StoreIPAddress: the destination address annotation, from and into packets.

use std::net::Ipv4Addr;

use crate::element::{Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Packet};
use crate::wire::Ipv4;
use crate::wire::checksum::Change;

pub(super) static GET_IP_ADDRESS: Descriptor = Descriptor {
    class: "GetIPAddress",
    summary: "sets destination IP address annotation from packet data",
    args: &[Arg::required(
        "OFFSET",
        "unsigned",
        "where the address is; 16 for the destination of a bare IP packet",
    )],
    writes: Annotations::DST_IP,
    build: |args| Ok(Box::new(GetIpAddress { offset: args.need("OFFSET")? })),
    ..Descriptor::BASE
};

pub(super) static SET_IP_ADDRESS: Descriptor = Descriptor {
    class: "SetIPAddress",
    summary: "sets destination IP address annotation",
    args: &[Arg::required("IPADDR", "IP address", "what it is set to")],
    writes: Annotations::DST_IP,
    build: |args| Ok(Box::new(SetIpAddress { address: args.need("IPADDR")? })),
    ..Descriptor::BASE
};

pub(super) static STORE_IP_ADDRESS: Descriptor = Descriptor {
    class: "StoreIPAddress",
    summary: "stores IP address in packet",
    args: &[
        Arg::required(
            "ADDRESS_OR_OFFSET",
            "IP address or offset",
            "the address, or the offset when that is all",
        ),
        Arg::optional(
            "OFFSET",
            "unsigned, src or dst",
            "",
            "where it goes; src and dst keep the checksum right",
        ),
    ],
    reads: Annotations(Annotations::DST_IP.0 | Annotations::NETWORK_HEADER.0),
    drops: &["packet too short"],
    build: build_store,
    ..Descriptor::BASE
};

struct GetIpAddress {
    offset: usize,
}

impl Element for GetIpAddress {
    #[inline]
    fn action(&mut self, _cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        let bytes = packet.data().get(self.offset..).and_then(|rest| rest.first_chunk::<4>()).copied();
        packet.anno_mut().dst_ip = bytes.map_or(Ipv4Addr::UNSPECIFIED, Ipv4Addr::from);
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

enum Place {
    Offset(usize),
    Source,
    Destination,
}

struct StoreIpAddress {
    /// `None`: the annotation's.
    address: Option<Ipv4Addr>,
    place: Place,
}

fn build_store(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let (address, place) = match args.text("OFFSET") {
        None => (None, args.need::<String>("ADDRESS_OR_OFFSET")?),
        Some(place) => (Some(args.need("ADDRESS_OR_OFFSET")?), place.to_owned()),
    };
    let place = match place.as_str() {
        "src" => Place::Source,
        "dst" => Place::Destination,
        offset => Place::Offset(args.parse("OFFSET", offset)?),
    };
    Ok(Box::new(StoreIpAddress { address, place }))
}

impl StoreIpAddress {
    fn store(&self, packet: &mut Packet) -> Option<()> {
        let address = self.address.unwrap_or(packet.anno().dst_ip);
        if let Place::Offset(offset) = self.place {
            *packet.data_mut().get_mut(offset..)?.first_chunk_mut::<4>()? = address.octets();
            return Some(());
        }
        let (ip, _) = Ipv4::parse_mut(packet.network_mut())?;
        let field = if matches!(self.place, Place::Source) { &mut ip.source } else { &mut ip.destination };
        let change = Change::new().double(field.get(), address.into());
        field.set(address.into());
        ip.checksum.set(change.apply(ip.checksum.get()));
        Some(())
    }
}

impl Element for StoreIpAddress {
    fn action(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        match self.store(&mut packet) {
            Some(()) => Some(packet),
            None => {
                cx.drop("packet too short", packet);
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
    fn the_annotation_goes_from_packet_to_packet() {
        let mut bench = Bench::new("in :: TestIn -> GetIPAddress(2) -> StoreIPAddress(0) -> out :: TestOut;");
        bench.push("in", &[0, 0, 1, 2, 3, 4]);
        bench.push("in", &[9, 9]);
        assert_eq!(bench.take("out"), [[1, 2, 3, 4, 3, 4]]);
    }

    #[test]
    fn a_stored_source_keeps_the_checksum_right() {
        let mut bench =
            Bench::new("in :: TestIn -> MarkIPHeader -> StoreIPAddress(1.2.3.4, src) -> out :: TestOut;");
        let mut bytes = vec![0x45, 0, 0, 20, 0, 0, 0, 0, 9, 17, 0, 0, 10, 0, 1, 9, 10, 0, 2, 9];
        set_checksum(&mut bytes);
        bench.push("in", &bytes);
        let out = bench.take("out");
        assert_eq!((&out[0][12..16], checksum::of(&out[0])), (&[1, 2, 3, 4][..], 0));
    }
}
