//! RoundRobinSwitch: sends each packet to the next output.

use crate::element::{Args, Batch, ConfigError, Cx, Descriptor, Element, StateKind};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "RoundRobinSwitch",
    summary: "sends packets to round-robin outputs",
    ports: "1/-",
    processing: "h/h",
    state: StateKind::Small,
    build,
    ..Descriptor::BASE
};

struct RoundRobinSwitch {
    next: usize,
}

fn build(_: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(RoundRobinSwitch { next: 0 }))
}

impl Element for RoundRobinSwitch {
    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        let outputs = cx.outputs().max(1);
        for packet in batch.drain() {
            cx.emit(self.next, packet);
            self.next = (self.next + 1) % outputs;
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
        self.next = r.get_u32()? as usize;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::packet::Packet;
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
}
