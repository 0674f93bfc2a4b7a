//! A network interface through a packet socket (packet(7)).
//!
//! Frames that this host sends by the same interface are not received. A frame whose transport checksum was left to
//! hardware (a veth peer does that) gets it here: inside the graph every checksum is complete.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::{Device, DeviceKind, DeviceRequest, Direction, Sent, offload, sys};
use crate::engine::Time;
use crate::packet::{BATCH, Batch, HEADROOM, POOLED_BYTES, Packet, PacketType};

/// Bytes that the kernel may hold for us in each direction.
const SOCKET_BUFFER: i32 = 16 << 20;
/// What a pooled buffer holds: longer than any frame of a 1,500-byte MTU.
const FRAME: usize = POOLED_BYTES - HEADROOM;

/// See the module's head.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
    index: i32,
    receiving: bool,
    outbound: bool,
    /// Bytes read of a frame.
    snaplen: usize,
    /// Buffers for the next frames.
    slots: Vec<Packet>,
}

impl PacketSocket {
    /// Opens the interface of that name. It receives only once it was asked to ([`Device::also`]).
    pub fn open(interface: &str) -> io::Result<Self> {
        let index = sys::interface_index(interface)?;
        let fd = sys::packet_socket()?;
        for (force, plain) in
            [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)]
        {
            sys::set_option(fd.as_fd(), libc::SOL_SOCKET, force, SOCKET_BUFFER)
                .or_else(|_| sys::set_option(fd.as_fd(), libc::SOL_SOCKET, plain, SOCKET_BUFFER))?;
        }
        sys::bind_packet(fd.as_fd(), index, false)?;
        Ok(Self { fd, index, receiving: false, outbound: false, snaplen: FRAME, slots: Vec::new() })
    }

    fn start_receiving(&mut self) -> io::Result<()> {
        if !std::mem::replace(&mut self.receiving, true) {
            sys::set_option(self.fd.as_fd(), libc::SOL_PACKET, libc::PACKET_AUXDATA, 1)?;
            sys::bind_packet(self.fd.as_fd(), self.index, true)?;
        }
        Ok(())
    }
}

impl Device for PacketSocket {
    fn receive(&mut self, batch: &mut Batch, now: Time) -> io::Result<usize> {
        let room = batch.room();
        while self.slots.len() < room {
            self.slots.push(Packet::stale(HEADROOM, self.snaplen));
        }
        let mut received = [sys::Received::default(); BATCH];
        let got = match sys::receive_many(self.fd.as_fd(), &mut self.slots[..room], &mut received) {
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        let mut kept = 0;
        for (mut packet, about) in self.slots.drain(..got).zip(received) {
            let kind = PacketType::from_number(about.packet_type);
            if kind == PacketType::Outgoing && !self.outbound {
                continue;
            }
            packet.truncate(about.len);
            if about.checksum_missing {
                offload::complete_checksum(packet.data_mut());
            }
            packet.set_mac_offset(Some(0));
            let anno = packet.anno_mut();
            anno.timestamp = now;
            anno.packet_type = kind;
            anno.vlan_tci = about.vlan_tci;
            anno.extra_length = about.cut as u32;
            batch.push(packet);
            kept += 1;
        }
        // All were our own frames: there may be more behind them.
        if kept == 0 && got == room { self.receive(batch, now) } else { Ok(kept) }
    }

    fn send(&mut self, batch: &mut Batch) -> io::Result<Sent> {
        let mut done = Sent::default();
        while !batch.is_empty() {
            match sys::send_many(self.fd.as_fd(), batch) {
                Ok(count) => {
                    batch.drop_first(count);
                    done.sent += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => break,
                // Too long or too short for the interface: this frame will never go.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EMSGSIZE | libc::EINVAL)) => {
                    batch.drop_first(1);
                    done.refused += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn also(&mut self, request: &DeviceRequest) -> io::Result<()> {
        if request.direction == Direction::Send {
            return Ok(());
        }
        if let DeviceKind::Interface { promiscuous, snaplen, outbound } = request.kind {
            self.outbound |= outbound;
            if snaplen > self.snaplen {
                self.snaplen = snaplen;
                self.slots.clear();
            }
            if !outbound {
                // Older kernels lack it; `receive` filters anyway.
                let _ = sys::set_option(self.fd.as_fd(), libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1);
            }
            if promiscuous {
                sys::set_promiscuous(self.fd.as_fd(), self.index)?;
            }
        }
        self.start_receiving()
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.fd.as_fd())
    }
}
