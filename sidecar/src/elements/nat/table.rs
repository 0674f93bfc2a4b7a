//! The table of mappings: flow records, and what is derived from them.
//!
//! Only the records (`FlowTable`) are saved and logged. The index of reply flows, the port pools and the index of
//! internal endpoints are rebuilt from each record that is put in or taken out, by the owner and by a target that
//! applies the log alike. Invariant: no two live mappings have the same reply flow, so a reply has one destination.

use std::collections::BTreeSet;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::binding::Binding;
use super::eviction::{Eviction, Times};
use super::mapping::{Mapping, SCHEMA, Timeouts, Way};
use super::pattern::{Choice, Pattern, Variation};
use super::port_pool::{PortPool, Wanted};
use crate::state::{Applied, FlowTable, Reader, Schema, SlotId, StateError, Table, Writer};
use crate::wire::{FlowId, Protocol};

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
    /// Public endpoints with the internal ones that hold them, in an order that depends on nothing else; only kept
    /// for who asks.
    holders: Option<BTreeSet<(Endpoint, Protocol, Endpoint)>>,
    /// Flows by the input that made them.
    by_input: Vec<usize>,
    /// Who makes room; `None` until room is short.
    eviction: Option<Eviction>,
    /// Flows that went and had adjusted sequence numbers.
    orphans: Vec<FlowId>,
}

/// An address and a port.
type Endpoint = (u32, u16);

/// An internal endpoint holds a public one.
struct Held {
    protocol: Protocol,
    inside: Endpoint,
    public: Endpoint,
}

impl Held {
    /// The key of an internal endpoint as public address number `public` knows it.
    fn key(&self, public: usize) -> u64 {
        endpoint(self.protocol, self.inside, public)
    }
}

fn endpoint(protocol: Protocol, (address, port): Endpoint, public: usize) -> u64 {
    (public as u64) << 56 | u64::from(protocol as u8) << 48 | u64::from(port) << 32 | u64::from(address)
}

/// What a flow holds: its source the public source, and, if the destination is rewritten, its destination the public one.
fn held_by(flow: &FlowId, rewritten: &FlowId) -> impl Iterator<Item = Held> + use<> {
    let protocol = flow.protocol;
    let source = Held {
        protocol,
        inside: (flow.source, flow.source_port),
        public: (rewritten.source, rewritten.source_port),
    };
    let destination = Held {
        protocol,
        inside: (rewritten.destination, rewritten.destination_port),
        public: (flow.destination, flow.destination_port),
    };
    let rewrites = destination.inside != destination.public;
    std::iter::once(source).chain(rewrites.then_some(destination))
}

impl MappingTable {
    pub(super) fn new(timeouts: Timeouts) -> Self {
        Self {
            flows: FlowTable::new(SCHEMA, move |flow, mapping| timeouts.deadline(flow, mapping)),
            timeouts,
            replies: HashMap::default(),
            publics: Vec::new(),
            endpoints: HashMap::default(),
            holders: None,
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
        held_by(flow, rewritten).for_each(|held| self.hold(&held));
    }

    fn hold(&mut self, held: &Held) {
        let Some(public) = self.public(held.public.0) else { return };
        self.publics[public].pool_mut(held.protocol).add(held.public.1);
        let fresh = self.endpoints.entry(held.key(public)).or_default().add(held.public.1);
        if let Some(holders) = self.holders.as_mut().filter(|_| fresh) {
            holders.insert((held.public, held.protocol, held.inside));
        }
    }

    fn release(&mut self, held: &Held) {
        let Some(public) = self.public(held.public.0) else { return };
        self.publics[public].pool_mut(held.protocol).remove(held.public.1);
        let key = held.key(public);
        let Some(binding) = self.endpoints.get_mut(&key) else { return };
        if binding.remove(held.public.1) {
            if binding.is_empty() {
                self.endpoints.remove(&key);
            }
            if let Some(holders) = &mut self.holders {
                holders.remove(&(held.public, held.protocol, held.inside));
            }
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
        held_by(flow, rewritten).for_each(|held| self.release(&held));
    }

    /// From now on knows which internal endpoint holds a public one.
    pub(super) fn know_holders(&mut self) {
        if self.holders.is_none() {
            self.holders = Some(BTreeSet::new());
            self.derive_all();
        }
    }

    /// The flow that a stranger's packet of `flow` belongs to, inside: to the endpoint that holds the public address
    /// and port it is sent to. Never one that would end a flow of that endpoint's own.
    pub(super) fn to_holder(&self, flow: &FlowId) -> Option<FlowId> {
        let public = (flow.destination, flow.destination_port);
        let least = (public, flow.protocol, (0, 0));
        let (at, protocol, inside) = self.holders.as_ref()?.range(least..).next().copied()?;
        let found = FlowId { destination: inside.0, destination_port: inside.1, ..*flow };
        let fits = at == public && protocol == flow.protocol;
        (fits && self.is_free(found) && self.find_forward(&found.reverse()).is_none()).then_some(found)
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
        let binding = public.and_then(|public| {
            self.endpoints.get(&endpoint(flow.protocol, (flow.source, flow.source_port), public))
        });
        let bound = binding.and_then(|b| b.ports().find(|port| range.contains(port) && free(port)));
        if bound.is_some() {
            return bound;
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

    fn forget_derived(&mut self) {
        self.replies.clear();
        for public in &mut self.publics {
            *public = Public { address: public.address, ..Public::default() };
        }
        self.endpoints.clear();
        if let Some(holders) = &mut self.holders {
            holders.clear();
        }
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
