//! Pad: lengthens short packets, for media with a shortest frame.

use crate::element::{Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Packet};
use crate::packet::MAX_LENGTH;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "Pad",
    summary: "extends packet length",
    args: &[
        Arg::optional(
            "LENGTH",
            "unsigned",
            "",
            "the shortest packet that stays as it is; left out: the annotation",
        ),
        Arg::keyword("ZERO", "bool", "true", "whether the new bytes are zero; they always are"),
        Arg::keyword("MAXLENGTH", "unsigned", "", "the longest packet that is made"),
    ],
    reads: Annotations::EXTRA_LENGTH,
    details: "With LENGTH, packets shorter than that get zero bytes at the end. Without, packets get as many \
              as the extra length annotation says, so that they are as long as before Truncate. The annotation \
              is 0 afterwards.",
    example: r#"
        InfiniteSource(DATA \<01 02 03>, LIMIT 3, STOP true) -> t :: RoundRobinSwitch;
        t[0] -> Pad(8) -> Print(padded) -> Discard;
        t[1] -> Truncate(1) -> Print(cut) -> Pad -> Print("as long as before") -> Discard;
        t[2] -> Pad(2) -> Print("long enough") -> Discard;
    "#,
    build,
    ..Descriptor::BASE
};

struct Pad {
    length: Option<usize>,
    max: usize,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    args.or("ZERO", true)?;
    let length = args.get("LENGTH")?.filter(|length| *length > 0);
    if length.is_some_and(|length| length > MAX_LENGTH) {
        return Err(format!("LENGTH: maximum is {MAX_LENGTH}").into());
    }
    Ok(Box::new(Pad { length, max: args.or("MAXLENGTH", MAX_LENGTH)?.min(MAX_LENGTH) }))
}

impl Element for Pad {
    fn action(&mut self, _cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        let extra = packet.anno().extra_length as usize;
        let wanted = self.length.unwrap_or(packet.len() + extra).min(self.max);
        let missing = wanted.saturating_sub(packet.len());
        if missing > 0 {
            packet.grow_back(missing);
        }
        if extra > 0 {
            packet.anno_mut().extra_length = 0;
        }
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn short_packets_get_zero_bytes() {
        let mut bench = Bench::new("in :: TestIn -> Pad(4) -> out :: TestOut;");
        bench.push("in", b"ab");
        bench.push("in", b"abcde");
        assert_eq!(bench.take("out"), [&b"ab\0\0"[..], b"abcde"]);
    }

    #[test]
    fn without_a_length_packets_become_as_long_as_they_were() {
        for config in ["", "0"] {
            let text = format!("in :: TestIn -> Truncate(1) -> Pad({config}) -> Pad -> out :: TestOut;");
            let mut bench = Bench::new(&text);
            bench.push("in", b"abc");
            assert_eq!(bench.take("out"), [b"a\0\0"]);
        }
    }

    #[test]
    fn the_extra_length_counts_once() {
        let mut bench = Bench::new("in :: TestIn -> Truncate(4) -> Pad(2) -> out :: TestOut;");
        bench.push("in", b"abcdef");
        assert_eq!(bench.take_packets("out")[0].anno().extra_length, 0);
        assert!(Bench::error("Idle -> Pad(x) -> Discard;").contains("LENGTH: expected unsigned integer"));
        assert!(Bench::error("Idle -> Pad(99999999) -> Discard;").contains("LENGTH: maximum is"));
    }
}
