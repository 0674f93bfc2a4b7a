//! Elements for Ethernet frames.

use crate::element::Descriptor;

mod drop_broadcasts;
mod ether_encap;
mod ether_mirror;
mod host_ether_filter;

pub(super) static GROUP: &[&Descriptor] = &[
    &drop_broadcasts::DESCRIPTOR,
    &ether_encap::DESCRIPTOR,
    &ether_mirror::DESCRIPTOR,
    &host_ether_filter::DESCRIPTOR,
];
