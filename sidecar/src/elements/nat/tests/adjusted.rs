//! Connections whose data another element makes longer or shorter.

use std::any::Any;

use etherparse::{PacketBuilder, TcpOptionElement};

use super::super::ip_rewriter::IpRewriter;
use super::{INSIDE, OUTSIDE, PUBLIC, copy_changes, copy_state, only, read, track, verified};
use crate::testing::Bench;
use crate::wire::{FlowId, Protocol};

const TEXT: &str =
    "in :: TestIn -> MarkIPHeader -> [0]rw :: TCPRewriter(pattern 203.0.113.1 5000 - - 0 1, drop);
    back :: TestIn -> MarkIPHeader -> [1]rw; rw[0] -> out :: TestOut; rw[1] -> home :: TestOut;";

/// A segment with these numbers that acknowledges selectively.
fn segment(outwards: bool, (sequence, acknowledgement): (u32, u32), sack: Option<(u32, u32)>) -> Vec<u8> {
    let (from, to) = if outwards { ((INSIDE, 4000), (OUTSIDE, 21)) } else { ((OUTSIDE, 21), (PUBLIC, 5000)) };
    let builder =
        PacketBuilder::ipv4(from.0, to.0, 64).tcp(from.1, to.1, sequence, 4096).ack(acknowledgement);
    let options = sack.map(|sack| TcpOptionElement::SelectiveAcknowledgement(sack, [None, None, None]));
    let options: Vec<_> = [TcpOptionElement::Noop].into_iter().chain(options).collect();
    let mut bytes = Vec::new();
    builder.options(&options).unwrap().write(&mut bytes, b"data").unwrap();
    bytes
}

/// The numbers of a segment whose checksums are right.
fn numbers(bytes: &[u8]) -> (u32, u32, Option<(u32, u32)>) {
    verified(bytes);
    let at = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let sack = (bytes[32] >> 4 > 6 && bytes[41] == 5).then(|| (at(43), at(47)));
    (at(24), at(28), sack)
}

fn shift(bench: &mut Bench, trigger: u32, by: i32) {
    let flow = FlowId {
        source: u32::from_be_bytes(INSIDE),
        destination: u32::from_be_bytes(OUTSIDE),
        source_port: 4000,
        destination_port: 21,
        protocol: Protocol::Tcp,
    };
    let (_, element) = bench.router.elements_mut().find(|(name, _)| *name == "rw").unwrap();
    let flows = (element as &mut dyn Any).downcast_mut::<IpRewriter>().unwrap().flows();
    let (slot, way) = flows.table.find(&flow).unwrap();
    assert!(flows.shift_sequence(slot, way, trigger, by));
}

fn out(bench: &mut Bench, packet: &[u8]) -> (u32, u32, Option<(u32, u32)>) {
    bench.push("in", packet);
    numbers(&only(bench.take("out")))
}

fn home(bench: &mut Bench, packet: &[u8]) -> (u32, u32, Option<(u32, u32)>) {
    bench.push("back", packet);
    numbers(&only(bench.take("home")))
}

#[test]
fn numbers_are_shifted_from_the_trigger_on_and_acknowledgements_back_selective_ones_too() {
    let mut bench = Bench::new(TEXT);
    assert_eq!(out(&mut bench, &segment(true, (1000, 70), None)), (1000, 70, None));
    shift(&mut bench, 1004, 3);
    assert_eq!(out(&mut bench, &segment(true, (1000, 70), None)), (1000, 70, None), "sent again");
    assert_eq!(out(&mut bench, &segment(true, (1004, 74), None)), (1007, 74, None));
    let sack = Some((1107, 1207));
    assert_eq!(home(&mut bench, &segment(false, (70, 1007), sack)), (70, 1004, Some((1104, 1204))));
    assert_eq!(home(&mut bench, &segment(false, (70, 1002), None)), (70, 1002, None));
    let table = read(&mut bench, "table");
    assert!(table.lines().next().unwrap().contains(", 21) seq +3 [*0 1] i0 exp"), "{table}");
    assert!(!table.lines().nth(1).unwrap().contains("seq"), "{table}");
}

#[test]
fn offsets_move_with_their_flow_by_snapshot_and_by_log() {
    let (mut before, mut copied, mut follows) = (Bench::new(TEXT), Bench::new(TEXT), Bench::new(TEXT));
    track(&mut before);
    out(&mut before, &segment(true, (1000, 70), None));
    copy_changes(&mut before, &mut follows, "rw");
    shift(&mut before, 1004, -2);
    copy_changes(&mut before, &mut follows, "rw");
    copy_state(&mut before, &mut copied, "rw");
    for bench in [&mut copied, &mut follows, &mut before] {
        assert_eq!(out(bench, &segment(true, (1004, 74), None)), (1002, 74, None));
        assert_eq!(home(bench, &segment(false, (74, 1002), None)), (74, 1004, None));
    }
}

#[test]
fn an_offset_goes_with_its_flow() {
    let mut bench = Bench::new(TEXT);
    out(&mut bench, &segment(true, (1000, 70), None));
    shift(&mut bench, 1004, 3);
    bench.router.write_handler("rw", "clear", "").unwrap();
    assert_eq!(out(&mut bench, &segment(true, (1004, 74), None)), (1004, 74, None));
    let (_, element) = bench.router.elements_mut().find(|(name, _)| *name == "rw").unwrap();
    assert!(element.stateful().unwrap().tables()[1].is_empty());
}
