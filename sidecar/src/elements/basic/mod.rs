//! Elements that any configuration uses: sinks, counters, copies, switches.

use crate::config::Value;
use crate::element::{Descriptor, HandlerError};

mod average_counter;
mod bypass;
mod counter;
mod discard;
mod handler_call;
mod idle;
mod null;
mod outfile;
mod print;
mod pull_tee;
mod random_sample;
mod switch;
mod tee;

pub(super) use handler_call::HandlerCall;
pub(crate) use outfile::Outfile;
pub(crate) use print::heading;

pub(super) static GROUP: &[&Descriptor] = &[
    &average_counter::DESCRIPTOR,
    &bypass::DESCRIPTOR,
    &counter::DESCRIPTOR,
    &discard::DESCRIPTOR,
    &idle::DESCRIPTOR,
    &null::DESCRIPTOR,
    &null::PULL,
    &null::PUSH,
    &print::DESCRIPTOR,
    &pull_tee::DESCRIPTOR,
    &random_sample::DESCRIPTOR,
    &switch::DESCRIPTOR,
    &tee::DESCRIPTOR,
];

/// Parses the value of a write handler.
pub(crate) fn parse_handler<T: Value>(value: &str) -> Result<T, HandlerError> {
    T::parse_plain(value).map_err(HandlerError::Refused)
}
