//! EPONSplitter: a passive splitter. What comes down the trunk goes into every branch; what comes up goes up.

use crate::element::{Args, Batch, ConfigError, Cx, Descriptor, Element};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "EPONSplitter",
    summary: "a passive optical splitter: one trunk, many branches",
    ports: "2-/=",
    processing: "h/h",
    details: "Input and output 0 are the trunk, the others the branches. A packet from the trunk goes into every branch; \
              one from a branch goes to the trunk alone, so that ONUs do not see each other.",
    example: r#"
        RatedSource(DATA down, RATE 10, LIMIT 1) -> [0]s :: EPONSplitter;
        RatedSource(DATA up, RATE 10, LIMIT 1) -> [1]s;
        Idle -> [2]s;
        s[0] -> Print(trunk) -> Discard;
        s[1] -> Print(one) -> Discard;
        s[2] -> Print(two) -> Discard;
        DriverManager(wait 0.2s, stop);
    "#,
    build,
    ..Descriptor::BASE
};

struct Splitter;

fn build(_: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(Splitter))
}

impl Element for Splitter {
    /// What is left in the batch goes by output 0, the trunk.
    fn push(&mut self, cx: &mut Cx<'_>, port: usize, batch: &mut Batch) {
        if port > 0 {
            return;
        }
        let last = cx.outputs() - 1;
        for packet in batch.drain() {
            (1..last).for_each(|branch| cx.emit(branch, packet.clone()));
            cx.emit(last, packet);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn branches_hear_the_trunk_and_not_each_other() {
        let mut bench = Bench::new(
            "in :: TestIn -> [0]s :: EPONSplitter; in[1] -> [1]s; in[2] -> [2]s;
             s[0] -> trunk :: TestOut; s[1] -> one :: TestOut; s[2] -> two :: TestOut;",
        );
        for (port, byte) in [(0, b"d"), (1, b"1"), (2, b"2")] {
            bench.push_packets("in", port, [crate::element::Packet::from_slice(byte)]);
        }
        assert_eq!(bench.take("trunk"), [b"1", b"2"]);
        assert_eq!((bench.take("one"), bench.take("two")), (vec![b"d".to_vec()], vec![b"d".to_vec()]));
    }
}
