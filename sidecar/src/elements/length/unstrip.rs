//! Unstrip: gives back bytes at the front of packets, as they were before Strip.

use crate::element::{Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Packet};
use crate::packet::MAX_LENGTH;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "Unstrip",
    summary: "unstrips bytes from front of packets",
    args: &[Arg::required("LENGTH", "unsigned", "how many bytes")],
    reads: Annotations::FRONT,
    details: "The bytes are those that Strip took away, as long as nothing has written over them.",
    example: r#"
        InfiniteSource(DATA \<01 02 03 04 05 06>, LIMIT 2, STOP true)
            -> Strip(4) -> Print(stripped)
            -> Unstrip(3) -> Print(back)
            -> Discard;
    "#,
    build,
    ..Descriptor::BASE
};

struct Unstrip(usize);

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let length: usize = args.need("LENGTH")?;
    if length > MAX_LENGTH / 2 {
        return Err(format!("LENGTH: maximum is {}", MAX_LENGTH / 2).into());
    }
    Ok(Box::new(Unstrip(length)))
}

impl Element for Unstrip {
    #[inline]
    fn action(&mut self, _cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        packet.grow_front(self.0);
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn what_was_stripped_comes_back() {
        let mut bench = Bench::new("in :: TestIn -> Strip(3) -> Unstrip(2) -> out :: TestOut;");
        bench.push("in", b"abcd");
        assert_eq!(bench.take("out"), [b"bcd"]);
    }

    #[test]
    fn a_length_that_fits_into_no_packet_is_refused() {
        assert!(Bench::error("Idle -> Unstrip(99999999) -> Discard;").contains("LENGTH: maximum is"));
        assert!(Bench::error("Idle -> Unstrip -> Discard;").contains("too few arguments"));
    }
}
