//! FromLink and FromLinkPull: take packets from a cut edge. FromLinkPull keeps them until they are pulled, and gives
//! credit back as they leave.

use std::collections::VecDeque;

use super::{ALL, FROM_ARGS};
use crate::element::{
    Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Outside, Packet, StateKind,
};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

const HANDLERS: &[Handler] = &[
    Handler::read("count", "packets received"),
    Handler::read("edge", "number of the edge"),
    Handler::read("length", "packets that wait to be pulled"),
];

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "FromLink",
    summary: "receives packets from a cut edge",
    ports: "0/1",
    processing: "h/h",
    args: FROM_ARGS,
    writes: ALL,
    handlers: HANDLERS,
    state: StateKind::Small,
    outside: Outside::Link,
    details: "A cut writes it where it removes a push edge; it is not written by hand. Packets that the part's \
              link brings for the edge leave here.",
    example: r#"
        // What part b becomes when `InfiniteSource -> Print -> Discard` is cut before the Print.
        from :: FromLink(EDGE 1, FROM a) -> Print -> Discard;
        DriverManager(wait 1s, print "$(from.count) packets received over edge $(from.edge)");
    "#,
    build,
    ..Descriptor::BASE
};

pub(super) static PULL: Descriptor = Descriptor {
    class: "FromLinkPull",
    summary: "receives packets from a cut edge and lets them be pulled",
    ports: "0/1",
    processing: "l/l",
    args: FROM_ARGS,
    writes: ALL,
    handlers: HANDLERS,
    state: StateKind::Small,
    outside: Outside::Link,
    details: "A cut writes it where it removes a pull edge. Packets wait here until they are pulled; each that \
              was gives credit back to the ToLinkPull of that edge.",
    example: r#"
        // What part b becomes when `Queue -> TimedSink` is cut between the two.
        from :: FromLinkPull(EDGE 1, FROM a) -> TimedSink(10ms);
        DriverManager(wait 1s, print "$(from.count) packets received, $(from.length) wait");
    "#,
    build,
    ..Descriptor::BASE
};

struct FromLink {
    edge: u16,
    count: u64,
    /// Waiting to be pulled; always empty when the output is push.
    waiting: VecDeque<Packet>,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(FromLink { edge: args.need("EDGE")?, count: 0, waiting: VecDeque::new() }))
}

impl Element for FromLink {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        if cx.receive_link(self.edge) { Ok(()) } else { Err(format!("edge {} is there twice", self.edge)) }
    }

    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        self.count += batch.len() as u64;
        if cx.output_is_pull(0) {
            self.waiting.extend(batch.drain());
            cx.wake_pullers(0);
        }
    }

    fn pull(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch, max: usize) {
        let count = max.min(self.waiting.len());
        for packet in self.waiting.drain(..count) {
            batch.push(packet);
        }
        if count > 0 {
            cx.return_credit(self.edge, count);
        }
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "count" => Ok(self.count.to_string()),
            "edge" => Ok(self.edge.to_string()),
            "length" => Ok(self.waiting.len().to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for FromLink {
    fn schema(&self) -> Schema {
        Schema { name: "from-link", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.count);
        w.put_u32(self.waiting.len() as u32);
        for packet in &self.waiting {
            packet.save(w);
        }
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.count = r.get_u64()?;
        self.waiting.clear();
        for _ in 0..r.get_u32()? {
            self.waiting.push_back(Packet::restore(r)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::packet::{Batch, Packet};
    use crate::testing::Bench;

    #[test]
    fn injected_packets_run_to_their_end() {
        let mut bench = Bench::new("FromLink(EDGE 3, FROM a) -> out :: TestOut;");
        let mut batch: Batch = [Packet::from_slice(b"x")].into_iter().collect();
        bench.router.inject(3, &mut batch, bench.now);
        assert!(batch.is_empty());
        assert_eq!(bench.take("out"), [b"x"]);
        let mut stray: Batch = [Packet::from_slice(b"x")].into_iter().collect();
        bench.router.inject(4, &mut stray, bench.now);
        assert!(stray.is_empty());
    }

    #[test]
    fn a_pull_edge_keeps_packets_until_they_are_pulled_and_gives_credit_back() {
        let mut bench = Bench::new("FromLinkPull(EDGE 3, FROM a) -> out :: TestPuller;");
        let mut batch: Batch = (0..3).map(|n| Packet::from_slice(&[n])).collect();
        bench.router.inject(3, &mut batch, bench.now);
        assert_eq!(bench.pull("out", 2).len(), 2);
        assert_eq!(bench.router.take_link_credit().collect::<Vec<_>>(), [(3, 2)]);
    }

    #[test]
    fn an_edge_has_one_end() {
        let text = "a :: FromLink(EDGE 3) -> Discard; b :: FromLink(EDGE 3) -> Discard;";
        assert!(Bench::error(text).contains("edge 3 is there twice"));
    }

    #[test]
    fn packets_that_wait_move_along() {
        let text = "f :: FromLinkPull(EDGE 3, FROM a) -> out :: TestPuller;";
        let (mut from, mut to) = (Bench::new(text), Bench::new(text));
        let mut batch: Batch = (0..3).map(|n| Packet::from_slice(&[n])).collect();
        from.router.inject(3, &mut batch, from.now);
        assert_eq!(from.pull("out", 1).len(), 1);
        from.move_to(&mut to);
        assert_eq!((to.read("f", "count"), to.read("f", "length")), ("3".into(), "2".into()));
        let got: Vec<u8> = to.pull("out", 9).iter().map(|p| p.data()[0]).collect();
        assert_eq!(got, [1, 2]);
        assert!(Bench::error("FromLink -> Discard;").contains("EDGE"));
    }
}
