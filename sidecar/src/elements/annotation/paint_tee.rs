//! PaintTee: sends a copy of the packets of one colour to output 1, and all packets to output 0.

use crate::element::{Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "PaintTee",
    summary: "duplicates packets with given paint annotation",
    ports: "1/2",
    processing: "a/ah",
    args: &[Arg::required("COLOR", "0-255", "the colour")],
    reads: Annotations::PAINT,
    example: r#"
        InfiniteSource(DATA \<01>, LIMIT 4, STOP true) -> r :: RoundRobinSwitch;
        r[0] -> Paint(1) -> t :: PaintTee(1) -> Print(all) -> Discard;
        r[1] -> Paint(2) -> t;
        t[1] -> Print(copy) -> Discard;
    "#,
    build,
    ..Descriptor::BASE
};

struct PaintTee(u8);

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(PaintTee(args.need("COLOR")?)))
}

impl Element for PaintTee {
    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        for packet in batch.iter().filter(|packet| packet.anno().paint == self.0) {
            cx.emit(1, packet.clone());
        }
    }
}
