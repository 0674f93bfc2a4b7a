//! System calls that rustix does not have: packet sockets with ancillary data, many messages a call, TUN devices.
//!
//! Every function here is safe to call. The invariant of each `unsafe` block: pointers given to the kernel point to
//! live values of the size given beside them, and the kernel keeps none of them after the call.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::mem::{size_of, zeroed};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::TunSpec;
use crate::packet::{BATCH, Packet};

/// What the kernel says about a received frame beside its bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Received {
    /// Bytes in the packet's buffer.
    pub(super) len: usize,
    /// Bytes that did not fit.
    pub(super) cut: usize,
    /// `sll_pkttype`.
    pub(super) packet_type: u8,
    /// The transport checksum still has to be computed: the sender left it to the hardware.
    pub(super) checksum_missing: bool,
    /// VLAN tag that the kernel took out of the frame.
    pub(super) vlan_tci: u16,
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

pub(super) fn interface_index(name: &str) -> io::Result<i32> {
    let c_name = CString::new(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: a valid C string.
    match unsafe { libc::if_nametoindex(c_name.as_ptr()) } {
        0 => Err(io::Error::new(io::ErrorKind::NotFound, "no such network interface")),
        index => i32::try_from(index).map_err(io::Error::other),
    }
}

/// A packet socket that receives nothing yet.
pub(super) fn packet_socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers; a descriptor that was just made is owned by nobody else.
    unsafe { check(libc::socket(libc::AF_PACKET, kind, 0)).map(|fd| OwnedFd::from_raw_fd(fd)) }
}

/// Binds a packet socket to an interface, for all protocols or, to send only, for none.
pub(super) fn bind_packet(fd: BorrowedFd<'_>, index: i32, receive: bool) -> io::Result<()> {
    // SAFETY: all-zero is a valid sockaddr_ll; pointer and size belong to it.
    unsafe {
        let mut address: libc::sockaddr_ll = zeroed();
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = if receive { (libc::ETH_P_ALL as u16).to_be() } else { 0 };
        address.sll_ifindex = index;
        let size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        check(libc::bind(fd.as_raw_fd(), (&raw const address).cast(), size)).map(|_| ())
    }
}

/// Sets an integer option of a socket.
pub(super) fn set_option(fd: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    let size = size_of::<i32>() as libc::socklen_t;
    // SAFETY: pointer and size belong to `value`.
    unsafe {
        check(libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const value).cast(), size)).map(|_| ())
    }
}

/// Lets the interface take frames for all hosts as long as the socket lives.
pub(super) fn set_promiscuous(fd: BorrowedFd<'_>, index: i32) -> io::Result<()> {
    // SAFETY: all-zero is a valid packet_mreq; pointer and size belong to it.
    unsafe {
        let mut request: libc::packet_mreq = zeroed();
        request.mr_ifindex = index;
        request.mr_type = libc::PACKET_MR_PROMISC as u16;
        let size = size_of::<libc::packet_mreq>() as libc::socklen_t;
        let (level, name) = (libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP);
        check(libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const request).cast(), size)).map(|_| ())
    }
}

/// `tpacket_auxdata` of linux/if_packet.h.
#[repr(C)]
#[derive(Clone, Copy)]
struct Auxdata {
    status: u32,
    len: u32,
    snaplen: u32,
    mac: u16,
    net: u16,
    vlan_tci: u16,
    vlan_tpid: u16,
}

const STATUS_CSUM_NOT_READY: u32 = 1 << 3;
const STATUS_VLAN_VALID: u32 = 1 << 4;

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; 64]);

/// Receives up to `packets.len()` frames (32 at most), one into each packet's data. Says about each what came.
pub(super) fn receive_many(
    fd: BorrowedFd<'_>,
    packets: &mut [Packet],
    received: &mut [Received; BATCH],
) -> io::Result<usize> {
    let count = packets.len().min(BATCH);
    // SAFETY: all-zero is valid for these plain C structs. Each message points to the data of its own packet, to its
    // own address and control buffer, all of which outlive the call; sizes are theirs.
    unsafe {
        let mut vectors: [libc::iovec; BATCH] = zeroed();
        let mut addresses: [libc::sockaddr_ll; BATCH] = zeroed();
        let mut controls = [Control([0; 64]); BATCH];
        let mut messages: [libc::mmsghdr; BATCH] = zeroed();
        for (at, packet) in packets[..count].iter_mut().enumerate() {
            let data = packet.data_mut();
            vectors[at] = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
            let header = &mut messages[at].msg_hdr;
            header.msg_iov = &raw mut vectors[at];
            header.msg_iovlen = 1;
            header.msg_name = (&raw mut addresses[at]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            header.msg_control = (&raw mut controls[at]).cast();
            header.msg_controllen = size_of::<Control>() as _;
        }
        let flags = (libc::MSG_DONTWAIT | libc::MSG_TRUNC) as _;
        let got =
            libc::recvmmsg(fd.as_raw_fd(), messages.as_mut_ptr(), count as u32, flags, std::ptr::null_mut());
        let got = check(got)? as usize;
        for at in 0..got.min(count) {
            let whole = messages[at].msg_len as usize;
            let room = vectors[at].iov_len;
            received[at] = Received {
                len: whole.min(room),
                cut: whole.saturating_sub(room),
                packet_type: addresses[at].sll_pkttype,
                ..Received::default()
            };
            if let Some(aux) = auxdata(&messages[at].msg_hdr) {
                received[at].checksum_missing = aux.status & STATUS_CSUM_NOT_READY != 0;
                if aux.status & STATUS_VLAN_VALID != 0 {
                    received[at].vlan_tci = aux.vlan_tci;
                }
            }
        }
        Ok(got)
    }
}

/// # Safety
/// `header` was filled by the kernel and its control buffer lives.
unsafe fn auxdata(header: &libc::msghdr) -> Option<Auxdata> {
    // SAFETY: the CMSG functions walk the control buffer of `header` within the length that the kernel wrote; the
    // payload is read unaligned and only if it is as long as the struct.
    unsafe {
        let mut at = libc::CMSG_FIRSTHDR(header);
        while !at.is_null() {
            let message = &*at;
            if message.cmsg_level == libc::SOL_PACKET
                && message.cmsg_type == libc::PACKET_AUXDATA
                && message.cmsg_len as usize >= libc::CMSG_LEN(size_of::<Auxdata>() as u32) as usize
            {
                return Some(libc::CMSG_DATA(at).cast::<Auxdata>().read_unaligned());
            }
            at = libc::CMSG_NXTHDR(header, at);
        }
        None
    }
}

/// Sends the packets (32 at most), in order; how many went out.
pub(super) fn send_many(fd: BorrowedFd<'_>, packets: &[Packet]) -> io::Result<usize> {
    let count = packets.len().min(BATCH);
    // SAFETY: all-zero is valid for these plain C structs; each message points to the data of its own packet, which the
    // kernel only reads.
    unsafe {
        let mut vectors: [libc::iovec; BATCH] = zeroed();
        let mut messages: [libc::mmsghdr; BATCH] = zeroed();
        for (at, packet) in packets[..count].iter().enumerate() {
            let data = packet.data();
            vectors[at] = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
            messages[at].msg_hdr.msg_iov = &raw mut vectors[at];
            messages[at].msg_hdr.msg_iovlen = 1;
        }
        let flags = (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _;
        check(libc::sendmmsg(fd.as_raw_fd(), messages.as_mut_ptr(), count as u32, flags)).map(|n| n as usize)
    }
}

fn interface_request(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: all-zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { zeroed() };
    if name.len() >= request.ifr_name.len() || name.contains('\0') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "interface name is too long"));
    }
    for (slot, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *slot = byte as libc::c_char;
    }
    Ok(request)
}

/// Turns an open `/dev/net/tun` into the tunnel `name` (the kernel chooses if it is empty); returns its name.
pub(super) fn make_tun(fd: BorrowedFd<'_>, name: &str, ethernet: bool) -> io::Result<String> {
    let mut request = interface_request(name)?;
    let kind = if ethernet { libc::IFF_TAP } else { libc::IFF_TUN };
    request.ifr_ifru.ifru_flags = (kind | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one ifreq.
    unsafe { check(libc::ioctl(fd.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request))? };
    Ok(request.ifr_name.iter().take_while(|c| **c != 0).map(|c| *c as u8 as char).collect())
}

/// An IPv4 address as the kernel takes it.
fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    // SAFETY: all-zero is valid for both; a sockaddr_in is as long as a sockaddr.
    unsafe {
        let mut generic: libc::sockaddr = zeroed();
        let inet = (&raw mut generic).cast::<libc::sockaddr_in>();
        (*inet).sin_family = libc::AF_INET as u16;
        (*inet).sin_addr.s_addr = u32::from_ne_bytes(address.octets());
        generic
    }
}

/// Gives an interface what `spec` asks for; one that gets an address comes up.
pub(super) fn configure_interface(name: &str, spec: &TunSpec) -> io::Result<()> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let order = |order: libc::Ioctl, request: &mut libc::ifreq| {
        // SAFETY: every order given here reads or writes one ifreq.
        unsafe { check(libc::ioctl(socket.as_raw_fd(), order, &raw mut *request)).map(|_| ()) }
    };
    if let Some(ether) = spec.ether {
        let mut request = interface_request(name)?;
        // SAFETY: all-zero is a valid sockaddr; it is the field that the order reads.
        let mut address: libc::sockaddr = unsafe { zeroed() };
        address.sa_family = libc::ARPHRD_ETHER;
        for (slot, byte) in address.sa_data.iter_mut().zip(ether.0) {
            *slot = byte as libc::c_char;
        }
        request.ifr_ifru.ifru_hwaddr = address;
        order(libc::SIOCSIFHWADDR as _, &mut request)?;
    }
    if let Some(mtu) = spec.mtu {
        let mut request = interface_request(name)?;
        request.ifr_ifru.ifru_mtu = mtu as libc::c_int;
        order(libc::SIOCSIFMTU as _, &mut request)?;
    }
    if let Some((address, mask)) = spec.address {
        for (set, address) in [(libc::SIOCSIFADDR, address), (libc::SIOCSIFNETMASK, mask)] {
            let mut request = interface_request(name)?;
            request.ifr_ifru.ifru_addr = socket_address(address);
            order(set as _, &mut request)?;
        }
        let mut request = interface_request(name)?;
        order(libc::SIOCGIFFLAGS as _, &mut request)?;
        // SAFETY: the flags are those that SIOCGIFFLAGS has just written.
        unsafe { request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short };
        order(libc::SIOCSIFFLAGS as _, &mut request)?;
    }
    spec.gateway.map_or(Ok(()), |gateway| add_default_route(socket.as_raw_fd(), gateway))
}

/// Adds a default route of the host.
fn add_default_route(socket: RawFd, gateway: Ipv4Addr) -> io::Result<()> {
    // SAFETY: all-zero is a valid rtentry: destination and mask 0.0.0.0, once their family is set.
    let mut route: libc::rtentry = unsafe { zeroed() };
    route.rt_dst = socket_address(Ipv4Addr::UNSPECIFIED);
    route.rt_genmask = socket_address(Ipv4Addr::UNSPECIFIED);
    route.rt_gateway = socket_address(gateway);
    route.rt_flags = libc::RTF_UP | libc::RTF_GATEWAY;
    // SAFETY: SIOCADDRT reads one rtentry.
    let done = unsafe { check(libc::ioctl(socket, libc::SIOCADDRT as _, &raw mut route)) };
    match done {
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        done => done.map(|_| ()),
    }
}
