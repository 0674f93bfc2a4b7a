//! A tunnel interface: IP packets (TUN) or Ethernet frames (TAP) to and from the host's own stack.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;

use super::{Device, DeviceKind, DeviceRequest, Sent, sys};
use crate::engine::Time;
use crate::packet::{Batch, HEADROOM, Packet};

/// Bytes of an Ethernet header with a VLAN tag.
const LINK_HEADER: usize = 18;

/// See the module's head.
#[derive(Debug)]
pub struct Tun {
    file: File,
    name: String,
    ethernet: bool,
    /// Longest packet or frame that is read whole.
    longest: usize,
}

impl Tun {
    /// Opens tunnel `name`, or makes it; an empty name lets the kernel choose.
    pub fn open(name: &str, ethernet: bool) -> io::Result<Self> {
        let file =
            OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
        let name = sys::make_tun(file.as_fd(), name, ethernet)?;
        Ok(Self { file, name, ethernet, longest: 0 })
    }
}

impl Device for Tun {
    fn receive(&mut self, batch: &mut Batch, now: Time) -> io::Result<usize> {
        let before = batch.len();
        while !batch.is_full() {
            let mut packet = Packet::stale(HEADROOM, self.longest);
            match self.file.read(packet.data_mut()) {
                Ok(0) => break,
                Ok(length) => {
                    packet.truncate(length);
                    packet.anno_mut().timestamp = now;
                    batch.push(packet);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(batch.len() - before)
    }

    fn send(&mut self, batch: &mut Batch) -> io::Result<Sent> {
        let mut done = Sent::default();
        let mut blocked = None;
        batch.filter_map(|packet| {
            if blocked.is_some() {
                return Some(packet);
            }
            match self.file.write(packet.data()) {
                Ok(_) => done.sent += 1,
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => done.refused += 1,
                Err(error) => {
                    blocked = Some(error);
                    return Some(packet);
                }
            }
            None
        });
        match blocked {
            Some(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(done),
        }
    }

    fn also(&mut self, request: &DeviceRequest) -> io::Result<()> {
        let DeviceKind::Tun(spec) = &request.kind else { return Ok(()) };
        let link = if self.ethernet { LINK_HEADER } else { 0 };
        self.longest = self.longest.max((spec.longest as usize).clamp(68, 65_535) + link);
        sys::configure_interface(&self.name, spec)
    }

    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }
}
