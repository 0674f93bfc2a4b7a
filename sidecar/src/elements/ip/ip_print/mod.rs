//! IPPrint: describes IP packets in words, as tcpdump does.

use std::fmt::Write as _;

use crate::element::{
    Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
};
use crate::elements::basic::{Outfile, heading, parse_handler};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};
use crate::wire::{Ipv4, Tcp, ipv4, udp};

mod describe;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "IPPrint",
    summary: "pretty-prints IP packets",
    args: &[
        Arg::optional("LABEL", "string", "", "printed first"),
        Arg::keyword("CONTENTS", "NONE, HEX or ASCII", "NONE", "how the bytes of the packet are printed"),
        Arg::keyword("PAYLOAD", "NO, HEX or ASCII", "NO", "how the bytes behind the headers are printed"),
        Arg::keyword("MAXLENGTH", "integer", "1500", "most bytes printed; -1 for all"),
        Arg::keyword("NBYTES", "integer", "", "same as MAXLENGTH"),
        Arg::keyword("ID", "bool", "false", "print the identification"),
        Arg::keyword("TTL", "bool", "false", "print the time to live"),
        Arg::keyword("TOS", "bool", "false", "print the type of service"),
        Arg::keyword("LENGTH", "bool", "false", "print the length of the packet"),
        Arg::keyword("TIMESTAMP", "bool", "true", "print the time"),
        Arg::keyword("AGGREGATE", "bool", "false", "print the aggregate annotation"),
        Arg::keyword("PAINT", "bool", "false", "print the paint annotation"),
        Arg::keyword("SWAP", "bool", "true", "print identifier and number of pings in network order"),
        Outfile::ARG,
        Arg::keyword("CHANNEL", "word", "", "taken for Click's sake: there is one channel"),
        Arg::keyword("ACTIVE", "bool", "true", "whether packets are printed"),
    ],
    reads: Annotations::NETWORK_HEADER
        .union(Annotations::TIMESTAMP)
        .union(Annotations::PAINT)
        .union(Annotations::AGGREGATE),
    handlers: &[Handler::both("active", "whether packets are printed")],
    state: StateKind::Small,
    details: "A TCP segment is described as `flags first:last(length,bytes of the packet,IP length) ack N win N`, a \
              fragment by `(frag id:length@offset+)`, the plus sign for all but the last. Headers that the packet ends \
              in are `truncated`. Packets without an IP header annotation pass without a word.",
    example: r#"
        ip :: MarkIPHeader
            -> p :: IPPrint(in, TIMESTAMP false, TTL true, ID true)
            -> Paint(3)
            -> IPPrint(TIMESTAMP false, PAINT true, LENGTH true, PAYLOAD ASCII, MAXLENGTH 32)
            -> Discard;
        TimedSource(1, DATA "hello, world", LIMIT 3) -> UDPIPEncap(10.0.0.1, 5000, 10.0.0.2, 53) -> ip;
        TimedSource(1, DATA "ping", LIMIT 2) -> ICMPPingEncap(10.0.0.1, 10.0.0.2, IDENTIFIER 7) -> ip;
        InfiniteSource(DATA \<4500002c 00010000 4006 0000 0a000001 0a000002
            1234 0050 00000064 00000065 5012 1000 0000 0000 61626364>, LIMIT 1) -> ip;
        InfiniteSource(DATA \<4500001c 00022001 4011 0000 0a000001 0a000002 6162636465666768>, LIMIT 1) -> ip;
        DriverManager(wait 1.5s, write p.active false, wait 2s);
    "#,
    build,
    ..Descriptor::BASE
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contents {
    None,
    Hex,
    Ascii,
}

#[derive(Debug, Default)]
struct Fields {
    id: bool,
    ttl: bool,
    tos: bool,
    length: bool,
    timestamp: bool,
    paint: bool,
    aggregate: bool,
    /// Whether numbers of pings are turned from network order into that of this machine, as they should be.
    swap: bool,
}

struct IpPrint {
    label: String,
    contents: Contents,
    /// Whether `contents` are those behind the headers.
    payload: bool,
    most: usize,
    fields: Fields,
    outfile: Outfile,
    active: bool,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let format = |name: &str| args.text(name).map(str::to_ascii_uppercase).unwrap_or_default();
    let contents = match format("CONTENTS").as_str() {
        "" | "NONE" | "NO" | "FALSE" | "0" => Contents::None,
        "HEX" | "YES" | "TRUE" | "1" => Contents::Hex,
        "ASCII" => Contents::Ascii,
        bad => return Err(format!("bad contents value '{bad}'; should be 'NONE', 'HEX', or 'ASCII'").into()),
    };
    let payload = match format("PAYLOAD").as_str() {
        "" | "NO" | "FALSE" => Contents::None,
        "YES" | "TRUE" | "HEX" => Contents::Hex,
        "ASCII" => Contents::Ascii,
        bad => return Err(format!("bad payload value '{bad}'; should be 'false', 'hex', or 'ascii'").into()),
    };
    if contents != Contents::None && payload != Contents::None {
        return Err("specify at most one of PAYLOAD and CONTENTS".into());
    }
    let most: i64 = args.get("MAXLENGTH")?.map_or_else(|| args.or("NBYTES", 1500), Ok)?;
    Ok(Box::new(IpPrint {
        label: args.or("LABEL", String::new())?,
        contents: if payload == Contents::None { contents } else { payload },
        payload: payload != Contents::None,
        most: usize::try_from(most).unwrap_or(usize::MAX),
        fields: Fields {
            id: args.or("ID", false)?,
            ttl: args.or("TTL", false)?,
            tos: args.or("TOS", false)?,
            length: args.or("LENGTH", false)?,
            timestamp: args.or("TIMESTAMP", true)?,
            paint: args.or("PAINT", false)?,
            aggregate: args.or("AGGREGATE", false)?,
            swap: args.or("SWAP", true)?,
        },
        outfile: Outfile::new(args)?,
        active: args.or("ACTIVE", true)?,
    }))
}

impl IpPrint {
    /// What is printed of a packet; nothing of those without a network header.
    fn line(&self, packet: &Packet) -> Option<String> {
        packet.network_offset()?;
        let mut line = heading(&self.label, self.fields.timestamp, packet);
        let (anno, fields) = (packet.anno(), &self.fields);
        let _ = match (fields.aggregate, fields.paint) {
            (true, true) => write!(line, "#{}.{}: ", anno.aggregate, anno.paint),
            (true, false) => write!(line, "#{}: ", anno.aggregate),
            (false, true) => write!(line, "paint {}: ", anno.paint),
            (false, false) => Ok(()),
        };
        let bytes = packet.network();
        match Ipv4::parse(bytes) {
            None => line.push_str("truncated-ip"),
            Some((ip, _)) => {
                self.describe(&mut line, ip, bytes, packet.len());
                let shown = if self.payload { payload(ip, bytes) } else { packet.data() };
                describe::contents(&mut line, self.contents, &shown[..shown.len().min(self.most)]);
            }
        }
        Some(line)
    }

    fn describe(&self, line: &mut String, ip: &Ipv4, bytes: &[u8], length: usize) {
        let fields = &self.fields;
        let shown = [
            (fields.id, "id", ip.id.get()),
            (fields.ttl, "ttl", ip.ttl.into()),
            (fields.tos, "tos", ip.tos.into()),
            (fields.length, "length", ip.length.get()),
        ];
        for (_, name, value) in shown.into_iter().filter(|(wanted, ..)| *wanted) {
            let _ = write!(line, "{name} {value} ");
        }
        let transport = ipv4::payload(bytes).unwrap_or(&[]);
        match ip.protocol {
            ipv4::TCP => describe::tcp(line, ip, transport, length),
            ipv4::UDP => describe::udp(line, ip, transport),
            ipv4::ICMP => describe::icmp(line, ip, transport, fields.swap),
            protocol => {
                describe::addresses(line, ip);
                let _ = write!(line, ": ip-proto-{protocol}");
            }
        }
        if ip.is_fragment() {
            let fragment = ip.fragment.get();
            let more = if fragment & ipv4::MORE_FRAGMENTS != 0 { "+" } else { "" };
            let length = ip.total_length() as isize - ip.header_length() as isize;
            let offset = (fragment & ipv4::OFFSET_MASK) << 3;
            let _ = write!(line, " (frag {}:{length}@{offset}{more})", ip.id.get());
        }
    }
}

/// What is behind the headers of a packet.
fn payload<'p>(ip: &Ipv4, bytes: &'p [u8]) -> &'p [u8] {
    let transport = bytes.get(ip.header_length()..).unwrap_or(&[]);
    let header = match ip.protocol {
        _ if !ip.is_first_fragment() => 0,
        ipv4::TCP => Tcp::parse(transport).map_or(usize::MAX, |(header, _)| header.header_length()),
        ipv4::UDP => udp::HEADER_LENGTH,
        _ => 0,
    };
    transport.get(header..).unwrap_or(&[])
}

impl Element for IpPrint {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        self.outfile.open(cx)
    }

    fn action(&mut self, cx: &mut Cx<'_>, packet: Packet) -> Option<Packet> {
        if self.active
            && let Some(line) = self.line(&packet)
        {
            self.outfile.print(cx, &line);
        }
        Some(packet)
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "active" => Ok(self.active.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "active" => self.active = parse_handler(value)?,
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for IpPrint {
    fn schema(&self) -> Schema {
        Schema { name: "ip/print", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_bool(self.active);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.active = r.get_bool()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::Bench;

    fn printer(contents: Contents) -> IpPrint {
        IpPrint {
            label: "x".to_owned(),
            contents,
            payload: false,
            most: 1500,
            fields: Fields { id: true, ttl: true, tos: true, length: true, swap: true, ..Fields::default() },
            outfile: Outfile::default(),
            active: true,
        }
    }

    fn line(bytes: &[u8]) -> String {
        let mut packet = Packet::from_slice(bytes);
        packet.set_network_offset(Some(0));
        let printer = IpPrint {
            label: String::new(),
            fields: Fields { swap: true, ..Fields::default() },
            ..printer(Contents::None)
        };
        printer.line(&packet).unwrap()
    }

    fn packet(
        build: impl FnOnce(etherparse::PacketBuilderStep<etherparse::IpHeaders>, &mut Vec<u8>),
    ) -> Vec<u8> {
        let mut bytes = Vec::new();
        build(PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64), &mut bytes);
        bytes
    }

    #[test]
    fn packets_are_described_as_click_does() {
        let tcp = packet(|ip, out| ip.tcp(5, 80, 100, 200).syn().ack(7).write(out, b"ab").unwrap());
        assert_eq!(line(&tcp), "10.0.0.1.5 > 10.0.0.2.80: S 100:103(3,42,42) ack 7 win 200");
        let udp = packet(|ip, out| ip.udp(5, 53).write(out, b"abc").unwrap());
        assert_eq!(line(&udp), "10.0.0.1.5 > 10.0.0.2.53: udp 11");
        let icmp = packet(|ip, out| ip.icmpv4_echo_request(7, 8).write(out, b"").unwrap());
        assert_eq!(line(&icmp), "10.0.0.1 > 10.0.0.2: icmp echo (7, 8)");
        let mut other = icmp.clone();
        other[9] = 47;
        assert_eq!(line(&other), "10.0.0.1 > 10.0.0.2: ip-proto-47");
        for (kind, code, expected) in [
            (11, 1, "timeexceeded reassembly"),
            (13, 0, "timestamp"),
            (13, 4, "timestamp code 4"),
            (99, 2, "type 99 code 2"),
        ] {
            (other[9], other[20], other[21]) = (1, kind, code);
            assert_eq!(line(&other), format!("10.0.0.1 > 10.0.0.2: icmp {expected}"));
        }
        let mut printed = Packet::from_slice(&udp);
        printed.set_network_offset(Some(0));
        let all = printer(Contents::None).line(&printed).unwrap();
        assert!(all.starts_with("x: id 0 ttl 64 tos 0 length 31 10.0.0.1.5 > "), "{all}");
    }

    #[test]
    fn unreachables_say_what_could_not_be_reached() {
        let about = packet(|ip, out| ip.udp(5, 53).write(out, b"abc").unwrap());
        let mut bytes = packet(|ip, out| {
            ip.icmpv4_raw(3, 3, [0; 4]).write(out, &about).unwrap();
        });
        for (code, expected) in [
            (3, "port udp/53"),
            (2, "protocol udp"),
            (1, "host"),
            (4, "needfrag (mtu 1400)"),
            (77, "code 77"),
        ] {
            bytes[21] = code;
            (bytes[26], bytes[27]) = (5, 120);
            assert_eq!(line(&bytes), format!("10.0.0.1 > 10.0.0.2: icmp 10.0.0.2 unreachable {expected}"));
        }
        (bytes[3], bytes[21]) = (40, 1);
        assert_eq!(line(&bytes), "10.0.0.1 > 10.0.0.2: icmp unreachable host truncated-icmp");
    }

    #[test]
    fn fragments_and_truncated_headers_are_told() {
        let mut tcp = packet(|ip, out| ip.tcp(5, 80, 100, 200).write(out, b"").unwrap());
        for (length, expected) in [
            (23, "10.0.0.1 > 10.0.0.2: truncated-tcp"),
            (24, "10.0.0.1.5 > 10.0.0.2.80: truncated-tcp"),
            (34, "10.0.0.1.5 > 10.0.0.2.80: . 100:100(0,34,40)truncated-tcp"),
            (19, "truncated-ip"),
        ] {
            assert_eq!(line(&tcp[..length]), expected);
        }
        let mut udp = packet(|ip, out| ip.udp(5, 53).write(out, b"").unwrap());
        assert_eq!(line(&udp[..27]), "10.0.0.1.5 > 10.0.0.2.53: truncated-udp");
        (udp[6], udp[5]) = (0x20, 9);
        assert_eq!(line(&udp), "10.0.0.1.5 > 10.0.0.2.53: udp 8 (frag 9:8@0+)");
        (tcp[7], tcp[5]) = (2, 9);
        assert_eq!(line(&tcp), "10.0.0.1 > 10.0.0.2: tcp (frag 9:20@16)");
    }

    #[test]
    fn contents_are_printed_in_rows() {
        let bytes = packet(|ip, out| ip.udp(5, 53).write(out, b"abcdefghijklmnopqrstuvwxyz").unwrap());
        let mut packet = Packet::from_slice(&bytes);
        packet.set_network_offset(Some(0));
        let behind =
            |printer: &IpPrint| printer.line(&packet).unwrap().split_once('\n').unwrap().1.to_owned();
        let hex = behind(&printer(Contents::Hex));
        let first = hex.lines().next().unwrap();
        assert!(
            first.len() == 2 + 6 * 9 - 1 && first.starts_with("  45000036 ") && first.ends_with(" 00050035")
        );
        assert_eq!(hex.lines().count(), 3);
        let ascii = behind(&IpPrint { payload: true, ..printer(Contents::Ascii) });
        assert_eq!(ascii, "  abcdefgh ijklmnop qrstuvwx yz");
        let few = behind(&IpPrint { payload: true, most: 3, ..printer(Contents::Hex) });
        assert_eq!(few, "  616263");
    }

    #[test]
    fn lines_go_into_a_file_while_the_element_is_active() {
        let path = std::env::temp_dir().join(format!("ip-print-{}", std::process::id()));
        let mut bench = Bench::new(&format!(
            "in :: TestIn -> MarkIPHeader -> p :: IPPrint(TIMESTAMP false, OUTFILE \"{}\") -> Discard;",
            path.display()
        ));
        bench.push("in", &packet(|ip, out| ip.udp(5, 53).write(out, b"").unwrap()));
        bench.router.write_handler("p", "active", "false").unwrap();
        bench.push("in", &[0x45; 20]);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "10.0.0.1.5 > 10.0.0.2.53: udp 8\n");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn wrong_formats_are_refused() {
        for (config, expected) in [
            ("CONTENTS x", "bad contents value 'X'; should be 'NONE', 'HEX', or 'ASCII'"),
            ("PAYLOAD x", "bad payload value 'X'"),
            ("PAYLOAD HEX, CONTENTS HEX", "specify at most one of PAYLOAD and CONTENTS"),
            ("LENGTH 7", "LENGTH: expected boolean, got '7'"),
        ] {
            let error = Bench::error(&format!("Idle -> IPPrint({config}) -> Discard;"));
            assert!(error.contains(expected), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_printed(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut packet = Packet::from_slice(&bytes);
            packet.set_network_offset(Some(0));
            for contents in [Contents::None, Contents::Hex, Contents::Ascii] {
                printer(contents).line(&packet);
            }
        }
    }
}
