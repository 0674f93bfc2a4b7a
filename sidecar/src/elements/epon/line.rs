//! The optical line of 1000BASE-PX: how long things take, the clock of multipoint control, and the preamble that carries
//! the logical link identifier.
//!
//! On the fiber a packet is a frame behind its eight octets of preamble. Its timestamp annotation says when the first
//! bit of the preamble is at the place where the packet is now; its first timestamp annotation says when the laser that
//! sends it went on for this burst, as seen from there.

use std::time::Duration;

use crate::element::{Packet, Time};

/// Nanoseconds of a time quantum (64.2.2.1, tq): the unit of all times in multipoint control.
pub(super) const QUANTUM: u64 = 16;
/// Nanoseconds of an octet at 1 Gb/s.
const OCTET: u64 = 8;
/// Octets of the preamble.
pub(super) const PREAMBLE: usize = 8;
/// Octets of the shortest and of the longest frame without its check sequence (4A.4.2, envelope frames included).
const SHORTEST: usize = 60;
pub(super) const LONGEST: usize = 1996;
/// Octets of an Ethernet header.
const HEADER: usize = 14;
/// Octets of the frame check sequence, which packets do not carry.
const CHECK: usize = 4;
/// Octets of the gap between frames.
const GAP: usize = 12;

/// A frame that has no preamble in front of it.
pub(super) const NO_PREAMBLE: &str = "no EPON preamble";

/// The clock of multipoint control at `at`, in quanta: 32 bits that wrap after 68.7 s (64.2.2.2, localTime).
pub(super) fn clock(at: Time) -> u32 {
    (at.0 / QUANTUM) as u32
}

/// How long so many quanta are.
pub(super) fn span(quanta: impl Into<u64>) -> Duration {
    Duration::from_nanos(quanta.into() * QUANTUM)
}

/// The span in quanta, rounded up; what does not fit becomes the largest.
pub(super) fn quanta(span: Duration) -> u32 {
    u32::try_from(span.as_nanos().div_ceil(u128::from(QUANTUM))).unwrap_or(u32::MAX)
}

/// How long a frame of `len` octets (without preamble and check sequence) shines.
pub(super) fn shining(len: usize) -> Duration {
    Duration::from_nanos((PREAMBLE + len.max(SHORTEST) + CHECK) as u64 * OCTET)
}

/// How long a frame of `len` octets keeps the line, the gap behind it included.
pub(super) fn occupied(len: usize) -> Duration {
    shining(len) + Duration::from_nanos(GAP as u64 * OCTET)
}

/// From the first bit of a packet on the line to the first octet of its destination address, which is the one that
/// time stamps mean (64.2.1.1).
pub(super) const TO_ADDRESS: Duration = Duration::from_nanos(PREAMBLE as u64 * OCTET);

/// A logical link identifier with its mode bit (65.1.3.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Llid {
    /// The mode bit: from the OLT to all but one.
    pub(super) broadcast: bool,
    /// Fifteen bits.
    pub(super) id: u16,
}

impl Llid {
    /// What ONUs without an identifier send.
    pub(super) const UNREGISTERED: Self = Self { broadcast: false, id: Self::ALL };
    /// From the OLT to all ONUs.
    pub(super) const BROADCAST: Self = Self { broadcast: true, id: Self::ALL };
    /// The largest number: all ones, which no ONU is given.
    pub(super) const ALL: u16 = 0x7fff;

    /// The link of one ONU.
    pub(super) fn unicast(id: u16) -> Self {
        Self { broadcast: false, id: id & Self::ALL }
    }

    fn to_bits(self) -> u16 {
        u16::from(self.broadcast) << 15 | self.id
    }

    fn from_bits(bits: u16) -> Self {
        Self { broadcast: bits & 0x8000 != 0, id: bits & Self::ALL }
    }

    /// The preamble of a frame on this link (65.1.3.2): the start delimiter in its third octet, the link in the sixth
    /// and seventh, and a check over those from the delimiter on.
    pub(super) fn preamble(self) -> [u8; PREAMBLE] {
        let [high, low] = self.to_bits().to_be_bytes();
        let mut octets = [0x55, 0x55, DELIMITER, 0x55, 0x55, high, low, 0];
        octets[7] = crc8(&octets[2..7]);
        octets
    }

    /// The link and the frame behind a preamble; `None` if it is not one, or no frame comes behind it.
    pub(super) fn split(octets: &[u8]) -> Option<(Self, &[u8])> {
        let (preamble, frame) = octets.split_first_chunk::<PREAMBLE>()?;
        let good = preamble[2] == DELIMITER && preamble[7] == crc8(&preamble[2..7]);
        let llid = Self::from_bits(u16::from_be_bytes([preamble[5], preamble[6]]));
        (good && frame.len() >= HEADER).then_some((llid, frame))
    }

    /// Takes the preamble off a packet, and tells the link; nothing is done if it has none.
    pub(super) fn decapsulate(packet: &mut Packet) -> Option<Self> {
        let (llid, _) = Self::split(packet.data())?;
        if !packet.strip_front(PREAMBLE) {
            return None;
        }
        packet.set_mac_offset(Some(0));
        Some(llid)
    }

    /// Puts the preamble in front of a frame.
    pub(super) fn encapsulate(self, packet: &mut Packet) {
        packet.grow_front(PREAMBLE);
        if let Some(front) = packet.data_mut().first_chunk_mut() {
            *front = self.preamble();
        }
    }
}

const DELIMITER: u8 = 0xd5;

/// The check of the preamble (65.1.3.2.3): the polynomial x^8 + x^2 + x + 1, octets with their least significant bit first.
fn crc8(octets: &[u8]) -> u8 {
    octets.iter().fold(0, |crc, octet| {
        (0..8).fold(crc ^ octet, |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xe0 } else { crc >> 1 })
    })
}

/// Adds zero octets to a packet on the line until its frame is as long as the shortest.
pub(super) fn pad(packet: &mut Packet) {
    packet.grow_back((PREAMBLE + SHORTEST).saturating_sub(packet.len()));
}

/// When the packet's first bit is here. Packets that nobody sent over a line, and those of the future, come now.
pub(super) fn first_bit(packet: &Packet, now: Time) -> Time {
    match packet.anno().timestamp {
        Time(0) => now,
        at => at.min(now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_take_a_nanosecond_a_bit_with_what_belongs_to_them() {
        // 64 octets with check sequence, 8 of preamble, 12 of gap.
        assert_eq!(occupied(60), Duration::from_nanos(672));
        assert_eq!(occupied(14), occupied(60));
        assert_eq!(occupied(1514) - shining(1514), Duration::from_nanos(96));
        assert_eq!((quanta(occupied(60)), span(42_u32)), (42, Duration::from_nanos(672)));
    }

    #[test]
    fn the_clock_counts_quanta_and_wraps() {
        assert_eq!((clock(Time(15)), clock(Time(16)), clock(Time((1 << 36) + 40))), (0, 1, 2));
        assert_eq!(quanta(Duration::MAX), u32::MAX);
    }

    /// The check octets are what tshark 4.0 calls correct: see `tests/epon.rs`.
    #[test]
    fn a_preamble_is_read_back_and_a_broken_one_is_none() {
        assert_eq!(Llid::unicast(1).preamble(), [0x55, 0x55, 0xd5, 0x55, 0x55, 0x00, 0x01, 0x96]);
        let mut packet = Packet::from_slice(&[7; 20]);
        Llid::BROADCAST.encapsulate(&mut packet);
        assert_eq!(Llid::split(packet.data()), Some((Llid::BROADCAST, &[7; 20][..])));
        for at in 2..PREAMBLE {
            packet.data_mut()[at] ^= 4;
            assert_eq!(Llid::split(packet.data()), None, "octet {at}");
            packet.data_mut()[at] ^= 4;
        }
        assert_eq!(Llid::split(&packet.data()[..PREAMBLE + 13]), None);
    }
}
