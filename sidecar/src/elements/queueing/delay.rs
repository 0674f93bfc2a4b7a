//! What DelayUnqueue and DelayShaper have in common: one packet that waits until its timestamp and the delay have passed.
//!
//! The timestamp of the packet that waits is the time that it waits for.

use std::time::Duration;

use super::interval::{get_duration, put_duration, show_interval};
use crate::element::{
    Annotations, Arg, Batch, Cx, Descriptor, Handler, HandlerError, Packet, StateKind, Time,
};
use crate::elements::basic::parse_handler;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

pub(super) const COMMON: Descriptor = Descriptor {
    args: &[Arg::required("DELAY", "time", "least time between a packet's timestamp and its way out")],
    handlers: &[Handler::both("delay", "least time between a packet's timestamp and its way out")],
    reads: Annotations::TIMESTAMP,
    state: StateKind::Small,
    ..Descriptor::BASE
};

/// See the module's head.
pub(super) struct Delay {
    delay: Duration,
    waiting: Option<Packet>,
}

/// What there is to do.
pub(super) enum Next {
    /// The time of this packet has come.
    Due(Packet),
    /// A packet waits until then.
    At(Time),
    /// There is no packet.
    Nothing,
}

impl Delay {
    pub(super) fn new(delay: Duration) -> Self {
        Self { delay, waiting: None }
    }

    /// Looks at the packet that waits, and pulls one by way of `batch`, which has to have room, if there is none.
    pub(super) fn next(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) -> Next {
        if self.waiting.is_none() {
            let before = batch.len();
            cx.pull(0, batch, 1);
            if batch.len() > before {
                self.waiting = batch.pop().map(|packet| self.stamp(cx.now(), packet));
            }
        }
        match self.waiting.take() {
            None => Next::Nothing,
            Some(packet) if packet.anno().timestamp <= cx.now() => Next::Due(packet),
            Some(packet) => {
                let at = packet.anno().timestamp;
                self.waiting = Some(packet);
                Next::At(at)
            }
        }
    }

    /// Sets the timestamp to when the packet may go. One that has none came just now.
    fn stamp(&self, now: Time, mut packet: Packet) -> Packet {
        let anno = packet.anno_mut();
        if anno.timestamp.seconds() == 0 {
            anno.timestamp = now;
        }
        anno.timestamp += self.delay;
        packet
    }

    pub(super) fn read(&self, handler: &str) -> Result<String, HandlerError> {
        match handler {
            "delay" => Ok(show_interval(self.delay)),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    /// A new delay counts for packets that do not wait yet.
    pub(super) fn write(&mut self, handler: &str, value: &str) -> Result<(), HandlerError> {
        if handler != "delay" {
            return Err(HandlerError::NoHandler(handler.to_owned()));
        }
        self.delay = parse_handler(value)?;
        Ok(())
    }
}

impl Stateful for Delay {
    fn schema(&self) -> Schema {
        Schema { name: "delay", version: 2 }
    }

    fn save(&self, w: &mut Writer) {
        put_duration(self.delay, w);
        w.put_bool(self.waiting.is_some());
        if let Some(packet) = &self.waiting {
            packet.save(w);
        }
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.delay = get_duration(r)?;
        self.waiting = if r.get_bool()? { Some(Packet::restore(r)?) } else { None };
        Ok(())
    }
}
