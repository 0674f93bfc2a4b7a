//! The elements, one file a class, in groups. A group's `GROUP` list is its registration.

use crate::element::Descriptor;

pub mod annotation;
pub mod arp;
pub mod basic;
pub mod classifier;
pub mod classify;
pub mod control;
pub mod device;
pub mod ether;
pub mod flow;
pub mod icmp;
pub mod ip;
pub mod length;
pub mod link;
pub mod nat;
pub mod queueing;
pub mod source;
pub mod trace;

/// All groups, in the order of the reference.
pub static GROUPS: &[&[&Descriptor]] = &[
    basic::GROUP,
    source::GROUP,
    trace::GROUP,
    control::GROUP,
    queueing::GROUP,
    annotation::GROUP,
    length::GROUP,
    classify::GROUP,
    ip::GROUP,
    icmp::GROUP,
    arp::GROUP,
    nat::GROUP,
    flow::GROUP,
    classifier::GROUP,
    ether::GROUP,
    link::GROUP,
    device::GROUP,
];
