//! Elements that read from and write to devices.

use crate::element::Descriptor;

mod from_device;
mod host;
mod kernel_tun;
mod to_device;

pub(super) static GROUP: &[&Descriptor] = &[
    &from_device::FROM_DEVICE,
    &from_device::POLL_DEVICE,
    &host::FROM_HOST,
    &host::TO_HOST,
    &kernel_tun::KERNEL_TAP,
    &kernel_tun::KERNEL_TUN,
    &to_device::DESCRIPTOR,
];
