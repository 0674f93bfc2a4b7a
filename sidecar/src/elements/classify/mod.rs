//! Classification: which output a packet leaves by.
//!
//! IPClassifier and IPFilter are one machine: `ip_language` turns a pattern into an `ip_expression`, `ip_program`
//! compiles the expressions of all patterns into one decision program; `ip_names` has the names that patterns may use.

use crate::element::{Annotations, Descriptor};

mod ip_classifier;
mod ip_expression;
mod ip_filter;
mod ip_language;
pub(crate) mod ip_names;
mod ip_program;

pub(super) static GROUP: &[&Descriptor] = &[&ip_classifier::DESCRIPTOR, &ip_filter::DESCRIPTOR];

/// Patterns about Ethernet addresses (`ether host`, or an address written out) look at the header in front of the packet.
fn ether_header(config: &str) -> Annotations {
    if config.contains("ether") || config.contains(':') { Annotations::MAC_HEADER } else { Annotations::NONE }
}
