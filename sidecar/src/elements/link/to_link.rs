//! ToLink and ToLinkPull: give packets to a cut edge. ToLinkPull pulls as many as the far side allows.

use super::{ALL, TO_ARGS};
use crate::element::{
    Args, Batch, ConfigError, Cx, Descriptor, Element, ElementId, Handler, HandlerError, Outside, StateKind,
};
use crate::packet::BATCH;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

const HANDLERS: &[Handler] =
    &[Handler::read("count", "packets sent"), Handler::read("edge", "number of the edge")];

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "ToLink",
    summary: "sends packets over a cut edge",
    ports: "1/0",
    processing: "h/h",
    args: TO_ARGS,
    reads: ALL,
    handlers: HANDLERS,
    state: StateKind::Small,
    outside: Outside::Link,
    details: "A cut writes it where it removes an edge from a push output; it is not written by hand. What \
              drives the part carries its packets, with the annotations that the far side reads, to the \
              FromLink of that edge.",
    example: r#"
        // What part a becomes when `InfiniteSource -> Discard` is cut between the two.
        InfiniteSource(DATA abc, LIMIT 3, STOP true) -> to :: ToLink(EDGE 1, TO b);
        DriverManager(wait_stop, print "$(to.count) packets sent over edge $(to.edge)");
    "#,
    build,
    ..Descriptor::BASE
};

pub(super) static PULL: Descriptor = Descriptor {
    class: "ToLinkPull",
    summary: "pulls packets and sends them over a cut edge",
    ports: "1/0",
    processing: "l/l",
    args: TO_ARGS,
    reads: ALL,
    handlers: HANDLERS,
    state: StateKind::Small,
    outside: Outside::Link,
    details: "A cut writes it where it removes a pull edge. It pulls as many packets as the far side's \
              FromLinkPull allows by its signal. Directly behind a queue these are more than were pulled there \
              (AHEAD), and the queue counts those that were not as its own; elsewhere they are those that were \
              asked for. So a cut changes neither what a queue drops nor what a scheduler chooses.",
    example: r#"
        // What part a becomes when `Queue -> TimedSink` is cut between the two.
        TimedSource(10ms, DATA abc, LIMIT 3, STOP true) -> Queue -> to :: ToLinkPull(EDGE 1, TO b);
        DriverManager(wait_stop, print "$(to.count) packets sent over edge $(to.edge)");
    "#,
    build,
    ..Descriptor::BASE
};

/// The port of `push` that signals come to.
const SIGNAL: usize = 1;

struct ToLink {
    edge: u16,
    signal: Option<u16>,
    ahead: u64,
    count: u64,
    /// Packets that may be sent in all; any number without a signal.
    allowed: u64,
    /// The queue whose packets wait at the far end.
    queue: Option<ElementId>,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let signal = args.get("SIGNAL")?;
    Ok(Box::new(ToLink {
        edge: args.need("EDGE")?,
        signal,
        ahead: args.or("AHEAD", 0)?,
        count: 0,
        allowed: if signal.is_some() { 0 } else { u64::MAX },
        queue: None,
    }))
}

impl ToLink {
    fn send(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        self.count += batch.len() as u64;
        for packet in batch.drain() {
            cx.send_link(self.edge, packet);
        }
        self.tell(cx);
    }

    /// Tells upstream what the far end said.
    fn tell(&self, cx: &mut Cx<'_>) {
        if let Some(queue) = self.queue {
            let pulled = self.allowed.saturating_sub(self.ahead);
            cx.lend(queue, self.count.saturating_sub(pulled) as usize);
        } else if self.signal.is_some() && !cx.input_is_pull(0) {
            cx.set_full(self.count >= self.allowed);
        }
    }

    fn take_signal(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        for packet in batch.drain() {
            if let Some(allowed) = packet.data().first_chunk() {
                self.allowed = u64::from_be_bytes(*allowed);
            }
        }
        self.tell(cx);
        if cx.input_is_pull(0) && self.room() > 0 {
            cx.schedule();
        }
    }
}

impl Element for ToLink {
    fn push(&mut self, cx: &mut Cx<'_>, port: usize, batch: &mut Batch) {
        if port == SIGNAL { self.take_signal(cx, batch) } else { self.send(cx, batch) }
    }

    fn room(&self) -> u64 {
        self.allowed.saturating_sub(self.count)
    }

    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        if let Some(signal) = self.signal
            && !cx.receive_link(signal, SIGNAL)
        {
            return Err(format!("signal {signal} is there twice"));
        }
        if cx.input_is_pull(0) {
            cx.schedule();
            if self.signal.is_some() {
                cx.pull_for_link();
            }
            if self.signal.is_some() && self.ahead > 0 {
                self.queue = cx.neighbours(cx.id(), true).first().copied();
            }
        }
        self.tell(cx);
        Ok(())
    }

    fn task(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) -> bool {
        if !cx.input_is_pull(0) {
            return false;
        }
        let room = usize::try_from(self.room()).unwrap_or(usize::MAX);
        cx.pull(0, batch, room.min(BATCH));
        if batch.is_empty() {
            return false; // The queue upstream, or the next signal, wakes this task.
        }
        self.send(cx, batch);
        cx.schedule();
        true
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "count" => Ok(self.count.to_string()),
            "edge" => Ok(self.edge.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for ToLink {
    fn schema(&self) -> Schema {
        Schema { name: "to-link", version: 2 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.count);
        w.put_u64(self.allowed);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.count = r.get_u64()?;
        self.allowed = r.get_u64()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::packet::{Batch, Packet};
    use crate::testing::Bench;

    #[test]
    fn pushed_packets_wait_for_the_link_in_order_of_emission() {
        let mut bench =
            Bench::new("in :: TestIn -> t :: Tee -> ToLink(EDGE 3, TO b); t[1] -> ToLink(EDGE 9, TO c);");
        bench.push("in", b"x");
        let edges: Vec<u16> = bench.router.take_link_output().map(|(edge, _)| edge).collect();
        assert_eq!(edges, [3, 9]);
    }

    fn signal(bench: &mut Bench, allowed: u64) {
        let mut batch: Batch = [Packet::from_slice(&allowed.to_be_bytes())].into_iter().collect();
        bench.router.inject(9, &mut batch, bench.now);
    }

    #[test]
    fn a_pulled_edge_sends_only_what_the_far_side_allows() {
        let mut bench =
            Bench::new("in :: TestIn -> Null -> q :: Queue -> ToLinkPull(EDGE 1, TO b, SIGNAL 9);");
        for n in 0..5 {
            bench.push("in", &[n]);
        }
        let sent = |bench: &mut Bench| {
            bench.settle(9);
            bench.router.serve_links();
            bench.router.take_link_output().count()
        };
        assert_eq!(sent(&mut bench), 0);
        signal(&mut bench, 2);
        assert_eq!(sent(&mut bench), 2);
        signal(&mut bench, 3);
        assert_eq!(sent(&mut bench), 1);
        assert_eq!(bench.read("q", "length"), "2");
    }

    #[test]
    fn packets_that_were_pulled_ahead_count_as_the_queue_s_until_they_are_pulled_at_the_far_end() {
        let mut bench =
            Bench::new("in :: TestIn -> q :: Queue(3) -> ToLinkPull(EDGE 1, TO b, SIGNAL 9, AHEAD 8);");
        signal(&mut bench, 8);
        for n in 0..5 {
            bench.push("in", &[n]);
            bench.settle(9);
        }
        assert_eq!(bench.router.take_link_output().count(), 3);
        assert_eq!((bench.read("q", "length"), bench.read("q", "drops")), ("3".into(), "2".into()));
        signal(&mut bench, 9);
        assert_eq!(bench.read("q", "length"), "2");
        bench.push("in", b"x");
        bench.push("in", b"y");
        assert_eq!((bench.read("q", "length"), bench.read("q", "drops")), ("3".into(), "3".into()));
    }

    #[test]
    fn a_source_rests_while_the_far_side_is_full() {
        let text = "s :: InfiniteSource(LIMIT 100) -> ToLink(EDGE 1, TO b, SIGNAL 9);";
        let mut bench = Bench::new(text);
        let sent = |bench: &mut Bench| {
            bench.settle(200);
            bench.router.serve_links();
            bench.router.take_link_output().count()
        };
        assert_eq!(sent(&mut bench), 0);
        signal(&mut bench, 5);
        assert_eq!(sent(&mut bench), 5);
        signal(&mut bench, 7);
        assert_eq!(sent(&mut bench), 2);
        let mut moved = Bench::new(text);
        bench.move_to(&mut moved);
        signal(&mut moved, 8);
        assert_eq!(sent(&mut moved), 1);
    }

    #[test]
    fn the_count_moves_along_and_an_edge_is_needed() {
        let text = "in :: TestIn -> t :: ToLink(EDGE 3);";
        let (mut from, mut to) = (Bench::new(text), Bench::new(text));
        from.push("in", b"x");
        from.move_to(&mut to);
        assert_eq!(to.read("t", "count"), "1");
        assert!(Bench::error("Idle -> ToLink(EDGE 70000);").contains("EDGE: out of range"));
    }
}
