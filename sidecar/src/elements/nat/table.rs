//! The table of mappings: flow records, and what is derived from them.
//!
//! Only the records (`FlowTable`) are saved and logged. What is `derived` follows each record that is put in or taken
//! out, by the owner and by a target that applies the log alike. Invariant: no two live mappings have the same reply
//! flow, so a reply has one destination.

use super::derived::Derived;
use super::eviction::{Eviction, Times};
use super::mapping::{Mapping, SCHEMA, Timeouts, Way};
use super::pattern::{Choice, Pattern, Variation};
use super::port_pool::Wanted;
use crate::state::{Applied, FlowTable, Reader, Schema, SlotId, StateError, Table, Writer};
use crate::wire::FlowId;

pub(super) struct MappingTable {
    flows: FlowTable<FlowId, Mapping>,
    timeouts: Timeouts,
    derived: Derived,
    /// Who makes room; `None` until room is short.
    eviction: Option<Eviction>,
    /// Flows that went and had adjusted sequence numbers.
    orphans: Vec<FlowId>,
}

impl MappingTable {
    pub(super) fn new(timeouts: Timeouts) -> Self {
        Self {
            flows: FlowTable::new(SCHEMA, move |flow, mapping| timeouts.deadline(flow, mapping)),
            timeouts,
            derived: Derived::default(),
            eviction: None,
            orphans: Vec::new(),
        }
    }

    /// Keeps account of the ports of the address that a pattern chooses ports of.
    pub(super) fn serve(&mut self, pattern: &Pattern) {
        let Some(address) = pattern.source.filter(|_| matches!(pattern.variation, Variation::Port { .. }))
        else {
            return;
        };
        if self.derived.serve(address) {
            self.derive_all();
        }
    }

    /// Flows that an input made.
    pub(super) fn made_by(&self, input: usize) -> usize {
        self.derived.made_by(input)
    }

    /// Flows in the table; each has a mapping for both ways.
    pub(super) fn len(&self) -> usize {
        self.flows.len()
    }

    /// The mapping whose forward flow is `flow`.
    #[inline]
    pub(super) fn find_forward(&self, flow: &FlowId) -> Option<SlotId> {
        self.flows.find(flow)
    }

    /// The mapping whose reply flow is `flow`.
    #[inline]
    pub(super) fn find_reply(&self, flow: &FlowId) -> Option<SlotId> {
        self.derived.find_reply(&self.flows, flow)
    }

    /// The mapping for a packet of `flow`, and which way it goes.
    #[inline]
    pub(super) fn find(&self, flow: &FlowId) -> Option<(SlotId, Way)> {
        let forward = self.find_forward(flow).map(|slot| (slot, Way::Forward));
        forward.or_else(|| self.find_reply(flow).map(|slot| (slot, Way::Reply)))
    }

    /// Whether a packet of `flow` goes `way` through the mapping at `slot`.
    #[inline]
    pub(super) fn is_at(&self, slot: SlotId, way: Way, flow: &FlowId) -> bool {
        match way {
            Way::Forward => self.flows.key(slot) == Some(flow),
            Way::Reply => self.flows.value(slot).is_some_and(|m| m.rewritten.reverse() == *flow),
        }
    }

    #[inline]
    pub(super) fn get(&self, slot: SlotId) -> Option<(&FlowId, &Mapping)> {
        Some((self.flows.key(slot)?, self.flows.value(slot)?))
    }

    /// The mapping at a slot, to note a packet in it.
    #[inline]
    pub(super) fn note(&mut self, slot: SlotId) -> Option<&mut Mapping> {
        self.flows.value_mut_lazy(slot)
    }

    /// Says that the mapping at `slot` is now due earlier.
    pub(super) fn hasten(&mut self, slot: SlotId) {
        self.flows.reschedule(slot);
        if let (Some(eviction), Some(flow), Some(mapping)) =
            (&mut self.eviction, self.flows.key(slot), self.flows.value(slot))
        {
            eviction.hasten(self.timeouts.deadline(flow, mapping), *flow);
        }
    }

    /// The mapping at a slot, to change what later packets depend on.
    pub(super) fn change(&mut self, slot: SlotId) -> Option<&mut Mapping> {
        self.flows.value_mut_strict(slot)
    }

    /// When a mapping is due that has no guarantee.
    pub(super) fn due_without_guarantee(&self, flow: &FlowId, mapping: &Mapping) -> Option<u64> {
        let guaranteed = self.timeouts.guaranteed_until(flow, mapping) > mapping.last_seen;
        (!guaranteed).then(|| self.timeouts.deadline(flow, mapping))
    }

    /// The flow that is the next to go of those that may make room, and when it is due.
    pub(super) fn next_to_go(&mut self, now: u64) -> Option<(u64, FlowId)> {
        self.with_eviction(|eviction, times| eviction.next(now, times))
    }

    /// The same when none is spared.
    fn first_of_all(&mut self, now: u64) -> Option<FlowId> {
        self.with_eviction(|eviction, times| {
            let next = eviction.next(now, times).map(|(_, flow)| flow);
            next.or_else(|| eviction.next_guaranteed(times))
        })
    }

    fn with_eviction<T>(
        &mut self,
        ask: impl FnOnce(&mut Eviction, &dyn Fn(&FlowId) -> Option<Times>) -> T,
    ) -> T {
        let Self { flows, timeouts, eviction, .. } = self;
        let times = |flow: &FlowId| {
            let mapping = flows.get(flow)?;
            let guaranteed = timeouts.guaranteed_until(flow, mapping);
            Some(Times { guaranteed, due: timeouts.deadline(flow, mapping) })
        };
        let all = || {
            Eviction::of(
                flows.iter().map(|(flow, mapping)| (timeouts.guaranteed_until(flow, mapping), *flow)),
            )
        };
        ask(eviction.get_or_insert_with(all), &times)
    }

    /// Removes flows, those that go next first, until only `limit` are left.
    pub(super) fn shrink(&mut self, limit: usize, now: u64) {
        while self.len() > limit {
            let Some(flow) = self.first_of_all(now) else { return };
            self.remove_flow(&flow);
        }
    }

    /// Removes all flows that an input made.
    pub(super) fn remove_made_by(&mut self, input: usize) {
        let made: Vec<FlowId> =
            self.iter().filter(|(_, m)| usize::from(m.input) == input).map(|(flow, _)| *flow).collect();
        made.iter().for_each(|flow| self.remove_flow(flow));
    }

    #[inline]
    pub(super) fn has_orphans(&self) -> bool {
        !self.orphans.is_empty()
    }

    /// Flows with adjusted sequence numbers that went since the last call.
    pub(super) fn take_orphans(&mut self) -> Vec<FlowId> {
        std::mem::take(&mut self.orphans)
    }

    /// Puts a mapping in. One that answers the same replies goes, as in Click: the newer flow wins.
    pub(super) fn insert(&mut self, flow: FlowId, mapping: Mapping) -> SlotId {
        let reply = mapping.rewritten.reverse();
        for rival in [self.find_reply(&reply), self.find_forward(&reply).filter(|_| reply != flow)]
            .into_iter()
            .flatten()
        {
            self.remove(rival);
        }
        let slot = self.flows.insert_strict(flow, mapping);
        self.derived.add(&flow, &mapping, slot);
        if let Some(eviction) = &mut self.eviction {
            eviction.add(self.timeouts.guaranteed_until(&flow, &mapping), flow);
            // Entries of flows that are gone are left in it.
            if eviction.len() > 2 * self.flows.len() + 64 {
                self.eviction = None;
            }
        }
        slot
    }

    fn remove(&mut self, slot: SlotId) {
        if let Some((flow, mapping)) = self.flows.remove_slot(slot) {
            self.derived.remove(&flow, &mapping, slot);
            if mapping.seen.is_adjusted() {
                self.orphans.push(flow);
            }
        }
    }

    /// Removes a flow.
    pub(super) fn remove_flow(&mut self, flow: &FlowId) {
        if let Some(slot) = self.find_forward(flow) {
            self.remove(slot);
        }
    }

    /// Removes what is due.
    #[inline]
    pub(super) fn expire(&mut self, now: u64) {
        let Self { flows, derived, orphans, .. } = self;
        flows.expire(now, |slot, flow, mapping| {
            derived.remove(&flow, &mapping, slot);
            if mapping.seen.is_adjusted() {
                orphans.push(flow);
            }
        });
    }

    /// From now on knows which internal endpoint holds a public one.
    pub(super) fn know_holders(&mut self) {
        if self.derived.know_holders() {
            self.derive_all();
        }
    }

    /// The flow that a stranger's packet of `flow` belongs to, inside: to the endpoint that holds the public address
    /// and port it is sent to. Never one that would end a flow of that endpoint's own.
    pub(super) fn to_holder(&self, flow: &FlowId) -> Option<FlowId> {
        let inside = self.derived.holder(flow.protocol, (flow.destination, flow.destination_port))?;
        let found = FlowId { destination: inside.0, destination_port: inside.1, ..*flow };
        (self.is_free(found) && self.find_forward(&found.reverse()).is_none()).then_some(found)
    }

    /// The rewritten flow that `pattern` gives to a new flow, or `None` when everything it could be is taken.
    /// `start` is where to look first in what varies, counted from its lower end.
    pub(super) fn choose(&self, pattern: &Pattern, flow: &FlowId, start: u32) -> Option<FlowId> {
        let mut rewritten = pattern.apply(*flow);
        match pattern.variation {
            Variation::None => {}
            Variation::Port { low, high, choice } => {
                rewritten.source_port = self.choose_port(flow, &rewritten, (low, high), choice, start)?;
            }
            Variation::Address { low, high, choice } => {
                // RFC 4787, REQ-2: all flows of an internal address get the same public one ("paired") while it is
                // free, because the search starts at a place that depends on the internal address only.
                let span = u64::from(high - low) + 1;
                let start = if choice == Choice::Sequential { start } else { flow.source };
                rewritten.source = (0..span)
                    .map(|step| low + ((u64::from(start) + step) % span) as u32)
                    .find(|source| self.is_free(FlowId { source: *source, ..rewritten }))?;
            }
        }
        Some(rewritten)
    }

    fn is_free(&self, rewritten: FlowId) -> bool {
        self.find_reply(&rewritten.reverse()).is_none()
    }

    fn choose_port(
        &self,
        flow: &FlowId,
        rewritten: &FlowId,
        (low, high): (u16, u16),
        choice: Choice,
        start: u32,
    ) -> Option<u16> {
        let range = low..=high;
        let free = |port: &u16| self.is_free(FlowId { source_port: *port, ..*rewritten });
        // RFC 4787, REQ-1 and RFC 5382, REQ-1: endpoint-independent mapping. An internal endpoint keeps its public
        // port whatever it talks to.
        let inside = (flow.source, flow.source_port);
        let (pool, binding) = self.derived.of_public(rewritten.source, flow.protocol, inside);
        let bound = binding.and_then(|b| b.ports().find(|port| range.contains(port) && free(port)));
        if bound.is_some() {
            return bound;
        }
        let span = u32::from(high - low) + 1;
        let start = low + (start % span) as u16;
        let own = flow.source_port;
        let own_is_good = choice == Choice::Preserve && range.contains(&own) && free(&own);
        if own_is_good && pool.is_none_or(|pool| pool.is_unused(own)) {
            return Some(own);
        }
        // RFC 4787, REQ-3: no port overloading, that is, no port for two endpoints while there is an unused one.
        let search = |low, high, wanted| match pool {
            Some(pool) => pool.find_unused(low, high, start, wanted),
            None => wanted.first_in(low, high, start),
        };
        let unused = match choice {
            Choice::Preserve => unused_like(own, (low, high), search),
            Choice::Sequential | Choice::Random => search(low, high, Wanted::Any),
        };
        if let Some(port) = unused.filter(free) {
            return Some(port);
        }
        // All are used: a port may then serve several endpoints, but never two flows to one destination.
        (start..=high).chain(low..start).find(free)
    }

    /// Flows with their mappings, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&FlowId, &Mapping)> {
        self.flows.iter()
    }

    /// Nanoseconds until a mapping is due.
    pub(super) fn left(&self, flow: &FlowId, mapping: &Mapping, now: u64) -> u64 {
        self.timeouts.deadline(flow, mapping).saturating_sub(now)
    }

    /// Derives all that is derived from the records anew.
    fn derive_all(&mut self) {
        self.derived.clear();
        self.flows.slots().for_each(|(slot, flow, mapping)| self.derived.add(flow, mapping, slot));
    }
}

/// An unused port that is like an endpoint's own: on the same side of 1024 (RFC 4787, REQ-3a) and even or odd as it is
/// (REQ-4), if there is one.
fn unused_like(
    own: u16,
    (low, high): (u16, u16),
    search: impl Fn(u16, u16, Wanted) -> Option<u16>,
) -> Option<u16> {
    let (from, to) = if own < 1024 { (low, high.min(1023)) } else { (low.max(1024), high) };
    let near = |wanted| if from <= to { search(from, to, wanted) } else { None };
    near(Wanted::LikeThis(own)).or_else(|| near(Wanted::Any)).or_else(|| search(low, high, Wanted::Any))
}

impl Table for MappingTable {
    fn schema(&self) -> Schema {
        SCHEMA
    }

    fn len(&self) -> usize {
        self.flows.len()
    }

    fn set_tracking(&mut self, on: bool) {
        self.flows.set_tracking(on);
    }

    fn has_strict(&self) -> bool {
        self.flows.has_strict()
    }

    fn has_changes(&self) -> bool {
        self.flows.has_changes()
    }

    fn take_strict(&mut self, w: &mut Writer) -> u32 {
        self.flows.take_strict(w)
    }

    fn take_changes(&mut self, w: &mut Writer) -> u32 {
        self.flows.take_changes(w)
    }

    fn chunks(&self) -> u32 {
        self.flows.chunks()
    }

    fn snapshot_chunk(&self, chunk: u32, w: &mut Writer) -> u32 {
        self.flows.snapshot_chunk(chunk, w)
    }

    fn apply(&mut self, r: &mut Reader<'_>) -> Result<u32, StateError> {
        self.eviction = None;
        let Self { flows, derived, .. } = self;
        flows.apply_observed(r, |applied| match applied {
            Applied::Clear => derived.clear(),
            Applied::Tombstone { key, old } => {
                if let Some((slot, old)) = old {
                    derived.remove(key, &old, slot);
                }
            }
            Applied::Upsert { slot, key, old, value } => {
                if let Some((slot, old)) = old {
                    derived.remove(key, &old, slot);
                }
                derived.add(key, value, slot);
            }
        })
    }

    fn clear(&mut self) {
        self.flows.clear();
        self.derived.clear();
        self.eviction = None;
    }
}
