//! The router: elements, and the loop that carries packets through them.
//!
//! An element is taken out of its slot while it is called and put back afterwards, so that it can be handed the rest
//! of the router. Packets that a call emits wait on a work list and are carried depth first: no recursion in push.

use std::time::Duration;

use super::Time;
use super::core::{Core, Emission, Said, SignalOut};
use super::cx::{Cx, Slot};
use super::env::{ControlEndpoint, DeviceId};
use super::handlers::Access;
use super::wiring::Edge;
use crate::device::Device;
use crate::element::{Descriptor, Element, HandlerError};
use crate::packet::{Batch, Packet};

/// A signal that did not change is said again so often after this time, and then after that.
const SIGNAL_TIMES: u32 = 100;
const SIGNAL_SOON: Duration = Duration::from_millis(10);
const SIGNAL_AGAIN: Duration = Duration::from_secs(1);

/// The number of an element in its router, in graph order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ElementId(pub u32);

/// What came of one scheduling pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// Some timer or task did work.
    pub worked: bool,
    /// Some task is ready for the next pass.
    pub ready: bool,
    /// When the next timer is due.
    pub next_timer: Option<Time>,
    /// The router wants to end.
    pub stop: bool,
}

impl Pass {
    /// When the next pass of a router in virtual time runs, after this one at `now`: time jumps to the next timer.
    /// `None` if it is to stop, or if nothing can ever happen again.
    pub fn next_time(&self, now: Time) -> Option<Time> {
        match self.next_timer {
            _ if self.stop => None,
            _ if self.ready && self.worked => Some(Time(now.0 + 1)), // Time goes on, however slowly.
            Some(at) => Some(now.max(at)),
            None if self.ready => Some(Time(now.0 + 1000)),
            None => None,
        }
    }
}

/// Requests to stop that a driver answers in one go.
const MOST_STOPS: u32 = 1000;

/// A running graph of elements.
pub struct Router {
    pub(super) elements: Vec<Slot>,
    pub(super) core: Core,
    /// What is to be carried, last first.
    pub(super) stack: Vec<Emission>,
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Router").field("elements", &self.core.names).finish()
    }
}

impl Router {
    /// One scheduling pass: due timers, then every task that was ready at its start once. Never blocks.
    pub fn run(&mut self, now: Time) -> Pass {
        self.core.now = now;
        // A request from between passes: by a handler, or by the driver script to be called for the first time.
        if self.stopped() {
            return Pass { worked: false, ready: false, next_timer: None, stop: true };
        }
        let mut worked = false;
        let serial = self.core.timers.serial();
        while let Some(element) = self.core.timers.take_due(now, serial) {
            worked = true;
            self.call(element, |element, cx, batch| element.timer(cx, batch));
            if self.stopped() {
                break;
            }
        }
        for _ in 0..self.core.ready.len() {
            if self.stopped() {
                break;
            }
            let Some(element) = self.core.ready.pop_front() else { break };
            self.core.queued[element as usize] = false;
            worked |= self.call(element, |element, cx, batch| element.task(cx, batch));
        }
        // First: the driver script may set timers and schedule tasks.
        let stop = self.stopped() && self.core.finished;
        Pass { worked, ready: !self.core.ready.is_empty(), next_timer: self.core.timers.next(), stop }
    }

    /// Pushes packets into the link input of cut edge `edge`, to completion, at time `now`. A batch for an edge that the
    /// graph does not have is dropped.
    pub fn inject(&mut self, edge: u16, packets: &mut Batch, now: Time) {
        self.core.now = now;
        let Some(&(element, port)) = self.core.link_inputs.get(&edge) else {
            packets.clear();
            return;
        };
        self.call(element, |element, cx, batch| {
            std::mem::swap(batch, packets);
            element.push(cx, port, batch);
        });
    }

    /// Pushes packets into input `port` of an element, to completion, at time `now`: for tests and simulations.
    pub fn push_into(&mut self, element: ElementId, port: usize, packets: &mut Batch, now: Time) {
        self.core.now = now;
        self.call(element.0, |element, cx, batch| {
            std::mem::swap(batch, packets);
            element.push(cx, port, batch);
        });
    }

    /// The inputs that packets can be pushed into: for [`Router::push_into`].
    pub fn push_inputs(&self) -> Vec<(ElementId, usize)> {
        let wiring = &self.core.wiring;
        let ports = self.ids().flat_map(|id| (0..wiring.input_count(id.0)).map(move |port| (id, port)));
        ports.filter(|(id, port)| !wiring.is_pull_input(id.0, *port as u32)).collect()
    }

    /// What was sent to links since the last call, in order of emission.
    pub fn take_link_output(&mut self) -> std::vec::Drain<'_, (u16, Packet)> {
        self.core.link_output.drain(..)
    }

    /// Packets that wait in [`Router::take_link_output`].
    pub fn link_output_len(&self) -> usize {
        self.core.link_output.len()
    }

    /// Whether nothing waits in [`Router::take_link_output`].
    pub fn link_output_is_empty(&self) -> bool {
        self.core.link_output.is_empty()
    }

    /// Sends over links what can be pulled for them, and what elements have to say by signals. To be called after each
    /// pass or round of passes, but not while the links cannot take more: what they do not take is lost.
    pub fn serve_links(&mut self) {
        self.pull_for_links();
        self.say_signals();
    }

    /// Lets those that pull for a link do so now: who pulls at the far end is a pass behind already.
    fn pull_for_links(&mut self) {
        for at in 0..self.core.link_pullers.len() {
            let puller = self.core.link_pullers[at];
            while self.call(puller, |element, cx, batch| element.task(cx, batch)) {}
        }
    }

    /// Says by each signal what changed since it was last said, and what did not some times more: a link inside a cycle
    /// may lose packets, and after a crash the far end leaves out as many as it had heard from the dead owner.
    fn say_signals(&mut self) {
        for at in 0..self.core.link_signals.len() {
            let SignalOut { id, element, said } = self.core.link_signals[at];
            let Some(mut taken) = self.elements[element as usize].take() else { continue };
            let mut cx = Cx { elements: &mut self.elements, core: &mut self.core, id: element, base: 0 };
            let allowance = taken.link_allowance(&mut cx);
            self.elements[element as usize] = Some(taken);
            let now = self.core.now;
            let times = match said {
                Some(said) if said.allowance == allowance => {
                    let wait = if said.times < SIGNAL_TIMES { SIGNAL_SOON } else { SIGNAL_AGAIN };
                    if now.since(said.when) < wait {
                        continue;
                    }
                    said.times.saturating_add(1)
                }
                _ => 0,
            };
            self.core.link_signals[at].said = Some(Said { allowance, when: now, times });
            self.core.link_output.push((id, Packet::from_slice(&allowance.to_be_bytes())));
        }
    }

    /// Calls an element, then what it deferred, then carries what it emitted to the end.
    #[inline]
    fn call<R>(&mut self, id: u32, work: impl FnOnce(&mut dyn Element, &mut Cx<'_>, &mut Batch) -> R) -> R
    where
        R: Default,
    {
        let mut batch = self.core.spare_batch();
        let Some(mut element) = self.elements[id as usize].take() else { return R::default() };
        self.core.leave = 0;
        let mut cx = Cx { elements: &mut self.elements, core: &mut self.core, id, base: 0 };
        let result = work(&mut *element, &mut cx, &mut batch);
        self.elements[id as usize] = Some(element);
        if !self.core.deferred.is_empty() {
            self.run_deferred();
        }
        self.carry(id, batch);
        result
    }

    /// Carries what element `id` left in `batch`, and all that was emitted, to the end.
    fn carry(&mut self, mut id: u32, mut batch: Box<Batch>) {
        loop {
            // Here `batch` is what `id` left, to go by output `leave`, after all that was emitted.
            let mut output = u32::MAX;
            if !batch.is_empty() {
                output = self.left_by(id, &mut batch);
            }
            if !self.core.emitted.is_empty() {
                if batch.is_empty() {
                    self.core.recycle(batch);
                } else {
                    self.stack.push(Emission { output, batch });
                }
                self.stack.extend(self.core.emitted.drain(..).rev());
                let Some(next) = self.stack.pop() else { return };
                (output, batch) = (next.output, next.batch);
            } else if batch.is_empty() {
                self.core.recycle(batch);
                let Some(next) = self.stack.pop() else { return };
                (output, batch) = (next.output, next.batch);
            }
            let Edge { element: target, port } = self.core.wiring.push_target(output);
            let Some(mut element) = self.elements.get_mut(target as usize).and_then(Option::take) else {
                batch.clear(); // Cannot be: outputs are connected and no element is out between calls.
                continue;
            };
            id = target;
            self.core.leave = 0;
            let mut cx = Cx { elements: &mut self.elements, core: &mut self.core, id, base: 0 };
            element.push(&mut cx, port as usize, &mut batch);
            put_back(&mut self.elements[id as usize], element);
            if !self.core.deferred.is_empty() {
                self.run_deferred();
            }
        }
    }

    /// The output by which what element `id` left goes on. Without such an output it is dropped.
    #[inline]
    fn left_by(&mut self, id: u32, batch: &mut Batch) -> u32 {
        if self.core.leave as usize >= self.core.wiring.output_count(id) {
            self.core.count_drop(id, super::NO_OUTPUT, batch.len() as u64);
            batch.clear();
        }
        self.core.wiring.output(id, self.core.leave)
    }

    #[cold]
    fn run_deferred(&mut self) {
        let leave = self.core.leave;
        while !self.core.deferred.is_empty() {
            for (handler, value) in std::mem::take(&mut self.core.deferred) {
                if let Err(error) =
                    super::handlers::write(&mut self.elements, &mut self.core, u32::MAX, &handler, &value)
                {
                    self.core.console.message("", format_args!("{handler}: {error}"));
                }
            }
        }
        self.core.leave = leave;
    }

    /// Whether the run is to end; asks the driver script once for every request to stop.
    #[inline]
    fn stopped(&mut self) -> bool {
        if self.core.stops > 0 && !self.core.finished {
            if self.core.part && self.core.driver.is_none() {
                return true;
            }
            self.answer_stops();
        }
        self.core.finished
    }

    /// Stop requests that are for another part to decide about. Until they are taken, nothing runs here.
    pub fn stop_requests(&self) -> u32 {
        if self.core.driver.is_some() { 0 } else { self.core.stops }
    }

    /// Whether it has stopped for good.
    pub fn has_stopped(&self) -> bool {
        self.core.finished
    }

    /// Takes the stop requests that are for another part to decide about: this one goes on.
    pub fn take_stop_requests(&mut self) -> u32 {
        if self.core.driver.is_some() { 0 } else { std::mem::take(&mut self.core.stops) }
    }

    /// Whether a driver script here decides about stop requests.
    pub fn has_driver(&self) -> bool {
        self.core.driver.is_some()
    }

    /// Whether some task is ready for the next pass, and when the next timer is due.
    pub fn pending(&mut self) -> (bool, Option<Time>) {
        (!self.core.ready.is_empty(), self.core.timers.next())
    }

    #[cold]
    fn answer_stops(&mut self) {
        let Some(driver) = self.core.driver else {
            self.core.finished = true;
            return;
        };
        // A driver that asks to stop whenever it is asked comes to an end, too.
        for _ in 0..MOST_STOPS {
            if self.core.stops == 0 || self.core.finished {
                return;
            }
            self.core.stops -= 1;
            self.call(driver, |element, cx, _| element.stop_requested(cx));
        }
        self.core.finished = true;
    }

    /// The devices to poll: for reading always, for writing if `wants_write`.
    pub fn devices(&self) -> impl Iterator<Item = DevicePoll<'_>> {
        self.core.devices.iter().enumerate().map(|(at, slot)| DevicePoll {
            id: DeviceId(at),
            device: &*slot.device,
            wants_read: !slot.readers.is_empty(),
            wants_write: slot.wants_write,
        })
    }

    /// Tells that a device of [`Router::devices`] became readable or writable: its elements run in the next pass.
    pub fn device_ready(&mut self, id: DeviceId, readable: bool, writable: bool) {
        let Some(slot) = self.core.devices.get_mut(id.0) else { return };
        let mut wake = Vec::new();
        if readable {
            wake.extend_from_slice(&slot.readers);
        }
        if writable && std::mem::take(&mut slot.wants_write) {
            wake.extend_from_slice(&slot.writers);
        }
        for element in wake {
            self.core.schedule(element);
        }
    }

    /// The text that is to replace this router's, once: somebody wrote it to `hotconfig`.
    pub fn take_next_text(&mut self) -> Option<String> {
        self.core.next_text.take()
    }

    /// Whether [`Router::take_next_text`] has one.
    pub fn has_next_text(&self) -> bool {
        self.core.next_text.is_some()
    }

    /// What ControlSockets ask for, once.
    pub fn take_control_endpoints(&mut self) -> Vec<ControlEndpoint> {
        std::mem::take(&mut self.core.control)
    }

    /// The signals that elements ask for.
    pub fn signals(&self) -> impl Iterator<Item = i32> {
        self.core.signals.iter().map(|(signal, _)| *signal)
    }

    /// Tells the elements that ask for it that a signal came at time `now`. Returns whether one of them took it.
    pub fn signal(&mut self, signal: i32, now: Time) -> bool {
        self.core.now = now;
        let asked: Vec<(i32, u32)> =
            self.core.signals.iter().filter(|(s, _)| *s == signal).copied().collect();
        let taken = asked.iter().filter(|(_, id)| self.call(*id, |element, cx, _| element.signalled(cx)));
        taken.count() > 0
    }

    /// Asks the router to stop, as an element does.
    pub fn request_stop(&mut self) {
        self.core.stops = self.core.stops.saturating_add(1);
    }

    /// Reads `element.handler`.
    pub fn read_handler(&mut self, element: &str, handler: &str) -> Result<String, HandlerError> {
        self.read_handler_with(element, handler, "")
    }

    /// Reads a handler with a parameter. An empty element name means a handler of the router.
    pub fn read_handler_with(
        &mut self,
        element: &str,
        handler: &str,
        param: &str,
    ) -> Result<String, HandlerError> {
        let path = path(element, handler);
        let answer = super::handlers::read(&mut self.elements, &mut self.core, u32::MAX, &path, param);
        self.settle_handler();
        answer
    }

    /// What a handler allows.
    pub fn handler_access(&self, element: &str, handler: &str) -> Result<Access, HandlerError> {
        super::handlers::access(&self.elements, &self.core, u32::MAX, &path(element, handler))
    }

    /// Calls a write handler; packets that it emits are carried to the end.
    pub fn write_handler(&mut self, element: &str, handler: &str, value: &str) -> Result<(), HandlerError> {
        let path = path(element, handler);
        let answer = super::handlers::write(&mut self.elements, &mut self.core, u32::MAX, &path, value);
        self.settle_handler();
        answer
    }

    /// Carries what a handler emitted.
    pub(super) fn settle_handler(&mut self) {
        if !self.core.deferred.is_empty() {
            self.run_deferred();
        }
        if !self.core.emitted.is_empty() {
            let batch = self.core.spare_batch();
            self.core.leave = 0;
            self.carry(0, batch);
        }
    }

    /// All elements with their names, in graph order.
    pub fn elements_mut(&mut self) -> impl Iterator<Item = (&str, &mut dyn Element)> {
        let elements = self.elements.iter_mut().zip(&self.core.names);
        elements.filter_map(|(slot, name)| slot.as_deref_mut().map(|element| (name.as_str(), element)))
    }

    /// Names and descriptors of all elements, in graph order.
    pub fn classes(&self) -> impl Iterator<Item = (&str, &'static Descriptor)> {
        self.core.names.iter().map(String::as_str).zip(self.core.classes.iter().copied())
    }

    /// An element by its number.
    pub fn element_mut(&mut self, id: ElementId) -> Option<&mut dyn Element> {
        self.elements.get_mut(id.0 as usize)?.as_deref_mut()
    }

    /// An element's name; empty for a number that no element has.
    pub fn name(&self, id: ElementId) -> &str {
        self.core.names.get(id.0 as usize).map_or("", String::as_str)
    }

    /// The element of that full name.
    pub fn find(&self, name: &str) -> Option<ElementId> {
        self.core.index.get(name).map(|&id| ElementId(id))
    }

    /// Packets dropped so far: element, reason, count.
    pub fn drops(&self) -> impl Iterator<Item = (&str, &'static str, u64)> {
        self.core.names.iter().zip(&self.core.drops).flat_map(|(name, counts)| {
            counts.iter().map(move |&(reason, count)| (name.as_str(), reason, count))
        })
    }
}

/// Puts an element back into the slot that it was taken from. The slot is empty, so there is nothing to drop: saying so
/// saves a look at it for every element that a batch passes.
#[inline(always)]
fn put_back(slot: &mut Slot, element: Box<dyn Element>) {
    std::mem::forget(slot.replace(element));
}

/// A device of a router and what to wait for.
#[derive(Clone, Copy)]
pub struct DevicePoll<'a> {
    /// For [`Router::device_ready`].
    pub id: DeviceId,
    /// The device itself.
    pub device: &'a dyn Device,
    /// Some element reads from it.
    pub wants_read: bool,
    /// Some element has packets that the device could not take.
    pub wants_write: bool,
}

impl std::fmt::Debug for DevicePoll<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DevicePoll").field("id", &self.id).field("wants_write", &self.wants_write).finish()
    }
}

/// `element.handler`; without an element a handler of the router.
fn path(element: &str, handler: &str) -> String {
    if element.is_empty() { handler.to_owned() } else { format!("{element}.{handler}") }
}
