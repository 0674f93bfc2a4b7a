//! SetIPDSCP: sets the differentiated services code point of IP packets (RFC 2474).

use crate::element::{
    Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
};
use crate::elements::basic::parse_handler;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};
use crate::wire::Ipv4;
use crate::wire::checksum::Change;

const NO_HEADER: &str = "no IP header";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "SetIPDSCP",
    summary: "sets IP packets' DSCP fields",
    args: &[Arg::required("DSCP", "0-63", "the code point")],
    reads: Annotations::NETWORK_HEADER,
    drops: &[NO_HEADER],
    handlers: &[Handler::both("dscp", "the code point")],
    state: StateKind::Small,
    details: "The code point is the upper six bits of the type of service; the two ECN bits below stay as they are.",
    example: r#"
        RatedSource(RATE 10, LIMIT 4) -> IPEncap(gre, 10.0.0.1, 10.0.0.2, ECT true)
            -> s :: SetIPDSCP(46)
            -> CheckIPHeader
            -> IPPrint(TOS true, TIMESTAMP false)
            -> Discard;
        DriverManager(wait 0.15s, write s.dscp 10, wait 1s, print $(s.dscp));
    "#,
    build,
    ..Descriptor::BASE
};

struct SetIpDscp {
    dscp: u8,
}

fn in_range(dscp: u32) -> Result<u8, String> {
    u8::try_from(dscp).ok().filter(|dscp| *dscp < 64).ok_or("diffserv code point out of range".to_owned())
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(SetIpDscp { dscp: in_range(args.need("DSCP")?)? }))
}

/// Sets the type of service of the packet at the start of `bytes` to what `change` makes of it; `None` if there is no
/// IP header.
pub(super) fn change_tos(bytes: &mut [u8], change: impl FnOnce(u8) -> u8) -> Option<()> {
    let (ip, _) = Ipv4::parse_mut(bytes)?;
    let (old, new) = (ip.tos, change(ip.tos));
    // The other half of the word is the same before and after, so that it does not matter for the checksum.
    ip.tos = new;
    ip.checksum.set(Change::new().word(u16::from(old), u16::from(new)).apply(ip.checksum.get()));
    Some(())
}

impl Element for SetIpDscp {
    #[inline]
    fn action(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        if change_tos(packet.network_mut(), |tos| tos & 3 | self.dscp << 2).is_some() {
            return Some(packet);
        }
        cx.drop(NO_HEADER, packet);
        None
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "dscp" => Ok(self.dscp.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "dscp" => self.dscp = in_range(parse_handler(value)?).map_err(HandlerError::Refused)?,
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for SetIpDscp {
    fn schema(&self) -> Schema {
        Schema { name: "ip/set-dscp", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u8(self.dscp);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        let dscp = r.get_u8()?.into();
        self.dscp =
            in_range(dscp).map_err(|_| StateError::Invalid { what: "code point", value: dscp.into() })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::state::Reader;
    use crate::testing::Bench;
    use crate::wire::checksum;
    use crate::wire::ipv4::set_checksum;

    #[test]
    fn the_code_point_is_set_beside_the_ecn_bits_and_the_checksum_stays_right() {
        let mut bench = Bench::new("in :: TestIn -> MarkIPHeader -> s :: SetIPDSCP(46) -> out :: TestOut;");
        let mut bytes = vec![0x45, 0x06, 0, 20, 0, 0, 0, 0, 9, 17, 0, 0, 10, 0, 1, 9, 10, 0, 2, 9];
        set_checksum(&mut bytes);
        bench.push("in", &bytes);
        let out = bench.take("out");
        assert_eq!((out[0][1], checksum::of(&out[0])), (46 << 2 | 2, 0));
        bench.router.write_handler("s", "dscp", "0").unwrap();
        assert_eq!(bench.read("s", "dscp"), "0");
        bench.push("in", &bytes);
        let out = bench.take("out");
        assert_eq!((out[0][1], checksum::of(&out[0])), (2, 0));
    }

    #[test]
    fn what_is_no_ip_packet_is_dropped() {
        let mut bench = Bench::new("in :: TestIn -> MarkIPHeader -> s :: SetIPDSCP(1) -> out :: TestOut;");
        bench.push("in", &[0x45; 19]);
        assert_eq!(bench.drops("s", "no IP header"), 1);
    }

    #[test]
    fn a_code_point_of_more_than_six_bits_is_refused() {
        let error = Bench::error("Idle -> s :: SetIPDSCP(64) -> Discard;");
        assert!(error.contains("diffserv code point out of range"), "{error}");
    }

    #[test]
    fn a_code_point_that_is_none_is_not_restored() {
        let mut bench = Bench::new("Idle -> s :: SetIPDSCP(1) -> Discard;");
        let id = bench.router.find("s").unwrap();
        assert!(bench.router.state_of(id).unwrap().restore(&mut Reader::new(&[64])).is_err());
    }
}
