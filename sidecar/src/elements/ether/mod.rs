//! Elements for Ethernet frames.

use crate::element::Descriptor;

mod drop_broadcasts;
mod ether_encap;
mod ether_mirror;
mod ether_switch;
mod ether_vlan_encap;
mod host_ether_filter;
mod hub;
mod set_vlan_anno;
mod strip_ether_vlan_header;
mod vlan;
mod vlan_decap;
mod vlan_encap;

pub(super) static GROUP: &[&Descriptor] = &[
    &drop_broadcasts::DESCRIPTOR,
    &ether_encap::DESCRIPTOR,
    &ether_mirror::DESCRIPTOR,
    &host_ether_filter::DESCRIPTOR,
    &set_vlan_anno::DESCRIPTOR,
    &vlan_encap::DESCRIPTOR,
    &vlan_decap::DESCRIPTOR,
    &ether_vlan_encap::DESCRIPTOR,
    &strip_ether_vlan_header::DESCRIPTOR,
    &hub::DESCRIPTOR,
    &ether_switch::DESCRIPTOR,
];
