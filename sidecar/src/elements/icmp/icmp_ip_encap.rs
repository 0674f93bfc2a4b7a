//! ICMPIPEncap: puts packets into ICMP messages. `Encap` is what ICMPPingEncap shares with it.

use std::net::Ipv4Addr;

use crate::element::{
    Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
};
use crate::elements::classify::ip_names;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};
use crate::wire::ipv4::{MIN_HEADER_LENGTH, set_checksum};
use crate::wire::{Icmp, Ipv4, checksum, icmp, ipv4};

pub(super) const TOO_LONG: &str = "too long for an IP packet";
pub(super) const WRITES: Annotations =
    Annotations(Annotations::NETWORK_HEADER.0 | Annotations::TRANSPORT_HEADER.0 | Annotations::DST_IP.0);
pub(super) const HANDLERS: &[Handler] =
    &[Handler::both("src", "source of the messages"), Handler::both("dst", "destination of the messages")];
/// Length of the header of timestamp messages, which has three times.
const TIMESTAMP_LENGTH: usize = 20;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "ICMPIPEncap",
    summary: "encapsulates packets in ICMP/IP headers",
    args: &[
        Arg::required("SRC", "IP address", "source of the messages"),
        Arg::required("DST", "IP address", "destination of the messages"),
        Arg::required("TYPE", "ICMP type", "number or name"),
        Arg::optional("CODE", "ICMP code", "0", "number or name"),
        Arg::keyword("IDENTIFIER", "0-65535", "0", "identifier of queries"),
    ],
    writes: WRITES,
    drops: &[TOO_LONG],
    handlers: HANDLERS,
    state: StateKind::Small,
    details: "Messages are numbered from 1: the number is the IP identification, and the sequence number of queries (echo, \
              timestamp and information, and their answers). The header of timestamps has three more words, all 0.",
    example: r#"
        RatedSource(DATA hello, RATE 10, LIMIT 2)
            -> e :: ICMPIPEncap(10.0.0.1, 10.0.0.2, echo-reply, IDENTIFIER 7)
            -> CheckIPHeader -> CheckICMPHeader
            -> IPPrint(ID true, TIMESTAMP false)
            -> Discard;
        InfiniteSource(LIMIT 1) -> ICMPIPEncap(10.0.0.1, 10.0.0.2, timeexceeded, reassembly)
            -> IPPrint(TIMESTAMP false)
            -> Discard;
        DriverManager(wait 0.05s, write e.dst 10.0.0.9, wait 1s, print "$(e.src) to $(e.dst)");
    "#,
    build,
    ..Descriptor::BASE
};

/// An element that puts packets into numbered ICMP messages.
pub(super) struct Encap {
    source: u32,
    destination: u32,
    kind: u8,
    code: u8,
    identifier: u16,
    /// Number of the next message: its IP identification, and its sequence number if it is a query.
    next: u16,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let name: String = args.need("TYPE")?;
    let kind = match ip_names::icmp_type(&name) {
        Some(kind) => kind,
        None => args.need("TYPE").map_err(|_| "invalid TYPE")?,
    };
    let code = match args.text("CODE").map(|name| (name, ip_names::icmp_code(kind, name))) {
        None => 0,
        Some((_, Some(code))) => code,
        Some(_) => args.need("CODE").map_err(|_| "invalid CODE")?,
    };
    Ok(Box::new(Encap::new(args, kind, code)?))
}

impl Encap {
    /// The element for messages of this kind, between SRC and DST.
    pub(super) fn new(args: &Args<'_>, kind: u8, code: u8) -> Result<Self, ConfigError> {
        Ok(Self {
            source: args.need::<Ipv4Addr>("SRC")?.into(),
            destination: args.need::<Ipv4Addr>("DST")?.into(),
            kind,
            code,
            identifier: args.or("IDENTIFIER", 0)?,
            next: 1,
        })
    }

    fn is_numbered(&self) -> bool {
        use icmp::{ECHO, ECHO_REPLY, INFO_REPLY, INFO_REQUEST, TIMESTAMP, TIMESTAMP_REPLY};
        matches!(self.kind, ECHO | ECHO_REPLY | TIMESTAMP | TIMESTAMP_REPLY | INFO_REQUEST | INFO_REPLY)
    }

    fn header_length(&self) -> usize {
        match self.kind {
            icmp::TIMESTAMP | icmp::TIMESTAMP_REPLY => TIMESTAMP_LENGTH,
            _ => icmp::HEADER_LENGTH,
        }
    }

    fn encapsulate(&mut self, packet: &mut Packet) -> Option<()> {
        let header = MIN_HEADER_LENGTH + self.header_length();
        let length = u16::try_from(packet.len() + header).ok()?;
        packet.grow_front(header);
        let bytes = packet.data_mut();
        bytes.get_mut(..header)?.fill(0);
        let (ip, message) = Ipv4::parse_mut(bytes)?;
        *ip = Ipv4::new(ipv4::ICMP, self.source, self.destination, length);
        ip.id.set(self.next);
        let (fields, _) = Icmp::parse_mut(message)?;
        fields.kind = self.kind;
        fields.code = self.code;
        if self.is_numbered() {
            fields.identifier.set(self.identifier);
            fields.sequence.set(self.next);
        }
        let sum = checksum::of(message);
        Icmp::parse_mut(message)?.0.checksum.set(sum);
        set_checksum(bytes);
        packet.set_network_header(0, MIN_HEADER_LENGTH);
        packet.anno_mut().dst_ip = self.destination.into();
        // No message has number 0.
        self.next = self.next.checked_add(1).unwrap_or(1);
        Some(())
    }
}

fn address(value: &str) -> Result<u32, HandlerError> {
    let address = value.trim().parse::<Ipv4Addr>();
    address.map(u32::from).map_err(|_| HandlerError::Refused("syntax error".to_owned()))
}

impl Element for Encap {
    fn action(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        if self.encapsulate(&mut packet).is_some() {
            return Some(packet);
        }
        cx.drop(TOO_LONG, packet);
        None
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "src" => Ok(Ipv4Addr::from(self.source).to_string()),
            "dst" => Ok(Ipv4Addr::from(self.destination).to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "src" => self.source = address(value)?,
            "dst" => self.destination = address(value)?,
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for Encap {
    fn schema(&self) -> Schema {
        Schema { name: "icmp/encap", version: 2 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u16(self.next);
        w.put_u32(self.source);
        w.put_u32(self.destination);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.next = r.get_u16()?;
        self.source = r.get_u32()?;
        self.destination = r.get_u32()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    fn encap(config: &str) -> Bench {
        Bench::new(&format!(
            "in :: TestIn -> e :: ICMPIPEncap(10.0.0.1, 10.0.0.2, {config}) -> out :: TestOut;"
        ))
    }

    #[test]
    fn packets_become_messages_with_right_checksums() {
        let mut bench = encap("unreachable, port");
        bench.push("in", b"odd");
        let out = bench.take_packets("out");
        let bytes = out[0].data();
        assert_eq!((&bytes[12..20], bytes[9]), (&[10, 0, 0, 1, 10, 0, 0, 2][..], 1));
        assert_eq!((checksum::of(&bytes[..20]), checksum::of(&bytes[20..])), (0, 0));
        assert_eq!((&bytes[20..22], &bytes[24..]), (&[3, 3][..], &b"\0\0\0\0odd"[..]));
        assert_eq!((out[0].anno().dst_ip.octets(), out[0].transport_offset()), ([10, 0, 0, 2], Some(20)));
    }

    #[test]
    fn queries_are_numbered_and_timestamps_have_a_longer_header() {
        let mut bench = encap("13, IDENTIFIER 258");
        bench.router.write_handler("e", "dst", "10.0.0.9").unwrap();
        for _ in 0..2 {
            bench.push("in", b"x");
        }
        let out = bench.take("out");
        assert_eq!((out[1].len(), &out[1][24..28], out[1][5], out[1][19]), (41, &[1, 2, 0, 2][..], 2, 9));
        assert_eq!((bench.read("e", "src"), bench.read("e", "dst")), ("10.0.0.1".into(), "10.0.0.9".into()));
        bench.push("in", &[0; 65_500]);
        assert_eq!(bench.drops("e", TOO_LONG), 1);
    }

    #[test]
    fn unknown_types_and_codes_are_refused() {
        let error = |config: &str| {
            Bench::error(&format!("Idle -> ICMPIPEncap(1.1.1.1, 1.1.1.2, {config}) -> Discard;"))
        };
        assert!(error("nothing").contains("invalid TYPE"));
        assert!(error("echo, port").contains("invalid CODE"));
    }

    #[test]
    fn numbering_goes_on_after_a_move_and_skips_zero() {
        let encap =
            |next| Encap { source: 0, destination: 0, kind: icmp::ECHO, code: 0, identifier: 0, next };
        let (mut from, mut to) = (encap(0xffff), encap(1));
        from.encapsulate(&mut Packet::from_slice(b"")).unwrap();
        assert_eq!(from.next, 1);
        (from.next, from.source, from.destination) = (77, 5, 6);
        let mut w = Writer::new();
        from.save(&mut w);
        to.restore(&mut Reader::new(w.as_bytes())).unwrap();
        assert_eq!((to.next, to.source, to.destination), (77, 5, 6));
    }
}
