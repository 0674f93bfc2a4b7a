//! RoundRobinSched: pulls from its inputs in turn.

use crate::element::{Args, Batch, ConfigError, Cx, Descriptor, Element, StateKind};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "RoundRobinSched",
    summary: "pulls from round-robin inputs",
    ports: "-/1",
    processing: "l/l",
    state: StateKind::Small,
    details: "Each pull begins at the input behind the one that gave the last packet. Inputs that have nothing \
              are passed over.",
    example: r#"
        InfiniteSource(DATA A, LIMIT 4) -> a :: Queue;
        InfiniteSource(DATA B, LIMIT 2) -> b :: Queue;
        InfiniteSource(DATA C, LIMIT 3) -> c :: Queue;
        a -> sched :: RoundRobinSched -> u :: Unqueue(ACTIVE false) -> Print(CONTENTS ASCII) -> Discard;
        b -> [1] sched;
        c -> [2] sched;
        DriverManager(wait 1ms, write u.active true, wait 1ms, print "$(u.count) passed");
    "#,
    build,
    ..Descriptor::BASE
};

struct RoundRobinSched {
    next: usize,
    inputs: usize,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(RoundRobinSched { next: 0, inputs: args.inputs() }))
}

impl Element for RoundRobinSched {
    fn pull(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch, max: usize) {
        let mut idle = 0;
        while batch.len() < max && idle < self.inputs {
            let before = batch.len();
            cx.pull(self.next, batch, 1);
            idle = if batch.len() == before { idle + 1 } else { 0 };
            self.next = (self.next + 1) % self.inputs;
        }
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for RoundRobinSched {
    fn schema(&self) -> Schema {
        Schema { name: "round-robin-sched", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u32(self.next as u32);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        let next = r.get_u32()?;
        if next as usize >= self.inputs.max(1) {
            return Err(StateError::Invalid { what: "input", value: next.into() });
        }
        self.next = next as usize;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::state::{Reader, StateError, Writer};
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

    const TEXT: &str = "a :: TestIn -> Queue -> rr :: RoundRobinSched -> out :: TestPuller;
                        b :: TestIn -> Queue -> [1]rr;";

    #[test]
    fn turns_go_on_after_a_move() {
        let (mut from, mut to) = (Bench::new(TEXT), Bench::new(TEXT));
        for input in ["a", "a", "b", "b"] {
            from.push(input, input.as_bytes());
        }
        assert_eq!(from.pull("out", 1).len(), 1);
        from.move_to(&mut to);
        let got: Vec<u8> = to.pull("out", 9).iter().map(|p| p.data()[0]).collect();
        assert_eq!(got, b"bab");
    }

    #[test]
    fn an_input_that_does_not_exist_is_no_state_and_arguments_are_refused() {
        let mut bench = Bench::new(TEXT);
        let id = bench.router.find("rr").unwrap();
        let state = bench.router.state_of(id).unwrap();
        let mut w = Writer::new();
        w.put_u32(2);
        let error = state.restore(&mut Reader::new(w.as_bytes())).unwrap_err();
        assert_eq!(error, StateError::Invalid { what: "input", value: 2 });
        assert!(Bench::error("Idle -> RoundRobinSched(1) -> Discard;").contains("too many arguments"));
    }
}
