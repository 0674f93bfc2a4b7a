//! Discard: the end of a path. Pushed packets end at once; pulled ones are asked for as long as there are any.

use crate::element::{
    Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind,
};
use crate::packet::BATCH;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "Discard",
    summary: "drops all packets",
    ports: "1/0",
    processing: "a/a",
    args: &[
        Arg::keyword("ACTIVE", "bool", "true", "whether it pulls"),
        Arg::keyword("BURST", "unsigned", "32", "packets pulled in one go"),
    ],
    handlers: &[
        Handler::read("count", "packets discarded"),
        Handler::write("reset_counts", "sets count to 0"),
        Handler::both("active", "whether it pulls"),
    ],
    state: StateKind::Small,
    details: "What is pushed into it goes at once. At a pull input it asks for packets as long as there are any, \
              unless ACTIVE is false. These packets are meant to end here: they do not count as drops.",
    example: r#"
        TimedSource(0.1, DATA \<01 02>) -> d1 :: Discard;
        TimedSource(0.1, DATA \<03 04>) -> q :: Queue -> d2 :: Discard(ACTIVE false);
        DriverManager(wait 0.55s, print "$(d1.count) pushed, $(d2.count) pulled, $(q.length) waiting",
                      write d2.active true, wait 0.1s, print "$(d2.count) pulled",
                      write d1.reset_counts, print "$(d1.count) pushed", stop);
    "#,
    build,
    ..Descriptor::BASE
};

struct Discard {
    active: bool,
    burst: usize,
    count: u64,
    pulls: bool,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let burst = args.or("BURST", BATCH)?;
    if burst == 0 {
        return Err("BURST must be positive".into());
    }
    Ok(Box::new(Discard {
        active: args.or("ACTIVE", true)?,
        burst: burst.min(BATCH),
        count: 0,
        pulls: false,
    }))
}

impl Element for Discard {
    fn push(&mut self, _cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        self.count += batch.len() as u64;
        batch.clear();
    }

    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        self.pulls = cx.inputs() > 0 && cx.input_is_pull(0);
        if self.pulls && self.active {
            cx.schedule();
        }
        Ok(())
    }

    fn task(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) -> bool {
        if !self.pulls || !self.active {
            return false;
        }
        cx.pull(0, batch, self.burst);
        if batch.is_empty() {
            return false; // The queue upstream wakes this task.
        }
        self.push(cx, 0, batch);
        cx.schedule();
        true
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "count" => Ok(self.count.to_string()),
            "active" => Ok(self.active.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "reset_counts" => self.count = 0,
            "active" => {
                self.active = super::parse_handler(value)?;
                cx.schedule();
            }
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for Discard {
    fn schema(&self) -> Schema {
        Schema { name: "discard", version: 2 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.count);
        w.put_bool(self.active);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.count = r.get_u64()?;
        self.active = r.get_bool()?;
        Ok(())
    }
}
