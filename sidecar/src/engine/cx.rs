//! What an element can do while it is called.

use std::any::Any;

use super::core::{Core, Emission, SignalOut};
use super::env::{ControlEndpoint, DeviceId, DeviceSlot};
use super::handlers::Access;
use super::wiring::Edge;
use super::{ElementId, Time};
use crate::device::{Device, DeviceRequest, Direction};
use crate::element::{Descriptor, Element, HandlerError};
use crate::packet::{Batch, Packet};

pub(crate) type Slot = Option<Box<dyn Element>>;

/// The context of one call of an element: its outputs, the time, the rest of the router.
pub struct Cx<'a> {
    pub(super) elements: &'a mut [Slot],
    pub(super) core: &'a mut Core,
    pub(super) id: u32,
    /// Emissions from here on belong to this call.
    pub(super) base: usize,
}

impl std::fmt::Debug for Cx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cx").field("element", &self.name()).finish()
    }
}

/// Port number for [`Cx::split`] that drops the packet as "no match".
pub const NO_PORT: usize = usize::MAX;

/// Outputs whose emission [`Cx::split`] remembers; those beyond are looked for.
const PARTS: usize = 16;
const NO_PART: usize = usize::MAX;

impl Cx<'_> {
    /// The time of this pass.
    #[inline(always)]
    pub fn now(&self) -> Time {
        self.core.now
    }

    /// Whether time is virtual.
    pub fn simulated(&self) -> bool {
        self.core.simulated
    }

    /// The element's own number.
    #[inline]
    pub fn id(&self) -> ElementId {
        ElementId(self.id)
    }

    /// The element's own name, compounds included: `p0/cl`.
    pub fn name(&self) -> &str {
        self.core.names.get(self.id as usize).map_or("", String::as_str)
    }

    /// The class of this element.
    pub fn class(&self) -> &'static str {
        self.core.classes.get(self.id as usize).map_or("", |class| class.class)
    }

    /// How many inputs are connected.
    #[inline]
    pub fn inputs(&self) -> usize {
        self.core.wiring.input_count(self.id)
    }

    /// How many outputs are connected.
    #[inline(always)]
    pub fn outputs(&self) -> usize {
        self.core.wiring.output_count(self.id)
    }

    /// Whether input `port` is pull.
    pub fn input_is_pull(&self, port: usize) -> bool {
        self.core.wiring.is_pull_input(self.id, port as u32)
    }

    /// Whether output `port` is pull.
    pub fn output_is_pull(&self, port: usize) -> bool {
        self.core.wiring.is_pull_output(self.id, port as u32)
    }

    /// Sends a packet out of push output `port`, when this call has returned.
    #[inline]
    pub fn emit(&mut self, port: usize, packet: Packet) {
        if port >= self.outputs() {
            self.drop(super::NO_OUTPUT, packet);
            return;
        }
        let output = self.core.wiring.output(self.id, port as u32);
        for emission in self.core.emitted[self.base..].iter_mut().rev() {
            if emission.output == output {
                if emission.batch.is_full() {
                    break;
                }
                emission.batch.push(packet);
                return;
            }
        }
        self.emit_apart(port, packet);
    }

    /// Sends a packet out of `port` if that output is connected; else drops it for `reason`.
    #[inline]
    pub fn emit_or_drop(&mut self, port: usize, reason: &'static str, packet: Packet) {
        if port < self.outputs() { self.emit(port, packet) } else { self.drop(reason, packet) }
    }

    /// Sends all packets of `batch` out of `port`, in order.
    pub fn emit_all(&mut self, port: usize, batch: &mut Batch) {
        for packet in batch.drain() {
            self.emit(port, packet);
        }
    }

    /// Sends each packet out of the output that `port_of` says, [`NO_PORT`] and unconnected outputs dropping it for
    /// `reason`. A batch that goes to one output goes there as it is.
    #[inline(always)]
    pub fn split(
        &mut self,
        batch: &mut Batch,
        reason: &'static str,
        mut port_of: impl FnMut(&mut Packet) -> usize,
    ) {
        let mut ports = batch.iter_mut();
        let Some(first) = ports.next().map(&mut port_of) else { return };
        // How many go where the first one goes, and where the next one goes.
        let mut same = 1;
        let next = ports.find_map(|packet| {
            let port = port_of(packet);
            same += usize::from(port == first);
            (port != first).then_some(port)
        });
        let Some(next) = next.or((first >= self.outputs()).then_some(first)) else {
            self.core.leave = first as u32;
            return;
        };
        let mut parts = [NO_PART; PARTS];
        for (at, mut packet) in batch.drain().enumerate() {
            let port = match at {
                at if at < same => first,
                at if at == same => next,
                _ => port_of(&mut packet),
            };
            match parts.get(port).copied() {
                Some(NO_PART) if port < self.outputs() => {
                    parts[port] = self.core.emitted.len();
                    self.emit_apart(port, packet);
                }
                // It was made for this batch, so it has room for all of it.
                Some(part) if part != NO_PART => self.core.emitted[part].batch.push(packet),
                _ => self.emit_or_drop(port, reason, packet),
            }
        }
    }

    /// Begins an emission.
    fn emit_apart(&mut self, port: usize, packet: Packet) {
        let output = self.core.wiring.output(self.id, port as u32);
        let mut batch = self.core.spare_batch();
        batch.push(packet);
        self.core.emitted.push(Emission { output, batch });
    }

    /// Lets what is left in the pushed batch leave by `port` in place of output 0.
    #[inline]
    pub fn leave_by(&mut self, port: usize) {
        self.core.leave = port as u32;
    }

    /// Drops a packet and counts it. `reason` is one of the descriptor's `drops`.
    #[inline]
    pub fn drop(&mut self, reason: &'static str, packet: Packet) {
        self.core.count_drop(self.id, reason, 1);
        drop(packet);
    }

    /// Drops all packets of a batch and counts them.
    pub fn drop_all(&mut self, reason: &'static str, batch: &mut Batch) {
        self.core.count_drop(self.id, reason, batch.len() as u64);
        batch.clear();
    }

    /// Counts packets that were lost elsewhere, as a device does.
    pub fn count_drops(&mut self, reason: &'static str, count: u64) {
        if count > 0 {
            self.core.count_drop(self.id, reason, count);
        }
    }

    /// Packets that this element dropped for `reason`.
    pub fn drop_count(&self, reason: &str) -> u64 {
        self.core.drops[self.id as usize].iter().find(|(known, _)| *known == reason).map_or(0, |(_, n)| *n)
    }

    /// Adds up to `max` packets, and no more than the batch has room for, from pull input `port`.
    pub fn pull(&mut self, port: usize, batch: &mut Batch, max: usize) {
        let from = self.core.wiring.pull_source(self.id, port as u32);
        let max = max.min(batch.room());
        if from == Edge::NONE || max == 0 {
            return;
        }
        if batch.is_empty() {
            self.pull_from(from, batch, max);
        } else {
            let mut more = self.core.spare_batch();
            self.pull_from(from, &mut more, max);
            batch.append(&mut more);
            self.core.recycle(more);
        }
    }

    #[inline]
    fn pull_from(&mut self, from: Edge, batch: &mut Batch, max: usize) {
        let Some(mut element) = self.elements.get_mut(from.element as usize).and_then(Option::take) else {
            return; // It is at work further up: a pull loop has nothing to give.
        };
        let base = self.core.emitted.len();
        let mut cx = Cx { elements: self.elements, core: self.core, id: from.element, base };
        element.pull(&mut cx, from.port as usize, batch, max);
        self.elements[from.element as usize] = Some(element);
    }

    /// Makes [`Element::task`] run in the next pass.
    #[inline]
    pub fn schedule(&mut self) {
        self.core.schedule(self.id);
    }

    /// Makes [`Element::timer`] run at `at`; replaces a timer set before.
    #[inline]
    pub fn set_timer(&mut self, at: Time) {
        self.core.timers.set(self.id, at);
    }

    /// Takes the timer back.
    pub fn clear_timer(&mut self) {
        self.core.timers.clear(self.id);
    }

    /// When the element's timer is due, if it is set.
    pub fn timer(&self) -> Option<Time> {
        self.core.timers.get(self.id)
    }

    /// Wakes the tasks that pull from output `port`, directly or through other pull elements.
    #[inline]
    pub fn wake_pullers(&mut self, port: usize) {
        let core = &mut *self.core;
        for &element in core.wiring.pullers(self.id, port as u32) {
            if !std::mem::replace(&mut core.queued[element as usize], true) {
                core.ready.push_back(element);
            }
        }
    }

    /// Says, for sources upstream, whether this queue is full. They run again when it no longer is.
    #[inline]
    pub fn set_full(&mut self, full: bool) {
        if std::mem::replace(&mut self.core.full[self.id as usize], full) && !full {
            let watchers = std::mem::take(&mut self.core.watchers[self.id as usize]);
            for &watcher in &watchers {
                self.core.schedule(watcher);
            }
            self.core.watchers[self.id as usize] = watchers;
        }
    }

    /// Watches the queues downstream: from now on [`Cx::downstream_full`] knows, and the element's task is scheduled
    /// when it may go on. For `initialize`.
    pub fn watch_downstream(&mut self) {
        self.see_downstream();
        for &end in &self.core.ends[self.id as usize] {
            self.core.watchers[end as usize].push(self.id);
        }
    }

    /// As [`Cx::watch_downstream`], without waking the task. For `initialize`.
    pub fn see_downstream(&mut self) {
        self.core.ends[self.id as usize] = self.core.wiring.push_ends(self.id);
    }

    /// Whether all that this element pushes would end in full queues.
    #[inline]
    pub fn downstream_full(&self) -> bool {
        let ends = &self.core.ends[self.id as usize];
        !ends.is_empty() && ends.iter().all(|&end| self.core.full[end as usize])
    }

    /// The element that `name` means here: names inside the same compound first, then further out.
    pub fn find(&self, name: &str) -> Option<ElementId> {
        self.core.resolve(self.id, name).map(ElementId)
    }

    /// All elements, in graph order, with name and descriptor.
    pub fn all_elements(&self) -> impl Iterator<Item = (ElementId, &str, &'static Descriptor)> {
        let names = self.core.names.iter().zip(&self.core.classes).enumerate();
        names.map(|(id, (name, &class))| (ElementId(id as u32), name.as_str(), class))
    }

    /// Another element, if it is of type `T` and not at work now.
    pub fn element_mut<T: Element>(&mut self, id: ElementId) -> Option<&mut T> {
        let element: &mut dyn Element = self.elements.get_mut(id.0 as usize)?.as_deref_mut()?;
        let element: &mut dyn Any = element;
        element.downcast_mut()
    }

    /// Calls `f` with another element, if it is of type `T` and not at work now, and with its own context.
    pub fn with_element<T: Element, R>(
        &mut self,
        id: ElementId,
        f: impl FnOnce(&mut T, &mut Cx<'_>) -> R,
    ) -> Option<R> {
        let mut element = self.elements.get_mut(id.0 as usize)?.take()?;
        let base = self.core.emitted.len();
        let mut cx = Cx { elements: self.elements, core: self.core, id: id.0, base };
        let any: &mut dyn Any = &mut *element;
        let answer = any.downcast_mut().map(|element| f(element, &mut cx));
        self.elements[id.0 as usize] = Some(element);
        answer
    }

    /// The elements connected to output `port`.
    pub fn output_element(&self, port: usize) -> Option<ElementId> {
        let to = self.core.wiring.push_target(self.core.wiring.output(self.id, port as u32));
        (to != Edge::NONE).then_some(ElementId(to.element))
    }

    /// The elements that `element` pulls from, or those that it pushes to, in order of its ports.
    pub fn neighbours(&self, element: ElementId, pull: bool) -> Vec<ElementId> {
        let (wiring, id) = (&self.core.wiring, element.0);
        let edges: Vec<Edge> = if pull {
            let inputs = 0..wiring.input_count(id) as u32;
            inputs
                .filter(|port| wiring.is_pull_input(id, *port))
                .map(|port| wiring.pull_source(id, port))
                .collect()
        } else {
            let outputs = 0..wiring.output_count(id) as u32;
            let pushed = outputs.filter(|port| !wiring.is_pull_output(id, *port));
            pushed.map(|port| wiring.push_target(wiring.output(id, port))).collect()
        };
        edges.into_iter().filter(|edge| *edge != Edge::NONE).map(|edge| ElementId(edge.element)).collect()
    }

    /// Calls a write handler, `element.handler`, as soon as this call has returned, before its packets go on.
    pub fn write_later(&mut self, handler: impl Into<String>, value: impl Into<String>) {
        let mut handler = handler.into();
        // Resolved here, while it is known where the name is used.
        if let Some((element, name)) = handler.rsplit_once('.')
            && let Some(found) = self.core.resolve(self.id, element)
        {
            handler = format!("{}.{name}", self.core.names[found as usize]);
        }
        self.core.deferred.push((handler, value.into()));
    }

    /// Reads a handler, `element.handler`, the element's name as seen from here.
    pub fn read_handler(&mut self, handler: &str, param: &str) -> Result<String, HandlerError> {
        super::handlers::read(self.elements, self.core, self.id, handler, param)
    }

    /// Calls a write handler at once.
    pub fn write_handler(&mut self, handler: &str, value: &str) -> Result<(), HandlerError> {
        super::handlers::write(self.elements, self.core, self.id, handler, value)
    }

    /// What a handler allows, `element.handler`, the element's name as seen from here.
    pub fn handler_access(&self, handler: &str) -> Result<Access, HandlerError> {
        super::handlers::access(self.elements, self.core, self.id, handler)
    }

    /// Asks the router to stop: the driver script, if there is one, decides.
    pub fn stop(&mut self) {
        self.core.stops += 1;
    }

    /// Makes this element the one that decides about stop requests ([`Element::stop_requested`]). For `initialize`.
    /// `false` if another element does so already.
    pub fn become_driver(&mut self) -> bool {
        self.core.driver.get_or_insert(self.id) == &self.id
    }

    /// Makes [`Element::signalled`] run when the process gets that signal, if whoever runs the router watches for signals.
    pub fn watch_signal(&mut self, signal: i32) {
        self.core.signals.push((signal, self.id));
    }

    /// Ends the run for good.
    pub fn finish(&mut self) {
        self.core.finished = true;
    }

    /// Begins another sequence of random numbers, for all elements.
    pub fn set_seed(&mut self, seed: u64) {
        self.core.random = seed;
    }

    /// A random number. The sequence depends on the seed only: that of the environment, or of [`Cx::set_seed`].
    pub fn random(&mut self) -> u64 {
        // splitmix64
        self.core.random = self.core.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.core.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Prints a message for the user, a line of standard error.
    pub fn message(&self, message: impl std::fmt::Display) {
        self.core.console.message(self.name(), message);
    }

    /// Standard output, for elements that write packets there.
    pub fn standard_output(&self) -> Box<dyn std::io::Write + Send> {
        self.core.console.output(self.name())
    }

    /// Gives a packet to the link of cut edge `edge`.
    #[inline]
    pub fn send_link(&mut self, edge: u16, packet: Packet) {
        self.core.link_output.push((edge, packet));
    }

    /// Makes packets that arrive by cut edge (or signal) `edge` go to this element's `push`, as if by input `port`.
    /// `false` if another element has it.
    pub fn receive_link(&mut self, edge: u16, port: usize) -> bool {
        self.core.link_inputs.insert(edge, (self.id, port)).is_none()
    }

    /// Makes this element say by `signal` how many packets may come ([`Element::link_allowance`]). For `initialize`.
    pub fn answer_by(&mut self, signal: u16) {
        self.core.link_signals.push(SignalOut { id: signal, element: self.id, said: None });
    }

    /// Says that a pull gives less than was asked for because packets have to come over a link first.
    pub fn owe(&mut self) {
        self.core.owed = true;
    }

    /// Whether a pull since the last call gave less because packets have to come over a link first. When they have come,
    /// the task of who pulled runs, as with packets that come into a queue.
    pub fn take_owed(&mut self) -> bool {
        std::mem::take(&mut self.core.owed)
    }

    /// Makes this element's task run whenever links are served, too: it pulls packets for one. For `initialize`.
    pub fn pull_for_link(&mut self) {
        self.core.link_pullers.push(self.id);
    }

    /// How many packets may be pushed on before all queues downstream are full, if each takes every one. Needs
    /// [`Cx::see_downstream`].
    pub fn room_downstream(&self) -> u64 {
        let ends = self.core.ends[self.id as usize].iter();
        let room = ends.map(|&end| self.elements[end as usize].as_deref().map_or(u64::MAX, Element::room));
        room.max().unwrap_or(u64::MAX)
    }

    /// Tells a queue that so many of its packets wait beyond a cut.
    pub fn lend(&mut self, queue: ElementId, packets: usize) {
        let Some(mut element) = self.elements.get_mut(queue.0 as usize).and_then(Option::take) else {
            return;
        };
        let base = self.core.emitted.len();
        let mut cx = Cx { elements: self.elements, core: self.core, id: queue.0, base };
        element.lend(&mut cx, packets);
        self.elements[queue.0 as usize] = Some(element);
    }

    /// Asks whoever runs the router to serve its handlers there. For `initialize`.
    pub fn listen(&mut self, endpoint: ControlEndpoint) -> Result<(), String> {
        if !self.core.control_sockets {
            return Err(
                "a pod serves its handlers by the control API; this is for routers that run alone".to_owned()
            );
        }
        self.core.control.push(endpoint);
        Ok(())
    }

    /// Whether the router is only looked at: an element then opens no file.
    pub fn dry(&self) -> bool {
        self.core.dry
    }

    /// Opens the device, or finds it if it is open. The task of this element runs when the device is ready for `request`.
    pub fn open_device(&mut self, request: &DeviceRequest) -> Result<DeviceId, String> {
        if self.dry() {
            return Ok(DeviceId(0)); // never looked up: a dry router does not run
        }
        let named = |error: std::io::Error| match request.name.as_str() {
            "" => error.to_string(),
            name => format!("{name}: {error}"),
        };
        let at = match self.core.device_names.get(&request.name) {
            Some(&at) => at,
            None => {
                let opener = self.core.opener.as_mut().ok_or_else(|| {
                    format!("no device \"{}\" here; bind it as a port of the function", request.name)
                })?;
                let device = opener(request).map_err(named)?;
                self.core.devices.push(DeviceSlot {
                    device,
                    readers: Vec::new(),
                    writers: Vec::new(),
                    wants_write: false,
                });
                if !request.name.is_empty() {
                    self.core.device_names.insert(request.name.clone(), self.core.devices.len() - 1);
                }
                self.core.devices.len() - 1
            }
        };
        let slot = &mut self.core.devices[at];
        slot.device.also(request).map_err(named)?;
        match request.direction {
            Direction::Receive => slot.readers.push(self.id),
            Direction::Send => slot.writers.push(self.id),
            Direction::Both => {
                slot.readers.push(self.id);
                slot.writers.push(self.id);
            }
        }
        Ok(DeviceId(at))
    }

    /// A device that this element opened.
    #[inline]
    pub fn device(&mut self, id: DeviceId) -> &mut dyn Device {
        &mut *self.core.devices[id.0].device
    }

    /// Runs this element's task when the device can take packets again.
    pub fn wait_writable(&mut self, id: DeviceId) {
        self.core.devices[id.0].wants_write = true;
    }
}
