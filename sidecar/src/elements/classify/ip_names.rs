//! Names in IPClassifier patterns: ports, protocols, TCP flags and ICMP types, as the click manual page lists them.

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

fn find<T: Copy>(names: &[(&str, T)], name: &str) -> Option<T> {
    names.binary_search_by(|(known, _)| known.cmp(&name)).ok().map(|at| names[at].1)
}

pub(super) fn port(name: &str) -> Option<u16> {
    find(PORTS, name)
}

pub(super) fn protocol(name: &str) -> Option<u8> {
    find(PROTOCOLS, name)
}

pub(super) fn tcp_flag(name: &str) -> Option<u8> {
    find(TCP_FLAGS, name)
}

/// The number of an ICMP type; ICMPError's argument uses the same names.
pub(crate) fn icmp_type(name: &str) -> Option<u8> {
    find(ICMP_TYPES, name)
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
        assert_eq!(port("no-such"), None);
    }
}
