//! SetTimestampDelta: replaces timestamps by how far they are from another time.

use crate::element::{
    Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
    Time,
};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "SetTimestampDelta",
    summary: "replaces packet timestamps with deltas",
    args: &[Arg::keyword(
        "TYPE",
        "RANGE, NOW or FIRST",
        "RANGE",
        "since the first timestamp seen, until now, or since the first timestamp annotation",
    )],
    reads: Annotations(Annotations::TIMESTAMP.0 | Annotations::FIRST_TIMESTAMP.0),
    handlers: &[
        Handler::read("first", "the first timestamp seen that was set"),
        Handler::write("reset", "forgets it"),
    ],
    state: StateKind::Small,
    example: r#"
        RatedSource(DATA \<01>, RATE 10, LIMIT 5, STOP true)
            -> d :: SetTimestampDelta
            -> c :: Counter(COUNT_CALL 3 d.reset)
            -> Print(TIMESTAMP true)
            -> Discard;
        DriverManager(wait_stop, print "since $(d.first)");
    "#,
    build,
    ..Descriptor::BASE
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The first timestamp seen.
    Range,
    /// The present, from which timestamps are subtracted.
    Now,
    /// The first timestamp annotation.
    First,
}

struct SetTimestampDelta {
    origin: Origin,
    /// Zero until a timestamp was seen.
    first: Time,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let origin = match args.text("TYPE") {
        None | Some("RANGE") => Origin::Range,
        Some("NOW") => Origin::Now,
        Some("FIRST") => Origin::First,
        Some(_) => return Err("bad TYPE".into()),
    };
    Ok(Box::new(SetTimestampDelta { origin, first: Time(0) }))
}

impl Element for SetTimestampDelta {
    fn action(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        let anno = packet.anno_mut();
        let at = anno.timestamp;
        if at == Time(0) {
            return Some(packet);
        }
        if self.origin == Origin::Range && self.first == Time(0) {
            self.first = at;
        }
        let delta = match self.origin {
            Origin::Range => at.since(self.first),
            Origin::Now => cx.now().since(at),
            Origin::First => at.since(anno.first_timestamp),
        };
        // Timestamps are not negative: what lies before its origin is at it.
        anno.timestamp = Time(0) + delta;
        Some(packet)
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "first" => Ok(format!("{}\n", self.first)),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, _value: &str) -> Result<(), HandlerError> {
        match handler {
            "reset" => self.first = Time(0),
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for SetTimestampDelta {
    fn schema(&self) -> Schema {
        Schema { name: "timestamp-delta", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.first.0);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.first = Time(r.get_u64()?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    fn stamped(times: &[u64]) -> Vec<Packet> {
        let packet = |at: &u64| {
            let mut packet = Packet::from_slice(b"x");
            packet.anno_mut().timestamp = Time(*at);
            packet.anno_mut().first_timestamp = Time(100);
            packet
        };
        times.iter().map(packet).collect()
    }

    fn deltas(text: &str, times: &[u64]) -> (Bench, Vec<u64>) {
        let mut bench = Bench::new(text);
        bench.push_packets("in", 0, stamped(times));
        let out = bench.take_packets("out").iter().map(|p| p.anno().timestamp.0).collect();
        (bench, out)
    }

    #[test]
    fn timestamps_become_the_time_since_the_first_one() {
        let (mut bench, out) =
            deltas("in :: TestIn -> s :: SetTimestampDelta -> out :: TestOut;", &[0, 500, 700, 400]);
        assert_eq!(out, [0, 0, 200, 0]);
        assert_eq!(bench.read("s", "first"), "0.000000500\n");
        bench.router.write_handler("s", "reset", "").unwrap();
        assert_eq!(bench.read("s", "first"), "0.000000\n");
    }

    #[test]
    fn other_origins_are_the_present_and_the_first_annotation() {
        let text = "in :: TestIn -> SetTimestampDelta(TYPE NOW) -> out :: TestOut;";
        assert_eq!(deltas(text, &[999_999_990, 0]).1, [10, 0]);
        let text = "in :: TestIn -> SetTimestampDelta(TYPE FIRST) -> out :: TestOut;";
        assert_eq!(deltas(text, &[150]).1, [50]);
        assert!(Bench::error("Idle -> SetTimestampDelta(TYPE LAST) -> Discard;").contains("bad TYPE"));
    }

    #[test]
    fn the_first_timestamp_moves() {
        let from = SetTimestampDelta { origin: Origin::Range, first: Time(7) };
        let mut to = SetTimestampDelta { origin: Origin::Range, first: Time(0) };
        let mut w = Writer::new();
        from.save(&mut w);
        to.restore(&mut Reader::new(w.as_bytes())).unwrap();
        assert_eq!(to.first, Time(7));
    }
}
