//! RoundRobinSwitch: sends each packet to the next output.

use crate::element::{Args, Batch, ConfigError, Cx, Descriptor, Element, StateKind};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "RoundRobinSwitch",
    summary: "sends packets to round-robin outputs",
    ports: "1/-",
    processing: "h/h",
    state: StateKind::Small,
    example: r#"
        InfiniteSource(DATA abc, LIMIT 7, STOP true) -> switch :: RoundRobinSwitch;
        switch[0] -> Print(first) -> Discard;
        switch[1] -> Print(second) -> Discard;
        switch[2] -> Print(third) -> Discard;
    "#,
    build,
    ..Descriptor::BASE
};

struct RoundRobinSwitch {
    next: usize,
    outputs: usize,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(RoundRobinSwitch { next: 0, outputs: args.outputs().max(1) }))
}

impl Element for RoundRobinSwitch {
    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        for packet in batch.drain() {
            cx.emit(self.next, packet);
            self.next = (self.next + 1) % self.outputs;
        }
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for RoundRobinSwitch {
    fn schema(&self) -> Schema {
        Schema { name: "round-robin-switch", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u32(self.next as u32);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        let next = r.get_u32()?;
        if next as usize >= self.outputs {
            return Err(StateError::Invalid { what: "output", value: next.into() });
        }
        self.next = next as usize;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::packet::Packet;
    use crate::state::{Reader, StateError, Writer};
    use crate::testing::Bench;

    #[test]
    fn packets_go_to_the_outputs_in_turn() {
        let mut bench =
            Bench::new("in :: TestIn -> s :: RoundRobinSwitch -> a :: TestOut; s[1] -> b :: TestOut;");
        bench.push_packets("in", 0, (0..5).map(|n| Packet::from_slice(&[n])));
        assert_eq!(
            (bench.take("a"), bench.take("b")),
            (vec![vec![0], vec![2], vec![4]], vec![vec![1], vec![3]])
        );
    }

    #[test]
    fn an_output_that_does_not_exist_is_no_state_and_arguments_are_refused() {
        let mut bench =
            Bench::new("in :: TestIn -> s :: RoundRobinSwitch -> a :: TestOut; s[1] -> b :: TestOut;");
        let id = bench.router.find("s").unwrap();
        let state = bench.router.state_of(id).unwrap();
        let mut w = Writer::new();
        w.put_u32(2);
        let error = state.restore(&mut Reader::new(w.as_bytes())).unwrap_err();
        assert_eq!(error, StateError::Invalid { what: "output", value: 2 });
        assert!(Bench::error("Idle -> RoundRobinSwitch(1) -> Discard;").contains("too many arguments"));
    }
}
