//! Align: asks for data at certain addresses. Elements here read headers at any address.

use crate::element::{Arg, Args, ConfigError, Cx, Descriptor, Element, Packet};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "Align",
    summary: "aligns packet data; it has no effect here",
    args: &[
        Arg::required("MODULUS", "unsigned", "2, 4 or 8"),
        Arg::required("OFFSET", "unsigned", "what the data's address is to be, modulo MODULUS"),
    ],
    details: "In click, moves the data of packets to an address that later elements can work with on machines that read \
              words at their multiples only; click-align puts it into configurations. Here elements read headers \
              wherever they lie, so that packets pass unchanged.",
    example: r#"
        InfiniteSource(DATA abc, LIMIT 2, STOP true) -> Strip(1) -> Align(4, 0) -> Print -> Discard;
    "#,
    build,
    ..Descriptor::BASE
};

struct Align;

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let (modulus, offset): (u32, u32) = (args.need("MODULUS")?, args.need("OFFSET")?);
    if !matches!(modulus, 2 | 4 | 8) {
        return Err("MODULUS must be 2, 4, or 8".into());
    }
    if offset >= modulus {
        return Err("OFFSET must be smaller than MODULUS".into());
    }
    Ok(Box::new(Align))
}

impl Element for Align {
    fn action(&mut self, _cx: &mut Cx<'_>, packet: Packet) -> Option<Packet> {
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn packets_pass_unchanged() {
        let mut bench = Bench::new("in :: TestIn -> Align(4, 2) -> out :: TestOut;");
        bench.push("in", b"abc");
        assert_eq!(bench.take("out"), [b"abc"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (config, told) in [("3, 0", "MODULUS must be"), ("4, 4", "OFFSET must be"), ("4", "OFFSET")] {
            let error = Bench::error(&format!("in :: TestIn -> Align({config}) -> Discard;"));
            assert!(error.contains(told), "{error}");
        }
    }
}
