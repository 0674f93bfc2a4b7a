//! Queue and SimpleQueue: first in, first out, from push to pull; what does not fit is dropped at the tail.
//!
//! Queue tells sources upstream when it is full and pullers downstream when it is no longer empty; SimpleQueue tells
//! pullers only.

use std::collections::VecDeque;

use crate::element::{
    Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
};
use crate::elements::basic::parse_handler;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

const HANDLERS: &[Handler] = &[
    Handler::read("length", "packets in the queue"),
    Handler::read("highwater_length", "most packets that were ever in the queue"),
    Handler::both("capacity", "most packets that fit"),
    Handler::read("drops", "packets dropped because the queue was full"),
    Handler::write("reset_counts", "sets drops and highwater_length to 0"),
    Handler::write("reset", "drops all packets in the queue"),
];

const ARGS: &[Arg] = &[Arg::optional("CAPACITY", "unsigned", "1000", "most packets that fit")];

const OVERFLOW: &str = "queue full";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "Queue",
    summary: "stores packets in a FIFO queue",
    ports: "1/1",
    processing: "h/l",
    args: ARGS,
    handlers: HANDLERS,
    drops: &[OVERFLOW],
    state: StateKind::Small,
    build: |args| build(args, true),
    ..Descriptor::BASE
};

pub(super) static SIMPLE: Descriptor = Descriptor {
    class: "SimpleQueue",
    summary: "stores packets in a FIFO queue, without notice to sources",
    build: |args| build(args, false),
    processing: "h/l",
    args: ARGS,
    handlers: HANDLERS,
    drops: &[OVERFLOW],
    state: StateKind::Small,
    ..Descriptor::BASE
};

struct Queue {
    packets: VecDeque<Packet>,
    capacity: usize,
    highwater: usize,
    drops: u64,
    tells_sources: bool,
}

fn build(args: &Args<'_>, tells_sources: bool) -> Result<Box<dyn Element>, ConfigError> {
    let capacity = args.or("CAPACITY", 1000_usize)?;
    if capacity == 0 {
        return Err("CAPACITY must be positive".into());
    }
    let packets = VecDeque::with_capacity(capacity.min(1 << 16));
    Ok(Box::new(Queue { packets, capacity, highwater: 0, drops: 0, tells_sources }))
}

impl Queue {
    fn tell(&mut self, cx: &mut Cx<'_>) {
        if self.tells_sources {
            cx.set_full(self.packets.len() >= self.capacity);
        }
    }
}

impl Element for Queue {
    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        if batch.is_empty() {
            return;
        }
        let was_empty = self.packets.is_empty();
        for packet in batch.drain() {
            if self.packets.len() < self.capacity {
                self.packets.push_back(packet);
            } else {
                self.drops += 1;
                cx.drop(OVERFLOW, packet);
            }
        }
        self.highwater = self.highwater.max(self.packets.len());
        if self.packets.len() >= self.capacity {
            self.tell(cx);
        }
        if was_empty {
            cx.wake_pullers(0);
        }
    }

    fn pull(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch, max: usize) {
        let was_full = self.packets.len() >= self.capacity;
        let count = max.min(self.packets.len());
        for packet in self.packets.drain(..count) {
            batch.push(packet);
        }
        if was_full && count > 0 {
            self.tell(cx);
        }
    }

    fn start(&mut self, cx: &mut Cx<'_>) {
        if !self.packets.is_empty() {
            cx.wake_pullers(0);
        }
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "length" => Ok(self.packets.len().to_string()),
            "highwater_length" => Ok(self.highwater.to_string()),
            "capacity" => Ok(self.capacity.to_string()),
            "drops" => Ok(self.drops.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "reset_counts" => {
                self.drops = 0;
                self.highwater = self.packets.len();
            }
            "reset" => self.packets.clear(),
            "capacity" => {
                let capacity: usize = parse_handler(value)?;
                if capacity == 0 {
                    return Err(HandlerError::Refused("CAPACITY must be positive".to_owned()));
                }
                self.capacity = capacity;
                self.packets.truncate(capacity);
            }
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        self.tell(cx);
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for Queue {
    fn schema(&self) -> Schema {
        Schema { name: "queue", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.drops);
        w.put_u32(self.highwater as u32);
        w.put_u32(self.packets.len() as u32);
        for packet in &self.packets {
            packet.save(w);
        }
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.drops = r.get_u64()?;
        self.highwater = r.get_u32()? as usize;
        self.packets.clear();
        for _ in 0..r.get_u32()? {
            self.packets.push_back(Packet::restore(r)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn packets_leave_in_order_and_those_that_do_not_fit_are_dropped_at_the_tail() {
        let mut bench = Bench::new("in :: TestIn -> q :: Queue(2) -> out :: TestPuller;");
        for n in 1..=3 {
            bench.push("in", &[n]);
        }
        assert_eq!(bench.read("q", "length"), "2");
        assert_eq!(bench.drops("q", "queue full"), 1);
        assert_eq!(bench.read("q", "drops"), "1");
        let got: Vec<u8> = bench.pull("out", 5).iter().map(|p| p.data()[0]).collect();
        assert_eq!(got, [1, 2]);
        assert_eq!(bench.read("q", "highwater_length"), "2");
    }

    #[test]
    fn a_source_waits_while_the_queue_is_full() {
        let mut bench = Bench::new("InfiniteSource(LIMIT 100) -> q :: Queue(10) -> out :: TestPuller;");
        bench.settle(200);
        assert_eq!((bench.read("q", "length"), bench.read("q", "drops")), ("10".into(), "0".into()));
        assert_eq!(bench.pull("out", 4).len(), 4);
        bench.settle(200);
        assert_eq!((bench.read("q", "length"), bench.read("q", "drops")), ("10".into(), "0".into()));
    }

    #[test]
    fn a_queue_moves_with_its_packets() {
        let mut bench = Bench::new("in :: TestIn -> q :: Queue -> out :: TestPuller;");
        bench.push("in", b"one");
        bench.push("in", b"two");
        let mut w = crate::state::Writer::new();
        for (_, element) in bench.router.elements_mut() {
            if let Some(state) = element.stateful() {
                state.save(&mut w);
            }
        }
        let mut moved = Bench::new("in :: TestIn -> q :: Queue -> out :: TestPuller;");
        let mut r = crate::state::Reader::new(w.as_bytes());
        for (_, element) in moved.router.elements_mut() {
            if let Some(state) = element.stateful() {
                state.restore(&mut r).unwrap();
            }
        }
        let got: Vec<_> = moved.pull("out", 9).iter().map(|p| p.data().to_vec()).collect();
        assert_eq!(got, [b"one", b"two"]);
    }

    #[test]
    fn a_wrong_capacity_is_refused() {
        let text = "Idle -> q :: Queue(0) -> Discard;";
        assert!(Bench::error(text).contains("While configuring 'q :: Queue': CAPACITY must be positive"));
    }
}
