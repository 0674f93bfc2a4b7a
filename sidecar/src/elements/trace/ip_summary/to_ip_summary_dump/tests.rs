use std::path::PathBuf;

use crate::element::{Packet, Time};
use crate::testing::Bench;

/// A file of its own, deleted with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("anf-{}-summary-{name}", std::process::id())))
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.0).unwrap()
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What is written about packets.
fn written(name: &str, arguments: &str, packets: Vec<Packet>) -> String {
    let file = Scratch::new(name);
    let mut bench =
        Bench::new(&format!("in :: TestIn -> t :: ToIPSummaryDump({}, {arguments});", file.0.display()));
    for packet in packets {
        bench.push_packets("in", 0, [packet]);
    }
    drop(bench);
    file.text()
}

/// Lines about IP packets that begin with their header.
fn lines(name: &str, fields: &str, packets: &[&[u8]]) -> Vec<String> {
    let marked = packets.iter().map(|bytes| ip_packet(bytes)).collect();
    let text = written(name, &format!("HEADER false, BAD_PACKETS true, FIELDS {fields}"), marked);
    text.lines().map(str::to_owned).collect()
}

fn ip_packet(bytes: &[u8]) -> Packet {
    let mut packet = Packet::from_slice(bytes);
    let header = bytes.first().map_or(20, |first| usize::from(first & 0xf) * 4);
    packet.set_network_header(0, header);
    packet
}

/// An IP header with the protocol and what is behind it.
fn ip(protocol: u8, rest: &[u8]) -> Vec<u8> {
    let length = 20 + rest.len() as u8;
    let mut bytes = vec![0x45, 0x2d, 0, length, 0xbe, 0x77, 0, 0, 254, protocol, 0xab, 0x24];
    bytes.extend([192, 150, 187, 37, 192, 168, 1, 100]);
    bytes.extend(rest);
    bytes
}

fn tcp(options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut segment = vec![0, 22, 11, 127, 5, 141, 151, 235, 5, 141, 194, 64];
    segment.extend([(5 + options.len() as u8 / 4) << 4, 0x12, 1, 224, 7, 8, 0, 0]);
    segment.extend(options);
    segment.extend(payload);
    ip(6, &segment)
}

#[test]
fn the_header_says_what_lines_mean() {
    assert_eq!(written("plain", "", vec![]), "!IPSummaryDump 1.3\n!data timestamp ip_src\n");
    assert_eq!(
        written("banner", r#"FIELDS src "tcp seq" ntimestamp, BANNER "say \"hi\"""#, vec![]),
        "!IPSummaryDump 1.3\n!creator \"say \\\"hi\\\"\"\n!data ip_src tcp_seq timestamp\n"
    );
    assert_eq!(
        written("binary", "FIELDS ntimestamp, BINARY true", vec![]),
        "!IPSummaryDump 1.3\n!data ntimestamp\n!binary\n"
    );
    assert_eq!(written("none", "HEADER false, VERBOSE true, BANNER x", vec![]), "");
    let verbose = written("verbose", "VERBOSE true", vec![]);
    let lines: Vec<&str> = verbose.lines().collect();
    assert!(lines[1].starts_with("!host ") && lines[2].starts_with("!runtime 1.000000 ("), "{verbose}");
    assert!(lines[2].ends_with("1970)") || lines[2].ends_with("1969)"), "{verbose}");
}

#[test]
fn the_last_spelling_of_fields_that_click_reads_counts() {
    assert_eq!(written("which", "FIELDS sport, CONTENTS dport", vec![]), "!IPSummaryDump 1.3\n!data dport\n");
}

#[test]
fn fields_of_an_ip_packet_are_as_in_the_manual_page() {
    let fields = "ip_src ip_dst ip_frag ip_fragoff ip_len ip_proto ip_hl ip_id ip_tos ip_dscp ip_ecn ip_ttl ip_sum ip_opt \
                  ip_capture_len";
    assert_eq!(
        lines("ip", fields, &[&ip(10, b"xyz")]),
        ["192.150.187.37 192.168.1.100 . 0 23 10 20 48759 45 11 ect1 254 43812 . 23"]
    );
    let with = |word: u16, protocol| {
        let mut bytes = ip(protocol, &[]);
        bytes[6..8].copy_from_slice(&word.to_be_bytes());
        bytes
    };
    assert_eq!(
        lines(
            "frag",
            "frag fragoff proto",
            &[&with(0x2000, 6), &with(0x4000, 17), &with(0x2005, 1), &with(5, 2)]
        ),
        ["F 0+ T", "! 0! U", "f 40+ I", "f 40 2"]
    );
}

#[test]
fn fields_of_a_tcp_packet_are_as_in_the_manual_page() {
    let fields = "sport dport tcp_seq tcp_ack tcp_off tcp_flags tcp_window tcp_urp tcp_opt tcp_ntopt tcp_sack payload payload_len";
    assert_eq!(
        lines("tcp", fields, &[&tcp(&[], b"a\"b\n")]),
        [r#"22 2943 93165547 93176384 20 SA 480 0 . . . "a\"b\n" 4"#]
    );
    let timestamp = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
    let many = [2, 4, 5, 120, 1, 3, 3, 7, 4, 2, 1, 1, 5, 10, 0, 0, 0, 95, 0, 0, 0, 98, 1, 1];
    assert_eq!(
        lines("opt", "tcp_off tcp_opt tcp_ntopt tcp_sack", &[&tcp(&timestamp, b""), &tcp(&many, b"")]),
        [
            "32 ts1:2 . .",
            "44 mss1400;wscale7;sackok;sack95-98 mss1400;wscale7;sackok;sack95-98 sackok;sack95-98"
        ]
    );
}

#[test]
fn fields_of_udp_and_icmp_packets_are_as_in_the_manual_page() {
    let udp = ip(17, &[0, 53, 4, 0, 0, 10, 0, 0, 7, 8]);
    let echo = ip(1, &[8, 0, 0, 0, 1, 0, 0, 5]);
    let need_fragment = ip(1, &[3, 4, 0, 0, 0, 0, 5, 120]);
    let odd = ip(1, &[200, 9, 0, 0, 0, 0, 0, 0]);
    assert_eq!(
        lines("udp", "sport dport udp_len payload_len icmp_type", &[&udp, &echo]),
        ["53 1024 10 2 -", "- - - 8 8"]
    );
    let fields = "icmp_type icmp_code icmp_type_name icmp_code_name icmp_flowid icmp_seq icmp_nextmtu";
    assert_eq!(
        lines("icmp", fields, &[&echo, &need_fragment, &odd, &udp]),
        ["8 0 echo 0 256 5 -", "3 4 unreachable needfrag - - 1400", "200 9 200 9 - - -", "- - - - - - -"]
    );
}

#[test]
fn annotations_are_fields() {
    let mut packet = ip_packet(&ip(6, &[]));
    let anno = packet.anno_mut();
    anno.timestamp = Time(996_033_261_451_094_000);
    anno.first_timestamp = Time(1_000_000_001);
    (anno.paint, anno.aggregate, anno.extra_packets) = (2, 973, 4);
    let mut other = ip_packet(&ip(6, &[]));
    other.anno_mut().paint = 1;
    let fields = "timestamp ntimestamp ts_sec ts_usec ts_usec1 first_timestamp count direction link paint aggregate wire_len";
    assert_eq!(
        written("anno", &format!("HEADER false, FIELDS {fields}"), vec![packet, other]),
        "996033261.451094 996033261.451094 996033261 451094 996033261451094 1.000000001 5 2 2 2 973 20\n\
         0.000000 0.000000 0 0 0 0.000000 1 < 1 1 0 20\n"
    );
}

#[test]
fn the_ethernet_header_is_found_before_the_ip_header() {
    let mut frame = vec![1, 2, 3, 4, 5, 6, 0, 0x0a, 0x95, 0xa6, 0xd9, 0xbc, 8, 0];
    frame.extend(ip(6, &[]));
    let mut marked = Packet::from_slice(&frame);
    marked.set_mac_offset(Some(0));
    marked.set_network_header(14, 20);
    let mut stripped = marked.clone();
    assert!(stripped.strip_front(14));
    let bare = Packet::from_slice(&frame[..14]);
    let text = written(
        "eth",
        "HEADER false, BAD_PACKETS true, FIELDS eth_src eth_dst eth_type",
        vec![marked, stripped, bare, ip_packet(&ip(6, &[]))],
    );
    let line = "00-0A-95-A6-D9-BC 01-02-03-04-05-06 0800\n";
    assert_eq!(text, format!("{line}{line}{line}!bad Ethernet header\n- - -\n"));
}

#[test]
fn bad_packets_are_told_before_their_line() {
    let change = |at: usize, value: u8| {
        let mut bytes = tcp(&[], b"");
        bytes[at] = value;
        bytes
    };
    let cut = |length: usize| tcp(&[], b"")[..length].to_vec();
    let cases: &[(Vec<u8>, &[&str])] = &[
        (change(0, 0x65), &["!bad IP version 6", "- - - 40"]),
        (change(0, 0x44), &["!bad IP header length 4", "- - - 40"]),
        (change(3, 10), &["!bad IP length 10", "- - - 40"]),
        (change(32, 0x40), &["!bad TCP header length 4", "192.150.187.37 22 - 40"]),
        (cut(3), &["!bad truncated IP header", "- - - 3"]),
        (cut(12), &["!bad truncated IP missing 28", "- - - 40"]),
        (cut(30), &["!bad truncated IP missing 10", "192.150.187.37 22 - 40"]),
        (cut(22), &["!bad truncated IP missing 18", "192.150.187.37 22 - 40"]),
        (change(7, 9), &["!bad fragmented TCP/UDP header", "192.150.187.37 - - 40"]),
        (change(9, 17), &["192.150.187.37 22 - 40"]),
        (change(9, 2), &["192.150.187.37 - - 40"]),
        (tcp(&[], b""), &["192.150.187.37 22 SA 40"]),
    ];
    for (at, (bytes, expected)) in cases.iter().enumerate() {
        assert_eq!(
            lines(&format!("bad{at}"), "ip_src sport tcp_flags ip_len", &[bytes]),
            *expected,
            "case {at}"
        );
    }
    let text = written("noip", "HEADER false, BAD_PACKETS true, FIELDS src", vec![Packet::from_slice(b"x")]);
    assert_eq!(text, "!bad no IP header\n-\n");
    let careless = "HEADER false, BAD_PACKETS true, CAREFUL_TRUNC false, FIELDS tcp_flags";
    let text = written("careless", careless, vec![ip_packet(&cut(30))]);
    assert_eq!(text, "!bad truncated TCP header\n-\n");
    let mut captured = ip_packet(&cut(30));
    captured.anno_mut().extra_length = 10;
    let text = written("captured", "HEADER false, BAD_PACKETS true, FIELDS tcp_flags ip_len", vec![captured]);
    assert_eq!(text, "!bad truncated TCP header\n- 40\n", "its length is right");
}

#[test]
fn padding_belongs_to_no_field() {
    let mut padded = ip(17, &[0, 53, 4, 0, 0, 10, 0, 0, b'h', b'i']);
    padded.resize(46, 0xee);
    assert_eq!(
        lines("padding", "ip_len ip_capture_len udp_len payload_len payload wire_len", &[&padded]),
        [r#"30 30 10 2 "hi" 46"#]
    );
}

#[test]
fn digests_are_of_the_payload() {
    let fields = "payload_md5 payload_md5_hex";
    let lines = lines("md5", fields, &[&tcp(&[], b""), &tcp(&[], b"abc")]);
    assert_eq!(&lines[0][23..], "d41d8cd98f00b204e9800998ecf8427e");
    assert_eq!(&lines[1][23..], "900150983cd24fb0d6963f7d28e17f72");
    // Six bits at a time: 0x90 & 63 is 16, 0x0190 >> 6 & 63 is 6, 0x5001 >> 4 & 63 is 0 …
    assert!(lines[1].starts_with("qgauyY"), "{}", lines[1]);
}

#[test]
fn binary_records_have_their_length_and_fields_in_network_order() {
    let file = Scratch::new("records");
    let mut bench = Bench::new(&format!(
        "in :: TestIn -> t :: ToIPSummaryDump({}, BINARY true, BAD_PACKETS true, \
         FIELDS timestamp src sport frag tcp_opt payload_md5_hex eth_src);",
        file.0.display()
    ));
    let mut packet = ip_packet(&tcp(&[2, 4, 5, 120], b""));
    packet.anno_mut().timestamp = Time(5_000_007_000);
    bench.push_packets("in", 0, [packet]);
    bench.push("in", b"x");
    bench.router.write_handler("t", "flush", "").unwrap();
    let bytes = file.bytes();
    let start = bytes.windows(8).position(|window| window == b"!binary\n").unwrap() + 8;
    let bad = b"!bad Ethernet header\n";
    let mut expected = vec![0x80, 0, 0, bad.len() as u8 + 4];
    expected.extend(bad);
    expected.extend([0, 0, 0, 46, 0, 0, 0, 5, 0, 0, 0, 7, 192, 150, 187, 37, 0, 22, b'.', 4, 2, 4, 5, 120]);
    expected.extend([0xd4, 0x1d, 0x8c, 0xd9, 0x8f, 0, 0xb2, 4, 0xe9, 0x80, 9, 0x98, 0xec, 0xf8, 0x42, 0x7e]);
    expected.extend([0; 6]);
    assert_eq!(bytes[start..start + expected.len()], expected);
    let second = &bytes[start + expected.len()..];
    assert!(second[4..].starts_with(b"!bad no IP header\n"));
}

#[test]
fn a_packet_that_stands_for_several_is_several_lines() {
    let several = || {
        let mut packet = ip_packet(&ip(6, &[]));
        let anno = packet.anno_mut();
        (anno.extra_packets, anno.extra_length) = (2, 41);
        (anno.first_timestamp, anno.timestamp) = (Time(1_000_000_000), Time(3_000_000_000));
        packet
    };
    let text = written("multi", "HEADER false, MULTIPACKET true, FIELDS timestamp wire_len", vec![several()]);
    assert_eq!(text, "1.000000 20\n2.000000 20\n3.000000 20\n");
    let text = written("count", "HEADER false, MULTIPACKET true, FIELDS timestamp count", vec![several()]);
    assert_eq!(text, "3.000000 3\n");
    let text = written("one", "HEADER false, FIELDS timestamp", vec![several()]);
    assert_eq!(text, "3.000000\n");
}

#[test]
fn extra_length_counts_where_there_is_no_ip_header() {
    let short = || {
        let mut packet = Packet::from_slice(&[0; 30]);
        packet.anno_mut().extra_length = 70;
        packet
    };
    assert_eq!(written("extra", "HEADER false, FIELDS len payload_len", vec![short()]), "100 100\n");
    assert_eq!(
        written("noextra", "HEADER false, EXTRA_LENGTH false, FIELDS len payload_len", vec![short()]),
        "30 100\n"
    );
}

#[test]
fn packets_go_on_and_are_pulled_from_a_queue() {
    let file = Scratch::new("queue");
    let text = format!(
        "in :: TestIn -> Queue -> t :: ToIPSummaryDump({}, FIELDS wire_len) -> out :: TestOut;",
        file.0.display()
    );
    let mut bench = Bench::new(&text);
    bench.push("in", b"abc");
    bench.push("in", b"de");
    bench.settle(9);
    assert_eq!(bench.take("out"), [b"abc".to_vec(), b"de".to_vec()]);
    bench.router.write_handler("t", "flush", "").unwrap();
    assert!(file.text().ends_with("\n3\n2\n"));
}

#[test]
fn wrong_arguments_are_refused() {
    let error = Bench::error("Idle -> ToIPSummaryDump(/dev/null, FIELDS ip_src foo none);");
    assert!(
        error.contains("unknown content type 'foo'") && error.contains("unknown content type 'none'"),
        "{error}"
    );
    let error = Bench::error("Idle -> ToIPSummaryDump(/dev/null, FIELDS payload, BINARY true);");
    assert!(error.contains("cannot use field payload with BINARY"), "{error}");
    let error = Bench::error("Idle -> ToIPSummaryDump(/dev/null, FIELDS \"\");");
    assert!(error.contains("unknown content type ''"), "{error}");
    let error = Bench::error("Idle -> ToIPSummaryDump(/no/such/file);");
    assert!(error.contains("/no/such/file: No such file or directory"), "{error}");
}

mod any_packet {
    use proptest::prelude::*;

    use super::super::super::field::FIELDS;
    use super::super::super::view::{Rules, View};
    use super::*;

    proptest! {
        /// Every field of every packet can be written, in text and binary.
        #[test]
        fn can_be_written(
            bytes in prop::collection::vec(any::<u8>(), 0..120),
            first in prop_oneof![Just(0x45_u8), Just(0x4f), any::<u8>()],
            protocol in prop_oneof![Just(1_u8), Just(6), Just(17), any::<u8>()],
            (network, transport) in (-20_isize..100, -20_isize..120),
            extra in prop_oneof![Just(0_u32), any::<u32>()],
        ) {
            let mut packet = Packet::from_slice(&bytes);
            packet.set_network_offset(Some(network));
            packet.set_transport_offset(Some(transport));
            packet.anno_mut().extra_length = extra;
            for (at, value) in [(0, first), (9, protocol), (2, 0), (6, 0)] {
                if let Some(byte) = packet.network_mut().get_mut(at) {
                    *byte = value;
                }
            }
            let mut bad = Vec::new();
            let rules = Rules { headers: true, careful: true, with_extra: true };
            let mut view = View::new(&packet, rules, Some(&mut bad));
            let (mut text, mut binary) = (Vec::new(), Vec::new());
            for field in FIELDS.iter().copied().flatten() {
                let value = (field.get)(&mut view);
                field.form.encode(value, &mut binary);
                if let Some(value) = value {
                    (field.show)(&view, value, &mut text);
                }
            }
            prop_assert!(!text.contains(&b'\n'));
        }
    }
}
