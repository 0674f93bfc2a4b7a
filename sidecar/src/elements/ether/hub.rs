//! Hub: a copy of each packet out of every output but that of the input it came by.

use crate::element::{Args, Batch, ConfigError, Cx, Descriptor, Element, Packet};

const NOWHERE: &str = "no other port";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "Hub",
    summary: "duplicates packets like a hub",
    ports: "-/=",
    processing: "h/h",
    flow: "#/[^#]",
    drops: &[NOWHERE],
    example: r#"
        InfiniteSource(DATA \<01>, LIMIT 2) -> [0]h :: Hub;
        InfiniteSource(DATA \<02>, LIMIT 1) -> [1]h;
        Idle -> [2]h;
        h[0] -> Print(zero) -> Discard;
        h[1] -> Print(one) -> Discard;
        h[2] -> Print(two) -> Discard;
        DriverManager(wait 0.1s, stop);
    "#,
    build,
    ..Descriptor::BASE
};

struct Hub;

fn build(_: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(Hub))
}

/// Sends the packet out of all `ports`, in their order; the original goes last, without a copy.
pub(super) fn copy_to(cx: &mut Cx<'_>, ports: impl Iterator<Item = usize>, packet: Packet) {
    let mut ports = ports.peekable();
    while let Some(port) = ports.next() {
        if ports.peek().is_none() {
            cx.emit(port, packet);
            return;
        }
        cx.emit(port, packet.clone());
    }
    cx.drop(NOWHERE, packet);
}

impl Element for Hub {
    fn push(&mut self, cx: &mut Cx<'_>, port: usize, batch: &mut Batch) {
        let outputs = cx.outputs();
        for packet in batch.drain() {
            copy_to(cx, (0..outputs).filter(|to| *to != port), packet);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn packets_leave_by_every_port_but_their_own() {
        let mut bench = Bench::new(
            "a :: TestIn -> h :: Hub -> x :: TestOut; b :: TestIn -> [1]h[1] -> y :: TestOut;
             Idle -> [2]h[2] -> z :: TestOut;",
        );
        bench.push("a", b"1");
        bench.push("b", b"2");
        assert_eq!(bench.take("x"), [b"2"]);
        assert_eq!(bench.take("y"), [b"1"]);
        assert_eq!(bench.take("z"), [b"1", b"2"]);
    }

    #[test]
    fn a_hub_of_one_port_has_nowhere_to_send() {
        let mut bench = Bench::new("a :: TestIn -> h :: Hub -> Discard;");
        bench.push("a", b"1");
        assert_eq!(bench.drops("h", "no other port"), 1);
        let error = Bench::error("Idle -> Hub(1) -> Discard;");
        assert!(error.contains("too many arguments"), "{error}");
    }
}
