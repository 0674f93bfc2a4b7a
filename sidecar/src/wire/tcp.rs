//! TCP headers (RFC 9293). After [`Tcp::parse`] the 20 fixed bytes are there; [`Tcp::header_length`] is a claim.

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of the header without options.
pub const MIN_HEADER_LENGTH: usize = 20;
/// No more data from the sender.
pub const FIN: u8 = 0x01;
/// Start of a connection.
pub const SYN: u8 = 0x02;
/// End of a connection by force.
pub const RST: u8 = 0x04;
/// Push.
pub const PSH: u8 = 0x08;
/// The acknowledgement field counts.
pub const ACK: u8 = 0x10;
/// The urgent pointer counts.
pub const URG: u8 = 0x20;

/// The fixed part of a header.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Tcp {
    /// Source port.
    pub source_port: U16,
    /// Destination port.
    pub destination_port: U16,
    /// Sequence number of the first byte.
    pub sequence: U32,
    /// Next sequence number that the sender expects.
    pub acknowledgement: U32,
    offset: u8,
    /// [`FIN`] to [`URG`], then ECE and CWR.
    pub flags: u8,
    /// Receive window, not scaled.
    pub window: U16,
    /// Checksum.
    pub checksum: U16,
    /// Urgent pointer.
    pub urgent: U16,
}

impl Tcp {
    /// The header and all bytes behind its fixed part; `None` when there are fewer than 20 bytes.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Option<(&Self, &[u8])> {
        Self::ref_from_prefix(bytes).ok()
    }

    /// As [`Tcp::parse`], for writing.
    #[inline]
    pub fn parse_mut(bytes: &mut [u8]) -> Option<(&mut Self, &mut [u8])> {
        Self::mut_from_prefix(bytes).ok()
    }

    /// The header's length in bytes, options included, as it claims.
    #[inline]
    pub fn header_length(&self) -> usize {
        usize::from(self.offset >> 4) * 4
    }

    /// Sets the header's length in bytes (a multiple of four, 20 to 60).
    pub fn set_header_length(&mut self, bytes: usize) {
        self.offset = ((bytes / 4) as u8) << 4;
    }
}
