//! Both directions of a flow as one key.

use crate::state::{Reader, Record, StateError, Writer};
use crate::wire::FlowId;

/// A flow, written so that its two directions are equal: the lower endpoint first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FlowPair(FlowId);

/// Which of the two directions a packet has, relative to the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the lower to the higher endpoint.
    Up,
    /// From the higher to the lower endpoint.
    Down,
}

impl FlowPair {
    /// The key of a flow, and the direction that the flow has.
    #[inline]
    pub(super) fn of(flow: FlowId) -> (Self, Direction) {
        let up = (flow.source, flow.source_port) <= (flow.destination, flow.destination_port);
        if up { (Self(flow), Direction::Up) } else { (Self(flow.reverse()), Direction::Down) }
    }

    /// The key of a flow whose directions count apart.
    pub(super) fn one_way(flow: FlowId) -> Self {
        Self(flow)
    }

    /// The flow in the given direction.
    pub(super) fn flow(&self, direction: Direction) -> FlowId {
        match direction {
            Direction::Up => self.0,
            Direction::Down => self.0.reverse(),
        }
    }

    pub(super) fn protocol(&self) -> crate::wire::Protocol {
        self.0.protocol
    }
}

impl Record for FlowPair {
    fn put(&self, w: &mut Writer) {
        self.0.put(w);
    }

    fn get(r: &mut Reader<'_>) -> Result<Self, StateError> {
        FlowId::get(r).map(Self)
    }
}
