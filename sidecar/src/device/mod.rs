//! Devices: where frames enter and leave the machine.
//!
//! A [`Device`] never blocks. Elements reach it through [`Cx::device`](crate::element::Cx::device); who drives the
//! router polls its descriptor. The lab and tests put devices of their own in its place.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;

mod offload;
mod packet_socket;
#[cfg(test)]
mod real;
mod socket;
mod sys;
mod tun;

pub use packet_socket::PacketSocket;
pub use socket::{Place, Socket, SocketSpec, Transport};
pub use tun::Tun;

use crate::config::EtherAddr;
use crate::engine::Time;
use crate::packet::Batch;

/// A network device, or something that behaves like one.
pub trait Device: Send {
    /// Adds the frames that have arrived to `batch`, as many as it has room for. 0 when there are none now.
    fn receive(&mut self, batch: &mut Batch, now: Time) -> io::Result<usize>;

    /// Sends frames from the front of `batch`; those not taken stay, in order. Frames that the device refuses for good
    /// (too long) are taken and counted as lost in the answer.
    fn send(&mut self, batch: &mut Batch) -> io::Result<Sent>;

    /// Another element asks for the same device: widen what it does. The request that opened it comes here, too.
    fn also(&mut self, request: &DeviceRequest) -> io::Result<()> {
        let _ = request;
        Ok(())
    }

    /// The name that it has, if it can be another than the one asked for.
    fn name(&self) -> Option<&str> {
        None
    }

    /// The socket that it is.
    fn as_socket(&mut self) -> Option<&mut Socket> {
        None
    }

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
    /// A tunnel interface to this host's stack.
    Tun(TunSpec),
    /// A socket.
    Socket(SocketSpec),
}

/// What an element wants of a tunnel interface. Several elements may share one: what one leaves open, another sets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TunSpec {
    /// Whether it carries Ethernet frames (TAP), not IP packets (TUN).
    pub ethernet: bool,
    /// Address and mask of the host's end; the interface comes up with them.
    pub address: Option<(Ipv4Addr, Ipv4Addr)>,
    /// A default route of the host, through this neighbour.
    pub gateway: Option<Ipv4Addr>,
    /// The Ethernet address of the host's end.
    pub ether: Option<EtherAddr>,
    /// Largest packet that the interface takes, to set there.
    pub mtu: Option<u32>,
    /// Longest packet that is read whole, without a link header.
    pub longest: u32,
}

/// Opens a device of this host: what `anf-sidecar run` does for the elements that ask for one. The request goes to
/// [`Device::also`] then.
pub fn open(request: &DeviceRequest) -> io::Result<Box<dyn Device>> {
    match &request.kind {
        DeviceKind::Interface { .. } => Ok(Box::new(PacketSocket::open(&request.name)?)),
        DeviceKind::Tun(spec) => Ok(Box::new(Tun::open(&request.name, spec.ethernet)?)),
        DeviceKind::Socket(spec) => Ok(Box::new(Socket::open(spec)?)),
    }
}
