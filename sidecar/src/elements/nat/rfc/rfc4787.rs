//! RFC 4787: UDP.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;

/// REQ-1: "A NAT MUST have an 'Endpoint-Independent Mapping' behavior."
#[test]
fn rfc4787_req_1_endpoint_independent_mapping() {
    let mut bench = Bench::new(NAPT);
    let mut port =
        |host: u8, port: u16| sent(&mut bench, &udp((INSIDE, 4000), ([192, 0, 2, host], port), b"")).0;
    let first = port(1, 53);
    assert!((1..50).all(|host| port(host, 53) == first && port(host, 1000) == first));
}

/// REQ-2: "It is RECOMMENDED that a NAT have an 'IP address pooling' behavior of 'Paired'."
#[test]
fn rfc4787_req_2_address_pooling_is_paired() {
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

/// REQ-3: "A NAT MUST NOT have a 'Port assignment' behavior of 'Port overloading'." Met while there are unused ports; then
/// Click's way is kept: a port serves several endpoints, but never two flows to one destination. A pattern with as
/// many ports as endpoints, or MAPPING_CAPACITY, rules that out.
#[test]
fn rfc4787_req_3_no_port_overloading() {
    let mut bench = Bench::new(NAPT);
    let mut port = |host: u8| sent(&mut bench, &udp(([10, 0, 0, host], 4000), (OUTSIDE, 53), b"")).0.1;
    let ports: BTreeSet<_> = (1..=10).map(&mut port).collect();
    assert_eq!(ports.len(), 10);
    bench.push("in", &udp(([10, 0, 0, 11], 4000), (OUTSIDE, 53), b""));
    assert_eq!((bench.drops("rw", "no free port"), bench.read("rw", "mapping_failures").as_str()), (1, "1"));
    let shared = sent(&mut bench, &udp(([10, 0, 0, 11], 4000), (OUTSIDE, 54), b""));
    assert!(ports.contains(&shared.0.1));
}

/// REQ-3a: "If the host's source port was in the range 0-1023, it is RECOMMENDED the NAT's source port be in the same
/// range. If the host's source port was in the range 1024-65535, it is RECOMMENDED that the NAT's source port be in that
/// range."
#[test]
fn rfc4787_req_3a_ports_stay_on_their_side_of_1024() {
    let mut bench = Bench::new(&NAPT.replace("20000-20009", "1-65535"));
    let mut port =
        |host: u8, port: u16| sent(&mut bench, &udp(([10, 0, 0, host], port), (OUTSIDE, 53), b"")).0.1;
    for host in 1..=100 {
        assert!(port(host, 500) < 1024, "host {host}");
        assert!(port(host, 5000) >= 1024, "host {host}");
    }
}

/// REQ-4: "It is RECOMMENDED that a NAT have a 'Port parity preservation' behavior of 'Yes'."
#[test]
fn rfc4787_req_4_port_parity_is_preserved() {
    let mut bench = Bench::new(NAPT);
    let mut port =
        |host: u8, port: u16| sent(&mut bench, &udp(([10, 0, 0, host], port), (OUTSIDE, 53), b"")).0.1;
    for host in 1..=5 {
        assert_eq!((port(host, 5004) % 2, port(host, 5005) % 2), (0, 1), "host {host}");
    }
}

/// REQ-5: "A NAT UDP mapping timer MUST NOT expire in less than two minutes"; b: it may be configurable; c: "A default
/// value of five minutes or more for the NAT UDP mapping timer is RECOMMENDED."
#[test]
fn rfc4787_req_5_mappings_live_five_minutes_or_as_configured() {
    for (text, seconds) in [(NAPT.to_owned(), 300), (NAPT.replace(", drop", ", drop, UDP_TIMEOUT 130"), 130)]
    {
        let mut bench = Bench::new(&text);
        sent(&mut bench, &udp((INSIDE, 4000), (OUTSIDE, 53), b""));
        bench.now += Duration::from_secs(seconds - 1);
        assert_eq!(read(&mut bench, "size"), "1");
        bench.now += Duration::from_secs(2);
        assert_eq!(read(&mut bench, "size"), "0");
    }
}

/// REQ-6: "The NAT mapping Refresh Direction MUST have a 'NAT Outbound refresh behavior' of 'True'"; a: inbound packets
/// may refresh, too.
#[test]
fn rfc4787_req_6_packets_of_both_directions_refresh() {
    let mut bench = Bench::new(NAPT);
    let (public, outside) = sent(&mut bench, &udp((INSIDE, 4000), (OUTSIDE, 53), b""));
    for round in 0..6 {
        bench.now += Duration::from_secs(299);
        if round % 2 == 0 {
            assert_eq!(sent(&mut bench, &udp((INSIDE, 4000), (OUTSIDE, 53), b"")), (public, outside));
        } else {
            assert_eq!(received(&mut bench, &udp(outside, public, b"")).1, (INSIDE, 4000));
        }
    }
}

/// REQ-7: a translator must be able "to translate and forward traffic between all internal nodes and all external nodes whose IP
/// addresses numerically conflict with the internal network". The mapping says where a packet goes, no route does.
#[test]
fn rfc4787_req_7_inside_and_outside_may_use_the_same_addresses() {
    let mut bench = Bench::new(NAPT);
    let (public, outside) = sent(&mut bench, &udp((INSIDE, 4000), (INSIDE, 53), b""));
    assert_eq!(outside, (INSIDE, 53));
    assert_eq!(received(&mut bench, &udp(outside, public, b"")), ((INSIDE, 53), (INSIDE, 4000)));
}

/// REQ-8: endpoint-independent filtering where transparency matters most, else address-dependent; a: "The filtering behavior MAY be
/// an option configurable by the administrator". An input `drop` lets in answers only, `endpoint` lets in everybody.
#[test]
fn rfc4787_req_8_filtering_is_configurable() {
    let strangers = [(OUTSIDE, 54), ([192, 0, 2, 8], 53)];
    let mut strict = Bench::new(NAPT);
    let (public, _) = sent(&mut strict, &udp((INSIDE, 4000), (OUTSIDE, 53), b""));
    for stranger in strangers {
        strict.push("back", &udp(stranger, public, b""));
    }
    assert!(strict.take("home").is_empty());
    assert_eq!(strict.drops("rw", "no mapping"), 2);
    let mut open = Bench::new(&NAPT.replace("drop", "endpoint 1 0"));
    let (public, _) = sent(&mut open, &udp((INSIDE, 4000), (OUTSIDE, 53), b""));
    for stranger in strangers {
        assert_eq!(received(&mut open, &udp(stranger, public, b"")), (stranger, (INSIDE, 4000)));
        assert_eq!(sent(&mut open, &udp((INSIDE, 4000), stranger, b"")), (public, stranger));
    }
    open.push("back", &udp((OUTSIDE, 53), (PUBLIC, public.1 ^ 1), b""));
    open.push("back", &tcp((OUTSIDE, 53), public, "S", b""));
    assert_eq!(open.drops("rw", "no mapping"), 2, "nobody holds these");
}

/// A stranger's packet never ends a flow of the endpoint it is for, and an open port is closed with its last flow.
#[test]
fn rfc4787_req_8_strangers_change_nothing() {
    let mut bench = Bench::new(&NAPT.replace("drop", "endpoint 1 0"));
    let first = sent(&mut bench, &udp((INSIDE, 4000), (OUTSIDE, 53), b""));
    assert_eq!(received(&mut bench, &udp((OUTSIDE, 99), first.0, b"")).1, (INSIDE, 4000));
    assert_eq!(sent(&mut bench, &udp((INSIDE, 4000), (OUTSIDE, 53), b"")), first);
    assert_eq!(sent(&mut bench, &udp((NEIGHBOUR, 4000), (OUTSIDE, 99), b"")).0.1 % 2, 0);
    bench.now += Duration::from_secs(302);
    bench.push("back", &udp((OUTSIDE, 98), first.0, b""));
    assert_eq!(bench.drops("rw", "no mapping"), 1);
}

/// REQ-9: "A NAT MUST support 'Hairpinning'"; a: "A NAT Hairpinning behavior MUST be 'External source IP address and port'."
/// The configuration sends what is for its own outside address back in.
#[test]
fn rfc4787_req_9_hairpinning_shows_the_external_source() {
    let mut bench = hairpin("endpoint 1 0");
    let (a, _) = sent(&mut bench, &udp((INSIDE, 4000), (OUTSIDE, 53), b""));
    let (b, to) = returned(&mut bench, &udp((NEIGHBOUR, 5000), a, b""));
    assert_eq!((b.0, to), (PUBLIC, (INSIDE, 4000)));
    assert_eq!(returned(&mut bench, &udp((INSIDE, 4000), b, b"")), (a, (NEIGHBOUR, 5000)));
}

/// The same without letting strangers in, when both sides send (as applications do that make holes).
#[test]
fn rfc4787_req_9_hairpinning_with_strict_filtering() {
    let mut bench = hairpin("drop");
    let (a, _) = sent(&mut bench, &udp((INSIDE, 4000), (OUTSIDE, 53), b""));
    let (b, _) = sent(&mut bench, &udp((NEIGHBOUR, 5000), (OUTSIDE, 53), b""));
    bench.push("in", &udp((NEIGHBOUR, 5000), a, b""));
    assert_eq!(bench.drops("rw", "no mapping"), 1);
    assert_eq!(returned(&mut bench, &udp((INSIDE, 4000), b, b"")), (a, (NEIGHBOUR, 5000)));
    assert_eq!(returned(&mut bench, &udp((NEIGHBOUR, 5000), a, b"")), (b, (INSIDE, 4000)));
}

/// REQ-10: "NAT ALGs for UDP-based protocols SHOULD be turned off." There are none.
#[test]
fn rfc4787_req_10_payloads_stay_as_they_are() {
    let mut bench = Bench::new(NAPT);
    let payload = b"c=IN IP4 10.0.0.5\r\nm=audio 4000 RTP/AVP 0\r\n";
    bench.push("in", &udp((INSIDE, 4000), (OUTSIDE, 5060), payload));
    assert_eq!(only(bench.take("out"))[28..], payload[..]);
}

/// REQ-11: "A NAT MUST have deterministic behavior, i.e., it MUST NOT change the NAT translation or the Filtering Behavior at
/// any point in time, or under any particular conditions." Nor does a conflict of two endpoints change it.
#[test]
fn rfc4787_req_11_a_conflict_changes_no_behaviour() {
    let mut bench = Bench::new(NAPT);
    let preserved = sent(&mut bench, &udp((INSIDE, 20003), (OUTSIDE, 53), b"")).0;
    let displaced = sent(&mut bench, &udp((NEIGHBOUR, 20003), (OUTSIDE, 53), b"")).0;
    assert_eq!(preserved, (PUBLIC, 20003));
    for host in 1..30 {
        let elsewhere = ([192, 0, 2, host], 1000);
        assert_eq!(sent(&mut bench, &udp((INSIDE, 20003), elsewhere, b"")).0, preserved);
        assert_eq!(sent(&mut bench, &udp((NEIGHBOUR, 20003), elsewhere, b"")).0, displaced);
        bench.push("back", &udp(([198, 51, 100, 1], 1000), displaced, b""));
    }
    assert_eq!(bench.drops("rw", "no mapping"), 29);
}

/// REQ-12: "Receipt of any sort of ICMP message MUST NOT terminate the NAT mapping"; a: errors are not filtered by source;
/// b: Destination Unreachable is supported.
#[test]
fn rfc4787_req_12_errors_are_sent_on_and_end_nothing() {
    let mut bench = Bench::new(ERRORS);
    let original = udp((INSIDE, 4000), (OUTSIDE, 53), b"question");
    bench.push("in", &original);
    let translated = only(bench.take("out"));
    for router in [[198, 51, 100, 1], [198, 51, 100, 2], OUTSIDE] {
        for kind in [3, 4, 11, 12] {
            let (from, to, quote) = sent_on(&mut bench, &error(router, &translated, kind, 548));
            assert_eq!((from, to, quote), (router, INSIDE, original.clone()));
        }
    }
    bench.push("in", &original);
    assert_eq!(only(bench.take("out")), translated);
}

const MTU: &str =
    "in :: TestIn -> MarkIPHeader -> [0]rw :: IPRewriter(pattern 203.0.113.1 20000-20009 - - 0 0) -> cut :: IPFragmenter(600) -> out :: TestOut;
    cut[1] -> ICMPError(203.0.113.254, unreachable, needfrag, PMTU 600) -> ICMPRewriter(rw) -> told :: TestOut;";

/// REQ-13: "If the packet received on an internal IP address has DF=1, the NAT MUST send back an ICMP message 'Fragmentation needed and
/// DF set' to the host"; a: "If the packet has DF=0, the NAT MUST fragment the packet and SHOULD send the fragments in
/// order." By an IPFragmenter, an ICMPError and an ICMPRewriter behind the rewriter.
#[test]
fn rfc4787_req_13_too_long_packets_are_cut_or_reported_to_the_host() {
    let mut bench = Bench::new(MTU);
    let mut packet = udp((INSIDE, 4000), (OUTSIDE, 53), &[7; 1000]);
    packet[6] |= 0x40;
    crate::wire::ipv4::set_checksum(&mut packet);
    bench.push("in", &packet);
    let told = only(bench.take("told"));
    assert_eq!((&told[16..20], told[20], told[21]), (&INSIDE[..], 3, 4));
    assert_eq!(u16::from_be_bytes([told[26], told[27]]), 600);
    assert_eq!(told[28..56], packet[..28], "it quotes what the host sent");
    packet[6] &= !0x40;
    crate::wire::ipv4::set_checksum(&mut packet);
    bench.push("in", &packet);
    let offsets: Vec<_> =
        bench.take("out").iter().map(|p| u16::from_be_bytes([p[6], p[7]]) & 0x1fff).collect();
    assert_eq!(offsets, [0, 72]);
}

const REASSEMBLES: &str =
    "in :: TestIn -> MarkIPHeader -> IPReassembler -> [0]rw :: IPRewriter(pattern 203.0.113.1 20000-20009 - - 0 1, drop);
    back :: TestIn -> MarkIPHeader -> IPReassembler -> [1]rw; rw[0] -> out :: TestOut; rw[1] -> home :: TestOut;
    whole :: TestIn -> MarkIPHeader -> IPFragmenter(100, HONOR_DF false) -> pieces :: TestOut;";

/// REQ-14: "A NAT MUST support receiving in-order and out-of-order fragments"; a: in a way that fragments cannot exhaust it. By
/// an IPReassembler before each input, whose memory HIMEM bounds. Without one, IPRewriter drops later fragments, or
/// passes them where the input says `pass`, as Click's does; IPAddrRewriter translates them.
#[test]
fn rfc4787_req_14_fragments_in_any_order() {
    let mut bench = Bench::new(REASSEMBLES);
    let fragments = |bench: &mut Bench, packet: &[u8]| {
        bench.push("whole", packet);
        let pieces = bench.take("pieces");
        assert!(pieces.len() > 2);
        pieces
    };
    let outbound = udp((INSIDE, 4000), (OUTSIDE, 53), &[3; 250]);
    for piece in fragments(&mut bench, &outbound) {
        bench.push("in", &piece);
    }
    let (public, outside) = verified(&only(bench.take("out")));
    for piece in fragments(&mut bench, &udp(outside, public, &[4; 250])).iter().rev() {
        bench.push("back", piece);
    }
    let answer = only(bench.take("home"));
    assert_eq!((verified(&answer).1, &answer[28..]), ((INSIDE, 4000), &[4; 250][..]));
}
