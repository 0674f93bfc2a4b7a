//! Fields of IP packets by name or by place: `ip src/8`, `tcp dport`, `ip[8:2] & 0x3F0`, as Click's IPFieldInfo has
//! them.

use std::fmt;

use crate::config::Value;
use crate::packet::Packet;
use crate::wire::{Ipv4, Tcp, ipv4, udp};

const SYNTAX: &str = "expected 'HEADER [NAME] [{OFFSET:LENGTH}] [/PREFIX] [& MASK]'";
const BAD_PLACE: &str = "bad offset or length in TCP/IP field";
const BAD_MASK: &str = "bad prefix or mask in TCP/IP field";

/// What a field is counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    /// The IP header.
    Ip,
    /// The transport header of a packet of this protocol.
    Protocol(u8),
    /// The transport header of a TCP or UDP packet.
    TcpOrUdp,
    /// Any transport header.
    Transport,
    /// The payload of a TCP or UDP packet.
    Payload,
}

/// A field: where it is, in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) base: Base,
    pub(super) offset: u32,
    /// From 1 to 32.
    pub(super) length: u32,
}

type Named = (&'static str, Base, u32, u32);

const TCP: Base = Base::Protocol(ipv4::TCP);
const UDP: Base = Base::Protocol(ipv4::UDP);
const ICMP: Base = Base::Protocol(ipv4::ICMP);

/// Name, header, offset and length of the fields that have a name. Where two names mean one field, the first is shown.
const FIELDS: &[Named] = &[
    ("vers", Base::Ip, 0, 4),
    ("hl", Base::Ip, 4, 4),
    ("tos", Base::Ip, 8, 8),
    ("dscp", Base::Ip, 8, 6),
    ("ecn", Base::Ip, 14, 2),
    ("len", Base::Ip, 16, 16),
    ("id", Base::Ip, 32, 16),
    ("off", Base::Ip, 48, 16),
    ("rf", Base::Ip, 48, 1),
    ("df", Base::Ip, 49, 1),
    ("mf", Base::Ip, 50, 1),
    ("fragoff", Base::Ip, 51, 13),
    ("ttl", Base::Ip, 64, 8),
    ("proto", Base::Ip, 72, 8),
    ("sum", Base::Ip, 80, 16),
    ("src", Base::Ip, 96, 32),
    ("dst", Base::Ip, 128, 32),
    ("sport", Base::TcpOrUdp, 0, 16),
    ("dport", Base::TcpOrUdp, 16, 16),
    ("sport", UDP, 0, 16),
    ("dport", UDP, 16, 16),
    ("len", UDP, 32, 16),
    ("sum", UDP, 48, 16),
    ("sport", TCP, 0, 16),
    ("dport", TCP, 16, 16),
    ("seq", TCP, 32, 32),
    ("seqno", TCP, 32, 32),
    ("ackno", TCP, 64, 32),
    ("hl", TCP, 96, 4),
    ("flags", TCP, 104, 8),
    ("urg", TCP, 106, 1),
    ("ack", TCP, 107, 1),
    ("psh", TCP, 108, 1),
    ("push", TCP, 108, 1),
    ("rst", TCP, 109, 1),
    ("syn", TCP, 110, 1),
    ("fin", TCP, 111, 1),
    ("win", TCP, 112, 16),
    ("sum", TCP, 128, 16),
    ("urp", TCP, 144, 16),
    ("type", ICMP, 0, 8),
    ("code", ICMP, 8, 8),
    ("sum", ICMP, 16, 16),
];

impl Base {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "ip" => Self::Ip,
            "tcp" => TCP,
            "udp" => UDP,
            "icmp" => ICMP,
            "tcpudp" => Self::TcpOrUdp,
            "transp" | "transport" => Self::Transport,
            "data" | "payload" => Self::Payload,
            _ => return None,
        })
    }

    /// The bytes of a packet from this header on; `None` if it has no such header.
    #[inline]
    pub(super) fn header(self, packet: &Packet) -> Option<&[u8]> {
        let (ip, _) = Ipv4::parse(packet.network())?;
        let (first, protocol) = (ip.is_first_fragment(), ip.protocol);
        let transport = packet.transport();
        match self {
            Self::Ip => Some(packet.network()),
            Self::Protocol(wanted) => (first && protocol == wanted).then_some(transport),
            Self::TcpOrUdp => (first && matches!(protocol, ipv4::TCP | ipv4::UDP)).then_some(transport),
            Self::Transport => first.then_some(transport),
            Self::Payload if !first => None,
            Self::Payload => match protocol {
                ipv4::TCP => transport.get(Tcp::parse(transport)?.0.header_length()..),
                ipv4::UDP => transport.get(udp::HEADER_LENGTH..),
                _ => None,
            },
        }
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip => f.write_str("ip"),
            Self::Protocol(ipv4::TCP) => f.write_str("tcp"),
            Self::Protocol(ipv4::UDP) => f.write_str("udp"),
            Self::Protocol(ipv4::ICMP) => f.write_str("icmp"),
            Self::Protocol(other) => write!(f, "ip proto {other}"),
            Self::TcpOrUdp => f.write_str("tcpudp"),
            Self::Transport => f.write_str("transp"),
            Self::Payload => f.write_str("payload"),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |offset, length| {
            FIELDS.iter().find(|(_, base, at, bits)| (*base, *at, *bits) == (self.base, offset, length))
        };
        if let Some((name, ..)) = named(self.offset, self.length) {
            return write!(f, "{} {name}", self.base);
        }
        let containers =
            [8, 16, 32].into_iter().filter(|bits| self.offset.is_multiple_of(*bits) && self.length <= *bits);
        if let Some((name, ..)) = containers.into_iter().find_map(|bits| named(self.offset, bits)) {
            return write!(f, "{} {name}/{}", self.base, self.length);
        }
        match (self.offset % 8, self.length % 8, self.length) {
            (0, 0, 8) => write!(f, "{}[{}]", self.base, self.offset / 8),
            (0, 0, _) => write!(f, "{}[{}:{}]", self.base, self.offset / 8, self.length / 8),
            (_, _, 1) => write!(f, "{}{{{}}}", self.base, self.offset),
            _ => write!(f, "{}{{{}:{}}}", self.base, self.offset, self.length),
        }
    }
}

/// The word at the start of `text`, and what follows it.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_at(text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len()))
}

/// The place in brackets at the start of `text`, as offset and length in bits, and what follows it.
fn place(text: &str) -> Result<Option<(u32, u32, &str)>, &'static str> {
    let text = text.trim_start();
    let (close, unit) = match text.chars().next() {
        Some('[') => (']', 8),
        Some('{') => ('}', 1),
        _ => return Ok(None),
    };
    let (inner, rest) = text[1..].split_once(close).ok_or(SYNTAX)?;
    let number = |text: &str| u32::parse_plain(text).map_err(|_| SYNTAX);
    let (offset, length) = match inner.split_once([':', ',']) {
        Some((offset, length)) => (number(offset)?, number(length)?),
        None => match inner.split_once('-') {
            Some((first, last)) => {
                let first = number(first)?;
                (
                    first,
                    number(last)?.checked_sub(first).and_then(|span| span.checked_add(1)).ok_or(BAD_PLACE)?,
                )
            }
            None => (number(inner)?, 1),
        },
    };
    let (offset, length) = (offset.checked_mul(unit), length.checked_mul(unit));
    let (Some(offset), Some(length @ 1..)) = (offset, length) else { return Err(BAD_PLACE) };
    Ok(Some((offset, length, rest)))
}

/// The number behind `sign` at the start of `text`, and what follows it.
fn operand(text: &str, sign: char) -> Result<Option<(u32, &str)>, &'static str> {
    let Some(rest) = text.trim_start().strip_prefix(sign) else { return Ok(None) };
    let (digits, rest) = word(rest);
    u32::parse_plain(digits).map(|number| Some((number, rest))).map_err(|_| SYNTAX)
}

impl Field {
    /// Reads `HEADER [NAME] [{OFFSET:LENGTH}] [/PREFIX] [& MASK]`.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (first, rest) = word(text);
        let (base, rest) = match Base::parse(first) {
            Some(base) => (base, rest),
            // Ports alone are those of TCP and UDP.
            None if matches!(first, "sport" | "dport") => (Base::TcpOrUdp, text),
            None => return Err(SYNTAX),
        };
        let (name, behind_name) = word(rest);
        // The ports of "ip" are those of its transport.
        let of_base = |field: &&Named| field.0 == name && field.1 == base;
        let of_ip = |field: &&Named| base == Base::Ip && field.0 == name && field.1 == Base::TcpOrUdp;
        let named = FIELDS.iter().find(of_base).or_else(|| FIELDS.iter().find(of_ip));
        let named =
            named.map(|(_, base, offset, length)| Self { base: *base, offset: *offset, length: *length });
        let rest = if named.is_some() { behind_name } else { rest };
        let (field, rest) = match (named, place(rest)?) {
            (None, None) => return Err(SYNTAX),
            (Some(field), None) => (field, rest),
            (None, Some((offset, length, rest))) => (Self { base, offset, length }, rest),
            (Some(field), Some((offset, length, rest))) => {
                if offset.checked_add(length).is_none_or(|end| end > field.length) {
                    return Err(BAD_PLACE);
                }
                (Self { offset: field.offset + offset, length, ..field }, rest)
            }
        };
        if field.length > 32 || field.offset > 1 << 20 {
            return Err(BAD_PLACE);
        }
        field.restrict(rest)
    }

    /// Applies prefix and mask.
    fn restrict(mut self, text: &str) -> Result<Self, &'static str> {
        let mut rest = text;
        if let Some((prefix, behind)) = operand(rest, '/')? {
            if prefix == 0 || prefix > self.length {
                return Err(BAD_MASK);
            }
            self.length = prefix;
            rest = behind;
        }
        if let Some((mask, behind)) = operand(rest, '&')? {
            let (bits, top) = (mask.count_ones(), 32 - mask.leading_zeros());
            if mask == 0 || top - mask.trailing_zeros() != bits || top > self.length {
                return Err(BAD_MASK);
            }
            self.offset += self.length - top;
            self.length = bits;
            rest = behind;
        }
        if rest.trim().is_empty() { Ok(self) } else { Err("garbage after field specification") }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_shown_as_they_can_be_read() {
        let shown = |text: &str| Field::parse(text).unwrap().to_string();
        for text in
            ["ip src", "ip src/8", "tcp syn", "udp len", "tcpudp sport", "ip[20:2]", "transp{3}", "ip{161:5}"]
        {
            assert_eq!(shown(text), text);
        }
        assert_eq!(shown("ip dport"), "tcpudp dport");
        assert_eq!(shown("tcp push"), "tcp psh");
        assert_eq!(shown("ip[8:2] & 0x3F0"), "ip{70:6}");
    }

    proptest! {
        #[test]
        fn no_text_does_harm(text in "(ip|tcp|data|sport)? ?(src|tos|[a-z]{0,3})[\\[{]?[0-9]{0,11}[:,-]?[0-9]{0,11}[\\]}]? ?[/&]? ?[0-9xa]{0,11}") {
            if let Ok(field) = Field::parse(&text) {
                prop_assert!((1..=32).contains(&field.length));
                let _ = field.to_string();
            }
        }
    }
}
