//! EPONEncap and EPONDecap: the preamble with the logical link identifier, put on and taken off.

use super::line::{Llid, NO_PREAMBLE};
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet,
};

const OTHER: &str = "another logical link";

pub(super) static ENCAP: Descriptor = Descriptor {
    class: "EPONEncap",
    summary: "puts an EPON preamble with a logical link identifier in front of frames",
    args: &[Arg::required("LLID", "0-32767", "the logical link; 32767 is the broadcast to all ONUs")],
    handlers: &[Handler::read("llid", "the logical link")],
    details: "The preamble of IEEE 802.3, 65.1.3.2, as eight octets in front of the Ethernet frame: 55 55 D5 55 55, the \
              link with the mode bit (set for the broadcast), and a check octet. Without its first octet such a packet \
              is what captures of link type 259 (EPON) hold.",
    example: r#"
        InfiniteSource(DATA \<ffffffffffff 020000000001 0800>, LIMIT 1)
            -> t :: Tee
            -> EPONEncap(3) -> Print(one) -> Discard;
        t[1] -> EPONEncap(32767) -> Print(all) -> Discard;
        DriverManager(wait 1ms, stop);
    "#,
    build: build_encap,
    ..Descriptor::BASE
};

pub(super) static DECAP: Descriptor = Descriptor {
    class: "EPONDecap",
    summary: "takes the EPON preamble off frames, and tells their logical link",
    ports: "1/-",
    processing: "h/h",
    args: &[Arg::rest(
        "LLID",
        "0-32767",
        "the link of each output in turn; without any, all frames take output 0",
    )],
    writes: Annotations::AGGREGATE.union(Annotations::MAC_HEADER),
    drops: &[NO_PREAMBLE, OTHER],
    details: "A frame leaves by the output of its logical link, without its preamble; the aggregate annotation says the \
              link. Frames of other links leave by the output behind the last one, if it is connected. What has no \
              preamble, or one whose check octet is wrong, is dropped.",
    example: r#"
        InfiniteSource(DATA \<ffffffffffff 020000000001 0800>, LIMIT 2)
            -> r :: RoundRobinSwitch -> EPONEncap(7) -> d :: EPONDecap(7, 9);
        r[1] -> EPONEncap(8) -> d;
        d[0] -> Print(seven) -> Discard;
        d[1] -> Print(nine) -> Discard;
        d[2] -> Print(other) -> Discard;
        DriverManager(wait 1ms, stop);
    "#,
    build: build_decap,
    ..Descriptor::BASE
};

struct Encap(Llid);

fn link(id: u16) -> Result<Llid, String> {
    match id {
        Llid::ALL => Ok(Llid::BROADCAST),
        id if id < Llid::ALL => Ok(Llid::unicast(id)),
        _ => Err(format!("LLID: out of range, maximum is {}", Llid::ALL)),
    }
}

fn build_encap(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(Encap(link(args.need("LLID")?)?)))
}

impl Element for Encap {
    fn action(&mut self, _cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        self.0.encapsulate(&mut packet);
        Some(packet)
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "llid" => Ok(self.0.id.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }
}

struct Decap {
    /// By output.
    links: Vec<Llid>,
}

fn build_decap(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let links: Result<Vec<Llid>, ConfigError> =
        args.rest().iter().map(|text| Ok(link(args.parse("LLID", text)?)?)).collect();
    let links = links?;
    let (ports, needed) = (args.outputs(), links.len().max(1));
    if ports < needed || ports > links.len() + 1 {
        return Err(format!("{ports} outputs for {} links; {needed} are needed", links.len()).into());
    }
    Ok(Box::new(Decap { links }))
}

impl Element for Decap {
    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        batch.filter_map(|mut packet| {
            let Some(llid) = Llid::decapsulate(&mut packet) else {
                cx.drop(NO_PREAMBLE, packet);
                return None;
            };
            packet.anno_mut().aggregate = llid.id.into();
            Some(packet)
        });
        let links = &self.links;
        cx.split(batch, OTHER, |packet| {
            let id = packet.anno().aggregate;
            links.iter().position(|link| u32::from(link.id) == id).unwrap_or(links.len())
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn what_one_puts_on_the_other_takes_off() {
        let mut bench = Bench::new(
            "in :: TestIn -> EPONEncap(5) -> on :: TestOut;
             off :: TestIn -> e :: EPONDecap(4, 5) -> four :: TestOut; e[1] -> five :: TestOut;",
        );
        bench.push("in", &[1; 20]);
        let framed = bench.take("on").remove(0);
        bench.push("off", &framed);
        assert_eq!((bench.take("four").len(), bench.take("five")), (0, vec![vec![1; 20]]));
        let mut broken = framed;
        broken[6] ^= 1;
        bench.push("off", &broken);
        assert_eq!(bench.drops("e", "no EPON preamble"), 1);
    }

    #[test]
    fn frames_of_other_links_are_dropped_or_leave_behind_the_last() {
        let text = "in :: TestIn -> EPONEncap(5) -> d :: EPONDecap(4) -> Discard;";
        let mut bench = Bench::new(text);
        bench.push("in", &[1; 20]);
        assert_eq!(bench.drops("d", "another logical link"), 1);
        let mut bench = Bench::new(&format!("{text} d[1] -> out :: TestOut;"));
        bench.push("in", &[1; 20]);
        let packet = bench.take_packets("out").remove(0);
        assert_eq!((packet.len(), packet.anno().aggregate), (20, 5));
    }

    #[test]
    fn links_are_numbers_of_fifteen_bits_with_an_output_each() {
        assert!(Bench::error("Idle -> EPONEncap(32768) -> Discard;").contains("maximum is 32767"));
        let error = Bench::error("Idle -> EPONDecap(1, 2) -> Discard;");
        assert!(error.contains("1 outputs for 2 links; 2 are needed"), "{error}");
    }
}
