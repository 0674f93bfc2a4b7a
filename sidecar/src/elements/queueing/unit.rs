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

    /// Tokens that have to be there for a packet to pass. One that is longer than what is there is paid off later.
    pub(super) fn needed(self) -> u64 {
        match self {
            Self::Packets => 1,
            Self::Bytes => 0,
        }
    }

    /// A rate as a read handler shows it.
    pub(super) fn show_rate(self, rate: u64) -> String {
        match self {
            Self::Packets => rate.to_string(),
            Self::Bytes => Bandwidth(rate).to_string(),
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
