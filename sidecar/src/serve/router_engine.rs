//! The packet engine behind the handover's [`Engine`]: a router of elements, its tables and its small state.

use anf_click::Annotations;
use bytes::Bytes;

use crate::engine::{ElementId, Router, Time, put_table};
use crate::handover::engine::{BadBody, Engine, OutputSink};
use crate::link::frame::MAX_PACKETS;
use crate::manifest::Manifest;
use crate::packet::Batch;
use crate::state::{Reader, StateError, Table, Writer};

use super::packets;

/// Passes in one call of `run`, so that links and timers get their turn.
const MAX_PASSES: u32 = 8;
/// The same while each pass sends to a link and what was sent is less than a frame: a source that gives a packet at a
/// time would else pay for a round of the packet thread every few packets.
const MAX_FILLING_PASSES: u32 = 64;

/// A router that can be handed over.
#[derive(Debug)]
pub struct RouterEngine {
    router: Router,
    annotations: Vec<(u16, Annotations)>,
    /// Names of the elements that read devices.
    readers: Vec<String>,
    /// Elements with state, and whether they keep tables.
    stateful: Vec<(ElementId, bool)>,
    repeatable: bool,
    fresh: Bytes,
    now: u64,
    serving: bool,
    next_timer: u64,
    /// Calls of `run` in which something was done.
    worked: u64,
}

impl RouterEngine {
    /// Takes a router that was just built for `manifest`.
    pub fn new(mut router: Router, manifest: &Manifest) -> Self {
        let links = manifest.in_links.iter().chain(&manifest.out_links);
        let annotations =
            links.flat_map(|link| &link.edges).map(|edge| (edge.id, Annotations(edge.annotations)));
        let mut stateful = Vec::new();
        for id in router.ids() {
            if let Some(state) = router.state_of(id) {
                stateful.push((id, !state.tables().is_empty()));
            }
        }
        let readers =
            router.classes().filter(|(_, class)| class.reads_device()).map(|(name, _)| name.to_string());
        let repeatable = router.classes().all(|(_, class)| class.keeps_order);
        let mut engine = Self {
            readers: readers.collect(),
            router,
            annotations: annotations.collect(),
            stateful,
            repeatable,
            fresh: Bytes::new(),
            now: 0,
            serving: false,
            next_timer: u64::MAX,
            worked: 0,
        };
        let mut fresh = Writer::new();
        engine.save(&mut fresh);
        engine.fresh = fresh.into_bytes().into();
        engine
    }

    /// The router, for handlers, devices and counters.
    pub fn router(&mut self) -> &mut Router {
        &mut self.router
    }

    /// The router, to look at.
    pub fn router_ref(&self) -> &Router {
        &self.router
    }

    /// Whether devices are to be read.
    pub fn is_serving(&self) -> bool {
        self.serving
    }

    /// A device became ready: its elements run in the next pass.
    pub fn device_woke(&mut self) {
        self.next_timer = 0;
    }

    /// How often something was done when it ran.
    pub fn worked(&self) -> u64 {
        self.worked
    }

    /// Packets that devices brought.
    pub fn device_packets(&mut self) -> u64 {
        let mut packets = 0;
        for at in 0..self.readers.len() {
            let count = self.router.read_handler(&self.readers[at], "count");
            packets += count.ok().and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or(0);
        }
        packets
    }

    fn annotations_of(&self, edge: u16) -> Annotations {
        let found = self.annotations.iter().find(|(id, _)| *id == edge);
        found.map_or(Annotations::NONE, |(_, annotations)| *annotations)
    }

    fn time(&mut self, now: u64) -> Time {
        self.now = self.now.max(now);
        Time(self.now)
    }

    fn each_table(&mut self, mut visit: impl FnMut(&str, u8, &mut dyn Table)) {
        for at in 0..self.stateful.len() {
            let (id, has_tables) = self.stateful[at];
            if !has_tables {
                continue;
            }
            let name = self.router.name(id).to_string();
            let Some(state) = self.router.state_of(id) else { continue };
            for (index, table) in state.tables().into_iter().enumerate() {
                visit(&name, index as u8, table);
            }
        }
    }

    fn any_table(&mut self, test: impl Fn(&dyn Table) -> bool) -> bool {
        (0..self.stateful.len()).any(|at| {
            let (id, has_tables) = self.stateful[at];
            has_tables
                && self
                    .router
                    .state_of(id)
                    .is_some_and(|state| state.tables().into_iter().any(|table| test(table)))
        })
    }
}

impl Engine for RouterEngine {
    fn inject(&mut self, edge: u16, count: u16, skip: u16, body: &Bytes, now: u64) -> Result<(), BadBody> {
        let (time, annotations) = (self.time(now), self.annotations_of(edge));
        let (mut body, mut batch) = (&body[..], Batch::default());
        for at in 0..count {
            let packet = packets::decode(&mut body, annotations).ok_or(BadBody { edge, count })?;
            if at >= skip {
                batch.push(packet);
            }
            if batch.is_full() {
                self.router.inject(edge, &mut batch, time);
            }
        }
        if !batch.is_empty() {
            self.router.inject(edge, &mut batch, time);
        }
        self.next_timer = 0;
        if body.is_empty() { Ok(()) } else { Err(BadBody { edge, count }) }
    }

    fn run(&mut self, now: u64) -> bool {
        if !self.serving {
            return false;
        }
        let time = self.time(now);
        let mut worked = false;
        for pass in 1..=MAX_FILLING_PASSES {
            let before = self.router.link_output_len();
            let done = self.router.run(time);
            worked |= done.worked;
            let next = done.next_timer.map_or(u64::MAX, |timer| timer.0);
            self.next_timer = if done.ready { now } else { next };
            let sent = self.router.link_output_len();
            let fills_a_frame = sent > before && sent < usize::from(MAX_PACKETS);
            if !done.ready || (!done.worked && pass > 1) || (pass >= MAX_PASSES && !fills_a_frame) {
                break;
            }
        }
        self.router.serve_links();
        self.worked += u64::from(worked);
        worked
    }

    fn next_timer(&self) -> u64 {
        self.next_timer
    }

    fn has_output(&self) -> bool {
        !self.router.link_output_is_empty()
    }

    fn is_repeatable(&self) -> bool {
        self.repeatable
    }

    fn take_output(&mut self, sink: &mut dyn OutputSink) {
        let annotations = &self.annotations;
        for (edge, packet) in self.router.take_link_output() {
            if let Some(out) = sink.open_packet(edge) {
                let found = annotations.iter().find(|(id, _)| *id == edge);
                packets::encode(
                    &packet,
                    found.map_or(Annotations::NONE, |(_, annotations)| *annotations),
                    out,
                );
            }
        }
    }

    fn set_tracking(&mut self, on: bool) {
        self.each_table(|_, _, table| table.set_tracking(on));
    }

    fn has_strict(&mut self) -> bool {
        self.any_table(|table| table.has_strict())
    }

    fn has_changes(&mut self) -> bool {
        self.any_table(|table| table.has_changes())
    }

    fn take_strict(&mut self, w: &mut Writer) {
        self.each_table(|name, index, table| {
            if table.has_strict() {
                put_table(name, index, table, w, |table, w| table.take_strict(w));
            }
        });
    }

    fn take_changes(&mut self, w: &mut Writer) -> u32 {
        let mut records = 0;
        self.each_table(|name, index, table| {
            if table.has_changes() {
                records += put_table(name, index, table, w, |table, w| table.take_changes(w));
            }
        });
        records
    }

    fn snapshot_blobs(&mut self) -> u32 {
        let mut blobs = 0;
        self.each_table(|_, _, table| blobs += table.chunks());
        blobs
    }

    fn snapshot_blob(&mut self, index: u32, w: &mut Writer) {
        let mut first = 0;
        self.each_table(|name, at, table| {
            let chunks = table.chunks();
            if (first..first + chunks).contains(&index) {
                put_table(name, at, table, w, |table, w| table.snapshot_chunk(index - first, w));
            }
            first += chunks;
        });
    }

    fn apply_changes(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        while !r.is_empty() {
            self.router.apply_table(r)?;
        }
        Ok(())
    }

    fn save(&mut self, w: &mut Writer) {
        self.router.save(w);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.router.restore(r)
    }

    fn reset(&mut self) {
        self.each_table(|_, _, table| table.clear());
        let fresh = self.fresh.clone();
        // What was just written by the same elements is read back without an error.
        let _ = self.restore(&mut Reader::new(&fresh));
    }

    fn flows(&mut self) -> u64 {
        let mut flows = 0;
        self.each_table(|_, _, table| flows += table.len() as u64);
        flows
    }

    fn advance_time(&mut self, now: u64) {
        self.now = self.now.max(now);
    }

    fn set_serving(&mut self, on: bool) {
        self.serving = on;
        if on {
            self.next_timer = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::manifest::{EdgeSpec, FunctionRef, LinkSpec, OnUnavailable, StoreSpec};

    #[derive(Default)]
    struct Sink(Vec<u16>, BytesMut);

    impl OutputSink for Sink {
        fn open_packet(&mut self, edge: u16) -> Option<&mut BytesMut> {
            self.0.push(edge);
            Some(&mut self.1)
        }
    }

    fn engine() -> RouterEngine {
        let link =
            |id| LinkSpec { peer: "b".into(), edges: vec![EdgeSpec { id, annotations: 0 }], in_cycle: false };
        let manifest = Manifest {
            function: FunctionRef { namespace: "n".into(), name: "f".into(), uid: "u".into() },
            sub_function: "a".into(),
            graph_hash: String::new(),
            click: "FromLinkPull(EDGE 0, SIGNAL 3, AHEAD 8) -> Unqueue -> q :: Queue -> ToLinkPull(EDGE 1);"
                .into(),
            ports: Vec::new(),
            in_links: vec![link(0)],
            out_links: vec![link(1), link(3)],
            links: crate::manifest::LinkPolicy::default(),
            store: StoreSpec { url: String::new(), on_unavailable: OnUnavailable::FailOpen },
        };
        RouterEngine::new(super::super::build_router(&manifest).unwrap(), &manifest)
    }

    fn output(engine: &mut RouterEngine) -> Vec<u16> {
        let mut sink = Sink::default();
        engine.take_output(&mut sink);
        sink.0
    }

    #[test]
    fn only_an_engine_that_serves_pulls_for_links_and_says_signals() {
        let mut engine = engine();
        engine.run(1);
        assert!(output(&mut engine).is_empty());
        engine.set_serving(true);
        assert!(output(&mut engine).is_empty());
        engine.run(2);
        assert_eq!(output(&mut engine), [3]);
        // A link that cannot take more keeps the engine from running: what comes in waits where it is.
        engine.inject(0, 1, 0, &Bytes::from_static(&[0, 0, 0, 1, 7]), 3).unwrap();
        assert!(output(&mut engine).is_empty());
        engine.run(4);
        assert_eq!(output(&mut engine), [1, 3]);
    }
}
