use std::path::PathBuf;
use std::time::Duration;

use crate::packet::Packet;
use crate::testing::Bench;

/// A file of its own, deleted with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("anf-{}-to-{name}", std::process::id())))
    }

    fn name(&self) -> std::path::Display<'_> {
        self.0.display()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_dump_is_read_back_with_its_times() {
    let file = Scratch::new("back.pcap");
    let mut bench = Bench::new(&format!("in :: TestIn -> t :: ToDump({}, NANO true);", file.name()));
    for n in 0..3_u8 {
        let mut packet = Packet::from_slice(&[n; 60]);
        packet.anno_mut().timestamp.0 = 5_000_000_000 + u64::from(n) * 100_000_000;
        bench.push_packets("in", 0, [packet]);
    }
    assert_eq!(bench.read("t", "count"), "3");
    bench.router.write_handler("t", "flush", "").unwrap();
    let mut bench =
        Bench::new(&format!("f :: FromDump({}, true, STOP true) -> out :: TestOut;", file.name()));
    bench.advance(Duration::from_millis(150));
    assert_eq!(bench.take("out").len(), 2);
    bench.advance(Duration::from_millis(100));
    assert_eq!(bench.take("out"), [vec![2; 60]]);
    assert!(bench.pass().stop);
}

#[test]
fn a_file_is_compressed_if_its_name_says_so() {
    for ending in ["gz", "bz2"] {
        let file = Scratch::new(&format!("packed.pcap.{ending}"));
        let mut bench = Bench::new(&format!("in :: TestIn -> ToDump({});", file.name()));
        for _ in 0..100 {
            bench.push("in", &[7; 1000]);
        }
        drop(bench);
        assert!(std::fs::metadata(&file.0).unwrap().len() < 10_000);
        let mut bench = Bench::new(&format!("f :: FromDump({}) -> out :: TestOut;", file.name()));
        bench.settle(20);
        assert_eq!(bench.take("out"), vec![vec![7; 1000]; 100]);
    }
}

#[test]
fn packets_are_cut_and_their_lengths_kept() {
    for (arguments, captured, extra) in [
        ("50", 50, 57),
        ("0, ETHER", 100, 7),
        ("50, EXTRA_LENGTH false", 50, 50),
        ("UNBUFFERED true", 100, 7),
    ] {
        let file = Scratch::new("cut.pcap");
        let mut bench =
            Bench::new(&format!("in :: TestIn -> t :: ToDump({}, {arguments}) -> Discard;", file.name()));
        let mut packet = Packet::from_slice(&[1; 100]);
        packet.anno_mut().extra_length = 7;
        bench.push_packets("in", 0, [packet]);
        bench.router.write_handler("t", "flush", "").unwrap();
        let mut bench = Bench::new(&format!("f :: FromDump({}) -> out :: TestOut;", file.name()));
        bench.settle(9);
        let packet = &bench.take_packets("out")[0];
        assert_eq!((packet.len(), packet.anno().extra_length), (captured, extra), "{arguments}");
    }
}

#[test]
fn the_link_type_is_that_of_the_sources() {
    let (raw, ether) = (Scratch::new("raw.pcap"), Scratch::new("ether.pcap"));
    drop(Bench::new(&format!("Idle -> ToDump({}, ENCAP IP); Idle -> ToDump({});", raw.name(), ether.name())));
    let file = Scratch::new("same.pcap");
    let sources =
        format!("a :: FromDump({}) -> Discard; b :: FromIPSummaryDump(DATA x) -> Discard;", raw.name());
    let dump = format!("Idle -> ToDump({}, USE_ENCAP_FROM a b);", file.name());
    // In front of its sources, too: none of them knows its type before it is initialised.
    drop(Bench::new(&format!("{dump}{sources}")));
    let mut bench = Bench::new(&format!("f :: FromDump({}) -> Discard;", file.name()));
    assert_eq!(bench.read("f", "encap"), "IP");
    let mut bench = Bench::new(&format!(
        "{sources}e :: FromDump({}) -> Discard; Idle -> ToDump({}, USE_ENCAP_FROM a e);",
        ether.name(),
        file.name()
    ));
    assert!(bench.pass().stop, "types that disagree end the run");
}

#[test]
fn it_can_be_pulled_through() {
    let file = Scratch::new("pulled.pcap");
    let mut bench =
        Bench::new(&format!("in :: TestIn -> Queue -> t :: ToDump({}) -> out :: TestPuller;", file.name()));
    bench.push("in", b"abc");
    assert!(bench.take_packets("out").is_empty());
    assert_eq!(bench.pull("out", 5).len(), 1);
    assert_eq!(bench.read("t", "count"), "1");
}

#[test]
fn wrong_arguments_are_refused() {
    for (arguments, message) in [
        ("x, 5, FOO", "bad encapsulation type"),
        ("x, ENCAP IP, USE_ENCAP_FROM f", "specify at most one of 'ENCAP' and 'USE_ENCAP_FROM'"),
        ("x, USE_ENCAP_FROM g", "no element named 'g'"),
        ("x, USE_ENCAP_FROM i", "'i' has no 'encap' read handler"),
        ("/no/such/x", "/no/such/x: No such file or directory"),
        ("/no/such/x.Z", "files of compress(1) are not written"),
    ] {
        let error = Bench::error(&format!("i :: Idle -> ToDump({arguments});"));
        assert!(error.contains(message), "{error}");
    }
}
