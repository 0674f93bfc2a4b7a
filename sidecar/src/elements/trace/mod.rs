//! Elements that read and write packet captures and summary dumps.

use crate::element::Descriptor;

mod file;
mod from_dump;
mod ip_summary;
mod link_type;
mod pcap;
mod sampling;
mod to_dump;

pub(super) static GROUP: &[&Descriptor] =
    &[&from_dump::DESCRIPTOR, &to_dump::DESCRIPTOR, &ip_summary::FROM, &ip_summary::TO];
