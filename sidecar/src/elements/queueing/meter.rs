//! Meter and BandwidthMeter: send all packets out of the output that stands for their present rate.

use super::ewma::{FRACTION, PERIODS, RateEwma, show_rate};
use super::unit::Unit;
use crate::config::Bandwidth;
use crate::element::{
    Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind,
};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "Meter",
    summary: "classifies packet stream by rate (pkt/s)",
    args: &[Arg::rest("RATE", "unsigned", "packets a second from which on the next output is used; rising")],
    details: "Estimates the rate of the packets that pass, as an average over some 16 ms, and sends them all \
              to the output of that rate: output 0 below the first RATE, output 1 from there to the second, \
              and so on.",
    example: r#"
        s :: RatedSource(DATA abc, RATE 200)
            -> m :: Meter(500, 1500);
        m[0] -> low :: Counter -> Discard;
        m[1] -> middle :: Counter -> Discard;
        m[2] -> high :: Counter -> Discard;
        DriverManager(print $(m.meters),
            wait 50ms, write s.rate 1000,
            wait 50ms, print "$(low.count) $(middle.count) $(high.count), rate $(m.rate)",
            write s.rate 2500,
            wait 50ms, print "$(low.count) $(middle.count) $(high.count), rate $(m.rate)");
    "#,
    build: |args| build(args, Unit::Packets, |text| args.parse("", text)),
    ..COMMON
};

pub(super) static BANDWIDTH: Descriptor = Descriptor {
    class: "BandwidthMeter",
    summary: "classifies packet stream by arrival rate",
    args: &[Arg::rest("RATE", "bandwidth", "bytes a second from which on the next output is used; rising")],
    details: "As Meter, for bytes a second.",
    example: r#"
        s :: RatedSource(LENGTH 100, RATE 200)
            -> m :: BandwidthMeter(400kbps, 1.2Mbps);
        m[0] -> low :: Counter -> Discard;
        m[1] -> middle :: Counter -> Discard;
        m[2] -> high :: Counter -> Discard;
        DriverManager(print $(m.meters),
            wait 50ms, write s.rate 1000,
            wait 50ms, print "$(low.count) $(middle.count) $(high.count), rate $(m.rate)",
            write s.rate 2500,
            wait 50ms, print "$(low.count) $(middle.count) $(high.count), rate $(m.rate)");
    "#,
    build: |args| build(args, Unit::Bytes, |text| args.parse::<Bandwidth>("", text).map(|rate| rate.0)),
    ..COMMON
};

const COMMON: Descriptor = Descriptor {
    ports: "1/2-",
    processing: "h/h",
    handlers: &[
        Handler::read("rate", "the present rate"),
        Handler::read("meters", "rates from which on the next output is used"),
    ],
    state: StateKind::Small,
    ..Descriptor::BASE
};

struct Meter {
    /// Rates as [`RateEwma::scaled`] gives them.
    meters: Vec<u64>,
    rate: RateEwma,
    unit: Unit,
}

fn build(
    args: &Args<'_>,
    unit: Unit,
    parse: impl Fn(&str) -> Result<u64, ConfigError>,
) -> Result<Box<dyn Element>, ConfigError> {
    if args.rest().is_empty() {
        return Err("too few arguments; need a rate".into());
    }
    let mut rates: Vec<u64> = Vec::new();
    for (at, text) in args.rest().iter().enumerate() {
        let rate = parse(text).map_err(|_| format!("argument {} syntax error", at + 1))?;
        if rates.last().is_some_and(|before| rate <= *before) {
            return Err(format!("rate {} must be > rate {at}", at + 1).into());
        }
        rates.push(rate);
    }
    if rates.len() + 1 != args.outputs() {
        let needed = args.outputs().saturating_sub(1);
        return Err(format!("need {needed} arguments, one less than the number of output ports").into());
    }
    let meters = rates.iter().map(|rate| rate.saturating_mul(1 << FRACTION) / PERIODS).collect();
    Ok(Box::new(Meter { meters, rate: RateEwma::new(), unit }))
}

impl Element for Meter {
    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        self.rate.update(cx.now(), self.unit.of_all(batch));
        // What was just counted is no part of the rate yet, so that the whole batch goes one way.
        let rate = self.rate.scaled();
        cx.leave_by(self.meters.partition_point(|meter| *meter <= rate));
    }

    fn read(&mut self, cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "rate" => {
                self.rate.update(cx.now(), 0);
                Ok(show_rate(self.rate.scaled()))
            }
            "meters" => Ok(self.meters.iter().map(|meter| show_rate(*meter)).collect::<Vec<_>>().join(" ")),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for Meter {
    fn schema(&self) -> Schema {
        Schema { name: "meter", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        self.rate.save(w);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.rate.restore(r)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::testing::Bench;

    fn bench(meter: &str) -> Bench {
        Bench::new(&format!(
            "in :: TestIn -> m :: {meter} -> a :: TestOut; m[1] -> b :: TestOut; m[2] -> c :: TestOut;"
        ))
    }

    /// A packet of 100 bytes every millisecond.
    fn run(bench: &mut Bench, ms: u32) {
        for _ in 0..ms {
            bench.push("in", &[0; 100]);
            bench.now += Duration::from_millis(1);
        }
    }

    #[test]
    fn the_whole_stream_goes_to_the_output_of_its_rate() {
        for meter in ["Meter(500, 2000)", "BandwidthMeter(50kBps, 200kBps)"] {
            let mut bench = bench(meter);
            run(&mut bench, 100);
            let (low, mid, high) = (bench.take("a").len(), bench.take("b").len(), bench.take("c").len());
            assert!((5..20).contains(&low) && low + mid == 100 && high == 0, "{meter}: {low} {mid} {high}");
        }
    }

    #[test]
    fn handlers_show_the_rate() {
        let mut bench = bench("Meter(500, 2000)");
        run(&mut bench, 200);
        let rate: f64 = bench.read("m", "rate").parse().unwrap();
        assert!((990.0..1010.0).contains(&rate), "{rate}");
        assert_eq!(bench.read("m", "meters"), "500 2000");
    }

    #[test]
    fn the_rate_moves_along() {
        let (mut from, mut to) = (bench("Meter(500, 2000)"), bench("Meter(500, 2000)"));
        run(&mut from, 100);
        from.move_to(&mut to);
        to.now = from.now;
        run(&mut to, 1);
        assert_eq!(to.take("b").len(), 1);
    }

    #[test]
    fn rates_have_to_rise_and_match_the_outputs() {
        let text = |rates| format!("Idle -> m :: Meter({rates}) -> Discard; m[1] -> Discard;");
        assert!(Bench::error(&text("5, 5")).contains("rate 2 must be > rate 1"));
        assert!(Bench::error(&text("5, 6")).contains("need 1 arguments, one less than the number"));
        assert!(Bench::error(&text("fast")).contains("argument 1 syntax error"));
    }
}
