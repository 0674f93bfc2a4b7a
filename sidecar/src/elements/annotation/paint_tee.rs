//! PaintTee: sends a copy of the packets of one colour to output 1, and all packets to output 0.

use super::{ANNO, COLOR, COLOR_HANDLER, Color};
use crate::element::{
    Annotations, Args, Batch, ConfigError, Cx, Descriptor, Element, HandlerError, StateKind,
};
use crate::state::Stateful;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "PaintTee",
    summary: "duplicates packets with given paint annotation",
    ports: "1/2",
    processing: "a/ah",
    args: &[COLOR, ANNO],
    reads: Annotations::PAINT,
    handlers: &[COLOR_HANDLER],
    state: StateKind::Small,
    example: r#"
        InfiniteSource(DATA \<01>, LIMIT 4, STOP true) -> r :: RoundRobinSwitch;
        r[0] -> Paint(1) -> t :: PaintTee(1) -> Print(all) -> Discard;
        r[1] -> Paint(2) -> t;
        t[1] -> Print(copy) -> Discard;
    "#,
    build,
    ..Descriptor::BASE
};

struct PaintTee(Color);

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(PaintTee(Color::build(args)?)))
}

impl Element for PaintTee {
    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        for packet in batch.iter().filter(|packet| packet.anno().paint == self.0.0) {
            cx.emit(1, packet.clone());
        }
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        self.0.read(handler)
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        self.0.write(handler, value)
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(&mut self.0)
    }
}
