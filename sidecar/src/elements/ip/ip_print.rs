//! IPPrint: describes IP packets in words, as tcpdump does.

use std::fmt::Write;

use crate::element::{
    Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet,
};
use crate::elements::basic::{heading, parse_handler};
use crate::wire::{Icmp, Ipv4, Tcp, Udp, ipv4, tcp};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "IPPrint",
    summary: "pretty-prints IP packets",
    args: &[
        Arg::optional("LABEL", "string", "", "printed first"),
        Arg::keyword("CONTENTS", "none, hex or ascii", "none", "whether the bytes are printed"),
        Arg::keyword("LENGTH", "unsigned", "1500", "most bytes printed"),
        Arg::keyword("ID", "bool", "false", "print the identification"),
        Arg::keyword("TTL", "bool", "false", "print the time to live"),
        Arg::keyword("TOS", "bool", "false", "print the type of service"),
        Arg::keyword("LENGTH_FIELD", "bool", "false", "print the length of the packet"),
        Arg::keyword("TIMESTAMP", "bool", "true", "print the time"),
        Arg::keyword("PAINT", "bool", "false", "print the paint annotation"),
        Arg::keyword("AGGREGATE", "bool", "false", "print the aggregate annotation"),
        Arg::keyword("ACTIVE", "bool", "true", "whether packets are printed"),
    ],
    reads: Annotations(Annotations::NETWORK_HEADER.0 | Annotations::TIMESTAMP.0),
    handlers: &[Handler::both("active", "whether packets are printed")],
    build,
    ..Descriptor::BASE
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contents {
    None,
    Hex,
    Ascii,
}

struct IpPrint {
    label: String,
    contents: Contents,
    bytes: usize,
    id: bool,
    ttl: bool,
    tos: bool,
    length: bool,
    timestamp: bool,
    paint: bool,
    aggregate: bool,
    active: bool,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let contents = match args.text("CONTENTS").map(str::to_ascii_lowercase).as_deref() {
        None | Some("none" | "false" | "no") => Contents::None,
        Some("hex" | "true" | "yes") => Contents::Hex,
        Some("ascii") => Contents::Ascii,
        Some(other) => return Err(format!("CONTENTS: bad value '{other}', use none, hex or ascii").into()),
    };
    Ok(Box::new(IpPrint {
        label: args.or("LABEL", String::new())?,
        contents,
        bytes: args.or("LENGTH", 1500)?,
        id: args.or("ID", false)?,
        ttl: args.or("TTL", false)?,
        tos: args.or("TOS", false)?,
        length: args.or("LENGTH_FIELD", false)?,
        timestamp: args.or("TIMESTAMP", true)?,
        paint: args.or("PAINT", false)?,
        aggregate: args.or("AGGREGATE", false)?,
        active: args.or("ACTIVE", true)?,
    }))
}

fn tcp_line(line: &mut String, segment: &[u8]) {
    let Some((header, _)) = Tcp::parse(segment) else {
        line.push_str(": truncated-tcp");
        return;
    };
    line.push(' ');
    let names = [(tcp::FIN, 'F'), (tcp::SYN, 'S'), (tcp::RST, 'R'), (tcp::PSH, 'P')];
    let before = line.len();
    line.extend(names.iter().filter(|(flag, _)| header.flags & flag != 0).map(|(_, name)| *name));
    if line.len() == before {
        line.push('.');
    }
    let start = header.sequence.get();
    let length = segment.len().saturating_sub(header.header_length()) as u32;
    let ends = header.flags & (tcp::SYN | tcp::FIN) != 0;
    let _ = write!(line, " {start}:{}({length})", start.wrapping_add(length + u32::from(ends)));
    if header.flags & tcp::ACK != 0 {
        let _ = write!(line, " ack {}", header.acknowledgement.get());
    }
    let _ = write!(line, " win {}", header.window.get());
}

fn icmp_line(line: &mut String, message: &[u8]) {
    let Some((header, _)) = Icmp::parse(message) else {
        line.push_str(": truncated-icmp");
        return;
    };
    let (id, sequence) = (header.identifier.get(), header.sequence.get());
    let _ = match header.kind {
        crate::wire::icmp::ECHO => write!(line, ": icmp echo {id} {sequence}"),
        crate::wire::icmp::ECHO_REPLY => write!(line, ": icmp echo-reply {id} {sequence}"),
        crate::wire::icmp::UNREACHABLE => write!(line, ": icmp unreachable code {}", header.code),
        crate::wire::icmp::TIME_EXCEEDED => write!(line, ": icmp time exceeded code {}", header.code),
        crate::wire::icmp::REDIRECT => write!(line, ": icmp redirect code {}", header.code),
        kind => write!(line, ": icmp type {kind} code {}", header.code),
    };
}

impl IpPrint {
    fn line(&self, packet: &Packet) -> String {
        let mut line = heading(&self.label, self.timestamp, packet);
        let anno = packet.anno();
        if self.aggregate {
            let _ = write!(line, "#{} ", anno.aggregate);
        }
        if self.paint {
            let _ = write!(line, "paint {} ", anno.paint);
        }
        let bytes = packet.network();
        match Ipv4::parse(bytes) {
            Some((ip, _)) => self.describe(&mut line, ip, bytes),
            None => line.push_str("(no IP header)"),
        }
        self.append_contents(&mut line, bytes);
        line
    }

    fn describe(&self, line: &mut String, ip: &Ipv4, bytes: &[u8]) {
        if self.id {
            let _ = write!(line, "id {} ", ip.id.get());
        }
        if self.ttl {
            let _ = write!(line, "ttl {} ", ip.ttl);
        }
        if self.tos {
            let _ = write!(line, "tos {} ", ip.tos);
        }
        if self.length {
            let _ = write!(line, "length {} ", ip.total_length());
        }
        let (source, destination) = (ip.source_address(), ip.destination_address());
        let transport = ipv4::payload(bytes).unwrap_or(&[]);
        let with_ports = matches!(ip.protocol, ipv4::TCP | ipv4::UDP) && ip.is_first_fragment();
        match Udp::parse(transport).filter(|_| with_ports) {
            Some((ports, _)) => {
                let (from, to) = (ports.source_port.get(), ports.destination_port.get());
                let _ = write!(line, "{source}.{from} > {destination}.{to}:");
            }
            None => {
                let _ = write!(line, "{source} > {destination}");
            }
        }
        match ip.protocol {
            _ if !ip.is_first_fragment() => line.push_str(": later fragment"),
            ipv4::TCP => tcp_line(line, transport),
            ipv4::UDP => {
                let length = Udp::parse(transport).map(|(udp, _)| usize::from(udp.length.get()));
                match length {
                    Some(length) => {
                        let _ = write!(line, " udp {length}");
                    }
                    None => line.push_str(": truncated-udp"),
                }
            }
            ipv4::ICMP => icmp_line(line, transport),
            protocol => {
                let _ = write!(line, ": protocol {protocol}");
            }
        }
        if ip.is_fragment() {
            let fragment = ip.fragment.get();
            let more = if fragment & ipv4::MORE_FRAGMENTS != 0 { "+" } else { "" };
            let offset = (fragment & ipv4::OFFSET_MASK) << 3;
            let _ = write!(line, " (frag {}:{}@{offset}{more})", ip.id.get(), transport.len());
        }
    }

    fn append_contents(&self, line: &mut String, bytes: &[u8]) {
        let shown = &bytes[..bytes.len().min(self.bytes)];
        for (row, chunk) in shown.chunks(16).enumerate() {
            match self.contents {
                Contents::None => return,
                Contents::Hex => {
                    let _ = write!(line, "\n  {:4}: ", row * 16);
                    for (at, byte) in chunk.iter().enumerate() {
                        let gap = if at % 4 == 0 { " " } else { "" };
                        let _ = write!(line, "{gap}{byte:02x}");
                    }
                }
                Contents::Ascii => {
                    let text = chunk
                        .iter()
                        .map(|b| if b.is_ascii_graphic() || *b == b' ' { char::from(*b) } else { '.' });
                    let _ = write!(line, "\n  {:4}:  {}", row * 16, text.collect::<String>());
                }
            }
        }
    }
}

impl Element for IpPrint {
    fn action(&mut self, cx: &mut Cx<'_>, packet: Packet) -> Option<Packet> {
        if self.active {
            cx.message(self.line(&packet));
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
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    use super::*;

    fn printer(contents: Contents) -> IpPrint {
        IpPrint {
            label: "x".to_owned(),
            contents,
            bytes: 1500,
            id: true,
            ttl: true,
            tos: true,
            length: true,
            timestamp: false,
            paint: false,
            aggregate: false,
            active: true,
        }
    }

    fn line(bytes: &[u8]) -> String {
        let mut packet = Packet::from_slice(bytes);
        packet.set_network_offset(Some(0));
        printer(Contents::None).line(&packet)
    }

    #[test]
    fn packets_are_described_as_tcpdump_does() {
        let ip = || PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
        let mut bytes = Vec::new();
        ip().tcp(5, 80, 100, 200).syn().write(&mut bytes, b"").unwrap();
        assert_eq!(
            line(&bytes),
            "x: id 0 ttl 64 tos 0 length 40 10.0.0.1.5 > 10.0.0.2.80: S 100:101(0) win 200"
        );
        bytes.clear();
        ip().udp(5, 53).write(&mut bytes, b"abc").unwrap();
        assert_eq!(line(&bytes), "x: id 0 ttl 64 tos 0 length 31 10.0.0.1.5 > 10.0.0.2.53: udp 11");
        bytes.clear();
        ip().icmpv4_echo_request(7, 8).write(&mut bytes, b"").unwrap();
        assert_eq!(line(&bytes), "x: id 0 ttl 64 tos 0 length 28 10.0.0.1 > 10.0.0.2: icmp echo 7 8");
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_printed(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut packet = Packet::from_slice(&bytes);
            packet.set_network_offset(Some(0));
            for contents in [Contents::None, Contents::Hex, Contents::Ascii] {
                printer(contents).line(&packet);
            }
        }
    }
}
