//! Truncate: cuts packets to a length.

use crate::element::{Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Packet};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "Truncate",
    summary: "truncates packets",
    args: &[
        Arg::required("LENGTH", "unsigned", "the longest packet that stays as it is"),
        Arg::keyword(
            "EXTRA_LENGTH",
            "bool",
            "true",
            "whether the bytes cut are remembered in the annotation",
        ),
    ],
    reads: Annotations::EXTRA_LENGTH,
    example: r#"
        InfiniteSource(DATA \<01 02 03 04 05 06>, LIMIT 3, STOP true) -> t :: RoundRobinSwitch;
        t[0] -> Truncate(4) -> Print(cut) -> Pad -> Print(padded) -> Discard;
        t[1] -> Truncate(4, EXTRA_LENGTH false) -> Print(cut) -> Pad -> Print("nothing to pad") -> Discard;
        t[2] -> Truncate(10) -> Print("short enough") -> Discard;
    "#,
    build,
    ..Descriptor::BASE
};

struct Truncate {
    length: usize,
    extra: bool,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(Truncate { length: args.need("LENGTH")?, extra: args.or("EXTRA_LENGTH", true)? }))
}

impl Element for Truncate {
    fn action(&mut self, _cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        let cut = packet.len().saturating_sub(self.length);
        if cut > 0 {
            packet.trim_back(cut);
            if self.extra {
                packet.anno_mut().extra_length += cut as u32;
            }
        }
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn long_packets_are_cut_and_the_rest_is_remembered() {
        let mut bench = Bench::new("in :: TestIn -> Truncate(3) -> out :: TestOut;");
        bench.push("in", b"abcde");
        bench.push("in", b"ab");
        let packets = bench.take_packets("out");
        assert_eq!((packets[0].data(), packets[0].anno().extra_length), (&b"abc"[..], 2));
        assert_eq!((packets[1].data(), packets[1].anno().extra_length), (&b"ab"[..], 0));
    }

    #[test]
    fn the_rest_may_be_forgotten_and_a_length_is_needed() {
        let mut bench = Bench::new("in :: TestIn -> Truncate(3, EXTRA_LENGTH false) -> out :: TestOut;");
        bench.push("in", b"abcde");
        assert_eq!(bench.take_packets("out")[0].anno().extra_length, 0);
        assert!(Bench::error("Idle -> Truncate -> Discard;").contains("too few arguments"));
    }
}
