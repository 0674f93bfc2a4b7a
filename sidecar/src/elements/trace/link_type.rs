//! Link types of captures: Click's names, and where the IP header is in packets of each.

use crate::element::Packet;

/// Link types (https://www.tcpdump.org/linktypes.html).
pub(super) const ETHER: u32 = 1;
pub(super) const RAW_IP: u32 = 101;
/// What some systems write for raw IP.
const HOST_RAW_IP: u32 = 12;
const NULL: u32 = 0;
const PPP: u32 = 9;
const FDDI: u32 = 10;
const PPP_HDLC: u32 = 50;
const RFC_1483: u32 = 100;
const CISCO_HDLC: u32 = 104;
const WIFI: u32 = 105;
const LINUX_COOKED: u32 = 113;
const PRISM: u32 = 119;
const AIRONET: u32 = 120;
const SUN_ATM: u32 = 123;
const RADIOTAP: u32 = 127;

/// The first name of a number is the one that is shown.
const NAMES: &[(&str, u32)] = &[
    ("NULL", NULL),
    ("IP", RAW_IP),
    ("ETHER", ETHER),
    ("FDDI", FDDI),
    ("ATM", RFC_1483),
    ("RFC1483", RFC_1483),
    ("ATM_RFC1483", RFC_1483),
    ("802_11", WIFI),
    ("802.11", WIFI),
    ("802_11_RADIO", RADIOTAP),
    ("802.11_RADIO", RADIOTAP),
    ("SLL", LINUX_COOKED),
    ("AIRONET", AIRONET),
    ("HDLC", CISCO_HDLC),
    ("PPP_HDLC", PPP_HDLC),
    ("PPP", PPP),
    ("SUNATM", SUN_ATM),
    ("PRISM", PRISM),
];

/// The link type that Click calls `name`, or `#number`.
pub(super) fn parse(name: &str) -> Option<u32> {
    match name.strip_prefix('#') {
        Some(number) => number.parse().ok().filter(|number| *number < 0x7fff_ffff),
        None => NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number),
    }
}

/// Click's name for a link type.
pub(super) fn name(link: u32) -> String {
    let known = NAMES.iter().find(|(_, number)| *number == link);
    known.map_or_else(|| format!("#{link}"), |(name, _)| (*name).to_owned())
}

/// The link type that a file means.
pub(super) fn canonical(link: u32) -> u32 {
    if link == HOST_RAW_IP { RAW_IP } else { link }
}

/// Whether IP packets can be found in packets of this type.
pub(super) fn can_find_ip(link: u32) -> bool {
    link != AIRONET && NAMES.iter().any(|(_, number)| *number == link)
}

/// Marks the IP header in a packet and sets the destination annotation; `false` if it is no IP packet.
pub(super) fn mark_ip(link: u32, packet: &mut Packet) -> bool {
    let data = packet.data();
    let Some(start) = ip_offset(link, data) else { return false };
    let Some(header) = data.get(start..) else { return false };
    let length = match header.first().map(|first| (first >> 4, usize::from(first & 0xf) * 4)) {
        Some((4, length)) if length >= 20 => length,
        Some((6, _)) => 40,
        _ => return false,
    };
    if header.len() < length {
        return false;
    }
    let destination = (header[0] >> 4 == 4).then(|| [header[16], header[17], header[18], header[19]]);
    packet.set_network_header(start, length);
    if let Some(destination) = destination {
        packet.anno_mut().dst_ip = destination.into();
    }
    true
}

/// The number of two bytes.
fn half(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*data.get(at..)?.first_chunk()?))
}

fn is_ip_type(ether_type: u16) -> bool {
    matches!(ether_type, 0x0800 | 0x86dd)
}

/// Where the IP header begins in a packet of this type, if it is an IP packet.
fn ip_offset(link: u32, data: &[u8]) -> Option<usize> {
    match link {
        RAW_IP | HOST_RAW_IP => Some(0),
        ETHER => ether_type(data, 12),
        FDDI => fddi(data, 0),
        RFC_1483 => logical_link(data, 0),
        SUN_ATM => logical_link(data, 4),
        LINUX_COOKED => is_ip_type(half(data, 14)?).then_some(16),
        CISCO_HDLC => cisco_hdlc(data),
        PPP_HDLC => match *data.first_chunk()? {
            [0xff, _, 0, 0x21 | 0x57] => Some(4),
            [0x0f | 0x8f, ..] => cisco_hdlc(data),
            _ => None,
        },
        PPP => {
            let start = if data.starts_with(&[0xff, 3]) { 2 } else { 0 };
            match *data.get(start..)?.first_chunk()? {
                [0x21 | 0x57, _] => Some(start + 1),
                [0, 0x21 | 0x57] => Some(start + 2),
                _ => None,
            }
        }
        NULL => {
            let [a, b, c, d] = *data.first_chunk()?;
            let family = match u16::from_le_bytes([a, b]) {
                0 => u16::from_be_bytes([c, d]),
                family => family,
            };
            // AF_INET, and AF_INET6 of three systems.
            matches!(family, 2 | 24 | 28 | 30).then_some(4)
        }
        WIFI => wifi(data, 0),
        PRISM => wifi(data, 144),
        RADIOTAP => {
            let length = u16::from_le_bytes([*data.get(2)?, *data.get(3)?]);
            if length < 8 { None } else { wifi(data, length.into()) }
        }
        _ => None,
    }
}

/// Behind the Ethernet type at `at`, or behind one VLAN tag.
fn ether_type(data: &[u8], at: usize) -> Option<usize> {
    match half(data, at)? {
        found if is_ip_type(found) => Some(at + 2),
        0x8100 if is_ip_type(half(data, at + 4)?) => Some(at + 6),
        _ => None,
    }
}

fn cisco_hdlc(data: &[u8]) -> Option<usize> {
    is_ip_type(half(data, 2)?).then_some(4)
}

fn fddi(data: &[u8], at: usize) -> Option<usize> {
    const HEADER: usize = 13;
    let asynchronous = data.get(at)? & 0xf0 == 0x50;
    if asynchronous { logical_link(data, at + HEADER) } else { None }
}

fn wifi(data: &[u8], at: usize) -> Option<usize> {
    let header = data.get(at..at + 24)?;
    let is_data = header[0] & 0x0c == 0x08;
    let with_four_addresses = header[1] & 3 == 3;
    if is_data { logical_link(data, at + if with_four_addresses { 30 } else { 24 }) } else { None }
}

/// LLC, with SNAP or without (RFC 1042, RFC 2684).
fn logical_link(data: &[u8], at: usize) -> Option<usize> {
    let header: &[u8; 8] = match data.get(at..)?.first_chunk() {
        Some(header) => header,
        None => return data.get(at..at + 4)?.starts_with(&[6, 6]).then_some(at + 4),
    };
    match *header {
        [6, 6, ..] => Some(at + 4),
        [0xaa, 0xaa, 3, 0, 0, 0, high, low] if is_ip_type(u16::from_be_bytes([high, low])) => Some(at + 8),
        // Encapsulated Ethernet, and Cisco's bridging.
        [0xaa, 0xaa, _, 0, 0, 0 | 0xf8, ..] => ether_type(data, at + 6),
        // Bridged Ethernet and FDDI, with checksum or without.
        [0xaa, 0xaa, _, 0, 0x80, 0xc2, 0, 1 | 7] => ether_type(data, at + 8 + 12),
        [0xaa, 0xaa, _, 0, 0x80, 0xc2, 0, 4 | 10] => fddi(data, at + 9),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_understood_and_shown() {
        for (given, number) in NAMES {
            assert_eq!(parse(given), Some(*number));
            assert_eq!(parse(&name(*number)), Some(*number));
        }
        assert_eq!((parse("#228"), name(228)), (Some(228), "#228".to_owned()));
        assert_eq!((parse("ether"), parse("#x"), name(RFC_1483)), (None, None, "ATM".to_owned()));
    }

    #[test]
    fn ip_headers_are_found_behind_every_link_header() {
        let snap = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
        let behind = |start: &[u8], rest: &[u8]| [start, rest].concat();
        let cases: Vec<(u32, Vec<u8>)> = vec![
            (RAW_IP, vec![]),
            (ETHER, behind(&[0; 12], &[8, 0])),
            (ETHER, behind(&[0; 12], &[0x81, 0, 0, 5, 0x86, 0xdd])),
            (FDDI, behind(&[0x50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &snap)),
            (RFC_1483, snap.to_vec()),
            (RFC_1483, vec![6, 6, 3, 0]),
            (RFC_1483, behind(&[0xaa, 0xaa, 3, 0, 0x80, 0xc2, 0, 7], &behind(&[0; 12], &[8, 0]))),
            (SUN_ATM, behind(&[0; 4], &snap)),
            (WIFI, behind(&[8, 0], &behind(&[0; 22], &snap))),
            (WIFI, behind(&[8, 3], &behind(&[0; 28], &snap))),
            (PRISM, behind(&[0; 144], &behind(&[8, 0], &behind(&[0; 22], &snap)))),
            (RADIOTAP, behind(&[0, 0, 8, 0, 0, 0, 0, 0, 8, 0], &behind(&[0; 22], &snap))),
            (LINUX_COOKED, behind(&[0; 14], &[8, 0])),
            (CISCO_HDLC, vec![0x0f, 0, 8, 0]),
            (PPP_HDLC, vec![0xff, 3, 0, 0x21]),
            (PPP_HDLC, vec![0x8f, 0, 8, 0]),
            (PPP, vec![0xff, 3, 0, 0x21]),
            (PPP, vec![0x21]),
            (NULL, vec![2, 0, 0, 0]),
            (NULL, vec![0, 0, 0, 2]),
        ];
        for (link, header) in cases {
            let mut ip = vec![0x45; 20];
            ip[16..].copy_from_slice(&[10, 0, 0, 1]);
            let mut packet = Packet::from_slice(&[header.clone(), ip].concat());
            assert!(can_find_ip(link) && mark_ip(link, &mut packet), "{} {header:?}", name(link));
            assert_eq!(packet.network_offset(), Some(header.len() as isize));
            assert_eq!(packet.anno().dst_ip.octets(), [10, 0, 0, 1]);
            for length in 0..packet.len() {
                let mut cut = Packet::from_slice(&packet.data()[..length]);
                assert!(!mark_ip(link, &mut cut), "{} of {length} bytes", name(link));
            }
        }
        assert!(!mark_ip(ETHER, &mut Packet::from_slice(&[0; 60])));
        assert!(!can_find_ip(AIRONET));
    }
}
