//! RoundRobinSched: pulls from its inputs in turn.

use crate::element::{Args, Batch, ConfigError, Cx, Descriptor, Element};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "RoundRobinSched",
    summary: "pulls from round-robin inputs",
    ports: "-/1",
    processing: "l/l",
    build,
    ..Descriptor::BASE
};

struct RoundRobinSched {
    next: usize,
}

fn build(_: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(RoundRobinSched { next: 0 }))
}

impl Element for RoundRobinSched {
    fn pull(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch, max: usize) {
        let inputs = cx.inputs();
        let mut idle = 0;
        while batch.len() < max && idle < inputs {
            let before = batch.len();
            cx.pull(self.next, batch, 1);
            idle = if batch.len() == before { idle + 1 } else { 0 };
            self.next = (self.next + 1) % inputs;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn inputs_take_turns_and_empty_ones_are_skipped() {
        let mut bench = Bench::new(
            "a :: TestIn -> Queue -> rr :: RoundRobinSched -> out :: TestPuller;
             b :: TestIn -> Queue -> [1]rr; Idle -> Queue -> [2]rr;",
        );
        for n in 0..3 {
            bench.push("a", &[n]);
        }
        bench.push("b", &[10]);
        let got: Vec<u8> = bench.pull("out", 9).iter().map(|p| p.data()[0]).collect();
        assert_eq!(got, [0, 10, 1, 2]);
    }
}
