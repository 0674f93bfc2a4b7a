//! IPGWOptions: what a router does with the options of a packet (RFC 1812, 4.2.2.2 and 5.2.4): record route, timestamp.

use std::net::Ipv4Addr;

use crate::config::split_words;
use crate::element::{
    Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
    Time,
};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};
use crate::wire::Ipv4;
use crate::wire::ipv4::{MIN_HEADER_LENGTH, set_checksum};

const BAD_OPTION: &str = "bad IP option";
const RECORD_ROUTE: u8 = 7;
const TIMESTAMP: u8 = 68;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "IPGWOptions",
    summary: "processes router IP options",
    ports: "1/1-2",
    processing: "a/ah",
    args: &[
        Arg::required("MYADDR", "IP address", "own address, for record route"),
        Arg::optional("OTHERADDRS", "IP addresses", "", "further own addresses"),
    ],
    reads: Annotations(Annotations::NETWORK_HEADER.0 | Annotations::DST_IP.0),
    drops: &[BAD_OPTION],
    handlers: &[Handler::read("drops", "packets with bad options")],
    state: StateKind::Small,
    details: "Record Route gets MYADDR, Timestamp the milliseconds since midnight (UT), if there is room and they are meant \
              for this router. Packets with bad options leave by output 1, with the position of what is wrong in an \
              annotation that ICMPError(ADDR, parameterproblem) reads, or are dropped. Other options pass as they are.",
    example: r#"
        InfiniteSource(DATA \<48000020 00000000 4011 0000 0a000001 0a000002 070b0800 00000000 00000001>, LIMIT 2)
            -> SetIPChecksum
            -> MarkIPHeader
            -> g :: IPGWOptions(10.9.9.9)
            -> IPGWOptions(10.8.8.8)
            -> CheckIPHeader
            -> Print(MAXLENGTH 32)
            -> Discard;
        InfiniteSource(DATA \<48000020 00000000 4011 0000 0a000001 0a000002 440c0501 00000000 00000000>, LIMIT 1)
            -> MarkIPHeader -> g;
        InfiniteSource(DATA \<46000018 00000000 4011 0000 0a000001 0a000002 07400400>, LIMIT 1)
            -> MarkIPHeader -> g;
        g[1] -> ICMPError(10.9.9.9, parameterproblem, erroratptr) -> Print(error, 32) -> Discard;
        DriverManager(wait 1s, print $(g.drops));
    "#,
    build,
    ..Descriptor::BASE
};

struct IpGwOptions {
    own: u32,
    others: Vec<u32>,
    bad: u64,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let words = split_words(args.text("OTHERADDRS").unwrap_or(""));
    let others = words.iter().map(|word| args.parse::<Ipv4Addr>("OTHERADDRS", word).map(u32::from));
    Ok(Box::new(IpGwOptions {
        own: args.need::<Ipv4Addr>("MYADDR")?.into(),
        others: others.collect::<Result<_, _>>()?,
        bad: 0,
    }))
}

impl IpGwOptions {
    fn is_own(&self, address: u32) -> bool {
        address == self.own || self.others.contains(&address)
    }

    /// Obeys the options of a header; the error is the position of what is wrong. Returns whether something changed.
    fn obey(&self, header: &mut [u8], now: Time) -> Result<bool, u8> {
        let mut at = MIN_HEADER_LENGTH;
        let mut changed = false;
        while at < header.len() {
            match header[at] {
                0 => break,
                1 => {
                    at += 1;
                    continue;
                }
                _ => {}
            }
            let length = header.get(at + 1).map_or(0, |length| usize::from(*length));
            let option = header.get_mut(at..at + length).filter(|o| o.len() >= 2).ok_or(at as u8 + 1)?;
            let obeyed = match option[0] {
                RECORD_ROUTE => self.record_route(option),
                TIMESTAMP => self.record_time(option, now),
                _ => Ok(false),
            };
            changed |= obeyed.map_err(|offset| at as u8 + offset)?;
            at += length;
        }
        Ok(changed)
    }

    fn record_route(&self, option: &mut [u8]) -> Result<bool, u8> {
        let (length, pointer) = (option.len(), usize::from(*option.get(2).ok_or(1)?));
        if pointer == length + 1 {
            return Ok(false); // Full.
        }
        let room = pointer.checked_sub(1).filter(|at| *at >= 3).and_then(|at| option.get_mut(at..at + 4));
        room.ok_or(2)?.copy_from_slice(&self.own.to_be_bytes());
        option[2] += 4;
        Ok(true)
    }

    fn record_time(&self, option: &mut [u8], now: Time) -> Result<bool, u8> {
        let (length, pointer) = (option.len(), usize::from(*option.get(2).ok_or(1)?));
        let kind = *option.get(3).ok_or(1)? & 0xf;
        if pointer < 5 || !matches!(kind, 0 | 1 | 3) {
            return Err(if pointer < 5 { 2 } else { 3 });
        }
        let size = if kind == 0 { 4 } else { 8 };
        if pointer - 1 + size > length {
            // No room: count it, unless the counter is full (RFC 791, "overflow"). Of flag 3 it is an error, as in Click.
            if kind == 3 {
                return Err(3);
            }
            let overflow = option[3] >> 4;
            if overflow == 15 {
                return Err(3);
            }
            option[3] = option[3] & 0xf | (overflow + 1) << 4;
            return Ok(true);
        }
        let room = option.get_mut(pointer - 1..pointer - 1 + size).ok_or(2)?;
        let (address, time) = room.split_at_mut(size - 4);
        if let Ok(wanted) = <[u8; 4]>::try_from(&*address)
            && kind == 3
            && !self.is_own(u32::from_be_bytes(wanted))
        {
            return Ok(false); // Meant for another router.
        }
        if kind == 1 {
            address.copy_from_slice(&self.own.to_be_bytes());
        }
        let milliseconds = (now.seconds() % 86_400) * 1000 + u64::from(now.subsec_nanos() / 1_000_000);
        time.copy_from_slice(&(milliseconds as u32).to_be_bytes());
        option[2] += size as u8;
        Ok(true)
    }
}

impl Element for IpGwOptions {
    #[inline]
    fn action(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        let length = Ipv4::parse(packet.network()).map_or(0, |(ip, _)| ip.header_length());
        if length <= MIN_HEADER_LENGTH {
            return Some(packet);
        }
        let obeyed = match packet.network_mut().get_mut(..length) {
            Some(header) => self.obey(header, cx.now()),
            None => Err(0),
        };
        match obeyed {
            Ok(false) => {}
            Ok(true) => {
                set_checksum(packet.network_mut());
            }
            Err(position) => {
                self.bad += 1;
                packet.anno_mut().icmp_param_prob = position;
                cx.emit_or_drop(1, BAD_OPTION, packet);
                return None;
            }
        }
        Some(packet)
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "drops" => Ok(self.bad.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for IpGwOptions {
    fn schema(&self) -> Schema {
        Schema { name: "ip/gw-options", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.bad);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.bad = r.get_u64()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use crate::wire::checksum;
    use crate::wire::ipv4::set_checksum;

    const TEXT: &str = "in :: TestIn -> MarkIPHeader -> g :: IPGWOptions(1.2.3.4) -> out :: TestOut; g[1] -> bad :: TestOut;";

    fn packet(options: &[u8]) -> Vec<u8> {
        let length = (20 + options.len()) as u8;
        let mut bytes =
            vec![0x40 + length / 4, 0, 0, length, 0, 0, 0, 0, 9, 17, 0, 0, 10, 0, 1, 9, 10, 0, 2, 9];
        bytes.extend(options);
        set_checksum(&mut bytes);
        bytes
    }

    #[test]
    fn routes_and_times_are_recorded_where_there_is_room() {
        let mut bench = Bench::new(TEXT);
        bench.push("in", &packet(&[7, 11, 8, 9, 9, 9, 9, 0, 0, 0, 0, 0]));
        bench.push("in", &packet(&[7, 7, 8, 9, 9, 9, 9, 0]));
        bench.push("in", &packet(&[68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0]));
        bench.push("in", &packet(&[68, 8, 9, 0, 0, 0, 0, 0]));
        let out = bench.take("out");
        assert_eq!(out[0][20..], [7, 11, 12, 9, 9, 9, 9, 1, 2, 3, 4, 0]);
        assert_eq!(out[1][20..], [7, 7, 8, 9, 9, 9, 9, 0]);
        assert_eq!(out[2][20..], [68, 12, 13, 1, 1, 2, 3, 4, 0, 0, 3, 0xe8]);
        assert_eq!(out[3][20..24], [68, 8, 9, 0x10]);
        assert!(out.iter().all(|packet| checksum::of(packet) == 0));
    }

    #[test]
    fn bad_options_leave_by_output_1_with_their_position() {
        let mut bench = Bench::new(TEXT);
        for (options, position) in [
            (&[7, 50, 4, 0][..], 21),
            (&[7, 3, 1, 0], 22),
            (&[7, 7, 5, 0, 0, 0, 0, 0], 22),
            (&[7, 7, 9, 0, 0, 0, 0, 0], 22),
            (&[68, 4, 5, 0xf0], 23),
            (&[68, 4, 5, 0x03], 23),
            (&[68, 4, 4, 0], 22),
            (&[1, 1, 7, 1], 23),
            (&[7, 2, 1, 1], 21),
        ] {
            bench.push("in", &packet(options));
            assert_eq!(bench.take_packets("bad")[0].anno().icmp_param_prob, position, "{options:?}");
        }
        assert_eq!(bench.read("g", "drops"), "9");
    }

    #[test]
    fn times_that_are_asked_of_certain_routers_are_given_by_those() {
        let text = TEXT.replace("1.2.3.4", "1.2.3.4, 5.6.7.8 9.9.9.9");
        let mut bench = Bench::new(&text);
        for (last, written) in [(8, true), (7, false)] {
            bench.push("in", &packet(&[68, 12, 5, 3, 5, 6, 7, last, 0, 0, 0, 0]));
            assert_eq!(bench.take("out")[0][22], if written { 13 } else { 5 });
        }
        let error = Bench::error("Idle -> IPGWOptions(1.2.3.4, x) -> Discard;");
        assert!(error.contains("OTHERADDRS: expected IP address, got 'x'"), "{error}");
    }
}
