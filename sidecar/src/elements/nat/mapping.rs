//! The record of one flow: what it is rewritten to, where it goes, and what decides when it times out.

use std::fmt;

use crate::state::{Reader, Record, Schema, StateError, Writer};
use crate::wire::{FlowId, Protocol};

/// The binary form of a table of mappings.
pub(super) const SCHEMA: Schema = Schema { name: "nat/flows", version: 2 };

/// Which way a packet goes through a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// As the packet that made the mapping.
    Forward,
    /// The answers.
    Reply,
}

/// What was seen of a flow, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Seen(u8);

impl Seen {
    /// One bit further left: the same of the reply way.
    const FORWARD_DONE: u8 = 1;
    const BOTH_DONE: u8 = 3;
    const FORWARD_DATA: u8 = 4;
    const BOTH_DATA: u8 = 12;
    const REPLIED: u8 = 16;
    const SECOND: u8 = 32;
    const THIRD: u8 = 64;
    const ADJUSTED: u8 = 128;

    /// Notes a TCP segment. Any valid sequence of segments is let through, simultaneous open included
    /// (RFC 5382, REQ-2): only the end of the connection and data are noted, to choose the timeout.
    #[inline]
    pub(super) fn tcp(&mut self, way: Way, flags: u8, has_data: bool) {
        use crate::wire::tcp::{FIN, RST, SYN};
        let shift = u8::from(way == Way::Reply);
        if flags & RST != 0 {
            self.0 |= Self::BOTH_DONE;
        } else if flags & FIN != 0 {
            self.0 |= Self::FORWARD_DONE << shift;
        } else if flags & SYN != 0 || has_data {
            self.0 &= !(Self::FORWARD_DONE << shift);
        }
        if has_data {
            self.0 |= Self::FORWARD_DATA << shift;
        }
    }

    /// Notes a datagram or a query.
    #[inline]
    pub(super) fn datagram(&mut self, way: Way) {
        if way == Way::Reply {
            self.0 |= Self::REPLIED;
        }
        let counted = if self.0 & Self::SECOND == 0 { Self::SECOND } else { Self::THIRD };
        self.0 |= counted;
    }

    /// Whether the sequence numbers of the connection are shifted here.
    #[inline]
    pub(super) fn is_adjusted(self) -> bool {
        self.0 & Self::ADJUSTED != 0
    }

    pub(super) fn set_adjusted(&mut self) {
        self.0 |= Self::ADJUSTED;
    }

    pub(super) fn is_done(self) -> bool {
        self.0 & Self::BOTH_DONE == Self::BOTH_DONE
    }

    fn has_data_both_ways(self) -> bool {
        self.0 & Self::BOTH_DATA == Self::BOTH_DATA
    }

    fn is_streaming(self) -> bool {
        self.0 & (Self::REPLIED | Self::THIRD) == Self::REPLIED | Self::THIRD
    }
}

/// The value of a record; its key is the flow before rewriting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mapping {
    /// The flow after rewriting.
    pub(super) rewritten: FlowId,
    /// When the last packet passed, either way, in nanoseconds.
    pub(super) last_seen: u64,
    pub(super) forward_output: u16,
    pub(super) reply_output: u16,
    /// The input whose specification made it.
    pub(super) input: u16,
    pub(super) seen: Seen,
    /// What the annotation of REPLY_ANNO was on the first packet.
    pub(super) reply_anno: u8,
}

impl Record for Mapping {
    fn put(&self, w: &mut Writer) {
        self.rewritten.put(w);
        w.put_u64(self.last_seen);
        w.put_u16(self.forward_output);
        w.put_u16(self.reply_output);
        w.put_u16(self.input);
        w.put_u8(self.seen.0);
        w.put_u8(self.reply_anno);
    }

    fn get(r: &mut Reader<'_>) -> Result<Self, StateError> {
        Ok(Self {
            rewritten: FlowId::get(r)?,
            last_seen: r.get_u64()?,
            forward_output: r.get_u16()?,
            reply_output: r.get_u16()?,
            input: r.get_u16()?,
            seen: Seen(r.get_u8()?),
            reply_anno: r.get_u8()?,
        })
    }
}

/// After how many nanoseconds without a packet a mapping goes.
///
/// Both ways refresh it (RFC 4787, REQ-6 asks it of outbound packets; inbound ones count too, as in Click).
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    /// TCP with data both ways. 24 hours; RFC 5382, REQ-5 asks for 2 hours and 4 minutes at least.
    pub(super) tcp: u64,
    /// TCP without data one way: 5 minutes; RFC 5382, REQ-5 asks for 4 minutes at least.
    pub(super) tcp_nodata: u64,
    /// TCP that has ended: 4 minutes (RFC 5382, REQ-5).
    pub(super) tcp_done: u64,
    /// UDP: 5 minutes (RFC 4787, REQ-5), also for ICMP queries, where RFC 5508, REQ-2 asks for 60 seconds at least.
    pub(super) udp: u64,
    /// UDP with answers and at least three packets.
    pub(super) udp_streaming: u64,
    /// How long after a packet a TCP flow makes room for no other.
    pub(super) tcp_guarantee: u64,
    /// The same for all others.
    pub(super) guarantee: u64,
    /// Whether TCP flows go by the state of their connection, and not as datagrams do.
    pub(super) tracks_tcp: bool,
}

impl Timeouts {
    #[inline]
    fn of(&self, protocol: Protocol, seen: Seen) -> u64 {
        match protocol {
            Protocol::Tcp if !self.tracks_tcp => self.of(Protocol::Udp, seen),
            Protocol::Tcp if seen.is_done() => self.tcp_done,
            Protocol::Tcp if seen.has_data_both_ways() => self.tcp,
            Protocol::Tcp => self.tcp_nodata,
            Protocol::Udp | Protocol::Icmp if seen.is_streaming() => self.udp_streaming,
            Protocol::Udp | Protocol::Icmp => self.udp,
        }
    }

    /// Until when a mapping makes room for no other.
    pub(super) fn guaranteed_until(&self, flow: &FlowId, mapping: &Mapping) -> u64 {
        let tcp = flow.protocol == Protocol::Tcp && self.tracks_tcp;
        mapping.last_seen.saturating_add(if tcp { self.tcp_guarantee } else { self.guarantee })
    }

    /// When a mapping is due.
    #[inline]
    pub(super) fn deadline(&self, flow: &FlowId, mapping: &Mapping) -> u64 {
        mapping.last_seen.saturating_add(self.of(flow.protocol, mapping.seen))
    }
}

/// How click prints the two outputs, the input and the time of a mapping, after its flows.
pub(super) struct Ports<'a> {
    pub(super) mapping: &'a Mapping,
    pub(super) way: Way,
    /// Nanoseconds until it is due.
    pub(super) left: u64,
}

impl fmt::Display for Ports<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mapping { forward_output, reply_output, input, .. } = self.mapping;
        match self.way {
            Way::Forward => write!(f, "[*{forward_output} {reply_output}]")?,
            Way::Reply => write!(f, "[{forward_output} *{reply_output}]")?,
        }
        write!(f, " i{input} exp{}", (self.left + 500_000_000) / 1_000_000_000)
    }
}
