//! IPReassembler: puts IP packets together from their fragments (RFC 791, section 3.2; RFC 815).
//!
//! Of a packet that is not whole yet, the payload is kept up to the last byte that came, with the pieces of it that
//! are there; bytes that come twice are the later ones, as in Click. What is kept is counted as Click counts it, and
//! bounded by HIMEM: the packet that was added to the longest ago goes first.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use crate::element::{
    Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
};
use crate::packet::{Anno, HEADROOM};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};
use crate::wire::Ipv4;
use crate::wire::ipv4::{self, MORE_FRAGMENTS, OFFSET_MASK, Verify};

const NO_HEADER: &str = "no IP header";
const BAD_FRAGMENT: &str = "bad fragment";
const BEYOND_END: &str = "fragment beyond the end of its packet";
const TOO_LONG: &str = "reassembled packet too long";
const TIMED_OUT: &str = "fragments timed out";
const NO_MEMORY: &str = "no memory for fragments";

/// Seconds without a further fragment after which a packet is given up.
const TIMEOUT: u64 = 30;
/// Seconds between two looks for such packets.
const REAP_INTERVAL: u64 = 10;
/// What a packet counts beside its payload.
const OVERHEAD: usize = 40;
const MAX_LENGTH: usize = 0xffff;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "IPReassembler",
    summary: "reassembles fragmented IP packets",
    ports: "1/1-2",
    processing: "a/ah",
    args: &[Arg::keyword("HIMEM", "unsigned", "262144", "most bytes of fragments that are kept")],
    reads: Annotations(Annotations::NETWORK_HEADER.0 | Annotations::TIMESTAMP.0),
    drops: &[NO_HEADER, BAD_FRAGMENT, BEYOND_END, TOO_LONG, TIMED_OUT, NO_MEMORY],
    handlers: &[Handler::read("dump", "counts, and the pieces that are kept")],
    state: StateKind::Small,
    details: "Packets that are no fragments pass. Of a packet that is not whole after 30 seconds without a further fragment, \
              what came leaves by output 1 as one packet, usually to an ICMPError(ADDR, timeexceeded, reassembly), or is \
              dropped. When more than HIMEM bytes are kept, the oldest go the same way until three quarters are left. \
              Bytes that come twice are the later ones. A whole packet has the headers and annotations of its first \
              fragment, and the time of the last one that came.",
    example: r#"
        TimedSource(1, DATA 0123456789, LIMIT 2) -> Resize(0, 150)
            -> IPEncap(gre, 10.0.0.1, 10.0.0.2)
            -> IPFragmenter(80)
            -> lossy :: IPClassifier(ip id 1 and ip[6:2] & 0x1fff == 7, -);
        lossy[0] -> IPPrint(lost, TIMESTAMP false) -> Discard;
        lossy[1] -> Queue -> RatedUnqueue(2)
            -> r :: IPReassembler
            -> IPPrint(whole, TIMESTAMP false, ID true, LENGTH true)
            -> Discard;
        r[1] -> IPPrint(incomplete, TIMESTAMP false, ID true, LENGTH true) -> Discard;
        late :: InfiniteSource(DATA \<4500001c 00092000 4011 0000 0a000003 0a000002 01020304 05060708>, LIMIT 1,
            ACTIVE false) -> MarkIPHeader -> r;
        DriverManager(wait 3.2s, print $(r.dump), wait 40s, write late.active true, wait 1s, print $(r.dump));
    "#,
    build,
    ..Descriptor::BASE
};

/// What the fragments of a packet have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    source: u32,
    destination: u32,
    id: u16,
    protocol: u8,
}

impl Key {
    fn of(ip: &Ipv4) -> Self {
        Self {
            source: ip.source.get(),
            destination: ip.destination.get(),
            id: ip.id.get(),
            protocol: ip.protocol,
        }
    }
}

/// A fragment whose lengths are right.
struct Fragment {
    key: Key,
    /// Where its payload starts and ends in the whole packet's.
    start: usize,
    end: usize,
    /// Whether there is more behind it.
    more: bool,
    header_length: usize,
}

impl Fragment {
    /// `None` if lengths and offset make no sense.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let ip = Ipv4::check(bytes, Verify::LengthsOnly).ok()?;
        let start = usize::from(ip.fragment.get() & OFFSET_MASK) * 8;
        let length = ip.total_length() - ip.header_length();
        let more = ip.fragment.get() & MORE_FRAGMENTS != 0;
        let end = start + length;
        let fine = length > 0 && end <= MAX_LENGTH && !(more && length % 8 != 0);
        fine.then(|| Self { key: Key::of(ip), start, end, more, header_length: ip.header_length() })
    }
}

/// A packet that is not whole yet.
struct Assembly {
    /// From the start of the packet to the end of its IP header: the first fragment's once that has come.
    head: Vec<u8>,
    /// Where the IP header is in `head`.
    network: usize,
    /// Where the MAC header is, relative to `head`.
    mac: Option<isize>,
    anno: Anno,
    /// The payload as far as is known; zeros where nothing came.
    data: Vec<u8>,
    /// The pieces of `data` that came: in order, apart from each other.
    pieces: Vec<(u16, u16)>,
    /// Whether the last fragment has not come.
    open: bool,
    /// Second in which the latest fragment came.
    touched: u64,
}

impl Assembly {
    fn new(packet: &Packet, fragment: &Fragment, now: u64) -> Self {
        let mut assembly = Self {
            head: Vec::new(),
            network: 0,
            mac: None,
            anno: *packet.anno(),
            data: Vec::new(),
            pieces: Vec::new(),
            open: true,
            touched: now,
        };
        let header = packet.network();
        assembly.head = header.get(..ipv4::MIN_HEADER_LENGTH).unwrap_or(header).to_vec();
        if let Some((ip, _)) = Ipv4::parse_mut(&mut assembly.head) {
            ip.set_header_length(ipv4::MIN_HEADER_LENGTH);
        }
        assembly.add(packet, fragment, now);
        assembly
    }

    fn memory(&self) -> usize {
        OVERHEAD + self.data.len()
    }

    /// Takes over the payload of a fragment, and all else of the first one.
    fn add(&mut self, packet: &Packet, fragment: &Fragment, now: u64) {
        let payload = ipv4::payload(packet.network()).unwrap_or(&[]);
        if self.data.len() < fragment.end {
            self.data.resize(fragment.end, 0);
        }
        if let Some(place) =
            self.data.get_mut(fragment.start..fragment.end).filter(|p| p.len() == payload.len())
        {
            place.copy_from_slice(payload);
            self.note(fragment.start as u16, fragment.end as u16);
        }
        if fragment.start == 0 {
            self.take_head(packet, fragment.header_length);
        }
        self.open &= fragment.more;
        self.touched = now;
    }

    /// The piece from `start` to `end` is there; pieces that it touches become one with it.
    fn note(&mut self, start: u16, end: u16) {
        let first = self.pieces.partition_point(|piece| piece.1 < start);
        let behind = self.pieces.partition_point(|piece| piece.0 <= end);
        let touched = &self.pieces[first..behind.max(first)];
        let start = touched.first().map_or(start, |piece| piece.0.min(start));
        let end = touched.last().map_or(end, |piece| piece.1.max(end));
        self.pieces.splice(first..behind.max(first), [(start, end)]);
    }

    fn take_head(&mut self, packet: &Packet, header_length: usize) {
        // What was stripped in front of the IP header does not come back.
        let network = packet.network_offset().and_then(|at| usize::try_from(at).ok()).unwrap_or(0);
        let before = packet.data().get(..network).unwrap_or(&[]);
        self.head.clear();
        self.head.extend_from_slice(before);
        self.head.extend_from_slice(packet.network().get(..header_length).unwrap_or(&[]));
        self.network = before.len();
        self.mac = packet.mac_offset().filter(|_| packet.network_offset() >= Some(0));
        self.anno = *packet.anno();
    }

    fn is_whole(&self) -> bool {
        !self.open && matches!(self.pieces[..], [(0, end)] if usize::from(end) == self.data.len())
    }

    /// The packet, as far as it came: length and checksum are right, "more fragments" tells whether the end is missing.
    fn to_packet(&self) -> Packet {
        let mut packet = Packet::stale(HEADROOM, self.head.len() + self.data.len());
        let (head, data) = packet.data_mut().split_at_mut(self.head.len());
        head.copy_from_slice(&self.head);
        data.copy_from_slice(&self.data);
        let header = packet.data_mut().get_mut(self.network..).unwrap_or_default();
        let header_length = self.head.len() - self.network;
        if let Some((ip, _)) = Ipv4::parse_mut(header) {
            let kept = ip.fragment.get() & !(OFFSET_MASK | MORE_FRAGMENTS);
            ip.fragment.set(if self.open { kept | MORE_FRAGMENTS } else { kept });
            ip.length.set(u16::try_from(header_length + self.data.len()).unwrap_or(u16::MAX));
        }
        ipv4::set_checksum(header);
        packet.set_network_header(self.network, header_length);
        packet.set_mac_offset(self.mac);
        *packet.anno_mut() = self.anno;
        packet
    }

    fn save(&self, w: &mut Writer) {
        self.to_packet().save(w);
        w.put_bool(self.open);
        w.put_u64(self.touched);
        w.put_u32(self.pieces.len() as u32);
        for (start, end) in &self.pieces {
            w.put_u16(*start);
            w.put_u16(*end);
        }
    }

    fn restore(r: &mut Reader<'_>) -> Result<(Key, Self), StateError> {
        let packet = Packet::restore(r)?;
        let invalid = |what, value: usize| StateError::Invalid { what, value: value as u64 };
        let network = packet.network_offset().and_then(|at| usize::try_from(at).ok());
        let network = network.ok_or(invalid("place of an IP header", 0))?;
        let ip = Ipv4::check(packet.network(), Verify::LengthsOnly);
        let ip = *ip.map_err(|_| invalid("IP header", packet.len()))?;
        let (head, data) = packet.data().split_at(network + ip.header_length());
        let mut assembly = Self {
            head: head.to_vec(),
            network,
            mac: packet.mac_offset(),
            anno: *packet.anno(),
            data: data.to_vec(),
            pieces: Vec::new(),
            open: r.get_bool()?,
            touched: r.get_u64()?,
        };
        let mut from = 0;
        for _ in 0..r.get_u32()? {
            let (start, end) = (r.get_u16()?, r.get_u16()?);
            if start < from || end <= start || usize::from(end) > data.len() {
                return Err(invalid("piece of a packet", usize::from(start)));
            }
            assembly.pieces.push((start, end));
            from = end;
        }
        Ok((Key::of(&ip), assembly))
    }
}

struct IpReassembler {
    assemblies: HashMap<Key, Assembly>,
    memory: usize,
    most_memory: usize,
    /// Second from which on packets that timed out are looked for.
    reap_at: u64,
    seen: u64,
    good: u64,
    failed: u64,
    bad: u64,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(IpReassembler::new(args.or::<u32>("HIMEM", 256 * 1024)? as usize)))
}

impl IpReassembler {
    fn new(most_memory: usize) -> Self {
        Self {
            assemblies: HashMap::new(),
            memory: 0,
            most_memory,
            reap_at: 0,
            seen: 0,
            good: 0,
            failed: 0,
            bad: 0,
        }
    }

    fn remove(&mut self, key: &Key) -> Option<Assembly> {
        let assembly = self.assemblies.remove(key)?;
        self.memory = self.memory.saturating_sub(assembly.memory());
        Some(assembly)
    }

    fn give_up(&mut self, cx: &mut Cx<'_>, key: &Key, reason: &'static str) {
        if let Some(assembly) = self.remove(key) {
            self.failed += 1;
            cx.emit_or_drop(1, reason, assembly.to_packet());
        }
    }

    /// Packets that are kept, with the second in which they were last added to, the oldest first.
    fn by_age(&self) -> Vec<(u64, Key)> {
        let mut all: Vec<_> = self.assemblies.iter().map(|(key, one)| (one.touched, *key)).collect();
        all.sort_unstable();
        all
    }

    fn reap_old(&mut self, cx: &mut Cx<'_>, now: u64) {
        for (touched, key) in self.by_age() {
            if touched.saturating_add(TIMEOUT) < now {
                self.give_up(cx, &key, TIMED_OUT);
            }
        }
        self.reap_at = now.saturating_add(REAP_INTERVAL);
    }

    /// Gives up the oldest packets until a quarter of the memory is free.
    #[cold]
    fn reap_overfull(&mut self, cx: &mut Cx<'_>) {
        for (_, key) in self.by_age() {
            if self.memory <= self.most_memory / 4 * 3 {
                return;
            }
            self.give_up(cx, &key, NO_MEMORY);
        }
    }

    /// Adds a fragment; the whole packet if it was the last one that was missing.
    fn add(
        &mut self,
        packet: &Packet,
        fragment: &Fragment,
        now: u64,
    ) -> Result<Option<Packet>, &'static str> {
        let Some(assembly) = self.assemblies.get_mut(&fragment.key) else {
            let assembly = Assembly::new(packet, fragment, now);
            self.memory += assembly.memory();
            self.assemblies.insert(fragment.key, assembly);
            return Ok(None);
        };
        if fragment.end > assembly.data.len() && !assembly.open {
            return Err(BEYOND_END);
        }
        let before = assembly.memory();
        assembly.add(packet, fragment, now);
        self.memory = self.memory.saturating_sub(before) + assembly.memory();
        if !assembly.is_whole() {
            return Ok(None);
        }
        let Some(whole) = self.remove(&fragment.key) else { return Ok(None) };
        if whole.head.len() - whole.network + whole.data.len() > MAX_LENGTH {
            self.failed += 1;
            return Err(TOO_LONG);
        }
        self.good += 1;
        let mut whole = whole.to_packet();
        whole.anno_mut().timestamp = packet.anno().timestamp;
        Ok(Some(whole))
    }

    fn fragment(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        self.seen += 1;
        if packet.anno().timestamp.seconds() == 0 {
            packet.anno_mut().timestamp = cx.now();
        }
        let now = packet.anno().timestamp.seconds();
        if now >= self.reap_at {
            self.reap_old(cx, now);
        }
        let Some(fragment) = Fragment::parse(packet.network()) else {
            self.bad += 1;
            cx.drop(BAD_FRAGMENT, packet);
            return None;
        };
        if self.memory > self.most_memory {
            self.reap_overfull(cx);
        }
        match self.add(&packet, &fragment, now) {
            Ok(whole) => whole,
            Err(reason) => {
                cx.drop(reason, packet);
                None
            }
        }
    }

    fn dump(&self) -> String {
        let mut text = format!(
            "frags seen total:    {}\ngood reassemblies:   {}\nfailed reassemblies: {}\n\
             bad fragments seen:  {}\ncached chunk data:\n",
            self.seen, self.good, self.failed, self.bad
        );
        let mut all: Vec<_> = self.assemblies.iter().collect();
        all.sort_unstable_by_key(|(key, _)| **key);
        for (key, assembly) in all {
            let port =
                |at: usize| assembly.data.get(at..at + 2).map_or(0, |p| u16::from_be_bytes([p[0], p[1]]));
            let (source, destination) = (Ipv4Addr::from(key.source), Ipv4Addr::from(key.destination));
            let _ = write!(text, " ({source}, {}, {destination}, {}) {}", port(0), port(2), key.id);
            for (start, end) in &assembly.pieces {
                let _ = write!(text, " ({start},{end})");
            }
            text.push('\n');
        }
        text
    }
}

impl Element for IpReassembler {
    #[inline]
    fn action(&mut self, cx: &mut Cx<'_>, packet: Packet) -> Option<Packet> {
        match Ipv4::parse(packet.network()).map(|(ip, _)| ip.is_fragment()) {
            Some(false) => Some(packet),
            Some(true) => self.fragment(cx, packet),
            None => {
                cx.drop(NO_HEADER, packet);
                None
            }
        }
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "dump" => Ok(self.dump()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for IpReassembler {
    fn schema(&self) -> Schema {
        Schema { name: "ip/reassembler", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        for count in [self.reap_at, self.seen, self.good, self.failed, self.bad] {
            w.put_u64(count);
        }
        w.put_u32(self.assemblies.len() as u32);
        for (_, key) in self.by_age() {
            if let Some(assembly) = self.assemblies.get(&key) {
                assembly.save(w);
            }
        }
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        let counts = [&mut self.reap_at, &mut self.seen, &mut self.good, &mut self.failed, &mut self.bad];
        for count in counts {
            *count = r.get_u64()?;
        }
        self.assemblies.clear();
        self.memory = 0;
        for _ in 0..r.get_u32()? {
            let (key, assembly) = Assembly::restore(r)?;
            self.remove(&key);
            self.memory += assembly.memory();
            self.assemblies.insert(key, assembly);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::element::Time;
    use crate::testing::Bench;
    use crate::wire::ipv4::set_checksum;

    const TEXT: &str =
        "in :: TestIn -> MarkIPHeader -> r :: IPReassembler -> out :: TestOut; r[1] -> old :: TestOut;";

    /// A packet or fragment of packet `id` whose payload starts at `start`.
    fn fragment(id: u8, start: usize, more: bool, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x45, 0];
        bytes.extend((20 + payload.len() as u16).to_be_bytes());
        bytes.extend([0, id]);
        let flags = if more { MORE_FRAGMENTS } else { 0 };
        bytes.extend((flags | (start / 8) as u16).to_be_bytes());
        bytes.extend([64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        bytes.extend(payload);
        set_checksum(&mut bytes);
        bytes
    }

    fn at(seconds: u64, bytes: &[u8]) -> [Packet; 1] {
        let mut packet = Packet::from_slice(bytes);
        packet.anno_mut().timestamp = Time::from_parts(seconds, 0);
        [packet]
    }

    fn payload(length: usize) -> Vec<u8> {
        (0..length).map(|n| n as u8).collect()
    }

    #[test]
    fn fragments_in_any_order_become_the_packet_and_others_pass() {
        let mut bench = Bench::new(TEXT);
        let all = payload(30);
        let pieces = [
            fragment(1, 0, true, &all[..8]),
            fragment(1, 8, true, &all[8..24]),
            fragment(1, 24, false, &all[24..]),
        ];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]] {
            for at in order {
                assert!(bench.take("out").is_empty());
                bench.push("in", &pieces[at]);
            }
            assert_eq!(bench.take("out"), [fragment(1, 0, false, &all)]);
        }
        let whole = fragment(2, 0, false, b"whole");
        bench.push("in", &whole);
        assert_eq!(bench.take("out"), [whole]);
        assert!(bench.read("r", "dump").starts_with("frags seen total:    12\ngood reassemblies:   4\n"));
    }

    #[test]
    fn the_whole_packet_has_the_first_fragment_s_headers_and_the_last_one_s_time() {
        let mut bench = Bench::new("in :: TestIn -> MarkIPHeader(2) -> IPReassembler -> out :: TestOut;");
        let first = [b"fi", &fragment(1, 0, true, &[1; 8])[..]].concat();
        let last = [b"la", &fragment(1, 8, false, &[2; 3])[..]].concat();
        bench.push_packets("in", 0, at(5, &last));
        let mut packets = at(3, &first);
        packets[0].anno_mut().paint = 7;
        bench.push_packets("in", 0, packets);
        let out = bench.take_packets("out");
        assert_eq!(&out[0].data()[..2], b"fi");
        assert_eq!(
            (out[0].anno().paint, out[0].anno().timestamp.seconds(), out[0].network_offset()),
            (7, 3, Some(2))
        );
    }

    #[test]
    fn bytes_that_come_twice_are_the_later_ones() {
        let mut bench = Bench::new(TEXT);
        bench.push("in", &fragment(1, 0, true, &[1; 16]));
        bench.push("in", &fragment(1, 8, true, &[2; 16]));
        bench.push("in", &fragment(1, 16, false, &[3; 12]));
        let expected = [[1; 8].as_slice(), &[2; 8], &[3; 12]].concat();
        assert_eq!(bench.take("out"), [fragment(1, 0, false, &expected)]);
    }

    #[test]
    fn malformed_fragments_are_dropped() {
        let mut bench = Bench::new(TEXT);
        bench.push("in", &fragment(1, 0, true, &[0; 7]));
        bench.push("in", &fragment(1, 0, true, &[]));
        bench.push("in", &fragment(1, 65_528, false, &[0; 8]));
        bench.push("in", &fragment(1, 8, false, &[0; 8])[..27]);
        assert_eq!(bench.drops("r", BAD_FRAGMENT), 4);
        bench.push("in", &[0x45; 10]);
        assert_eq!(bench.drops("r", NO_HEADER), 1);
        bench.push("in", &fragment(2, 8, false, &[0; 8]));
        bench.push("in", &fragment(2, 16, false, &[0; 8]));
        assert_eq!(bench.drops("r", BEYOND_END), 1);
        // RFC 791 allows 65535 bytes with the header.
        bench.push("in", &fragment(3, 32_768, false, &[0; 32_760]));
        bench.push("in", &fragment(3, 0, true, &[0; 32_768]));
        assert_eq!(bench.drops("r", TOO_LONG), 1);
    }

    #[test]
    fn after_thirty_seconds_what_came_leaves_by_output_1() {
        let mut bench = Bench::new(TEXT);
        bench.push_packets("in", 0, at(100, &fragment(1, 8, true, &[1; 8])));
        bench.push_packets("in", 0, at(130, &fragment(2, 0, true, &[2; 8])));
        assert!(bench.take("old").is_empty());
        bench.push_packets("in", 0, at(141, &fragment(3, 0, true, &[3; 8])));
        let old = bench.take("old");
        assert_eq!(old, [fragment(1, 0, true, &[[0; 8], [1; 8]].concat())]);
        assert_eq!(
            bench.read("r", "dump"),
            "frags seen total:    3\ngood reassemblies:   0\nfailed reassemblies: 1\nbad fragments seen:  0\n\
             cached chunk data:\n (10.0.0.1, 514, 10.0.0.2, 514) 2 (0,8)\n (10.0.0.1, 771, 10.0.0.2, 771) 3 (0,8)\n"
        );
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes_first() {
        let mut bench =
            Bench::new("in :: TestIn -> MarkIPHeader -> r :: IPReassembler(HIMEM 1000) -> out :: TestOut;");
        for id in 0..200 {
            bench.push_packets("in", 0, at(u64::from(id) + 1, &fragment(id, 0, true, &[id; 160])));
        }
        // 200 bytes a packet; more than 1000 are brought to 750 at most.
        assert!(bench.drops("r", NO_MEMORY) + bench.drops("r", TIMED_OUT) >= 194);
        bench.push_packets("in", 0, at(200, &fragment(199, 160, false, &[0])));
        assert_eq!(bench.take("out").len(), 1);
        let error = Bench::error("Idle -> IPReassembler(HIMEM -1) -> Discard;");
        assert!(error.contains("HIMEM: expected unsigned integer, got '-1'"), "{error}");
    }

    #[test]
    fn fragments_that_wait_move() {
        let (mut bench, mut moved) = (Bench::new(TEXT), Bench::new(TEXT));
        bench.push("in", &fragment(1, 0, true, &[1; 8]));
        bench.push("in", &fragment(1, 16, false, &[3; 4]));
        bench.move_to(&mut moved);
        assert_eq!(moved.read("r", "dump"), bench.read("r", "dump"));
        moved.push("in", &fragment(1, 8, true, &[2; 8]));
        let expected = [[1; 8].as_slice(), &[2; 8], &[3; 4]].concat();
        assert_eq!(moved.take("out"), [fragment(1, 0, false, &expected)]);
    }

    proptest! {
        #[test]
        fn fragments_of_any_shape_do_no_harm(
            shapes in prop::collection::vec((0u8..3, 0usize..40, any::<bool>(), 0usize..60, any::<u8>()), 0..60),
        ) {
            let mut bench = Bench::new(&TEXT.replace("Reassembler", "Reassembler(HIMEM 600)"));
            let mut w = Writer::new();
            for (id, start, more, length, first) in shapes {
                let mut bytes = fragment(id, start * 8, more, &vec![first; length]);
                if first > 250 {
                    bytes[0] = first;
                }
                bench.push("in", &bytes);
                for (_, element) in bench.router.elements_mut() {
                    if let Some(state) = element.stateful() {
                        w.clear();
                        state.save(&mut w);
                        state.restore(&mut Reader::new(w.as_bytes())).unwrap();
                    }
                }
            }
            for packet in bench.take("out") {
                if !packet.is_empty() && packet[0] == 0x45 {
                    prop_assert!(Ipv4::check(&packet, Verify::LengthsOnly).is_ok());
                }
            }
        }
    }
}
