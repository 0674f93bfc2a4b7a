//! CheckPaint: packets of one colour go to output 0, all others to output 1 or nowhere.

use crate::element::{Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Packet};

const OTHER: &str = "other color";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "CheckPaint",
    summary: "checks packet paint annotation",
    ports: "1/1-2",
    processing: "a/ah",
    args: &[Arg::required("COLOR", "0-255", "the colour")],
    reads: Annotations::PAINT,
    drops: &[OTHER],
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

struct CheckPaint(u8);

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(CheckPaint(args.need("COLOR")?)))
}

impl Element for CheckPaint {
    fn action(&mut self, cx: &mut Cx<'_>, packet: Packet) -> Option<Packet> {
        if packet.anno().paint == self.0 {
            return Some(packet);
        }
        cx.emit_or_drop(1, OTHER, packet);
        None
    }
}
