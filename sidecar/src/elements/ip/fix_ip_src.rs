//! FixIPSrc: gives packets that ask for it this router's address as source (ICMP errors made further up).

use std::net::Ipv4Addr;

use crate::element::{Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Packet};
use crate::wire::Ipv4;
use crate::wire::checksum::Change;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "FixIPSrc",
    summary: "sets source IP address if the Fix IP Source annotation is set",
    args: &[Arg::required("IPADDR", "IP address", "the new source")],
    reads: Annotations(Annotations::NETWORK_HEADER.0 | Annotations::FIX_IP_SRC.0),
    details: "ICMPError sets the annotation: which address is right is known only on the interface that the error leaves \
              by. The annotation is cleared.",
    example: r#"
        InfiniteSource(LIMIT 2) -> UDPIPEncap(10.0.0.7, 5000, 10.0.1.9, 53) -> t :: Tee;
        t[0] -> ICMPError(10.9.9.9, unreachable, host) -> fix :: FixIPSrc(10.0.0.1);
        t[1] -> fix;
        fix -> IPPrint(TIMESTAMP false) -> Discard;
        DriverManager(wait 1s);
    "#,
    build,
    ..Descriptor::BASE
};

struct FixIpSrc {
    address: Ipv4Addr,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(FixIpSrc { address: args.need("IPADDR")? }))
}

impl Element for FixIpSrc {
    #[inline]
    fn action(&mut self, _cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        if packet.anno().fix_ip_src {
            packet.anno_mut().fix_ip_src = false;
            if let Some((ip, _)) = Ipv4::parse_mut(packet.network_mut()) {
                let change = Change::new().double(ip.source.get(), self.address.into());
                ip.source.set(self.address.into());
                ip.checksum.set(change.apply(ip.checksum.get()));
            }
        }
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use crate::element::Packet;
    use crate::testing::Bench;
    use crate::wire::checksum;
    use crate::wire::ipv4::set_checksum;

    #[test]
    fn only_packets_that_ask_for_it_get_the_address_and_only_once() {
        let mut bench = Bench::new(
            "in :: TestIn -> MarkIPHeader -> FixIPSrc(1.2.3.4) -> FixIPSrc(5.6.7.8) -> out :: TestOut;",
        );
        let mut bytes = vec![0x45, 0, 0, 20, 0, 0, 0, 0, 9, 17, 0, 0, 10, 0, 1, 9, 10, 0, 2, 9];
        set_checksum(&mut bytes);
        let mut asking = Packet::from_slice(&bytes);
        asking.anno_mut().fix_ip_src = true;
        bench.push_packets("in", 0, [asking, Packet::from_slice(&bytes)]);
        let out = bench.take("out");
        assert_eq!((&out[0][12..16], checksum::of(&out[0])), (&[1, 2, 3, 4][..], 0));
        assert_eq!(out[1], bytes);
    }

    #[test]
    fn an_address_must_be_given() {
        let error = Bench::error("Idle -> FixIPSrc -> Discard;");
        assert!(error.contains("too few arguments; need 'IPADDR'"), "{error}");
    }
}
