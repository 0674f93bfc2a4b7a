//! MarkIPHeader: says where the IP header is, without checking it.

use crate::element::{Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Packet};
use crate::wire::Ipv4;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "MarkIPHeader",
    summary: "sets IP header annotation",
    args: &[Arg::optional("OFFSET", "unsigned", "0", "where the IP header starts")],
    writes: Annotations(Annotations::NETWORK_HEADER.0 | Annotations::TRANSPORT_HEADER.0),
    details: "Nothing is checked: CheckIPHeader does that. The transport header is marked behind the length that the IP \
              header claims.",
    example: r#"
        InfiniteSource(LIMIT 2) -> UDPIPEncap(10.0.0.1, 5000, 10.0.0.2, 53)
            -> EtherEncap(0x0800, 2:0:0:0:0:1, 2:0:0:0:0:2)
            -> MarkIPHeader(14)
            -> IPPrint(TIMESTAMP false)
            -> Discard;
        DriverManager(wait 1s);
    "#,
    build,
    ..Descriptor::BASE
};

struct MarkIpHeader {
    offset: usize,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(MarkIpHeader { offset: args.or("OFFSET", 0)? }))
}

impl Element for MarkIpHeader {
    #[inline]
    fn action(&mut self, _cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        let header = packet.data().get(self.offset..).and_then(Ipv4::parse);
        match header.map(|(ip, _)| ip.header_length()) {
            Some(length) => packet.set_network_header(self.offset, length),
            None => packet.set_network_offset(Some(self.offset as isize)),
        }
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn the_header_is_marked_with_its_own_length() {
        let mut bench = Bench::new("in :: TestIn -> MarkIPHeader(2) -> out :: TestOut;");
        let mut bytes = vec![0; 40];
        bytes[2] = 0x46;
        bench.push("in", &bytes);
        bench.push("in", &[1, 2, 3]);
        let out = bench.take_packets("out");
        assert_eq!((out[0].network_offset(), out[0].transport_offset()), (Some(2), Some(26)));
        assert_eq!((out[1].network_offset(), out[1].network().len()), (Some(2), 1));
    }

    #[test]
    fn an_offset_must_be_a_number() {
        let error = Bench::error("Idle -> MarkIPHeader(x) -> Discard;");
        assert!(error.contains("OFFSET: expected unsigned integer, got 'x'"), "{error}");
    }
}
