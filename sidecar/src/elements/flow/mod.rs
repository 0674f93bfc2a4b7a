//! Flows: numbering them, counting them, watching them.

use crate::element::Descriptor;

mod aggregate_counter;
mod aggregate_file;
mod aggregate_ip;
mod aggregate_ip_flows;
mod flow_monitor;
mod ip_field;
mod ip_rate_monitor;
mod limit;
mod pair;

pub(super) static GROUP: &[&Descriptor] = &[
    &aggregate_ip_flows::DESCRIPTOR,
    &aggregate_counter::DESCRIPTOR,
    &flow_monitor::DESCRIPTOR,
    &aggregate_ip::DESCRIPTOR,
    &ip_rate_monitor::DESCRIPTOR,
];
