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
        Arg::keyword("ZERO", "bool", "true", "whether the new bytes are zero (they always are)"),
        Arg::keyword("MAXLENGTH", "unsigned", "", "the longest packet that is made"),
    ],
    reads: Annotations::EXTRA_LENGTH,
    build,
    ..Descriptor::BASE
};

struct Pad {
    length: Option<usize>,
    max: usize,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    args.or("ZERO", true)?;
    let length = args.get("LENGTH")?;
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
            packet.anno_mut().extra_length = extra.saturating_sub(missing) as u32;
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
}
