//! Rewriting patterns, `SADDR SPORT DADDR DPORT`, as click's IPRewriter manual page describes them.

use std::fmt;
use std::net::Ipv4Addr;

use crate::wire::{FlowId, Protocol};

/// How a source port is chosen from a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// The flow's own port if it is free, else at random (Click's default).
    Preserve,
    /// One after the other (`#`).
    Sequential,
    /// At random (`?`).
    Random,
}

/// What varies from flow to flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variation {
    /// Nothing: the pattern says it all.
    None,
    /// The source port (or ICMP identifier), in this range.
    Port { low: u16, high: u16, choice: Choice },
    /// The source address, in this range, with the port as it is (basic NAT).
    Address { low: u32, high: u32, choice: Choice },
}

/// A parsed pattern. `None` leaves a field as it is in the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) source: Option<u32>,
    pub(super) source_port: Option<u16>,
    pub(super) destination: Option<u32>,
    pub(super) destination_port: Option<u16>,
    pub(super) variation: Variation,
    /// Whether it was given with ports, and is printed with them.
    pub(super) with_ports: bool,
}

/// Turns a word into an address; names of AddressInfo count.
pub(super) type AddressOf<'a> = &'a dyn Fn(&str) -> Option<Ipv4Addr>;

impl Pattern {
    /// Parses two words (addresses), three (addresses, then the source port) or four.
    pub(super) fn parse(words: &[&str], address_of: AddressOf<'_>) -> Result<Self, String> {
        let with_ports = words.len() > 2;
        let (source, source_port, destination, destination_port) = match *words {
            [source, destination] => (source, "-", destination, "-"),
            [source, destination, source_port] => (source, source_port, destination, "-"),
            [source, source_port, destination, destination_port] => {
                (source, source_port, destination, destination_port)
            }
            _ => return Err("syntax error".to_owned()),
        };
        let mut variation = Variation::None;
        let source = match fixed_address(source, address_of) {
            Ok(fixed) => fixed,
            Err(()) => {
                let (low, high, choice) = address_range(source, address_of).ok_or("bad source address")?;
                variation =
                    if low == high { Variation::None } else { Variation::Address { low, high, choice } };
                Some(low)
            }
        };
        let source_port = match fixed_port(source_port) {
            Ok(fixed) => fixed,
            Err(()) if variation != Variation::None => return Err("bad source port".to_owned()),
            Err(()) => {
                let (low, high, choice) = port_range(source_port).ok_or("bad source port")?;
                variation = Variation::Port { low, high, choice };
                Some(low)
            }
        };
        let destination = fixed_address(destination, address_of).map_err(|()| "bad destination address")?;
        let destination_port = fixed_port(destination_port).map_err(|()| "bad destination port")?;
        Ok(Self { source, source_port, destination, destination_port, variation, with_ports })
    }

    /// The flow after rewriting, before what varies is chosen.
    pub(super) fn apply(&self, flow: FlowId) -> FlowId {
        // The answering side of a ping has no port.
        let to_port = self.destination_port.filter(|_| flow.protocol != Protocol::Icmp);
        FlowId {
            source: self.source.unwrap_or(flow.source),
            destination: self.destination.unwrap_or(flow.destination),
            source_port: self.source_port.unwrap_or(flow.source_port),
            destination_port: to_port.unwrap_or(flow.destination_port),
            protocol: flow.protocol,
        }
    }
}

fn fixed_address(word: &str, address_of: AddressOf<'_>) -> Result<Option<u32>, ()> {
    if word == "-" {
        return Ok(None);
    }
    address_of(word).map(|address| Some(address.into())).ok_or(())
}

fn fixed_port(word: &str) -> Result<Option<u16>, ()> {
    match word {
        "-" => Ok(None),
        word => word.parse().ok().filter(|port| *port > 0).map(Some).ok_or(()),
    }
}

fn choice_of(word: &str) -> (&str, Choice) {
    match word.strip_suffix('#') {
        Some(rest) => (rest, Choice::Sequential),
        None => match word.strip_suffix(['?', '^']) {
            Some(rest) => (rest, Choice::Random),
            None => (word, Choice::Preserve),
        },
    }
}

fn port_range(word: &str) -> Option<(u16, u16, Choice)> {
    let (range, choice) = choice_of(word);
    let (low, high) = range.split_once('-')?;
    let (low, high): (u16, u16) = (low.parse().ok()?, high.parse().ok()?);
    // Port 0 names no endpoint (RFC 6335, section 6): a range that starts there starts at 1.
    (low <= high && high > 0).then_some((low.max(1), high, choice))
}

/// `A-B`, or a prefix, of which the first and the last address are left out when it has more than two.
fn address_range(word: &str, address_of: AddressOf<'_>) -> Option<(u32, u32, Choice)> {
    let (range, choice) = choice_of(word);
    if let Some((low, high)) = range.split_once('-') {
        let (low, high): (u32, u32) = (address_of(low)?.into(), address_of(high)?.into());
        return (low <= high).then_some((low, high, choice));
    }
    let (address, bits) = range.split_once('/')?;
    let (address, bits): (u32, u32) =
        (address_of(address)?.into(), bits.parse().ok().filter(|b| (1..=32).contains(b))?);
    let host = u32::MAX.checked_shr(bits).unwrap_or(0);
    let (first, last) = (address & !host, address | host);
    Some(if host > 1 { (first + 1, last - 1, choice) } else { (first, last, choice) })
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = |a: Option<u32>| a.map_or("-".to_owned(), |a| Ipv4Addr::from(a).to_string());
        let port = |p: Option<u16>| p.map_or("-".to_owned(), |p| p.to_string());
        match self.variation {
            Variation::Address { low, high, .. } => {
                write!(f, "{}-{}", Ipv4Addr::from(low), Ipv4Addr::from(high))?;
            }
            _ => write!(f, "{}", address(self.source))?,
        }
        match self.variation {
            _ if !self.with_ports => {}
            Variation::Port { low, high, .. } => write!(f, " {low}-{high}")?,
            _ => write!(f, " {}", port(self.source_port))?,
        }
        write!(f, " {}", address(self.destination))?;
        if self.with_ports { write!(f, " {}", port(self.destination_port)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Pattern, String> {
        let words: Vec<_> = text.split_whitespace().collect();
        Pattern::parse(&words, &|word| word.parse().ok())
    }

    #[test]
    fn all_forms_of_the_manual_page_are_read() {
        let ports = |low, high, choice| Variation::Port { low, high, choice };
        assert_eq!(parse("1.0.0.1 20 - -").unwrap().variation, Variation::None);
        assert_eq!(parse("1.0.0.1 1024-65535 - -").unwrap().variation, ports(1024, 65535, Choice::Preserve));
        assert_eq!(
            parse("1.0.0.1 1024-65535# - 80").unwrap().variation,
            ports(1024, 65535, Choice::Sequential)
        );
        assert_eq!(
            parse("1.0.0.1 1024-65535? 2.0.0.2 -").unwrap().variation,
            ports(1024, 65535, Choice::Random)
        );
        let basic = parse("1.0.0.0/24 -").unwrap();
        let (low, high) = (0x0100_0001, 0x0100_00fe);
        assert_eq!(basic.variation, Variation::Address { low, high, choice: Choice::Preserve });
        assert_eq!(parse("1.0.0.1 - 5-9").unwrap().variation, ports(5, 9, Choice::Preserve));
    }

    #[test]
    fn a_printed_pattern_reads_like_the_text() {
        for text in
            ["1.0.0.1 1024-65535 - -", "- - 10.0.0.1 80", "1.0.0.1-1.0.0.5 - - -", "1.0.0.1-1.0.0.5 -"]
        {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn bad_fields_are_named() {
        assert_eq!(parse("1.0.0 20 - -").unwrap_err(), "bad source address");
        assert_eq!(parse("1.0.0.1 9-5 - -").unwrap_err(), "bad source port");
        assert_eq!(parse("1.0.0.1 0 - -").unwrap_err(), "bad source port");
        assert_eq!(parse("1.0.0.1 - x -").unwrap_err(), "bad destination address");
        assert_eq!(parse("1.0.0.1 - - 70000").unwrap_err(), "bad destination port");
        assert_eq!(parse("1.0.0.1").unwrap_err(), "syntax error");
    }
}
