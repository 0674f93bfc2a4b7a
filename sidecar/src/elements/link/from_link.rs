//! FromLink and FromLinkPull: take packets from a cut edge. FromLinkPull keeps them until they are pulled.

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
              link brings for the edge leave here. By its signal it says how many fit into the queues behind it, \
              so that a source in another part rests when they are full.",
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
    details: "A cut writes it where it removes a pull edge. Packets wait here until they are pulled. By its signal it \
              says how many may come in all: with AHEAD, so many more than were pulled; else as many as were asked for.",
    example: r#"
        // What part b becomes when `Queue -> TimedSink` is cut between the two.
        from :: FromLinkPull(EDGE 1, FROM a, SIGNAL 2, AHEAD 64) -> TimedSink(10ms);
        DriverManager(wait 1s, print "$(from.count) packets received, $(from.length) wait");
    "#,
    build,
    ..Descriptor::BASE
};

struct FromLink {
    edge: u16,
    signal: Option<u16>,
    ahead: u64,
    count: u64,
    /// Packets that were asked for in all, where none come ahead.
    asked: u64,
    /// Waiting to be pulled; always empty when the output is push.
    waiting: VecDeque<Packet>,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(FromLink {
        edge: args.need("EDGE")?,
        signal: args.get("SIGNAL")?,
        ahead: args.or("AHEAD", 0)?,
        count: 0,
        asked: 0,
        waiting: VecDeque::new(),
    }))
}

impl Element for FromLink {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        if !cx.receive_link(self.edge, 0) {
            return Err(format!("edge {} is there twice", self.edge));
        }
        if let Some(signal) = self.signal {
            cx.answer_by(signal);
            if !cx.output_is_pull(0) {
                cx.see_downstream();
            }
        }
        Ok(())
    }

    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        self.count += batch.len() as u64;
        if cx.output_is_pull(0) && !batch.is_empty() {
            let was_empty = self.waiting.is_empty();
            self.waiting.extend(batch.drain());
            if was_empty {
                cx.wake_pullers(0);
            }
        }
    }

    fn pull(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch, max: usize) {
        let count = max.min(self.waiting.len());
        for packet in self.waiting.drain(..count) {
            batch.push(packet);
        }
        if self.ahead == 0 && count < max {
            self.asked = self.asked.max(self.count + (max - count) as u64);
            cx.owe();
        }
    }

    fn link_allowance(&mut self, cx: &mut Cx<'_>) -> u64 {
        if !cx.output_is_pull(0) {
            return self.count.saturating_add(cx.room_downstream());
        }
        if self.ahead == 0 { self.asked } else { self.count - self.waiting.len() as u64 + self.ahead }
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
        Schema { name: "from-link", version: 2 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.count);
        w.put_u64(self.asked);
        w.put_u32(self.waiting.len() as u32);
        for packet in &self.waiting {
            packet.save(w);
        }
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.count = r.get_u64()?;
        self.asked = r.get_u64()?;
        self.waiting.clear();
        for _ in 0..r.get_u32()? {
            self.waiting.push_back(Packet::restore(r)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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

    /// What the router says by its signals: number and allowance.
    fn said(bench: &mut Bench) -> Vec<(u16, u64)> {
        let number = |packet: Packet| u64::from_be_bytes(*packet.data().first_chunk().unwrap());
        bench.router.serve_links();
        bench.router.take_link_output().map(|(signal, packet)| (signal, number(packet))).collect()
    }

    fn inject(bench: &mut Bench, count: u8) {
        let mut batch: Batch = (0..count).map(|n| Packet::from_slice(&[n])).collect();
        bench.router.inject(3, &mut batch, bench.now);
    }

    #[test]
    fn packets_that_came_ahead_wait_and_make_room_for_others_when_they_are_pulled() {
        let mut bench = Bench::new("FromLinkPull(EDGE 3, FROM a, SIGNAL 9, AHEAD 4) -> out :: TestPuller;");
        assert_eq!(said(&mut bench), [(9, 4)]);
        inject(&mut bench, 3);
        assert_eq!(said(&mut bench), []);
        assert_eq!(bench.pull("out", 2).len(), 2);
        assert_eq!(said(&mut bench), [(9, 6)]);
        assert_eq!(bench.pull("out", 2).len(), 1);
        assert_eq!(said(&mut bench), [(9, 7)]);
    }

    #[test]
    fn elsewhere_packets_are_asked_for_by_who_pulls_and_never_more_than_he_would_take() {
        let mut bench = Bench::new("FromLinkPull(EDGE 3, FROM a, SIGNAL 9) -> out :: TestPuller;");
        assert_eq!(said(&mut bench), [(9, 0)]);
        assert!(bench.pull("out", 2).is_empty());
        assert!(bench.pull("out", 2).is_empty());
        assert_eq!(said(&mut bench), [(9, 2)]);
        inject(&mut bench, 2);
        assert_eq!(bench.pull("out", 1).len(), 1);
        assert_eq!(said(&mut bench), []);
        assert_eq!(bench.pull("out", 3).len(), 1);
        assert_eq!(said(&mut bench), [(9, 4)]);
    }

    #[test]
    fn a_push_edge_lets_in_what_fits_into_the_queues_behind_it() {
        let mut bench = Bench::new(
            "FromLink(EDGE 3, FROM a, SIGNAL 9) -> t :: Tee -> Queue(5) -> out :: TestPuller;
             t[1] -> Queue(2) -> Idle;",
        );
        assert_eq!(said(&mut bench), [(9, 5)]);
        inject(&mut bench, 4);
        assert_eq!(said(&mut bench), []); // four came, one more fits into one of the queues
        bench.pull("out", 1);
        assert_eq!(said(&mut bench), [(9, 6)]);
    }

    #[test]
    fn what_was_said_long_ago_is_said_again() {
        let mut bench = Bench::new("FromLinkPull(EDGE 3, FROM a, SIGNAL 9, AHEAD 4) -> out :: TestPuller;");
        assert_eq!(said(&mut bench), [(9, 4)]);
        for wait in [10_u64; 100].into_iter().chain([1000]) {
            bench.advance(Duration::from_millis(wait - 1));
            assert_eq!(said(&mut bench), []);
            bench.advance(Duration::from_millis(1));
            assert_eq!(said(&mut bench), [(9, 4)]);
        }
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
