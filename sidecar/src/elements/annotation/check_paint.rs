//! CheckPaint: packets of one colour go to output 0, all others to output 1 or nowhere.

use super::{ANNO, COLOR, COLOR_HANDLER, Color};
use crate::element::{
    Annotations, Args, ConfigError, Cx, Descriptor, Element, HandlerError, Packet, StateKind,
};
use crate::state::Stateful;

const OTHER: &str = "other color";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "CheckPaint",
    summary: "checks packet paint annotation",
    ports: "1/1-2",
    processing: "a/ah",
    args: &[COLOR, ANNO],
    reads: Annotations::PAINT,
    drops: &[OTHER],
    handlers: &[COLOR_HANDLER],
    state: StateKind::Small,
    details: "Packets of another colour are dropped if output 1 is not connected.",
    example: r#"
        InfiniteSource(DATA \<01>, LIMIT 6, STOP true) -> r :: RoundRobinSwitch;
        r[0] -> Paint(1) -> c :: CheckPaint(1) -> Print(one) -> Discard;
        r[1] -> Paint(2) -> c;
        r[2] -> c;
        c[1] -> Print(other) -> Discard;
    "#,
    build,
    ..Descriptor::BASE
};

struct CheckPaint(Color);

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(CheckPaint(Color::build(args)?)))
}

impl Element for CheckPaint {
    fn action(&mut self, cx: &mut Cx<'_>, packet: Packet) -> Option<Packet> {
        if packet.anno().paint == self.0.0 {
            return Some(packet);
        }
        cx.emit_or_drop(1, OTHER, packet);
        None
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
