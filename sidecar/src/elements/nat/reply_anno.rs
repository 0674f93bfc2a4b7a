//! The REPLY_ANNO keyword: an annotation of a flow's first packet that its replies get, too.

use crate::config::{Scope, Value};
use crate::element::{Annotations, Arg, Packet};

pub(super) const REPLY_ANNO: Arg = Arg::keyword(
    "REPLY_ANNO",
    "annotation of one byte",
    "",
    "on replies, set this annotation to what it was on the flow's first packet",
);

/// The annotations that may be named.
pub(super) const READS: Annotations =
    Annotations::PAINT.union(Annotations::ICMP_PARAM_PROB).union(Annotations::FIX_IP_SRC);

/// An annotation of one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByteAnno {
    Paint,
    IcmpParamProb,
    FixIpSrc,
}

impl Value for ByteAnno {
    /// Names, and the places that Click gives them, count.
    fn parse(text: &str, _: &Scope<'_>) -> Result<Self, String> {
        match text {
            "PAINT" | "16" => Ok(Self::Paint),
            "ICMP_PARAMPROB" | "17" => Ok(Self::IcmpParamProb),
            "FIX_IP_SRC" | "19" => Ok(Self::FixIpSrc),
            _ => Err(format!("expected PAINT or another annotation of one byte, got '{text}'")),
        }
    }
}

impl ByteAnno {
    pub(super) fn get(self, packet: &Packet) -> u8 {
        let anno = packet.anno();
        match self {
            Self::Paint => anno.paint,
            Self::IcmpParamProb => anno.icmp_param_prob,
            Self::FixIpSrc => u8::from(anno.fix_ip_src),
        }
    }

    pub(super) fn set(self, packet: &mut Packet, value: u8) {
        let anno = packet.anno_mut();
        match self {
            Self::Paint => anno.paint = value,
            Self::IcmpParamProb => anno.icmp_param_prob = value,
            Self::FixIpSrc => anno.fix_ip_src = value != 0,
        }
    }
}
