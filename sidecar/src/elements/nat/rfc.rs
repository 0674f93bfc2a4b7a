//! The requirements of RFC 4787, RFC 5382 and RFC 5508, by number.

use std::collections::BTreeSet;
use std::time::Duration;

use etherparse::{NetHeaders, PacketHeaders};

use super::tests::{INSIDE, NAPT, OUTSIDE, PUBLIC, error, only, ping, read, sent, tcp, udp, verified};
use crate::testing::Bench;

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
