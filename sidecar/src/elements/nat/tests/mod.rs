//! What a translator must do, packet by packet; checksums are judged by an independent reader.

use etherparse::{NetHeaders, PacketBuilder, PacketHeaders, TransportHeader};

use crate::state::{Reader, Writer};
use crate::testing::Bench;

mod adjusted;
mod limits;
mod moves;
mod rewriting;

pub(super) const INSIDE: [u8; 4] = [10, 0, 0, 5];
pub(super) const OUTSIDE: [u8; 4] = [192, 0, 2, 7];
pub(super) const PUBLIC: [u8; 4] = [203, 0, 113, 1];

pub(super) const NAPT: &str =
    "in :: TestIn -> MarkIPHeader -> [0]rw :: IPRewriter(pattern 203.0.113.1 20000-20009 - - 0 1, drop);
    back :: TestIn -> MarkIPHeader -> [1]rw; rw[0] -> out :: TestOut; rw[1] -> home :: TestOut;";

pub(super) fn udp(from: ([u8; 4], u16), to: ([u8; 4], u16), payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ipv4(from.0, to.0, 64).udp(from.1, to.1).write(&mut bytes, payload).unwrap();
    bytes
}

pub(super) fn tcp(from: ([u8; 4], u16), to: ([u8; 4], u16), flags: &str, payload: &[u8]) -> Vec<u8> {
    let mut builder = PacketBuilder::ipv4(from.0, to.0, 64).tcp(from.1, to.1, 1000, 4096);
    for flag in flags.chars() {
        builder = match flag {
            'S' => builder.syn(),
            'A' => builder.ack(1),
            'F' => builder.fin(),
            _ => builder.rst(),
        };
    }
    let mut bytes = Vec::new();
    builder.write(&mut bytes, payload).unwrap();
    bytes
}

pub(super) fn ping(from: [u8; 4], to: [u8; 4], id: u16, answer: bool) -> Vec<u8> {
    let builder = PacketBuilder::ipv4(from, to, 64);
    let mut bytes = Vec::new();
    if answer {
        builder.icmpv4_echo_reply(id, 1).write(&mut bytes, b"abc").unwrap();
    } else {
        builder.icmpv4_echo_request(id, 1).write(&mut bytes, b"abc").unwrap();
    }
    bytes
}

/// Source and destination of a packet whose checksums are all right.
pub(super) fn verified(bytes: &[u8]) -> (([u8; 4], u16), ([u8; 4], u16)) {
    let headers = PacketHeaders::from_ip_slice(bytes).unwrap();
    let Some(NetHeaders::Ipv4(ip, _)) = headers.net else { panic!("no IPv4 header") };
    assert_eq!(ip.header_checksum, ip.calc_header_checksum());
    let payload = headers.payload.slice();
    let (source, destination) = match headers.transport.unwrap() {
        TransportHeader::Udp(udp) => {
            if udp.checksum != 0 {
                assert_eq!(udp.checksum, udp.calc_checksum_ipv4(&ip, payload).unwrap());
            }
            (udp.source_port, udp.destination_port)
        }
        TransportHeader::Tcp(tcp) => {
            assert_eq!(tcp.checksum, tcp.calc_checksum_ipv4(&ip, payload).unwrap());
            (tcp.source_port, tcp.destination_port)
        }
        TransportHeader::Icmpv4(icmp) => {
            assert_eq!(icmp.checksum, icmp.icmp_type.calc_checksum(payload));
            let id = u16::from_be_bytes([bytes[24], bytes[25]]);
            (id, id)
        }
        other => panic!("unexpected {other:?}"),
    };
    ((ip.source, source), (ip.destination, destination))
}

pub(super) fn only(packets: Vec<Vec<u8>>) -> Vec<u8> {
    let [packet] = <[Vec<u8>; 1]>::try_from(packets).expect("one packet");
    packet
}

/// What one packet from inside becomes.
pub(super) fn sent(bench: &mut Bench, packet: &[u8]) -> (([u8; 4], u16), ([u8; 4], u16)) {
    bench.push("in", packet);
    verified(&only(bench.take("out")))
}

/// A handler of `rw`, read at the bench's time.
pub(super) fn read(bench: &mut Bench, handler: &str) -> String {
    bench.pass();
    bench.read("rw", handler)
}

/// An ICMP error from `router` that quotes the first bytes of `about`.
pub(super) fn error(router: [u8; 4], about: &[u8], kind: u8, quoted: usize) -> Vec<u8> {
    let destination = [about[12], about[13], about[14], about[15]];
    let mut bytes = Vec::new();
    let rest = &about[..about.len().min(quoted)];
    PacketBuilder::ipv4(router, destination, 64)
        .icmpv4_raw(kind, 4, [0, 0, 5, 120])
        .write(&mut bytes, rest)
        .unwrap();
    bytes
}

/// Copies all state of element `name` into another router.
pub(super) fn copy_state(from: &mut Bench, to: &mut Bench, name: &str) {
    let (_, source) = from.router.elements_mut().find(|(known, _)| *known == name).unwrap();
    let source = source.stateful().unwrap();
    let mut small = Writer::new();
    source.save(&mut small);
    let runs: Vec<Writer> = source
        .tables()
        .iter()
        .map(|table| {
            let mut w = Writer::new();
            (0..table.chunks()).for_each(|chunk| {
                table.snapshot_chunk(chunk, &mut w);
            });
            w
        })
        .collect();
    let (_, target) = to.router.elements_mut().find(|(known, _)| *known == name).unwrap();
    let target = target.stateful().unwrap();
    target.restore(&mut Reader::new(small.as_bytes())).unwrap();
    for (table, run) in target.tables().into_iter().zip(runs) {
        let mut r = Reader::new(run.as_bytes());
        while !r.is_empty() {
            table.apply(&mut r).unwrap();
        }
    }
}

/// Lets the changes of element `name` since the last call take effect in another router too.
pub(super) fn copy_changes(from: &mut Bench, to: &mut Bench, name: &str) {
    let (_, source) = from.router.elements_mut().find(|(known, _)| *known == name).unwrap();
    let runs: Vec<Writer> = source
        .stateful()
        .unwrap()
        .tables()
        .into_iter()
        .map(|table| {
            let mut w = Writer::new();
            table.take_changes(&mut w);
            w
        })
        .collect();
    let (_, target) = to.router.elements_mut().find(|(known, _)| *known == name).unwrap();
    for (table, run) in target.stateful().unwrap().tables().into_iter().zip(runs) {
        table.apply(&mut Reader::new(run.as_bytes())).unwrap();
    }
}

/// Starts to track the changes of element `rw`.
pub(super) fn track(bench: &mut Bench) {
    let (_, element) = bench.router.elements_mut().find(|(name, _)| *name == "rw").unwrap();
    element.stateful().unwrap().tables().into_iter().for_each(|table| table.set_tracking(true));
}
