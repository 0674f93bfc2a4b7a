//! Idle: never gives a packet, and discards those that it gets.

use crate::element::{Args, Batch, ConfigError, Cx, Descriptor, Element};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "Idle",
    summary: "discards packets",
    ports: "-/-",
    flow: "x/y",
    details: "Any number of inputs and outputs, pushed or pulled: a place to connect ports that are not used.",
    example: r#"
        InfiniteSource(DATA \<01>, LIMIT 3, STOP true) -> c :: Counter -> i :: Idle;
        i -> d :: Discard;
        DriverManager(wait_stop, print "$(c.count) in, $(d.count) out");
    "#,
    build,
    ..Descriptor::BASE
};

struct Idle;

fn build(_: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(Idle))
}

impl Element for Idle {
    fn push(&mut self, _cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        batch.clear();
    }

    fn pull(&mut self, _cx: &mut Cx<'_>, _port: usize, _batch: &mut Batch, _max: usize) {}
}
