//! Paint: sets the paint annotation.

use super::{ANNO, COLOR, COLOR_HANDLER, Color};
use crate::element::{
    Annotations, Args, Batch, ConfigError, Cx, Descriptor, Element, HandlerError, StateKind,
};
use crate::state::Stateful;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "Paint",
    summary: "sets packet paint annotations",
    args: &[COLOR, ANNO],
    writes: Annotations::PAINT,
    handlers: &[COLOR_HANDLER],
    state: StateKind::Small,
    details: "The colour is a number that goes along with the packet, for CheckPaint, PaintSwitch and PaintTee \
              to look at.",
    example: r#"
        InfiniteSource(DATA \<01>, LIMIT 4, STOP true)
            -> p :: Paint(1)
            -> s :: PaintSwitch;
        s[0] -> Discard;
        s[1] -> c :: Counter(COUNT_CALL 3 p.color 2) -> Print(one) -> Discard;
        s[2] -> Print(two) -> Discard;
        DriverManager(wait_stop, print "color $(p.color)");
    "#,
    build,
    ..Descriptor::BASE
};

struct Paint(Color);

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(Paint(Color::build(args)?)))
}

impl Element for Paint {
    fn push(&mut self, _cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        for packet in batch.iter_mut() {
            packet.anno_mut().paint = self.0.0;
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
