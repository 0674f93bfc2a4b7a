//! RFC 5508: ICMP.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;

const PINGS: &str = "in :: TestIn -> MarkIPHeader -> [0]rw :: ICMPPingRewriter(pattern 203.0.113.1 20000-20009 - - 0 1, drop);
    back :: TestIn -> MarkIPHeader -> [1]rw; rw[0] -> out :: TestOut; rw[1] -> home :: TestOut;";

/// REQ-1: "a NAT device MUST permit ICMP Queries and their associated responses, when the Query is initiated from a private
/// host to the external hosts."
#[test]
fn rfc5508_req_1_queries_from_inside_and_their_answers_pass() {
    let mut bench = Bench::new(PINGS);
    let mut ids = BTreeSet::new();
    for host in 1..=5 {
        let (source, _) = sent(&mut bench, &ping([10, 0, 0, host], OUTSIDE, 77, false));
        ids.insert(source.1);
        assert_eq!(received(&mut bench, &ping(OUTSIDE, source.0, source.1, true)).1, ([10, 0, 0, host], 77));
    }
    assert_eq!(ids.len(), 5);
    bench.push("in", &ping(INSIDE, OUTSIDE, 99, true));
    bench.push("back", &ping(OUTSIDE, PUBLIC, 99, false));
    assert_eq!(bench.drops("rw", "no mapping"), 2);
}

/// REQ-1a: "NAT mapping of ICMP Query Identifiers SHOULD be external-host independent."
#[test]
fn rfc5508_req_1a_an_identifier_is_the_same_to_all_hosts() {
    let mut bench = Bench::new(PINGS);
    let mut id = |host: u8| sent(&mut bench, &ping(INSIDE, [192, 0, 2, host], 77, false)).0;
    let first = id(1);
    assert!((2..50).all(|host| id(host) == first));
}

/// REQ-2: "An ICMP Query session timer MUST NOT expire in less than 60 seconds"; a: "It is RECOMMENDED that the ICMP Query
/// session timer be made configurable."
#[test]
fn rfc5508_req_2_query_sessions_live_at_least_a_minute() {
    for (text, seconds) in [(PINGS.to_owned(), 300), (PINGS.replace(", drop", ", drop, TIMEOUT 60"), 60)] {
        let mut bench = Bench::new(&text);
        sent(&mut bench, &ping(INSIDE, OUTSIDE, 77, false));
        bench.now += Duration::from_secs(seconds);
        assert_eq!(read(&mut bench, "size"), "1");
        bench.now += Duration::from_secs(1);
        assert_eq!(read(&mut bench, "size"), "0");
    }
}

/// A packet that was translated, and what it was before.
fn translated(bench: &mut Bench) -> (Vec<u8>, Vec<u8>) {
    let original = udp((INSIDE, 4000), (OUTSIDE, 53), b"question");
    bench.push("in", &original);
    (only(bench.take("out")), original)
}

/// Puts the right checksum into an ICMP message that was changed.
fn sum_again(error: &mut [u8]) {
    (error[22], error[23]) = (0, 0);
    let sum = crate::wire::checksum::of(&error[20..]).to_be_bytes();
    error[22..24].copy_from_slice(&sum);
}

/// REQ-3: "if the ICMP checksum fails to validate, the NAT SHOULD silently drop the ICMP Error packet"; a: the same for the IP
/// checksum of the embedded packet.
#[test]
fn rfc5508_req_3_damaged_errors_are_not_sent_on() {
    let mut bench = Bench::new(&ERRORS.replace(" icmp[1] -> other :: TestOut;", ""));
    let (about, _) = translated(&mut bench);
    let mut damaged = error(OUTSIDE, &about, 3, 28);
    damaged[22] ^= 1;
    bench.push("errors", &damaged);
    let mut inside = error(OUTSIDE, &about, 3, 28);
    inside[36] ^= 1;
    sum_again(&mut inside);
    bench.push("errors", &inside);
    assert!(bench.take("sent").is_empty());
    assert_eq!(
        (bench.drops("icmp", "bad ICMP checksum"), bench.drops("icmp", "bad IP header quoted")),
        (1, 1)
    );
}

/// REQ-3b: "If the embedded packet contains IP options, the NAT device MUST traverse past the IP options"; c: it should not judge
/// the transport checksum, of which the quotation may lack the data.
#[test]
fn rfc5508_req_3b_options_are_passed_over_and_transport_checksums_not_judged() {
    let mut bench = Bench::new(ERRORS);
    let (mut about, original) = translated(&mut bench);
    about[0] = 0x46;
    about[3] += 4;
    about.splice(20..20, [1; 4]);
    crate::wire::ipv4::set_checksum(&mut about);
    let (_, to, quote) = sent_on(&mut bench, &error(OUTSIDE, &about, 3, 32));
    assert_eq!((to, &quote[24..28]), (INSIDE, &original[20..24]));
}

/// REQ-4: an error from outside without an active mapping is dropped; else a: the embedded packet is reverted to its original form; b:
/// "Leave the ICMP error type and code unchanged"; c: the outer destination becomes the embedded source.
#[test]
fn rfc5508_req_4_errors_from_outside() {
    let mut bench = Bench::new(ERRORS);
    let router = [198, 51, 100, 1];
    let originals = [
        udp((INSIDE, 4000), (OUTSIDE, 53), b"question"),
        tcp((INSIDE, 4000), (OUTSIDE, 80), "S", b""),
        ping(INSIDE, OUTSIDE, 77, false),
    ];
    for (original, quoted) in originals.iter().flat_map(|packet| [(packet, 28), (packet, 548)]) {
        let (enter, leave) = if original[9] == 1 { ("pin", "pout") } else { ("in", "out") };
        bench.push(enter, original);
        let about = only(bench.take(leave));
        for from in [router, OUTSIDE] {
            let (source, destination, quote) = sent_on(&mut bench, &error(from, &about, 3, quoted));
            assert_eq!((source, destination), (from, INSIDE));
            assert_eq!(quote, original[..original.len().min(quoted)], "checksums included");
        }
        bench.push("errors", &error(router, &about, 11, quoted));
        assert_eq!(only(bench.take("sent"))[20..22], [11, 4]);
    }
    bench.push("errors", &error(router, &udp((PUBLIC, 9), (OUTSIDE, 9), b""), 3, 28));
    assert_eq!((bench.take("sent").len(), bench.take("other").len()), (0, 1));
}

/// REQ-5: an error from inside without an active mapping is dropped; else the embedded packet is reverted, type and code stay, and the outer
/// source becomes the public address, that of a router on the way too.
#[test]
fn rfc5508_req_5_errors_from_inside() {
    let mut bench = Bench::new(ERRORS);
    let (about, _) = translated(&mut bench);
    let (public, outside) = verified(&about);
    let answer = udp(outside, public, b"answer");
    bench.push("back", &answer);
    let delivered = only(bench.take("home"));
    for from in [INSIDE, [10, 0, 0, 1]] {
        let (source, destination, quote) = sent_on(&mut bench, &error(from, &delivered, 3, 548));
        assert_eq!((source, destination), (PUBLIC, OUTSIDE));
        assert_eq!(quote, answer);
    }
    bench.push("errors", &error(INSIDE, &udp((OUTSIDE, 9), (INSIDE, 9), b""), 3, 28));
    assert_eq!((bench.take("sent").len(), bench.take("other").len()), (0, 1));
}

/// REQ-5, for a translator of addresses alone: errors about any protocol, and about later fragments.
#[test]
fn rfc5508_req_5_errors_about_packets_without_ports() {
    let mut bench = Bench::new(
        "in :: TestIn -> MarkIPHeader -> [0]rw :: IPAddrRewriter(pattern 203.0.113.1 - 0 1, drop);
        back :: TestIn -> MarkIPHeader -> [1]rw; rw[0] -> out :: TestOut; rw[1] -> home :: TestOut;
        errors :: TestIn -> MarkIPHeader -> ICMPRewriter(rw) -> sent :: TestOut;",
    );
    let mut original = udp((INSIDE, 4000), (OUTSIDE, 53), b"the middle of a datagram");
    original[7] = 10;
    crate::wire::ipv4::set_checksum(&mut original);
    bench.push("in", &original);
    let about = only(bench.take("out"));
    let (source, destination, quote) = sent_on(&mut bench, &error(OUTSIDE, &about, 11, 548));
    assert_eq!((source, destination, quote), (OUTSIDE, INSIDE, original));
    let answer = udp((OUTSIDE, 53), (PUBLIC, 4000), b"answer");
    bench.push("back", &answer);
    let delivered = only(bench.take("home"));
    let (source, destination, quote) = sent_on(&mut bench, &error(INSIDE, &delivered, 3, 548));
    assert_eq!((source, destination, quote), (PUBLIC, OUTSIDE, answer));
}

/// REQ-6: "a NAT device MUST NOT refresh or delete the NAT Session that pertains to the embedded payload".
#[test]
fn rfc5508_req_6_errors_neither_refresh_nor_delete() {
    let mut bench = Bench::new(ERRORS);
    bench.push("pin", &ping(INSIDE, OUTSIDE, 77, false));
    let about = only(bench.take("pout"));
    bench.now += Duration::from_secs(200);
    sent_on(&mut bench, &error(OUTSIDE, &about, 3, 28));
    bench.pass();
    assert_eq!(bench.read("ping", "size"), "1");
    bench.now += Duration::from_secs(101);
    bench.pass();
    assert_eq!(bench.read("ping", "size"), "0");
}

/// REQ-7: "NAT devices enforcing Basic NAT MUST support the traversal of hairpinned ICMP Query sessions."
#[test]
fn rfc5508_req_7_hairpinned_queries_of_basic_nat() {
    let mut bench = Bench::new(
        "in :: TestIn -> MarkIPHeader -> [0]rw :: IPAddrRewriter(pattern 203.0.113.1-203.0.113.9# - 0 1, drop);
        rw[0] -> own :: IPClassifier(dst net 203.0.113.0/28, -); own[0] -> [1]rw;
        own[1] -> out :: TestOut; rw[1] -> home :: TestOut;",
    );
    let mut address = |host: [u8; 4]| sent(&mut bench, &ping(host, OUTSIDE, 7, false)).0.0;
    let (a, b) = (address(INSIDE), address(NEIGHBOUR));
    assert_eq!(returned(&mut bench, &ping(NEIGHBOUR, a, 7, false)), ((b, 7), (INSIDE, 7)));
    assert_eq!(returned(&mut bench, &ping(INSIDE, b, 7, true)), ((a, 7), (NEIGHBOUR, 7)));
}

/// REQ-7, errors: "All NAT devices MUST support the traversal of hairpinned ICMP Error messages"; a: the outer destination becomes
/// the embedded source after the translation. An error about a hairpinned packet goes the same way twice.
#[test]
fn rfc5508_req_7_hairpinned_errors() {
    let mut bench = Bench::new(
        "in :: TestIn -> MarkIPHeader -> [0]rw :: IPRewriter(pattern 203.0.113.1 20000-20009 - - 0 1, endpoint 1 0);
        rw[1] -> home :: TestOut; rw[0] -> own :: IPClassifier(dst host 203.0.113.1, -); own[0] -> [1]rw; own[1] -> out :: TestOut;
        errors :: TestIn -> MarkIPHeader -> icmp :: ICMPRewriter(rw) -> back :: IPClassifier(dst host 203.0.113.1, -);
        back[0] -> icmp; back[1] -> sent :: TestOut;",
    );
    let (a, _) = sent(&mut bench, &udp((INSIDE, 4000), (OUTSIDE, 53), b""));
    let original = udp((NEIGHBOUR, 5000), a, b"hello");
    bench.push("in", &original);
    let delivered = only(bench.take("home"));
    let (source, destination, quote) = sent_on(&mut bench, &error(INSIDE, &delivered, 3, 548));
    assert_eq!((source, destination, quote), (PUBLIC, NEIGHBOUR, original));
}

/// REQ-8: "When a NAT device is unable to establish a NAT Session for a new transport-layer flow due to resource constraints or
/// administrative restrictions, the NAT device SHOULD send an ICMP destination unreachable message, with a code of 13". By an ICMPError
/// behind FAIL_OUTPUT.
#[test]
fn rfc5508_req_8_who_gets_no_session_is_told() {
    let mut bench = Bench::new(
        "in :: TestIn -> MarkIPHeader -> [0]rw :: IPRewriter(pattern 203.0.113.1 20000-20000 - - 0 0, FAIL_OUTPUT 1) -> out :: TestOut;
        rw[1] -> ICMPError(10.0.0.1, unreachable, filterprohibited) -> told :: TestOut;",
    );
    sent(&mut bench, &udp((INSIDE, 4000), (OUTSIDE, 53), b""));
    let refused = udp((NEIGHBOUR, 4000), (OUTSIDE, 53), b"");
    bench.push("in", &refused);
    let told = only(bench.take("told"));
    assert_eq!((&told[16..20], told[20], told[21], &told[28..56]), (&NEIGHBOUR[..], 3, 13, &refused[..]));
    let error = Bench::error("TestIn -> IPRewriter(drop, FAIL_OUTPUT 1) -> TestOut;");
    assert!(error.contains("FAIL_OUTPUT out of range"), "{error}");
}

/// REQ-9: "A NAT device MAY implement a policy control that prevents ICMP messages being generated toward certain interface(s)."
/// Errors are made by ICMPError elements only: where none stands, none is made.
#[test]
fn rfc5508_req_9_no_error_is_made_unless_placed() {
    let mut bench = Bench::new(&NAPT.replace("20000-20009", "20000-20000"));
    bench.push("in", &udp((INSIDE, 4000), (OUTSIDE, 53), b""));
    bench.push("in", &udp((NEIGHBOUR, 4000), (OUTSIDE, 53), b""));
    bench.push("back", &udp((OUTSIDE, 9), (PUBLIC, 9), b""));
    assert_eq!((bench.take("out").len(), bench.take("home").len()), (1, 0));
}

/// REQ-10a: Destination Unreachable, Time Exceeded and Echo MUST be supported; b: Redirect and Parameter Problem may be.
#[test]
fn rfc5508_req_10_kinds_of_messages() {
    let mut bench = Bench::new(ERRORS);
    let (about, original) = translated(&mut bench);
    for kind in [3, 11, 5, 12, 4] {
        let (_, to, quote) = sent_on(&mut bench, &error(OUTSIDE, &about, kind, 28));
        assert_eq!((to, &quote[..]), (INSIDE, &original[..28]), "kind {kind}");
    }
    bench.push("pin", &ping(INSIDE, OUTSIDE, 77, false));
    assert_eq!(bench.take("pout").len(), 1);
}

/// REQ-11: "A NAT MAY drop or appropriately handle Non-QueryError ICMP messages." ICMPRewriter gives them to its second
/// output, or drops them.
#[test]
fn rfc5508_req_11_other_messages_leave_apart() {
    let mut bench = Bench::new(ERRORS);
    let mut advertisement = ping(OUTSIDE, PUBLIC, 1, false);
    advertisement[20] = 9;
    sum_again(&mut advertisement);
    bench.push("errors", &advertisement);
    assert_eq!((bench.take("sent").len(), bench.take("other")), (0, vec![advertisement]));
}
