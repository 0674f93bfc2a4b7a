//! Elements that any configuration uses: sinks, counters, copies, switches.

use crate::element::Descriptor;

mod counter;
mod discard;
mod tee;

use crate::config::Value;
use crate::element::HandlerError;

/// Parses the value of a write handler.
pub(crate) fn parse_handler<T: Value>(value: &str) -> Result<T, HandlerError> {
    T::parse_plain(value).map_err(HandlerError::Refused)
}

pub(super) static GROUP: &[&Descriptor] = &[&counter::DESCRIPTOR, &discard::DESCRIPTOR, &tee::DESCRIPTOR];
