//! Paint: sets the paint annotation.

use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError,
};
use crate::elements::basic::parse_handler;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "Paint",
    summary: "sets packet paint annotations",
    args: &[Arg::required("COLOR", "0-255", "the colour")],
    writes: Annotations::PAINT,
    handlers: &[Handler::both("color", "the colour")],
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
}
