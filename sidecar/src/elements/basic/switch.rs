//! Switch: sends all packets to the output that its handler says.

use super::parse_handler;
use crate::element::{
    Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind,
};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "Switch",
    summary: "sends packet stream to settable output",
    ports: "1/-",
    processing: "h/h",
    args: &[Arg::optional("OUTPUT", "integer", "0", "the output; negative: packets are dropped")],
    handlers: &[Handler::both("switch", "the output; negative: packets are dropped")],
    drops: &["switched off"],
    state: StateKind::Small,
    details: "One output at a time gets all packets. While the number is negative, all packets are dropped.",
    example: r#"
        TimedSource(0.1, DATA \<01>) -> s :: Switch(1) -> Print(zero) -> Discard;
        s[1] -> Print(one) -> Discard;
        DriverManager(wait 0.25s, write s.switch 0, wait 0.2s, write s.switch -1, wait 0.2s,
                      print "output $(s.switch)", stop);
    "#,
    build,
    ..Descriptor::BASE
};

struct Switch {
    output: i32,
    outputs: usize,
}

impl Switch {
    fn check(&self, output: i32) -> Result<i32, String> {
        match usize::try_from(output) {
            Ok(at) if at >= self.outputs => Err(format!("output must be < {}", self.outputs)),
            _ => Ok(output),
        }
    }
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let mut switch = Switch { output: 0, outputs: args.outputs() };
    switch.output = switch.check(args.or("OUTPUT", 0)?)?;
    Ok(Box::new(switch))
}

impl Element for Switch {
    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        match usize::try_from(self.output) {
            Ok(output) => cx.leave_by(output),
            Err(_) => cx.drop_all("switched off", batch),
        }
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "switch" => Ok(self.output.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        if handler != "switch" {
            return Err(HandlerError::NoHandler(handler.to_owned()));
        }
        self.output = self.check(parse_handler(value)?).map_err(HandlerError::Refused)?;
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for Switch {
    fn schema(&self) -> Schema {
        Schema { name: "switch", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u32(self.output as u32);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        let output = r.get_u32()?;
        self.output = self
            .check(output as i32)
            .map_err(|_| StateError::Invalid { what: "output number", value: output.into() })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn packets_go_where_the_handler_says() {
        let mut bench = Bench::new("in :: TestIn -> s :: Switch(1) -> a :: TestOut; s[1] -> b :: TestOut;");
        bench.push("in", b"1");
        bench.router.write_handler("s", "switch", "0").unwrap();
        bench.push("in", b"2");
        bench.router.write_handler("s", "switch", "-1").unwrap();
        bench.push("in", b"3");
        assert_eq!((bench.take("a"), bench.take("b")), (vec![b"2".to_vec()], vec![b"1".to_vec()]));
        assert_eq!(bench.drops("s", "switched off"), 1);
        assert!(bench.router.write_handler("s", "switch", "2").is_err());
    }
}
