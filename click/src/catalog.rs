//! What this crate must be told about element classes. It knows none itself: the sidecar's registry has the
//! real ones, tests bring their own.

use std::fmt;

/// A set of packet annotations, what a packet carries beside its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Annotations(pub u64);

macro_rules! annotations {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $text:literal;)*) => {
        impl Annotations {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*

            /// All annotations there are.
            pub const ALL: Self = Self($(1 << $bit)|*);

            const NAMES: &'static [(Self, &'static str)] = &[$((Self::$name, $text)),*];
        }
    };
}

annotations! {
    /// Paint (one byte).
    PAINT = 0, "paint";
    /// Destination IP address, where a route look-up puts the gateway.
    DST_IP = 1, "dst-ip";
    /// Offset and length of the network header.
    NETWORK_HEADER = 2, "network-header";
    /// Offset of the transport header.
    TRANSPORT_HEADER = 3, "transport-header";
    /// Offset of the link-layer header.
    MAC_HEADER = 4, "mac-header";
    /// VLAN tag.
    VLAN = 5, "vlan";
    /// Aggregate number (a flow's).
    AGGREGATE = 6, "aggregate";
    /// Timestamp.
    TIMESTAMP = 7, "timestamp";
    /// First timestamp of an aggregated packet.
    FIRST_TIMESTAMP = 8, "first-timestamp";
    /// Bytes of the packet that are not in the buffer.
    EXTRA_LENGTH = 9, "extra-length";
    /// Link-level packet type (host, broadcast, multicast, other host, outgoing).
    PACKET_TYPE = 10, "packet-type";
    /// Offset of an IP header's bad field, for ICMP parameter problem.
    ICMP_PARAM_PROB = 11, "icmp-param-prob";
    /// The source address is to be replaced by the sending interface's.
    FIX_IP_SRC = 12, "fix-ip-src";
    /// Number of packets that this one stands for.
    EXTRA_PACKETS = 13, "extra-packets";
    /// Sequence number given by an element.
    SEQUENCE = 14, "sequence";
    /// Destination Ethernet address.
    DST_ETHER = 15, "dst-ether";
    /// Number of the device that the packet came in by.
    DEVICE = 16, "device";
    /// Forwarding priority.
    PRIORITY = 17, "priority";
    /// Length of the packet's payload where the packet is cut short.
    PAYLOAD_LENGTH = 18, "payload-length";
    /// IPsec security parameters.
    IPSEC_SPI = 19, "ipsec-spi";
    /// Miscellaneous IP annotation.
    MISC_IP = 20, "misc-ip";
    /// Bytes stripped from the front, which Unstrip gives back.
    FRONT = 21, "front";
}

impl Annotations {
    /// No annotation.
    pub const NONE: Self = Self(0);

    /// What is in either.
    #[must_use]
    #[inline]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    #[inline]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this one only.
    #[must_use]
    #[inline]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of `other` are in this one.
    #[inline]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there is none.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each one, lowest bit first: the order in which a frame holds them.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = Annotations> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let lowest = rest & rest.wrapping_neg();
            rest ^= lowest;
            (lowest != 0).then_some(Self(lowest))
        })
    }

    /// The annotation of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(one, _)| *one)
    }

    /// Their names, in order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(one, _)| self.contains(*one)).map(|(_, name)| *name)
    }
}

impl std::ops::BitOr for Annotations {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

impl std::ops::BitOrAssign for Annotations {
    fn bitor_assign(&mut self, other: Self) {
        *self = self.union(other);
    }
}

impl fmt::Debug for Annotations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Annotations({self})")
    }
}

/// Names joined by spaces; `none` if empty.
impl fmt::Display for Annotations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        f.write_str(&self.names().collect::<Vec<_>>().join(" "))
    }
}

/// What an element class is, as far as the graph is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassInfo {
    /// Click's port count code: `1/1-2`, `-/=`, `1-/=+`.
    pub ports: &'static str,
    /// Click's processing code: `a/ah` (h push, l pull, a agnostic; the last letter repeats).
    pub processing: &'static str,
    /// Click's flow code: `x/x`, `xy/x`, `#/#`, `#/[^#]`.
    pub flow: &'static str,
    /// Annotations that an element of the class reads.
    pub reads: Annotations,
    /// Annotations that it writes on every packet that leaves by output 0, whatever its configuration says.
    pub writes: Annotations,
    /// A definition that others use by name (AddressInfo): copied to every part that uses a name of it.
    pub global: bool,
    /// Packets leave in the order in which they came.
    pub keeps_order: bool,
    /// Its part in what elements tell each other about full queues.
    pub queueing: Queueing,
    /// What packets cost it.
    pub load: Load,
}

/// What an element does with its packets, roughly: enough to propose a balanced cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Time for a packet, in nanoseconds.
    pub nanoseconds: u16,
    /// A packet leaves by every output (Tee), not by one of them.
    pub copies: bool,
}

impl Load {
    /// A few instructions for each packet.
    pub const LIGHT: Self = Self::of(4);

    /// So many nanoseconds for each packet.
    pub const fn of(nanoseconds: u16) -> Self {
        Self { nanoseconds, copies: false }
    }
}

impl Default for Load {
    fn default() -> Self {
        Self::LIGHT
    }
}

/// What an element has to do with queues: a cut must not come between those that watch each other unseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Queueing {
    /// A queue whose output 0 gives the same packets in the same order whenever it is pulled, and that turns away
    /// what comes when it is full: it may be pulled ahead of time.
    pub fifo: bool,
    /// A queue that tells sources when it is full.
    pub tells_full: bool,
    /// A source that rests while all that it pushes would end in full queues.
    pub heeds_full: bool,
    /// A place where packets wait, which an element with `looks_for_queues` finds.
    pub stores: bool,
    /// Looks for the nearest queues downstream (upstream if it is pulled) and reads how long they are.
    pub looks_for_queues: bool,
}

impl Queueing {
    /// Nothing.
    pub const NONE: Self =
        Self { fifo: false, tells_full: false, heeds_full: false, stores: false, looks_for_queues: false };
}

/// Element classes by name.
pub trait Catalog {
    /// The class of that name.
    fn class(&self, class: &str) -> Option<ClassInfo>;
    /// The class of that name, as an element with this configuration uses it: it may read more.
    fn class_with(&self, class: &str, config: &str) -> Option<ClassInfo> {
        let _ = config;
        self.class(class)
    }
    /// All names, for suggestions.
    fn class_names(&self) -> Vec<&str>;
    /// Names of elements that this configuration ties the element to, as written in it (relative to the
    /// element's own compound or full): ICMPRewriter's rewriters, a shared ARPTable, handlers in a Script.
    fn ties(&self, class: &str, config: &str) -> Vec<String>;
}
