//! Every header and checksum that an element computes, read and computed again by a library that is not ours.

#![allow(clippy::expect_used, clippy::panic, reason = "a helper of a test may fail the test")]

use anf_sidecar::driver::example::Example;
use etherparse::{
    Icmpv4Header, IpFragOffset, IpNumber, Ipv4HeaderSlice, TcpHeaderSlice, UdpHeaderSlice, checksum,
};

/// Packets that a text writes to a capture of IP packets on standard output.
fn capture(text: &str) -> Vec<Vec<u8>> {
    let mut example = Example::new(text).unwrap_or_else(|found| panic!("{text}: {found}"));
    for _ in 0..10_000 {
        if !example.step() {
            break;
        }
    }
    let console = example.console();
    drop(example);
    packets(&console.take())
}

/// The packets of a capture file in little-endian byte order.
fn packets(file: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = file.get(24..).unwrap_or_default();
    let mut found = Vec::new();
    while let Some((header, behind)) = rest.split_at_checked(16) {
        let length = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
        let (packet, behind) = behind.split_at(length);
        found.push(packet.to_vec());
        rest = behind;
    }
    found
}

/// Checks an IP packet, and the packet inside an ICMP error, as far as it is there.
fn check(packet: &[u8]) {
    let ip = Ipv4HeaderSlice::from_slice(packet).unwrap_or_else(|error| panic!("{error}: {packet:02x?}"));
    let header = ip.to_header();
    assert_eq!(header.calc_header_checksum(), header.header_checksum, "IP checksum of {packet:02x?}");
    assert_eq!(usize::from(ip.total_len()), packet.len(), "length of {packet:02x?}");
    if ip.is_fragmenting_payload() {
        return; // A transport checksum covers the whole packet.
    }
    let payload = &packet[ip.slice().len()..];
    match ip.protocol() {
        IpNumber::UDP => {
            let udp = UdpHeaderSlice::from_slice(payload).expect("UDP header").to_header();
            assert_eq!(usize::from(udp.length), payload.len(), "UDP length of {packet:02x?}");
            if udp.checksum != 0 {
                let sum = udp.calc_checksum_ipv4(&header, &payload[8..]).expect("UDP checksum");
                assert_eq!(sum, udp.checksum, "UDP checksum of {packet:02x?}");
            }
        }
        IpNumber::TCP => {
            let tcp = TcpHeaderSlice::from_slice(payload).expect("TCP header");
            let sum = tcp.calc_checksum_ipv4(&ip, &payload[tcp.slice().len()..]).expect("TCP checksum");
            assert_eq!(sum, tcp.checksum(), "TCP checksum of {packet:02x?}");
        }
        IpNumber::ICMP => {
            Icmpv4Header::from_slice(payload).expect("ICMP header");
            let sum = checksum::Sum16BitWords::new().add_slice(payload).ones_complement();
            assert_eq!(sum, 0, "ICMP checksum of {packet:02x?}");
        }
        IpNumber::IPV4 => check(payload),
        _ => {}
    }
}

/// A source of UDP packets from 10.0.0.1 with lengths and ports that vary.
const SOURCE: &str = r#"
    RatedSource(DATA "a payload of an odd length", LIMIT 20, STOP true) -> s :: RoundRobinSwitch;
    s[0] -> UDPIPEncap(10.0.0.1, 1000, 20.0.0.2, 53, CHECKSUM true) -> all :: Null;
    s[1] -> Truncate(7) -> UDPIPEncap(10.0.0.9, 2000, 20.0.0.3, 80, CHECKSUM true) -> all;
    s[2] -> Pad(1999) -> UDPIPEncap(10.0.0.7, 3000, 20.0.0.4, 443, CHECKSUM true) -> all;
    s[3] -> ICMPPingEncap(10.0.0.5, 20.0.0.5) -> all;
    InfiniteSource(DATA \<1f90 0050 00000001 00000000 5002 2000 0000 0000 61 62 63>, LIMIT 5)
        -> IPEncap(6, 10.0.0.3, 20.0.0.6) -> SetTCPChecksum -> all;
"#;

fn check_behind_source(what: &str, most: usize) {
    let text = format!("{SOURCE} all {what} -> ToDump(-, ENCAP IP, SNAPLEN 0);");
    let found = capture(&text);
    assert!(!found.is_empty() && found.len() <= most, "{} packets of {what}", found.len());
    found.iter().for_each(|packet| check(packet));
}

#[test]
#[should_panic(expected = "UDP checksum")]
fn the_reader_notices_a_wrong_checksum() {
    check_behind_source("-> StoreIPAddress(9.8.7.6, 12) -> SetIPChecksum", 25);
}

#[test]
fn encapsulations_are_right() {
    check_behind_source("", 25);
    check_behind_source("-> IPEncap(4, 1.1.1.1, 2.2.2.2)", 25);
    check_behind_source("-> UDPIPEncap(1.1.1.1, 4789, 2.2.2.2, 4789, CHECKSUM true)", 25);
    check_behind_source("-> ICMPIPEncap(1.1.1.1, 2.2.2.2, 8, CODE 0)", 25);
}

#[test]
fn what_changes_a_header_keeps_its_checksums_right() {
    for what in
        ["-> DecIPTTL", "-> SetIPDSCP(46)", "-> MarkIPCE(true)", "-> IPMirror", "-> ICMPPingResponder"]
    {
        check_behind_source(what, 25);
    }
}

#[test]
fn checksums_are_set_anew_after_a_change() {
    let sums = "-> SetIPChecksum -> c :: IPClassifier(udp, tcp, -) -> SetUDPChecksum -> m :: Null; \
                c[1] -> SetTCPChecksum -> m; c[2] -> m; m";
    for change in ["-> StoreIPAddress(9.8.7.6, src)", "-> StoreIPAddress(1.2.3.4, 16)"] {
        check_behind_source(&format!("{change} {sums}"), 25);
    }
}

#[test]
fn fragments_and_their_reassembly_are_right() {
    check_behind_source("-> IPFragmenter(576)", 60);
    check_behind_source("-> IPFragmenter(576) -> IPReassembler", 25);
    let fragments = capture(&format!("{SOURCE} all -> IPFragmenter(576) -> ToDump(-, ENCAP IP, SNAPLEN 0);"));
    let last = fragments.iter().filter_map(|packet| Ipv4HeaderSlice::from_slice(packet).ok());
    assert!(last.map(|ip| ip.fragments_offset()).any(|offset| offset > IpFragOffset::ZERO));
}

#[test]
fn icmp_errors_are_right_and_carry_the_packet() {
    check_behind_source("-> ICMPError(1.2.3.4, timeexceeded)", 25);
    check_behind_source("-> ICMPError(1.2.3.4, unreachable, needfrag)", 25);
    check_behind_source("-> ICMPError(1.2.3.4, redirect, host)", 25);
}

#[test]
fn translations_are_right_both_ways() {
    check_behind_source(
        "-> rw :: IPRewriter(pattern 5.5.5.5 1024-65535# - - 0 1, pass 1); rw[1] -> Discard; Idle -> [1]rw; rw",
        25,
    );
    // Packets turn round at the far end and come back through the mapping.
    check_behind_source(
        "-> c :: IPClassifier(udp, icmp) -> rw :: IPRewriter(pattern 5.5.5.5 1024-65535# - - 0 1, drop); \
         rw[0] -> IPMirror -> [1]rw; c[1] -> Discard; rw[1]",
        25,
    );
    check_behind_source(
        "-> c :: IPClassifier(icmp, -) -> rw :: ICMPPingRewriter(pattern 5.5.5.5 1024-65535# - - 0 1, drop); \
         rw[0] -> ICMPPingResponder -> [1]rw; c[1] -> Discard; rw[1]",
        25,
    );
    check_behind_source(
        "-> rw :: IPAddrRewriter(pattern 5.5.5.5 - 0 1, drop); rw[1] -> Discard; Idle -> [1]rw; rw",
        25,
    );
}
