//! What a translator must do, packet by packet; checksums are judged by an independent reader.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use etherparse::{NetHeaders, PacketBuilder, PacketHeaders, TransportHeader};
use proptest::prelude::*;

use crate::element::Packet;
use crate::state::{Reader, Writer};
use crate::testing::Bench;

const INSIDE: [u8; 4] = [10, 0, 0, 5];
const OUTSIDE: [u8; 4] = [192, 0, 2, 7];
const PUBLIC: [u8; 4] = [203, 0, 113, 1];

const NAPT: &str =
    "in :: TestIn -> MarkIPHeader -> [0]rw :: IPRewriter(pattern 203.0.113.1 20000-20009 - - 0 1, drop);
    back :: TestIn -> MarkIPHeader -> [1]rw; rw[0] -> out :: TestOut; rw[1] -> home :: TestOut;";

pub(super) fn udp(from: ([u8; 4], u16), to: ([u8; 4], u16), payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ipv4(from.0, to.0, 64).udp(from.1, to.1).write(&mut bytes, payload).unwrap();
    bytes
}

pub(super) fn tcp(from: ([u8; 4], u16), to: ([u8; 4], u16), flags: &str, payload: &[u8]) -> Vec<u8> {
    let mut builder = PacketBuilder::ipv4(from.0, to.0, 64).tcp(from.1, to.1, 1000, 4096);
    for flag in flags.chars() {
        builder = match flag {
            'S' => builder.syn(),
            'A' => builder.ack(1),
            'F' => builder.fin(),
            _ => builder.rst(),
        };
    }
    let mut bytes = Vec::new();
    builder.write(&mut bytes, payload).unwrap();
    bytes
}

fn ping(from: [u8; 4], to: [u8; 4], id: u16, answer: bool) -> Vec<u8> {
    let builder = PacketBuilder::ipv4(from, to, 64);
    let mut bytes = Vec::new();
    if answer {
        builder.icmpv4_echo_reply(id, 1).write(&mut bytes, b"abc").unwrap();
    } else {
        builder.icmpv4_echo_request(id, 1).write(&mut bytes, b"abc").unwrap();
    }
    bytes
}

/// Source and destination of a packet whose checksums are all right.
pub(super) fn verified(bytes: &[u8]) -> (([u8; 4], u16), ([u8; 4], u16)) {
    let headers = PacketHeaders::from_ip_slice(bytes).unwrap();
    let Some(NetHeaders::Ipv4(ip, _)) = headers.net else { panic!("no IPv4 header") };
    assert_eq!(ip.header_checksum, ip.calc_header_checksum());
    let payload = headers.payload.slice();
    let (source, destination) = match headers.transport.unwrap() {
        TransportHeader::Udp(udp) => {
            if udp.checksum != 0 {
                assert_eq!(udp.checksum, udp.calc_checksum_ipv4(&ip, payload).unwrap());
            }
            (udp.source_port, udp.destination_port)
        }
        TransportHeader::Tcp(tcp) => {
            assert_eq!(tcp.checksum, tcp.calc_checksum_ipv4(&ip, payload).unwrap());
            (tcp.source_port, tcp.destination_port)
        }
        TransportHeader::Icmpv4(icmp) => {
            assert_eq!(icmp.checksum, icmp.icmp_type.calc_checksum(payload));
            let id = u16::from_be_bytes([bytes[24], bytes[25]]);
            (id, id)
        }
        other => panic!("unexpected {other:?}"),
    };
    ((ip.source, source), (ip.destination, destination))
}

pub(super) fn only(packets: Vec<Vec<u8>>) -> Vec<u8> {
    let [packet] = <[Vec<u8>; 1]>::try_from(packets).expect("one packet");
    packet
}

/// What one packet from inside becomes.
fn sent(bench: &mut Bench, packet: &[u8]) -> (([u8; 4], u16), ([u8; 4], u16)) {
    bench.push("in", packet);
    verified(&only(bench.take("out")))
}

/// A handler of `rw`, read at the bench's time.
fn read(bench: &mut Bench, handler: &str) -> String {
    bench.pass();
    bench.read("rw", handler)
}

#[test]
fn udp_and_tcp_go_out_translated_and_replies_come_home() {
    let mut bench = Bench::new(NAPT);
    for packet in
        [udp((INSIDE, 4000), (OUTSIDE, 53), b"question"), tcp((INSIDE, 4000), (OUTSIDE, 80), "S", b"")]
    {
        let (source, destination) = sent(&mut bench, &packet);
        assert_eq!(source.0, PUBLIC);
        assert!((20000..=20009).contains(&source.1));
        let is_udp = packet[9] == 17;
        let reply =
            if is_udp { udp(destination, source, b"answer") } else { tcp(destination, source, "SA", b"") };
        bench.push("back", &reply);
        assert_eq!(verified(&only(bench.take("home"))), (destination, (INSIDE, 4000)));
    }
    assert_eq!((read(&mut bench, "size").as_str(), bench.read("rw", "nmappings").as_str()), ("2", "4"));
    assert_eq!(bench.read("rw", "tcp_table").lines().count(), 2);
    assert!(bench.read("rw", "udp_table").contains("(10.0.0.5, 4000, 192.0.2.7, 53) => (203.0.113.1, 20"));
}

#[test]
fn the_destination_annotation_is_the_rewritten_destination() {
    let mut bench = Bench::new(NAPT);
    bench.push("in", &udp((INSIDE, 4000), (OUTSIDE, 53), b""));
    let out = bench.take_packets("out");
    assert_eq!(out[0].anno().dst_ip, Ipv4Addr::from(OUTSIDE));
    let (source, destination) = verified(out[0].data());
    bench.push("back", &udp(destination, source, b""));
    assert_eq!(bench.take_packets("home")[0].anno().dst_ip, Ipv4Addr::from(INSIDE));
}

#[test]
fn rfc4787_req1_rfc5382_req1_an_endpoint_keeps_its_port_to_all_destinations() {
    let mut bench = Bench::new(NAPT);
    let ports: BTreeSet<_> = (1..50)
        .map(|host| sent(&mut bench, &udp((INSIDE, 4000), ([192, 0, 2, host], 53), b"")).0.1)
        .collect();
    assert_eq!(ports.len(), 1);
    let ports: BTreeSet<_> = (1..50)
        .map(|host| sent(&mut bench, &tcp((INSIDE, 4000), ([192, 0, 2, host], 80), "S", b"")).0.1)
        .collect();
    assert_eq!(ports.len(), 1);
}

#[test]
fn rfc4787_req3_no_port_serves_two_endpoints_while_one_is_unused() {
    let mut bench = Bench::new(NAPT);
    let mut port = |host: u8| sent(&mut bench, &udp(([10, 0, 0, host], 4000), (OUTSIDE, 53), b"")).0.1;
    let ports: BTreeSet<_> = (1..=10).map(&mut port).collect();
    assert_eq!(ports.len(), 10);
    // All are used: one more endpoint gets none to this destination, but shares one to another.
    bench.push("in", &udp(([10, 0, 0, 11], 4000), (OUTSIDE, 53), b""));
    assert_eq!((bench.drops("rw", "no free port"), bench.read("rw", "mapping_failures").as_str()), (1, "1"));
    let shared = sent(&mut bench, &udp(([10, 0, 0, 11], 4000), (OUTSIDE, 54), b""));
    assert!(ports.contains(&shared.0.1));
}

#[test]
fn a_port_is_free_again_when_its_last_flow_has_gone() {
    let mut bench = Bench::new(NAPT);
    for round in 0..5 {
        let mut port =
            |host: u8| sent(&mut bench, &udp(([10, round, 0, host], 4000), (OUTSIDE, 53), b"")).0.1;
        assert_eq!((1..=10).map(&mut port).collect::<BTreeSet<_>>().len(), 10);
        bench.now += Duration::from_secs(302);
    }
}

#[test]
fn rfc4787_req2_basic_nat_gives_a_host_the_same_address_for_all_its_flows() {
    let mut bench = Bench::new(
        "in :: TestIn -> MarkIPHeader -> [0]rw :: IPRewriter(pattern 203.0.113.0/28 - - - 0 0) -> out :: TestOut;",
    );
    let mut address =
        |host: u8, port: u16| sent(&mut bench, &udp(([10, 0, 0, host], port), (OUTSIDE, 53), b"")).0.0;
    for host in 1..9 {
        let first = address(host, 1000);
        assert!((1..20).all(|port| address(host, port) == first));
    }
}

#[test]
fn rfc4787_req5_udp_mappings_live_five_minutes_and_req6_packets_refresh_them() {
    let mut bench = Bench::new(NAPT);
    let first = sent(&mut bench, &udp((INSIDE, 4000), (OUTSIDE, 53), b""));
    for _ in 0..3 {
        bench.now += Duration::from_secs(299);
        assert_eq!(sent(&mut bench, &udp((INSIDE, 4000), (OUTSIDE, 53), b"")), first);
    }
    bench.now += Duration::from_secs(299);
    bench.push("back", &udp(first.1, first.0, b""));
    assert_eq!(bench.take("home").len(), 1);
    bench.now += Duration::from_secs(299);
    assert_eq!(read(&mut bench, "size"), "1");
    bench.now += Duration::from_secs(2);
    assert_eq!(read(&mut bench, "size"), "0");
    bench.push("back", &udp(first.1, first.0, b""));
    assert_eq!(bench.drops("rw", "no mapping"), 1);
}

#[test]
fn rfc5382_req5_tcp_mappings_time_out_by_state() {
    let mut bench = Bench::new(NAPT);
    sent(&mut bench, &tcp((INSIDE, 4000), (OUTSIDE, 80), "S", b""));
    let size_after = |bench: &mut Bench, seconds: u64| {
        bench.now += Duration::from_secs(seconds);
        read(bench, "size")
    };
    assert_eq!((size_after(&mut bench, 299), size_after(&mut bench, 2)), ("1".into(), "0".into()));
    let (public, outside) = sent(&mut bench, &tcp((INSIDE, 4000), (OUTSIDE, 80), "S", b""));
    // Data both ways: a day.
    sent(&mut bench, &tcp((INSIDE, 4000), (OUTSIDE, 80), "A", b"data"));
    bench.push("back", &tcp(outside, public, "A", b"data"));
    assert_eq!(bench.take("home").len(), 1);
    assert_eq!(size_after(&mut bench, 86_000), "1");
    // Ended by both sides: four minutes.
    sent(&mut bench, &tcp((INSIDE, 4000), (OUTSIDE, 80), "FA", b""));
    bench.push("back", &tcp(outside, public, "FA", b""));
    assert_eq!(bench.read("rw", "tcp_done_mappings").lines().count(), 2);
    assert_eq!((size_after(&mut bench, 239), size_after(&mut bench, 2)), ("1".into(), "0".into()));
}

#[test]
fn rfc5382_req2_any_sequence_of_segments_passes_simultaneous_open_too() {
    let mut bench = Bench::new(NAPT);
    let (public, outside) = sent(&mut bench, &tcp((INSIDE, 4000), (OUTSIDE, 80), "S", b""));
    for flags in ["S", "SA", "A", "FA", "R", "S"] {
        bench.push("back", &tcp(outside, public, flags, b""));
        assert_eq!(verified(&only(bench.take("home"))).1, (INSIDE, 4000), "{flags}");
    }
}

#[test]
fn rfc4787_req8_strangers_do_not_reach_an_endpoint() {
    let mut bench = Bench::new(NAPT);
    let (public, _) = sent(&mut bench, &udp((INSIDE, 4000), (OUTSIDE, 53), b""));
    bench.push("back", &udp((OUTSIDE, 54), public, b""));
    bench.push("back", &udp(([192, 0, 2, 8], 53), public, b""));
    assert!(bench.take("home").is_empty());
    assert_eq!(bench.drops("rw", "no mapping"), 2);
}

#[test]
fn a_missing_udp_checksum_stays_missing() {
    let mut bench = Bench::new(NAPT);
    let mut packet = udp((INSIDE, 4000), (OUTSIDE, 53), b"x");
    (packet[26], packet[27]) = (0, 0);
    bench.push("in", &packet);
    let out = only(bench.take("out"));
    verified(&out);
    assert_eq!(out[26..28], [0, 0]);
}

#[test]
fn later_fragments_and_other_protocols_are_dropped_with_a_reason_or_passed() {
    let mut fragment = udp((INSIDE, 4000), (OUTSIDE, 53), b"12345678");
    fragment[7] = 3;
    let mut other = udp((INSIDE, 4000), (OUTSIDE, 53), b"12345678");
    other[9] = 47;
    let mut bench = Bench::new(NAPT);
    bench.push("in", &fragment);
    bench.push("in", &other);
    bench.push("in", &other[..24]);
    assert_eq!(bench.drops("rw", "later fragment"), 1);
    assert_eq!(bench.drops("rw", "not a packet of a rewritten protocol"), 2);
    let mut bench =
        Bench::new("in :: TestIn -> MarkIPHeader -> [0]rw :: IPRewriter(pass 0) -> out :: TestOut;");
    bench.push("in", &fragment);
    bench.push("in", &other);
    assert_eq!(bench.take("out"), [fragment, other]);
}

#[test]
fn keep_installs_a_mapping_that_changes_nothing() {
    let mut bench = Bench::new(
        "in :: TestIn -> MarkIPHeader -> [0]rw :: IPRewriter(keep 0 1, drop);
         back :: TestIn -> MarkIPHeader -> [1]rw; rw[0] -> out :: TestOut; rw[1] -> home :: TestOut;",
    );
    let packet = udp((INSIDE, 4000), (OUTSIDE, 53), b"");
    bench.push("in", &packet);
    assert_eq!(bench.take("out"), [packet]);
    let reply = udp((OUTSIDE, 53), (INSIDE, 4000), b"");
    bench.push("back", &reply);
    assert_eq!(bench.take("home"), [reply]);
}

#[test]
fn a_port_forward_rewrites_the_destination() {
    let mut bench = Bench::new(
        "in :: TestIn -> MarkIPHeader -> [0]rw :: IPRewriter(pattern - - 10.0.0.5 8080 0 1, drop);
         back :: TestIn -> MarkIPHeader -> [1]rw; rw[0] -> out :: TestOut; rw[1] -> home :: TestOut;",
    );
    let got = sent(&mut bench, &tcp((OUTSIDE, 999), (PUBLIC, 80), "S", b""));
    assert_eq!(got, ((OUTSIDE, 999), (INSIDE, 8080)));
    bench.push("back", &tcp((INSIDE, 8080), (OUTSIDE, 999), "SA", b""));
    assert_eq!(verified(&only(bench.take("home"))), ((PUBLIC, 80), (OUTSIDE, 999)));
}

#[test]
fn sequential_ports_are_given_one_after_the_other_and_the_capacity_is_kept() {
    let mut bench = Bench::new(
        "in :: TestIn -> MarkIPHeader -> [0]rw :: IPRewriter(pattern 203.0.113.1 5000-5999# - - 0 0, MAPPING_CAPACITY 4) -> out :: TestOut;",
    );
    let mut port = |host: u8| sent(&mut bench, &udp(([10, 0, 0, host], 4000), (OUTSIDE, 53), b"")).0.1;
    assert_eq!([port(1), port(2), port(3), port(1), port(4)], [5000, 5001, 5002, 5000, 5003]);
    bench.push("in", &udp(([10, 0, 0, 9], 4000), (OUTSIDE, 53), b""));
    assert_eq!(bench.drops("rw", "mapping capacity reached"), 1);
    bench.router.write_handler("rw", "capacity", "10").unwrap();
    assert_eq!(bench.read("rw", "capacity"), "10 1");
    sent(&mut bench, &udp(([10, 0, 0, 9], 4000), (OUTSIDE, 53), b""));
}

#[test]
fn the_own_port_is_kept_when_it_is_free() {
    let mut bench = Bench::new(NAPT);
    assert_eq!(sent(&mut bench, &udp((INSIDE, 20003), (OUTSIDE, 53), b"")).0, (PUBLIC, 20003));
    assert_ne!(sent(&mut bench, &udp(([10, 0, 0, 6], 20003), (OUTSIDE, 53), b"")).0, (PUBLIC, 20003));
}

#[test]
fn named_patterns_are_found_and_unknown_ones_refused() {
    let text = "IPRewriterPatterns(nat 203.0.113.1 7000-7009# - -);
        in :: TestIn -> MarkIPHeader -> [0]rw :: IPRewriter(pattern nat 0 0) -> out :: TestOut;";
    let mut bench = Bench::new(text);
    assert_eq!(sent(&mut bench, &udp((INSIDE, 1), (OUTSIDE, 53), b"")).0, (PUBLIC, 7000));
    assert!(Bench::error(&text.replace("pattern nat", "pattern other")).contains("no such pattern 'other'"));
}

#[test]
fn specifications_that_make_no_sense_are_refused_each_with_its_place() {
    let error = Bench::error(
        "in :: TestIn -> [0]rw :: IPRewriter(pattern 1.2.3 1-2 - - 0 0, keep 0 7) -> TestOut; b :: TestIn -> [1]rw;",
    );
    assert!(error.contains("input spec 0: bad source address"), "{error}");
    assert!(error.contains("input spec 1: output port out of range"), "{error}");
    let error = Bench::error("in :: TestIn -> [0]rw :: IPRewriter(drop, drop) -> TestOut;");
    assert!(error.contains("need 1 arguments"), "{error}");
}

const PINGS: &str = "in :: TestIn -> MarkIPHeader -> [0]rw :: ICMPPingRewriter(pattern 203.0.113.1 20000-20009 - - 0 1, drop);
    back :: TestIn -> MarkIPHeader -> [1]rw; rw[0] -> out :: TestOut; rw[1] -> home :: TestOut;";

#[test]
fn rfc5508_req1_pings_get_an_identifier_of_their_own_and_answers_come_home() {
    let mut bench = Bench::new(PINGS);
    let mut ids = BTreeSet::new();
    for host in 1..=5 {
        let (source, _) = sent(&mut bench, &ping([10, 0, 0, host], OUTSIDE, 77, false));
        ids.insert(source.1);
        bench.push("back", &ping(OUTSIDE, source.0, source.1, true));
        assert_eq!(verified(&only(bench.take("home"))).1, ([10, 0, 0, host], 77));
    }
    assert_eq!(ids.len(), 5);
    bench.push("in", &ping(INSIDE, OUTSIDE, 99, true));
    bench.push("back", &ping(OUTSIDE, PUBLIC, 99, false));
    assert_eq!(bench.drops("rw", "no mapping"), 2);
}

#[test]
fn rfc5508_req2_a_ping_lives_at_least_a_minute() {
    let mut bench = Bench::new(PINGS);
    sent(&mut bench, &ping(INSIDE, OUTSIDE, 77, false));
    bench.now += Duration::from_secs(60);
    assert_eq!(read(&mut bench, "size"), "1");
    bench.now += Duration::from_secs(300);
    assert_eq!(read(&mut bench, "size"), "0");
}

/// An ICMP error from `router` that quotes the first bytes of `about`.
fn error(router: [u8; 4], about: &[u8], kind: u8, quoted: usize) -> Vec<u8> {
    let destination = [about[12], about[13], about[14], about[15]];
    let mut bytes = Vec::new();
    let rest = &about[..about.len().min(quoted)];
    PacketBuilder::ipv4(router, destination, 64)
        .icmpv4_raw(kind, 4, [0, 0, 5, 120])
        .write(&mut bytes, rest)
        .unwrap();
    bytes
}

#[test]
fn rfc5508_req4_rfc5382_req9_errors_about_translated_packets_follow_their_flow() {
    let text = "in :: TestIn -> MarkIPHeader -> [0]rw :: IPRewriter(pattern 203.0.113.1 20000-20009 - - 0 0) -> out :: TestOut;
        pin :: TestIn -> MarkIPHeader -> [0]ping :: ICMPPingRewriter(pattern 203.0.113.1 20000-20009 - - 0 0) -> pout :: TestOut;
        errors :: TestIn -> MarkIPHeader -> icmp :: ICMPRewriter(rw ping) -> home :: TestOut; icmp[1] -> other :: TestOut;";
    let mut bench = Bench::new(text);
    let router = [198, 51, 100, 1];
    let originals = [
        udp((INSIDE, 4000), (OUTSIDE, 53), b"question"),
        tcp((INSIDE, 4000), (OUTSIDE, 80), "S", b""),
        ping(INSIDE, OUTSIDE, 77, false),
    ];
    for (original, quoted) in originals.iter().flat_map(|packet| [(packet, 28), (packet, 548)]) {
        let (enter, leave) = if original[9] == 1 { ("pin", "pout") } else { ("in", "out") };
        bench.push(enter, original);
        let translated = only(bench.take(leave));
        for from in [router, OUTSIDE] {
            bench.push("errors", &error(from, &translated, 3, quoted));
            let home = only(bench.take("home"));
            let headers = PacketHeaders::from_ip_slice(&home).unwrap();
            let Some(NetHeaders::Ipv4(ip, _)) = headers.net else { panic!("no IPv4 header") };
            assert_eq!((ip.source, ip.destination), (from, INSIDE));
            assert_eq!(ip.header_checksum, ip.calc_header_checksum());
            assert_eq!(crate::wire::checksum::of(&home[20..]), 0);
            // The quotation is the packet as the inside sent it, checksums included.
            assert_eq!(home[28..], original[..original.len().min(quoted)]);
        }
    }
    // RFC 4787, REQ-12: the error changed no mapping.
    assert_eq!(read(&mut bench, "size"), "2");
    let stranger = error(router, &udp((PUBLIC, 9), (OUTSIDE, 9), b""), 3, 28);
    bench.push("errors", &stranger);
    bench.push("errors", &ping(OUTSIDE, PUBLIC, 1, true));
    assert_eq!(bench.take("other").len(), 2);
    let mut damaged = error(router, &udp((PUBLIC, 9), (OUTSIDE, 9), b""), 3, 28);
    damaged[22] ^= 1;
    bench.push("errors", &damaged);
    assert_eq!(bench.take("other").len(), 1);
}

/// Copies all state of element `name` into another router.
fn copy_state(from: &mut Bench, to: &mut Bench, name: &str) {
    let (_, source) = from.router.elements_mut().find(|(known, _)| *known == name).unwrap();
    let source = source.stateful().unwrap();
    let mut small = Writer::new();
    source.save(&mut small);
    let mut runs = Writer::new();
    for table in source.tables() {
        for chunk in 0..table.chunks() {
            table.snapshot_chunk(chunk, &mut runs);
        }
    }
    let (_, target) = to.router.elements_mut().find(|(known, _)| *known == name).unwrap();
    let target = target.stateful().unwrap();
    target.restore(&mut Reader::new(small.as_bytes())).unwrap();
    let mut r = Reader::new(runs.as_bytes());
    for table in target.tables() {
        while !r.is_empty() {
            table.apply(&mut r).unwrap();
        }
    }
}

/// Lets the changes of element `name` since the last call take effect in another router too.
fn copy_changes(from: &mut Bench, to: &mut Bench, name: &str) {
    let mut w = Writer::new();
    let (_, source) = from.router.elements_mut().find(|(known, _)| *known == name).unwrap();
    source.stateful().unwrap().tables()[0].take_changes(&mut w);
    let (_, target) = to.router.elements_mut().find(|(known, _)| *known == name).unwrap();
    target.stateful().unwrap().tables()[0].apply(&mut Reader::new(w.as_bytes())).unwrap();
}

#[derive(Debug, Clone)]
struct Step {
    wait: u64,
    inbound: bool,
    host: u8,
    port: u16,
    peer: u8,
    kind: u8,
}

impl Step {
    fn packet(&self) -> Vec<u8> {
        let inside = ([10, 0, 0, self.host], 4000 + self.port);
        let outside = ([192, 0, 2, self.peer], 80);
        let (from, to) =
            if self.inbound { (outside, (PUBLIC, 20000 + self.port)) } else { (inside, outside) };
        match self.kind {
            0 => udp(from, to, b"x"),
            1 => tcp(from, to, "S", b""),
            2 => tcp(from, to, "A", b"data"),
            3 => tcp(from, to, "FA", b""),
            _ => tcp(from, to, "R", b""),
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let wait = prop_oneof![8 => Just(0u64), 3 => 1u64..400, 1 => 400u64..100_000];
    (wait, any::<bool>(), 1u8..5, 0u16..10, 1u8..4, 0u8..5)
        .prop_map(|(wait, inbound, host, port, peer, kind)| Step { wait, inbound, host, port, peer, kind })
}

fn run(bench: &mut Bench, step: &Step) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    bench.now += Duration::from_secs(step.wait);
    bench.push(if step.inbound { "back" } else { "in" }, &step.packet());
    (bench.take("out"), bench.take("home"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_run_that_moves_after_any_packet_gives_the_same_bytes(
        steps in prop::collection::vec(step(), 1..60), cut in 0usize..60,
    ) {
        let (mut stays, mut before, mut after) = (Bench::new(NAPT), Bench::new(NAPT), Bench::new(NAPT));
        let cut = cut.min(steps.len());
        for step in &steps[..cut] {
            prop_assert_eq!(run(&mut before, step), run(&mut stays, step));
        }
        copy_state(&mut before, &mut after, "rw");
        after.now = before.now;
        for step in &steps[cut..] {
            prop_assert_eq!(run(&mut after, step), run(&mut stays, step));
        }
        prop_assert_eq!(read(&mut after, "table"), read(&mut stays, "table"));
    }

    #[test]
    fn a_target_that_follows_the_log_continues_with_the_same_bytes(
        steps in prop::collection::vec(step(), 1..60), cut in 0usize..60,
    ) {
        let (mut stays, mut follows) = (Bench::new(NAPT), Bench::new(NAPT));
        let (_, element) = stays.router.elements_mut().find(|(name, _)| *name == "rw").unwrap();
        element.stateful().unwrap().tables()[0].set_tracking(true);
        let cut = cut.min(steps.len());
        for step in &steps[..cut] {
            run(&mut stays, step);
            copy_changes(&mut stays, &mut follows, "rw");
        }
        let mut small = Writer::new();
        let (_, element) = stays.router.elements_mut().find(|(name, _)| *name == "rw").unwrap();
        element.stateful().unwrap().save(&mut small);
        let (_, element) = follows.router.elements_mut().find(|(name, _)| *name == "rw").unwrap();
        element.stateful().unwrap().restore(&mut Reader::new(small.as_bytes())).unwrap();
        follows.now = stays.now;
        for step in &steps[cut..] {
            prop_assert_eq!(run(&mut stays, step), run(&mut follows, step));
        }
    }

    #[test]
    fn no_two_live_flows_ever_answer_to_the_same_packet(steps in prop::collection::vec(step(), 1..150)) {
        let mut bench = Bench::new(NAPT);
        for step in &steps {
            run(&mut bench, step);
        }
        let table = bench.read("rw", "table");
        for protocol in ["udp_table", "tcp_table"] {
            let table = bench.read("rw", protocol);
            let replies: Vec<_> = table.lines().filter(|l| l.contains(" *1]")).filter_map(|l| l.split(" => ").next()).collect();
            prop_assert_eq!(replies.iter().collect::<BTreeSet<_>>().len(), replies.len());
        }
        prop_assert_eq!(bench.read("rw", "nmappings").parse::<usize>().unwrap(), table.lines().count());
    }

    #[test]
    fn no_bytes_make_a_rewriter_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..80), header in prop::bool::weighted(0.8), port in 0usize..2,
    ) {
        let mut bytes = bytes;
        if header && bytes.len() > 10 {
            bytes[0] = 0x45 | bytes[0] & 0xf;
            bytes[9] = [1, 6, 17][usize::from(bytes[9]) % 3];
            (bytes[6], bytes[7]) = (0, 0);
        }
        let text = "in :: TestIn -> MarkIPHeader -> t :: Tee(3); back :: TestIn -> MarkIPHeader -> u :: Tee(2);
            t[0] -> [0]rw :: IPRewriter(pattern 1.1.1.1 1-9 - - 0 0, drop) -> d :: Discard; u[0] -> [1]rw;
            t[1] -> [0]p :: ICMPPingRewriter(pattern 1.1.1.1 1-9 - - 0 0, drop) -> d; u[1] -> [1]p;
            t[2] -> ICMPRewriter(rw p) -> d;";
        let mut bench = Bench::new(text);
        bench.push_packets(["in", "back"][port], 0, [Packet::from_slice(&bytes), Packet::from_slice(&bytes)]);
    }
}
