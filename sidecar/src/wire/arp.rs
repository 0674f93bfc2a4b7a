//! ARP for IPv4 over Ethernet (RFC 826). [`ArpIpv4::parse`] checks length, hardware type, protocol type and both
//! address lengths, so that every field means what its name says.

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::MacAddress;

/// A request.
pub const REQUEST: u16 = 1;
/// A reply.
pub const REPLY: u16 = 2;
/// Length of the packet.
pub const LENGTH: usize = 28;

/// An ARP packet.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ArpIpv4 {
    hardware_type: U16,
    protocol_type: U16,
    hardware_length: u8,
    protocol_length: u8,
    /// [`REQUEST`], [`REPLY`] or another operation.
    pub operation: U16,
    /// MAC address of the sender.
    pub sender_mac: MacAddress,
    /// IP address of the sender.
    pub sender_ip: U32,
    /// MAC address that is asked for, or the asker's in a reply.
    pub target_mac: MacAddress,
    /// IP address that is asked for, or the asker's in a reply.
    pub target_ip: U32,
}

impl ArpIpv4 {
    /// A packet with the given operation and addresses.
    pub fn new(operation: u16, sender: (MacAddress, u32), target: (MacAddress, u32)) -> Self {
        Self {
            hardware_type: U16::new(1),
            protocol_type: U16::new(super::ethernet::TYPE_IPV4),
            hardware_length: 6,
            protocol_length: 4,
            operation: U16::new(operation),
            sender_mac: sender.0,
            sender_ip: U32::new(sender.1),
            target_mac: target.0,
            target_ip: U32::new(target.1),
        }
    }

    /// The packet at the start of the bytes, if it is ARP for IPv4 over Ethernet.
    pub fn parse(bytes: &[u8]) -> Option<&Self> {
        let (arp, _) = Self::ref_from_prefix(bytes).ok()?;
        let known = arp.hardware_type.get() == 1
            && arp.protocol_type.get() == super::ethernet::TYPE_IPV4
            && arp.hardware_length == 6
            && arp.protocol_length == 4;
        known.then_some(arp)
    }
}
