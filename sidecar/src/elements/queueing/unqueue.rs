//! Unqueue: pulls packets as fast as it can and pushes them on. It sleeps while there is nothing to pull.

use crate::element::{
    Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind,
};
use crate::elements::basic::parse_handler;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "Unqueue",
    summary: "pull-to-push converter",
    processing: "l/h",
    args: &[
        Arg::optional(
            "BURST",
            "integer",
            "1",
            "most packets moved each time it runs; negative: as many as there are; 0: none",
        ),
        Arg::keyword("ACTIVE", "bool", "true", "whether it moves packets"),
        Arg::keyword("LIMIT", "integer", "-1", "packets moved in all; negative: no limit"),
    ],
    handlers: &[
        Handler::read("count", "packets moved"),
        Handler::write("reset", "sets count to 0"),
        Handler::write("reset_counts", "sets count to 0"),
        Handler::both("active", "whether it moves packets"),
        Handler::both("burst", "packets moved each time it runs"),
        Handler::both("limit", "packets moved in all"),
    ],
    state: StateKind::Small,
    details: "Moves packets as fast as they can be pulled and pushed, until LIMIT; it sleeps while there is \
              nothing to pull.",
    example: r#"
        InfiniteSource(DATA abc, LIMIT 9) -> q :: Queue -> u :: Unqueue(2, LIMIT 5) -> Print -> Discard;
        DriverManager(wait 1ms, print "$(u.count) of $(u.limit) moved, $(q.length) wait",
            write u.active false, write u.limit 8, wait 1ms, print "$(q.length) wait",
            write u.burst -1, write u.active true, wait 1ms, print "$(u.count) moved",
            write u.reset, wait 1ms, print "$(u.count) moved, $(q.length) wait");
    "#,
    build,
    ..Descriptor::BASE
};

struct Unqueue {
    burst: i64,
    limit: i64,
    active: bool,
    count: u64,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(Unqueue {
        burst: burst(args.or("BURST", 1)?),
        limit: args.or("LIMIT", -1)?,
        active: args.or("ACTIVE", true)?,
        count: 0,
    }))
}

/// A negative burst is the largest there is, as Click keeps and shows it.
fn burst(burst: i64) -> i64 {
    if burst < 0 { i32::MAX.into() } else { burst }
}

impl Unqueue {
    /// How many packets it may move now.
    fn allowance(&self) -> usize {
        let burst = usize::try_from(self.burst).unwrap_or(0);
        let left = u64::try_from(self.limit).map_or(u64::MAX, |limit| limit.saturating_sub(self.count));
        burst.min(usize::try_from(left).unwrap_or(usize::MAX))
    }
}

/// Pulls from input 0 as long as it gives all that was asked for, up to `max` packets. What `batch` has no room for is
/// emitted. Returns how many packets there were.
pub(super) fn pull_up_to(cx: &mut Cx<'_>, batch: &mut Batch, max: usize) -> usize {
    let mut moved = 0;
    while moved < max {
        if batch.is_full() {
            cx.emit_all(0, batch);
        }
        let before = batch.len();
        let asked = batch.room().min(max - moved);
        cx.pull(0, batch, asked);
        let got = batch.len() - before;
        moved += got;
        if got < asked {
            break;
        }
    }
    moved
}

impl Element for Unqueue {
    fn start(&mut self, cx: &mut Cx<'_>) {
        cx.schedule();
    }

    fn task(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) -> bool {
        if !self.active {
            return false;
        }
        let moved = pull_up_to(cx, batch, self.allowance());
        self.count += moved as u64;
        // With nothing moved, the queue upstream wakes this task.
        if moved > 0 {
            cx.schedule();
        }
        moved > 0
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "count" => Ok(self.count.to_string()),
            "active" => Ok(self.active.to_string()),
            "burst" => Ok(self.burst.to_string()),
            "limit" => Ok(self.limit.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "reset" | "reset_counts" => self.count = 0,
            "active" => self.active = parse_handler(value)?,
            "burst" => self.burst = burst(parse_handler(value)?),
            "limit" => self.limit = parse_handler(value)?,
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        cx.schedule();
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for Unqueue {
    fn schema(&self) -> Schema {
        Schema { name: "unqueue", version: 2 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.count);
        w.put_u64(self.burst as u64);
        w.put_u64(self.limit as u64);
        w.put_bool(self.active);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.count = r.get_u64()?;
        self.burst = r.get_u64()? as i64;
        self.limit = r.get_u64()? as i64;
        self.active = r.get_bool()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn it_sleeps_on_an_empty_queue_and_wakes_with_the_next_packet() {
        let mut bench = Bench::new("in :: TestIn -> Queue -> Null -> uq :: Unqueue -> out :: TestOut;");
        bench.settle(5);
        assert!(!bench.pass().ready);
        bench.push("in", b"x");
        assert!(bench.pass().worked);
        assert_eq!(bench.take("out"), [b"x"]);
        bench.settle(5);
        assert!(!bench.pass().ready);
    }

    #[test]
    fn a_negative_burst_moves_all_and_an_empty_one_nothing() {
        let text = "in :: TestIn -> Queue -> uq :: Unqueue(0) -> out :: TestOut;";
        let mut bench = Bench::new(text);
        for n in 0..99 {
            bench.push("in", &[n]);
        }
        bench.settle(9);
        assert!(bench.take("out").is_empty());
        bench.router.write_handler("uq", "burst", "-1").unwrap();
        bench.pass();
        assert_eq!((bench.take("out").len(), bench.read("uq", "burst")), (99, "2147483647".into()));
        assert!(Bench::error("Idle -> Unqueue(fast) -> Discard;").contains("BURST: expected integer"));
    }

    #[test]
    fn a_burst_is_moved_in_one_go_and_the_limit_holds() {
        let text = "in :: TestIn -> Queue -> uq :: Unqueue(3, LIMIT 5) -> out :: TestOut;";
        let mut bench = Bench::new(text);
        for n in 0..9 {
            bench.push("in", &[n]);
        }
        bench.pass();
        assert_eq!(bench.take("out").len(), 3);
        bench.settle(9);
        assert_eq!((bench.take("out").len(), bench.read("uq", "count")), (2, "5".into()));
    }

    #[test]
    fn what_handlers_set_moves_along() {
        let text = "in :: TestIn -> Queue -> uq :: Unqueue -> out :: TestOut;";
        let (mut from, mut to) = (Bench::new(text), Bench::new(text));
        for (handler, value) in [("active", "false"), ("burst", "3"), ("limit", "7")] {
            from.router.write_handler("uq", handler, value).unwrap();
        }
        from.move_to(&mut to);
        let values = ["active", "burst", "limit"].map(|handler| to.read("uq", handler));
        assert_eq!(values, ["false", "3", "7"]);
    }
}
