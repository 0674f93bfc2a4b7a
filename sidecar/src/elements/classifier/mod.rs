//! Classifier: branches on the bytes of packets.
//!
//! `pattern` reads patterns, `program` compiles them into word comparisons with jumps, which run per packet.

use crate::element::{Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError};

mod pattern;
mod program;

use self::program::Program;

pub(super) static GROUP: &[&Descriptor] = &[&DESCRIPTOR];

const NO_MATCH: &str = "no match";

static DESCRIPTOR: Descriptor = Descriptor {
    class: "Classifier",
    summary: "classifies packets by contents",
    ports: "1/-",
    processing: "h/h",
    args: &[Arg::rest(
        "PATTERN",
        "OFFSET/VALUE[%MASK]... or -",
        "one an output; the first that matches counts",
    )],
    drops: &[NO_MATCH],
    handlers: &[Handler::read("program", "the compiled comparisons")],
    details: "A pattern is a list of clauses, all of which must match: bytes at an offset equal the value, as far as the \
              mask has ones and the value no `?`. `!` before a clause negates it, `-` alone matches every packet. A \
              clause does not match where the packet ends before the last byte that its mask looks at.",
    example: r#"
        c :: Classifier(12/0806 20/0001, 12/0806 20/0002, 12/0800, -);
        InfiniteSource(DATA \<ffffffffffff 020000000001 0806 0001 0800 0604 0001>, LIMIT 1) -> c;
        InfiniteSource(DATA \<020000000001 020000000002 0806 0001 0800 0604 0002>, LIMIT 1) -> c;
        InfiniteSource(DATA \<020000000001 020000000002 0800 4500>, LIMIT 2) -> c;
        InfiniteSource(DATA \<020000000001 020000000002 86dd>, LIMIT 1) -> c;
        c[0] -> Print("ARP query", 0) -> Discard;
        c[1] -> Print("ARP answer", 0) -> Discard;
        c[2] -> Print("IP", 0) -> Discard;
        c[3] -> Print("other", 0) -> Discard;
        DriverManager(wait 1s, print $(c.program));
    "#,
    build,
    ..Descriptor::BASE
};

struct Classifier {
    program: Program,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let (mut patterns, mut problems) = (Vec::new(), Vec::new());
    for (at, text) in args.rest().iter().enumerate() {
        match pattern::parse(text) {
            Ok(pattern) => patterns.push(pattern),
            Err(problem) => problems.push(format!("pattern {at}: {problem}")),
        }
    }
    if patterns.len() != args.outputs() {
        problems.push(format!("need {} arguments, one per output port", args.outputs()));
    }
    if problems.is_empty() {
        Ok(Box::new(Classifier { program: Program::compile(&patterns)? }))
    } else {
        Err(ConfigError(problems))
    }
}

impl Element for Classifier {
    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        cx.split(batch, NO_MATCH, |packet| self.program.run(packet.data()));
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "program" => Ok(self.program.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn packets_go_to_the_first_pattern_that_matches() {
        let mut bench = Bench::new(
            "in :: TestIn -> c :: Classifier(12/0806 20/0001, 12/0806 20/0002, 12/0800, -);
             c[0] -> a :: TestOut; c[1] -> b :: TestOut; c[2] -> d :: TestOut; c[3] -> e :: TestOut;",
        );
        let frame = |ether: u16, op: u16| {
            let mut frame = vec![0; 60];
            frame[12..14].copy_from_slice(&ether.to_be_bytes());
            frame[20..22].copy_from_slice(&op.to_be_bytes());
            frame
        };
        for (ether, op, out) in
            [(0x806, 1, "a"), (0x806, 2, "b"), (0x800, 1, "d"), (0x806, 3, "e"), (0x86dd, 0, "e")]
        {
            bench.push("in", &frame(ether, op));
            assert_eq!(bench.take(out).len(), 1, "{ether:x} {op}");
        }
        // Too short for a pattern is no match for it.
        bench.push("in", &frame(0x806, 1)[..21]);
        bench.push("in", &frame(0x800, 1)[..14]);
        assert_eq!((bench.take("e").len(), bench.take("d").len()), (1, 1));
    }

    #[test]
    fn what_matches_nothing_is_dropped_and_counted() {
        let mut bench = Bench::new("in :: TestIn -> c :: Classifier(0/45) -> out :: TestOut;");
        bench.push("in", &[0x44]);
        assert_eq!(bench.drops("c", "no match"), 1);
    }

    #[test]
    fn wrong_patterns_are_refused() {
        let error = Bench::error("Idle -> c :: Classifier(12/08zz, x, -); c[0],c[1],c[2] -> Discard;");
        assert!(error.contains("pattern 0:") && error.contains("pattern 1:"), "{error}");
        let error = Bench::error("Idle -> c :: Classifier(12/0800, -) -> Discard;");
        assert!(error.contains("need 1 arguments, one per output port"), "{error}");
        for (pattern, wrong) in [
            ("x", "expected a digit"),
            ("! ", "expected a digit"),
            ("12", "expected '/'"),
            ("12/", "value has less than 2 hex digits"),
            ("12/080", "value has odd number of hex digits"),
            ("12/0800%ff", "mask has too few hex digits"),
            ("12/08%ffff", "mask has too many hex digits"),
            ("65536/08", "offset out of range"),
        ] {
            let error = Bench::error(&format!("Idle -> Classifier({pattern}) -> Discard;"));
            assert!(error.contains(&format!("pattern 0: {wrong}")), "{pattern}: {error}");
        }
    }

    #[test]
    fn the_program_is_shown_as_click_shows_it() {
        let mut bench = Bench::new(
            "in :: TestIn -> c :: Classifier(12/0806 20/0001, 12/0806 20/0002, 12/08 13/00, ! 0/??, -);
             c[0], c[1], c[2], c[3], c[4] -> Discard;",
        );
        assert_eq!(
            bench.read("c", "program"),
            " 0  12/08060000%ffff0000  yes->step 1  no->step 3\n 1  20/00010000%ffff0000  yes->[0]  no->step 2\n \
             2  20/00020000%ffff0000  yes->[1]  no->[4]\n 3  12/08000000%ffff0000  yes->[2]  no->[4]\n\
             safe length 22\nalignment offset 0\n"
        );
        let mut bench = Bench::new("in :: TestIn -> c :: Classifier(-) -> Discard;");
        assert_eq!(bench.read("c", "program"), "all->[0]\nsafe length 0\nalignment offset 0\n");
    }
}
