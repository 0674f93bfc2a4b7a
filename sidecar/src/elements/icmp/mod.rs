//! ICMP: errors, answers to pings.

use crate::element::Descriptor;

mod icmp_error;
mod icmp_ip_encap;
mod icmp_ping_encap;
mod icmp_ping_responder;

pub(super) static GROUP: &[&Descriptor] = &[
    &icmp_error::DESCRIPTOR,
    &icmp_ping_responder::DESCRIPTOR,
    &icmp_ip_encap::DESCRIPTOR,
    &icmp_ping_encap::DESCRIPTOR,
];
