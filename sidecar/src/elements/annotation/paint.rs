//! Paint: sets the paint annotation.

use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind,
};
use crate::elements::basic::parse_handler;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "Paint",
    summary: "sets packet paint annotations",
    args: &[Arg::required("COLOR", "0-255", "the colour")],
    writes: Annotations::PAINT,
    handlers: &[Handler::both("color", "the colour")],
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

struct Paint(u8);

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(Paint(args.need("COLOR")?)))
}

impl Element for Paint {
    fn push(&mut self, _cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        for packet in batch.iter_mut() {
            packet.anno_mut().paint = self.0;
        }
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "color" => Ok(self.0.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        if handler != "color" {
            return Err(HandlerError::NoHandler(handler.to_owned()));
        }
        self.0 = parse_handler(value)?;
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for Paint {
    fn schema(&self) -> Schema {
        Schema { name: "paint", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u8(self.0);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.0 = r.get_u8()?;
        Ok(())
    }
}
