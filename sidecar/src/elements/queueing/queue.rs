//! The queues: from push to pull, first in, first out. They differ in whom they tell of changes and in what is dropped
//! when a packet does not fit; what is dropped leaves by output 1 if that is connected.
//!
//! All tell pullers downstream when they are no longer empty. Queue (FullNoteQueue) and QuickNoteQueue also tell sources
//! upstream when they are full. Click's classes differ further in how long a puller keeps asking an empty queue; here it
//! sleeps at once.

use std::any::Any;
use std::collections::VecDeque;

use crate::element::{
    Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, Queueing,
    StateKind,
};
use crate::elements::basic::parse_handler;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

const OVERFLOW: &str = "queue full";
const RESET: &str = "queue reset";

const STORE: Queueing = Queueing { stores: true, ..Queueing::NONE };

/// What all queues have in common.
pub(super) const COMMON: Descriptor = Descriptor {
    ports: "1/1-2",
    processing: "h/lh",
    args: &[Arg::optional("CAPACITY", "unsigned", "1000", "most packets that fit")],
    handlers: &[
        Handler::read("length", "packets in the queue"),
        Handler::read("highwater_length", "most packets that were ever in the queue"),
        Handler::both("capacity", "most packets that fit"),
        Handler::read("drops", "packets dropped because the queue was full"),
        Handler::write("reset_counts", "sets drops and highwater_length to 0"),
        Handler::write("reset", "drops all packets in the queue"),
    ],
    drops: &[OVERFLOW, RESET],
    state: StateKind::Small,
    queueing: STORE,
    ..Descriptor::BASE
};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "Queue",
    summary: "stores packets in a FIFO queue",
    queueing: Queueing { tells_full: true, fifo: true, ..STORE },
    details: "Holds packets until they are pulled. A packet that comes when CAPACITY packets wait leaves by \
              output 1, or is dropped; the first such loss is told on standard error. Sources upstream that \
              listen (InfiniteSource, Unqueue …) stop while the queue is full, and pullers downstream sleep \
              while it is empty.",
    example: r#"
        RatedSource(DATA abc, RATE 100, LIMIT 8)
            -> q :: Queue(5)
            -> u :: Unqueue(ACTIVE false)
            -> Print(passed)
            -> Discard;
        q[1] -> Print(lost) -> Discard;
        DriverManager(wait 100ms,
            print "$(q.length) of $(q.capacity) wait, $(q.drops) lost",
            write q.capacity 3,
            print "$(q.length) of $(q.capacity) wait, at most $(q.highwater_length)",
            write u.active true, wait 1ms,
            print "$(q.length) wait, $(u.count) passed",
            write q.reset_counts, print "$(q.drops) lost, at most $(q.highwater_length)");
    "#,
    build: |args| build(args, Notice::Sources, Victim::Newest),
    ..COMMON
};

pub(super) static FULL_NOTE: Descriptor = Descriptor {
    class: "FullNoteQueue",
    summary: "stores packets in a FIFO queue; old name of Queue",
    queueing: Queueing { tells_full: true, fifo: true, ..STORE },
    details: "Queue under its older name.",
    example: r#"
        // The source waits while the queue is full: nothing is lost.
        s :: InfiniteSource(DATA abc, LIMIT 8)
            -> q :: FullNoteQueue(5)
            -> u :: Unqueue(ACTIVE false)
            -> c :: Counter
            -> Discard;
        DriverManager(wait 1ms,
            print "$(s.count) made, $(q.length) of $(q.capacity) wait",
            write u.active true, wait 1ms,
            print "$(s.count) made, $(c.count) passed, $(q.drops) lost, at most $(q.highwater_length) waited");
    "#,
    build: |args| build(args, Notice::Sources, Victim::Newest),
    ..COMMON
};

pub(super) static QUICK_NOTE: Descriptor = Descriptor {
    class: "QuickNoteQueue",
    summary: "stores packets in a FIFO queue, with notice at once",
    queueing: Queueing { tells_full: true, fifo: true, ..STORE },
    details: "As Queue. In click, its pullers sleep at once when it is empty; here they do so for all queues.",
    example: r#"
        // The source waits while the queue is full: nothing is lost.
        s :: InfiniteSource(DATA abc, LIMIT 8)
            -> q :: QuickNoteQueue(5)
            -> u :: Unqueue(ACTIVE false)
            -> c :: Counter
            -> Discard;
        DriverManager(wait 1ms,
            print "$(s.count) made, $(q.length) of $(q.capacity) wait",
            write u.active true, wait 1ms,
            print "$(s.count) made, $(c.count) passed, $(q.drops) lost, at most $(q.highwater_length) waited");
    "#,
    build: |args| build(args, Notice::Sources, Victim::Newest),
    ..COMMON
};

pub(super) static THREAD_SAFE: Descriptor = Descriptor {
    class: "ThreadSafeQueue",
    summary: "stores packets in a FIFO queue; Queue as it is for several threads",
    queueing: Queueing { tells_full: true, fifo: true, ..STORE },
    details: "As Queue. In click, several threads may push into it and pull from it; here one thread runs a router.",
    example: r#"
        // The source waits while the queue is full: nothing is lost.
        s :: InfiniteSource(DATA abc, LIMIT 8)
            -> q :: ThreadSafeQueue(5)
            -> u :: Unqueue(ACTIVE false)
            -> c :: Counter
            -> Discard;
        DriverManager(wait 1ms,
            print "$(s.count) made, $(q.length) of $(q.capacity) wait",
            write u.active true, wait 1ms,
            print "$(s.count) made, $(c.count) passed, $(q.drops) lost, at most $(q.highwater_length) waited");
    "#,
    build: |args| build(args, Notice::Sources, Victim::Newest),
    ..COMMON
};

pub(super) static NOTIFIER: Descriptor = Descriptor {
    class: "NotifierQueue",
    summary: "stores packets in a FIFO queue, with notice to pullers only",
    queueing: Queueing { fifo: true, ..STORE },
    details: "As Queue, but sources upstream are not told when it is full: what they send then is lost.",
    example: r#"
        // The source does not wait when the queue is full.
        s :: InfiniteSource(DATA abc, LIMIT 8)
            -> q :: NotifierQueue(5)
            -> u :: Unqueue(ACTIVE false)
            -> c :: Counter
            -> Discard;
        DriverManager(wait 1ms,
            print "$(s.count) made, $(q.length) of $(q.capacity) wait, $(q.drops) lost",
            write u.active true, wait 1ms,
            print "$(c.count) passed",
            write q.reset_counts, print "$(q.drops) lost");
    "#,
    build: |args| build(args, Notice::Pullers, Victim::Newest),
    ..COMMON
};

pub(super) static SIMPLE: Descriptor = Descriptor {
    class: "SimpleQueue",
    summary: "stores packets in a FIFO queue, without notice to sources",
    queueing: Queueing { fifo: true, ..STORE },
    details: "As NotifierQueue. In click, its pullers do not even learn that it is empty; here they sleep as \
              for all queues.",
    example: r#"
        // The source does not wait when the queue is full.
        s :: InfiniteSource(DATA abc, LIMIT 8)
            -> q :: SimpleQueue(5)
            -> u :: Unqueue(ACTIVE false)
            -> c :: Counter
            -> Discard;
        DriverManager(wait 1ms,
            print "$(s.count) made, $(q.length) of $(q.capacity) wait, $(q.drops) lost",
            write u.active true, wait 1ms,
            print "$(c.count) passed",
            write q.reset_counts, print "$(q.drops) lost");
    "#,
    build: |args| build(args, Notice::Pullers, Victim::Newest),
    ..COMMON
};

/// Who is told of changes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice {
    /// Pullers downstream.
    Pullers,
    /// Pullers downstream and sources upstream.
    Sources,
}

/// Which packet is dropped when one comes in by input 0 and the queue is full.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Victim {
    /// The one that comes in.
    Newest,
    /// The one that is in longest.
    Oldest,
}

/// See the module's head.
pub(super) struct Queue {
    packets: VecDeque<Packet>,
    /// Packets that were pulled ahead and wait beyond a cut.
    lent: usize,
    capacity: usize,
    highwater: usize,
    drops: u64,
    notice: Notice,
    victim: Victim,
}

pub(super) fn build(
    args: &Args<'_>,
    notice: Notice,
    victim: Victim,
) -> Result<Box<dyn Element>, ConfigError> {
    let capacity = args.or("CAPACITY", 1000_usize)?;
    let packets = VecDeque::with_capacity(capacity.min(1 << 16));
    Ok(Box::new(Queue { packets, lent: 0, capacity, highwater: 0, drops: 0, notice, victim }))
}

impl Queue {
    /// Packets in the queue.
    pub(super) fn len(&self) -> usize {
        self.packets.len() + self.lent
    }

    /// Most packets that fit.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    fn is_full(&self) -> bool {
        self.len() >= self.capacity
    }

    fn tell(&mut self, cx: &mut Cx<'_>) {
        if self.notice == Notice::Sources {
            // A queue without any room drops all, as in Click; nobody waits for it.
            cx.set_full(self.capacity > 0 && self.is_full());
        }
    }

    /// Puts a packet at the end; returns the one that there is no room for.
    fn append(&mut self, packet: Packet) -> Option<Packet> {
        if !self.is_full() {
            self.packets.push_back(packet);
            return None;
        }
        if self.victim == Victim::Newest {
            return Some(packet);
        }
        if self.capacity == 0 {
            return Some(packet);
        }
        let oldest = self.packets.pop_front();
        self.packets.push_back(packet);
        oldest
    }

    /// Puts a packet at the head; returns the one at the end, if there was no room.
    fn prepend(&mut self, packet: Packet) -> Option<Packet> {
        if self.capacity == 0 {
            return Some(packet);
        }
        let last = if self.is_full() { self.packets.pop_back() } else { None };
        self.packets.push_front(packet);
        last
    }

    /// There is no room for this packet. The first time, the user is told.
    #[cold]
    fn overflow(&mut self, cx: &mut Cx<'_>, victim: Packet) {
        if self.drops == 0 && self.capacity > 0 {
            cx.message(format_args!("{} :: {}: overflow", cx.name(), cx.class()));
        }
        self.drops += 1;
        cx.emit_or_drop(1, OVERFLOW, victim);
    }

    /// Drops the packets that are too many.
    fn set_capacity(&mut self, cx: &mut Cx<'_>, capacity: usize) {
        self.capacity = capacity;
        while self.len() > capacity {
            let victim = match self.victim {
                Victim::Newest => self.packets.pop_back(),
                Victim::Oldest => self.packets.pop_front(),
            };
            let Some(packet) = victim else { return };
            cx.drop(OVERFLOW, packet);
        }
    }
}

impl Element for Queue {
    /// Input 1, which MixedQueue alone has, puts packets at the head.
    fn push(&mut self, cx: &mut Cx<'_>, port: usize, batch: &mut Batch) {
        if batch.is_empty() {
            return;
        }
        let was_empty = self.packets.is_empty();
        for packet in batch.drain() {
            let victim = if port == 0 { self.append(packet) } else { self.prepend(packet) };
            if let Some(victim) = victim {
                self.overflow(cx, victim);
            }
        }
        self.highwater = self.highwater.max(self.len());
        if self.is_full() {
            self.tell(cx);
        }
        if was_empty {
            cx.wake_pullers(0);
        }
    }

    fn pull(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch, max: usize) {
        let was_full = self.is_full();
        let count = max.min(self.packets.len());
        for packet in self.packets.drain(..count) {
            batch.push(packet);
        }
        if was_full && count > 0 {
            self.tell(cx);
        }
    }

    fn room(&self) -> u64 {
        self.capacity.saturating_sub(self.len()) as u64
    }

    fn lend(&mut self, cx: &mut Cx<'_>, packets: usize) {
        self.lent = packets;
        self.tell(cx);
    }

    fn take_state(&mut self, cx: &mut Cx<'_>, old: &mut dyn Any) {
        let Some(old) = old.downcast_mut::<Self>() else { return };
        for packet in old.packets.drain(..) {
            if let Some(victim) = self.append(packet) {
                cx.drop(OVERFLOW, victim);
            }
        }
        self.highwater = self.packets.len();
        self.tell(cx);
        cx.wake_pullers(0);
    }

    fn start(&mut self, cx: &mut Cx<'_>) {
        if !self.packets.is_empty() {
            cx.wake_pullers(0);
        }
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "length" => Ok(self.len().to_string()),
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
                self.highwater = self.len();
            }
            "reset" => {
                for packet in self.packets.drain(..) {
                    cx.emit_or_drop(1, RESET, packet);
                }
            }
            "capacity" => {
                let capacity = parse_handler(value)?;
                self.set_capacity(cx, capacity);
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
        Schema { name: "queue", version: 2 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.capacity as u64);
        w.put_u64(self.drops);
        w.put_u32(self.highwater as u32);
        w.put_u32(self.lent as u32);
        w.put_u32(self.packets.len() as u32);
        for packet in &self.packets {
            packet.save(w);
        }
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        let capacity = r.get_u64()?;
        self.capacity = usize::try_from(capacity)
            .map_err(|_| StateError::Invalid { what: "capacity", value: capacity })?;
        self.drops = r.get_u64()?;
        self.highwater = r.get_u32()? as usize;
        self.lent = r.get_u32()? as usize;
        self.packets.clear();
        let count = r.get_u32()?;
        if count as usize > self.capacity {
            return Err(StateError::Invalid { what: "number of packets", value: count.into() });
        }
        for _ in 0..count {
            self.packets.push_back(Packet::restore(r)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::state::{Reader, StateError, Writer};
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
        let mut moved = Bench::new("in :: TestIn -> q :: Queue -> out :: TestPuller;");
        bench.move_to(&mut moved);
        let got: Vec<_> = moved.pull("out", 9).iter().map(|p| p.data().to_vec()).collect();
        assert_eq!(got, [b"one", b"two"]);
    }

    #[test]
    fn what_does_not_fit_leaves_by_output_1_if_that_is_connected() {
        let text = "in :: TestIn -> q :: NotifierQueue(1) -> out :: TestPuller; q[1] -> over :: TestOut;";
        let mut bench = Bench::new(text);
        bench.push("in", b"1");
        bench.push("in", b"2");
        assert_eq!(bench.take("over"), [b"2"]);
        assert_eq!((bench.read("q", "drops"), bench.drops("q", "queue full")), ("1".into(), 0));
        bench.router.write_handler("q", "reset", "").unwrap();
        assert_eq!((bench.take("over"), bench.read("q", "length")), (vec![b"1".to_vec()], "0".into()));
    }

    #[test]
    fn a_smaller_capacity_drops_the_newest() {
        let mut bench = Bench::new("in :: TestIn -> q :: QuickNoteQueue -> out :: TestPuller;");
        for n in 1..=3 {
            bench.push("in", &[n]);
        }
        bench.router.write_handler("q", "capacity", "2").unwrap();
        assert_eq!(bench.drops("q", "queue full"), 1);
        let got: Vec<u8> = bench.pull("out", 5).iter().map(|p| p.data()[0]).collect();
        assert_eq!(got, [1, 2]);
        bench.router.write_handler("q", "capacity", "0").unwrap();
        bench.push("in", &[4]);
        assert_eq!((bench.read("q", "length"), bench.read("q", "drops")), ("0".into(), "1".into()));
        assert!(bench.router.write_handler("q", "capacity", "few").is_err());
    }

    #[test]
    fn only_some_queues_hold_sources_back() {
        for (class, drops) in [("FullNoteQueue", "0"), ("QuickNoteQueue", "0"), ("NotifierQueue", "90")] {
            let text = format!("InfiniteSource(LIMIT 100) -> q :: {class}(10) -> TestPuller;");
            let mut bench = Bench::new(&text);
            bench.settle(200);
            assert_eq!((bench.read("q", "length"), bench.read("q", "drops")), ("10".into(), drops.into()));
        }
    }

    #[test]
    fn a_wrong_capacity_is_refused() {
        let error = Bench::error("Idle -> q :: Queue(-1) -> Discard;");
        assert!(error.contains("CAPACITY: expected unsigned integer, got '-1'"), "{error}");
    }

    #[test]
    fn a_queue_without_room_drops_all_and_holds_nobody_back() {
        for class in ["Queue", "FrontDropQueue"] {
            let mut bench = Bench::new(&format!("InfiniteSource(LIMIT 9) -> q :: {class}(0) -> TestPuller;"));
            bench.settle(200);
            assert_eq!((bench.read("q", "length"), bench.read("q", "drops")), ("0".into(), "9".into()));
        }
    }

    #[test]
    fn the_first_overflow_is_told() {
        let text = "InfiniteSource(LIMIT 5, STOP true) -> q :: SimpleQueue(2) -> TimedSink;";
        let printed = crate::driver::example::output(text).unwrap();
        assert_eq!(printed.as_deref(), Some("q :: SimpleQueue: overflow\n"));
    }

    #[test]
    fn more_packets_than_fit_are_no_state() {
        let mut bench = Bench::new("in :: TestIn -> q :: Queue(2) -> TestPuller;");
        bench.push("in", b"x");
        let id = bench.router.find("q").unwrap();
        let state = bench.router.state_of(id).unwrap();
        let mut w = Writer::new();
        state.save(&mut w);
        let mut bytes = w.into_bytes();
        bytes[..8].fill(0);
        assert!(matches!(state.restore(&mut Reader::new(&bytes)), Err(StateError::Invalid { value: 1, .. })));
    }
}
