//! HostEtherFilter: lets frames for this host pass, says what kind they are, and turns others away.

use crate::config::EtherAddr;
use crate::element::{Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Packet};
use crate::packet::PacketType;

const NOT_FOR_US: &str = "not for this host";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "HostEtherFilter",
    summary: "drops Ethernet packets sent to other machines",
    ports: "1/1-2",
    processing: "a/ah",
    args: &[
        Arg::required("ETHER", "Ethernet address", "address of this host"),
        Arg::optional("DROP_OWN", "bool", "false", "whether frames from this host are turned away"),
        Arg::optional("DROP_OTHER", "bool", "true", "whether frames for other hosts are turned away"),
        Arg::keyword("OFFSET", "unsigned", "0", "where the Ethernet header is"),
    ],
    writes: Annotations::PACKET_TYPE,
    drops: &[NOT_FOR_US],
    details: "Frames to the host's own address, to all and to groups pass, and get the packet type annotation \
              that says which of these they are. What does not pass leaves by output 1, or is dropped if that is \
              not connected.",
    example: r#"
        InfiniteSource(DATA \<020000000001 020000000002 0800>, LIMIT 1) -> f :: HostEtherFilter(2:0:0:0:0:1, DROP_OWN true);
        InfiniteSource(DATA \<ffffffffffff 020000000002 0806>, LIMIT 1) -> f;
        InfiniteSource(DATA \<020000000003 020000000002 0800>, LIMIT 1) -> f;
        InfiniteSource(DATA \<ffffffffffff 020000000001 0806>, LIMIT 1) -> f;
        f[0] -> Print(mine) -> Discard;
        f[1] -> Print(other) -> Discard;
        DriverManager(wait 0.1s, stop);
    "#,
    build,
    ..Descriptor::BASE
};

struct HostEtherFilter {
    address: EtherAddr,
    drop_own: bool,
    drop_other: bool,
    offset: usize,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(HostEtherFilter {
        address: args.need("ETHER")?,
        drop_own: args.or("DROP_OWN", false)?,
        drop_other: args.or("DROP_OTHER", true)?,
        offset: args.or("OFFSET", 0)?,
    }))
}

impl HostEtherFilter {
    /// The type of a frame; `None` if it is to be turned away.
    fn kind(&self, data: &[u8]) -> Option<PacketType> {
        let addresses = data.get(self.offset..)?.first_chunk::<12>()?;
        if self.drop_own && addresses[6..] == self.address.0 {
            return None;
        }
        if addresses[..6] == self.address.0 {
            Some(PacketType::Host)
        } else if addresses[..6] == EtherAddr::BROADCAST.0 {
            Some(PacketType::Broadcast)
        } else if addresses[0] & 1 != 0 {
            Some(PacketType::Multicast)
        } else {
            (!self.drop_other).then_some(PacketType::OtherHost)
        }
    }
}

impl Element for HostEtherFilter {
    fn action(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        match self.kind(packet.data()) {
            Some(kind) => {
                packet.anno_mut().packet_type = kind;
                Some(packet)
            }
            None => {
                cx.emit_or_drop(1, NOT_FOR_US, packet);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::packet::PacketType;
    use crate::testing::Bench;

    #[test]
    fn frames_are_sorted_by_their_destination() {
        let mut bench = Bench::new("in :: TestIn -> f :: HostEtherFilter(2:0:0:0:0:1) -> out :: TestOut;");
        for destination in [[2, 0, 0, 0, 0, 1], [0xff; 6], [1, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 9]] {
            bench.push("in", &[destination, [2, 0, 0, 0, 0, 7]].concat());
        }
        let kinds: Vec<_> = bench.take_packets("out").iter().map(|p| p.anno().packet_type).collect();
        assert_eq!(kinds, [PacketType::Host, PacketType::Broadcast, PacketType::Multicast]);
        assert_eq!(bench.drops("f", "not for this host"), 1);
    }
}
