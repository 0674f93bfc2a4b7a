use std::path::PathBuf;
use std::time::Duration;

use crate::element::{Packet, Time};
use crate::testing::Bench;

/// A capture of packets that are one second apart and hold their number; deleted with it.
struct Capture(PathBuf);

impl Capture {
    fn new(name: &str, count: u8) -> Self {
        let file = Self(std::env::temp_dir().join(format!("anf-{}-from-{name}.pcap", std::process::id())));
        let mut bench = Bench::new(&format!("in :: TestIn -> ToDump({});", file.0.display()));
        for n in 0..count {
            let mut packet = Packet::from_slice(&[n; 60]);
            packet.anno_mut().timestamp = Time(u64::from(n + 100) * 1_000_000_000);
            bench.push_packets("in", 0, [packet]);
        }
        file
    }

    fn text(&self, arguments: &str) -> String {
        let comma = if arguments.is_empty() { "" } else { "," };
        format!(
            "f :: FromDump({}{comma} {arguments}) -> out :: TestOut; c :: Counter; Idle -> c -> Discard;",
            self.0.display()
        )
    }

    fn bench(&self, arguments: &str) -> Bench {
        Bench::new(&self.text(arguments))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn numbers(bench: &mut Bench) -> Vec<u8> {
    bench.take("out").iter().map(|bytes| bytes[0]).collect()
}

#[test]
fn start_and_end_choose_packets() {
    let file = Capture::new("range", 10);
    for (arguments, expected) in [
        ("", 0..10),
        ("START 103", 3..10),
        ("START_AFTER 3.5", 4..10),
        ("END 105", 0..5),
        ("END_AFTER 2s", 0..2),
        ("START_AFTER 2, INTERVAL 3", 2..5),
        ("START 500", 0..0),
    ] {
        let mut bench = file.bench(arguments);
        bench.settle(20);
        assert_eq!(numbers(&mut bench), expected.collect::<Vec<u8>>(), "{arguments}");
    }
}

#[test]
fn an_end_stops_the_router_or_makes_it_rest() {
    let file = Capture::new("end", 10);
    let mut bench = file.bench("END_AFTER 4, STOP true");
    while !bench.pass().stop {}
    assert_eq!(numbers(&mut bench).len(), 4);
    let mut bench = file.bench("END_AFTER 4");
    bench.settle(20);
    assert_eq!((numbers(&mut bench).len(), bench.read("f", "active")), (4, "false".to_owned()));
    bench.router.write_handler("f", "extend_interval", "3").unwrap();
    bench.settle(20);
    assert_eq!(numbers(&mut bench), [5, 6], "the packet at the end is left out");
    let error = bench.router.write_handler("f", "extend_interval", "soon").unwrap_err();
    assert_eq!(error.to_string(), "'extend_interval' takes a time interval");
}

#[test]
fn the_end_is_told_when_all_packets_before_it_went_on() {
    let file = Capture::new("call", 10);
    let text = format!(
        "f :: FromDump({}, END_AFTER 4, END_CALL c.reset) -> c :: Counter -> out :: TestOut;",
        file.0.display()
    );
    let mut bench = Bench::new(&text);
    bench.pass();
    assert_eq!(bench.read("c", "count"), "4");
    bench.settle(20);
    assert_eq!(
        (numbers(&mut bench).len(), bench.read("c", "count")),
        (10, "0".to_owned()),
        "told again at the end of the file"
    );
    let mut bench = file.bench("END_AFTER 1, END_CALL f.extend_interval 2");
    bench.settle(20);
    assert_eq!(numbers(&mut bench).len(), 10);
}

#[test]
fn positions_can_be_read_and_written() {
    let file = Capture::new("position", 10);
    let mut bench = file.bench("BURST 1, FILEPOS 100");
    bench.pass();
    assert_eq!(numbers(&mut bench), [1]);
    assert_eq!(
        (bench.read("f", "filepos"), bench.read("f", "packet_filepos")),
        ("176".to_owned(), "100".to_owned())
    );
    assert_eq!(bench.read("f", "filesize"), "784");
    bench.settle(20);
    bench.router.write_handler("f", "filepos", "708").unwrap();
    bench.settle(20);
    assert_eq!(numbers(&mut bench), [2, 3, 4, 5, 6, 7, 8, 9, 9]);
    for (value, message) in [("x", "argument must be file offset"), ("99999", "FILEPOS out of range")] {
        assert_eq!(bench.router.write_handler("f", "filepos", value).unwrap_err().to_string(), message);
    }
}

#[test]
fn ip_packets_are_marked_and_others_turned_away_when_asked() {
    let file = Capture::new("ip", 0);
    let mut bench = Bench::new(&format!("in :: TestIn -> ToDump({});", file.0.display()));
    let mut frame = vec![0; 12];
    frame.extend([8, 0, 0x45]);
    frame.resize(60, 0);
    bench.push("in", &frame);
    bench.push("in", &[0; 60]);
    drop(bench);
    let mut bench = file.bench("FORCE_IP true");
    bench.settle(9);
    let packet = &bench.take_packets("out")[0];
    assert_eq!((packet.len(), packet.network().len(), packet.mac_offset()), (60, 46, Some(0)));
    assert_eq!((bench.drops("f", "not an IP packet"), bench.read("f", "count")), (1, "1".to_owned()));
    let text =
        format!("f :: FromDump({}, FORCE_IP true) -> Discard; f[1] -> out :: TestOut;", file.0.display());
    let mut bench = Bench::new(&text);
    bench.settle(9);
    assert_eq!(bench.take("out"), [vec![0; 60]]);
}

#[test]
fn a_capture_of_raw_ip_has_its_headers_marked_without_asking() {
    let file = Capture::new("raw", 0);
    let mut bench = Bench::new(&format!("in :: TestIn -> ToDump({}, ENCAP IP);", file.0.display()));
    bench.push("in", &[0x45; 20]);
    drop(bench);
    let mut bench = file.bench("");
    bench.settle(9);
    assert_eq!(bench.take_packets("out")[0].network_offset(), Some(0));
}

#[test]
fn timing_counts_from_the_first_packet_of_the_file() {
    let file = Capture::new("timing", 4);
    let mut bench = file.bench("TIMING true, START_AFTER 1");
    bench.advance(Duration::from_millis(999));
    assert!(numbers(&mut bench).is_empty());
    bench.advance(Duration::from_millis(1));
    assert_eq!(numbers(&mut bench), [1]);
    bench.router.write_handler("f", "filepos", "24").unwrap();
    bench.router.write_handler("f", "reset_timing", "").unwrap();
    bench.advance(Duration::from_secs(1));
    assert_eq!(numbers(&mut bench), [0, 1], "the first one goes at once");
}

#[test]
fn it_can_be_pulled_to_its_end() {
    let file = Capture::new("pull", 5);
    let text = format!("f :: FromDump({}, STOP true, START_AFTER 1) -> out :: TestPuller;", file.0.display());
    let mut bench = Bench::new(&text);
    assert_eq!((bench.pull("out", 3).len(), bench.pull("out", 3).len()), (3, 1));
    assert!(!bench.pass().stop);
    assert!(bench.pull("out", 3).is_empty());
    assert!(bench.pass().stop);
}

#[test]
fn it_goes_on_where_it_was_after_a_move() {
    let file = Capture::new("move", 6);
    let text = file.text("BURST 1, START_AFTER 1, INTERVAL 4, STOP true");
    for moved_after in 0..5 {
        let (mut first, mut second) = (Bench::new(&text), Bench::new(&text));
        for _ in 0..moved_after {
            first.pass();
        }
        first.move_to(&mut second);
        let mut got = numbers(&mut first);
        while !second.pass().stop {}
        got.extend(numbers(&mut second));
        assert_eq!(got, [1, 2, 3, 4], "moved after {moved_after}");
    }
}

#[test]
fn wrong_arguments_and_files_are_refused() {
    for (arguments, message) in [
        ("x, START 1, START_AFTER 1", "START and START_AFTER are mutually exclusive"),
        ("x, END 1, INTERVAL 1", "END, END_AFTER, and INTERVAL are mutually exclusive"),
        ("x, STOP true, END_CALL c.reset", "END_CALL and STOP are mutually exclusive"),
        ("/dev/null", "/dev/null: empty file"),
        ("/nonexistent/x.pcap", "/nonexistent/x.pcap: No such file or directory"),
    ] {
        let error = Bench::error(&format!("f :: FromDump({arguments}) -> Discard;"));
        assert!(error.contains(message), "{error}");
    }
    let file = Capture::new("aironet", 0);
    drop(Bench::new(&format!("Idle -> ToDump({}, ENCAP AIRONET);", file.0.display())));
    let error = Bench::error(&file.text("FORCE_IP true"));
    assert!(error.contains(": unknown linktype 120; can't force IP packets"), "{error}");
}
