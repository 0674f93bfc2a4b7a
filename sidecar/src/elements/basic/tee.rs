//! Tee: one packet in, a copy out of every output, output 0 first.

use crate::element::{Arg, Args, Batch, ConfigError, Cx, Descriptor, Element};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "Tee",
    summary: "copies packets to all its outputs",
    ports: "1/1-",
    processing: "h/h",
    args: &[Arg::optional("N", "unsigned", "", "number of outputs; must be what is connected")],
    details: "Copies share their bytes until one of them is changed.",
    example: r#"
        InfiniteSource(DATA \<01 02>, LIMIT 2, STOP true) -> t :: Tee(3) -> Print(zero) -> Discard;
        t[1] -> Print(one) -> Discard;
        t[2] -> Print(two) -> Discard;
    "#,
    build,
    ..Descriptor::BASE
};

struct Tee;

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    match args.get::<usize>("N")? {
        Some(n) if n != args.outputs() => {
            Err(format!("{n} outputs wanted, {} connected", args.outputs()).into())
        }
        _ => Ok(Box::new(Tee)),
    }
}

impl Element for Tee {
    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        let last = cx.outputs().saturating_sub(1);
        for port in 0..last {
            for packet in batch.iter() {
                cx.emit(port, packet.clone());
            }
        }
        // The originals go last, without a copy.
        cx.leave_by(last);
    }
}
