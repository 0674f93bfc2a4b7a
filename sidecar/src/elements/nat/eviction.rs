//! Which flow makes room when no more are allowed: the one next to go whose guarantee is over, as Click chooses.
//!
//! Two heaps, of flows that are guaranteed and of those that are not, each by a time that is never later than the
//! flow's own. Packets move the flows' times without telling; a flow that comes to the top is looked at and put back
//! where it belongs. So an entry is moved at most once for each packet, and only while the table is full.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::wire::FlowId;

type Heap = BinaryHeap<Reverse<(u64, FlowId)>>;

/// The times of a flow that is still there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// Until when it is guaranteed.
    pub(super) guaranteed: u64,
    /// When it is due.
    pub(super) due: u64,
}

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Eviction {
    guaranteed: Heap,
    others: Heap,
}

impl Eviction {
    /// Of flows with the times until which they are guaranteed.
    pub(super) fn of(flows: impl Iterator<Item = (u64, FlowId)>) -> Self {
        Self { guaranteed: flows.map(Reverse).collect::<Vec<_>>().into(), others: Heap::new() }
    }

    pub(super) fn add(&mut self, guaranteed: u64, flow: FlowId) {
        self.guaranteed.push(Reverse((guaranteed, flow)));
    }

    /// A flow is due earlier than it was.
    pub(super) fn hasten(&mut self, due: u64, flow: FlowId) {
        self.others.push(Reverse((due, flow)));
    }

    /// Entries, those of flows that are gone included.
    pub(super) fn len(&self) -> usize {
        self.guaranteed.len() + self.others.len()
    }

    /// The flow that is next to go, and when it is due; `None` when all are guaranteed.
    pub(super) fn next(
        &mut self,
        now: u64,
        times: impl Fn(&FlowId) -> Option<Times>,
    ) -> Option<(u64, FlowId)> {
        while self.guaranteed.peek().is_some_and(|Reverse((until, _))| *until <= now) {
            if let Some(Reverse((_, flow))) = self.guaranteed.pop() {
                self.put_back(now, flow, &times);
            }
        }
        while let Some(Reverse((known, flow))) = self.others.pop() {
            match times(&flow) {
                Some(Times { due, guaranteed }) if due == known && guaranteed <= now => {
                    self.others.push(Reverse((due, flow)));
                    return Some((due, flow));
                }
                _ => self.put_back(now, flow, &times),
            }
        }
        None
    }

    /// The guaranteed flow whose guarantee ends first.
    pub(super) fn next_guaranteed(&mut self, times: impl Fn(&FlowId) -> Option<Times>) -> Option<FlowId> {
        while let Some(Reverse((known, flow))) = self.guaranteed.pop() {
            match times(&flow) {
                Some(Times { guaranteed, .. }) if guaranteed == known => {
                    self.guaranteed.push(Reverse((known, flow)));
                    return Some(flow);
                }
                Some(Times { guaranteed, .. }) => self.add(guaranteed, flow),
                None => {}
            }
        }
        None
    }

    fn put_back(&mut self, now: u64, flow: FlowId, times: &impl Fn(&FlowId) -> Option<Times>) {
        match times(&flow) {
            Some(Times { guaranteed, .. }) if guaranteed > now => self.add(guaranteed, flow),
            Some(Times { due, .. }) => self.hasten(due, flow),
            None => {}
        }
    }
}
