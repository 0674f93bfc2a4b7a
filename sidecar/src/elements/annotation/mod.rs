//! Elements that set, test, or branch on annotations.

use crate::element::{Arg, Args, ConfigError, Descriptor, Handler, HandlerError};
use crate::elements::basic::parse_handler;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

mod adjust_timestamp;
mod check_paint;
mod paint;
mod paint_switch;
mod paint_tee;
mod set_timestamp;
mod set_timestamp_delta;
mod time_filter;
mod time_sorted_sched;

pub(super) static GROUP: &[&Descriptor] = &[
    &check_paint::DESCRIPTOR,
    &paint::DESCRIPTOR,
    &paint_switch::DESCRIPTOR,
    &paint_tee::DESCRIPTOR,
    &set_timestamp::DESCRIPTOR,
    &set_timestamp_delta::DESCRIPTOR,
    &adjust_timestamp::DESCRIPTOR,
    &time_filter::DESCRIPTOR,
    &time_sorted_sched::DESCRIPTOR,
];

const COLOR: Arg = Arg::required("COLOR", "0-255", "the colour");
const ANNO: Arg =
    Arg::optional("ANNO", "annotation", "PAINT", "the annotation; there is no other than PAINT");
const COLOR_HANDLER: Handler = Handler::both("color", "the colour");

/// Checks ANNO: PAINT, or the byte that Click has it at.
fn check_anno(args: &Args<'_>) -> Result<(), ConfigError> {
    match args.text("ANNO") {
        None | Some("PAINT" | "20") => Ok(()),
        Some(other) => Err(format!("ANNO: the only annotation for colours is PAINT, got '{other}'").into()),
    }
}

/// A colour that a handler changes.
struct Color(u8);

impl Color {
    fn build(args: &Args<'_>) -> Result<Self, ConfigError> {
        check_anno(args)?;
        args.need("COLOR").map(Self)
    }

    fn read(&self, handler: &str) -> Result<String, HandlerError> {
        match handler {
            "color" => Ok(self.0.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "color" => self.0 = parse_handler(value)?,
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }
}

impl Stateful for Color {
    fn schema(&self) -> Schema {
        Schema { name: "color", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u8(self.0);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.0 = r.get_u8()?;
        Ok(())
    }
}
