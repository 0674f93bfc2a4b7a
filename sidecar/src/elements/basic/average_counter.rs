//! AverageCounter: counts packets and bytes, and their average rate from the first to the last one.

use crate::element::{
    Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind,
};
use crate::elements::control::show_real;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

/// Milliseconds in a second: times are taken in whole milliseconds, as click does.
const SECOND: u64 = 1000;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "AverageCounter",
    summary: "measures historical packet count and rate",
    args: &[Arg::optional(
        "IGNORE",
        "unsigned",
        "0",
        "seconds from the first packet on that are not counted",
    )],
    handlers: &[
        Handler::read("count", "packets counted"),
        Handler::read("byte_count", "bytes counted"),
        Handler::read("rate", "packets a second, from the first to the last one"),
        Handler::read("byte_rate", "bytes a second, from the first to the last one"),
        Handler::write("reset", "begins anew"),
    ],
    state: StateKind::Small,
    details: "Where Counter's rates show the last moments, these are strict averages: what was counted, divided by the \
              time from the first packet (or the end of the seconds that are ignored) to the last one.",
    example: r#"
        RatedSource(DATA abc, RATE 100, LIMIT 300, STOP true)
            -> all :: AverageCounter
            -> warm :: AverageCounter(1)
            -> Discard;
        DriverManager(wait_stop,
            print "all: $(all.count) packets, $(all.byte_count) bytes, $(all.rate) packets a second",
            print "from the second second on: $(warm.count) packets, $(warm.byte_rate) bytes a second",
            write all.reset, print $(all.rate));
    "#,
    build,
    ..Descriptor::BASE
};

#[derive(Default)]
struct AverageCounter {
    /// Milliseconds.
    ignore: u64,
    count: u64,
    bytes: u64,
    /// When the first and the last packet passed, in milliseconds; `None` if none did.
    span: Option<(u64, u64)>,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let ignore = u64::from(args.or("IGNORE", 0_u32)?) * SECOND;
    Ok(Box::new(AverageCounter { ignore, ..AverageCounter::default() }))
}

impl AverageCounter {
    fn rate(&self, counted: u64) -> String {
        let (first, last) = self.span.unwrap_or_default();
        let milliseconds = (last - first).saturating_sub(self.ignore).max(1);
        show_real(counted as f64 * SECOND as f64 / milliseconds as f64)
    }
}

impl Element for AverageCounter {
    #[inline]
    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        let now = cx.now().0 / 1_000_000;
        let first = self.span.map_or(now, |(first, _)| first.min(now));
        if now - first >= self.ignore {
            self.count += batch.len() as u64;
            self.bytes += batch.iter().map(|packet| packet.len() as u64).sum::<u64>();
        }
        self.span = Some((first, now));
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "count" => Ok(self.count.to_string()),
            "byte_count" => Ok(self.bytes.to_string()),
            "rate" => Ok(self.rate(self.count)),
            "byte_rate" => Ok(self.rate(self.bytes)),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, _value: &str) -> Result<(), HandlerError> {
        match handler {
            "reset" => *self = Self { ignore: self.ignore, ..Self::default() },
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for AverageCounter {
    fn schema(&self) -> Schema {
        Schema { name: "average-counter", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.count);
        w.put_u64(self.bytes);
        w.put_bool(self.span.is_some());
        if let Some((first, last)) = self.span {
            w.put_u64(first);
            w.put_u64(last);
        }
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.count = r.get_u64()?;
        self.bytes = r.get_u64()?;
        self.span = match r.get_bool()? {
            false => None,
            true => {
                let (first, last) = (r.get_u64()?, r.get_u64()?);
                if last < first {
                    return Err(StateError::Invalid { what: "time of a last packet", value: last });
                }
                Some((first, last))
            }
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::testing::Bench;

    fn read(bench: &mut Bench) -> [String; 4] {
        ["count", "byte_count", "rate", "byte_rate"].map(|handler| bench.read("c", handler))
    }

    #[test]
    fn the_rate_is_the_average_from_the_first_packet_to_the_last() {
        let mut bench = Bench::new("in :: TestIn -> c :: AverageCounter -> out :: TestOut;");
        assert_eq!(read(&mut bench), ["0", "0", "0", "0"]);
        for _ in 0..4 {
            bench.push("in", b"abc");
            bench.advance(Duration::from_millis(500));
        }
        // A second and a half passed; what comes after the last packet does not count.
        assert_eq!(read(&mut bench), ["4", "12", "2.66666666667", "8"]);
        assert_eq!(bench.take("out").len(), 4);
        bench.router.write_handler("c", "reset", "").unwrap();
        bench.push("in", b"ab");
        // One packet takes no time, which counts as a millisecond.
        assert_eq!(read(&mut bench), ["1", "2", "1000", "2000"]);
    }

    #[test]
    fn the_first_seconds_may_be_left_out() {
        let mut bench = Bench::new("in :: TestIn -> c :: AverageCounter(IGNORE 1) -> Discard;");
        for _ in 0..5 {
            bench.push("in", b"a");
            bench.advance(Duration::from_millis(500));
        }
        assert_eq!(read(&mut bench)[..3], ["3", "3", "3"]);
        assert!(Bench::error("in :: TestIn -> AverageCounter(-1) -> Discard;").contains("IGNORE"));
    }
}
