//! ToLink and ToLinkPull: give packets to a cut edge. ToLinkPull pulls them as the far side grants credit.

use super::{ALL, TO_ARGS};
use crate::element::{
    Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Outside, StateKind,
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
              FromLinkPull has given credit for, so that a puller there does not empty the queue here before \
              its time.",
    example: r#"
        // What part a becomes when `Queue -> TimedSink` is cut between the two.
        TimedSource(10ms, DATA abc, LIMIT 3, STOP true) -> Queue -> to :: ToLinkPull(EDGE 1, TO b);
        DriverManager(wait_stop, print "$(to.count) packets sent over edge $(to.edge)");
    "#,
    build,
    ..Descriptor::BASE
};

struct ToLink {
    edge: u16,
    count: u64,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(ToLink { edge: args.need("EDGE")?, count: 0 }))
}

impl ToLink {
    fn send(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        self.count += batch.len() as u64;
        for packet in batch.drain() {
            cx.send_link(self.edge, packet);
        }
    }
}

impl Element for ToLink {
    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        self.send(cx, batch);
    }

    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        if cx.input_is_pull(0) {
            cx.become_credit_sender(self.edge);
            cx.schedule();
        }
        Ok(())
    }

    fn task(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) -> bool {
        if !cx.input_is_pull(0) {
            return false;
        }
        let credit = cx.link_credit(self.edge);
        cx.pull(0, batch, credit.min(BATCH));
        if batch.is_empty() {
            return false; // The queue upstream, or new credit, wakes this task.
        }
        cx.spend_credit(self.edge, batch.len());
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
        Schema { name: "to-link", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.count);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.count = r.get_u64()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn pushed_packets_wait_for_the_link_in_order_of_emission() {
        let mut bench =
            Bench::new("in :: TestIn -> t :: Tee -> ToLink(EDGE 3, TO b); t[1] -> ToLink(EDGE 9, TO c);");
        bench.push("in", b"x");
        let edges: Vec<u16> = bench.router.take_link_output().map(|(edge, _)| edge).collect();
        assert_eq!(edges, [3, 9]);
    }

    #[test]
    fn a_pulled_edge_sends_only_what_credit_allows() {
        let mut bench = Bench::new("in :: TestIn -> Queue -> ToLinkPull(EDGE 1, TO b);");
        bench.router.limit_link_credit(1, 2);
        for n in 0..5 {
            bench.push("in", &[n]);
        }
        bench.settle(9);
        assert_eq!(bench.router.take_link_output().count(), 2);
        bench.router.grant_link_credit(1, 1);
        bench.settle(9);
        assert_eq!(bench.router.take_link_output().count(), 1);
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
