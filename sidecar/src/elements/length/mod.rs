//! Elements that add bytes to packets or take them away.

use crate::element::Descriptor;

mod pad;
mod strip;
mod truncate;
mod unstrip;

pub(super) static GROUP: &[&Descriptor] =
    &[&pad::DESCRIPTOR, &strip::DESCRIPTOR, &truncate::DESCRIPTOR, &unstrip::DESCRIPTOR];
