//! A tunnel interface (TUN): IP packets to and from the host's own stack.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;

use super::{Device, Sent, sys};
use crate::engine::Time;
use crate::packet::{Batch, HEADROOM, Packet};

/// See the module's head.
#[derive(Debug)]
pub struct Tun {
    file: File,
    name: String,
    mtu: usize,
}

impl Tun {
    /// Opens tunnel `name`, or makes it; an empty name lets the kernel choose.
    pub fn open(name: &str, mtu: u32) -> io::Result<Self> {
        let file =
            OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
        let name = sys::make_tun(file.as_fd(), name)?;
        Ok(Self { file, name, mtu: (mtu as usize).clamp(68, 65_535) })
    }

    /// Gives the host's end an address and brings the tunnel up.
    pub fn configure(&self, address: Ipv4Addr, mask: Ipv4Addr) -> io::Result<()> {
        sys::configure_interface(&self.name, address, mask, self.mtu as u32)
    }

    /// The interface's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Device for Tun {
    fn receive(&mut self, batch: &mut Batch, now: Time) -> io::Result<usize> {
        let before = batch.len();
        while !batch.is_full() {
            let mut packet = Packet::stale(HEADROOM, self.mtu);
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

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }
}
