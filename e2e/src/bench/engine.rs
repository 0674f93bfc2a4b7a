//! What the example's parts cost for each packet: the engine alone, in this process, on one core.
//!
//! Devices give and take frames from memory; links are the router's own queues. The control is the same loop without
//! the graph: making a packet, reading the clock once a batch, dropping the packet.

use std::hint::black_box;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use anf_click::FlatGraph;
use anf_sidecar::device::{Device, Sent};
use anf_sidecar::engine::{Env, Router, Time};
use anf_sidecar::packet::{Batch, Packet};
use anf_sidecar::registry::Registry;
use nix::time::{ClockId, clock_gettime};

use super::{Figure, checksum, quantile};
use crate::Error;
use crate::lab::Example;

const BENCH: &str = "engine";
const RUNS: usize = 7;
const RUN_LENGTH: Duration = Duration::from_millis(300);
/// The clock is looked at once in so many batches.
pub(super) const BATCHES: usize = 64;
const ETHER_BYTES: usize = 14;
const LAN_MAC: [u8; 6] = [0x02, 0, 0x0a, 0x64, 0x01, 0x01];
const WAN_MAC: [u8; 6] = [0x02, 0, 0x0a, 0x64, 0x02, 0x01];
const HOST_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x07];

/// Names of the cases.
pub const CASES: [&str; 5] = [
    "classify, from the device",
    "nat, 1 k flows",
    "nat, 10 k flows",
    "nat, 40 k flows",
    "whole graph, uncut, 1 k flows",
];

/// Measures one of [`CASES`].
pub fn measure(case: &str, example: &Example) -> Result<Figure, Error> {
    let (values, control) = match case {
        "nat, 1 k flows" => nat(example, 1_000)?,
        "nat, 10 k flows" => nat(example, 10_000)?,
        "nat, 40 k flows" => nat(example, 40_000)?,
        "whole graph, uncut, 1 k flows" => from_device(example.whole(), 1_000)?,
        _ => from_device(example.part("classify")?, 1_000)?,
    };
    Ok(Figure {
        bench: BENCH.into(),
        case: case.into(),
        metric: "cost a packet".into(),
        value: quantile(&values, 0.5),
        unit: "ns".into(),
        control: Some(quantile(&control, 0.5)),
        runs: RUNS,
    })
}

/// Packets of clients through the translation, from one link to the next.
fn nat(example: &Example, flows: u32) -> Result<(Vec<f64>, Vec<f64>), Error> {
    let edge = example.edge("classify", "nat")?;
    let mut router = build(example.part("nat")?, Vec::new())?;
    let packets: Vec<Vec<u8>> = (0..flows).map(|flow| frame(flow)[ETHER_BYTES..].to_vec()).collect();
    let mut source = Source { frames: packets, next: 0 };
    let mut batch = Batch::new();
    let mut passed = 0;
    let mut through = |batches: usize, source: &mut Source| {
        for _ in 0..batches {
            let now = Time::system();
            source.fill(&mut batch, now);
            for packet in batch.iter_mut() {
                packet.set_network_header(0, 20);
                packet.anno_mut().dst_ip = [10, 100, 2, 2].into();
            }
            router.inject(edge, &mut batch, now);
            passed += router.take_link_output().count();
        }
    };
    // Once round, so that every flow has its binding.
    let round = flows as usize / 32 + 1;
    through(round, &mut source);
    let values = timed(|| through(BATCHES, &mut source));
    if passed < flows as usize {
        return Err(Error::invalid("nat", format!("only {passed} packets came out")));
    }
    let mut batch = Batch::new();
    let control = timed(|| {
        for _ in 0..BATCHES {
            source.fill(&mut batch, Time::system());
            black_box(&mut batch).clear();
        }
    });
    Ok((values, control))
}

/// Frames of clients from the device `lan` on.
fn from_device(graph: &FlatGraph, flows: u32) -> Result<(Vec<f64>, Vec<f64>), Error> {
    let frames: Vec<Vec<u8>> = (0..flows).map(frame).collect();
    let lan = Memory::of(frames);
    // The server answers the question for its address before it is asked.
    let wan = Memory { source: Source { frames: vec![arp_reply()], next: 0 }, once: true };
    let mut router = build(graph, vec![("lan", lan), ("wan", wan)])?;
    let mut pass = || {
        for _ in 0..BATCHES {
            router.run(Time::system());
            black_box(router.take_link_output().count());
        }
    };
    (0..flows as usize / 32 / BATCHES + 1).for_each(|_| pass());
    let values = timed(pass);
    let mut source = Source { frames: (0..flows).map(frame).collect(), next: 0 };
    let mut batch = Batch::new();
    let control = timed(|| {
        for _ in 0..BATCHES {
            source.fill(&mut batch, Time::system());
            black_box(&mut batch).clear();
        }
    });
    Ok((values, control))
}

/// A graph with a source of its own, run as it is: nanoseconds of processor time a packet of each run, by a handler
/// that counts packets.
pub(super) fn uncut(graph: &FlatGraph, count: &str) -> Result<Vec<f64>, Error> {
    let mut router = build(graph, Vec::new())?;
    let (element, handler) = count.rsplit_once('.').unwrap_or(("", count));
    let packets = |router: &mut Router| -> Result<f64, Error> {
        let text = router.read_handler(element, handler).map_err(|error| Error::invalid(count, error))?;
        text.trim().parse().map_err(|error| Error::invalid(count, error))
    };
    (0..RUNS)
        .map(|_| {
            let before = packets(&mut router)?;
            let spent = spend(|| {
                for _ in 0..BATCHES {
                    router.run(Time::system());
                }
            });
            Ok(spent.as_nanos() as f64 / (packets(&mut router)? - before))
        })
        .collect()
}

/// Nanoseconds of processor time a packet of each run, so that other load costs only its caches; `work` carries
/// [`BATCHES`] full batches.
fn timed(mut work: impl FnMut()) -> Vec<f64> {
    let packets_of_work = (BATCHES * 32) as f64;
    (0..RUNS)
        .map(|_| {
            let mut packets = 0.0;
            let spent = spend(|| {
                work();
                packets += packets_of_work;
            });
            spent.as_nanos() as f64 / packets
        })
        .collect()
}

/// Works for the length of a run; answers the processor time that it took.
pub(super) fn spend(mut work: impl FnMut()) -> Duration {
    let started = processor_time();
    while processor_time() - started < RUN_LENGTH {
        work();
    }
    processor_time() - started
}

/// What this thread has used; it cannot fail for one's own thread.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

pub(super) fn build(graph: &FlatGraph, devices: Vec<(&str, Memory)>) -> Result<Router, Error> {
    let registry = Registry::standard();
    let settled =
        anf_click::settle(graph.clone(), &registry).map_err(|error| Error::invalid("graph", error))?;
    let mut env = Env { now: Time::system(), ..Env::default() };
    for (name, device) in devices {
        env.devices.insert(name.to_owned(), Box::new(device));
    }
    Router::build(&settled, &registry, &mut env).map_err(|error| Error::invalid("graph", error))
}

/// Frames again and again.
struct Source {
    frames: Vec<Vec<u8>>,
    next: usize,
}

impl Source {
    fn fill(&mut self, batch: &mut Batch, now: Time) {
        while !batch.is_full() {
            let mut packet = Packet::from_slice(&self.frames[self.next]);
            packet.anno_mut().timestamp = now;
            batch.push(packet);
            self.next = (self.next + 1) % self.frames.len();
        }
    }
}

/// A device that gives frames from memory and takes all.
pub(super) struct Memory {
    source: Source,
    once: bool,
}

impl Memory {
    pub(super) fn of(frames: Vec<Vec<u8>>) -> Self {
        Self { source: Source { frames, next: 0 }, once: false }
    }
}

impl Device for Memory {
    fn receive(&mut self, batch: &mut Batch, now: Time) -> io::Result<usize> {
        let room = batch.room();
        if self.once {
            let Some(frame) = self.source.frames.pop() else { return Ok(0) };
            batch.push(Packet::from_slice(&frame));
            return Ok(1);
        }
        self.source.fill(batch, now);
        Ok(room)
    }

    fn send(&mut self, batch: &mut Batch) -> io::Result<Sent> {
        let sent = batch.len();
        batch.clear();
        Ok(Sent { sent, refused: 0 })
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// A UDP packet of 64 bytes with Ethernet header, from a client's flow to the server.
fn frame(flow: u32) -> Vec<u8> {
    let mut frame = [&LAN_MAC[..], &HOST_MAC, &[0x08, 0x00]].concat();
    let port = 1024 + (flow % 60_000) as u16;
    let mut ip = vec![
        0x45,
        0,
        0,
        50,
        0,
        0,
        0x40,
        0,
        64,
        17,
        0,
        0,
        10,
        100,
        1,
        2 + (flow / 60_000) as u8,
        10,
        100,
        2,
        2,
    ];
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    frame.extend_from_slice(&ip);
    frame.extend_from_slice(&port.to_be_bytes());
    // Port, length, and no checksum, which IPv4 allows.
    frame.extend_from_slice(&[0x1e, 0x61, 0, 30, 0, 0]);
    frame.resize(64, 0);
    frame
}

/// 10.100.2.2 tells 10.100.2.1 its address.
fn arp_reply() -> Vec<u8> {
    let mut frame = [&WAN_MAC[..], &HOST_MAC, &[0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 2]].concat();
    frame.extend_from_slice(&[&HOST_MAC[..], &[10, 100, 2, 2], &WAN_MAC, &[10, 100, 2, 1]].concat());
    frame.resize(60, 0);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_a_valid_ip_packet_of_64_bytes() {
        let frame = frame(70_000);
        assert_eq!((frame.len(), checksum(&frame[14..34])), (64, 0));
        assert_eq!(arp_reply().len(), 60);
    }
}
