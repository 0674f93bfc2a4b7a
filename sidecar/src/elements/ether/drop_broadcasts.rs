//! DropBroadcasts: drops what came in as a link-level broadcast or multicast: it must not be forwarded (RFC 1812 5.3.4).

use crate::element::{
    Annotations, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
};
use crate::packet::PacketType;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

const BROADCAST: &str = "link-level broadcast";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "DropBroadcasts",
    summary: "drops link-level broadcast and multicast packets",
    ports: "1/1-2",
    processing: "a/ah",
    reads: Annotations::PACKET_TYPE,
    handlers: &[Handler::read("drops", "packets that did not pass")],
    state: StateKind::Small,
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

#[derive(Default)]
struct DropBroadcasts {
    drops: u64,
}

fn build(_: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(DropBroadcasts::default()))
}

impl Element for DropBroadcasts {
    #[inline]
    fn action(&mut self, cx: &mut Cx<'_>, packet: Packet) -> Option<Packet> {
        if matches!(packet.anno().packet_type, PacketType::Broadcast | PacketType::Multicast) {
            self.drops += 1;
            cx.emit_or_drop(1, BROADCAST, packet);
            return None;
        }
        Some(packet)
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "drops" => Ok(self.drops.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for DropBroadcasts {
    fn schema(&self) -> Schema {
        Schema { name: "drop-broadcasts", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.drops);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.drops = r.get_u64()?;
        Ok(())
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
        let mut moved = Bench::new("in :: TestIn -> d :: DropBroadcasts -> out :: TestOut;");
        bench.move_to(&mut moved);
        assert_eq!(moved.read("d", "drops"), "2");
    }

    #[test]
    fn output_1_gets_what_does_not_pass() {
        let mut bench =
            Bench::new("in :: TestIn -> d :: DropBroadcasts -> out :: TestOut; d[1] -> no :: TestOut;");
        let mut packet = Packet::zeroed(9);
        packet.anno_mut().packet_type = PacketType::Broadcast;
        bench.push_packets("in", 0, [packet]);
        assert_eq!((bench.take("no").len(), bench.read("d", "drops")), (1, "1".into()));
        assert!(Bench::error("Idle -> DropBroadcasts(1) -> Discard;").contains("too many arguments"));
    }
}
