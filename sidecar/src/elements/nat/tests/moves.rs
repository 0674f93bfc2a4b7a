//! A translator that moves, or is followed by another, gives the same bytes as one that stays.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::{NAPT, PUBLIC, copy_changes, copy_state, read, tcp, track, udp};
use crate::element::Packet;
use crate::state::{Reader, Writer};
use crate::testing::Bench;

#[derive(Debug, Clone)]
struct Step {
    wait: u64,
    inbound: bool,
    host: u8,
    port: u16,
    peer: u8,
    kind: u8,
}

impl Step {
    fn packet(&self) -> Vec<u8> {
        let inside = ([10, 0, 0, self.host], 4000 + self.port);
        let outside = ([192, 0, 2, self.peer], 80);
        let (from, to) =
            if self.inbound { (outside, (PUBLIC, 20000 + self.port)) } else { (inside, outside) };
        match self.kind {
            0 => udp(from, to, b"x"),
            1 => tcp(from, to, "S", b""),
            2 => tcp(from, to, "A", b"data"),
            3 => tcp(from, to, "FA", b""),
            _ => tcp(from, to, "R", b""),
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let wait = prop_oneof![8 => Just(0u64), 3 => 1u64..400, 1 => 400u64..100_000];
    (wait, any::<bool>(), 1u8..5, 0u16..10, 1u8..4, 0u8..5)
        .prop_map(|(wait, inbound, host, port, peer, kind)| Step { wait, inbound, host, port, peer, kind })
}

fn run(bench: &mut Bench, step: &Step) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    bench.now += Duration::from_secs(step.wait);
    bench.push(if step.inbound { "back" } else { "in" }, &step.packet());
    (bench.take("out"), bench.take("home"))
}

/// A translator that lets strangers in, or not.
fn text(open: bool) -> String {
    if open { NAPT.replace("drop", "endpoint 1 0") } else { NAPT.to_owned() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_run_that_moves_after_any_packet_gives_the_same_bytes(
        steps in prop::collection::vec(step(), 1..60), cut in 0usize..60, open: bool,
    ) {
        let text = text(open);
        let (mut stays, mut before, mut after) = (Bench::new(&text), Bench::new(&text), Bench::new(&text));
        let cut = cut.min(steps.len());
        for step in &steps[..cut] {
            prop_assert_eq!(run(&mut before, step), run(&mut stays, step));
        }
        copy_state(&mut before, &mut after, "rw");
        after.now = before.now;
        for step in &steps[cut..] {
            prop_assert_eq!(run(&mut after, step), run(&mut stays, step));
        }
        prop_assert_eq!(read(&mut after, "table"), read(&mut stays, "table"));
    }

    #[test]
    fn a_target_that_follows_the_log_continues_with_the_same_bytes(
        steps in prop::collection::vec(step(), 1..60), cut in 0usize..60, open: bool,
    ) {
        let text = text(open);
        let (mut stays, mut follows) = (Bench::new(&text), Bench::new(&text));
        track(&mut stays);
        let cut = cut.min(steps.len());
        for step in &steps[..cut] {
            run(&mut stays, step);
            copy_changes(&mut stays, &mut follows, "rw");
        }
        let mut small = Writer::new();
        let (_, element) = stays.router.elements_mut().find(|(name, _)| *name == "rw").unwrap();
        element.stateful().unwrap().save(&mut small);
        let (_, element) = follows.router.elements_mut().find(|(name, _)| *name == "rw").unwrap();
        element.stateful().unwrap().restore(&mut Reader::new(small.as_bytes())).unwrap();
        follows.now = stays.now;
        for step in &steps[cut..] {
            prop_assert_eq!(run(&mut stays, step), run(&mut follows, step));
        }
    }

    #[test]
    fn no_two_live_flows_ever_answer_to_the_same_packet(steps in prop::collection::vec(step(), 1..150)) {
        let mut bench = Bench::new(NAPT);
        for step in &steps {
            run(&mut bench, step);
        }
        let table = bench.read("rw", "table");
        for protocol in ["udp_table", "tcp_table"] {
            let table = bench.read("rw", protocol);
            let replies: Vec<_> = table.lines().filter(|l| l.contains(" *1]")).filter_map(|l| l.split(" => ").next()).collect();
            prop_assert_eq!(replies.iter().collect::<BTreeSet<_>>().len(), replies.len());
        }
        prop_assert_eq!(bench.read("rw", "table_size").parse::<usize>().unwrap(), table.lines().count());
    }

    #[test]
    fn no_bytes_make_a_rewriter_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..80), header in prop::bool::weighted(0.8), port in 0usize..2,
    ) {
        let mut bytes = bytes;
        if header && bytes.len() > 10 {
            bytes[0] = 0x45 | bytes[0] & 0xf;
            bytes[9] = [1, 6, 17][usize::from(bytes[9]) % 3];
            (bytes[6], bytes[7]) = (0, 0);
        }
        let text = "in :: TestIn -> MarkIPHeader -> t :: Tee(3); back :: TestIn -> MarkIPHeader -> u :: Tee(2);
            t[0] -> [0]rw :: IPRewriter(pattern 1.1.1.1 1-9 - - 0 0, drop) -> d :: Discard; u[0] -> [1]rw;
            t[1] -> [0]p :: ICMPPingRewriter(pattern 1.1.1.1 1-9 - - 0 0, drop) -> d; u[1] -> [1]p;
            t[2] -> ICMPRewriter(rw p) -> d;";
        let mut bench = Bench::new(text);
        bench.push_packets(["in", "back"][port], 0, [Packet::from_slice(&bytes), Packet::from_slice(&bytes)]);
    }
}
