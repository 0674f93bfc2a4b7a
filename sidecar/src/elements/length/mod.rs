//! Elements that add bytes to packets or take them away.

use crate::element::Descriptor;

mod align;
mod pad;
mod resize;
mod strip;
mod strip_to_network_header;
mod truncate;
mod unstrip;

pub(super) static GROUP: &[&Descriptor] = &[
    &align::DESCRIPTOR,
    &pad::DESCRIPTOR,
    &strip::DESCRIPTOR,
    &truncate::DESCRIPTOR,
    &unstrip::DESCRIPTOR,
    &resize::DESCRIPTOR,
    &strip_to_network_header::DESCRIPTOR,
];
