//! Strip: takes bytes from the front of packets.

use crate::element::{Arg, Args, ConfigError, Cx, Descriptor, Element, Packet};

const SHORT: &str = "packet too short";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "Strip",
    summary: "strips bytes from front of packets",
    args: &[Arg::required("LENGTH", "unsigned", "how many bytes")],
    drops: &[SHORT],
    details: "Packets shorter than LENGTH are dropped.",
    example: r#"
        InfiniteSource(DATA \<01 02 03 04 05 06>, LIMIT 1) -> Strip(4) -> Print(stripped) -> Unstrip(2) -> Print(back) -> Discard;
        InfiniteSource(DATA \<01 02>, LIMIT 1) -> short :: Strip(4) -> Print(never) -> Discard;
        DriverManager(wait 1ms, print $(short.drop_reasons));
    "#,
    build,
    ..Descriptor::BASE
};

struct Strip(usize);

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(Strip(args.need("LENGTH")?)))
}

impl Element for Strip {
    #[inline]
    fn action(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        if packet.strip_front(self.0) {
            return Some(packet);
        }
        cx.drop(SHORT, packet);
        None
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn bytes_leave_from_the_front_and_short_packets_are_dropped() {
        let mut bench = Bench::new("in :: TestIn -> s :: Strip(2) -> out :: TestOut;");
        bench.push("in", b"abcd");
        bench.push("in", b"ab");
        bench.push("in", b"a");
        assert_eq!(bench.take("out"), [&b"cd"[..], b""]);
        assert_eq!(bench.drops("s", "packet too short"), 1);
    }

    #[test]
    fn a_length_is_needed() {
        assert!(Bench::error("Idle -> s :: Strip -> Discard;").contains("too few arguments"));
    }
}
