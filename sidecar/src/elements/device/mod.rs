//! Elements that read from and write to devices.

use crate::element::Descriptor;

mod from_device;
mod kernel_tun;
mod to_device;

pub(super) static GROUP: &[&Descriptor] =
    &[&from_device::DESCRIPTOR, &kernel_tun::DESCRIPTOR, &to_device::DESCRIPTOR];
