//! StripEtherVLANHeader: takes the Ethernet header with its VLAN tag from packets (IEEE 802.1Q).

use super::vlan::{ETHERTYPE, tag};
use crate::element::{Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Packet};
use crate::wire::ethernet::HEADER_LENGTH;

const NO_TAG: &str = "no VLAN tag";
const SHORT: &str = "packet too short";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "StripEtherVLANHeader",
    summary: "strips 802.1Q VLAN Ethernet header",
    ports: "1/1-2",
    processing: "a/ah",
    args: &[Arg::optional(
        "NATIVE_VLAN",
        "integer",
        "0",
        "VLAN of frames without a tag; if negative, they leave by output 1",
    )],
    // Frames that leave by output 1 keep the VLAN annotation, so that it does not count as written.
    writes: Annotations::NONE,
    drops: &[NO_TAG, SHORT],
    details: "The tag goes into the VLAN annotation; frames without one count as of the native VLAN. Frames that \
              are too short are dropped.",
    example: r#"
        InfiniteSource(DATA \<0a0a0a0a0a0a 0b0b0b0b0b0b 8100 2005 0800 01>, LIMIT 1) -> s :: StripEtherVLANHeader(-1);
        InfiniteSource(DATA \<0a0a0a0a0a0a 0b0b0b0b0b0b 0800 02>, LIMIT 1) -> s;
        s -> Print(stripped) -> EtherVLANEncap(0x0800, 2:0:0:0:0:1, 2:0:0:0:0:2, ANNO) -> Print(again) -> Discard;
        s[1] -> Print(untagged) -> Discard;
        DriverManager(wait 0.1s, stop);
    "#,
    build,
    ..Descriptor::BASE
};

struct StripEtherVlanHeader {
    native: Option<u16>,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let native: i32 = args.or("NATIVE_VLAN", 0)?;
    if native > 0xfff {
        return Err("bad NATIVE_VLAN".into());
    }
    Ok(Box::new(StripEtherVlanHeader { native: u16::try_from(native).ok() }))
}

impl Element for StripEtherVlanHeader {
    #[inline]
    fn action(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        let found = tag(packet.data(), ETHERTYPE);
        let length = if found.is_some() { HEADER_LENGTH + 4 } else { HEADER_LENGTH };
        let Some(tci) = found.or(self.native) else {
            cx.emit_or_drop(1, NO_TAG, packet);
            return None;
        };
        if !packet.strip_front(length) {
            cx.drop(SHORT, packet);
            return None;
        }
        packet.anno_mut().vlan_tci = tci;
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    const TAGGED: &[u8] = b"aaaaaabbbbbb\x81\x00\x20\x05\x08\x00data";
    const PLAIN: &[u8] = b"aaaaaabbbbbb\x08\x00data";

    #[test]
    fn both_kinds_of_header_are_stripped_and_say_their_vlan() {
        let mut bench = Bench::new("in :: TestIn -> s :: StripEtherVLANHeader(7) -> out :: TestOut;");
        bench.push("in", TAGGED);
        bench.push("in", PLAIN);
        let out = bench.take_packets("out");
        let seen: Vec<_> = out.iter().map(|p| (p.data(), p.anno().vlan_tci)).collect();
        assert_eq!(seen, [(&b"data"[..], 0x2005), (b"data", 7)]);
        bench.push("in", &TAGGED[..17]);
        bench.push("in", &PLAIN[..13]);
        assert_eq!(bench.drops("s", "packet too short"), 2);
    }

    #[test]
    fn without_a_native_vlan_plain_frames_leave_by_output_1() {
        let mut bench = Bench::new(
            "in :: TestIn -> s :: StripEtherVLANHeader(-1) -> out :: TestOut; s[1] -> plain :: TestOut;
             alone :: TestIn -> t :: StripEtherVLANHeader(-1) -> Discard;",
        );
        bench.push("in", PLAIN);
        bench.push("alone", PLAIN);
        assert_eq!(bench.take("plain"), [PLAIN]);
        assert_eq!(bench.drops("t", "no VLAN tag"), 1);
        assert!(Bench::error("Idle -> StripEtherVLANHeader(4096) -> Discard;").contains("bad NATIVE_VLAN"));
    }
}
