//! EtherVLANEncap: puts an Ethernet header with a VLAN tag in front of packets (IEEE 802.1Q).

use super::vlan::{
    ETHERTYPE, ID_HANDLER, NATIVE, NATIVE_HANDLER, PCP, PCP_HANDLER, TCI_HANDLER, TCI_OR_ANNO, Tag, VLAN_ID,
};
use crate::config::EtherAddr;
use crate::element::{
    Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
};
use crate::elements::basic::parse_handler;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "EtherVLANEncap",
    summary: "encapsulates packets in 802.1Q VLAN Ethernet header",
    args: &[
        Arg::required("ETHERTYPE", "unsigned", "protocol number"),
        Arg::required("SRC", "Ethernet address", "source address"),
        Arg::required("DST", "Ethernet address", "destination address"),
        TCI_OR_ANNO,
        PCP,
        VLAN_ID,
        NATIVE,
    ],
    reads: Annotations::VLAN,
    writes: Annotations::MAC_HEADER,
    handlers: &[
        Handler::both("src", "source address"),
        Handler::both("dst", "destination address"),
        Handler::both("ethertype", "protocol number"),
        TCI_HANDLER,
        ID_HANDLER,
        PCP_HANDLER,
        NATIVE_HANDLER,
    ],
    state: StateKind::Small,
    details: "Packets of the native VLAN get an Ethernet header without a tag.",
    example: r#"
        InfiniteSource(DATA \<45>, LIMIT 4, STOP true)
            -> e :: EtherVLANEncap(0x0800, 2:0:0:0:0:1, 2:0:0:0:0:2, VLAN_ID 5, NATIVE_VLAN 1)
            -> Print
            -> c :: Counter(COUNT_CALL 2 e.vlan_tci 1)
            -> Discard;
        DriverManager(wait_stop, print "tci $(e.vlan_tci) from $(e.src) to $(e.dst)");
    "#,
    build,
    ..Descriptor::BASE
};

struct EtherVlanEncap {
    destination: EtherAddr,
    source: EtherAddr,
    ethertype: u16,
    tag: Tag,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(EtherVlanEncap {
        destination: args.need("DST")?,
        source: args.need("SRC")?,
        ethertype: args.need("ETHERTYPE")?,
        tag: Tag::of_encapsulation(args)?,
    }))
}

impl EtherVlanEncap {
    /// The header of one packet: the bytes that count are the last ones, 14 without a tag and 18 with one.
    fn header(&self, tci: Option<u16>) -> ([u8; 18], usize) {
        let mut header = [0; 18];
        let length = if tci.is_some() { 18 } else { 14 };
        let start = header.len() - length;
        header[start..start + 6].copy_from_slice(&self.destination.0);
        header[start + 6..start + 12].copy_from_slice(&self.source.0);
        if let Some(tci) = tci {
            header[12..14].copy_from_slice(&ETHERTYPE.to_be_bytes());
            header[14..16].copy_from_slice(&tci.to_be_bytes());
        }
        header[16..].copy_from_slice(&self.ethertype.to_be_bytes());
        (header, length)
    }
}

impl Element for EtherVlanEncap {
    #[inline]
    fn action(&mut self, _cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        let (header, length) = self.header(self.tag.for_packet(&packet));
        packet.grow_front(length);
        packet.data_mut()[..length].copy_from_slice(&header[header.len() - length..]);
        packet.set_mac_offset(Some(0));
        Some(packet)
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "src" => Ok(self.source.to_string()),
            "dst" => Ok(self.destination.to_string()),
            "ethertype" => Ok(self.ethertype.to_string()),
            other => self.tag.read(other),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "src" => self.source = parse_handler(value)?,
            "dst" => self.destination = parse_handler(value)?,
            "ethertype" => self.ethertype = parse_handler(value)?,
            other => self.tag.write_encapsulation(other, value)?,
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for EtherVlanEncap {
    fn schema(&self) -> Schema {
        Schema { name: "ether-vlan-encap", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_raw(&self.destination.0);
        w.put_raw(&self.source.0);
        w.put_u16(self.ethertype);
        self.tag.save(w);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.destination.0.copy_from_slice(r.get_raw(6)?);
        self.source.0.copy_from_slice(r.get_raw(6)?);
        self.ethertype = r.get_u16()?;
        self.tag.restore(r)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::element::Packet;
    use crate::testing::Bench;

    #[test]
    fn a_header_with_a_tag_is_put_in_front() {
        let mut bench = Bench::new(
            "in :: TestIn -> e :: EtherVLANEncap(0x0800, 1:1:1:1:1:1, 2:2:2:2:2:2, 1, 7) -> out :: TestOut;",
        );
        bench.push("in", b"x");
        let out = bench.take_packets("out");
        assert_eq!(out[0].data(), [2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 0x81, 0, 0xe0, 1, 8, 0, b'x']);
        assert_eq!(out[0].mac_offset(), Some(0));
        bench.router.write_handler("e", "src", "3:3:3:3:3:3").unwrap();
        bench.router.write_handler("e", "vlan_tci", "ANNO").unwrap();
        assert_eq!(
            (bench.read("e", "src"), bench.read("e", "vlan_tci")),
            ("03-03-03-03-03-03".into(), "ANNO".into())
        );
        assert_eq!(bench.read("e", "ethertype"), "2048");
    }

    #[test]
    fn packets_of_the_native_vlan_get_a_plain_header() {
        let mut bench = Bench::new(
            "in :: TestIn -> EtherVLANEncap(0x0800, 1:1:1:1:1:1, 2:2:2:2:2:2, ANNO) -> out :: TestOut;",
        );
        for tci in [0, 0xe000, 5] {
            let mut packet = Packet::from_slice(b"x");
            packet.anno_mut().vlan_tci = tci;
            bench.push_packets("in", 0, [packet]);
        }
        let out = bench.take("out");
        assert_eq!(out[0], [2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 8, 0, b'x']);
        assert_eq!((out[1].len(), out[2].len()), (15, 19));
    }

    #[test]
    fn an_identifier_that_is_no_number_is_refused() {
        let error = Bench::error("Idle -> EtherVLANEncap(1, 1:1:1:1:1:1, 2:2:2:2:2:2, x) -> Discard;");
        assert!(error.contains("VLAN_TCI: expected unsigned integer, got 'x'"), "{error}");
    }
}
