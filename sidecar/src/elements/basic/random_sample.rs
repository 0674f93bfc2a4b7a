//! RandomSample: lets packets through with a probability; the others leave by output 1.

use super::parse_handler;
use crate::element::{
    Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
};
use crate::elements::queueing::{show_fixed_point, to_fixed_point};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

const NOT_SAMPLED: &str = "not sampled";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "RandomSample",
    summary: "samples packets with some probability",
    ports: "1/1-2",
    processing: "a/ah",
    args: &[
        Arg::optional("P", "number from 0 to 1", "", "probability that a packet passes"),
        Arg::keyword("SAMPLE", "number from 0 to 1", "", "same as P"),
        Arg::keyword("DROP", "number from 0 to 1", "", "probability that a packet does not pass"),
        Arg::keyword("ACTIVE", "bool", "true", "whether any packet is kept from passing"),
    ],
    handlers: &[
        Handler::both("sampling_prob", "probability that a packet passes"),
        Handler::both("drop_prob", "probability that a packet does not pass"),
        Handler::both("active", "whether any packet is kept from passing"),
        Handler::read("drops", "packets that did not pass"),
    ],
    drops: &[NOT_SAMPLED],
    state: StateKind::Small,
    example: r#"
        InfiniteSource(DATA \<00>, LIMIT 1000, BURST 10, STOP true)
            -> all :: Counter(COUNT_CALL 500 s.sampling_prob 0.9)
            -> s :: RandomSample(0.25)
            -> yes :: Counter -> Discard;
        s[1] -> no :: Counter -> Discard;
        DriverManager(wait_stop, print "$(yes.count) sampled, $(no.count) not, drops $(s.drops)",
                      print "sampling $(s.sampling_prob), dropping $(s.drop_prob)");
    "#,
    build,
    ..Descriptor::BASE
};

/// Bits of fraction of a probability.
const FRACTION: u32 = 28;
const ONE: u64 = 1 << FRACTION;

struct RandomSample {
    /// Out of [`ONE`].
    probability: u64,
    active: bool,
    drops: u64,
}

/// The number as a probability, if it is one.
fn probability(value: f64) -> Option<u64> {
    to_fixed_point(value, FRACTION).filter(|p| *p <= ONE)
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let (sample, drop) = (args.get::<f64>("SAMPLE")?, args.get::<f64>("DROP")?);
    if sample.is_some() && drop.is_some() {
        return Err("give at most one of SAMPLE and DROP".into());
    }
    let passes = match drop {
        Some(drop) => probability(drop).map(|p| ONE - p),
        None => sample.map_or_else(|| args.get("P"), |p| Ok(Some(p)))?.and_then(probability),
    };
    let probability = passes.ok_or_else(|| "sampling probability must be between 0 and 1".to_owned())?;
    Ok(Box::new(RandomSample { probability, active: args.or("ACTIVE", true)?, drops: 0 }))
}

impl Element for RandomSample {
    fn action(&mut self, cx: &mut Cx<'_>, packet: Packet) -> Option<Packet> {
        if !self.active || cx.random() % ONE < self.probability {
            return Some(packet);
        }
        self.drops += 1;
        cx.emit_or_drop(1, NOT_SAMPLED, packet);
        None
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "sampling_prob" => Ok(show_fixed_point(self.probability, FRACTION)),
            "drop_prob" => Ok(show_fixed_point(ONE - self.probability, FRACTION)),
            "active" => Ok(self.active.to_string()),
            "drops" => Ok(self.drops.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        let parse = || {
            let value = parse_handler(value).ok().and_then(probability);
            value
                .ok_or_else(|| HandlerError::Refused("Must be given a number between 0.0 and 1.0".to_owned()))
        };
        match handler {
            "sampling_prob" => self.probability = parse()?,
            "drop_prob" => self.probability = ONE - parse()?,
            "active" => self.active = parse_handler(value)?,
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for RandomSample {
    fn schema(&self) -> Schema {
        Schema { name: "random-sample", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.probability);
        w.put_bool(self.active);
        w.put_u64(self.drops);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        let value = r.get_u64()?;
        if value > ONE {
            return Err(StateError::Invalid { what: "probability", value });
        }
        self.probability = value;
        self.active = r.get_bool()?;
        self.drops = r.get_u64()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn packets_pass_with_the_probability_and_the_others_leave_by_output_1() {
        let mut bench =
            Bench::new("in :: TestIn -> s :: RandomSample(0.3) -> a :: TestOut; s[1] -> b :: TestOut;");
        for _ in 0..1000 {
            bench.push("in", b"x");
        }
        let (passed, left) = (bench.take("a").len(), bench.take("b").len());
        assert!((250..350).contains(&passed) && passed + left == 1000, "{passed} {left}");
        assert_eq!(bench.read("s", "drops"), left.to_string());
    }

    #[test]
    fn handlers_set_either_probability_and_switch_it_off() {
        let mut bench = Bench::new("in :: TestIn -> s :: RandomSample(DROP 1) -> a :: TestOut;");
        bench.push("in", b"x");
        assert_eq!(bench.drops("s", "not sampled"), 1);
        bench.router.write_handler("s", "active", "false").unwrap();
        bench.push("in", b"x");
        assert_eq!(bench.take("a").len(), 1);
        bench.router.write_handler("s", "drop_prob", "0.9").unwrap();
        assert_eq!(
            (bench.read("s", "sampling_prob"), bench.read("s", "drop_prob")),
            ("0.1".into(), "0.9".into())
        );
        assert!(bench.router.write_handler("s", "sampling_prob", "1.1").is_err());
    }

    #[test]
    fn a_pull_goes_on_until_a_packet_passes() {
        let mut bench = Bench::new("in :: TestIn -> Queue -> s :: RandomSample(0.5) -> out :: TestPuller;");
        for _ in 0..100 {
            bench.push("in", b"x");
        }
        let passed: usize = (0..100).map(|_| bench.pull("out", 1).len()).sum();
        assert!((30..70).contains(&passed), "{passed}");
    }

    #[test]
    fn counts_and_settings_move_along() {
        let text = "in :: TestIn -> s :: RandomSample(0) -> a :: TestOut;";
        let (mut from, mut to) = (Bench::new(text), Bench::new(text));
        from.push("in", b"x");
        from.router.write_handler("s", "sampling_prob", "0.25").unwrap();
        from.move_to(&mut to);
        assert_eq!((to.read("s", "drops"), to.read("s", "sampling_prob")), ("1".into(), "0.25".into()));
    }

    #[test]
    fn what_is_no_probability_is_refused() {
        let error = |config| Bench::error(&format!("Idle -> RandomSample({config}) -> Discard;"));
        assert!(error("2").contains("sampling probability must be between 0 and 1"));
        assert!(error("").contains("sampling probability must be between 0 and 1"));
        assert!(error("SAMPLE 1, DROP 0").contains("give at most one of SAMPLE and DROP"));
    }
}
