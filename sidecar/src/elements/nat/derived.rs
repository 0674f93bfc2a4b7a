//! What follows from the flow records: the index of reply flows, the port pools and the internal endpoints.
//!
//! Nothing of it is saved. Each record that is put in or taken out is told once, with where it stands.

use std::collections::BTreeSet;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::binding::Binding;
use super::mapping::Mapping;
use super::port_pool::PortPool;
use crate::state::{FlowTable, Index, SlotId};
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

/// An address and a port.
pub(super) type Endpoint = (u32, u16);

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

/// See the module's head.
#[derive(Default)]
pub(super) struct Derived {
    /// Where the mapping with a reply flow stands. The records themselves say which reply flow it is.
    replies: Index,
    /// As many as patterns with a port range have addresses: a few.
    publics: Vec<Public>,
    endpoints: HashMap<u64, Binding, RandomState>,
    /// Public endpoints with the internal ones that hold them, in an order that depends on nothing else; only kept
    /// for who asks.
    holders: Option<BTreeSet<(Endpoint, Protocol, Endpoint)>>,
    /// Flows by the input that made them.
    by_input: Vec<usize>,
}

impl Derived {
    /// Keeps account of the ports of an address from now on. Whether that is new: then all is to be derived again.
    pub(super) fn serve(&mut self, address: u32) -> bool {
        // The number of an address has a byte in the endpoints' keys; without an account, ports are still unique to
        // each destination.
        let fresh = self.public(address).is_none() && self.publics.len() < 256;
        if fresh {
            self.publics.push(Public { address, ..Public::default() });
        }
        fresh
    }

    fn public(&self, address: u32) -> Option<usize> {
        self.publics.iter().position(|public| public.address == address)
    }

    /// What is known of the ports of a public address, and of those that an internal endpoint has of it.
    pub(super) fn of_public(
        &self,
        address: u32,
        protocol: Protocol,
        inside: Endpoint,
    ) -> (Option<&PortPool>, Option<&Binding>) {
        let Some(public) = self.public(address) else { return (None, None) };
        let binding = self.endpoints.get(&endpoint(protocol, inside, public));
        (self.publics[public].pool(protocol), binding)
    }

    /// Flows that an input made.
    pub(super) fn made_by(&self, input: usize) -> usize {
        self.by_input.get(input).copied().unwrap_or(0)
    }

    /// The mapping whose reply flow is `flow`.
    #[inline]
    pub(super) fn find_reply(&self, flows: &FlowTable<FlowId, Mapping>, flow: &FlowId) -> Option<SlotId> {
        let is = |slot| flows.value(slot).is_some_and(|mapping| mapping.rewritten.reverse() == *flow);
        self.replies.find(self.replies.tag(flow), is)
    }

    /// A record was put in.
    pub(super) fn add(&mut self, flow: &FlowId, mapping: &Mapping, slot: SlotId) {
        let rewritten = &mapping.rewritten;
        self.replies.insert(self.replies.tag(&rewritten.reverse()), slot);
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

    /// A record was taken out.
    pub(super) fn remove(&mut self, flow: &FlowId, mapping: &Mapping, slot: SlotId) {
        let rewritten = &mapping.rewritten;
        self.replies.remove(self.replies.tag(&rewritten.reverse()), slot);
        if let Some(count) = self.by_input.get_mut(usize::from(mapping.input)) {
            *count = count.saturating_sub(1);
        }
        held_by(flow, rewritten).for_each(|held| self.release(&held));
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

    /// From now on knows which internal endpoint holds a public one. Whether that is new: then all is to be derived
    /// again.
    pub(super) fn know_holders(&mut self) -> bool {
        let fresh = self.holders.is_none();
        self.holders.get_or_insert_default();
        fresh
    }

    /// The internal endpoint that holds a public one.
    pub(super) fn holder(&self, protocol: Protocol, public: Endpoint) -> Option<Endpoint> {
        let least = (public, protocol, (0, 0));
        let (at, held, inside) = self.holders.as_ref()?.range(least..).next().copied()?;
        (at == public && held == protocol).then_some(inside)
    }

    /// All records went.
    pub(super) fn clear(&mut self) {
        self.replies.clear();
        for public in &mut self.publics {
            *public = Public { address: public.address, ..Public::default() };
        }
        self.endpoints.clear();
        if let Some(holders) = &mut self.holders {
            holders.clear();
        }
        self.by_input.clear();
    }
}
