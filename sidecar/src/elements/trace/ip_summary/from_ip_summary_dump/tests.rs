use std::time::Duration;

use super::super::dump::{DEFAULT_PROTOCOL, Dump, Line};
use crate::element::{Packet, Time};
use crate::elements::trace::file::FileSource;
use crate::testing::Bench;

/// The packets of a dump, and what was wrong with it.
fn read(text: &[u8]) -> (Vec<Packet>, Vec<String>) {
    let mut dump = Dump::new(FileSource::of_data(text.to_vec()), DEFAULT_PROTOCOL);
    dump.begin().unwrap();
    let mut packets = Vec::new();
    loop {
        match dump.next(false) {
            Line::Packet(packet) => packets.push(packet),
            Line::Other => {}
            Line::End => return (packets, dump.messages),
        }
    }
}

/// The packet of one line of these fields.
fn packet(fields: &str, line: &str) -> Packet {
    let (mut packets, messages) = read(format!("!IPSummaryDump 1.3\n!data {fields}\n{line}\n").as_bytes());
    assert_eq!((packets.len(), messages), (1, Vec::<String>::new()), "{fields}: {line}");
    packets.pop().unwrap()
}

/// What is read of a line of these fields and written again.
fn again(fields: &str, line: &str) -> String {
    let file = std::env::temp_dir().join(format!(
        "anf-{}-again-{}",
        std::process::id(),
        std::thread::current().name().unwrap_or("").replace(':', "-")
    ));
    let mut bench = Bench::new(&format!(
        "in :: TestIn -> t :: ToIPSummaryDump({}, HEADER false, FIELDS {fields});",
        file.display()
    ));
    bench.push_packets("in", 0, [packet(fields, line)]);
    drop(bench);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    text.trim_end().to_owned()
}

#[test]
fn a_packet_has_click_s_defaults() {
    let made = packet("src dst sport dport", "1.0.0.1 2.0.0.2 80 20");
    let mut expected = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 100, 6, 0, 0, 1, 0, 0, 1, 2, 0, 0, 2];
    expected.extend([0, 80, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(made.data(), expected);
    assert_eq!((made.network_offset(), made.transport_offset()), (Some(0), Some(20)));
    assert_eq!((made.anno().dst_ip.octets(), made.anno().extra_length), ([2, 0, 0, 2], 0));
    let udp = packet("proto len sport", "U 100 53");
    assert_eq!(udp.data()[..4], [0x45, 0, 0, 100]);
    assert_eq!(udp.data()[20..], [0, 53, 0, 0, 0, 80, 0, 0]);
    assert_eq!(udp.anno().extra_length, 72);
    assert_eq!(packet("src", "1.0.0.1").len(), 40);
    assert_eq!(packet("proto src", "47 1.0.0.1").data()[..4], [0x45, 0, 0, 20]);
    assert_eq!(packet("fragoff src", "40 1.0.0.1").len(), 20, "a later fragment has no transport header");
    assert_eq!(packet("timestamp", "5.5").len(), 0);
}

#[test]
fn what_is_read_is_written_again() {
    let cases = [
        ("timestamp", "996033261.451094"),
        ("timestamp", "996033261.451094001"),
        ("ts_sec ts_usec", "996033261 451094"),
        ("ts_usec1", "996033261451094"),
        ("first_timestamp count link aggregate", "5.000000 7 200 4000000000"),
        ("direction", "<"),
        ("direction", ">"),
        ("direction", "7"),
        ("wire_len ip_src", "40 1.2.3.4"),
        ("ip_src ip_dst ip_tos ip_ttl ip_id ip_sum ip_hl", "1.2.3.4 5.6.7.8 29 7 48759 43812 24"),
        ("ip_dscp ip_ecn", "29 ce"),
        ("ip_ecn", "no"),
        ("ip_frag ip_proto", "F U"),
        ("ip_id ip_frag", "7 !"),
        ("ip_frag", "f"),
        ("ip_fragoff", "1480+!"),
        ("ip_len", "1500"),
        ("ip_proto", "10"),
        ("ip_opt ip_len", "rr{10.0.0.1,20.0.0.2}+5 80"),
        ("ip_opt", "ts{1,10000,!45}+2++3"),
        ("ip_opt", "."),
        ("sport dport tcp_seq tcp_ack tcp_flags tcp_window tcp_urp", "22 2943 93167339 93178192 SA 480 3"),
        ("tcp_flags", "."),
        ("tcp_flags", "FSRPAUECN"),
        ("tcp_off tcp_opt", "32 ts669063908:38382731"),
        ("tcp_opt", "mss1400;wscale10;sackok;sack95-98"),
        ("tcp_ntopt tcp_sack", "mss5;sackok sackok"),
        ("ip_proto udp_len sport dport", "U 34 53 99"),
        ("ip_proto icmp_type icmp_code icmp_flowid icmp_seq", "I 8 0 256 7"),
        ("ip_proto icmp_type_name icmp_code_name icmp_nextmtu", "I unreachable needfrag 1400"),
        ("ip_proto payload", r#"U "a b\n\"\001c""#),
        ("payload ip_len", r#""hello" 60"#),
        ("payload_len sport", "1000 5"),
        ("eth_src eth_dst ip_src sport", "00-0A-95-A6-D9-BC 01-02-03-04-05-06 1.2.3.4 99"),
        ("eth_type eth_src", "0806 00-00-00-00-00-01"),
        ("eth_type eth_src wire_len", "0806 00-00-00-00-00-01 14"),
    ];
    for (fields, line) in cases {
        assert_eq!(again(fields, line), line, "{fields}");
    }
}

#[test]
fn other_spellings_mean_the_same() {
    let cases = [
        ("tcp_flags", "18", "SA"),
        ("tcp_flags", "XY", "EC"),
        ("tcp_flags", "SW", "SC"),
        ("ip_ecn", "ECT(0)", "ect2"),
        ("ip_proto", "6", "T"),
        ("ip_src", "1.2.3.004", "1.2.3.4"),
        ("ip_id", "0x1F", "31"),
        ("tcp_opt", "nop,nop,ts1:2", "ts1:2"),
        ("tcp_sack", "sack1:2,sack3:4", "sack1-2;sack3-4"),
    ];
    for (fields, line, shown) in cases {
        assert_eq!(again(&format!("{fields} count"), &format!("{line} 1")), format!("{shown} 1"), "{line}");
    }
}

#[test]
fn headers_are_filled_up_when_a_payload_leaves_room() {
    // 60 bytes with 5 of payload: TCP had 12 bytes of options at least.
    let made = packet("ip_len payload", "60 \"hello\"");
    assert_eq!((made.data()[32], &made.data()[52..57]), (0x80, &b"hello"[..]));
    assert_eq!(made.anno().extra_length, 3);
    let made = packet("ip_len payload_len", "100 4");
    assert_eq!((made.data()[0], made.data()[48] >> 4, made.transport_offset()), (0x49, 15, Some(36)));
    let made = packet("ip_len tcp_opt payload_len", "60 . 4");
    assert_eq!((made.data()[0], made.data()[48] >> 4), (0x49, 5));
}

#[test]
fn lines_may_be_short_and_values_missing() {
    let text = b"!data ip_src sport dport\n1.2.3.4\n- 5\n1.2.3.4 - 7\n";
    let (packets, messages) = read(text);
    assert!(messages.is_empty(), "{messages:?}");
    let ports: Vec<&[u8]> = packets.iter().map(|packet| &packet.data()[20..24]).collect();
    assert_eq!(ports, [[0, 0, 0, 0], [0, 5, 0, 0], [0, 0, 0, 7]]);
}

#[test]
fn lines_with_marks_say_what_follows() {
    let text = b"!IPSummaryDump 1.3\r\n# a comment\n!creator x\n!data 'ip src' foo \"tcp seq\"\n1.0.0.1 x 7\n\n\
        !proto udp\n!contents dport\n9\n!flowid 1.2.3.4 5 6.7.8.9 10 T\n!aggregate 12\n!data ip_id\n3\n!bad no\n!drops 5\n";
    let (packets, messages) = read(text);
    assert_eq!(messages, ["<data>:4: warning: unknown content type 'foo'"]);
    assert_eq!(packets[0].data()[24..28], [0, 0, 0, 7]);
    assert_eq!((packets[1].data()[9], &packets[1].data()[22..24]), (17, &[0, 9][..]));
    let third = packets[2].data();
    assert_eq!((third[9], &third[12..24]), (6, &[1, 2, 3, 4, 6, 7, 8, 9, 0, 5, 0, 10][..]));
    assert_eq!(packets[2].anno().aggregate, 12);
}

#[test]
fn what_is_wrong_is_told_with_file_and_line() {
    let cases: &[(&[u8], &[&str])] = &[
        (
            b"hello\n",
            &[
                "<data>:0: warning: missing banner line; is this an IP summary dump?",
                "<data>:1: no '!data' provided",
            ],
        ),
        (b"!data ip_src\nx\ny\n", &["<data>:2: packet parse error"]),
        (b"!IPSummaryDump 2.7\n!data ip_src\n", &["<data>:0: warning: unexpected IPSummaryDump version 2.7"]),
        (b"!IPSummaryDump 1.3\n!data\n", &["<data>:2: no contents specified"]),
        (b"!data payload_md5\n", &["<data>:1: warning: unknown content type 'payload_md5'"]),
        (b"!flowid 1.2.3.4 5 6.7.8.9\n", &["<data>:1: bad !flowid specification"]),
        (b"!flowid 1.2.3.4 5 6.7.8.9 70000\n", &["<data>:1: bad !flowid specification"]),
        (b"!flowid - - - - Q\n", &["<data>:1: bad protocol in !flowid"]),
        (b"!proto 6 7\n", &["<data>:1: bad !proto"]),
        (b"!proto 300\n", &["<data>:1: bad protocol in !proto"]),
        (b"!IPSummaryDump 1.3\n!aggregate x\n", &["<data>:2: bad !aggregate specification"]),
        (b"!creator\n!binary x\n", &["<data>:2: bad !binary specification"]),
        (b"!data ip_id\n!binary\n\0\0\0\x06\0\x05\0\0\0\x02", &["<data>:record 2: binary record too short"]),
        (b"!data ip_id\n!binary\n\x7f\xff\xff\xff\0", &["<data>:record 1: binary record too long"]),
    ];
    for (text, expected) in cases {
        assert_eq!(read(text).1, *expected, "{}", text.escape_ascii());
    }
    let mut long = b"!data ip_src\n".to_vec();
    long.resize(3 << 20, b'1');
    assert_eq!(read(&long).1, ["<data>:1: line too long"]);
}

#[test]
fn a_binary_dump_is_read_back() {
    let file = std::env::temp_dir().join(format!("anf-{}-binary", std::process::id()));
    let fields = "timestamp ntimestamp ip_src ip_dst sport dport ip_len ip_id ip_frag ip_opt tcp_opt tcp_ntopt tcp_flags count \
                  payload_len eth_dst";
    let line =
        "5.000007 5.000007 1.2.3.4 5.6.7.8 22 80 100 7 F rr{1.1.1.1}+1 mss5 mss5 SA 3 36 01-02-03-04-05-06";
    let mut bench = Bench::new(&format!(
        "in :: TestIn -> t :: ToIPSummaryDump({}, BINARY true, BAD_PACKETS true, FIELDS {fields});",
        file.display()
    ));
    bench.push_packets("in", 0, [packet(fields, line)]);
    bench.push("in", b"no packet");
    drop(bench);
    let bytes = std::fs::read(&file).unwrap();
    let (packets, messages) = read(&bytes);
    assert!(messages.is_empty(), "{messages:?}");
    let original = packet(fields, line);
    assert_eq!(packets.len(), 2);
    assert_eq!((packets[0].data(), packets[0].anno()), (original.data(), original.anno()));
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn old_dumps_count_fragment_offsets_in_eights() {
    let (packets, _) = read(b"!IPSummaryDump 1.0\n!data ip_fragoff\n185+\n");
    assert_eq!(packets[0].data()[6..8], [0x20, 185]);
}

#[test]
fn checksums_cover_all_bytes_that_the_length_says() {
    for (protocol, field) in [("T", 36), ("U", 26), ("I", 22)] {
        let mut bench = Bench::new(&format!(
            "FromIPSummaryDump(DATA \"!data src dst proto len\\n1.2.3.4 5.6.7.8 {protocol} 61\\n\", CHECKSUM true) \
             -> CheckIPHeader -> c :: Check{}Header -> out :: TestOut;",
            match protocol {
                "T" => "TCP",
                "U" => "UDP",
                _ => "ICMP",
            }
        ));
        bench.settle(9);
        let packets = bench.take("out");
        assert_eq!(packets[0].len(), 61, "{protocol}");
        assert_ne!(packets[0][field..field + 2], [0, 0]);
    }
}

#[test]
fn the_router_stops_at_the_end_and_handlers_say_where_it_is() {
    let mut bench = Bench::new(
        "f :: FromIPSummaryDump(DATA \"!data src\\n1.0.0.1\\n1.0.0.2\\n\", STOP true, ACTIVE false) -> out :: TestOut;",
    );
    bench.settle(5);
    assert!(bench.take("out").is_empty());
    assert_eq!(bench.read("f", "active"), "false");
    bench.router.write_handler("f", "active", "true").unwrap();
    bench.pass();
    assert_eq!((bench.take("out").len(), bench.read("f", "filepos")), (1, "18".to_owned()));
    while !bench.pass().stop {}
    assert_eq!(bench.take("out").len(), 1);
    for (handler, value) in
        [("filename", "<data>"), ("filesize", "-"), ("encap", "IP"), ("sampling_prob", "1")]
    {
        assert_eq!(bench.read("f", handler), value);
    }
    let error = bench.router.write_handler("f", "active", "maybe").unwrap_err();
    assert_eq!(error.to_string(), "type mismatch");
}

#[test]
fn it_can_be_pulled() {
    let mut bench = Bench::new(
        "f :: FromIPSummaryDump(DATA \"!data src\\n# x\\n1.0.0.1\\n1.0.0.2\\n1.0.0.3\\n\", STOP true) -> out :: TestPuller;",
    );
    assert_eq!(bench.pull("out", 2).len(), 2);
    assert!(!bench.pass().stop);
    assert_eq!(bench.pull("out", 2).len(), 1);
    assert!(bench.pull("out", 2).is_empty());
    assert!(bench.pass().stop);
}

#[test]
fn packets_keep_the_time_between_them() {
    let text = "f :: FromIPSummaryDump(DATA \"!data timestamp ip_id\\n5.0 1\\n5.1 2\\n5.3 3\\n\", TIMING true) -> out :: TestOut;";
    let mut bench = Bench::new(text);
    let mut ids = |span| {
        bench.advance(Duration::from_millis(span));
        bench.take("out").iter().map(|bytes| bytes[5]).collect::<Vec<u8>>()
    };
    assert_eq!(ids(0), [1]);
    assert!(ids(99).is_empty());
    assert_eq!(ids(1), [2]);
    assert!(ids(199).is_empty());
    assert_eq!(ids(1), [3]);
}

#[test]
fn a_line_with_a_count_makes_as_many_packets() {
    let text = |keys: &str| {
        format!(
            "f :: FromIPSummaryDump(DATA \"!data first_ts ts count len sport proto\\n1 4 4 1000 9 U\\n\"{keys}) -> out :: TestOut;"
        )
    };
    let mut bench = Bench::new(&text(", MULTIPACKET true"));
    bench.settle(20);
    let packets = bench.take_packets("out");
    let lengths: Vec<_> = packets.iter().map(|packet| packet.data()[2..4].to_vec()).collect();
    assert_eq!(lengths, vec![[0, 250]; 4]);
    assert!(
        packets.iter().all(|packet| packet.anno().extra_packets == 0 && packet.anno().extra_length == 222)
    );
    assert!(packets.iter().all(|packet| packet.data()[24..26] == [0, 230]));
    let times: Vec<Time> = packets.iter().map(|packet| packet.anno().timestamp).collect();
    assert_eq!(times, [1, 2, 3, 4].map(|second| Time(second * 1_000_000_000)));
    let mut bench = Bench::new(&text(""));
    bench.settle(20);
    assert_eq!(bench.take_packets("out")[0].anno().extra_packets, 3);
}

#[test]
fn fields_and_flow_may_be_given_in_the_configuration() {
    let text = "FromIPSummaryDump(DATA \"7\\n\", FIELDS ip_id, FLOWID 1.2.3.4 5 6.7.8.9 10 U, PROTO 1) -> out :: TestOut;";
    let mut bench = Bench::new(text);
    bench.settle(9);
    let packet = &bench.take("out")[0];
    assert_eq!((packet[5], packet[9], &packet[12..24]), (7, 17, &[1, 2, 3, 4, 6, 7, 8, 9, 0, 5, 0, 10][..]));
}

#[test]
fn wrong_arguments_are_refused() {
    for (arguments, message) in [
        ("", "FILENAME: required argument missing"),
        ("x, DATA y", "FILENAME and DATA conflict"),
        ("/no/such", "/no/such: No such file or directory"),
        ("/dev/null", "/dev/null:0: empty file"),
        ("DATA x, FLOWID 1.2.3.4 5", "bad !flowid specification"),
        ("DATA x, FLOWID 1.2.3.4 5 6.7.8.9 10 Q", "bad protocol in !flowid"),
        ("DATA x, SAMPLE -1", "SAMPLE: parse error"),
    ] {
        let error = Bench::error(&format!("FromIPSummaryDump({arguments}) -> Discard;"));
        assert!(error.contains(message), "{error}");
    }
    for name in ["/no/such", "/dev/null"] {
        let mut bench =
            Bench::new(&format!("FromIPSummaryDump({name}, ALLOW_NONEXISTENT true, STOP true) -> Discard;"));
        assert!(bench.pass().stop);
    }
}

#[test]
fn sampling_takes_a_part_of_the_packets() {
    let lines = "1.0.0.1\\n".repeat(1000);
    let mut bench = Bench::new(&format!(
        "f :: FromIPSummaryDump(DATA \"!data src\\n{lines}\", SAMPLE 0.25) -> c :: Counter -> Discard;"
    ));
    bench.settle(2000);
    let count: u32 = bench.read("c", "count").parse().unwrap();
    assert!((200..300).contains(&count), "{count}");
    assert_eq!(bench.read("f", "sampling_prob"), "0.25");
}

#[test]
fn it_goes_on_where_it_was_after_a_move() {
    let data = "!data timestamp ip_id count\\n1 1 1\\n!flowid 1.2.3.4 5 6.7.8.9 10 U\\n2 2 3\\n3 3 1\\n";
    let text =
        format!("f :: FromIPSummaryDump(DATA \"{data}\", MULTIPACKET true, STOP true) -> out :: TestOut;");
    let mut whole = Bench::new(&text);
    while !whole.pass().stop {}
    let expected = whole.take("out");
    assert_eq!(expected.len(), 5);
    for moved_after in 0..=5 {
        let (mut first, mut second) = (Bench::new(&text), Bench::new(&text));
        for _ in 0..moved_after {
            first.pass();
        }
        first.move_to(&mut second);
        let mut got = first.take("out");
        while !second.pass().stop {}
        got.extend(second.take("out"));
        assert_eq!(got, expected, "moved after {moved_after}");
    }
}

#[test]
fn a_compressed_file_is_read() {
    use std::io::Write;
    let name = std::env::temp_dir().join(format!("anf-{}-dump.gz", std::process::id()));
    let mut gzip =
        flate2::write::GzEncoder::new(std::fs::File::create(&name).unwrap(), flate2::Compression::fast());
    gzip.write_all(b"!IPSummaryDump 1.3\n!data ip_id\n5\n").unwrap();
    gzip.finish().unwrap();
    let mut bench = Bench::new(&format!("f :: FromIPSummaryDump({}) -> out :: TestOut;", name.display()));
    bench.settle(9);
    assert_eq!(bench.take("out")[0][5], 5);
    std::fs::remove_file(name).unwrap();
}

mod any_dump {
    use proptest::prelude::*;

    use super::super::super::field::FIELDS;
    use super::*;

    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<u32>().prop_map(|number| number.to_string()),
            (0_u32..300).prop_map(|number| number.to_string()),
            Just("T".to_owned()),
            Just("U".to_owned()),
            Just("I".to_owned()),
            Just("\"some payload\"".to_owned()),
            Just("mss5;sack1-2".to_owned()),
            Just("rr{1.2.3.4}+3".to_owned()),
            Just("1.2.3.4".to_owned()),
            Just("01-02-03-04-05-06".to_owned()),
            "[ -~]{0,12}",
        ]
    }

    proptest! {
        /// No line and no record makes anything but packets and messages.
        #[test]
        fn can_be_read(
            fields in prop::collection::vec(any::<prop::sample::Index>(), 1..8),
            lines in prop::collection::vec(prop::collection::vec(value(), 1..8), 1..6),
            record in prop::collection::vec(any::<u8>(), 0..60),
            binary in any::<bool>(),
            checksum in any::<bool>(),
        ) {
            let all: Vec<&str> = FIELDS.iter().copied().flatten().map(|field| field.name).collect();
            let names: Vec<&str> = fields.iter().map(|at| *at.get(&all)).collect();
            let mut text = format!("!data {}\n", names.join(" ")).into_bytes();
            for line in &lines {
                text.extend(line.join(" ").bytes());
                text.push(b'\n');
            }
            if binary {
                text.extend(b"!binary\n\0\0\0");
                text.push(record.len() as u8 + 4);
            }
            text.extend(record);
            let mut dump = Dump::new(FileSource::of_data(text), DEFAULT_PROTOCOL);
            dump.begin().unwrap();
            loop {
                match dump.next(checksum) {
                    Line::End => break,
                    Line::Packet(packet) => prop_assert!(packet.len() < 1 << 17),
                    Line::Other => {}
                }
            }
        }
    }
}
