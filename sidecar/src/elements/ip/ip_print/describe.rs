//! What IPPrint says of transport headers and of bytes.

use std::fmt::Write as _;

use super::Contents;
use crate::elements::classify::ip_names;
use crate::wire::tcp::{ACK, FIN, PSH, RST, SYN};
use crate::wire::{Ipv4, icmp};

/// Fields of a header that may end early.
#[derive(Clone, Copy)]
struct Early<'a>(&'a [u8]);

impl Early<'_> {
    fn byte(self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    fn word(self, at: usize) -> Option<u16> {
        let bytes = self.0.get(at..)?.first_chunk()?;
        Some(u16::from_be_bytes(*bytes))
    }

    fn double(self, at: usize) -> Option<u32> {
        let bytes = self.0.get(at..)?.first_chunk()?;
        Some(u32::from_be_bytes(*bytes))
    }
}

pub(super) fn addresses(line: &mut String, ip: &Ipv4) {
    let _ = write!(line, "{} > {}", ip.source_address(), ip.destination_address());
}

/// Writes addresses and ports, and returns the transport header, if ports are there; else says why not.
fn ports<'a>(line: &mut String, ip: &Ipv4, transport: &'a [u8], name: &str) -> Option<Early<'a>> {
    let header = Early(transport);
    match header.word(0).zip(header.word(2)).filter(|_| ip.is_first_fragment()) {
        Some((from, to)) => {
            let (source, destination) = (ip.source_address(), ip.destination_address());
            let _ = write!(line, "{source}.{from} > {destination}.{to}: ");
            Some(header)
        }
        None => {
            addresses(line, ip);
            let truncated = if ip.is_first_fragment() { "truncated-" } else { "" };
            let _ = write!(line, ": {truncated}{name}");
            None
        }
    }
}

/// `length` is that of the packet.
pub(super) fn tcp(line: &mut String, ip: &Ipv4, transport: &[u8], length: usize) {
    if let Some(header) = ports(line, ip, transport, "tcp")
        && tcp_fields(line, ip, header, length).is_none()
    {
        line.push_str("truncated-tcp");
    }
}

/// `None` where the header ends.
fn tcp_fields(line: &mut String, ip: &Ipv4, header: Early<'_>, length: usize) -> Option<()> {
    let (offset, flags) = (header.byte(12)?, header.byte(13)?);
    let names = [(SYN, 'S'), (FIN, 'F'), (RST, 'R'), (PSH, 'P')];
    line.extend(names.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, name)| *name));
    if flags & (SYN | FIN | RST | PSH) == 0 {
        line.push('.');
    }
    let (ip_length, headers) = (ip.total_length(), ip.header_length() + usize::from(offset >> 4) * 4);
    let ends = [SYN, FIN].iter().filter(|flag| flags & **flag != 0).count();
    let bytes = ip_length as i32 - headers as i32 + ends as i32;
    let (first, acknowledged) = (header.double(4)?, header.double(8)?);
    let last = first.wrapping_add_signed(bytes);
    let _ = write!(line, " {first}:{last}({bytes},{length},{ip_length})");
    if flags & ACK != 0 {
        let _ = write!(line, " ack {acknowledged}");
    }
    let _ = write!(line, " win {}", header.word(14)?);
    Some(())
}

pub(super) fn udp(line: &mut String, ip: &Ipv4, transport: &[u8]) {
    let Some(header) = ports(line, ip, transport, "udp") else { return };
    match header.word(4).filter(|_| transport.len() >= 8) {
        Some(length) => _ = write!(line, "udp {length}"),
        None => line.push_str("truncated-udp"),
    }
}

/// `swap`: numbers of pings are in network order.
pub(super) fn icmp(line: &mut String, ip: &Ipv4, transport: &[u8], swap: bool) {
    addresses(line, ip);
    if !ip.is_first_fragment() {
        line.push_str(": icmp");
        return;
    }
    line.push_str(": ");
    if icmp_fields(line, Early(transport), swap).is_none() {
        line.push_str("truncated-icmp");
    }
}

/// `None` where the message ends.
fn icmp_fields(line: &mut String, message: Early<'_>, swap: bool) -> Option<()> {
    let (kind, code) = (message.byte(0)?, message.byte(1)?);
    match kind {
        icmp::ECHO | icmp::ECHO_REPLY => {
            line.push_str(if kind == icmp::ECHO { "icmp echo " } else { "icmp echo-reply " });
            let numbers = [message.word(4)?, message.word(6)?];
            let [identifier, sequence] = if swap { numbers } else { numbers.map(u16::swap_bytes) };
            let _ = write!(line, "({identifier}, {sequence})");
        }
        icmp::UNREACHABLE => unreachable(line, message, code)?,
        _ => {
            match ip_names::of_icmp_type(kind) {
                Some(name) => _ = write!(line, "icmp {name}"),
                None => _ = write!(line, "icmp type {kind}"),
            }
            match ip_names::of_icmp_code(kind, code) {
                Some(name) => _ = write!(line, " {name}"),
                None if code != 0 => _ = write!(line, " code {code}"),
                None => {}
            }
        }
    }
    Some(())
}

fn unreachable(line: &mut String, message: Early<'_>, code: u8) -> Option<()> {
    let name = ip_names::of_icmp_code(icmp::UNREACHABLE, code);
    let name = name.map_or_else(|| format!("code {code}"), str::to_owned);
    let quoted = message.0.get(icmp::HEADER_LENGTH..).unwrap_or(&[]);
    let Some((about, _)) = Ipv4::parse(quoted) else {
        let _ = write!(line, "icmp unreachable {name} ");
        return None;
    };
    let _ = write!(line, "icmp {} unreachable {name}", about.destination_address());
    let protocol = ip_names::of_protocol(about.protocol);
    match name.as_str() {
        "protocol" => {
            let _ = write!(line, " {}", protocol.map_or_else(|| about.protocol.to_string(), str::to_owned));
        }
        "port" => {
            let named = protocol.map_or_else(|| format!("protocol {}", about.protocol), str::to_owned);
            let _ = write!(line, " {named}");
            let port = Early(quoted.get(about.header_length()..).unwrap_or(&[])).word(2)?;
            let _ = write!(line, "/{port}");
        }
        "needfrag" => match message.word(6) {
            Some(mtu) if mtu != 0 => _ = write!(line, " (mtu {mtu})"),
            _ => {}
        },
        _ => {}
    }
    Some(())
}

/// Bytes in rows: 24 in hexadecimal by fours, or 48 characters by eights.
pub(super) fn contents(line: &mut String, contents: Contents, bytes: &[u8]) {
    let (row, group) = match contents {
        Contents::None => return,
        Contents::Hex => (24, 4),
        Contents::Ascii => (48, 8),
    };
    for (at, byte) in bytes.iter().enumerate() {
        match at {
            at if at % row == 0 => line.push_str("\n  "),
            at if at % group == 0 => line.push(' '),
            _ => {}
        }
        match contents {
            Contents::Hex => _ = write!(line, "{byte:02x}"),
            _ if byte.is_ascii_graphic() || *byte == b' ' => line.push(char::from(*byte)),
            _ => line.push('.'),
        }
    }
}
