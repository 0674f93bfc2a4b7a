//! RFC 5382: TCP.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;

/// REQ-1: "A NAT MUST have an 'Endpoint-Independent Mapping' behavior for TCP."
#[test]
fn rfc5382_req_1_endpoint_independent_mapping() {
    let mut bench = Bench::new(NAPT);
    let mut public = |host: u8| sent(&mut bench, &tcp((INSIDE, 4000), ([192, 0, 2, host], 80), "S", b"")).0;
    let first = public(1);
    assert!((2..50).all(|host| public(host) == first));
}

/// REQ-2: "A NAT MUST support all valid sequences of TCP packets for connections initiated both internally as well as externally
/// when the connection is permitted by the NAT."
#[test]
fn rfc5382_req_2_any_sequence_of_segments_passes() {
    let mut bench = Bench::new(NAPT);
    let (public, outside) = sent(&mut bench, &tcp((INSIDE, 4000), (OUTSIDE, 80), "S", b""));
    for flags in ["SA", "A", "FA", "A", "R", "S", "SA"] {
        assert_eq!(received(&mut bench, &tcp(outside, public, flags, b"")).1, (INSIDE, 4000), "{flags}");
        assert_eq!(sent(&mut bench, &tcp((INSIDE, 4000), outside, flags, b"")).0, public, "{flags}");
    }
    // From outside, where a configuration permits it: a port forward.
    let mut forward = Bench::new(
        "in :: TestIn -> MarkIPHeader -> [0]rw :: IPRewriter(drop, pattern - - 10.0.0.5 8080 1 0);
        back :: TestIn -> MarkIPHeader -> [1]rw; rw[0] -> out :: TestOut; rw[1] -> home :: TestOut;",
    );
    for flags in ["S", "A", "FA"] {
        let got = received(&mut forward, &tcp((OUTSIDE, 999), (PUBLIC, 80), flags, b""));
        assert_eq!(got, ((OUTSIDE, 999), (INSIDE, 8080)), "{flags}");
        let got = sent(&mut forward, &tcp((INSIDE, 8080), (OUTSIDE, 999), "A", b""));
        assert_eq!(got, ((PUBLIC, 80), (OUTSIDE, 999)), "{flags}");
    }
}

/// REQ-2a: "A NAT MUST handle the TCP simultaneous-open mode of connection initiation."
#[test]
fn rfc5382_req_2a_simultaneous_open() {
    let mut bench = Bench::new(NAPT);
    let (public, outside) = sent(&mut bench, &tcp((INSIDE, 4000), (OUTSIDE, 80), "S", b""));
    assert_eq!(received(&mut bench, &tcp(outside, public, "S", b"")).1, (INSIDE, 4000));
    assert_eq!(sent(&mut bench, &tcp((INSIDE, 4000), outside, "SA", b"")).0, public);
    assert_eq!(received(&mut bench, &tcp(outside, public, "SA", b"")).1, (INSIDE, 4000));
}

/// REQ-3: endpoint-independent filtering where transparency matters most, else address-dependent; it may be an option, set for TCP and
/// UDP apart. A TCPRewriter beside a UDPRewriter has inputs of its own.
#[test]
fn rfc5382_req_3_filtering_is_configurable() {
    let stranger = ([192, 0, 2, 8], 99);
    let mut strict = Bench::new(NAPT);
    let (public, _) = sent(&mut strict, &tcp((INSIDE, 4000), (OUTSIDE, 80), "S", b""));
    strict.push("back", &tcp(stranger, public, "S", b""));
    assert_eq!((strict.take("home").len(), strict.drops("rw", "no mapping")), (0, 1));
    let mut open = Bench::new(&NAPT.replace("IPRewriter", "TCPRewriter").replace("drop", "endpoint 1 0"));
    let (public, _) = sent(&mut open, &tcp((INSIDE, 4000), (OUTSIDE, 80), "S", b""));
    assert_eq!(received(&mut open, &tcp(stranger, public, "S", b"")), (stranger, (INSIDE, 4000)));
    assert_eq!(sent(&mut open, &tcp((INSIDE, 4000), stranger, "SA", b"")), (public, stranger));
}

/// REQ-4: "A NAT MUST NOT respond to an unsolicited inbound SYN packet for at least 6 seconds after the packet is received. If
/// during this interval the NAT receives and translates an outbound SYN for the connection the NAT MUST silently drop the original
/// unsolicited inbound SYN packet." It is dropped at once and never answered, which a allows: "The NAT MUST silently
/// drop the original SYN packet if sending a response violates the security policy of the NAT."
#[test]
fn rfc5382_req_4_unsolicited_syns_are_dropped_in_silence() {
    let mut bench = Bench::new(NAPT);
    let (public, _) = sent(&mut bench, &tcp((INSIDE, 4000), (OUTSIDE, 80), "S", b""));
    let peer = ([192, 0, 2, 8], 80);
    bench.push("back", &tcp(peer, public, "S", b""));
    bench.advance(Duration::from_secs(5));
    assert_eq!(sent(&mut bench, &tcp((INSIDE, 4000), peer, "S", b"")), (public, peer));
    bench.advance(Duration::from_secs(10));
    assert!(bench.take("home").is_empty() && bench.take("out").is_empty());
    assert_eq!(bench.drops("rw", "no mapping"), 1);
    assert_eq!(received(&mut bench, &tcp(peer, public, "SA", b"")).1, (INSIDE, 4000));
}

/// REQ-5: "the value of the 'established connection idle-timeout' MUST NOT be less than 2 hours 4 minutes. The value of the
/// 'transitory connection idle-timeout' MUST NOT be less than 4 minutes." Defaults: a day, five minutes before there is data
/// both ways, four minutes after the end.
#[test]
fn rfc5382_req_5_timeouts_by_state() {
    let mut bench = Bench::new(NAPT);
    let size_after = |bench: &mut Bench, seconds: u64| {
        bench.now += Duration::from_secs(seconds);
        read(bench, "size")
    };
    sent(&mut bench, &tcp((INSIDE, 4000), (OUTSIDE, 80), "S", b""));
    assert_eq!((size_after(&mut bench, 299), size_after(&mut bench, 2)), ("1".into(), "0".into()));
    let (public, outside) = sent(&mut bench, &tcp((INSIDE, 4000), (OUTSIDE, 80), "S", b""));
    sent(&mut bench, &tcp((INSIDE, 4000), (OUTSIDE, 80), "A", b"data"));
    received(&mut bench, &tcp(outside, public, "A", b"data"));
    assert_eq!(size_after(&mut bench, 86_000), "1");
    sent(&mut bench, &tcp((INSIDE, 4000), (OUTSIDE, 80), "FA", b""));
    received(&mut bench, &tcp(outside, public, "FA", b""));
    assert_eq!(bench.read("rw", "tcp_done_mappings").lines().count(), 2);
    assert_eq!((size_after(&mut bench, 239), size_after(&mut bench, 2)), ("1".into(), "0".into()));
}

/// REQ-5a: "The value of the NAT idle-timeouts MAY be configurable."
#[test]
fn rfc5382_req_5a_timeouts_are_configurable() {
    let timeouts = ", drop, TCP_TIMEOUT 8000, TCP_NODATA_TIMEOUT 400, TCP_DONE_TIMEOUT 250";
    let mut bench = Bench::new(&NAPT.replace(", drop", timeouts));
    let left = |bench: &mut Bench| {
        read(bench, "table").lines().next().unwrap().rsplit("exp").next().unwrap().to_owned()
    };
    let (public, outside) = sent(&mut bench, &tcp((INSIDE, 4000), (OUTSIDE, 80), "A", b"data"));
    assert_eq!(left(&mut bench), "400");
    received(&mut bench, &tcp(outside, public, "A", b"data"));
    assert_eq!(left(&mut bench), "8000");
    received(&mut bench, &tcp(outside, public, "R", b""));
    assert_eq!(left(&mut bench), "250");
}

/// REQ-6: "If a NAT includes ALGs that affect TCP, it is RECOMMENDED that all of those ALGs (except for FTP) be disabled by
/// default." There is one, for FTP, and it works where a configuration places it.
#[test]
fn rfc5382_req_6_gateways_are_off_unless_placed() {
    let mut bench = Bench::new(NAPT);
    sent(&mut bench, &tcp((INSIDE, 4000), (OUTSIDE, 21), "S", b""));
    let command = b"PORT 10,0,0,5,3,9\r\n";
    bench.push("in", &tcp((INSIDE, 4000), (OUTSIDE, 21), "A", command));
    assert_eq!(only(bench.take("out"))[40..], command[..]);
    assert_eq!(read(&mut bench, "size"), "1");
}

/// REQ-7: "A NAT MUST NOT have a 'Port assignment' behavior of 'Port overloading' for TCP." As for UDP, see
/// `rfc4787_req_3_no_port_overloading`.
#[test]
fn rfc5382_req_7_no_port_overloading() {
    let mut bench = Bench::new(NAPT);
    let mut port = |host: u8| sent(&mut bench, &tcp(([10, 0, 0, host], 4000), (OUTSIDE, 80), "S", b"")).0.1;
    assert_eq!((1..=10).map(&mut port).collect::<BTreeSet<_>>().len(), 10);
}

/// REQ-8: "A NAT MUST support 'hairpinning' for TCP"; a: "A NAT's hairpinning behavior MUST be of type 'External source IP address
/// and port'."
#[test]
fn rfc5382_req_8_hairpinning_shows_the_external_source() {
    let mut bench = hairpin("endpoint 1 0");
    let (a, _) = sent(&mut bench, &tcp((INSIDE, 4000), (OUTSIDE, 80), "S", b""));
    let (b, to) = returned(&mut bench, &tcp((NEIGHBOUR, 5000), a, "S", b""));
    assert_eq!((b.0, to), (PUBLIC, (INSIDE, 4000)));
    assert_eq!(returned(&mut bench, &tcp((INSIDE, 4000), b, "SA", b"")), (a, (NEIGHBOUR, 5000)));
    assert_eq!(returned(&mut bench, &tcp((NEIGHBOUR, 5000), a, "A", b"data")), (b, (INSIDE, 4000)));
}

/// The same for a published server: one pass through an input that rewrites both addresses.
#[test]
fn rfc5382_req_8_hairpinning_to_a_published_server() {
    let mut bench = Bench::new(
        "rw :: IPRewriter(pattern 203.0.113.1 20000-20009 - - 0 1,
            pattern 203.0.113.1 20000-20009 10.0.0.5 8080 1 1); rw[0] -> out :: TestOut; rw[1] -> home :: TestOut;
        in :: TestIn -> MarkIPHeader -> own :: IPClassifier(dst host 203.0.113.1 and tcp dst port 80, -);
        own[0] -> [1]rw; own[1] -> [0]rw;",
    );
    let (client, server) = returned(&mut bench, &tcp((NEIGHBOUR, 5000), (PUBLIC, 80), "S", b""));
    assert_eq!((client.0, server), (PUBLIC, (INSIDE, 8080)));
    let answer = returned(&mut bench, &tcp((INSIDE, 8080), client, "SA", b""));
    assert_eq!(answer, ((PUBLIC, 80), (NEIGHBOUR, 5000)));
}

/// REQ-9: "If a NAT translates TCP, it SHOULD translate ICMP Destination Unreachable (Type 3) messages."
#[test]
fn rfc5382_req_9_destination_unreachable_is_translated() {
    let mut bench = Bench::new(ERRORS);
    let original = tcp((INSIDE, 4000), (OUTSIDE, 80), "S", b"");
    bench.push("in", &original);
    let translated = only(bench.take("out"));
    for quoted in [28, 40] {
        let (from, to, quote) = sent_on(&mut bench, &error([198, 51, 100, 1], &translated, 3, quoted));
        assert_eq!((from, to, &quote[..]), ([198, 51, 100, 1], INSIDE, &original[..quoted]));
    }
}

/// REQ-10: "Receipt of any sort of ICMP message MUST NOT terminate the NAT mapping or TCP connection for which the ICMP was
/// generated."
#[test]
fn rfc5382_req_10_errors_end_nothing() {
    let mut bench = Bench::new(ERRORS);
    bench.push("in", &tcp((INSIDE, 4000), (OUTSIDE, 80), "S", b""));
    let translated = only(bench.take("out"));
    let before = read(&mut bench, "table");
    for (kind, quoted) in [(3, 28), (3, 40), (4, 28), (5, 28), (11, 28), (12, 40)] {
        sent_on(&mut bench, &error(OUTSIDE, &translated, kind, quoted));
    }
    assert_eq!(read(&mut bench, "table"), before);
}
