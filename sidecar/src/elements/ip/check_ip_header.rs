//! CheckIPHeader: lets only packets with a good IP header through, and marks the header.

use std::net::Ipv4Addr;

use super::faults::{DETAILS, Faults, HANDLERS, VERBOSE};
use crate::config::{IpPrefix, split_words};
use crate::element::{
    Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, HandlerError, Packet, StateKind,
};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};
use crate::wire::Ipv4;
use crate::wire::ipv4::{Ipv4Fault, Verify};

const TOO_SHORT: &str = "tiny packet";
const VERSION: &str = "bad IP version";
const HEADER_LENGTH: &str = "bad IP header length";
const LENGTH: &str = "bad IP length";
const CHECKSUM: &str = "bad IP checksum";
const SOURCE: &str = "bad source address";
const REASONS: [&str; 6] = [TOO_SHORT, VERSION, HEADER_LENGTH, LENGTH, CHECKSUM, SOURCE];

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "CheckIPHeader",
    summary: "checks IP header",
    ports: "1/1-2",
    processing: "a/ah",
    args: &[
        Arg::optional("OFFSET", "unsigned", "0", "where the IP header starts"),
        Arg::rest("OLD", "unsigned", "the offset, where an older configuration has its bad sources first"),
        Arg::keyword(
            "INTERFACES",
            "IP prefixes",
            "",
            "own addresses; their networks' broadcast addresses are bad sources",
        ),
        Arg::keyword("BADSRC", "IP addresses", "", "sources that are bad"),
        Arg::keyword("GOODDST", "IP addresses", "", "destinations for which any source is good"),
        Arg::keyword("CHECKSUM", "bool", "true", "whether the checksum must be right"),
        VERBOSE,
        DETAILS,
    ],
    writes: Annotations(
        Annotations::NETWORK_HEADER.0 | Annotations::TRANSPORT_HEADER.0 | Annotations::DST_IP.0,
    ),
    drops: &REASONS,
    handlers: HANDLERS,
    state: StateKind::Small,
    details: "A good packet is cut to the length that its IP header says, which takes Ethernet padding off, and its header \
              annotations and destination annotation are set. Bad packets leave by output 1, or are dropped; a message \
              tells of the first. INTERFACES `18.26.4.9/24` is BADSRC `18.26.4.255 0.0.0.0 255.255.255.255` and \
              GOODDST `18.26.4.9`: no packet comes from a broadcast address (RFC 1812, 5.3.7). Older configurations say \
              `CheckIPHeader(18.26.4.255, 14)`: bad sources, to which 0.0.0.0 and 255.255.255.255 belong, and the \
              offset.",
    example: r#"
        c :: CheckIPHeader(INTERFACES 10.0.0.1/24, VERBOSE true)
            -> IPPrint(good, TIMESTAMP false)
            -> Discard;
        c[1] -> Print(bad, 12) -> Discard;
        InfiniteSource(LIMIT 2) -> UDPIPEncap(10.0.0.7, 5000, 10.0.1.9, 53) -> c;
        InfiniteSource(LIMIT 1) -> UDPIPEncap(10.0.0.255, 5000, 10.0.1.9, 53) -> c;
        InfiniteSource(DATA \<45000014 00000000 40110000 0a000007 0a000109>, LIMIT 2) -> c;
        InfiniteSource(DATA \<65000014 00000000 40110000 0a000007 0a000109>, LIMIT 1) -> c;
        DriverManager(wait 1s, print $(c.drops), print $(c.drop_details));
    "#,
    build,
    ..Descriptor::BASE
};

/// The same without a look at the checksum.
pub(super) static CHECK_IP_HEADER_2: Descriptor = Descriptor {
    class: "CheckIPHeader2",
    summary: "checks IP header, but not its checksum",
    ports: "1/1-2",
    processing: "a/ah",
    args: DESCRIPTOR.args,
    writes: DESCRIPTOR.writes,
    drops: &REASONS,
    handlers: HANDLERS,
    state: StateKind::Small,
    details: "As CheckIPHeader, but for CHECKSUM, which is false.",
    example: r#"
        c :: CheckIPHeader2(14)
            -> Print("wrong checksum, but good", 40)
            -> Discard;
        InfiniteSource(DATA \<020000000001 020000000002 0800
            45000014 00000000 4011abcd 0a000007 0a000109 ffffffff>, LIMIT 2) -> c;
        InfiniteSource(DATA \<020000000001 020000000002 0800 45>, LIMIT 3) -> c;
        DriverManager(wait 1s, print $(c.drop_details), print $(c.drop_reasons));
    "#,
    build: |args| build_with(args, false),
    ..Descriptor::BASE
};

struct CheckIpHeader {
    offset: usize,
    verify: Verify,
    bad_sources: AddressSet,
    good_destinations: AddressSet,
    faults: Faults,
}

/// A few addresses. Nearly all others are told from them by a bit.
struct AddressSet {
    addresses: Vec<u32>,
    /// Bit n: there is an address whose lowest six bits are n.
    endings: u64,
}

impl AddressSet {
    fn of(addresses: Vec<u32>) -> Self {
        let endings = addresses.iter().fold(0, |endings, address| endings | 1 << (address & 63));
        Self { addresses, endings }
    }

    #[inline]
    fn contains(&self, address: u32) -> bool {
        self.endings >> (address & 63) & 1 != 0 && self.addresses.contains(&address)
    }
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    build_with(args, args.or("CHECKSUM", true)?)
}

fn build_with(args: &Args<'_>, checksum: bool) -> Result<Box<dyn Element>, ConfigError> {
    let list = |name: &str| -> Result<Vec<u32>, ConfigError> {
        let words = split_words(args.text(name).unwrap_or(""));
        words.iter().map(|word| args.parse::<Ipv4Addr>(name, word).map(u32::from)).collect()
    };
    let (mut bad_sources, mut good_destinations) = (list("BADSRC")?, list("GOODDST")?);
    if let Some(interfaces) = args.text("INTERFACES") {
        for word in split_words(interfaces) {
            let prefix: IpPrefix = args.parse("INTERFACES", &word)?;
            good_destinations.push(prefix.address.into());
            bad_sources.push(u32::from(prefix.network()) | !u32::from(prefix.mask));
        }
        bad_sources.extend([0, u32::MAX]);
    }
    let old = old_arguments(args)?;
    if let Some((sources, _)) = &old {
        bad_sources.extend(sources);
        bad_sources.extend([0, u32::MAX]);
    }
    let verify = if checksum { Verify::Checksum } else { Verify::LengthsOnly };
    Ok(Box::new(CheckIpHeader {
        offset: match old {
            Some((_, offset)) => offset,
            None => args.or("OFFSET", 0)?,
        },
        verify,
        bad_sources: AddressSet::of(bad_sources),
        good_destinations: AddressSet::of(good_destinations),
        faults: Faults::new("IP", &REASONS, args)?,
    }))
}

/// Bad sources and offset, if that is what the positional arguments are: `BADSRC, OFFSET` as in older configurations.
fn old_arguments(args: &Args<'_>) -> Result<Option<(Vec<u32>, usize)>, ConfigError> {
    let Some(first) = args.text("OFFSET") else { return Ok(None) };
    let words = split_words(first);
    let sources: Result<Vec<u32>, _> =
        words.iter().map(|word| args.parse::<Ipv4Addr>("BADSRC", word).map(u32::from)).collect();
    match (sources, args.rest()) {
        (Ok(sources), []) => Ok(Some((sources, 0))),
        (Ok(sources), [offset]) => Ok(Some((sources, args.parse("OFFSET", offset)?))),
        (Err(_), []) => Ok(None),
        (Err(wrong), [_]) => Err(wrong),
        (_, [_, _, ..]) => Err("too many arguments".into()),
    }
}

impl CheckIpHeader {
    /// Checks the packet, marks its header and cuts off what follows the IP packet (Ethernet padding).
    #[inline]
    fn check(&self, packet: &mut Packet) -> Result<(), &'static str> {
        let bytes = packet.data().get(self.offset..).ok_or(TOO_SHORT)?;
        let ip = Ipv4::check(bytes, self.verify).map_err(|fault| match fault {
            Ipv4Fault::TooShort => TOO_SHORT,
            Ipv4Fault::Version => VERSION,
            Ipv4Fault::HeaderLength => HEADER_LENGTH,
            Ipv4Fault::Length => LENGTH,
            Ipv4Fault::Checksum => CHECKSUM,
        })?;
        let (source, destination) = (ip.source.get(), ip.destination.get());
        let (header_length, length) = (ip.header_length(), ip.total_length());
        // RFC 1812, 5.3.7 and 4.2.2.11: no packet comes from a broadcast address.
        if self.bad_sources.contains(source) && !self.good_destinations.contains(destination) {
            return Err(SOURCE);
        }
        packet.set_network_header(self.offset, header_length);
        packet.truncate(self.offset + length);
        packet.anno_mut().dst_ip = Ipv4Addr::from(destination);
        Ok(())
    }
}

impl Element for CheckIpHeader {
    #[inline]
    fn action(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        match self.check(&mut packet) {
            Ok(()) => Some(packet),
            Err(reason) => {
                self.faults.note(cx, reason, packet);
                None
            }
        }
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        self.faults.read(handler)
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for CheckIpHeader {
    fn schema(&self) -> Schema {
        Schema { name: "ip/check-header", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        self.faults.save(w);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.faults.restore(r)
    }
}

#[cfg(test)]
mod tests {
    use crate::element::{Packet, Time};
    use crate::engine::{Console, Env};
    use crate::testing::{Bench, build};
    use crate::wire::ipv4::set_checksum;

    fn packet() -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 1, 9, 10, 0, 2, 9];
        bytes.resize(28, 7);
        set_checksum(&mut bytes);
        bytes
    }

    #[test]
    fn a_good_packet_is_marked_and_its_padding_cut_off() {
        let mut bench = Bench::new("in :: TestIn -> CheckIPHeader -> out :: TestOut;");
        bench.push("in", &[packet(), vec![0; 18]].concat());
        let out = bench.take_packets("out");
        assert_eq!(out[0].data(), packet());
        assert_eq!((out[0].network_offset(), out[0].transport_offset()), (Some(0), Some(20)));
        assert_eq!(out[0].anno().dst_ip.octets(), [10, 0, 2, 9]);
    }

    #[test]
    fn bad_packets_are_counted_by_reason_or_leave_by_output_1() {
        let mut bench =
            Bench::new("in :: TestIn -> c :: CheckIPHeader(INTERFACES 10.0.1.1/24) -> out :: TestOut;");
        let change = |at: usize, to: u8| {
            let mut bytes = packet();
            bytes[at] = to;
            set_checksum(&mut bytes);
            bytes
        };
        let mut bad_sum = packet();
        bad_sum[8] = 3;
        for bad in [vec![0x45; 5], change(0, 0x65), change(0, 0x43), change(3, 200), bad_sum, change(15, 255)]
        {
            bench.push("in", &bad);
        }
        for reason in super::REASONS {
            assert_eq!(bench.drops("c", reason), 1, "{reason}");
        }
        assert_eq!(bench.read("c", "drops"), "6");
        assert!(bench.take("out").is_empty());
        let mut bench =
            Bench::new("in :: TestIn -> c :: CheckIPHeader -> out :: TestOut; c[1] -> bad :: TestOut;");
        bench.push("in", &[1, 2, 3]);
        assert_eq!(bench.take("bad"), [[1, 2, 3]]);
        assert_eq!((bench.read("c", "drops").as_str(), bench.drops("c", super::TOO_SHORT)), ("1", 0));
        assert!(bench.read("c", "drop_details").starts_with("1\ttiny packet\n0\tbad IP version\n"));
    }

    #[test]
    fn interfaces_say_which_sources_are_bad_and_where_any_is_good() {
        let mut bench = Bench::new(
            "in :: TestIn -> c :: CheckIPHeader(INTERFACES 10.0.1.1/24 10.0.2.1/30, CHECKSUM false) -> out :: TestOut;",
        );
        for (source, destination, good) in [
            ([10, 0, 1, 9], [10, 0, 2, 9], true),
            ([10, 0, 1, 0], [10, 0, 2, 9], true),
            ([10, 0, 1, 255], [10, 0, 2, 9], false),
            ([10, 0, 1, 255], [10, 0, 1, 1], true),
            ([10, 0, 2, 3], [10, 0, 2, 9], false),
            ([0, 0, 0, 0], [10, 0, 2, 9], false),
            ([255, 255, 255, 255], [10, 0, 2, 9], false),
        ] {
            let mut bytes = packet();
            bytes[12..16].copy_from_slice(&source);
            bytes[16..20].copy_from_slice(&destination);
            bench.push("in", &bytes);
            assert_eq!(bench.take("out").len(), usize::from(good), "{source:?}");
        }
    }

    #[test]
    fn older_configurations_have_their_bad_sources_and_the_offset_by_position() {
        for (config, offset) in [
            ("10.0.1.255 10.0.2.255", 0),
            ("10.0.1.255, 14", 14),
            ("10.0.1.255, CHECKSUM true", 0),
            ("14", 14),
        ] {
            let text = format!("in :: TestIn -> CheckIPHeader({config}) -> out :: TestOut;");
            let mut bench = Bench::new(&text);
            for (source, good) in
                [([10, 0, 1, 9], true), ([10, 0, 1, 255], config == "14"), ([0, 0, 0, 0], config == "14")]
            {
                let mut bytes = packet();
                bytes[12..16].copy_from_slice(&source);
                set_checksum(&mut bytes);
                bench.push("in", &[vec![0; offset], bytes].concat());
                assert_eq!(bench.take("out").len(), usize::from(good), "{config}: {source:?}");
            }
        }
        for (config, message) in [
            ("x", "OFFSET: expected unsigned integer, got 'x'"),
            ("10.0.1.255, x", "OFFSET: expected unsigned integer, got 'x'"),
            ("x, 14", "BADSRC: expected IP address, got 'x'"),
            ("10.0.1.255, 14, 15", "too many arguments"),
        ] {
            let error = Bench::error(&format!("Idle -> CheckIPHeader({config}) -> Discard;"));
            assert!(error.contains(message), "{config}: {error}");
        }
    }

    #[test]
    fn only_the_first_bad_packet_is_told_about_unless_all_are_wanted() {
        for (config, messages) in [("", 1), ("VERBOSE true", 3)] {
            let console = Console::kept();
            let mut env = Env { console: console.clone(), ..Env::default() };
            let text = format!("in :: TestIn -> c :: CheckIPHeader({config}) -> TestOut;");
            let mut router = build(&text, &mut env).unwrap();
            let source = router.find("in").unwrap();
            for _ in 0..3 {
                let mut batch = [Packet::from_slice(b"short")].into_iter().collect();
                router.push_into(source, 0, &mut batch, Time(0));
            }
            let told = String::from_utf8(console.take()).unwrap();
            assert_eq!(told, "c: IP header check failed: tiny packet\n".repeat(messages));
        }
    }

    #[test]
    fn wrong_addresses_are_refused() {
        let error = Bench::error("Idle -> CheckIPHeader(BADSRC 1.2.3, INTERFACES 1.2.3.4/40) -> Discard;");
        assert!(error.contains("BADSRC: expected IP address, got '1.2.3'"), "{error}");
    }
}
