//! MarkIPHeader: says where the IP header is, without checking it.

use crate::element::{Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Packet};
use crate::wire::Ipv4;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "MarkIPHeader",
    summary: "sets IP header annotation",
    args: &[Arg::optional("OFFSET", "unsigned", "0", "where the IP header starts")],
    writes: Annotations(Annotations::NETWORK_HEADER.0 | Annotations::TRANSPORT_HEADER.0),
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
}
