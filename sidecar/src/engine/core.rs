//! What all elements of a running router share, reached through [`Cx`](super::Cx).

use std::collections::{HashMap, VecDeque};

use super::env::{ControlEndpoint, DeviceSlot};
use super::timers::Timers;
use super::wiring::Wiring;
use super::{Console, Time};
use crate::element::Descriptor;
use crate::packet::{Batch, Packet};

/// Packets on their way out of one output.
pub(crate) struct Emission {
    /// Number of the output among all outputs of the router.
    pub(crate) output: u32,
    pub(crate) batch: Box<Batch>,
}

/// Packets dropped by one element, a count a reason.
pub(crate) type DropCounts = Vec<(&'static str, u64)>;

/// Opens a device that [`Env`](super::Env) does not hold yet.
pub(crate) type Opener = super::env::Opener;

/// A signal: by it an element says how many packets may come over its edge.
#[derive(Clone, Copy)]
pub(crate) struct SignalOut {
    pub(crate) id: u16,
    pub(crate) element: u32,
    /// What was said last.
    pub(crate) said: Option<Said>,
}

/// What was said by a signal.
#[derive(Clone, Copy)]
pub(crate) struct Said {
    pub(crate) allowance: u64,
    pub(crate) when: Time,
    /// How often it was said again.
    pub(crate) times: u32,
}

pub(crate) struct Core {
    pub(crate) now: Time,
    pub(crate) simulated: bool,
    pub(crate) dry: bool,
    pub(crate) part: bool,
    pub(crate) names: Vec<String>,
    pub(crate) configs: Vec<String>,
    pub(crate) index: HashMap<String, u32>,
    pub(crate) classes: Vec<&'static Descriptor>,
    pub(crate) wiring: Wiring,
    /// Emissions of the calls now under way.
    pub(crate) emitted: Vec<Emission>,
    /// The output by which what is left in a pushed batch leaves.
    pub(crate) leave: u32,
    /// Boxed, so that a batch moves as one pointer.
    #[allow(clippy::vec_box)]
    pub(crate) spare: Vec<Box<Batch>>,
    pub(crate) ready: VecDeque<u32>,
    pub(crate) queued: Vec<bool>,
    pub(crate) timers: Timers,
    pub(crate) drops: Vec<DropCounts>,
    pub(crate) link_output: Vec<(u16, Packet)>,
    /// Per edge (or signal) that ends here: the element and the port of its `push`.
    pub(crate) link_inputs: HashMap<u16, (u32, usize)>,
    /// A pull gave less than was asked for, because packets have to come over a link first.
    pub(crate) owed: bool,
    /// Elements whose task pulls packets for a link.
    pub(crate) link_pullers: Vec<u32>,
    /// Signals that begin here.
    pub(crate) link_signals: Vec<SignalOut>,
    /// Per element: whether it is a full queue.
    pub(crate) full: Vec<bool>,
    /// Per element: the ends of the paths that it pushes to; empty if it does not watch them.
    pub(crate) ends: Vec<Vec<u32>>,
    /// Per element: the elements that watch it for being full.
    pub(crate) watchers: Vec<Vec<u32>>,
    pub(crate) devices: Vec<DeviceSlot>,
    pub(crate) device_names: HashMap<String, usize>,
    pub(crate) opener: Option<Opener>,
    pub(crate) control_sockets: bool,
    pub(crate) control: Vec<ControlEndpoint>,
    /// Stop requests since the last look.
    pub(crate) stops: u32,
    /// The driver script has ended.
    pub(crate) finished: bool,
    /// The element that decides what a stop request does.
    pub(crate) driver: Option<u32>,
    /// Signals that elements ask for.
    pub(crate) signals: Vec<(i32, u32)>,
    /// Write handlers to call when the element at work has returned.
    pub(crate) deferred: Vec<(String, String)>,
    pub(crate) random: u64,
    pub(crate) console: Console,
    pub(crate) text: String,
    /// The same, flat.
    pub(crate) flat: String,
    pub(crate) requirements: Vec<String>,
    pub(crate) hot_swap: bool,
    /// The text that is to replace this one.
    pub(crate) next_text: Option<String>,
}

impl Core {
    #[inline]
    pub(crate) fn spare_batch(&mut self) -> Box<Batch> {
        self.spare.pop().unwrap_or_default()
    }

    #[inline]
    pub(crate) fn recycle(&mut self, batch: Box<Batch>) {
        debug_assert!(batch.is_empty());
        self.spare.push(batch);
    }

    #[inline]
    pub(crate) fn schedule(&mut self, element: u32) {
        if !std::mem::replace(&mut self.queued[element as usize], true) {
            self.ready.push_back(element);
        }
    }

    pub(crate) fn count_drop(&mut self, element: u32, reason: &'static str, count: u64) {
        let counts = &mut self.drops[element as usize];
        match counts.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, so_far)) => *so_far += count,
            None => counts.push((reason, count)),
        }
    }

    /// The element that `name` means inside the compound in which `element` stands: the innermost match.
    pub(crate) fn resolve(&self, element: u32, name: &str) -> Option<u32> {
        let mut scope = self.names.get(element as usize).map_or("", String::as_str);
        while let Some(slash) = scope.rfind('/') {
            scope = &scope[..slash];
            if let Some(&found) = self.index.get(&format!("{scope}/{name}")) {
                return Some(found);
            }
        }
        self.index.get(name).copied()
    }
}
