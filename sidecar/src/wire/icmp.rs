//! ICMP messages (RFC 792). After [`Icmp::parse`] the eight bytes of the header are there; what the second word means
//! depends on the type.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of the header.
pub const HEADER_LENGTH: usize = 8;
/// Answer to an echo.
pub const ECHO_REPLY: u8 = 0;
/// Destination unreachable.
pub const UNREACHABLE: u8 = 3;
/// Source quench (deprecated by RFC 6633).
pub const SOURCE_QUENCH: u8 = 4;
/// Redirect.
pub const REDIRECT: u8 = 5;
/// Echo: what ping sends.
pub const ECHO: u8 = 8;
/// Router advertisement.
pub const ROUTER_ADVERT: u8 = 9;
/// Router solicitation.
pub const ROUTER_SOLICIT: u8 = 10;
/// Time exceeded.
pub const TIME_EXCEEDED: u8 = 11;
/// Parameter problem.
pub const PARAMETER_PROBLEM: u8 = 12;
/// Timestamp request.
pub const TIMESTAMP: u8 = 13;
/// Timestamp reply.
pub const TIMESTAMP_REPLY: u8 = 14;
/// Information request.
pub const INFO_REQUEST: u8 = 15;
/// Information reply.
pub const INFO_REPLY: u8 = 16;
/// Address mask request.
pub const MASK_REQUEST: u8 = 17;
/// Address mask reply.
pub const MASK_REPLY: u8 = 18;

/// The header. For queries the second word is identifier and sequence number.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Icmp {
    /// Type of the message.
    pub kind: u8,
    /// Code, depending on the type.
    pub code: u8,
    /// Checksum over the whole message.
    pub checksum: U16,
    /// Identifier of a query.
    pub identifier: U16,
    /// Sequence number of a query; next-hop MTU of "fragmentation needed" (RFC 1191).
    pub sequence: U16,
}

impl Icmp {
    /// The header and what follows it; `None` when there are fewer than eight bytes.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Option<(&Self, &[u8])> {
        Self::ref_from_prefix(bytes).ok()
    }

    /// As [`Icmp::parse`], for writing.
    #[inline]
    pub fn parse_mut(bytes: &mut [u8]) -> Option<(&mut Self, &mut [u8])> {
        Self::mut_from_prefix(bytes).ok()
    }

    /// Whether the message reports an error and so quotes a packet (RFC 1122, section 3.2.2).
    pub fn is_error(kind: u8) -> bool {
        matches!(kind, UNREACHABLE | SOURCE_QUENCH | REDIRECT | TIME_EXCEEDED | PARAMETER_PROBLEM)
    }
}
