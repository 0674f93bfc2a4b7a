//! DecIPTTL: decrements the time to live, as a router must (RFC 1812, 5.3.1).

use crate::element::{
    Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};
use crate::wire::Ipv4;

const EXPIRED: &str = "ttl expired";
const NO_HEADER: &str = "no IP header";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "DecIPTTL",
    summary: "decrements IP time-to-live, drops dead packets",
    ports: "1/1-2",
    processing: "a/ah",
    args: &[
        Arg::keyword("ACTIVE", "bool", "true", "whether packets are changed"),
        Arg::keyword("MULTICAST", "bool", "true", "whether packets to multicast addresses are changed"),
    ],
    reads: Annotations::NETWORK_HEADER,
    drops: &[EXPIRED, NO_HEADER],
    handlers: &[
        Handler::read("drops", "packets whose time to live ended here"),
        Handler::both("active", "whether packets are changed"),
    ],
    state: StateKind::Small,
    details: "A packet whose time to live is 1 or less is dead: it leaves by output 1 as it came, usually to an \
              ICMPError(ADDR, timeexceeded), or is dropped. The checksum is updated (RFC 1624).",
    example: r#"
        InfiniteSource(LIMIT 1) -> IPEncap(gre, 10.0.0.1, 10.0.1.1, TTL 3) -> d :: DecIPTTL(MULTICAST false);
        InfiniteSource(LIMIT 1) -> IPEncap(gre, 10.0.0.1, 224.0.0.5, TTL 1) -> d;
        RatedSource(RATE 10, LIMIT 4) -> IPEncap(gre, 10.0.0.2, 10.0.1.1, TTL 1) -> d;
        d[0] -> IPPrint(alive, TTL true, TIMESTAMP false) -> Discard;
        d[1] -> IPPrint(dead, TTL true, TIMESTAMP false) -> Discard;
        DriverManager(wait 0.25s, write d.active false, wait 1s, print $(d.drops));
    "#,
    build,
    ..Descriptor::BASE
};

struct DecIpTtl {
    active: bool,
    multicast: bool,
    expired: u64,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(DecIpTtl {
        active: args.or("ACTIVE", true)?,
        multicast: args.or("MULTICAST", true)?,
        expired: 0,
    }))
}

impl Element for DecIpTtl {
    #[inline]
    fn action(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        if !self.active {
            return Some(packet);
        }
        let Some((ip, _)) = Ipv4::parse_mut(packet.network_mut()) else {
            cx.drop(NO_HEADER, packet);
            return None;
        };
        if !self.multicast && ip.destination.get() >> 28 == 0xe {
            return Some(packet);
        }
        if ip.ttl <= 1 {
            self.expired += 1;
            cx.emit_or_drop(1, EXPIRED, packet);
            return None;
        }
        ip.ttl -= 1;
        // The word of TTL and protocol goes down by 0x100 (RFC 1624, equation 3: ~m + m' = 0xfeff whatever m is).
        let sum = u32::from(!ip.checksum.get()) + 0xfeff;
        ip.checksum.set(!((sum + (sum >> 16)) as u16));
        Some(packet)
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "drops" => Ok(self.expired.to_string()),
            "active" => Ok(self.active.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "active" => self.active = super::super::basic::parse_handler(value)?,
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for DecIpTtl {
    fn schema(&self) -> Schema {
        Schema { name: "ip/dec-ttl", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_bool(self.active);
        w.put_u64(self.expired);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.active = r.get_bool()?;
        self.expired = r.get_u64()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use crate::wire::checksum;
    use crate::wire::ipv4::set_checksum;

    fn packet(ttl: u8) -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 20, 0, 0, 0, 0, ttl, 17, 0, 0, 10, 0, 1, 9, 10, 0, 2, 9];
        set_checksum(&mut bytes);
        bytes
    }

    #[test]
    fn the_ttl_goes_down_by_one_and_the_checksum_stays_right() {
        let mut bench = Bench::new("in :: TestIn -> MarkIPHeader -> DecIPTTL -> out :: TestOut;");
        for ttl in 2..=255 {
            bench.push("in", &packet(ttl));
            let out = bench.take("out");
            assert_eq!((out[0][8], checksum::of(&out[0])), (ttl - 1, 0));
        }
    }

    #[test]
    fn dead_packets_leave_by_output_1_unchanged() {
        let mut bench = Bench::new(
            "in :: TestIn -> MarkIPHeader -> d :: DecIPTTL -> out :: TestOut; d[1] -> dead :: TestOut;",
        );
        bench.push("in", &packet(1));
        bench.push("in", &packet(0));
        assert_eq!(bench.take("dead"), [packet(1), packet(0)]);
        assert!(bench.take("out").is_empty());
        assert_eq!(bench.read("d", "drops"), "2");
    }

    #[test]
    fn what_is_not_to_be_changed_passes() {
        let mut bench =
            Bench::new("in :: TestIn -> MarkIPHeader -> d :: DecIPTTL(MULTICAST false) -> out :: TestOut;");
        let mut multicast = packet(1);
        multicast[16] = 224;
        bench.push("in", &multicast);
        assert_eq!(bench.take("out"), [multicast]);
        bench.router.write_handler("d", "active", "false").unwrap();
        bench.push("in", &packet(1));
        assert_eq!(bench.take("out"), [packet(1)]);
        let error = Bench::error("Idle -> DecIPTTL(ACTIVE x) -> Discard;");
        assert!(error.contains("ACTIVE: expected boolean, got 'x'"), "{error}");
    }
}
