//! PrioSched: pulls from the first input that has a packet.

use crate::element::{Args, Batch, ConfigError, Cx, Descriptor, Element};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "PrioSched",
    summary: "pulls from priority-scheduled inputs",
    ports: "-/1",
    processing: "l/l",
    details: "A pull asks input 0 first, then input 1, and so on: a packet of an input waits as long as there \
              are any of the inputs before it.",
    example: r#"
        InfiniteSource(DATA urgent, LIMIT 3) -> a :: Queue;
        InfiniteSource(DATA other, LIMIT 3) -> b :: Queue;
        a -> sched :: PrioSched -> u :: Unqueue(ACTIVE false) -> Print(CONTENTS ASCII) -> Discard;
        b -> [1] sched;
        DriverManager(wait 1ms,
            print "$(a.length) and $(b.length) wait",
            write u.active true, wait 1ms,
            print "$(a.length) and $(b.length) wait");
    "#,
    build,
    ..Descriptor::BASE
};

struct PrioSched;

fn build(_: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(PrioSched))
}

impl Element for PrioSched {
    fn pull(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch, max: usize) {
        for input in 0..cx.inputs() {
            cx.pull(input, batch, max - batch.len());
            if batch.len() == max {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn the_first_input_goes_first() {
        let mut bench = Bench::new(
            "a :: TestIn -> Queue -> s :: PrioSched -> out :: TestPuller; b :: TestIn -> Queue -> [1]s;",
        );
        bench.push("b", &[1]);
        bench.push("a", &[2]);
        bench.push("a", &[3]);
        let got: Vec<u8> = bench.pull("out", 9).iter().map(|p| p.data()[0]).collect();
        assert_eq!(got, [2, 3, 1]);
    }

    #[test]
    fn arguments_are_refused() {
        assert!(Bench::error("Idle -> PrioSched(1) -> Discard;").contains("too many arguments"));
    }
}
