//! PullSwitch: passes pulls on to the input that its handler says.

use crate::element::{
    Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind,
};
use crate::elements::basic::parse_handler;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "PullSwitch",
    summary: "forwards pull requests to settable input",
    ports: "-/1",
    processing: "l/l",
    args: &[Arg::optional("INPUT", "integer", "0", "the input; one that does not exist gives no packets")],
    handlers: &[Handler::both("switch", "the input; -1: no packets")],
    state: StateKind::Small,
    example: r#"
        InfiniteSource(DATA A, LIMIT 5) -> a :: Queue;
        InfiniteSource(DATA B, LIMIT 5) -> b :: Queue;
        a -> switch :: PullSwitch(1) -> u :: Unqueue(LIMIT 2) -> Print(CONTENTS ASCII) -> Discard;
        b -> [1] switch;
        DriverManager(wait 1ms, print "input $(switch.switch)",
            write switch.switch 0, write u.limit 4, wait 1ms,
            print "input $(switch.switch): $(a.length) and $(b.length) wait",
            write switch.switch 2, write u.limit -1, wait 1ms,
            print "input $(switch.switch): $(a.length) and $(b.length) wait");
    "#,
    build,
    ..Descriptor::BASE
};

struct PullSwitch {
    /// `None`: no packets.
    input: Option<usize>,
    inputs: usize,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let mut switch = PullSwitch { input: None, inputs: args.inputs() };
    switch.set(args.or("INPUT", 0)?);
    Ok(Box::new(switch))
}

impl PullSwitch {
    fn set(&mut self, input: i32) {
        self.input = usize::try_from(input).ok().filter(|input| *input < self.inputs);
    }

    fn number(&self) -> i32 {
        self.input.and_then(|input| i32::try_from(input).ok()).unwrap_or(-1)
    }
}

impl Element for PullSwitch {
    fn pull(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch, max: usize) {
        if let Some(input) = self.input {
            cx.pull(input, batch, max);
        }
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "switch" => Ok(self.number().to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        if handler != "switch" {
            return Err(HandlerError::NoHandler(handler.to_owned()));
        }
        self.set(parse_handler(value)?);
        cx.wake_pullers(0);
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for PullSwitch {
    fn schema(&self) -> Schema {
        Schema { name: "pull-switch", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u32(self.number() as u32);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.set(r.get_u32()? as i32);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    const TEXT: &str = "a :: TestIn -> Queue -> s :: PullSwitch(1) -> Unqueue -> out :: TestOut;
                        b :: TestIn -> Queue -> [1]s;";

    #[test]
    fn pulls_go_to_the_input_that_the_handler_says() {
        let mut bench = Bench::new(TEXT);
        bench.push("a", b"a");
        bench.push("b", b"b");
        bench.settle(9);
        assert_eq!(bench.take("out"), [b"b"]);
        bench.router.write_handler("s", "switch", "0").unwrap();
        bench.settle(9);
        assert_eq!(bench.take("out"), [b"a"]);
    }

    #[test]
    fn an_input_that_does_not_exist_gives_nothing() {
        let mut bench = Bench::new(TEXT);
        bench.router.write_handler("s", "switch", "7").unwrap();
        assert_eq!(bench.read("s", "switch"), "-1");
        bench.push("b", b"b");
        bench.settle(9);
        assert!(bench.take("out").is_empty());
        assert!(bench.router.write_handler("s", "switch", "x").is_err());
    }

    #[test]
    fn the_position_moves_along() {
        let (mut from, mut to) = (Bench::new(TEXT), Bench::new(TEXT));
        from.router.write_handler("s", "switch", "-1").unwrap();
        from.move_to(&mut to);
        assert_eq!(to.read("s", "switch"), "-1");
    }

    #[test]
    fn an_input_that_is_no_number_is_refused() {
        let error = Bench::error("Idle -> PullSwitch(first) -> Discard;");
        assert!(error.contains("INPUT: expected integer, got 'first'"), "{error}");
    }
}
