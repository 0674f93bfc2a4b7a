//! IPFragmenter: cuts IP packets that are larger than the MTU into fragments (RFC 791, section 3.2).

use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet,
};
use crate::wire::Ipv4;
use crate::wire::ipv4::{DONT_FRAGMENT, MIN_HEADER_LENGTH, MORE_FRAGMENTS, OFFSET_MASK, set_checksum};

const TOO_BIG: &str = "too big and not to be fragmented";
const BAD_HEADER: &str = "bad IP header";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "IPFragmenter",
    summary: "fragments large IP packets",
    ports: "1/1-2",
    processing: "h/h",
    args: &[
        Arg::required("MTU", "unsigned", "the longest IP packet that may leave, in bytes"),
        Arg::keyword("HONOR_DF", "bool", "true", "whether packets with DF leave by output 1"),
        Arg::keyword("VERBOSE", "bool", "true", "taken for Click's sake: reasons are counted"),
        Arg::keyword("HEADROOM", "unsigned", "66", "bytes before each fragment"),
    ],
    reads: Annotations::NETWORK_HEADER,
    drops: &[TOO_BIG, BAD_HEADER],
    handlers: &[
        Handler::read("drops", "packets too big and not to be fragmented"),
        Handler::read("fragments", "fragments made"),
    ],
    build,
    ..Descriptor::BASE
};

struct IpFragmenter {
    mtu: usize,
    honor_df: bool,
    headroom: usize,
    refused: u64,
    fragments: u64,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let mtu = args.need("MTU")?;
    if mtu < MIN_HEADER_LENGTH + 8 {
        return Err("MTU must be at least 28".into());
    }
    Ok(Box::new(IpFragmenter {
        mtu,
        honor_df: args.or("HONOR_DF", true)?,
        headroom: args.or("HEADROOM", crate::packet::HEADROOM)?,
        refused: 0,
        fragments: 0,
    }))
}

/// The header of fragments but the first: only options that say so are copied (RFC 791, "copied flag").
fn later_header(header: &[u8]) -> Vec<u8> {
    let (fixed, mut options) = header.split_at(MIN_HEADER_LENGTH.min(header.len()));
    let mut copy = fixed.to_vec();
    while let [kind, rest @ ..] = options {
        let length = match (kind, rest) {
            (0, _) => break,
            (1, _) => 1,
            (_, [length, ..]) => usize::from(*length).max(2),
            _ => break,
        };
        let Some(option) = options.get(..length) else { break };
        if kind & 0x80 != 0 {
            copy.extend_from_slice(option);
        }
        options = &options[length..];
    }
    while copy.len() % 4 != 0 {
        copy.push(0);
    }
    let length = copy.len();
    if let Some((ip, _)) = Ipv4::parse_mut(&mut copy) {
        ip.set_header_length(length);
    }
    copy
}

impl IpFragmenter {
    /// Emits the fragments of a packet; `false` if its header makes no sense.
    fn fragment(&mut self, cx: &mut Cx<'_>, packet: &Packet) -> bool {
        let bytes = packet.network();
        let Some((ip, _)) = Ipv4::parse(bytes) else { return false };
        let (header_length, length) = (ip.header_length(), ip.total_length().min(bytes.len()));
        let (Some(first_header), Some(payload)) =
            (bytes.get(..header_length), bytes.get(header_length..length))
        else {
            return false;
        };
        if header_length < MIN_HEADER_LENGTH || header_length + 8 > self.mtu {
            return false;
        }
        let (start, more_follow) = (ip.fragment.get() & OFFSET_MASK, ip.fragment.get() & MORE_FRAGMENTS != 0);
        let flags = ip.fragment.get() & !(OFFSET_MASK | MORE_FRAGMENTS | DONT_FRAGMENT);
        let later = later_header(first_header);
        let mut at = 0;
        while at < payload.len() {
            let header = if at == 0 { first_header } else { &later };
            let most = (self.mtu - header.len()) & !7;
            let piece = &payload[at..payload.len().min(at + most)];
            let is_last = at + piece.len() == payload.len();
            let mut fragment = Packet::stale(self.headroom, header.len() + piece.len());
            let (head, body) = fragment.data_mut().split_at_mut(header.len());
            head.copy_from_slice(header);
            body.copy_from_slice(piece);
            if let Some((ip, _)) = Ipv4::parse_mut(fragment.data_mut()) {
                let more = if is_last && !more_follow { 0 } else { MORE_FRAGMENTS };
                ip.length.set((header.len() + piece.len()) as u16);
                ip.fragment.set(flags | more | (start + (at / 8) as u16) & OFFSET_MASK);
            }
            set_checksum(fragment.data_mut());
            *fragment.anno_mut() = *packet.anno();
            fragment.set_network_header(0, header.len());
            self.fragments += 1;
            cx.emit(0, fragment);
            at += piece.len();
        }
        true
    }
}

impl Element for IpFragmenter {
    #[inline]
    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        if batch.iter().all(|packet| packet.network().len() <= self.mtu) {
            return;
        }
        for packet in batch.drain() {
            if packet.network().len() <= self.mtu {
                cx.emit(0, packet);
                continue;
            }
            let df =
                Ipv4::parse(packet.network()).is_some_and(|(ip, _)| ip.fragment.get() & DONT_FRAGMENT != 0);
            if df && self.honor_df {
                self.refused += 1;
                cx.emit_or_drop(1, TOO_BIG, packet);
            } else if !self.fragment(cx, &packet) {
                cx.drop(BAD_HEADER, packet);
            }
        }
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "drops" => Ok(self.refused.to_string()),
            "fragments" => Ok(self.fragments.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::Bench;
    use crate::wire::ipv4::Verify;

    fn packet(options: &[u8], payload: &[u8], flags: u16) -> Vec<u8> {
        let length = (20 + options.len() + payload.len()) as u16;
        let mut bytes = vec![0x45 + (options.len() / 4) as u8, 0];
        bytes.extend(length.to_be_bytes());
        bytes.extend([1, 2]);
        bytes.extend(flags.to_be_bytes());
        bytes.extend([64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        bytes.extend(options);
        bytes.extend(payload);
        set_checksum(&mut bytes);
        bytes
    }

    #[test]
    fn packets_that_fit_pass_and_those_with_df_leave_by_output_1() {
        let mut bench = Bench::new(
            "in :: TestIn -> MarkIPHeader -> f :: IPFragmenter(100) -> out :: TestOut; f[1] -> big :: TestOut;",
        );
        let (fits, big) = (packet(&[], &[1; 80], DONT_FRAGMENT), packet(&[], &[1; 81], DONT_FRAGMENT));
        bench.push("in", &fits);
        bench.push("in", &big);
        assert_eq!((bench.take("out"), bench.take("big")), (vec![fits], vec![big]));
        assert_eq!(bench.read("f", "drops"), "1");
    }

    #[test]
    fn only_options_with_the_copied_flag_are_in_later_fragments() {
        let mut bench = Bench::new("in :: TestIn -> MarkIPHeader -> IPFragmenter(64) -> out :: TestOut;");
        bench.push("in", &packet(&[7, 3, 4, 1, 0x83, 3, 4, 0], &[5; 100], 0));
        let out = bench.take("out");
        assert_eq!(out[0][0], 0x47);
        assert_eq!((out[1][0], &out[1][20..24]), (0x46, &[0x83, 3, 4, 0][..]));
    }

    proptest! {
        #[test]
        fn fragments_fit_and_make_up_the_packet(
            payload in prop::collection::vec(any::<u8>(), 0..3000), mtu in 28usize..1500, flags in prop::sample::select(vec![0u16, 0x2000, 0x2010]),
        ) {
            let mut bench = Bench::new(&format!("in :: TestIn -> MarkIPHeader -> IPFragmenter({mtu}) -> out :: TestOut;"));
            let whole = packet(&[], &payload, flags);
            bench.push("in", &whole);
            let mut rebuilt = Vec::new();
            for fragment in bench.take("out") {
                prop_assert!(fragment.len() <= mtu);
                let ip = Ipv4::check(&fragment, Verify::Checksum).unwrap();
                prop_assert_eq!(ip.total_length(), fragment.len());
                prop_assert_eq!(usize::from((ip.fragment.get() & OFFSET_MASK) - (flags & OFFSET_MASK)) * 8, rebuilt.len());
                let last = rebuilt.len() + fragment.len() - 20 == payload.len();
                prop_assert_eq!(ip.fragment.get() & MORE_FRAGMENTS != 0, !last || flags & MORE_FRAGMENTS != 0);
                rebuilt.extend_from_slice(&fragment[20..]);
            }
            prop_assert_eq!(rebuilt, payload);
        }
    }
}
