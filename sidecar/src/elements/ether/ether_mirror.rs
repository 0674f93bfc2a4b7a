//! EtherMirror: swaps source and destination address.

use crate::element::{Args, ConfigError, Cx, Descriptor, Element, Packet};

const SHORT: &str = "packet too short";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "EtherMirror",
    summary: "swaps Ethernet source and destination",
    drops: &[SHORT],
    example: r#"
        InfiniteSource(DATA \<0a0a0a0a0a0a 0b0b0b0b0b0b 0800 01>, LIMIT 2, STOP true)
            -> Print(there) -> EtherMirror -> Print(back) -> Discard;
    "#,
    build,
    ..Descriptor::BASE
};

struct EtherMirror;

fn build(_: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(EtherMirror))
}

impl Element for EtherMirror {
    fn action(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        match packet.data_mut().first_chunk_mut::<12>() {
            Some(addresses) => addresses.rotate_left(6),
            None => {
                cx.drop(SHORT, packet);
                return None;
            }
        }
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn addresses_change_places() {
        let mut bench = Bench::new("in :: TestIn -> EtherMirror -> out :: TestOut;");
        bench.push("in", b"aaaaaabbbbbb\x08\x00");
        bench.push("in", b"short");
        assert_eq!(bench.take("out"), [b"bbbbbbaaaaaa\x08\x00"]);
    }
}
