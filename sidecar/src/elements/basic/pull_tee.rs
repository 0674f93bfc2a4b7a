//! PullTee: packets are pulled through output 0, and copies pushed out of the others.

use crate::element::{Arg, Args, Batch, ConfigError, Cx, Descriptor, Element};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "PullTee",
    summary: "copies pulled packets to its push outputs",
    ports: "1/1-",
    processing: "l/lh",
    args: &[Arg::optional("N", "unsigned", "", "number of outputs; must be what is connected")],
    details: "The copies are pushed when the pull is done.",
    example: r#"
        InfiniteSource(DATA \<01 02>, LIMIT 3) -> Queue -> t :: PullTee -> Print(pulled) -> Discard;
        t[1] -> Print(pushed) -> Discard;
        DriverManager(wait 0.1s, stop);
    "#,
    build,
    ..Descriptor::BASE
};

struct PullTee;

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    match args.get::<usize>("N")? {
        Some(n) if n != args.outputs() => {
            Err(format!("{n} outputs wanted, {} connected", args.outputs()).into())
        }
        _ => Ok(Box::new(PullTee)),
    }
}

impl Element for PullTee {
    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        for port in 1..cx.outputs() {
            for packet in batch.iter() {
                cx.emit(port, packet.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn a_pulled_packet_is_also_pushed() {
        let mut bench = Bench::new(
            "in :: TestIn -> Queue -> t :: PullTee -> Unqueue -> a :: TestOut; t[1] -> b :: TestOut;",
        );
        bench.push("in", b"x");
        bench.settle(5);
        assert_eq!((bench.take("a"), bench.take("b")), (vec![b"x".to_vec()], vec![b"x".to_vec()]));
    }
}
