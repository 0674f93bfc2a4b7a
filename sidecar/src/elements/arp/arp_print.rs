//! ARPPrint: describes ARP packets in words, as tcpdump does.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use zerocopy::FromBytes;

use crate::element::{
    Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
};
use crate::elements::basic::{Outfile, heading, parse_handler};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};
use crate::wire::arp::LENGTH;
use crate::wire::ethernet::{HEADER_LENGTH, TYPE_IPV4};
use crate::wire::{Ethernet, MacAddress};

/// Protocol type of trailer encapsulation (RFC 893).
const TYPE_TRAILER: u16 = 0x1000;
const HARDWARE_ETHERNET: u16 = 1;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "ARPPrint",
    summary: "pretty-prints ARP packets",
    args: &[
        Arg::optional("LABEL", "string", "", "printed first"),
        Arg::keyword("TIMESTAMP", "bool", "true", "print the time"),
        Arg::keyword("ETHER", "bool", "false", "print the Ethernet addresses"),
        Arg::keyword("ACTIVE", "bool", "true", "whether packets are printed"),
        Outfile::ARG,
    ],
    reads: Annotations(Annotations::NETWORK_HEADER.0 | Annotations::MAC_HEADER.0 | Annotations::TIMESTAMP.0),
    handlers: &[Handler::both("active", "whether packets are printed")],
    state: StateKind::Small,
    details: "The ARP packet is where the network header annotation says, such as MarkIPHeader(14) sets it, and as it is in \
              the frames of ARPQuerier and ARPResponder. Packets that are not of IP pass without a word.",
    example: r#"
        RatedSource(DATA \<ffffffffffff 020000000009 0806 0001 0800 06 04 0001
            020000000009 0a000009 000000000000 0a000001>, RATE 1, LIMIT 3)
            -> MarkIPHeader(14)
            -> p :: ARPPrint(question, TIMESTAMP false, ETHER true)
            -> ARPResponder(10.0.0.1 2:0:0:0:0:1)
            -> ARPPrint(answer, TIMESTAMP false)
            -> Truncate(30)
            -> ARPPrint(short, TIMESTAMP false)
            -> Discard;
        DriverManager(wait 0.5s, write p.active false, wait 1s, write p.active true, wait 1s);
    "#,
    build,
    ..Descriptor::BASE
};

struct ArpPrint {
    label: String,
    timestamp: bool,
    ether: bool,
    active: bool,
    outfile: Outfile,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(ArpPrint {
        label: args.or("LABEL", String::new())?,
        timestamp: args.or("TIMESTAMP", true)?,
        ether: args.or("ETHER", false)?,
        active: args.or("ACTIVE", true)?,
        outfile: Outfile::new(args)?,
    }))
}

/// The fields of an ARP packet that has all 28 bytes, whatever protocols it claims to be of.
struct Fields {
    hardware: u16,
    protocol: u16,
    hardware_length: u8,
    protocol_length: u8,
    operation: u16,
    sender: (MacAddress, Ipv4Addr),
    target: (MacAddress, Ipv4Addr),
}

fn fields(bytes: &[u8]) -> Option<Fields> {
    let bytes = bytes.first_chunk::<LENGTH>()?;
    let word = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let mac = |at: usize| MacAddress::read_from_bytes(&bytes[at..at + 6]).unwrap_or_default();
    let ip = |at: usize| Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]);
    Some(Fields {
        hardware: word(0),
        protocol: word(2),
        hardware_length: bytes[4],
        protocol_length: bytes[5],
        operation: word(6),
        sender: (mac(8), ip(14)),
        target: (mac(18), ip(24)),
    })
}

fn describe(line: &mut String, arp: &Fields) {
    let ((sender_mac, sender_ip), (target_mac, target_ip)) = (arp.sender, arp.target);
    if arp.protocol == TYPE_TRAILER {
        line.push_str("trailer-");
    }
    let _ = match arp.operation {
        1 if target_mac == MacAddress::default() => write!(line, "arp who-has {target_ip} tell {sender_ip}"),
        1 => write!(line, "arp who-has {target_ip} ({target_mac}) tell {sender_ip}"),
        2 => write!(line, "arp reply {sender_ip} is-at {sender_mac}"),
        3 => write!(line, "rarp who-is {target_mac} tell {sender_mac}"),
        4 => write!(line, "rarp reply {target_mac} at {target_ip}"),
        8 => write!(line, "invarp who-is {target_mac} tell {sender_mac}"),
        9 => write!(line, "invarp reply {target_mac} at {target_ip}"),
        other => write!(line, "arp-#{other}"),
    };
    if arp.hardware != HARDWARE_ETHERNET {
        let _ = write!(line, "hardware #{}", arp.hardware);
    }
}

impl ArpPrint {
    /// What is printed of a packet; nothing of those without a network header or of another protocol, as in Click.
    fn line(&self, packet: &Packet) -> Option<String> {
        packet.network_offset()?;
        let mut line = heading(&self.label, self.timestamp, packet);
        if self.ether {
            self.add_ethernet(&mut line, packet);
        }
        match fields(packet.network()) {
            None => {
                let _ = write!(line, "truncated-arp ({})", packet.network().len());
            }
            Some(arp) => {
                let of_ip = matches!(arp.protocol, TYPE_IPV4 | TYPE_TRAILER);
                if !of_ip || arp.protocol_length != 4 || arp.hardware_length == 0 {
                    return None;
                }
                describe(&mut line, &arp);
            }
        }
        Some(line)
    }

    fn add_ethernet(&self, line: &mut String, packet: &Packet) {
        let (mac, network) = (packet.mac_offset().unwrap_or(0), packet.network_offset().unwrap_or(0));
        let bytes = if packet.mac_offset().is_some() { packet.mac() } else { packet.data() };
        if mac + HEADER_LENGTH as isize <= network
            && let Some((header, _)) = Ethernet::parse(bytes)
        {
            let _ = write!(line, "{} > {}: ", header.source, header.destination);
        }
    }
}

impl Element for ArpPrint {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        self.outfile.open(cx)
    }

    fn action(&mut self, cx: &mut Cx<'_>, packet: Packet) -> Option<Packet> {
        if self.active
            && let Some(line) = self.line(&packet)
        {
            self.outfile.print(cx, &line);
        }
        Some(packet)
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "active" => Ok(self.active.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "active" => self.active = parse_handler(value)?,
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for ArpPrint {
    fn schema(&self) -> Schema {
        Schema { name: "arp/print", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_bool(self.active);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.active = r.get_bool()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::Bench;

    fn printer(ether: bool) -> ArpPrint {
        ArpPrint { label: "x".into(), timestamp: false, ether, active: true, outfile: Outfile::default() }
    }

    fn frame(operation: u8, target: u8) -> Vec<u8> {
        let mut bytes = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\x06\0\x01\x08\0\x06\x04\0".to_vec();
        bytes.push(operation);
        bytes.extend([2, 0, 0, 0, 0, 2, 10, 0, 0, 2, target, 0, 0, 0, 0, target, 10, 0, 0, 1]);
        bytes
    }

    fn line(bytes: &[u8]) -> Option<String> {
        let mut packet = Packet::from_slice(bytes);
        packet.set_network_offset(Some(14));
        printer(false).line(&packet)
    }

    #[test]
    fn packets_are_described_as_tcpdump_does() {
        assert_eq!(line(&frame(1, 0)).unwrap(), "x: arp who-has 10.0.0.1 tell 10.0.0.2");
        assert_eq!(line(&frame(1, 3)).unwrap(), "x: arp who-has 10.0.0.1 (03-00-00-00-00-03) tell 10.0.0.2");
        assert_eq!(line(&frame(2, 3)).unwrap(), "x: arp reply 10.0.0.2 is-at 02-00-00-00-00-02");
        assert_eq!(line(&frame(4, 3)).unwrap(), "x: rarp reply 03-00-00-00-00-03 at 10.0.0.1");
        assert_eq!(line(&frame(77, 3)).unwrap(), "x: arp-#77");
        assert_eq!(line(&frame(1, 0)[..20]).unwrap(), "x: truncated-arp (6)");
    }

    #[test]
    fn ethernet_addresses_are_printed_on_demand() {
        let mut packet = Packet::from_slice(&frame(1, 0));
        packet.set_network_offset(Some(14));
        let text = printer(true).line(&packet).unwrap();
        assert!(text.starts_with("x: 02-00-00-00-00-02 > 02-00-00-00-00-01: arp who-has"), "{text}");
    }

    #[test]
    fn lines_go_into_a_file_while_the_element_is_active() {
        let path = std::env::temp_dir().join(format!("arp-print-{}", std::process::id()));
        let text = format!(
            "in :: TestIn -> MarkIPHeader(14) -> p :: ARPPrint(hello, TIMESTAMP false, OUTFILE \"{}\") -> out :: TestOut;",
            path.display()
        );
        let mut bench = Bench::new(&text);
        bench.push("in", &frame(1, 0));
        bench.router.write_handler("p", "active", "false").unwrap();
        bench.push("in", &frame(1, 0));
        assert_eq!((bench.take("out").len(), bench.read("p", "active").as_str()), (2, "false"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "hello: arp who-has 10.0.0.1 tell 10.0.0.2\n");
        std::fs::remove_file(&path).unwrap();
        let error = Bench::error("Idle -> ARPPrint(ETHER x) -> Discard;");
        assert!(error.contains("ETHER: expected boolean, got 'x'"), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_printed(bytes in prop::collection::vec(any::<u8>(), 0..60), at in -20isize..60) {
            let mut packet = Packet::from_slice(&bytes);
            packet.set_network_offset(Some(at));
            packet.set_mac_offset(Some(at - 14));
            printer(true).line(&packet);
        }
    }
}
