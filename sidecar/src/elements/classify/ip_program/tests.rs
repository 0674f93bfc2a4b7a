use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::super::ip_language::{GraphNames, parse};
use super::*;
use crate::config::{EtherAddr, Value};

struct NoNames;

impl GraphNames for NoNames {
    fn address(&self, _name: &str) -> Option<Ipv4Addr> {
        None
    }
    fn network(&self, name: &str) -> Option<(Ipv4Addr, Ipv4Addr)> {
        (name == "inside").then_some((Ipv4Addr::new(10, 0, 0, 0), Ipv4Addr::new(255, 0, 0, 0)))
    }
    fn ether(&self, text: &str) -> Option<EtherAddr> {
        EtherAddr::parse_plain(text).ok()
    }
    fn port(&self, name: &str) -> Option<u16> {
        (name == "game").then_some(4242)
    }
}

fn program(patterns: &[&str]) -> Program {
    let rules: Vec<_> =
        patterns.iter().enumerate().map(|(n, p)| (parse(p, &NoNames).expect(p), n as u32)).collect();
    Program::compile(&rules).unwrap()
}

fn packet(protocol: u8, source: [u8; 4], destination: [u8; 4], transport: &[u8]) -> Vec<u8> {
    let length = (20 + transport.len()) as u8;
    let mut bytes = vec![0x45, 0, 0, length, 0x12, 0x34, 0, 0, 64, protocol, 0, 0];
    bytes.extend(source);
    bytes.extend(destination);
    bytes.extend(transport);
    bytes
}

fn ports(source: u16, destination: u16) -> Vec<u8> {
    let mut bytes = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    bytes.resize(20, 0);
    bytes
}

fn tcp(source: u16, destination: u16, flags: u8) -> Vec<u8> {
    let mut transport = ports(source, destination);
    transport[13] = flags;
    packet(6, [10, 0, 0, 1], [10, 0, 2, 2], &transport)
}

fn udp(source: u16, destination: u16) -> Vec<u8> {
    packet(17, [10, 0, 0, 1], [10, 0, 2, 2], &ports(source, destination))
}

fn matches(pattern: &str, bytes: &[u8]) -> bool {
    program(&[pattern]).decide(bytes, &[]) == Some(0)
}

#[test]
fn primitives_match_as_the_manual_page_says() {
    let (syn, dns) = (tcp(1024, 80, 2), udp(5000, 53));
    for (pattern, on_syn, on_dns) in [
        ("-", true, true),
        ("any", true, true),
        ("", true, true),
        ("dest host 10.0.2.2 and src or dest port 53", false, true),
        ("net & 255.255.0.0 10.0.7.0/24", true, true),
        ("host & 0xffff0000 10.0.7.7", true, true),
        ("true", true, true),
        ("false", false, false),
        ("tcp", true, false),
        ("ip proto udp", false, true),
        ("ip proto 6", true, false),
        ("src host 10.0.0.1", true, true),
        ("dst host 10.0.0.1", false, false),
        ("host 10.0.0.1", true, true),
        ("src and dst net 10.0.0.0/8", true, true),
        ("src or dst host 10.0.2.2", true, true),
        ("src and dst host 10.0.2.2", false, false),
        ("src host != 10.0.0.1", false, false),
        ("10.0.2.0/24", true, true),
        ("net 10.0.2.0 mask 255.255.255.0", true, true),
        ("src inside", true, true),
        ("dst port www", true, false),
        ("www", true, false),
        ("dst tcp port 80", true, false),
        ("udp port 80", false, false),
        ("src port 5000 or 5001", false, true),
        ("src port 5001 or 5000", false, true),
        ("dst port 50-60", false, true),
        ("dst port game", false, false),
        ("src port > 1023", true, true),
        ("src tcp port <= 1024", true, false),
        ("src tcp port < 1024", false, false),
        ("src port >= 5000", false, true),
        ("dst tcp port != 5", true, false),
        ("!(dst tcp port == 5)", true, true),
        ("dst udp port & 1 == 1", false, true),
        ("dst udp port & 1", false, true),
        ("tcp opt syn", true, false),
        ("syn", true, false),
        ("syn ack", false, false),
        ("syn and not ack", true, false),
        ("ip ttl 64", true, true),
        ("ip ttl < 64", false, false),
        ("ip vers 4 and ip hl 5", true, true),
        ("ip id 0x1234", true, true),
        ("ip tos 0 && ip dscp == 0", true, true),
        ("ip frag", false, false),
        ("ip unfrag", true, true),
        ("unfrag", true, true),
        ("ip ect", false, false),
        ("ip ce", false, false),
        ("ip[9] 6", true, false),
        ("ip[12:4] 0x0a000001", true, true),
        ("transp[2:2] 80", true, false),
        ("tcp[13] & 2 == 2", true, false),
        ("tcp win 0", true, false),
        ("ip len 40", true, true),
        ("tcp ? dst port 80 : dst port 53", true, true),
        ("udp ? dst port 80 : dst port 53", false, false),
        ("icmp type echo", false, false),
    ] {
        assert_eq!((matches(pattern, &syn), matches(pattern, &dns)), (on_syn, on_dns), "{pattern}");
    }
}

#[test]
fn icmp_types_and_fragments_are_told_apart() {
    let mut ping = packet(1, [1, 2, 3, 4], [5, 6, 7, 8], &[8, 0, 0, 0, 0, 0, 0, 0]);
    assert!(
        matches("icmp type echo", &ping) && matches("icmp echo", &ping) && matches("icmp type != 0", &ping)
    );
    assert!(!matches("icmp type 3 or 0", &ping) && matches("icmp type 3 or 8", &ping));
    ping[7] = 9;
    assert!(!matches("icmp type echo", &ping) && matches("ip frag", &ping) && matches("icmp", &ping));
}

#[test]
fn ethernet_addresses_are_looked_for_in_the_mac_header() {
    let mac = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 8, 0];
    let ip = packet(17, [1, 2, 3, 4], [5, 6, 7, 8], &[]);
    let matches = |pattern: &str, mac: &[u8]| program(&[pattern]).decide(&ip, mac) == Some(0);
    for (pattern, expected) in [
        ("ether host 00:01:02:03:04:05", true),
        ("ether host 6-7-8-9-a-b", true),
        ("dst ether host 0:1:2:3:4:5", true),
        ("src ether host 0:1:2:3:4:5", false),
        ("src 6:7:8:9:a:b", true),
        ("src and dst ether host 6:7:8:9:a:b", false),
        ("ether host != 6:7:8:9:a:b", false),
        ("dst ether host 9:9:9:9:9:9 or 0:1:2:3:4:5", true),
        ("ether host 0:1:2:3:4:6", false),
    ] {
        assert_eq!(matches(pattern, &mac), expected, "{pattern}");
    }
    assert!(!matches("ether host 0:1:2:3:4:5", &[]) && !matches("ether host 0:1:2:3:4:5", &mac[..5]));
    assert!(program(&["ether host 0:1:2:3:4:5"]).to_string().contains("ether[0:4] & ffffffff == 00010203"));
}

#[test]
fn a_test_beyond_the_end_of_the_packet_fails() {
    let cut = packet(17, [1, 2, 3, 4], [5, 6, 7, 8], &[0, 80]);
    assert!(!matches("src udp port 80", &cut));
    assert!(matches("udp and not src udp port 80", &cut));
    assert!(!matches("udp[6:2] 0", &cut) && !matches("ip[20:4] 0", &cut));
    assert_eq!(program(&["-"]).decide(&cut[..19], &[]), None);
}

#[test]
fn patterns_that_make_no_sense_are_refused_with_the_place() {
    for bad in [
        "tcp and",
        "(tcp",
        "tcp)",
        "src",
        "src port",
        "port 99999",
        "host 1.2.3",
        "ip ttl 256",
        "ip[1:5] 0",
        "ip[3:2] 0",
        "gargle",
        "host 1.2.3.4 > 5",
        "not",
        "a ? b",
        "tcp ? udp",
        "icmp port 5",
        "src src host 1.2.3.4",
        "80",
        "ip[0",
        "tcp opt foo",
        "&",
        "|",
        "src tcp",
        "= 5",
        "ether host 10.0.0.1",
        "ether port 5",
        "host 0:1:2:3:4:5",
        "ether host & 1 0:1:2:3:4:5",
        "ether host > 0:1:2:3:4:5",
        "ether",
    ] {
        assert!(parse(bad, &NoNames).is_err(), "{bad:?} was accepted: {:?}", parse(bad, &NoNames));
    }
    let deep = "(".repeat(100_000);
    assert!(parse(&deep, &NoNames).unwrap_err().contains("nested"));
    let nots = "! ".repeat(100_000);
    assert!(parse(&nots, &NoNames).is_err());
}

#[test]
fn twenty_rules_are_tried_in_order() {
    let rules = program(&[
        "src net 192.168.0.0/16",
        "dst host 10.0.2.1 and tcp port 22",
        "dst host 10.0.2.2 and tcp port 80",
        "tcp opt syn and not tcp opt ack and dst port 25",
        "src udp port 67 or src udp port 68",
        "icmp type echo",
        "-",
    ]);
    assert_eq!(rules.decide(&tcp(1, 80, 2), &[]), Some(2));
    assert_eq!(rules.decide(&tcp(1, 25, 2), &[]), Some(3));
    assert_eq!(rules.decide(&tcp(1, 25, 0x12), &[]), Some(6));
    assert_eq!(rules.decide(&udp(68, 67), &[]), Some(4));
}

#[test]
fn a_known_test_is_not_repeated() {
    let rules = program(&["tcp and dst port 1", "tcp and dst port 2", "tcp and dst port 3", "udp and tcp"]);
    let protocol_tests = rules.nodes.iter().filter(|n| n.test.mask == 0x00ff_0000).count();
    assert_eq!(protocol_tests, 1, "{rules}");
    assert!(!rules.reachable_outputs().contains(&3));
}

fn evaluate(expression: &Expression, words: &Words<'_>) -> bool {
    match expression {
        Expression::Constant(value) => *value,
        Expression::Test(test) => words.passes(test),
        Expression::Not(inner) => !evaluate(inner, words),
        Expression::And(terms) => terms.iter().all(|t| evaluate(t, words)),
        Expression::Or(terms) => terms.iter().any(|t| evaluate(t, words)),
        Expression::If(parts) => {
            if evaluate(&parts[0], words) {
                evaluate(&parts[1], words)
            } else {
                evaluate(&parts[2], words)
            }
        }
    }
}

const PATTERNS: [&str; 16] = [
    "tcp",
    "udp port 5",
    "src port 1-3",
    "dst port != 2",
    "src host 0.0.0.1",
    "net 0.0.0.0/30",
    "syn",
    "ip frag",
    "icmp type echo",
    "ip ttl > 2",
    "port & 1",
    "udp[6:2] 0",
    "ip hl > 5",
    "ip[20] 0",
    "transp[20:2] 1",
    "not ip proto 6",
];

fn pattern() -> impl Strategy<Value = String> {
    prop::sample::select(&PATTERNS[..]).prop_map(str::to_owned).prop_recursive(4, 20, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) and ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) or ({b})")),
            inner.clone().prop_map(|a| format!("not ({a})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("({a}) ? ({b}) : ({c})")),
        ]
    })
}

fn small_packet() -> impl Strategy<Value = Vec<u8>> {
    let protocol = prop::sample::select(vec![1u8, 6, 17, 47]);
    (protocol, 0u8..4, 0u8..4, 0u8..6, 0u8..6, prop::collection::vec(0u8..9, 0..30), 5u8..8, 0u16..3)
        .prop_map(|(protocol, source, destination, sport, dport, mut transport, hl, fragment)| {
            if let [_, a, _, b, ..] = &mut transport[..] {
                (*a, *b) = (sport, dport);
            }
            let mut bytes = packet(protocol, [0, 0, 0, source], [0, 0, 0, destination], &transport);
            bytes[0] = 0x40 | hl;
            bytes[8] = sport;
            bytes[6..8].copy_from_slice(&fragment.to_be_bytes());
            bytes
        })
}

proptest! {
    #[test]
    fn a_compiled_program_decides_as_its_expressions(
        patterns in prop::collection::vec(pattern(), 1..8),
        packets in prop::collection::vec(small_packet(), 20),
    ) {
        let texts: Vec<_> = patterns.iter().map(String::as_str).collect();
        let compiled = program(&texts);
        let expressions: Vec<_> = texts.iter().map(|p| parse(p, &NoNames).unwrap()).collect();
        for bytes in packets {
            let words = Words::load(&bytes, &[]).unwrap();
            let expected = expressions.iter().position(|e| evaluate(e, &words)).map_or(DROP, |n| n as u32);
            prop_assert_eq!(compiled.decide(&bytes, &[]), Some(expected), "{}", compiled);
        }
    }

    #[test]
    fn no_text_panics(text in ".{0,60}") {
        if let Ok(expression) = parse(&text, &NoNames) {
            let _ = Program::compile(&[(expression, 0)]);
        }
    }

    #[test]
    fn no_text_of_known_words_panics(words in prop::collection::vec(prop::sample::select(vec![
        "src", "dst", "and", "or", "not", "(", ")", "?", ":", "tcp", "port", "host", "10.0.0.1", "80", "&", "!=", "<",
        "ip[0:4]", "type", "mask", "net", "opt", "syn", "1-2", "ip", "frag",
    ]), 0..12)) {
        if let Ok(expression) = parse(&words.join(" "), &NoNames) {
            let _ = Program::compile(&[(expression, 0)]);
        }
    }
}
