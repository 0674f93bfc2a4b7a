//! RandomSeed: begins the sequence of random numbers that all elements draw from.

use crate::element::{Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind};
use crate::elements::basic::parse_handler;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "RandomSeed",
    summary: "sets random seed",
    ports: "0/0",
    args: &[Arg::optional("SEED", "unsigned", "a truly random one", "where the sequence begins")],
    handlers: &[Handler::both("seed", "the seed that was set; writing nothing sets a truly random one")],
    state: StateKind::Small,
    details: "The same seed gives the same run, as long as the configuration and the traffic are the same: ports that \
              rewriters choose, packets that RandomSample lets through. The numbers are not those of the C library.",
    example: r#"
        seed :: RandomSeed(42);
        RatedSource(DATA "data", RATE 100, LIMIT 20, STOP true)
            -> s :: RandomSample(0.5)
            -> c :: Counter -> Discard;
        Script(wait 0.1s, print "$(c.count) of the first half",
               write seed.seed 42, wait 0.1s, print "$(c.count) of all");
    "#,
    build,
    ..Descriptor::BASE
};

/// The seed that was asked for.
struct RandomSeed(Option<u32>);

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(RandomSeed(args.get("SEED")?)))
}

impl RandomSeed {
    fn set(&self, cx: &mut Cx<'_>) {
        let mut bytes = [0; 8];
        let seed = match self.0 {
            Some(seed) => u64::from(seed),
            // Where the kernel has no random numbers, the sequence goes on as it was.
            None => match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK) {
                Ok(8) => u64::from_ne_bytes(bytes),
                _ => return,
            },
        };
        cx.set_seed(seed);
    }
}

impl Element for RandomSeed {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        self.set(cx);
        Ok(())
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "seed" => Ok(self.0.map_or_else(String::new, |seed| seed.to_string())),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        if handler != "seed" {
            return Err(HandlerError::NoHandler(handler.to_owned()));
        }
        self.0 = if value.trim().is_empty() { None } else { Some(parse_handler(value)?) };
        self.set(cx);
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for RandomSeed {
    fn schema(&self) -> Schema {
        Schema { name: "random-seed", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_bool(self.0.is_some());
        w.put_u32(self.0.unwrap_or(0));
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        let (given, seed) = (r.get_bool()?, r.get_u32()?);
        self.0 = given.then_some(seed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    /// Which of a hundred packets a sample takes.
    fn sample(bench: &mut Bench) -> Vec<u8> {
        (0..100).for_each(|number| bench.push("in", &[number]));
        bench.take("out").concat()
    }

    fn text(seed: &str) -> String {
        format!("in :: TestIn -> RandomSample(0.5) -> out :: TestOut; r :: RandomSeed({seed});")
    }

    #[test]
    fn a_seed_decides_the_sequence_and_may_be_set_again() {
        let (mut one, mut same, mut other) =
            (Bench::new(&text("5")), Bench::new(&text("5")), Bench::new(&text("6")));
        let first = sample(&mut one);
        assert_eq!(sample(&mut same), first);
        assert_ne!(sample(&mut other), first);
        assert_ne!(sample(&mut one), first);
        one.router.write_handler("r", "seed", " 5 ").unwrap();
        assert_eq!((sample(&mut one), one.read("r", "seed")), (first, "5".to_owned()));
        assert!(one.router.write_handler("r", "seed", "five").is_err());
    }

    #[test]
    fn without_a_seed_no_two_runs_are_alike() {
        let (mut one, mut other) = (Bench::new(&text("")), Bench::new(&text("")));
        assert_ne!(sample(&mut one), sample(&mut other));
        assert_eq!(one.read("r", "seed"), "");
        one.router.write_handler("r", "seed", "9").unwrap();
        let fixed = sample(&mut one);
        one.router.write_handler("r", "seed", "").unwrap();
        assert_ne!(sample(&mut one), fixed);
    }

    #[test]
    fn it_counts_for_rewriters_wherever_it_stands() {
        let port = |seed: u32| {
            let mut bench = Bench::new(&format!(
                "in :: TestIn -> MarkIPHeader -> rw :: IPRewriter(pattern 1.0.0.1 1024-65535? - - 0 0) -> Discard;
                RandomSeed({seed});"
            ));
            let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 9, 17, 0, 0];
            packet.resize(28, 1);
            bench.push("in", &packet);
            bench.read("rw", "table")
        };
        assert_eq!(port(1), port(1));
        assert_ne!(port(1), port(2));
    }
}
