//! Bypass: sends packets, or passes pulls on, by a second way when its handler says so.
//!
//! The path from output 1 back to input 1 of the same Bypass works pushed. Pulled it would pull through an element that
//! is at work, which gives nothing here: such a Bypass refuses to be active, instead of losing its stream silently.

use super::parse_handler;
use crate::element::{
    Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind,
};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "Bypass",
    summary: "sends packet stream through optional bypass",
    ports: "1-2/1-2",
    flow: "xy/[xy]x",
    args: &[
        Arg::optional("ACTIVE", "bool", "false", "whether packets take the bypass"),
        Arg::keyword("INLINE", "bool", "false", "no effect: kept for texts that set it"),
    ],
    handlers: &[Handler::both("active", "whether packets take the bypass")],
    drops: &["no bypass connected"],
    state: StateKind::Small,
    details: "While it is active, packets from input 0 leave by output 1, and what comes back by input 1 leaves \
              by output 0; otherwise packets go from input 0 straight to output 0. Pulls go the same way in the \
              other direction. A pulled Bypass whose own output 1 leads back to its input 1 cannot be active: \
              let such a path begin at a queue.",
    example: r#"
        TimedSource(0.1, DATA \<01>) -> b :: Bypass -> Print(out) -> Discard;
        b[1] -> Print(way, CONTENTS NONE) -> [1]b;
        DriverManager(wait 0.25s, write b.active true, wait 0.2s, print "active: $(b.active)",
                      write b.active false, wait 0.1s, stop);
    "#,
    build,
    ..Descriptor::BASE
};

const PULL_LOOP: &str = "a pull Bypass whose bypass path leads from its output 1 cannot be active; let the path \
                         begin at a queue of its own";

struct Bypass {
    active: bool,
    /// Pulls of input 1 would come back through output 1.
    pull_loop: bool,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    args.or("INLINE", false)?;
    Ok(Box::new(Bypass { active: args.or("ACTIVE", false)?, pull_loop: false }))
}

impl Bypass {
    fn set_active(&mut self, active: bool) -> Result<(), String> {
        if active && self.pull_loop {
            return Err(PULL_LOOP.to_owned());
        }
        self.active = active;
        Ok(())
    }

    /// The port on the other side for one on this side: 1 for port 0 of an active Bypass, else 0.
    fn across(&self, port: usize) -> usize {
        usize::from(self.active && port == 0)
    }
}

impl Element for Bypass {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        self.pull_loop = cx.output_is_pull(0) && cx.outputs() > 1;
        self.set_active(self.active)
    }

    fn push(&mut self, cx: &mut Cx<'_>, port: usize, batch: &mut Batch) {
        let output = self.across(port);
        if output < cx.outputs() {
            cx.leave_by(output);
        } else {
            cx.drop_all("no bypass connected", batch);
        }
    }

    fn pull(&mut self, cx: &mut Cx<'_>, port: usize, batch: &mut Batch, max: usize) {
        let input = self.across(port);
        if input < cx.inputs() {
            cx.pull(input, batch, max);
        }
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "active" => Ok(self.active.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        if handler != "active" {
            return Err(HandlerError::NoHandler(handler.to_owned()));
        }
        self.set_active(parse_handler(value)?).map_err(HandlerError::Refused)?;
        // Other packets are in reach now.
        for output in 0..cx.outputs() {
            cx.wake_pullers(output);
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for Bypass {
    fn schema(&self) -> Schema {
        Schema { name: "bypass", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_bool(self.active);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.active = r.get_bool()? && !self.pull_loop;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn an_active_bypass_leads_through_its_second_output_and_back() {
        let text = "in :: TestIn -> b :: Bypass -> out :: TestOut; b[1] -> c :: Counter -> [1]b;";
        let mut bench = Bench::new(text);
        bench.push("in", b"1");
        bench.router.write_handler("b", "active", "true").unwrap();
        bench.push("in", b"2");
        assert_eq!(bench.take("out"), [b"1", b"2"]);
        assert_eq!((bench.read("c", "count"), bench.read("b", "active")), ("1".into(), "true".into()));
    }

    #[test]
    fn an_active_bypass_pulls_from_its_second_input() {
        let text =
            "a :: TestIn -> Queue -> b :: Bypass(true) -> out :: TestPuller; c :: TestIn -> Queue -> [1]b;";
        let mut bench = Bench::new(text);
        bench.push("a", b"a");
        bench.push("c", b"c");
        assert_eq!(bench.pull("out", 9)[0].data(), b"c");
        bench.router.write_handler("b", "active", "false").unwrap();
        assert_eq!(bench.pull("out", 9)[0].data(), b"a");
    }

    #[test]
    fn a_bypass_that_is_not_connected_drops_with_a_reason() {
        let mut bench = Bench::new("in :: TestIn -> b :: Bypass(ACTIVE true) -> out :: TestOut;");
        bench.push("in", b"x");
        assert_eq!(bench.drops("b", "no bypass connected"), 1);
    }

    #[test]
    fn a_pull_loop_is_refused() {
        let text = "Idle -> Queue -> b :: Bypass(true) -> TestPuller; b[1] -> Null -> [1]b;";
        assert!(Bench::error(text).contains("a pull Bypass whose bypass path"), "{}", Bench::error(text));
        assert!(
            Bench::error("TestIn -> Bypass(maybe) -> TestOut;")
                .contains("ACTIVE: expected boolean, got 'maybe'")
        );
    }

    #[test]
    fn the_position_moves_along() {
        let mut bench = Bench::new("in :: TestIn -> b :: Bypass(true) -> out :: TestOut;");
        let mut moved = Bench::new("in :: TestIn -> b :: Bypass -> out :: TestOut;");
        bench.move_to(&mut moved);
        assert_eq!(moved.read("b", "active"), "true");
    }
}
