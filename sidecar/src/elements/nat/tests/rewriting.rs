//! Rewriting in general: what goes out, what comes home, and what is refused.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::{INSIDE, NAPT, OUTSIDE, PUBLIC, only, ping, read, sent, tcp, udp, verified};
use crate::testing::Bench;

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
    assert_eq!((read(&mut bench, "size").as_str(), bench.read("rw", "nmappings").as_str()), ("2", "2"));
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
fn sequential_ports_are_given_one_after_the_other() {
    let mut bench = Bench::new(
        "in :: TestIn -> MarkIPHeader -> [0]rw :: IPRewriter(pattern 203.0.113.1 5000-5999# - - 0 0) -> out :: TestOut;",
    );
    let mut port = |host: u8| sent(&mut bench, &udp(([10, 0, 0, host], 4000), (OUTSIDE, 53), b"")).0.1;
    assert_eq!([port(1), port(2), port(3), port(1), port(4)], [5000, 5001, 5002, 5000, 5003]);
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

#[test]
fn tables_are_printed_as_click_prints_them() {
    let mut bench = Bench::new(&NAPT.replace("20000-20009", "20003"));
    bench.push("in", &udp((INSIDE, 4000), (OUTSIDE, 53), b""));
    assert_eq!(
        read(&mut bench, "udp_table"),
        "(10.0.0.5, 4000, 192.0.2.7, 53) => (203.0.113.1, 20003, 192.0.2.7, 53) [*0 1] i0 exp300\n\
         (192.0.2.7, 53, 203.0.113.1, 20003) => (192.0.2.7, 53, 10.0.0.5, 4000) [0 *1] i0 exp300\n"
    );
    assert_eq!(read(&mut bench, "patterns"), "203.0.113.1 20003 - - [1]\n<drop>\n");
    let mut pings = Bench::new(
        "in :: TestIn -> MarkIPHeader -> [0]rw :: ICMPPingRewriter(pattern 203.0.113.1 77 - - 0 0) -> Discard;",
    );
    pings.push("in", &ping(INSIDE, OUTSIDE, 5, false));
    assert_eq!(
        read(&mut pings, "table"),
        "(10.0.0.5, 192.0.2.7, 5) => (203.0.113.1, 192.0.2.7, 77) [*0 0] i0 exp300\n\
         (192.0.2.7, 203.0.113.1, 77) => (192.0.2.7, 10.0.0.5, 5) [0 *0] i0 exp300\n"
    );
}

#[test]
fn replies_are_painted_as_the_first_packet_was() {
    let mut bench = Bench::new(
        "in :: TestIn -> Paint(7) -> MarkIPHeader -> [0]rw :: IPRewriter(pattern 203.0.113.1 5 - - 0 1, drop, REPLY_ANNO PAINT);
         back :: TestIn -> Paint(1) -> MarkIPHeader -> [1]rw; rw[0] -> out :: TestOut; rw[1] -> home :: TestOut;",
    );
    bench.push("in", &udp((INSIDE, 4000), (OUTSIDE, 53), b""));
    bench.push("back", &udp((OUTSIDE, 53), (PUBLIC, 5), b""));
    assert_eq!(
        (bench.take_packets("out")[0].anno().paint, bench.take_packets("home")[0].anno().paint),
        (7, 7)
    );
    let error = Bench::error("TestIn -> IPRewriter(drop, REPLY_ANNO AGGREGATE) -> TestOut;");
    assert!(error.contains("REPLY_ANNO: expected PAINT"), "{error}");
}

#[test]
fn a_udp_rewriter_rewrites_tcp_too_and_keeps_it_as_it_keeps_datagrams() {
    let mut bench = Bench::new(
        "in :: TestIn -> MarkIPHeader -> [0]rw :: UDPRewriter(pattern 203.0.113.1 5 - - 0 0, UDP_TIMEOUT 20) -> out :: TestOut;",
    );
    assert_eq!(sent(&mut bench, &tcp((INSIDE, 4000), (OUTSIDE, 80), "S", b"")).0, (PUBLIC, 5));
    assert_eq!(sent(&mut bench, &tcp((INSIDE, 4000), (OUTSIDE, 80), "R", b"")).0, (PUBLIC, 5));
    bench.now += Duration::from_secs(19);
    assert_eq!(read(&mut bench, "size"), "1");
    bench.now += Duration::from_secs(2);
    assert_eq!(read(&mut bench, "size"), "0");
}
