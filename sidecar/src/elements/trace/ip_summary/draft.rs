//! A packet that is being made out of the fields of a dump.
//!
//! It starts empty; each field that is put in makes the headers that it needs. What no field says is zero, but for IP
//! version, header lengths, the protocol (TCP unless told otherwise) and a time to live of 100. A packet has no more
//! bytes than its fields need: what its length says beyond them becomes the extra length annotation.

use zerocopy::byteorder::network_endian::U16;

use crate::element::Packet;
use crate::wire::checksum::Sum;
use crate::wire::{Ipv4, ipv4};

/// Length of IP and TCP headers without options.
pub(super) const FIXED: usize = 20;
/// The longest IP or TCP header.
const LONGEST_HEADER: usize = 60;
pub(super) const DCCP: u8 = 33;
pub(super) const UDP_LITE: u8 = 136;
const DEFAULT_TTL: u8 = 100;

/// Addresses and ports of packets whose fields do not say them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Flow {
    pub(super) source: u32,
    pub(super) source_port: u16,
    pub(super) destination: u32,
    pub(super) destination_port: u16,
}

/// What a dump says for all its packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Defaults {
    pub(super) protocol: u8,
    pub(super) flow: Option<Flow>,
    pub(super) aggregate: Option<u32>,
    /// Version 1.0 counts fragment offsets in units of eight bytes.
    pub(super) minor_version: u32,
}

/// Whether a protocol begins with ports as UDP does.
pub(super) fn has_ports(protocol: u8) -> bool {
    matches!(protocol, ipv4::TCP | ipv4::UDP | DCCP | UDP_LITE)
}

/// A packet in the making.
pub(super) struct Draft {
    pub(super) packet: Packet,
    pub(super) defaults: Defaults,
    /// `false` once the Ethernet type says that it is something else.
    pub(super) is_ip: bool,
    /// Where the IP header is, if there is one or is to be one.
    network: Option<usize>,
    transport: usize,
    pub(super) have_icmp_type: bool,
    pub(super) have_icmp_code: bool,
    pub(super) have_ip_options: bool,
    pub(super) have_tcp_options: bool,
    /// Length that the packet is to have, 0 for as it comes out.
    pub(super) want: u32,
}

impl Draft {
    pub(super) fn new(defaults: Defaults) -> Self {
        let mut packet = Packet::zeroed(0);
        packet.anno_mut().aggregate = defaults.aggregate.unwrap_or(0);
        Self {
            packet,
            defaults,
            is_ip: true,
            network: None,
            transport: 0,
            have_icmp_type: false,
            have_icmp_code: false,
            have_ip_options: false,
            have_tcp_options: false,
            want: 0,
        }
    }

    /// Makes room for an Ethernet header in front; what is there moves on.
    pub(super) fn ethernet(&mut self) -> &mut [u8] {
        const HEADER: usize = 14;
        if self.packet.mac_offset().is_none() {
            self.packet.grow_front(HEADER);
            self.packet.data_mut()[..HEADER].fill(0);
            self.packet.data_mut()[12] = 8;
            self.packet.set_mac_offset(Some(0));
            self.network = Some(HEADER);
        }
        self.packet.data_mut()
    }

    pub(super) fn network_offset(&self) -> usize {
        self.network.unwrap_or(0)
    }

    fn network_length(&self) -> usize {
        self.packet.len().saturating_sub(self.network_offset())
    }

    fn transport_length(&self) -> usize {
        self.packet.len().saturating_sub(self.transport)
    }

    /// Whether there is an IP header.
    pub(super) fn has_ip(&self) -> bool {
        self.is_ip && self.network.is_some() && self.network_length() >= FIXED
    }

    /// Makes sure that there is an IP header of this protocol, 0 for any; `false` if it is of another.
    pub(super) fn make_ip(&mut self, protocol: u8) -> bool {
        if !self.is_ip {
            return false;
        }
        let at = *self.network.get_or_insert(0);
        if self.network_length() < FIXED {
            self.packet.grow_back(FIXED - self.network_length());
            let mut ip = Ipv4::new(self.defaults.protocol, 0, 0, 0);
            ip.ttl = DEFAULT_TTL;
            if let Some(flow) = self.defaults.flow {
                ip.source.set(flow.source);
                ip.destination.set(flow.destination);
            }
            if let Some((header, _)) = Ipv4::parse_mut(self.ip_bytes_mut()) {
                *header = ip;
            }
            self.transport = at + FIXED;
        }
        protocol == 0 || matches!(self.protocol(), own if own == 0 || own == protocol)
    }

    /// Makes sure that there is a transport header, after [`Draft::make_ip`]; `false` for later fragments.
    pub(super) fn make_transport(&mut self) -> bool {
        if !self.is_first_fragment() {
            return false;
        }
        if self.transport_length() >= 8 {
            return true;
        }
        let protocol = self.protocol();
        let mut length: i64 = match protocol {
            ipv4::TCP => 20,
            ipv4::UDP | UDP_LITE | ipv4::ICMP => 8,
            DCCP => 12,
            _ => return true,
        };
        if self.want > 0 {
            length = length.min(i64::from(self.want) - self.transport as i64);
        }
        let length = usize::try_from(length).unwrap_or(0);
        if self.transport_length() < length {
            let at = self.transport;
            self.need_transport(length.max(4));
            if protocol == ipv4::TCP && length > 12 {
                self.set(at + 12, 5 << 4);
            }
            if let Some(flow) = self.defaults.flow.filter(|_| has_ports(protocol)) {
                self.set_half(at, flow.source_port);
                self.set_half(at + 2, flow.destination_port);
            }
            self.packet.truncate(at + length);
        }
        true
    }

    /// Makes sure that `length` bytes of transport header are there.
    pub(super) fn need_transport(&mut self, length: usize) {
        let missing = (self.transport + length).saturating_sub(self.packet.len());
        self.packet.grow_back(missing);
    }

    fn ip_bytes_mut(&mut self) -> &mut [u8] {
        let at = self.network_offset().min(self.packet.len());
        &mut self.packet.data_mut()[at..]
    }

    /// The header, if there is one.
    pub(super) fn ip(&self) -> Option<&Ipv4> {
        let bytes = self.packet.data().get(self.network?..)?;
        Some(Ipv4::parse(bytes)?.0)
    }

    /// The header to change, if there is one.
    pub(super) fn ip_mut(&mut self) -> Option<&mut Ipv4> {
        self.network?;
        Some(Ipv4::parse_mut(self.ip_bytes_mut())?.0)
    }

    pub(super) fn protocol(&self) -> u8 {
        self.ip().map_or(0, |ip| ip.protocol)
    }

    pub(super) fn is_first_fragment(&self) -> bool {
        self.ip().is_some_and(Ipv4::is_first_fragment)
    }

    /// The byte of the transport header; 0 if it is not there.
    pub(super) fn transport_byte(&self, at: usize) -> u8 {
        self.packet.data().get(self.transport + at).copied().unwrap_or(0)
    }

    /// Writes a byte, if the packet goes that far.
    fn set(&mut self, at: usize, value: u8) {
        if let Some(byte) = self.packet.data_mut().get_mut(at) {
            *byte = value;
        }
    }

    fn set_half(&mut self, at: usize, value: u16) {
        let [high, low] = value.to_be_bytes();
        self.set(at, high);
        self.set(at + 1, low);
    }

    /// Writes a number of `size` bytes into the transport header, as far as the packet goes.
    pub(super) fn put_transport(&mut self, at: usize, size: usize, value: u64) {
        for (offset, byte) in value.to_be_bytes()[8 - size..].iter().enumerate() {
            self.set(self.transport + at + offset, *byte);
        }
    }

    /// Length of the IP header in bytes, as it says.
    pub(super) fn ip_header_length(&self) -> usize {
        self.ip().map_or(0, Ipv4::header_length)
    }

    /// Says a new length of the IP header, in bytes. The header grows if it was shorter.
    pub(super) fn set_ip_header_length(&mut self, length: usize) {
        let (old, start) = (self.ip_header_length(), self.network_offset());
        if length > old {
            let end = start + length;
            self.packet.grow_back(length - old);
            self.transport = end;
        }
        if let Some(ip) = self.ip_mut() {
            ip.set_header_length(length);
        }
    }

    /// Puts options behind the fixed part of the IP header, which grows as far as they need.
    pub(super) fn put_ip_options(&mut self, options: &[u8]) {
        let start = self.network_offset();
        let length = (FIXED + options.len()).next_multiple_of(4);
        let missing = (start + length).saturating_sub(self.packet.len());
        self.packet.grow_back(missing);
        if length > self.ip_header_length() {
            self.transport = start + length;
            if let Some(ip) = self.ip_mut() {
                ip.set_header_length(length);
            }
        }
        self.write(start + FIXED, options, length - FIXED);
    }

    /// Length of the TCP header in bytes, as it says.
    pub(super) fn tcp_header_length(&self) -> usize {
        usize::from(self.transport_byte(12) >> 4) * 4
    }

    fn say_tcp_header_length(&mut self, length: usize) {
        let rest = self.transport_byte(12) & 0xf;
        self.set(self.transport + 12, ((length / 4) as u8) << 4 | rest);
    }

    /// Says a new length of the TCP header, in bytes. The header grows if it was shorter.
    pub(super) fn set_tcp_header_length(&mut self, length: usize) {
        self.packet.grow_back(length.saturating_sub(self.tcp_header_length()));
        self.say_tcp_header_length(length);
    }

    /// Puts options behind the fixed part of the TCP header, which grows as far as they need.
    pub(super) fn put_tcp_options(&mut self, options: &[u8]) {
        let length = (FIXED + options.len()).next_multiple_of(4);
        self.need_transport(length);
        if length > self.tcp_header_length() {
            self.say_tcp_header_length(length);
        }
        self.write(self.transport + FIXED, options, length - FIXED);
    }

    /// Writes bytes, and zeros behind them up to `length`, as far as the packet goes.
    fn write(&mut self, at: usize, bytes: &[u8], length: usize) {
        let Some(room) = self.packet.data_mut().get_mut(at..) else { return };
        let room = match room.len() {
            there if there > length => &mut room[..length],
            _ => room,
        };
        room.fill(0);
        let count = bytes.len().min(room.len());
        room[..count].copy_from_slice(&bytes[..count]);
    }

    /// Where the payload begins.
    fn payload_offset(&self) -> usize {
        if !self.has_ip() {
            return 0;
        }
        let header = match self.protocol() {
            _ if !self.is_first_fragment() => 0,
            ipv4::TCP => self.tcp_header_length().max(FIXED),
            ipv4::UDP | UDP_LITE => 8,
            _ => 0,
        };
        self.transport + header
    }

    /// Says that the payload has `length` bytes; returns where it begins. If the packet is to be longer than its headers
    /// and the payload, and no options were given, it must have had some: headers are filled up.
    pub(super) fn want_payload(&mut self, length: u32) -> usize {
        let mut start = self.payload_offset();
        let end = (start as u64 + u64::from(length)).min(u64::from(u32::MAX)) as u32;
        let said = self.ip().map_or(0, |ip| ip.length.get());
        if !self.has_ip() || (said == 0 && self.want == 0) {
            self.want = end;
            return start;
        }
        let whole = if said > 0 { u32::from(said) + self.network_offset() as u32 } else { self.want };
        let mut surplus = whole.saturating_sub(end) as usize;
        if self.is_first_fragment()
            && self.protocol() == ipv4::TCP
            && !self.have_tcp_options
            && self.tcp_header_length() == FIXED
        {
            let filled = (surplus & !3).min(LONGEST_HEADER - FIXED);
            self.insert(self.transport + FIXED, filled);
            self.say_tcp_header_length(FIXED + filled);
            surplus -= filled;
            start += filled;
        }
        if !self.have_ip_options && self.ip_header_length() == FIXED {
            let filled = (surplus & !3).min(LONGEST_HEADER - FIXED);
            self.insert(self.network_offset() + FIXED, filled);
            if let Some(ip) = self.ip_mut() {
                ip.set_header_length(FIXED + filled);
            }
            self.transport += filled;
            start += filled;
        }
        start
    }

    /// Makes room for `count` zeros.
    fn insert(&mut self, at: usize, count: usize) {
        let end = self.packet.len();
        if count == 0 || at > end {
            return;
        }
        self.packet.grow_back(count);
        let data = self.packet.data_mut();
        data.copy_within(at..end, at + count);
        data[at..at + count].fill(0);
    }

    /// Puts the payload behind the headers.
    pub(super) fn put_payload(&mut self, payload: &[u8]) {
        let start = self.want_payload(u32::try_from(payload.len()).unwrap_or(u32::MAX));
        let missing = (start + payload.len()).saturating_sub(self.packet.len());
        self.packet.grow_back(missing);
        self.write(start, payload, payload.len());
    }

    /// The packet: lengths that no field said are set, checksums too if wanted, for which all bytes have to be there.
    pub(super) fn finish(mut self, with_checksums: bool) -> Packet {
        if self.defaults.flow.is_some() {
            self.make_ip(0);
        }
        if self.has_ip() {
            self.make_transport();
            self.set_lengths();
            if let Some(ip) = self.ip() {
                let destination = ip.destination_address();
                self.packet.anno_mut().dst_ip = destination;
            }
            if with_checksums {
                let said = self.ip().map_or(0, Ipv4::total_length);
                let missing = said.saturating_sub(self.network_length());
                self.packet.grow_back(missing);
                self.set_checksums();
            }
        }
        if let Some(network) = self.network {
            let header = self.transport.saturating_sub(network);
            self.packet.set_network_header(network, header);
        }
        let extra = self.want.saturating_sub(u32::try_from(self.packet.len()).unwrap_or(u32::MAX));
        self.packet.anno_mut().extra_length = extra;
        self.packet
    }

    fn set_lengths(&mut self) {
        let (network, captured) = (self.network_offset(), self.network_length());
        let want = self.want;
        let header = self.transport - network;
        let Some(ip) = self.ip_mut() else { return };
        if ip.length.get() == 0 {
            let want = want.checked_sub(network as u32).unwrap_or(want);
            let length = if want == 0 { captured } else { want as usize };
            ip.length = U16::new(u16::try_from(length).unwrap_or(u16::MAX));
        }
        let payload = ip.length.get().wrapping_sub(header as u16);
        if ip.protocol == ipv4::UDP
            && ip.is_first_fragment()
            && (self.transport_byte(4), self.transport_byte(5)) == (0, 0)
        {
            self.put_transport(4, 2, payload.into());
        }
    }

    fn set_checksums(&mut self) {
        let transport = self.transport.min(self.packet.len());
        ipv4::set_checksum(self.ip_bytes_mut());
        let Some(ip) = self.ip().copied().filter(|ip| !ip.is_fragment()) else { return };
        let segment = &mut self.packet.data_mut()[transport..];
        let length = u16::try_from(segment.len()).unwrap_or(u16::MAX);
        let pseudo = Sum::new().pseudo(ip.source.get(), ip.destination.get(), ip.protocol, length);
        let (at, sum) = match ip.protocol {
            ipv4::TCP => (16, pseudo),
            ipv4::UDP => (6, pseudo),
            ipv4::ICMP => (2, Sum::new()),
            _ => return,
        };
        let Some(field) = segment.get_mut(at..at + 2) else { return };
        field.fill(0);
        let sum = sum.bytes(segment).finish();
        if let Some(field) = segment.get_mut(at..at + 2) {
            field.copy_from_slice(&sum.to_be_bytes());
        }
    }
}

/// Says a new length of a packet that stands for several; without an IP header there is nothing to say it in.
pub(super) fn set_packet_length(packet: &mut Packet, length: u32) {
    let header = packet.transport_offset().zip(packet.network_offset()).map_or(0, |(t, n)| (t - n) as u32);
    let Some((ip, behind)) = Ipv4::parse_mut(packet.network_mut()) else { return };
    if u32::from(ip.length.get()) == length {
        return;
    }
    ip.length = U16::new(length as u16);
    let datagram = behind.get_mut(ip.header_length().saturating_sub(FIXED)..);
    if ip.protocol == ipv4::UDP
        && let Some(field) = datagram.and_then(|datagram| datagram.get_mut(4..6))
    {
        field.copy_from_slice(&(length.wrapping_sub(header) as u16).to_be_bytes());
    }
}
