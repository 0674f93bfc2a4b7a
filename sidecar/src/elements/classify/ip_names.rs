//! Names of IP: ports, protocols, TCP flags, ICMP types and codes, as the click manual pages list them.

use crate::wire::{icmp, ipv4, tcp};

const PORTS: &[(&str, u16)] = &[
    ("auth", 113),
    ("bootpc", 68),
    ("bootps", 67),
    ("chargen", 19),
    ("daytime", 13),
    ("discard", 9),
    ("dns", 53),
    ("domain", 53),
    ("echo", 7),
    ("finger", 79),
    ("ftp", 21),
    ("ftp-data", 20),
    ("https", 443),
    ("imap3", 220),
    ("imaps", 993),
    ("irc", 194),
    ("netbios-dgm", 138),
    ("netbios-ns", 137),
    ("netbios-ssn", 139),
    ("nntp", 119),
    ("ntp", 123),
    ("pop3", 110),
    ("pop3s", 995),
    ("pptp", 1723),
    ("rip", 520),
    ("route", 520),
    ("smtp", 25),
    ("snmp", 161),
    ("snmp-trap", 162),
    ("ssh", 22),
    ("sunrpc", 111),
    ("telnet", 23),
    ("tftp", 69),
    ("www", 80),
];

const PROTOCOLS: &[(&str, u8)] = &[
    ("dccp", 33),
    ("gre", 47),
    ("icmp", ipv4::ICMP),
    ("igmp", 2),
    ("ipip", ipv4::IPIP),
    ("sctp", 132),
    ("tcp", ipv4::TCP),
    ("udp", ipv4::UDP),
    ("udplite", 136),
];

const TCP_FLAGS: &[(&str, u8)] = &[
    ("ack", tcp::ACK),
    ("fin", tcp::FIN),
    ("psh", tcp::PSH),
    ("rst", tcp::RST),
    ("syn", tcp::SYN),
    ("urg", tcp::URG),
];

const ICMP_TYPES: &[(&str, u8)] = &[
    ("echo", icmp::ECHO),
    ("echo-reply", icmp::ECHO_REPLY),
    ("inforeq", icmp::INFO_REQUEST),
    ("inforeq-reply", icmp::INFO_REPLY),
    ("maskreq", icmp::MASK_REQUEST),
    ("maskreq-reply", icmp::MASK_REPLY),
    ("parameterproblem", icmp::PARAMETER_PROBLEM),
    ("redirect", icmp::REDIRECT),
    ("routeradvert", icmp::ROUTER_ADVERT),
    ("routersolicit", icmp::ROUTER_SOLICIT),
    ("sourcequench", icmp::SOURCE_QUENCH),
    ("timeexceeded", icmp::TIME_EXCEEDED),
    ("timestamp", icmp::TIMESTAMP),
    ("timestamp-reply", icmp::TIMESTAMP_REPLY),
    ("unreachable", icmp::UNREACHABLE),
];

const UNREACHABLE_CODES: &[&str] = &[
    "net",
    "host",
    "protocol",
    "port",
    "needfrag",
    "srcroutefail",
    "netunknown",
    "hostunknown",
    "isolated",
    "netprohibited",
    "hostprohibited",
    "tosnet",
    "toshost",
    "filterprohibited",
    "hostprecedence",
    "precedencecutoff",
];

/// The codes of an ICMP type that have names, from 0 on.
fn icmp_codes(kind: u8) -> &'static [&'static str] {
    match kind {
        icmp::UNREACHABLE => UNREACHABLE_CODES,
        icmp::REDIRECT => &["net", "host", "tosnet", "toshost"],
        icmp::TIME_EXCEEDED => &["transit", "reassembly"],
        icmp::PARAMETER_PROBLEM => &["erroratptr", "missingopt", "length"],
        _ => &[],
    }
}

fn find<T: Copy>(names: &[(&str, T)], name: &str) -> Option<T> {
    names.binary_search_by(|(known, _)| known.cmp(&name)).ok().map(|at| names[at].1)
}

pub(crate) fn port(name: &str) -> Option<u16> {
    find(PORTS, name)
}

/// The number of an IP protocol.
pub(crate) fn protocol(name: &str) -> Option<u8> {
    find(PROTOCOLS, name)
}

pub(super) fn tcp_flag(name: &str) -> Option<u8> {
    find(TCP_FLAGS, name)
}

/// The number of an ICMP type.
pub(crate) fn icmp_type(name: &str) -> Option<u8> {
    find(ICMP_TYPES, name)
}

/// The number of a code of ICMP type `kind`.
pub(crate) fn icmp_code(kind: u8, name: &str) -> Option<u8> {
    icmp_codes(kind).iter().position(|known| *known == name).map(|at| at as u8)
}

/// The name of an ICMP type.
pub(crate) fn of_icmp_type(kind: u8) -> Option<&'static str> {
    name_of(ICMP_TYPES, kind)
}

/// The name of a code of ICMP type `kind`.
pub(crate) fn of_icmp_code(kind: u8, code: u8) -> Option<&'static str> {
    icmp_codes(kind).get(usize::from(code)).copied()
}

/// The name of an IP protocol.
pub(crate) fn of_protocol(number: u8) -> Option<&'static str> {
    name_of(PROTOCOLS, number)
}

fn name_of(names: &[(&'static str, u8)], number: u8) -> Option<&'static str> {
    names.iter().find(|(_, known)| *known == number).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found() {
        assert!(PORTS.iter().all(|(name, value)| port(name) == Some(*value)));
        assert!(PROTOCOLS.iter().all(|(name, value)| protocol(name) == Some(*value)));
        assert!(TCP_FLAGS.iter().all(|(name, value)| tcp_flag(name) == Some(*value)));
        assert!(ICMP_TYPES.iter().all(|(name, value)| icmp_type(name) == Some(*value)));
        assert!(ICMP_TYPES.iter().all(|(name, value)| of_icmp_type(*value) == Some(*name)));
        assert_eq!(port("no-such"), None);
        assert_eq!(
            (icmp_code(3, "precedencecutoff"), of_icmp_code(3, 15)),
            (Some(15), Some("precedencecutoff"))
        );
        assert_eq!((icmp_code(11, "net"), of_icmp_code(11, 2), of_protocol(6)), (None, None, Some("tcp")));
    }
}
