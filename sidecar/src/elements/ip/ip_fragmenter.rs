//! IPFragmenter: cuts IP packets that are larger than the MTU into fragments (RFC 791, section 3.2).

use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet,
    StateKind,
};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};
use crate::wire::Ipv4;
use crate::wire::ipv4::{DONT_FRAGMENT, MIN_HEADER_LENGTH, MORE_FRAGMENTS, OFFSET_MASK, set_checksum};

const TOO_BIG: &str = "too big and not to be fragmented";
const BAD_HEADER: &str = "bad IP header";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "IPFragmenter",
    summary: "fragments large IP packets",
    ports: "1/1-2",
    processing: "h/h",
    args: &[
        Arg::required("MTU", "unsigned", "the longest IP packet that may leave, in bytes"),
        Arg::optional("HONOR_DF", "bool", "true", "whether packets with DF leave by output 1"),
        Arg::optional("VERBOSE", "bool", "false", "print a message about each such packet, not just five"),
        Arg::keyword("HEADROOM", "unsigned", "66", "bytes before each fragment but the first"),
    ],
    reads: Annotations::NETWORK_HEADER,
    drops: &[TOO_BIG, BAD_HEADER],
    handlers: &[
        Handler::read("drops", "packets too big and not to be fragmented"),
        Handler::read("fragments", "fragments made"),
    ],
    state: StateKind::Small,
    details: "Packets of at most MTU bytes pass as they are. Larger ones are cut into fragments, sent in order, with all \
              annotations; what is in front of the IP header stays with the first. A packet that must not be cut (DF) \
              leaves by output 1, usually to an ICMPError(ADDR, unreachable, needfrag), or is dropped. With a HONOR_DF of \
              false such a packet is cut too, and gets a random identification.",
    example: r#"
        InfiniteSource(LENGTH 150, LIMIT 2) -> IPEncap(gre, 10.0.0.1, 10.0.0.2)
            -> f :: IPFragmenter(100)
            -> IPPrint(LENGTH true, TIMESTAMP false)
            -> IPReassembler
            -> IPPrint(whole, LENGTH true, TIMESTAMP false)
            -> Discard;
        InfiniteSource(LENGTH 150, LIMIT 1) -> IPEncap(gre, 10.0.0.3, 10.0.0.2, DF true) -> f;
        f[1] -> ICMPError(10.0.0.254, unreachable, needfrag, PMTU 100)
            -> IPPrint(error, TIMESTAMP false)
            -> Discard;
        DriverManager(wait 1s, print $(f.fragments), print $(f.drops));
    "#,
    build,
    ..Descriptor::BASE
};

struct IpFragmenter {
    mtu: usize,
    honor_df: bool,
    verbose: bool,
    headroom: usize,
    refused: u64,
    fragments: u64,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let mtu = args.need("MTU")?;
    if mtu < 8 {
        return Err("MTU must be at least 8".into());
    }
    Ok(Box::new(IpFragmenter {
        mtu,
        honor_df: args.or("HONOR_DF", true)?,
        verbose: args.or("VERBOSE", false)?,
        headroom: args.or("HEADROOM", crate::packet::HEADROOM)?,
        refused: 0,
        fragments: 0,
    }))
}

/// The header of fragments but the first: only options that say so are copied (RFC 791, "copied flag").
fn later_header(header: &[u8]) -> Vec<u8> {
    let (fixed, mut options) = header.split_at(MIN_HEADER_LENGTH.min(header.len()));
    let mut copy = fixed.to_vec();
    while let [kind, rest @ ..] = options {
        let length = match (kind, rest) {
            (0, _) => break,
            (1, _) => 1,
            (_, [length, ..]) => usize::from(*length).max(2),
            _ => break,
        };
        let Some(option) = options.get(..length) else { break };
        if kind & 0x80 != 0 {
            copy.extend_from_slice(option);
        }
        options = &options[length..];
    }
    while copy.len() % 4 != 0 {
        copy.push(0);
    }
    let length = copy.len();
    if let Some((ip, _)) = Ipv4::parse_mut(&mut copy) {
        ip.set_header_length(length);
    }
    copy
}

/// Why a packet leaves no fragments.
enum Refusal {
    /// It must not be cut, or cannot be cut small enough.
    TooBig,
    /// Its header makes no sense.
    BadHeader,
}

/// What all fragments of a packet share.
struct Whole<'p> {
    first_header: &'p [u8],
    later_header: Vec<u8>,
    payload: &'p [u8],
    id: u16,
    /// The fragment word of the first fragment.
    fragment: u16,
}

impl<'p> Whole<'p> {
    fn parse(bytes: &'p [u8]) -> Option<Self> {
        let (ip, _) = Ipv4::parse(bytes)?;
        let (header_length, length) = (ip.header_length(), ip.total_length().min(bytes.len()));
        let first_header = bytes.get(..header_length).filter(|header| header.len() >= MIN_HEADER_LENGTH)?;
        let payload = bytes.get(header_length..length)?;
        let (id, fragment) = (ip.id.get(), ip.fragment.get());
        Some(Self { first_header, later_header: later_header(first_header), payload, id, fragment })
    }

    /// How many bytes of the payload fit behind a header.
    fn room(mtu: usize, header: &[u8]) -> usize {
        mtu.saturating_sub(header.len()) & !7
    }

    /// Writes the header of the fragment whose payload is `length` bytes at `at`.
    fn set_header(&self, bytes: &mut [u8], header_length: usize, at: usize, length: usize) {
        let is_last = at + length == self.payload.len();
        if let Some((ip, _)) = Ipv4::parse_mut(bytes) {
            let more = if is_last { self.fragment & MORE_FRAGMENTS } else { MORE_FRAGMENTS };
            let start = (self.fragment & OFFSET_MASK) + (at / 8) as u16;
            let flags = self.fragment & !(OFFSET_MASK | MORE_FRAGMENTS | DONT_FRAGMENT);
            ip.length.set((header_length + length) as u16);
            ip.id.set(self.id);
            ip.fragment.set(flags | more | start & OFFSET_MASK);
        }
        set_checksum(bytes);
    }
}

impl IpFragmenter {
    /// Emits the fragments of a packet.
    fn fragment(&mut self, cx: &mut Cx<'_>, packet: &Packet) -> Result<(), Refusal> {
        let mut whole = Whole::parse(packet.network()).ok_or(Refusal::BadHeader)?;
        let first = Whole::room(self.mtu, whole.first_header);
        let dont = whole.fragment & DONT_FRAGMENT != 0;
        if dont && self.honor_df || first < 8 {
            return Err(Refusal::TooBig);
        }
        if dont {
            // Who sets DF need not choose identifications well (RFC 6864).
            whole.id = cx.random() as u16;
        }
        // A packet that is too long for its padding only makes one fragment.
        let first = first.min(whole.payload.len());
        self.emit_first(cx, packet, &whole, first);
        let mut at = first;
        while at < whole.payload.len() {
            let most = Whole::room(self.mtu, &whole.later_header);
            let piece = &whole.payload[at..whole.payload.len().min(at + most)];
            let header_length = whole.later_header.len();
            let mut fragment = Packet::stale(self.headroom, header_length + piece.len());
            let (head, body) = fragment.data_mut().split_at_mut(header_length);
            head.copy_from_slice(&whole.later_header);
            body.copy_from_slice(piece);
            whole.set_header(fragment.data_mut(), header_length, at, piece.len());
            *fragment.anno_mut() = *packet.anno();
            fragment.set_network_header(0, header_length);
            self.fragments += 1;
            cx.emit(0, fragment);
            at += piece.len();
        }
        Ok(())
    }

    /// The first fragment is what is left of the packet, with all that is in front of its IP header.
    fn emit_first(&mut self, cx: &mut Cx<'_>, packet: &Packet, whole: &Whole<'_>, length: usize) {
        let header_length = whole.first_header.len();
        let mut fragment = packet.clone();
        let behind = fragment.network().len().saturating_sub(header_length + length);
        fragment.trim_back(behind);
        whole.set_header(fragment.network_mut(), header_length, 0, length);
        self.fragments += 1;
        cx.emit(0, fragment);
    }

    #[cold]
    fn refuse(&mut self, cx: &mut Cx<'_>, packet: Packet) {
        if (self.verbose || self.refused < 5)
            && let Some((ip, _)) = Ipv4::parse(packet.network())
        {
            let (source, destination, mtu) = (ip.source_address(), ip.destination_address(), self.mtu);
            cx.message(format_args!("IPFragmenter({mtu}) DF {source} {destination} len={}", packet.len()));
        }
        self.refused += 1;
        cx.emit_or_drop(1, TOO_BIG, packet);
    }
}

impl Element for IpFragmenter {
    #[inline]
    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        if batch.iter().all(|packet| packet.network().len() <= self.mtu) {
            return;
        }
        for packet in batch.drain() {
            if packet.network().len() <= self.mtu {
                cx.emit(0, packet);
                continue;
            }
            match self.fragment(cx, &packet) {
                Ok(()) => {}
                Err(Refusal::TooBig) => self.refuse(cx, packet),
                Err(Refusal::BadHeader) => cx.drop(BAD_HEADER, packet),
            }
        }
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "drops" => Ok(self.refused.to_string()),
            "fragments" => Ok(self.fragments.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for IpFragmenter {
    fn schema(&self) -> Schema {
        Schema { name: "ip/fragmenter", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.refused);
        w.put_u64(self.fragments);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.refused = r.get_u64()?;
        self.fragments = r.get_u64()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::Bench;
    use crate::wire::ipv4::Verify;

    fn packet(options: &[u8], payload: &[u8], flags: u16) -> Vec<u8> {
        let length = (20 + options.len() + payload.len()) as u16;
        let mut bytes = vec![0x45 + (options.len() / 4) as u8, 0];
        bytes.extend(length.to_be_bytes());
        bytes.extend([1, 2]);
        bytes.extend(flags.to_be_bytes());
        bytes.extend([64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        bytes.extend(options);
        bytes.extend(payload);
        set_checksum(&mut bytes);
        bytes
    }

    #[test]
    fn packets_that_fit_pass_and_those_with_df_leave_by_output_1() {
        let mut bench = Bench::new(
            "in :: TestIn -> MarkIPHeader -> f :: IPFragmenter(100) -> out :: TestOut; f[1] -> big :: TestOut;",
        );
        let (fits, big) = (packet(&[], &[1; 80], DONT_FRAGMENT), packet(&[], &[1; 81], DONT_FRAGMENT));
        bench.push("in", &fits);
        bench.push("in", &big);
        assert_eq!((bench.take("out"), bench.take("big")), (vec![fits], vec![big]));
        assert_eq!(bench.read("f", "drops"), "1");
    }

    #[test]
    fn only_options_with_the_copied_flag_are_in_later_fragments() {
        let mut bench = Bench::new("in :: TestIn -> MarkIPHeader -> IPFragmenter(64) -> out :: TestOut;");
        bench.push("in", &packet(&[7, 3, 4, 1, 0x83, 3, 4, 0], &[5; 100], 0));
        let out = bench.take("out");
        assert_eq!(out[0][0], 0x47);
        assert_eq!((out[1][0], &out[1][20..24]), (0x46, &[0x83, 3, 4, 0][..]));
    }

    #[test]
    fn what_is_in_front_of_the_header_stays_with_the_first_fragment() {
        let mut bench = Bench::new(
            "in :: TestIn -> MarkIPHeader(2) -> Paint(7) -> f :: IPFragmenter(28) -> out :: TestOut; f[1] -> bad :: TestOut;",
        );
        bench.push("in", &[b"ab", &packet(&[], &[5; 20], 0)[..]].concat());
        let out = bench.take_packets("out");
        assert_eq!(
            out.iter().map(|p| (p.len(), p.anno().paint)).collect::<Vec<_>>(),
            [(30, 7), (28, 7), (24, 7)]
        );
        assert!(out[0].data().starts_with(b"ab") && out[1].data()[0] == 0x45);
        // No eight bytes fit behind its options.
        bench.push("in", &packet(&[1, 1, 1, 0], &[5; 20], 0));
        bench.push("in", &[b"ab", &packet(&[1, 1, 1, 0], &[5; 20], 0)[..]].concat());
        assert_eq!((bench.take("bad").len(), bench.read("f", "drops").as_str()), (1, "1"));
    }

    #[test]
    fn padding_is_cut_off() {
        let mut bench = Bench::new("in :: TestIn -> MarkIPHeader -> IPFragmenter(50) -> out :: TestOut;");
        let whole = packet(&[], &[1; 20], 0);
        bench.push("in", &[&whole[..], &[0; 30]].concat());
        assert_eq!(bench.take("out"), [whole]);
    }

    #[test]
    fn df_can_be_overridden() {
        let mut bench =
            Bench::new("in :: TestIn -> MarkIPHeader -> IPFragmenter(100, false) -> out :: TestOut;");
        bench.push("in", &packet(&[], &[1; 100], DONT_FRAGMENT));
        let out = bench.take("out");
        assert_eq!((out.len(), out[0][6] & 0x40, out[1][6] & 0x40), (2, 0, 0));
        assert_eq!(out[0][4..6], out[1][4..6]);
        let error = Bench::error("Idle -> IPFragmenter(7) -> Discard;");
        assert!(error.contains("MTU must be at least 8"), "{error}");
    }

    proptest! {
        #[test]
        fn fragments_fit_and_make_up_the_packet(
            payload in prop::collection::vec(any::<u8>(), 0..3000), mtu in 28usize..1500, flags in prop::sample::select(vec![0u16, 0x2000, 0x2010]),
        ) {
            let mut bench = Bench::new(&format!("in :: TestIn -> MarkIPHeader -> IPFragmenter({mtu}) -> out :: TestOut;"));
            let whole = packet(&[], &payload, flags);
            bench.push("in", &whole);
            let mut rebuilt = Vec::new();
            for fragment in bench.take("out") {
                prop_assert!(fragment.len() <= mtu);
                let ip = Ipv4::check(&fragment, Verify::Checksum).unwrap();
                prop_assert_eq!(ip.total_length(), fragment.len());
                prop_assert_eq!(usize::from((ip.fragment.get() & OFFSET_MASK) - (flags & OFFSET_MASK)) * 8, rebuilt.len());
                let last = rebuilt.len() + fragment.len() - 20 == payload.len();
                prop_assert_eq!(ip.fragment.get() & MORE_FRAGMENTS != 0, !last || flags & MORE_FRAGMENTS != 0);
                rebuilt.extend_from_slice(&fragment[20..]);
            }
            prop_assert_eq!(rebuilt, payload);
        }
    }
}
