//! PaintSwitch: sends packets to the output that their paint says.

use crate::element::{Annotations, Args, Batch, ConfigError, Cx, Descriptor, Element};

const NO_OUTPUT: &str = "no output of this color";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "PaintSwitch",
    summary: "sends packets to output chosen by paint annotation",
    ports: "1/-",
    processing: "h/h",
    args: &[super::ANNO],
    reads: Annotations::PAINT,
    drops: &[NO_OUTPUT],
    details: "A packet of colour N leaves by output N, and is dropped if there is none.",
    example: r#"
        InfiniteSource(DATA \<01>, LIMIT 6, STOP true) -> r :: RoundRobinSwitch;
        r[0] -> Paint(1) -> s :: PaintSwitch -> Print(zero) -> Discard;
        r[1] -> s;
        r[2] -> Paint(9) -> s;
        s[1] -> Print(one) -> Discard;
    "#,
    build,
    ..Descriptor::BASE
};

struct PaintSwitch;

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    super::check_anno(args)?;
    Ok(Box::new(PaintSwitch))
}

impl Element for PaintSwitch {
    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        cx.split(batch, NO_OUTPUT, |packet| packet.anno().paint.into());
    }
}

#[cfg(test)]
mod tests {
    use crate::packet::Packet;
    use crate::testing::Bench;

    fn painted(color: u8) -> Packet {
        let mut packet = Packet::from_slice(&[color]);
        packet.anno_mut().paint = color;
        packet
    }

    #[test]
    fn each_color_has_its_output_and_others_are_dropped() {
        let mut bench = Bench::new("in :: TestIn -> s :: PaintSwitch -> a :: TestOut; s[1] -> b :: TestOut;");
        bench.push_packets("in", 0, [1, 0, 2, 1].map(painted));
        assert_eq!((bench.take("a"), bench.take("b")), (vec![vec![0]], vec![vec![1], vec![1]]));
        assert_eq!(bench.drops("s", "no output of this color"), 1);
    }

    #[test]
    fn colors_change_by_handler_and_move() {
        let text = "in :: TestIn -> p :: Paint(1) -> c :: CheckPaint(2, ANNO PAINT) -> t :: PaintTee(3) -> out :: TestOut;
                    t[1] -> copy :: TestOut;";
        let (mut from, mut to) = (Bench::new(text), Bench::new(text));
        for element in ["p", "c", "t"] {
            from.router.write_handler(element, "color", "9").unwrap();
            assert!(from.router.write_handler(element, "color", "256").is_err());
        }
        from.move_to(&mut to);
        to.push("in", b"x");
        assert_eq!((to.take("out").len(), to.take("copy").len(), to.read("t", "color")), (1, 1, "9".into()));
        let error = Bench::error("Idle -> PaintSwitch(ANNO DST_IP) -> Discard;");
        assert!(error.contains("ANNO: the only annotation for colours is PAINT, got 'DST_IP'"), "{error}");
        assert!(Bench::error("Idle -> Paint -> Discard;").contains("COLOR"));
    }

    #[test]
    fn paint_tee_copies_one_color_and_check_paint_parts_it() {
        let mut bench = Bench::new(
            "in :: TestIn -> t :: PaintTee(1) -> a :: TestOut; t[1] -> b :: TestOut;
             two :: TestIn -> c :: CheckPaint(1) -> d :: TestOut; c[1] -> e :: TestOut;",
        );
        bench.push_packets("in", 0, [1, 2].map(painted));
        assert_eq!((bench.take("a").len(), bench.take("b")), (2, vec![vec![1]]));
        bench.push_packets("two", 0, [1, 2].map(painted));
        assert_eq!((bench.take("d"), bench.take("e")), (vec![vec![1]], vec![vec![2]]));
    }
}
