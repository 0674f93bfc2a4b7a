//! VLANEncap: puts a VLAN tag into Ethernet frames (IEEE 802.1Q).

use super::vlan::{
    ETHERTYPE, ID_HANDLER, NATIVE, NATIVE_HANDLER, PCP, PCP_HANDLER, TCI_HANDLER, TCI_OR_ANNO, Tag, VLAN_ID,
};
use crate::element::{
    Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
};
use crate::elements::basic::parse_handler;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};
use crate::wire::ethernet::HEADER_LENGTH;

const SHORT: &str = "packet too short";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "VLANEncap",
    summary: "adds VLAN information to Ethernet packets",
    args: &[
        TCI_OR_ANNO,
        PCP,
        VLAN_ID,
        NATIVE,
        Arg::keyword("ETHERTYPE", "unsigned", "0x8100", "Ethernet type of the tag"),
    ],
    reads: Annotations::VLAN,
    writes: Annotations::MAC_HEADER,
    drops: &[SHORT],
    handlers: &[
        TCI_HANDLER,
        ID_HANDLER,
        PCP_HANDLER,
        NATIVE_HANDLER,
        Handler::both("ethertype", "Ethernet type of the tag"),
    ],
    state: StateKind::Small,
    details: "Packets must have an Ethernet header; shorter ones are dropped. Those of the native VLAN stay as \
              they are.",
    example: r#"
        InfiniteSource(DATA \<0a0a0a0a0a0a 0b0b0b0b0b0b 0800 01>, LIMIT 4, STOP true)
            -> Print(plain)
            -> v :: VLANEncap(VLAN_ID 5, VLAN_PCP 1, NATIVE_VLAN 1)
            -> Print(tagged)
            -> c :: Counter(COUNT_CALL 2 v.vlan_id 1)
            -> Discard;
        DriverManager(wait_stop, print "tci $(v.vlan_tci), native $(v.native_vlan)");
    "#,
    build,
    ..Descriptor::BASE
};

struct VlanEncap {
    tag: Tag,
    ethertype: u16,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(VlanEncap { tag: Tag::of_encapsulation(args)?, ethertype: args.or("ETHERTYPE", ETHERTYPE)? }))
}

/// Puts a tag behind the two addresses of a frame that has them.
fn insert(packet: &mut Packet, ethertype: u16, tci: u16) {
    packet.grow_front(4);
    let frame = packet.data_mut();
    frame.copy_within(4..16, 0);
    frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
    frame[14..16].copy_from_slice(&tci.to_be_bytes());
}

impl Element for VlanEncap {
    #[inline]
    fn action(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        if packet.len() < HEADER_LENGTH {
            cx.drop(SHORT, packet);
            return None;
        }
        if let Some(tci) = self.tag.for_packet(&packet) {
            insert(&mut packet, self.ethertype, tci);
        }
        packet.set_mac_offset(Some(0));
        Some(packet)
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "ethertype" => Ok(self.ethertype.to_string()),
            other => self.tag.read(other),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "ethertype" => self.ethertype = parse_handler(value)?,
            other => self.tag.write_encapsulation(other, value)?,
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for VlanEncap {
    fn schema(&self) -> Schema {
        Schema { name: "vlan-encap", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        self.tag.save(w);
        w.put_u16(self.ethertype);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.tag.restore(r)?;
        self.ethertype = r.get_u16()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::element::Packet;
    use crate::testing::Bench;

    const FRAME: &[u8] = b"aaaaaabbbbbb\x08\x00data";

    #[test]
    fn a_tag_stands_behind_the_addresses() {
        let mut bench = Bench::new("in :: TestIn -> VLANEncap(VLAN_ID 5, VLAN_PCP 1) -> out :: TestOut;");
        bench.push("in", FRAME);
        let out = bench.take_packets("out");
        assert_eq!(out[0].data(), b"aaaaaabbbbbb\x81\x00\x20\x05\x08\x00data");
        assert_eq!(out[0].mac_offset(), Some(0));
    }

    #[test]
    fn the_annotation_may_say_the_tag_and_the_native_vlan_gets_none() {
        let mut bench = Bench::new(
            "in :: TestIn -> v :: VLANEncap(ANNO, NATIVE_VLAN 3, ETHERTYPE 0x88a8) -> out :: TestOut;",
        );
        for tci in [3, 4] {
            let mut packet = Packet::from_slice(FRAME);
            packet.anno_mut().vlan_tci = tci;
            bench.push_packets("in", 0, [packet]);
        }
        assert_eq!(bench.take("out"), [FRAME, b"aaaaaabbbbbb\x88\xa8\x00\x04\x08\x00data"]);
        assert_eq!(
            (bench.read("v", "vlan_tci").as_str(), bench.read("v", "native_vlan").as_str()),
            ("ANNO", "3")
        );
        bench.router.write_handler("v", "vlan_tci", "9").unwrap();
        bench.router.write_handler("v", "native_vlan", "-1").unwrap();
        assert_eq!(
            (bench.read("v", "vlan_id").as_str(), bench.read("v", "native_vlan").as_str()),
            ("9", "-1")
        );
    }

    #[test]
    fn short_frames_are_dropped_and_wrong_numbers_refused() {
        let mut bench = Bench::new("in :: TestIn -> v :: VLANEncap(1) -> out :: TestOut;");
        bench.push("in", &FRAME[..13]);
        assert_eq!(bench.drops("v", "packet too short"), 1);
        let error = Bench::error("Idle -> VLANEncap(1, NATIVE_VLAN 4096) -> Discard;");
        assert!(error.contains("NATIVE_VLAN: out of range, limits are -1 and 4095"), "{error}");
    }
}
