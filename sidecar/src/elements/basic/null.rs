//! Null: passes packets on unchanged.

use crate::element::{Args, Batch, ConfigError, Cx, Descriptor, Element};

pub(super) static DESCRIPTOR: Descriptor =
    Descriptor { class: "Null", summary: "passes packets unchanged", build, ..Descriptor::BASE };

struct Null;

fn build(_: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(Null))
}

impl Element for Null {
    fn push(&mut self, _cx: &mut Cx<'_>, _port: usize, _batch: &mut Batch) {}
}
