//! Elements that set, test, or branch on annotations.

use crate::element::Descriptor;

mod check_paint;
mod paint;
mod paint_switch;
mod paint_tee;
mod set_timestamp;

pub(super) static GROUP: &[&Descriptor] = &[
    &check_paint::DESCRIPTOR,
    &paint::DESCRIPTOR,
    &paint_switch::DESCRIPTOR,
    &paint_tee::DESCRIPTOR,
    &set_timestamp::DESCRIPTOR,
];
