//! The elements, one file a class, in groups. A group's `GROUP` list is its registration.

use crate::element::Descriptor;

pub(crate) use load::load;

pub mod annotation;
pub mod arp;
pub mod basic;
pub mod classifier;
pub mod classify;
pub mod control;
pub mod device;
pub mod epon;
pub mod ether;
pub mod flow;
pub mod icmp;
pub mod ip;
pub mod length;
pub mod link;
mod load;
pub mod nat;
pub mod queueing;
pub mod source;
pub mod trace;

/// A group of classes and its title.
pub type Group = (&'static str, &'static [&'static Descriptor]);

/// All groups, in the order of the reference.
pub static GROUPS: &[Group] = &[
    ("Basic", basic::GROUP),
    ("Sources", source::GROUP),
    ("Trace files", trace::GROUP),
    ("Control", control::GROUP),
    ("Queues, schedulers and shapers", queueing::GROUP),
    ("Annotations and time", annotation::GROUP),
    ("Packet length", length::GROUP),
    ("IP classifiers", classify::GROUP),
    ("IP", ip::GROUP),
    ("ICMP", icmp::GROUP),
    ("ARP", arp::GROUP),
    ("Network address translation", nat::GROUP),
    ("Flows and aggregates", flow::GROUP),
    ("Classifier", classifier::GROUP),
    ("Ethernet and VLAN", ether::GROUP),
    ("Ethernet passive optical networks", epon::GROUP),
    ("Links between sub-functions", link::GROUP),
    ("Devices", device::GROUP),
];
