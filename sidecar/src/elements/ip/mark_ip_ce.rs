//! MarkIPCE: says "congestion experienced" in IP packets that can (RFC 3168), and drops those that cannot.

use super::set_ip_dscp::change_tos;
use crate::element::{
    Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};
use crate::wire::Ipv4;

const NOT_CAPABLE: &str = "not ECN-capable";
const NO_HEADER: &str = "no IP header";
const ECN_MASK: u8 = 3;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "MarkIPCE",
    summary: "sets IP packets' ECN field to Congestion Experienced",
    args: &[Arg::optional(
        "FORCE",
        "bool",
        "false",
        "whether packets that are not ECN-capable are marked too",
    )],
    reads: Annotations::NETWORK_HEADER,
    drops: &[NOT_CAPABLE, NO_HEADER],
    handlers: &[Handler::read("drops", "packets dropped because they were not ECN-capable")],
    state: StateKind::Small,
    details: "Packets whose ECN bits are 0 belong to hosts that do not know ECN: they are dropped, unless FORCE is true.",
    example: r#"
        InfiniteSource(LIMIT 2) -> IPEncap(gre, 10.0.0.1, 10.0.0.2, ECT true) -> m :: MarkIPCE;
        InfiniteSource(LIMIT 3) -> IPEncap(gre, 10.0.0.3, 10.0.0.2) -> m;
        m -> CheckIPHeader -> IPPrint(marked, TOS true, TIMESTAMP false) -> Discard;
        DriverManager(wait 1s, print $(m.drops));
    "#,
    build,
    ..Descriptor::BASE
};

struct MarkIpCe {
    force: bool,
    drops: u64,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(MarkIpCe { force: args.or("FORCE", false)?, drops: 0 }))
}

impl Element for MarkIpCe {
    #[inline]
    fn action(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        match Ipv4::parse(packet.network()).map(|(ip, _)| ip.tos & ECN_MASK) {
            None => {
                cx.drop(NO_HEADER, packet);
                return None;
            }
            Some(0) if !self.force => {
                self.drops += 1;
                cx.drop(NOT_CAPABLE, packet);
                return None;
            }
            Some(ECN_MASK) => {}
            Some(_) => {
                change_tos(packet.network_mut(), |tos| tos | ECN_MASK);
            }
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

impl Stateful for MarkIpCe {
    fn schema(&self) -> Schema {
        Schema { name: "ip/mark-ce", version: 1 }
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
    use super::*;
    use crate::testing::Bench;
    use crate::wire::checksum;
    use crate::wire::ipv4::set_checksum;

    fn packet(tos: u8) -> Vec<u8> {
        let mut bytes = vec![0x45, tos, 0, 20, 0, 0, 0, 0, 9, 17, 0, 0, 10, 0, 1, 9, 10, 0, 2, 9];
        set_checksum(&mut bytes);
        bytes
    }

    #[test]
    fn capable_packets_are_marked_and_others_dropped() {
        let mut bench = Bench::new("in :: TestIn -> MarkIPHeader -> m :: MarkIPCE -> out :: TestOut;");
        for tos in [0x05, 0x06, 0x07, 0x04] {
            bench.push("in", &packet(tos));
        }
        let out = bench.take("out");
        assert_eq!(out, [packet(7), packet(7), packet(7)]);
        assert_eq!(checksum::of(&out[0]), 0);
        assert_eq!((bench.read("m", "drops").as_str(), bench.drops("m", "not ECN-capable")), ("1", 1));
        bench.push("in", b"short");
        assert_eq!(bench.drops("m", "no IP header"), 1);
    }

    #[test]
    fn packets_are_marked_by_force() {
        let mut bench = Bench::new("in :: TestIn -> MarkIPHeader -> MarkIPCE(true) -> out :: TestOut;");
        bench.push("in", &packet(0));
        assert_eq!(bench.take("out"), [packet(3)]);
        let error = Bench::error("Idle -> MarkIPCE(perhaps) -> Discard;");
        assert!(error.contains("FORCE: expected boolean, got 'perhaps'"), "{error}");
    }

    #[test]
    fn the_count_of_drops_moves() {
        let (mut from, mut to) = (MarkIpCe { force: false, drops: 5 }, MarkIpCe { force: false, drops: 0 });
        let mut w = Writer::new();
        from.stateful().unwrap().save(&mut w);
        to.restore(&mut Reader::new(w.as_bytes())).unwrap();
        assert_eq!(to.drops, 5);
    }
}
