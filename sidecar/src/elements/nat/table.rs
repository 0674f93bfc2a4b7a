//! The table of mappings: flow records, and what is derived from them.
//!
//! Only the records (`FlowTable`) are saved and logged. The index of reply flows, the port pools and the index of
//! internal endpoints are rebuilt from each record that is put in or taken out, by the owner and by a target that
//! applies the log alike. Invariant: no two live mappings have the same reply flow, so a reply has one destination.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::eviction::{Eviction, Times};
use super::mapping::{Mapping, SCHEMA, Timeouts, Way};
use super::pattern::{Choice, Pattern, Variation};
use super::port_pool::PortPool;
use crate::state::{Applied, FlowTable, Reader, Schema, SlotId, StateError, Table, Writer};
use crate::wire::{FlowId, Protocol};

/// The public port of an internal endpoint, and by how many flows it is held.
#[derive(Debug, Clone, Copy)]
struct Binding {
    port: u16,
    flows: u32,
}

/// A public address whose ports are chosen here, with a pool for each protocol once it is used.
#[derive(Default)]
struct Public {
    address: u32,
    icmp: Option<Box<PortPool>>,
    tcp: Option<Box<PortPool>>,
    udp: Option<Box<PortPool>>,
}

impl Public {
    fn pool(&self, protocol: Protocol) -> Option<&PortPool> {
        match protocol {
            Protocol::Icmp => self.icmp.as_deref(),
            Protocol::Tcp => self.tcp.as_deref(),
            Protocol::Udp => self.udp.as_deref(),
        }
    }

    fn pool_mut(&mut self, protocol: Protocol) -> &mut PortPool {
        let pool = match protocol {
            Protocol::Icmp => &mut self.icmp,
            Protocol::Tcp => &mut self.tcp,
            Protocol::Udp => &mut self.udp,
        };
        pool.get_or_insert_default()
    }
}

pub(super) struct MappingTable {
    flows: FlowTable<FlowId, Mapping>,
    timeouts: Timeouts,
    replies: HashMap<FlowId, SlotId, RandomState>,
    /// As many as patterns with a port range have addresses: a few.
    publics: Vec<Public>,
    endpoints: HashMap<u64, Binding, RandomState>,
    /// Flows by the input that made them.
    by_input: Vec<usize>,
    /// Who makes room; `None` until room is short.
    eviction: Option<Eviction>,
    /// Flows that went and had adjusted sequence numbers.
    orphans: Vec<FlowId>,
}

/// The key of an internal endpoint as public address number `public` knows it.
fn endpoint(flow: &FlowId, public: usize) -> u64 {
    (public as u64) << 56
        | u64::from(flow.protocol as u8) << 48
        | u64::from(flow.source_port) << 32
        | u64::from(flow.source)
}

impl MappingTable {
    pub(super) fn new(timeouts: Timeouts) -> Self {
        Self {
            flows: FlowTable::new(SCHEMA, move |flow, mapping| timeouts.deadline(flow, mapping)),
            timeouts,
            replies: HashMap::default(),
            publics: Vec::new(),
            endpoints: HashMap::default(),
            by_input: Vec::new(),
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
        // The number of an address has a byte in the endpoints' keys; without an account, ports are still unique to
        // each destination.
        if self.public(address).is_none() && self.publics.len() < 256 {
            self.publics.push(Public { address, ..Public::default() });
            self.derive_all();
        }
    }

    fn public(&self, address: u32) -> Option<usize> {
        self.publics.iter().position(|public| public.address == address)
    }

    /// Flows that an input made.
    pub(super) fn made_by(&self, input: usize) -> usize {
        self.by_input.get(input).copied().unwrap_or(0)
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
        self.replies.get(flow).copied()
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
        self.derive(&flow, &mapping, slot);
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
            self.gone(&flow, &mapping);
        }
    }

    /// Removes a flow.
    pub(super) fn remove_flow(&mut self, flow: &FlowId) {
        if let Some(slot) = self.find_forward(flow) {
            self.remove(slot);
        }
    }

    fn gone(&mut self, flow: &FlowId, mapping: &Mapping) {
        self.underive(flow, mapping);
        if mapping.seen.is_adjusted() {
            self.orphans.push(*flow);
        }
    }

    /// Removes what is due.
    #[inline]
    pub(super) fn expire(&mut self, now: u64) {
        let mut gone = Vec::new();
        self.flows.expire(now, |flow, mapping| gone.push((flow, mapping)));
        for (flow, mapping) in &gone {
            self.gone(flow, mapping);
        }
    }

    /// Adds what follows from a record to the derived indices.
    fn derive(&mut self, flow: &FlowId, mapping: &Mapping, slot: SlotId) {
        let rewritten = &mapping.rewritten;
        if self.replies.insert(rewritten.reverse(), slot).is_some() {
            return;
        }
        let input = usize::from(mapping.input);
        if self.by_input.len() <= input {
            self.by_input.resize(input + 1, 0);
        }
        self.by_input[input] += 1;
        let Some(public) = self.public(rewritten.source) else { return };
        self.publics[public].pool_mut(flow.protocol).add(rewritten.source_port);
        let fresh = Binding { port: rewritten.source_port, flows: 0 };
        let binding = self.endpoints.entry(endpoint(flow, public)).or_insert(fresh);
        if binding.port == rewritten.source_port {
            binding.flows += 1;
        }
    }

    /// Takes what followed from a record out of the derived indices.
    fn underive(&mut self, flow: &FlowId, mapping: &Mapping) {
        let rewritten = &mapping.rewritten;
        if self.replies.remove(&rewritten.reverse()).is_none() {
            return;
        }
        if let Some(count) = self.by_input.get_mut(usize::from(mapping.input)) {
            *count = count.saturating_sub(1);
        }
        let Some(public) = self.public(rewritten.source) else { return };
        self.publics[public].pool_mut(flow.protocol).remove(rewritten.source_port);
        let key = endpoint(flow, public);
        if let Some(binding) = self.endpoints.get_mut(&key).filter(|b| b.port == rewritten.source_port) {
            binding.flows -= 1;
            if binding.flows == 0 {
                self.endpoints.remove(&key);
            }
        }
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
        !self.replies.contains_key(&rewritten.reverse())
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
        let public = self.public(rewritten.source);
        let binding = public.and_then(|public| self.endpoints.get(&endpoint(flow, public)));
        if let Some(port) = binding.map(|b| b.port).filter(|port| range.contains(port) && free(port)) {
            return Some(port);
        }
        let span = u32::from(high - low) + 1;
        let start = low + (start % span) as u16;
        let pool = public.and_then(|public| self.publics[public].pool(flow.protocol));
        let own = flow.source_port;
        let own_is_good = choice == Choice::Preserve && range.contains(&own) && free(&own);
        if own_is_good && pool.is_none_or(|pool| pool.is_unused(own)) {
            return Some(own);
        }
        // RFC 4787, REQ-3: no port overloading, that is, no port for two endpoints while there is an unused one.
        let unused = match pool {
            Some(pool) => pool.find_unused(low, high, start),
            None => Some(start),
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

    fn forget_derived(&mut self) {
        self.replies.clear();
        for public in &mut self.publics {
            *public = Public { address: public.address, ..Public::default() };
        }
        self.endpoints.clear();
        self.by_input.clear();
        self.eviction = None;
    }

    /// Derives all that is derived from the records anew.
    fn derive_all(&mut self) {
        self.forget_derived();
        let all: Vec<_> = self.iter().map(|(flow, mapping)| (*flow, *mapping)).collect();
        for (flow, mapping) in all {
            if let Some(slot) = self.find_forward(&flow) {
                self.derive(&flow, &mapping, slot);
            }
        }
    }
}

/// One change that a log brought, to be followed in the derived indices.
enum Followed {
    Upsert { flow: FlowId, old: Option<Mapping>, new: Mapping },
    Tombstone { flow: FlowId, old: Option<Mapping> },
    Clear,
}

impl MappingTable {
    fn follow(&mut self, change: Followed) {
        match change {
            Followed::Clear => self.forget_derived(),
            Followed::Tombstone { flow, old } => {
                if let Some(old) = old {
                    self.underive(&flow, &old);
                }
            }
            Followed::Upsert { flow, old, new } => {
                if let Some(old) = old {
                    self.underive(&flow, &old);
                }
                // A later change of the same run may have removed it again.
                if let Some(slot) = self.flows.find(&flow) {
                    self.derive(&flow, &new, slot);
                }
            }
        }
    }
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
        let mut changes = Vec::new();
        let result = self.flows.apply_observed(r, |applied| {
            changes.push(match applied {
                Applied::Clear => Followed::Clear,
                Applied::Tombstone { key, old } => Followed::Tombstone { flow: *key, old },
                Applied::Upsert { key, old, value } => Followed::Upsert { flow: *key, old, new: *value },
            });
        });
        changes.into_iter().for_each(|change| self.follow(change));
        self.eviction = None;
        result
    }

    fn clear(&mut self) {
        self.flows.clear();
        self.forget_derived();
    }
}
