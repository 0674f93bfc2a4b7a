//! EtherEncap: puts an Ethernet header in front of packets.

use crate::config::EtherAddr;
use crate::element::{
    Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
};
use crate::elements::basic::parse_handler;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "EtherEncap",
    summary: "encapsulates packets in Ethernet header",
    args: &[
        Arg::required("ETHERTYPE", "unsigned", "protocol number"),
        Arg::required("SRC", "Ethernet address", "source address"),
        Arg::required("DST", "Ethernet address", "destination address"),
    ],
    writes: Annotations::MAC_HEADER,
    handlers: &[
        Handler::both("src", "source address"),
        Handler::both("dst", "destination address"),
        Handler::both("ethertype", "protocol number"),
    ],
    state: StateKind::Small,
    example: r#"
        InfiniteSource(DATA \<45>, LIMIT 3, STOP true)
            -> e :: EtherEncap(0x0800, 2:0:0:0:0:1, 2:0:0:0:0:2)
            -> Print
            -> c :: Counter(COUNT_CALL 2 e.dst ff:ff:ff:ff:ff:ff)
            -> Discard;
        DriverManager(wait_stop, print "$(e.ethertype) from $(e.src) to $(e.dst)");
    "#,
    build,
    ..Descriptor::BASE
};

struct EtherEncap {
    header: [u8; 14],
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let mut header = [0; 14];
    header[..6].copy_from_slice(&args.need::<EtherAddr>("DST")?.0);
    header[6..12].copy_from_slice(&args.need::<EtherAddr>("SRC")?.0);
    header[12..].copy_from_slice(&args.need::<u16>("ETHERTYPE")?.to_be_bytes());
    Ok(Box::new(EtherEncap { header }))
}

impl EtherEncap {
    fn address(&self, at: usize) -> EtherAddr {
        let mut address = EtherAddr::default();
        address.0.copy_from_slice(&self.header[at..at + 6]);
        address
    }
}

impl Element for EtherEncap {
    #[inline]
    fn action(&mut self, _cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        packet.grow_front(14);
        if let Some(front) = packet.data_mut().first_chunk_mut::<14>() {
            *front = self.header;
        }
        packet.set_mac_offset(Some(0));
        Some(packet)
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "dst" => Ok(self.address(0).to_string()),
            "src" => Ok(self.address(6).to_string()),
            "ethertype" => Ok(u16::from_be_bytes([self.header[12], self.header[13]]).to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "dst" => self.header[..6].copy_from_slice(&parse_handler::<EtherAddr>(value)?.0),
            "src" => self.header[6..12].copy_from_slice(&parse_handler::<EtherAddr>(value)?.0),
            "ethertype" => self.header[12..].copy_from_slice(&parse_handler::<u16>(value)?.to_be_bytes()),
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for EtherEncap {
    fn schema(&self) -> Schema {
        Schema { name: "ether-encap", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_raw(&self.header);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.header.copy_from_slice(r.get_raw(14)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn a_header_is_put_in_front() {
        let text = "in :: TestIn -> EtherEncap(0x0800, 1:2:3:4:5:6, 7:8:9:a:b:c) -> out :: TestOut;";
        let mut bench = Bench::new(text);
        bench.push("in", b"x");
        let packets = bench.take_packets("out");
        assert_eq!(packets[0].data(), [7, 8, 9, 10, 11, 12, 1, 2, 3, 4, 5, 6, 8, 0, b'x']);
        assert_eq!(packets[0].mac_offset(), Some(0));
    }

    #[test]
    fn handlers_change_the_header_and_it_moves() {
        let text = "in :: TestIn -> e :: EtherEncap(0x0800, 1:1:1:1:1:1, 2:2:2:2:2:2) -> out :: TestOut;";
        let (mut from, mut to) = (Bench::new(text), Bench::new(text));
        assert_eq!(
            (from.read("e", "ethertype"), from.read("e", "dst")),
            ("2048".into(), "02-02-02-02-02-02".into())
        );
        for (handler, value) in [("ethertype", "0x0806"), ("src", "3:3:3:3:3:3"), ("dst", "4:4:4:4:4:4")] {
            from.router.write_handler("e", handler, value).unwrap();
        }
        from.move_to(&mut to);
        to.push("in", b"x");
        assert_eq!(to.take("out"), [[4, 4, 4, 4, 4, 4, 3, 3, 3, 3, 3, 3, 8, 6, b'x']]);
        assert!(to.router.write_handler("e", "ethertype", "ip").is_err());
    }

    #[test]
    fn names_of_address_info_are_addresses_where_they_are_seen() {
        let mut bench = Bench::new(
            "elementclass C { AddressInfo(me 1:1:1:1:1:1); input -> EtherEncap(0x0800, me, peer:eth) -> output };
             AddressInfo(peer 2:2:2:2:2:2, me 3:3:3:3:3:3); in :: TestIn -> C -> out :: TestOut;",
        );
        bench.push("in", b"");
        assert_eq!(bench.take("out")[0][..12], [2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1]);
        let error = Bench::error("Idle -> e :: EtherEncap(0x0800, nobody, 1:1:1:1:1:1) -> Discard;");
        assert!(error.contains("SRC: expected Ethernet address, got 'nobody'"), "{error}");
    }
}
