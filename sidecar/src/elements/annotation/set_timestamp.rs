//! SetTimestamp: sets the timestamp annotation to the present or to a given time.

use std::time::Duration;

use crate::element::{Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Time};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "SetTimestamp",
    summary: "stores the time in the packet's timestamp annotation",
    args: &[
        Arg::optional("TIMESTAMP", "time", "now", "the time"),
        Arg::keyword("FIRST", "bool", "false", "whether to set the first timestamp annotation instead"),
        Arg::keyword("DELTA", "bool", "false", "not taken any more: use SetTimestampDelta(TYPE FIRST)"),
    ],
    example: r#"
        InfiniteSource(DATA \<01>, LIMIT 2, STOP true)
            -> Print(made, TIMESTAMP true)
            -> SetTimestamp(2.5)
            -> Print(set, TIMESTAMP true)
            -> SetTimestamp
            -> Print(now, TIMESTAMP true)
            -> Discard;
    "#,
    build,
    ..Descriptor::BASE
};

struct SetTimestamp {
    at: Option<Time>,
    first: bool,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    if args.or("DELTA", false)? {
        return Err("SetTimestamp(DELTA) is deprecated, use SetTimestampDelta(TYPE FIRST)".into());
    }
    let at = match args.text("TIMESTAMP") {
        None | Some("now") => None,
        Some(_) => Some(Time(0) + args.need::<Duration>("TIMESTAMP")?),
    };
    Ok(Box::new(SetTimestamp { at, first: args.or("FIRST", false)? }))
}

impl Element for SetTimestamp {
    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        let at = self.at.unwrap_or(cx.now());
        for packet in batch.iter_mut() {
            if self.first {
                packet.anno_mut().first_timestamp = at;
            } else {
                packet.anno_mut().timestamp = at;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::element::Time;
    use crate::testing::Bench;

    #[test]
    fn packets_get_the_present_or_the_given_time() {
        let mut bench = Bench::new(
            "a :: TestIn -> SetTimestamp -> x :: TestOut; b :: TestIn -> SetTimestamp(2.5) -> y :: TestOut;",
        );
        bench.push("a", b"1");
        bench.push("b", b"2");
        assert_eq!(bench.take_packets("x")[0].anno().timestamp, bench.now);
        assert_eq!(bench.take_packets("y")[0].anno().timestamp, Time(2_500_000_000));
        let error = Bench::error("Idle -> SetTimestamp(DELTA true) -> Discard;");
        assert!(error.contains("SetTimestamp(DELTA) is deprecated"), "{error}");
        let error = Bench::error("Idle -> SetTimestamp(soon) -> Discard;");
        assert!(error.contains("TIMESTAMP: expected time in seconds, got 'soon'"), "{error}");
    }
}
