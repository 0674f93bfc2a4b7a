//! DropBroadcasts: drops what came in as a link-level broadcast or multicast: it must not be forwarded (RFC 1812 5.3.4).

use crate::element::{Annotations, Args, ConfigError, Cx, Descriptor, Element, Packet};
use crate::packet::PacketType;

const BROADCAST: &str = "link-level broadcast";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "DropBroadcasts",
    summary: "drops link-level broadcast and multicast packets",
    reads: Annotations::PACKET_TYPE,
    drops: &[BROADCAST],
    details: "It looks at the packet type annotation, which devices and HostEtherFilter set, not at the Ethernet \
              header.",
    example: r#"
        InfiniteSource(DATA \<ffffffffffff 020000000001 0800>, LIMIT 2) -> f :: HostEtherFilter(2:0:0:0:0:2);
        InfiniteSource(DATA \<01005e000001 020000000001 0800>, LIMIT 2) -> f;
        InfiniteSource(DATA \<020000000002 020000000001 0800>, LIMIT 2) -> f;
        f -> Print(all) -> d :: DropBroadcasts -> Print(passed) -> Discard;
        DriverManager(wait 0.1s, print $(d.drops), stop);
    "#,
    build,
    ..Descriptor::BASE
};

struct DropBroadcasts;

fn build(_: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(DropBroadcasts))
}

impl Element for DropBroadcasts {
    #[inline]
    fn action(&mut self, cx: &mut Cx<'_>, packet: Packet) -> Option<Packet> {
        if matches!(packet.anno().packet_type, PacketType::Broadcast | PacketType::Multicast) {
            cx.drop(BROADCAST, packet);
            return None;
        }
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use crate::packet::{Packet, PacketType};
    use crate::testing::Bench;

    #[test]
    fn only_unicast_passes() {
        let mut bench = Bench::new("in :: TestIn -> d :: DropBroadcasts -> out :: TestOut;");
        let packets = [PacketType::Host, PacketType::Broadcast, PacketType::Multicast].map(|kind| {
            let mut packet = Packet::zeroed(9);
            packet.anno_mut().packet_type = kind;
            packet
        });
        bench.push_packets("in", 0, packets);
        assert_eq!(bench.take("out").len(), 1);
        assert_eq!(bench.drops("d", "link-level broadcast"), 2);
    }
}
