//! Elements that read from and write to devices and sockets.

use crate::element::Descriptor;

mod from_device;
mod host;
mod kernel_tun;
mod raw_socket;
mod socket;
mod to_device;

pub(super) static GROUP: &[&Descriptor] = &[
    &from_device::FROM_DEVICE,
    &from_device::POLL_DEVICE,
    &host::FROM_HOST,
    &host::TO_HOST,
    &kernel_tun::KERNEL_TAP,
    &kernel_tun::KERNEL_TUN,
    &raw_socket::DESCRIPTOR,
    &socket::DESCRIPTOR,
    &to_device::DESCRIPTOR,
];
