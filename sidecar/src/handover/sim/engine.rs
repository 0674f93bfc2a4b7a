//! Small engines for the simulator: a translator with strict bindings and lazy counters, and a peer that sends numbers
//! and notes what comes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, BufMut, Bytes};

use super::super::engine::{BadBody, Engine, OutputSink};
use crate::state::{Reader, StateError, Writer};

/// A packet of the simulation: flow, number within its stream, and the binding that the translator gave (0: none).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SimPacket {
    pub(super) flow: u16,
    pub(super) number: u64,
    pub(super) binding: u64,
}

impl SimPacket {
    fn put(self, out: &mut impl BufMut) {
        out.put_u16(self.flow);
        out.put_u64(self.number);
        out.put_u64(self.binding);
    }

    fn take(body: &mut Bytes) -> Option<Self> {
        (body.len() >= 18).then(|| Self {
            flow: body.get_u16(),
            number: body.get_u64(),
            binding: body.get_u64(),
        })
    }
}

fn packets(edge: u16, count: u16, skip: u16, body: &Bytes) -> Result<Vec<SimPacket>, BadBody> {
    let mut body = body.clone();
    let all: Option<Vec<_>> = (0..count).map(|_| SimPacket::take(&mut body)).collect();
    let all = all.filter(|_| body.is_empty()).ok_or(BadBody { edge, count })?;
    Ok(all.into_iter().skip(usize::from(skip)).collect())
}

/// The count in a strict record: the count that is there stays.
const BINDING_ONLY: u64 = u64::MAX;

/// A translator: each edge leads to the next number, and edge 11 joins edge 2; one binding per flow, never one binding
/// for two flows. Bindings count from `first`, and those of several translators add up in a packet.
#[derive(Debug, Default)]
pub(super) struct Translator {
    first: u64,
    pub(super) bindings: BTreeMap<u16, (u64, u64)>,
    pub(super) total: u64,
    changed: BTreeSet<u16>,
    /// Flows with a new binding.
    made: BTreeSet<u16>,
    strict: bool,
    output: Vec<(u16, SimPacket)>,
    tracking: bool,
}

impl Translator {
    pub(super) fn new(first: u64) -> Self {
        Self { first, ..Self::default() }
    }
}

impl Engine for Translator {
    fn inject(&mut self, edge: u16, count: u16, skip: u16, body: &Bytes, _: u64) -> Result<(), BadBody> {
        for packet in packets(edge, count, skip, body)? {
            let next = (self.bindings.len() as u64 + 1000) * self.first;
            let entry = self.bindings.entry(packet.flow).or_insert((next, 0));
            if entry.0 == next {
                self.strict = true;
                self.made.insert(packet.flow);
            }
            entry.1 += 1;
            self.total += 1;
            self.changed.insert(packet.flow);
            let to = if edge == 11 { 2 } else { edge + 1 };
            self.output.push((to, SimPacket { binding: packet.binding + entry.0, ..packet }));
        }
        Ok(())
    }
    fn run(&mut self, _: u64) -> bool {
        false
    }
    fn next_timer(&self) -> u64 {
        u64::MAX
    }
    fn has_output(&self) -> bool {
        !self.output.is_empty()
    }
    fn is_repeatable(&self) -> bool {
        true
    }
    fn take_output(&mut self, sink: &mut dyn OutputSink) {
        for (edge, packet) in self.output.drain(..) {
            if let Some(out) = sink.open_packet(edge) {
                packet.put(out);
            }
        }
    }
    fn set_tracking(&mut self, on: bool) {
        self.tracking = on;
    }
    fn has_strict(&mut self) -> bool {
        self.tracking && self.strict
    }
    fn has_changes(&mut self) -> bool {
        self.tracking && !self.changed.is_empty()
    }
    fn take_strict(&mut self, w: &mut Writer) {
        self.strict = false;
        let made = std::mem::take(&mut self.made);
        w.put_u32(made.len() as u32);
        for flow in made {
            w.put_u16(flow);
            w.put_u64(self.bindings[&flow].0);
            w.put_u64(BINDING_ONLY);
        }
    }
    fn take_changes(&mut self, w: &mut Writer) -> u32 {
        self.strict = false;
        self.made.clear();
        let changed = std::mem::take(&mut self.changed);
        w.put_u32(changed.len() as u32);
        for flow in &changed {
            let (binding, count) = self.bindings[flow];
            w.put_u16(*flow);
            w.put_u64(binding);
            w.put_u64(count);
        }
        changed.len() as u32
    }
    fn snapshot_blobs(&mut self) -> u32 {
        1
    }
    fn snapshot_blob(&mut self, _: u32, w: &mut Writer) {
        w.put_u32(self.bindings.len() as u32);
        for (flow, (binding, count)) in &self.bindings {
            w.put_u16(*flow);
            w.put_u64(*binding);
            w.put_u64(*count);
        }
    }
    fn apply_changes(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        while !r.is_empty() {
            for _ in 0..r.get_u32()? {
                let (flow, binding, count) = (r.get_u16()?, r.get_u64()?, r.get_u64()?);
                let entry = self.bindings.entry(flow).or_insert((binding, 0));
                *entry = (binding, if count == BINDING_ONLY { entry.1 } else { count });
            }
        }
        Ok(())
    }
    fn save(&mut self, w: &mut Writer) {
        w.put_u64(self.total);
    }
    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.total = r.get_u64()?;
        Ok(())
    }
    fn reset(&mut self) {
        *self = Self { tracking: self.tracking, first: self.first, ..Self::default() };
    }
    fn flows(&mut self) -> u64 {
        self.bindings.len() as u64
    }
    fn advance_time(&mut self, _: u64) {}
    fn set_serving(&mut self, _: bool) {}
}

/// A peer: sends numbered packets, each flow on one of its edges, and notes what comes.
#[derive(Debug, Default)]
pub(super) struct PeerEngine {
    edges: Vec<u16>,
    /// Per edge.
    pub(super) sent: Vec<u64>,
    pub(super) received: Vec<SimPacket>,
    output: Vec<(u16, SimPacket)>,
}

impl PeerEngine {
    pub(super) fn new(edges: &[u16]) -> Self {
        Self { edges: edges.to_vec(), sent: vec![0; edges.len()], ..Self::default() }
    }

    /// Packets sent on all edges.
    pub(super) fn all_sent(&self) -> u64 {
        self.sent.iter().sum()
    }

    /// The stream that a flow belongs to.
    pub(super) fn stream(&self, flow: u16) -> usize {
        usize::from(flow) % self.edges.len()
    }

    /// One more packet enters.
    pub(super) fn emit(&mut self, flow: u16) {
        let at = self.stream(flow);
        self.output.push((self.edges[at], SimPacket { flow, number: self.sent[at], binding: 0 }));
        self.sent[at] += 1;
    }
}

impl Engine for PeerEngine {
    fn inject(&mut self, edge: u16, count: u16, skip: u16, body: &Bytes, _: u64) -> Result<(), BadBody> {
        self.received.extend(packets(edge, count, skip, body)?);
        Ok(())
    }
    fn run(&mut self, _: u64) -> bool {
        false
    }
    fn next_timer(&self) -> u64 {
        u64::MAX
    }
    fn has_output(&self) -> bool {
        !self.output.is_empty()
    }
    fn is_repeatable(&self) -> bool {
        true
    }
    fn take_output(&mut self, sink: &mut dyn OutputSink) {
        for (edge, packet) in self.output.drain(..) {
            if let Some(out) = sink.open_packet(edge) {
                packet.put(out);
            }
        }
    }
    fn set_tracking(&mut self, _: bool) {}
    fn has_strict(&mut self) -> bool {
        false
    }
    fn has_changes(&mut self) -> bool {
        false
    }
    fn take_strict(&mut self, _: &mut Writer) {}
    fn take_changes(&mut self, _: &mut Writer) -> u32 {
        0
    }
    fn snapshot_blobs(&mut self) -> u32 {
        0
    }
    fn snapshot_blob(&mut self, _: u32, w: &mut Writer) {
        w.put_u32(0);
    }
    fn apply_changes(&mut self, _: &mut Reader<'_>) -> Result<(), StateError> {
        Ok(())
    }
    fn save(&mut self, _: &mut Writer) {}
    fn restore(&mut self, _: &mut Reader<'_>) -> Result<(), StateError> {
        Ok(())
    }
    fn reset(&mut self) {}
    fn flows(&mut self) -> u64 {
        0
    }
    fn advance_time(&mut self, _: u64) {}
    fn set_serving(&mut self, _: bool) {}
}
