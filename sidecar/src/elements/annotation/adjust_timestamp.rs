//! AdjustTimestamp: adds a time to timestamp annotations, or takes it away.

use std::time::Duration;

use crate::config::{Scope, Value};
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind,
    Time,
};
use crate::elements::basic::parse_handler;
use crate::elements::queueing::show_interval;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "AdjustTimestamp",
    summary: "adjusts the time in the packet's timestamp annotation",
    args: &[
        Arg::optional("TIME", "time", "0", "what is added; may be negative"),
        Arg::keyword("FIRST", "bool", "false", "whether to adjust the first timestamp annotation instead"),
        Arg::keyword("ALL", "bool", "false", "whether timestamps that are not set are adjusted too"),
    ],
    reads: Annotations(Annotations::TIMESTAMP.0 | Annotations::FIRST_TIMESTAMP.0),
    handlers: &[Handler::both("time", "what is added")],
    state: StateKind::Small,
    example: r#"
        RatedSource(DATA \<01>, RATE 10, LIMIT 4, STOP true)
            -> SetTimestamp(1000.5)
            -> a :: AdjustTimestamp(-0.5)
            -> Print(TIMESTAMP true)
            -> c :: Counter(COUNT_CALL 2 a.time 0.25)
            -> Discard;
        DriverManager(wait_stop, print "adjusted by $(a.time)");
    "#,
    build,
    ..Descriptor::BASE
};

/// A span of time that may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Shift {
    back: bool,
    span: Duration,
}

impl Value for Shift {
    fn parse(text: &str, scope: &Scope<'_>) -> Result<Self, String> {
        let unsigned = text.strip_prefix('-');
        let span = Duration::parse(unsigned.unwrap_or(text), scope);
        let span = span.map_err(|_| format!("expected time in seconds, got '{text}'"))?;
        Ok(Self { back: unsigned.is_some(), span })
    }
}

impl Shift {
    /// The time after the shift; no time is before zero.
    fn apply(self, time: Time) -> Time {
        if self.back { time - self.span } else { time + self.span }
    }
}

struct AdjustTimestamp {
    shift: Shift,
    first: bool,
    all: bool,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(AdjustTimestamp {
        shift: args.or("TIME", Shift::default())?,
        first: args.or("FIRST", false)?,
        all: args.or("ALL", false)?,
    }))
}

impl Element for AdjustTimestamp {
    fn push(&mut self, _cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        for packet in batch.iter_mut() {
            let anno = packet.anno_mut();
            let time = if self.first { &mut anno.first_timestamp } else { &mut anno.timestamp };
            if self.all || *time != Time(0) {
                *time = self.shift.apply(*time);
            }
        }
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "time" => {
                let sign = if self.shift.back { "-" } else { "" };
                Ok(format!("{sign}{}", show_interval(self.shift.span)))
            }
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "time" => self.shift = parse_handler(value)?,
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for AdjustTimestamp {
    fn schema(&self) -> Schema {
        Schema { name: "adjust-timestamp", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_bool(self.shift.back);
        w.put_u64(self.shift.span.as_secs());
        w.put_u32(self.shift.span.subsec_nanos());
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        let (back, seconds, nanos) = (r.get_bool()?, r.get_u64()?, r.get_u32()?);
        if nanos >= 1_000_000_000 {
            return Err(StateError::Invalid { what: "nanoseconds", value: nanos.into() });
        }
        self.shift = Shift { back, span: Duration::new(seconds, nanos) };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::Packet;
    use crate::testing::Bench;

    fn adjusted(bench: &mut Bench, times: [u64; 2]) -> Vec<u64> {
        let packets = times.map(|at| {
            let mut packet = Packet::from_slice(b"x");
            packet.anno_mut().timestamp = Time(at);
            packet
        });
        bench.push_packets("in", 0, packets);
        bench.take_packets("out").iter().map(|p| p.anno().timestamp.0).collect()
    }

    #[test]
    fn set_timestamps_move_by_the_time() {
        let mut bench = Bench::new("in :: TestIn -> a :: AdjustTimestamp(2us) -> out :: TestOut;");
        assert_eq!(adjusted(&mut bench, [0, 5000]), [0, 7000]);
        bench.router.write_handler("a", "time", "-0.000001").unwrap();
        assert_eq!(bench.read("a", "time"), "-1us");
        let mut moved = Bench::new("in :: TestIn -> a :: AdjustTimestamp(2us) -> out :: TestOut;");
        bench.move_to(&mut moved);
        assert_eq!(moved.read("a", "time"), "-1us");
        assert_eq!(adjusted(&mut bench, [500, 5000]), [0, 4000]);
    }

    #[test]
    fn unset_timestamps_and_the_first_annotation_move_when_asked() {
        let mut bench = Bench::new("in :: TestIn -> AdjustTimestamp(1us, ALL true) -> out :: TestOut;");
        assert_eq!(adjusted(&mut bench, [0, 5000]), [1000, 6000]);
        let mut bench =
            Bench::new("in :: TestIn -> AdjustTimestamp(1us, FIRST true, ALL true) -> out :: TestOut;");
        bench.push("in", b"x");
        assert_eq!(bench.take_packets("out")[0].anno().first_timestamp, Time(1000));
        let error = Bench::error("Idle -> AdjustTimestamp(-x) -> Discard;");
        assert!(error.contains("TIME: expected time in seconds, got '-x'"), "{error}");
    }
}
