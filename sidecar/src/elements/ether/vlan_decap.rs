//! VLANDecap: takes the VLAN tag out of Ethernet frames (IEEE 802.1Q).

use super::vlan::{ETHERTYPE, tag};
use crate::element::{Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Packet};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "VLANDecap",
    summary: "strips VLAN information from Ethernet packets",
    args: &[
        Arg::optional(
            "ANNO",
            "bool",
            "true",
            "whether the tag goes into the VLAN annotation; 0 if there was none",
        ),
        Arg::keyword("ETHERTYPE", "unsigned", "0x8100", "Ethernet type of the tag"),
    ],
    // The VLAN annotation stays as it is when ANNO is false, so that it does not count as written.
    writes: Annotations::MAC_HEADER,
    details: "Frames without a tag pass unchanged.",
    example: r#"
        InfiniteSource(DATA \<0a0a0a0a0a0a 0b0b0b0b0b0b 8100 2005 0800 01>, LIMIT 1) -> d :: VLANDecap;
        InfiniteSource(DATA \<0a0a0a0a0a0a 0b0b0b0b0b0b 0800 02>, LIMIT 1) -> d;
        d -> Print(plain) -> VLANEncap(ANNO, NATIVE_VLAN -1) -> Print(again) -> Discard;
        DriverManager(wait 0.1s, stop);
    "#,
    build,
    ..Descriptor::BASE
};

struct VlanDecap {
    annotate: bool,
    ethertype: u16,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(VlanDecap { annotate: args.or("ANNO", true)?, ethertype: args.or("ETHERTYPE", ETHERTYPE)? }))
}

impl Element for VlanDecap {
    #[inline]
    fn action(&mut self, _cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        let found = tag(packet.data(), self.ethertype);
        if found.is_some() {
            packet.data_mut().copy_within(0..12, 4);
            // A tag was found, so there are at least 16 bytes.
            let _ = packet.strip_front(4);
        }
        packet.set_mac_offset(Some(0));
        if self.annotate {
            packet.anno_mut().vlan_tci = found.unwrap_or(0);
        }
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    const TAGGED: &[u8] = b"aaaaaabbbbbb\x81\x00\x20\x05\x08\x00data";
    const PLAIN: &[u8] = b"aaaaaabbbbbb\x08\x00data";

    #[test]
    fn the_tag_goes_from_the_frame_into_the_annotation() {
        let mut bench = Bench::new("in :: TestIn -> SetVLANAnno(9) -> VLANDecap -> out :: TestOut;");
        bench.push("in", TAGGED);
        bench.push("in", PLAIN);
        bench.push("in", b"short");
        let out = bench.take_packets("out");
        let seen: Vec<_> = out.iter().map(|p| (p.data(), p.anno().vlan_tci, p.mac_offset())).collect();
        assert_eq!(seen, [(PLAIN, 0x2005, Some(0)), (PLAIN, 0, Some(0)), (b"short", 0, Some(0))]);
    }

    #[test]
    fn the_annotation_may_stay_and_other_types_be_taken_out() {
        let mut bench = Bench::new(
            "in :: TestIn -> SetVLANAnno(9) -> VLANDecap(false, ETHERTYPE 0x0800) -> out :: TestOut;",
        );
        bench.push("in", PLAIN);
        bench.push("in", TAGGED);
        let out = bench.take_packets("out");
        assert_eq!((out[0].data(), out[0].anno().vlan_tci), (&b"aaaaaabbbbbbta"[..], 9));
        assert_eq!((out[1].data(), out[1].anno().vlan_tci), (TAGGED, 9));
        let error = Bench::error("Idle -> VLANDecap(ETHERTYPE 65536) -> Discard;");
        assert!(error.contains("ETHERTYPE: out of range, maximum is 65535"), "{error}");
    }
}
