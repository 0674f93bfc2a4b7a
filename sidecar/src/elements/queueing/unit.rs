//! What a rate counts: packets, or their bytes.

use crate::config::Bandwidth;
use crate::element::{Batch, HandlerError, Packet};
use crate::elements::basic::parse_handler;

/// See the module's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Packets,
    Bytes,
}

impl Unit {
    /// How much a packet is.
    #[inline]
    pub(super) fn of(self, packet: &Packet) -> u64 {
        match self {
            Self::Packets => 1,
            Self::Bytes => packet.len() as u64,
        }
    }

    /// How much a batch is.
    pub(super) fn of_all(self, batch: &Batch) -> u64 {
        match self {
            Self::Packets => batch.len() as u64,
            Self::Bytes => batch.iter().map(|packet| packet.len() as u64).sum(),
        }
    }

    /// A rate as a write handler takes it.
    pub(super) fn parse_rate(self, value: &str) -> Result<u64, HandlerError> {
        match self {
            Self::Packets => parse_handler(value),
            Self::Bytes => parse_handler::<Bandwidth>(value).map(|rate| rate.0),
        }
    }
}
