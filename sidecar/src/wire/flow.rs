//! The five-tuple that names a flow, read from an IP packet whose transport header is there.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::Ipv4Addr;

use super::{Icmp, Ipv4, icmp, ipv4};
use crate::state::{Reader, Record, StateError, Writer};

/// A protocol with flows: TCP, UDP, or ICMP queries, whose identifier stands for both ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Protocol {
    /// ICMP echo and the other queries.
    Icmp = ipv4::ICMP,
    /// TCP.
    Tcp = ipv4::TCP,
    /// UDP.
    Udp = ipv4::UDP,
}

impl Protocol {
    /// The protocol with this number, if it has flows.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            ipv4::ICMP => Some(Self::Icmp),
            ipv4::TCP => Some(Self::Tcp),
            ipv4::UDP => Some(Self::Udp),
            _ => None,
        }
    }
}

/// Addresses and ports of a flow in host byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowId {
    /// Source address.
    pub source: u32,
    /// Destination address.
    pub destination: u32,
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Protocol.
    pub protocol: Protocol,
}

impl Hash for FlowId {
    // Two words instead of five fields: one multiplication of the hash function.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let ports = u64::from(self.source_port) << 16 | u64::from(self.destination_port);
        state.write_u64(u64::from(self.source) << 32 | u64::from(self.destination));
        state.write_u64(ports | u64::from(self.protocol as u8) << 32);
    }
}

impl FlowId {
    /// The flow of the TCP or UDP packet at the start of `bytes`: a first fragment with at least eight bytes of
    /// transport header.
    #[inline]
    pub fn of_packet(bytes: &[u8]) -> Option<Self> {
        let (ip, _) = Ipv4::parse(bytes)?;
        let protocol = match ip.protocol {
            ipv4::TCP => Protocol::Tcp,
            ipv4::UDP => Protocol::Udp,
            _ => return None,
        };
        let [a, b, c, d, ..] = *ipv4::payload(bytes)?.first_chunk::<8>()?;
        ip.is_first_fragment().then_some(Self {
            source: ip.source.get(),
            destination: ip.destination.get(),
            source_port: u16::from_be_bytes([a, b]),
            destination_port: u16::from_be_bytes([c, d]),
            protocol,
        })
    }

    /// The flow of the ICMP echo or echo reply at the start of `bytes`. The identifier stands for the port of the side
    /// that asks; the side that answers has port 0.
    pub fn of_ping(bytes: &[u8]) -> Option<Self> {
        let (ip, _) = Ipv4::parse(bytes)?;
        let (message, _) = Icmp::parse(ipv4::payload(bytes)?)?;
        let identifier = message.identifier.get();
        let (source_port, destination_port) = match message.kind {
            icmp::ECHO => (identifier, 0),
            icmp::ECHO_REPLY => (0, identifier),
            _ => return None,
        };
        (ip.protocol == ipv4::ICMP && ip.is_first_fragment()).then_some(Self {
            source: ip.source.get(),
            destination: ip.destination.get(),
            source_port,
            destination_port,
            protocol: Protocol::Icmp,
        })
    }

    /// The flow of the answers.
    #[inline]
    pub fn reverse(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            protocol: self.protocol,
        }
    }
}

/// As Click prints it: `(10.0.0.1, 1234, 10.0.0.2, 80)`.
impl fmt::Display for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, destination) = (Ipv4Addr::from(self.source), Ipv4Addr::from(self.destination));
        write!(f, "({source}, {}, {destination}, {})", self.source_port, self.destination_port)
    }
}

/// Thirteen bytes: protocol, source, destination, source port, destination port.
impl Record for FlowId {
    fn put(&self, w: &mut Writer) {
        w.put_u8(self.protocol as u8);
        w.put_u32(self.source);
        w.put_u32(self.destination);
        w.put_u16(self.source_port);
        w.put_u16(self.destination_port);
    }

    fn get(r: &mut Reader<'_>) -> Result<Self, StateError> {
        let number = r.get_u8()?;
        let protocol = Protocol::from_number(number)
            .ok_or(StateError::Invalid { what: "protocol of a flow", value: u64::from(number) })?;
        Ok(Self {
            protocol,
            source: r.get_u32()?,
            destination: r.get_u32()?,
            source_port: r.get_u16()?,
            destination_port: r.get_u16()?,
        })
    }
}
