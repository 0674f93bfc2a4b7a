//! The expression that an IPClassifier pattern means: tests of masked 32-bit words, joined by and, or, not, if.
//!
//! Words are numbered: 0–4 the fixed IP header, 5–9 the first 20 bytes of the transport header, the others by
//! [`Word::ip`], [`Word::transport`] and [`Word::mac`]. All values are in host order of the big-endian word.

use crate::wire::ipv4;

/// A 32-bit word of the packet, aligned to its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Word(u16);

/// Words that a program loads once for each packet.
pub(super) const NEAR_WORDS: usize = 10;
const IP_NEAR: u16 = 5;
const TRANSPORT_FAR: u16 = 0x8000;
const MAC: u16 = 0x4000;

/// The header that a word belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    Mac,
    Ip,
    Transport,
}

impl Word {
    /// The word at `index` of the IP header.
    pub(super) fn ip(index: u16) -> Self {
        if index < IP_NEAR { Self(index) } else { Self(index + 16) }
    }

    /// The word at `index` of the transport header.
    pub(super) fn transport(index: u16) -> Self {
        if index < IP_NEAR { Self(index + IP_NEAR) } else { Self(TRANSPORT_FAR | index) }
    }

    /// The word at `index` of the MAC header.
    pub(super) fn mac(index: u16) -> Self {
        Self(MAC | index)
    }

    /// The position among the near words, if it is one.
    pub(super) fn near(self) -> Option<usize> {
        let index = usize::from(self.0);
        (index < NEAR_WORDS).then_some(index)
    }

    /// The header, and the byte offset there.
    pub(super) fn place(self) -> (Header, usize) {
        let (header, index) = match self.0 {
            index @ 0..IP_NEAR => (Header::Ip, index),
            index if (index as usize) < NEAR_WORDS => (Header::Transport, index - IP_NEAR),
            far if far & TRANSPORT_FAR != 0 => (Header::Transport, far & !TRANSPORT_FAR),
            far if far & MAC != 0 => (Header::Mac, far & !MAC),
            far => (Header::Ip, far.saturating_sub(16)),
        };
        (header, usize::from(index) * 4)
    }
}

/// How a masked word is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Compare {
    /// Equal to the value.
    Equal,
    /// Greater than the value.
    Greater,
}

/// One test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Test {
    pub(super) word: Word,
    pub(super) compare: Compare,
    pub(super) mask: u32,
    pub(super) value: u32,
}

/// A condition on a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expression {
    Constant(bool),
    Test(Test),
    Not(Box<Expression>),
    And(Vec<Expression>),
    Or(Vec<Expression>),
    If(Box<[Expression; 3]>),
}

impl Expression {
    pub(super) fn equal(word: Word, mask: u32, value: u32) -> Self {
        if value & !mask != 0 {
            return Self::Constant(false);
        }
        if mask == 0 {
            return Self::Constant(true);
        }
        Self::Test(Test { word, compare: Compare::Equal, mask, value })
    }

    pub(super) fn greater(word: Word, mask: u32, value: u32) -> Self {
        if value >= mask {
            return Self::Constant(false);
        }
        Self::Test(Test { word, compare: Compare::Greater, mask, value })
    }

    pub(super) fn negate(self) -> Self {
        match self {
            Self::Constant(value) => Self::Constant(!value),
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    pub(super) fn negate_if(self, condition: bool) -> Self {
        if condition { self.negate() } else { self }
    }

    /// The packet's protocol is `number`.
    pub(super) fn protocol(number: u8) -> Self {
        Self::equal(Word::ip(2), 0x00ff_0000, u32::from(number) << 16)
    }

    /// TCP or UDP: what `port` means without a protocol.
    pub(super) fn with_ports() -> Self {
        Self::Or(vec![Self::protocol(ipv4::TCP), Self::protocol(ipv4::UDP)])
    }

    /// The packet has its transport header: it is whole or a first fragment.
    pub(super) fn first_fragment() -> Self {
        Self::equal(Word::ip(1), u32::from(ipv4::OFFSET_MASK), 0)
    }

    /// The packet is no fragment.
    pub(super) fn whole() -> Self {
        Self::equal(Word::ip(1), u32::from(ipv4::OFFSET_MASK | ipv4::MORE_FRAGMENTS), 0)
    }
}
