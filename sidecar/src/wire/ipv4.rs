//! IPv4 headers (RFC 791). After [`Ipv4::parse`] the 20 fixed bytes are there; [`Ipv4::header_length`] and
//! [`Ipv4::total_length`] say what the header claims, which only [`Ipv4::check`] compares with the bytes.

use std::net::Ipv4Addr;

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum;

/// Length of the header without options.
pub const MIN_HEADER_LENGTH: usize = 20;
/// Protocol number of ICMP.
pub const ICMP: u8 = 1;
/// Protocol number of IP in IP.
pub const IPIP: u8 = 4;
/// Protocol number of TCP.
pub const TCP: u8 = 6;
/// Protocol number of UDP.
pub const UDP: u8 = 17;
/// The "don't fragment" bit of the fragment word.
pub const DONT_FRAGMENT: u16 = 0x4000;
/// The "more fragments" bit of the fragment word.
pub const MORE_FRAGMENTS: u16 = 0x2000;
/// The offset in the fragment word, in units of eight bytes.
pub const OFFSET_MASK: u16 = 0x1fff;

/// The fixed part of a header.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Ipv4 {
    version_and_length: u8,
    /// Type of service: DSCP and ECN.
    pub tos: u8,
    /// Length of header and payload.
    pub length: U16,
    /// Identification, shared by the fragments of a packet.
    pub id: U16,
    /// Flags and fragment offset.
    pub fragment: U16,
    /// Time to live.
    pub ttl: u8,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Header checksum.
    pub checksum: U16,
    /// Source address.
    pub source: U32,
    /// Destination address.
    pub destination: U32,
}

/// What [`Ipv4::check`] found wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ipv4Fault {
    /// Fewer than 20 bytes.
    TooShort,
    /// Not version 4.
    Version,
    /// A header length under 20 bytes or beyond the bytes.
    HeaderLength,
    /// A total length under the header's or beyond the bytes.
    Length,
    /// A wrong header checksum.
    Checksum,
}

impl Ipv4 {
    /// A header without options, checksum not yet set.
    pub fn new(protocol: u8, source: u32, destination: u32, length: u16) -> Self {
        Self {
            version_and_length: 0x45,
            tos: 0,
            length: U16::new(length),
            id: U16::new(0),
            fragment: U16::new(0),
            ttl: 255,
            protocol,
            checksum: U16::new(0),
            source: U32::new(source),
            destination: U32::new(destination),
        }
    }

    /// The header and all bytes behind its fixed part; `None` when there are fewer than 20 bytes.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Option<(&Self, &[u8])> {
        Self::ref_from_prefix(bytes).ok()
    }

    /// As [`Ipv4::parse`], for writing.
    #[inline]
    pub fn parse_mut(bytes: &mut [u8]) -> Option<(&mut Self, &mut [u8])> {
        Self::mut_from_prefix(bytes).ok()
    }

    /// The header of bytes in which version, both lengths and, if wanted, the checksum are right.
    #[inline]
    pub fn check(bytes: &[u8], verify: Verify) -> Result<&Self, Ipv4Fault> {
        let (ip, _) = Self::parse(bytes).ok_or(Ipv4Fault::TooShort)?;
        if ip.version_and_length >> 4 != 4 {
            return Err(Ipv4Fault::Version);
        }
        let header_length = ip.header_length();
        let header = bytes
            .get(..header_length)
            .filter(|h| h.len() >= MIN_HEADER_LENGTH)
            .ok_or(Ipv4Fault::HeaderLength)?;
        let length = ip.total_length();
        if length > bytes.len() || length < header_length {
            return Err(Ipv4Fault::Length);
        }
        let right = || match header.try_into() {
            Ok(header) => checksum::twenty_bytes_are_right(header),
            Err(_) => checksum::of(header) == 0,
        };
        if verify == Verify::Checksum && !right() {
            return Err(Ipv4Fault::Checksum);
        }
        Ok(ip)
    }

    /// IP version, 4 for a valid header.
    #[inline]
    pub fn version(&self) -> u8 {
        self.version_and_length >> 4
    }

    /// The header's length in bytes, options included, as it claims.
    #[inline]
    pub fn header_length(&self) -> usize {
        usize::from(self.version_and_length & 0xf) * 4
    }

    /// Sets the header's length in bytes (a multiple of four, 20 to 60).
    pub fn set_header_length(&mut self, bytes: usize) {
        self.version_and_length = 0x40 | ((bytes / 4) as u8 & 0xf);
    }

    /// Length of header and payload, as it claims.
    #[inline]
    pub fn total_length(&self) -> usize {
        usize::from(self.length.get())
    }

    /// Whether this is a fragment: more follow, or it is not the first.
    #[inline]
    pub fn is_fragment(&self) -> bool {
        self.fragment.get() & (MORE_FRAGMENTS | OFFSET_MASK) != 0
    }

    /// Whether it holds the start of the payload, and with it the transport header.
    #[inline]
    pub fn is_first_fragment(&self) -> bool {
        self.fragment.get() & OFFSET_MASK == 0
    }

    /// Source address for printing.
    pub fn source_address(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.source.get())
    }

    /// Destination address for printing.
    pub fn destination_address(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.destination.get())
    }
}

/// Whether a check looks at the checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// It must be right.
    Checksum,
    /// It is not looked at.
    LengthsOnly,
}

/// Writes the right checksum into the header at the start of `bytes`; `false` when no whole header is there.
pub fn set_checksum(bytes: &mut [u8]) -> bool {
    let Some((ip, _)) = Ipv4::parse_mut(bytes) else { return false };
    ip.checksum = U16::new(0);
    let header_length = ip.header_length();
    let Some(sum) = bytes.get(..header_length).filter(|h| h.len() >= MIN_HEADER_LENGTH).map(checksum::of)
    else {
        return false;
    };
    if let Some((ip, _)) = Ipv4::parse_mut(bytes) {
        ip.checksum = U16::new(sum);
    }
    true
}

/// The transport header and payload of the IP packet at the start of `bytes`: from the end of the IP header to the
/// end that the IP header claims, or to the end of the bytes if that comes first. `None` when no header is there.
#[inline]
pub fn payload(bytes: &[u8]) -> Option<&[u8]> {
    let (ip, _) = Ipv4::parse(bytes)?;
    let (start, end) = (ip.header_length(), ip.total_length().min(bytes.len()));
    bytes.get(start..end)
}

/// As [`payload`], for writing.
#[inline]
pub fn payload_mut(bytes: &mut [u8]) -> Option<&mut [u8]> {
    let (ip, _) = Ipv4::parse(bytes)?;
    let (start, end) = (ip.header_length(), ip.total_length().min(bytes.len()));
    bytes.get_mut(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet() -> Vec<u8> {
        let mut bytes = Ipv4::new(UDP, 0x0a00_0001, 0x0a00_0002, 28).as_bytes().to_vec();
        bytes.resize(28, 0);
        assert!(set_checksum(&mut bytes));
        bytes
    }

    #[test]
    fn each_fault_is_told_apart() {
        let check = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = packet();
            change(&mut bytes);
            Ipv4::check(&bytes, Verify::Checksum).map(|_| ())
        };
        assert_eq!(check(&|_| ()), Ok(()));
        assert_eq!(check(&|b| b.truncate(19)), Err(Ipv4Fault::TooShort));
        assert_eq!(check(&|b| b[0] = 0x65), Err(Ipv4Fault::Version));
        assert_eq!(check(&|b| b[0] = 0x44), Err(Ipv4Fault::HeaderLength));
        assert_eq!(check(&|b| b[0] = 0x4f), Err(Ipv4Fault::HeaderLength));
        assert_eq!(check(&|b| b[3] = 29), Err(Ipv4Fault::Length));
        assert_eq!(check(&|b| b[3] = 19), Err(Ipv4Fault::Length));
        assert_eq!(check(&|b| b[8] ^= 1), Err(Ipv4Fault::Checksum));
    }

    #[test]
    fn a_payload_never_reaches_past_the_bytes() {
        let mut bytes = packet();
        bytes[2] = 0xff;
        assert_eq!(payload(&bytes).map(<[u8]>::len), Some(8));
        bytes[0] = 0x4f;
        assert_eq!(payload(&bytes), None);
        assert_eq!(payload(&bytes[..10]), None);
    }
}
