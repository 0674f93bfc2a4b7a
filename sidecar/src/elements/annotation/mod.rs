//! Elements that set, test, or branch on annotations.

use crate::element::Descriptor;

mod adjust_timestamp;
mod check_paint;
mod paint;
mod paint_switch;
mod paint_tee;
mod set_timestamp;
mod set_timestamp_delta;
mod time_filter;
mod time_sorted_sched;

pub(super) static GROUP: &[&Descriptor] = &[
    &check_paint::DESCRIPTOR,
    &paint::DESCRIPTOR,
    &paint_switch::DESCRIPTOR,
    &paint_tee::DESCRIPTOR,
    &set_timestamp::DESCRIPTOR,
    &set_timestamp_delta::DESCRIPTOR,
    &adjust_timestamp::DESCRIPTOR,
    &time_filter::DESCRIPTOR,
    &time_sorted_sched::DESCRIPTOR,
];
