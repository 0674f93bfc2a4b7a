//! StripToNetworkHeader: makes packets start at their network header.

use crate::element::{Annotations, Args, ConfigError, Cx, Descriptor, Element, Packet};

const NO_HEADER: &str = "no network header";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "StripToNetworkHeader",
    summary: "strips everything preceding network header",
    reads: Annotations::NETWORK_HEADER,
    drops: &[NO_HEADER],
    details: "Packets without a network header (MarkIPHeader, CheckIPHeader … set it) are dropped.",
    example: r#"
        InfiniteSource(DATA abc, LIMIT 2, STOP true) -> sources :: RoundRobinSwitch;
        sources[0]
            -> UDPIPEncap(1.0.0.1, 1234, 2.0.0.2, 53)
            -> EtherEncap(0x0800, 2:0:0:0:0:1, 2:0:0:0:0:2)
            -> Print(frame, 45)
            -> strip :: StripToNetworkHeader
            -> Print(packet, 31)
            -> Discard;
        sources[1] -> Print("no header") -> strip;
        DriverManager(wait_stop, print $(strip.drop_reasons));
    "#,
    build,
    ..Descriptor::BASE
};

struct StripToNetworkHeader;

fn build(_: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(StripToNetworkHeader))
}

/// Moves the start of the packet to its network header; `false` if none is marked, or behind the end.
fn strip(packet: &mut Packet) -> bool {
    match packet.network_offset() {
        None => false,
        Some(offset @ 0..) => packet.strip_front(offset.unsigned_abs()),
        Some(before) => {
            packet.grow_front(before.unsigned_abs());
            true
        }
    }
}

impl Element for StripToNetworkHeader {
    #[inline]
    fn action(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        if strip(&mut packet) {
            return Some(packet);
        }
        cx.drop(NO_HEADER, packet);
        None
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn packets_start_at_their_header_whether_it_is_ahead_or_was_stripped() {
        let mut bench = Bench::new(
            "in :: TestIn -> MarkIPHeader(2) -> t :: Tee -> StripToNetworkHeader -> out :: TestOut;
             t[1] -> Strip(4) -> StripToNetworkHeader -> back :: TestOut;",
        );
        bench.push("in", b"abcdef");
        assert_eq!((bench.take("out"), bench.take("back")), (vec![b"cdef".to_vec()], vec![b"cdef".to_vec()]));
    }

    #[test]
    fn packets_without_a_network_header_are_dropped() {
        let mut bench = Bench::new("in :: TestIn -> s :: StripToNetworkHeader -> out :: TestOut;");
        bench.push("in", b"abcdef");
        assert_eq!(bench.drops("s", "no network header"), 1);
        let error = Bench::error("Idle -> StripToNetworkHeader(1) -> Discard;");
        assert!(error.contains("too many arguments"), "{error}");
    }
}
