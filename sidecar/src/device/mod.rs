//! Devices: where frames enter and leave the machine.
//!
//! A [`Device`] never blocks. Elements reach it through [`Cx::device`](crate::element::Cx::device); who drives the
//! router polls its descriptor. The lab and tests put devices of their own in its place.

use std::io;
use std::os::fd::BorrowedFd;

use crate::engine::Time;
use crate::packet::Batch;

/// A network device, or something that behaves like one.
pub trait Device: Send {
    /// Adds the frames that have arrived to `batch`, as many as it has room for. 0 when there are none now.
    fn receive(&mut self, batch: &mut Batch, now: Time) -> io::Result<usize>;

    /// Sends frames from the front of `batch`; those not taken stay, in order. Frames that the device refuses for good
    /// (too long) are taken and counted as lost in the answer.
    fn send(&mut self, batch: &mut Batch) -> io::Result<Sent>;

    /// What to poll; `None` if it is always ready.
    fn fd(&self) -> Option<BorrowedFd<'_>>;
}

/// What became of the frames of one [`Device::send`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sent {
    /// Frames that went out.
    pub sent: usize,
    /// Frames that the device refused.
    pub refused: usize,
}

/// What an element wants of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Frames in.
    Receive,
    /// Frames out.
    Send,
    /// Both.
    Both,
}

/// A device that an element asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRequest {
    /// The name in the Click text.
    pub name: String,
    /// What it is for.
    pub direction: Direction,
    /// What kind of device.
    pub kind: DeviceKind,
}

/// Kinds of devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceKind {
    /// An existing network interface, through a packet socket.
    Interface {
        /// Whether to see frames for other hosts too.
        promiscuous: bool,
        /// Longest frame that is read whole.
        snaplen: usize,
        /// Whether to see frames that this host sends.
        outbound: bool,
    },
    /// A tunnel interface that the element makes, with this address.
    Tun {
        /// Address and prefix length of the host's end.
        address: std::net::Ipv4Addr,
        /// Prefix length.
        prefix: u8,
        /// Largest packet.
        mtu: u32,
    },
}
