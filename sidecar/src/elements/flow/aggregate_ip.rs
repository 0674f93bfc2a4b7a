//! AggregateIP: sets the aggregate annotation to a field of the IP packet.

use super::ip_field::{Base, Field};
use crate::element::{
    Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet,
};

const NO_FIELD: &str = "field missing";
/// The bits of an IP header that are addresses.
const ADDRESS_BITS: std::ops::Range<u32> = 96..160;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "AggregateIP",
    summary: "sets aggregate annotation based on IP packet field",
    ports: "1/1-2",
    processing: "a/ah",
    args: &[
        Arg::required("FIELD", "field", "such as ip src/8, tcp dport, ip[8:2] & 0x3F0"),
        Arg::keyword(
            "INCREMENTAL",
            "bool",
            "false",
            "whether the field is put behind the bits of the old value",
        ),
        Arg::keyword("UNSHIFT_IP_ADDR", "bool", "false", "whether parts of addresses stay in their place"),
    ],
    reads: Annotations(
        Annotations::NETWORK_HEADER.0 | Annotations::TRANSPORT_HEADER.0 | Annotations::AGGREGATE.0,
    ),
    drops: &[NO_FIELD],
    handlers: &[
        Handler::read("header", "the header that the field is in"),
        Handler::read("bit_offset", "where the field starts in its header, in bits"),
        Handler::read("bit_length", "length of the field, in bits"),
        Handler::read("field", "the field"),
    ],
    details: "Packets that do not have the field, such as later fragments for a field of the transport header, \
              leave by output 1, or are dropped if it is not connected.",
    example: r#"
        InfiniteSource(DATA \<01 02>, LIMIT 6, STOP true) -> r :: RoundRobinSwitch;
        r[0] -> UDPIPEncap(1.0.0.1, 1000, 2.0.0.2, 53) -> a :: AggregateIP(udp sport);
        r[1] -> UDPIPEncap(2.0.0.2, 53, 1.0.0.1, 1000) -> a;
        r[2] -> MarkIPHeader -> a;
        a[0] -> IPPrint(port, AGGREGATE true) -> AggregateIP(ip src/8) -> IPPrint(net, AGGREGATE true) -> Discard;
        a[1] -> Print(none) -> Discard;
        DriverManager(wait_stop, print "bits $(a.bit_offset)+$(a.bit_length) of $(a.header)");
    "#,
    build,
    ..Descriptor::BASE
};

struct AggregateIp {
    field: Field,
    /// The word of the header that the field is in.
    word: usize,
    shift: u32,
    mask: u32,
    incremental: bool,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let field = Field::parse(&args.need::<String>("FIELD")?)?;
    let incremental = args.or("INCREMENTAL", false)?;
    let unshift = args.or("UNSHIFT_IP_ADDR", false)?;
    let last = field.offset + field.length - 1;
    if field.offset / 32 != last / 32 {
        return Err("field specification does not fit within a single word".into());
    }
    if field.length == 32 && incremental {
        return Err("'INCREMENTAL' is incompatible with field length 32".into());
    }
    let (shift, mask) = (31 - last % 32, u32::MAX >> (32 - field.length));
    let in_place = unshift && field.base == Base::Ip && ADDRESS_BITS.contains(&field.offset);
    let (shift, mask) = if in_place { (0, mask << shift) } else { (shift, mask) };
    Ok(Box::new(AggregateIp { field, word: (field.offset / 32) as usize * 4, shift, mask, incremental }))
}

impl AggregateIp {
    #[inline]
    fn value(&self, packet: &Packet) -> Option<u32> {
        let header = self.field.base.header(packet)?;
        let word = header.get(self.word..)?.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*word) >> self.shift & self.mask)
    }
}

impl Element for AggregateIp {
    #[inline]
    fn action(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        let Some(value) = self.value(&packet) else {
            cx.emit_or_drop(1, NO_FIELD, packet);
            return None;
        };
        let aggregate = &mut packet.anno_mut().aggregate;
        // A field of 32 bits is never incremental.
        let old = if self.incremental { *aggregate << (self.field.length % 32) } else { 0 };
        *aggregate = old.wrapping_add(value);
        Some(packet)
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "header" => Ok(self.field.base.to_string()),
            "bit_offset" => Ok(self.field.offset.to_string()),
            "bit_length" => Ok(self.field.length.to_string()),
            "field" => Ok(self.field.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    fn udp() -> Vec<u8> {
        let mut bytes = vec![0x45, 0xb9, 0, 32, 1, 2, 0, 0, 9, 17, 0, 0, 10, 0, 1, 9, 10, 0, 2, 9];
        bytes.extend([0, 53, 1, 0, 0, 12, 0, 0, b'd', b'a', b't', b'a']);
        bytes
    }

    fn aggregate(config: &str, bytes: &[u8]) -> Option<u32> {
        let text = format!("in :: TestIn -> MarkIPHeader -> AggregateIP({config}) -> out :: TestOut;");
        let mut bench = Bench::new(&text);
        let mut packet = Packet::from_slice(bytes);
        packet.anno_mut().aggregate = 1;
        bench.push_packets("in", 0, [packet]);
        bench.take_packets("out").first().map(|p| p.anno().aggregate)
    }

    #[test]
    fn the_same_field_can_be_asked_for_in_many_ways() {
        let ways =
            ["ip src/8", "ip src & 0xFF000000", "ip[12]", "\"ip[12, 1]\"", "\"ip{96, 8}\"", "ip{96-103}"];
        for way in ways {
            assert_eq!(aggregate(way, &udp()), Some(10), "{way}");
        }
        assert_eq!(aggregate("ip dscp", &udp()), Some(0xb9 >> 2));
        assert_eq!(aggregate("udp sport", &udp()), Some(53));
        assert_eq!(aggregate("dport", &udp()), Some(256));
        assert_eq!(aggregate("transp[4:2]", &udp()), Some(12));
        assert_eq!(aggregate("data[0-3]", &udp()), Some(u32::from_be_bytes(*b"data")));
        assert_eq!(aggregate("ip src/8, UNSHIFT_IP_ADDR true", &udp()), Some(0x0a00_0000));
        assert_eq!(aggregate("ip ttl, INCREMENTAL true", &udp()), Some(256 + 9));
    }

    #[test]
    fn packets_without_the_field_leave_by_output_1_or_are_dropped() {
        let mut bench = Bench::new(
            "in :: TestIn -> MarkIPHeader -> t :: Tee -> a :: AggregateIP(tcp sport) -> out :: TestOut;
             a[1] -> no :: TestOut; t[1] -> b :: AggregateIP(data[0:4]) -> Discard;",
        );
        bench.push("in", &udp());
        assert_eq!((bench.take("out").len(), bench.take("no").len()), (0, 1));
        assert_eq!(bench.drops("b", NO_FIELD), 0);
        bench.push("in", &udp()[..30]);
        assert_eq!(bench.drops("b", NO_FIELD), 1);
        let mut later = udp();
        later[7] = 9;
        assert_eq!(aggregate("udp sport", &later), None);
        assert_eq!(aggregate("ip id", &later), Some(0x0102));
    }

    #[test]
    fn handlers_say_what_the_field_is() {
        let mut bench = Bench::new("Idle -> a :: AggregateIP(tcp dport) -> Discard;");
        let answers = ["header", "bit_offset", "bit_length", "field"].map(|handler| bench.read("a", handler));
        assert_eq!(answers, ["tcp", "16", "16", "tcp dport"]);
    }

    #[test]
    fn fields_that_cannot_be_are_refused() {
        let error = |config: &str| Bench::error(&format!("Idle -> AggregateIP({config}) -> Discard;"));
        assert!(error("ip[2:4]").contains("field specification does not fit within a single word"));
        assert!(
            error("ip src, INCREMENTAL true").contains("'INCREMENTAL' is incompatible with field length 32")
        );
        assert!(
            error("ip nothing").contains("expected 'HEADER [NAME] [{OFFSET:LENGTH}] [/PREFIX] [& MASK]'")
        );
        assert!(error("ip tos/9").contains("bad prefix or mask in TCP/IP field"));
        assert!(error("ip tos garbage").contains("garbage after field specification"));
        assert!(error("ip tos & 5").contains("bad prefix or mask in TCP/IP field"));
        assert!(error("ip tos[1]").contains("bad offset or length in TCP/IP field"));
    }
}
