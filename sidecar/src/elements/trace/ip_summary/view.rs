//! A packet as the writer sees it: which headers are there and whole, and what is wrong with them.

use super::text::show_number;
use crate::element::Packet;
use crate::wire::ipv4;

/// What a field belongs to, to say what is wrong when it is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    Ethernet,
    Ip,
    Tcp,
    Udp,
    Icmp,
    /// TCP or UDP.
    Ports,
}

/// A packet whose headers were looked at. Bytes behind the end of the IP packet (padding) are left out.
pub(super) struct View<'a> {
    pub(super) packet: &'a Packet,
    /// From the IP header on, if there is a sound one.
    pub(super) ip: Option<&'a [u8]>,
    /// From the transport header on, as far as captured.
    transport: &'a [u8],
    pub(super) tcp: Option<&'a [u8]>,
    pub(super) udp: Option<&'a [u8]>,
    pub(super) icmp: Option<&'a [u8]>,
    /// Bytes at the packet's end that do not belong to the IP packet.
    padding: usize,
    /// The extra length annotation, put in order.
    pub(super) extra: u32,
    /// Whether lengths count what was not captured.
    pub(super) with_extra: bool,
    /// The first thing that is wrong, as a line; `None` if nobody wants to know.
    pub(super) bad: Option<&'a mut Vec<u8>>,
}

/// How much of a packet is looked at, and what for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Whether headers are looked at.
    pub(super) headers: bool,
    /// Whether packets that are shorter than their IP length are told.
    pub(super) careful: bool,
    /// Whether lengths count what was not captured.
    pub(super) with_extra: bool,
}

fn half(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |half| u16::from_be_bytes([half[0], half[1]]))
}

/// Header length, in bytes, as an IP header claims.
fn header_length(ip: &[u8]) -> usize {
    usize::from(ip.first().copied().unwrap_or(0) & 0xf) * 4
}

impl<'a> View<'a> {
    pub(super) fn new(packet: &'a Packet, rules: Rules, bad: Option<&'a mut Vec<u8>>) -> Self {
        let mut view = Self {
            packet,
            ip: None,
            transport: &[],
            tcp: None,
            udp: None,
            icmp: None,
            padding: 0,
            extra: packet.anno().extra_length,
            with_extra: rules.with_extra,
            bad,
        };
        if rules.headers {
            view.look(rules.careful);
        }
        view
    }

    fn look(&mut self, careful: bool) {
        if self.packet.network_offset().is_some() {
            self.look_at_ip(self.packet.network(), careful);
        }
        let Some(ip) = self.ip else { return };
        let behind = self.packet.transport();
        self.transport = &behind[..behind.len().saturating_sub(self.padding)];
        if ip.len() > header_length(ip)
            && self.is_first_fragment()
            && self.packet.transport_offset().is_some()
        {
            match self.protocol() {
                ipv4::TCP => self.look_at_tcp(),
                ipv4::UDP => self.udp = Some(self.transport),
                ipv4::ICMP => self.icmp = Some(self.transport),
                _ => {}
            }
        }
        // Lengths are those of the IP header from here on. What it cannot say is left.
        if self.extra > 0 {
            let whole = ip.len() as u64 + u64::from(self.extra);
            let unsaid =
                if self.ip_length() == u16::MAX { whole.saturating_sub(u64::from(u16::MAX)) } else { 0 };
            self.extra = u32::try_from(unsaid).unwrap_or(u32::MAX);
        }
    }

    fn look_at_ip(&mut self, ip: &'a [u8], careful: bool) {
        let (version, words) = ip.first().map_or((0, 0), |first| (first >> 4, first & 0xf));
        let length = usize::from(half(ip, 2));
        if ip.len() < 4 {
            return self.complain(b"truncated IP header", None);
        }
        if version != 4 {
            return self.complain(b"IP version ", Some(version.into()));
        }
        if words < 5 {
            return self.complain(b"IP header length ", Some(words.into()));
        }
        if length < header_length(ip) {
            return self.complain(b"IP length ", Some(length as u64));
        }
        let captured = ip.len() as u64 + u64::from(self.extra);
        if ip.len() > length {
            self.padding = ip.len() - length;
            self.extra = self.extra.saturating_add(self.padding as u32);
        } else if careful && captured < length as u64 {
            self.complain(b"truncated IP missing ", Some(length as u64 - captured));
        }
        self.ip = Some(&ip[..ip.len() - self.padding]);
    }

    fn look_at_tcp(&mut self) {
        match self.transport.get(12).map(|byte| byte >> 4) {
            Some(words) if words < 5 => self.complain(b"TCP header length ", Some(words.into())),
            _ => self.tcp = Some(self.transport),
        }
    }

    /// Notes what is wrong, if it is the first thing.
    fn complain(&mut self, what: &[u8], number: Option<u64>) {
        let Some(bad) = self.bad.as_deref_mut().filter(|bad| bad.is_empty()) else { return };
        bad.extend_from_slice(b"!bad ");
        bad.extend_from_slice(what);
        if let Some(number) = number {
            show_number(number, bad);
        }
        bad.push(b'\n');
    }

    /// Notes that `needed` bytes of a header are not there. A packet of another protocol is nothing bad.
    pub(super) fn missing<T>(&mut self, layer: Layer, needed: usize) -> Option<T> {
        self.bad.as_deref().filter(|bad| bad.is_empty())?;
        let (protocol, name): (&[u8], &str) = match layer {
            Layer::Ethernet => {
                self.complain(b"Ethernet header", None);
                return None;
            }
            _ if self.ip.is_none() => {
                self.complain(b"no IP header", None);
                return None;
            }
            Layer::Ip => {
                self.complain(b"truncated IP header capture", None);
                return None;
            }
            Layer::Tcp => (&[ipv4::TCP], "TCP"),
            Layer::Udp => (&[ipv4::UDP], "UDP"),
            Layer::Icmp => (&[ipv4::ICMP], "ICMP"),
            Layer::Ports => (&[ipv4::TCP, ipv4::UDP], "TCP/UDP"),
        };
        let known = self.ip.is_some_and(|ip| ip.len() > 9);
        if known && !protocol.contains(&self.protocol()) {
            return None;
        }
        let whole = self.transport.len() as u64 + u64::from(self.extra);
        let what = match self.is_first_fragment() {
            false => format!("fragmented {name} header"),
            true if whole >= needed as u64 => format!("truncated {name} header capture"),
            true => format!("truncated {name} header"),
        };
        self.complain(what.as_bytes(), None);
        None
    }

    /// The IP header, `needed` bytes of it at least.
    pub(super) fn ip_header(&mut self, needed: usize) -> Option<&'a [u8]> {
        match self.ip.filter(|ip| ip.len() >= needed) {
            Some(ip) => Some(ip),
            None => self.missing(Layer::Ip, needed),
        }
    }

    /// Length of the data, padding left out.
    pub(super) fn length(&self) -> usize {
        self.packet.len().saturating_sub(self.padding)
    }

    /// From the transport header on.
    pub(super) fn transport(&self) -> &'a [u8] {
        self.transport
    }

    /// What the IP header says is its length; 0 without one.
    pub(super) fn ip_length(&self) -> u16 {
        self.ip.map_or(0, |ip| half(ip, 2))
    }

    /// The protocol of the IP header, 0 if it is not captured.
    pub(super) fn protocol(&self) -> u8 {
        self.ip.and_then(|ip| ip.get(9).copied()).unwrap_or(0)
    }

    /// Whether the start of the transport header is in this packet.
    pub(super) fn is_first_fragment(&self) -> bool {
        self.ip.is_some_and(|ip| half(ip, 6) & ipv4::OFFSET_MASK == 0)
    }
}
