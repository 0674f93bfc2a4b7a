//! Elements that read and write packet captures.

use crate::element::Descriptor;

mod from_dump;
mod pcap;
mod to_dump;

pub(super) static GROUP: &[&Descriptor] = &[&from_dump::DESCRIPTOR, &to_dump::DESCRIPTOR];
