//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624, equation 3).
//!
//! Sums are kept unfolded in 64 bits, which cannot overflow for any packet: 2^16 words of 16 bits need 32.

/// A one's complement sum under way.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum(u64);

impl Sum {
    /// The empty sum.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes that start at an even offset; an odd last byte counts as the high half of a word.
    #[inline]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        let mut quads = bytes.chunks_exact(4);
        for quad in &mut quads {
            self.0 += u64::from(u32::from_be_bytes([quad[0], quad[1], quad[2], quad[3]]));
        }
        match *quads.remainder() {
            [a] => self.word(u16::from_be_bytes([a, 0])),
            [a, b] => self.word(u16::from_be_bytes([a, b])),
            [a, b, c] => self.word(u16::from_be_bytes([a, b])).word(u16::from_be_bytes([c, 0])),
            _ => self,
        }
    }

    /// Adds one 16-bit word.
    #[inline]
    pub fn word(self, word: u16) -> Self {
        Self(self.0 + u64::from(word))
    }

    /// Adds one 32-bit word.
    #[inline]
    pub fn double(self, double: u32) -> Self {
        Self(self.0 + u64::from(double))
    }

    /// Adds the pseudo-header of TCP and UDP (RFC 9293, section 3.1; RFC 768).
    #[inline]
    pub fn pseudo(self, source: u32, destination: u32, protocol: u8, length: u16) -> Self {
        self.double(source).double(destination).word(u16::from(protocol)).word(length)
    }

    /// The sum folded into 16 bits, not complemented.
    #[inline]
    pub fn fold(self) -> u16 {
        let mut sum = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        ((sum & 0xffff) + (sum >> 16)) as u16
    }

    /// The checksum: the complement of the folded sum.
    #[inline]
    pub fn finish(self) -> u16 {
        !self.fold()
    }
}

/// The checksum of bytes whose own checksum field is zero; 0 when the field holds the right one.
#[inline]
pub fn of(bytes: &[u8]) -> u16 {
    Sum::new().bytes(bytes).finish()
}

/// Whether a header of twenty bytes, checksum included, is right. The sum does not depend on the order of bytes
/// (RFC 1071, section 2 B), so words are added as they lie in memory.
#[inline]
pub fn twenty_bytes_are_right(header: &[u8; 20]) -> bool {
    let mut sum = Sum::new();
    for quad in header.chunks_exact(4) {
        sum = sum.double(u32::from_ne_bytes([quad[0], quad[1], quad[2], quad[3]]));
    }
    sum.finish() == 0
}

/// What a set of field changes does to a checksum, good for any number of packets: `~m + m'` summed (RFC 1624).
#[derive(Debug, Clone, Copy, Default)]
pub struct Change(u64);

impl Change {
    /// No change.
    pub fn new() -> Self {
        Self::default()
    }

    /// A 16-bit field goes from `old` to `new`.
    #[inline]
    pub fn word(self, old: u16, new: u16) -> Self {
        Self(self.0 + u64::from(!old) + u64::from(new))
    }

    /// A 32-bit field goes from `old` to `new`.
    #[inline]
    pub fn double(self, old: u32, new: u32) -> Self {
        Self(self.0 + u64::from(!old) + u64::from(new))
    }

    /// The checksum after the change.
    #[inline]
    pub fn apply(self, checksum: u16) -> u16 {
        Sum(self.0 + u64::from(!checksum)).finish()
    }

    /// The checksum of a UDP header after the change: zero says "none" and stays, a computed zero is sent as all
    /// ones (RFC 768).
    #[inline]
    pub fn apply_udp(self, checksum: u16) -> u16 {
        match checksum {
            0 => 0,
            present => match self.apply(present) {
                0 => 0xffff,
                changed => changed,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_sum_of_rfc_1071_section_3_is_ddf2() {
        assert_eq!(Sum::new().bytes(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]).fold(), 0xddf2);
    }

    #[test]
    fn the_corner_case_of_rfc_1624_section_4_gives_zero_and_not_ones() {
        // HC = 0xDD2F, m = 0x5555, m' = 0x3285: the result must be 0x0000.
        assert_eq!(Change::new().word(0x5555, 0x3285).apply(0xdd2f), 0x0000);
    }

    #[test]
    fn a_missing_udp_checksum_stays_missing_and_a_computed_zero_becomes_ones() {
        assert_eq!(Change::new().word(1, 2).apply_udp(0), 0);
        assert_eq!(Change::new().word(0x5555, 0x3285).apply_udp(0xdd2f), 0xffff);
    }

    proptest! {
        #[test]
        fn an_incremental_update_equals_a_new_sum(mut bytes in prop::collection::vec(any::<u8>(), 8..100), new: u32, at in 0usize..2) {
            prop_assume!(bytes.iter().any(|&b| b != 0));
            let old_sum = of(&bytes);
            let at = at * 4;
            let old = u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
            bytes[at..at + 4].copy_from_slice(&new.to_be_bytes());
            let (updated, fresh) = (Change::new().double(old, new).apply(old_sum), of(&bytes));
            // All-zero bytes have the only sum with two forms.
            prop_assert!(updated == fresh || (updated ^ fresh == 0xffff && bytes.iter().all(|&b| b == 0)));
        }
    }
}
