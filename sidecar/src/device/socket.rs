//! Sockets that carry packets: TCP and UNIX streams, UDP and UNIX datagrams, raw IP.
//!
//! A server of streams has one connection at a time; what to poll is the connection, or the socket that waits for one.
//! A server of datagrams answers to who sent last. Nothing blocks but the connection of a client, when it is opened.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::net::{
    self, AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType,
    ipproto, sockopt,
};

use super::{Device, Sent, sys};
use crate::engine::Time;
use crate::packet::{Batch, Packet};

/// Connections that may wait to be accepted, as in Click.
const BACKLOG: i32 = 2;

/// What a socket carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A TCP connection.
    Tcp,
    /// UDP.
    Udp,
    /// A UNIX stream.
    Unix,
    /// UNIX datagrams.
    UnixDatagram,
    /// IP packets of this protocol, headers included.
    Raw(u8),
}

impl Transport {
    fn is_stream(self) -> bool {
        matches!(self, Self::Tcp | Self::Unix)
    }

    fn parts(self) -> (AddressFamily, SocketType) {
        match self {
            Self::Tcp => (AddressFamily::INET, SocketType::STREAM),
            Self::Udp => (AddressFamily::INET, SocketType::DGRAM),
            Self::Unix => (AddressFamily::UNIX, SocketType::STREAM),
            Self::UnixDatagram => (AddressFamily::UNIX, SocketType::DGRAM),
            Self::Raw(_) => (AddressFamily::INET, SocketType::RAW),
        }
    }
}

/// An end of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// An address and a port.
    Inet(Ipv4Addr, u16),
    /// A file; a name that begins with a zero byte is in the abstract namespace.
    File(Vec<u8>),
}

impl Place {
    fn address(&self) -> io::Result<SocketAddrAny> {
        Ok(match self {
            Self::Inet(address, port) => SocketAddrV4::new(*address, *port).into(),
            Self::File(name) => match name.split_first() {
                Some((0, name)) => SocketAddrUnix::new_abstract_name(name)?.into(),
                _ => SocketAddrUnix::new(name.as_slice())?.into(),
            },
        })
    }
}

/// What an element wants of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketSpec {
    /// What it carries.
    pub transport: Transport,
    /// Whether it connects to `place`, or sends there; else it is bound there and waits.
    pub client: bool,
    /// See `client`. `None` for raw sockets.
    pub place: Option<Place>,
    /// Where a client is bound.
    pub local: Option<Place>,
    /// A port that is taken, so that the host leaves its packets alone. For raw sockets.
    pub claim: Option<u16>,
    /// Whether connections and datagrams wait for [`Socket::decide`] and [`Socket::answer_to`].
    pub asks: bool,
    /// Longest packet that is read whole.
    pub snaplen: usize,
    /// Bytes before each packet.
    pub headroom: usize,
    /// Size of the kernel's buffer for what is sent.
    pub send_buffer: Option<usize>,
    /// Size of the kernel's buffer for what is received.
    pub receive_buffer: Option<usize>,
    /// Whether small segments are sent at once.
    pub no_delay: bool,
    /// Whether it says what happens, see [`Socket::take_news`].
    pub verbose: bool,
}

/// A connection that came in and waits for [`Socket::decide`].
struct Caller {
    fd: OwnedFd,
    from: Option<SocketAddrAny>,
}

/// See the module's head.
pub struct Socket {
    spec: SocketSpec,
    /// The socket that was opened first: it listens, or is the only one.
    base: OwnedFd,
    /// The connection of a stream's server.
    connection: Option<OwnedFd>,
    caller: Option<Caller>,
    /// No more packets can come or go: the stream of a client has ended.
    closed: bool,
    remote: Option<SocketAddrAny>,
    /// Who sent the datagrams of the last batch, if the element asks.
    sources: Vec<Option<SocketAddrAny>>,
    news: Vec<String>,
    _claim: Option<OwnedFd>,
}

/// The kernel's word for an error, without its number.
fn reason(error: Errno) -> String {
    let text = io::Error::from(error).to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// Says which call failed, as Click does.
fn at<T>(call: &str, result: rustix::io::Result<T>) -> io::Result<T> {
    result
        .map_err(|error| io::Error::new(io::Error::from(error).kind(), format!("{call}: {}", reason(error))))
}

/// `address:port`, or the name of the file.
fn show(address: Option<&SocketAddrAny>) -> String {
    let Some(address) = address else { return String::new() };
    if let Ok(inet) = SocketAddrV4::try_from(address.clone()) {
        return inet.to_string();
    }
    let unix = SocketAddrUnix::try_from(address.clone()).ok();
    let path = unix.and_then(|unix| unix.path_bytes().map(|path| String::from_utf8_lossy(path).into_owned()));
    path.unwrap_or_default()
}

fn ip_of(address: Option<&SocketAddrAny>) -> Option<Ipv4Addr> {
    SocketAddrV4::try_from(address?.clone()).ok().map(|address| *address.ip())
}

impl Socket {
    /// Opens a socket, and connects it if it is a stream's client.
    pub fn open(spec: &SocketSpec) -> io::Result<Self> {
        let (family, kind) = spec.transport.parts();
        let protocol = match spec.transport {
            Transport::Tcp => Some(ipproto::TCP),
            Transport::Udp => Some(ipproto::UDP),
            Transport::Raw(number) => std::num::NonZeroU32::new(number.into()).map(net::Protocol::from_raw),
            Transport::Unix | Transport::UnixDatagram => None,
        };
        let base = at("socket", net::socket_with(family, kind, SocketFlags::CLOEXEC, protocol))?;
        let mut socket = Self {
            spec: spec.clone(),
            base,
            connection: None,
            caller: None,
            closed: false,
            remote: None,
            sources: Vec::new(),
            news: Vec::new(),
            _claim: None,
        };
        socket.set_options()?;
        if let Transport::Raw(_) = spec.transport {
            socket._claim = spec.claim.map(|port| claim(spec.transport, port)).transpose()?.flatten();
        } else {
            socket.settle()?;
        }
        at("fcntl", rustix::io::ioctl_fionbio(&socket.base, true))?;
        Ok(socket)
    }

    fn set_options(&self) -> io::Result<()> {
        if self.spec.transport == Transport::Tcp && self.spec.no_delay {
            at("setsockopt(TCP_NODELAY)", sockopt::set_tcp_nodelay(&self.base, true))?;
        }
        if let Some(size) = self.spec.send_buffer {
            at("setsockopt(SO_SNDBUF)", sockopt::set_socket_send_buffer_size(&self.base, size))?;
        }
        if let Some(size) = self.spec.receive_buffer {
            at("setsockopt(SO_RCVBUF)", sockopt::set_socket_recv_buffer_size(&self.base, size))?;
        }
        if let Transport::Raw(_) = self.spec.transport {
            sys::set_option(self.base.as_fd(), libc::IPPROTO_IP, libc::IP_HDRINCL, 1)?;
            at("SO_BROADCAST", sockopt::set_socket_broadcast(&self.base, true))?;
        }
        Ok(())
    }

    /// Binds, connects and listens.
    fn settle(&mut self) -> io::Result<()> {
        let place = self.spec.place.as_ref().map(Place::address).transpose()?;
        let bind_to = if self.spec.client {
            self.spec.local.as_ref().map(Place::address).transpose()?
        } else {
            place.clone()
        };
        if let Some(address) = &bind_to {
            if self.spec.transport == Transport::Tcp {
                // A server that is started again finds its port free.
                at("setsockopt(SO_REUSEADDR)", sockopt::set_socket_reuseaddr(&self.base, true))?;
            }
            at("bind", net::bind(&self.base, address))?;
        }
        let number = std::os::fd::AsRawFd::as_raw_fd(&self.base);
        if self.spec.client {
            if let Some(address) = place.as_ref().filter(|_| self.spec.transport.is_stream()) {
                at("connect", net::connect(&self.base, address))?;
                self.tell(|| format!("opened connection {number} to {}", show(Some(address))));
            }
            self.remote = place;
        } else if self.spec.transport.is_stream() {
            at("listen", net::listen(&self.base, BACKLOG))?;
            self.tell(|| format!("listening for connections on {} ({number})", show(place.as_ref())));
        }
        Ok(())
    }

    fn tell(&mut self, text: impl FnOnce() -> String) {
        if self.spec.verbose {
            self.news.push(text());
        }
    }

    /// What happened since the last call, a line each.
    pub fn take_news(&mut self) -> Vec<String> {
        std::mem::take(&mut self.news)
    }

    /// The address of who wants to connect, until [`Socket::decide`].
    pub fn caller(&self) -> Option<Ipv4Addr> {
        ip_of(self.caller.as_ref()?.from.as_ref())
    }

    /// Lets the caller in, or not.
    pub fn decide(&mut self, allow: bool) {
        let Some(caller) = self.caller.take() else { return };
        let number = std::os::fd::AsRawFd::as_raw_fd(&caller.fd);
        let what = if allow { "opened" } else { "denied" };
        self.tell(|| format!("{what} connection {number} from {}", show(caller.from.as_ref())));
        if allow {
            self.connection = Some(caller.fd);
        }
    }

    /// Who sent datagram `at` of the last batch.
    pub fn source(&self, at: usize) -> Option<Ipv4Addr> {
        ip_of(self.sources.get(at)?.as_ref())
    }

    /// Answers go to who sent datagram `at` of the last batch.
    pub fn answer_to(&mut self, at: usize) {
        if let Some(Some(source)) = self.sources.get(at) {
            self.remote = Some(source.clone());
        }
    }

    /// Says that datagram `at` of the last batch was not let in.
    pub fn refuse(&mut self, at: usize) {
        let from = show(self.sources.get(at).and_then(Option::as_ref));
        self.tell(|| format!("dropped datagram from {from}"));
    }

    /// Whether there is anybody to send to.
    pub fn is_connected(&self) -> bool {
        self.active().is_some()
    }

    /// The socket that packets go through.
    fn active(&self) -> Option<BorrowedFd<'_>> {
        if self.spec.client || !self.spec.transport.is_stream() {
            (!self.closed).then(|| self.base.as_fd())
        } else {
            self.connection.as_ref().map(AsFd::as_fd)
        }
    }

    fn close(&mut self, error: Option<Errno>) {
        if let Some(error) = error {
            self.tell(|| reason(error));
        }
        let number = self.active().map(|fd| std::os::fd::AsRawFd::as_raw_fd(&fd));
        if self.spec.transport.is_stream() {
            self.connection = None;
            if self.spec.client {
                self.closed = true;
                // In its place something that is never ready: an ended stream always is.
                if let Ok(never) = eventfd(0, EventfdFlags::CLOEXEC) {
                    self.base = never;
                }
            }
            if let Some(number) = number {
                self.tell(|| format!("closed connection {number}"));
            }
        }
    }

    /// Takes in who waits to connect, if nobody is.
    fn accept(&mut self) -> io::Result<()> {
        let waits = self.spec.transport.is_stream() && !self.spec.client;
        if !waits || self.connection.is_some() || self.caller.is_some() {
            return Ok(());
        }
        match net::acceptfrom_with(&self.base, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok((fd, from)) => {
                self.caller = Some(Caller { fd, from });
                if !self.spec.asks {
                    self.decide(true);
                }
                Ok(())
            }
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => Ok(()),
            Err(error) => at("accept", Err(error)),
        }
    }

    /// Reads one packet. `None` when there is none now, or the connection has ended.
    fn read_one(&mut self, now: Time) -> Option<Packet> {
        let datagrams = !self.spec.transport.is_stream();
        let mut packet = Packet::stale(self.spec.headroom, self.spec.snaplen);
        loop {
            let fd = self.active()?;
            let flags = RecvFlags::DONTWAIT | if datagrams { RecvFlags::TRUNC } else { RecvFlags::empty() };
            match net::recvfrom(fd, packet.data_mut(), flags) {
                Ok((_, 0, _)) if !datagrams => {
                    self.close(None);
                    return None;
                }
                // Click takes an empty datagram for the end; it is nothing to send on.
                Ok((_, 0, _)) => {}
                Ok((read, whole, from)) => {
                    packet.truncate(read);
                    packet.anno_mut().timestamp = now;
                    packet.anno_mut().extra_length = whole.saturating_sub(read) as u32;
                    if self.spec.asks {
                        self.sources.push(from);
                    } else if !self.spec.client && datagrams && from.is_some() {
                        self.remote = from;
                    }
                    return Some(packet);
                }
                Err(Errno::AGAIN) => return None,
                Err(Errno::INTR) => {}
                Err(error) => {
                    self.close(Some(error));
                    return None;
                }
            }
        }
    }

    /// Where a datagram goes.
    fn destination(&self, packet: &Packet) -> Option<SocketAddrAny> {
        if let Transport::Raw(_) = self.spec.transport {
            let (ip, _) = crate::wire::Ipv4::parse(packet.data())?;
            return Some(SocketAddrV4::new(ip.destination_address(), 0).into());
        }
        match (&self.spec.place, self.spec.client) {
            // A UDP client without an address sends each packet to its own destination.
            (Some(Place::Inet(Ipv4Addr::UNSPECIFIED, port)), true) => {
                Some(SocketAddrV4::new(packet.anno().dst_ip, *port).into())
            }
            _ => self.remote.clone(),
        }
    }

    /// Sends the front of a packet. How many bytes went; `None` if it can go neither now nor later.
    fn write_one(&mut self, packet: &Packet) -> Result<Option<usize>, Blocked> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        loop {
            let Some(fd) = self.active() else { return Ok(None) };
            let written = if self.spec.transport.is_stream() {
                net::send(fd, packet.data(), flags)
            } else {
                match self.destination(packet) {
                    Some(to) => net::sendto(fd, packet.data(), flags, &to),
                    None => return Ok(None),
                }
            };
            match written {
                Ok(count) => return Ok(Some(count)),
                Err(Errno::AGAIN | Errno::NOBUFS) => return Err(Blocked),
                Err(Errno::INTR) => {}
                Err(error) => {
                    self.close(Some(error));
                    return Ok(None);
                }
            }
        }
    }
}

/// The kernel takes nothing now.
struct Blocked;

/// Takes a port of a protocol that has ports.
fn claim(transport: Transport, port: u16) -> io::Result<Option<OwnedFd>> {
    let kind = match transport {
        Transport::Raw(crate::wire::ipv4::TCP) => SocketType::STREAM,
        Transport::Raw(crate::wire::ipv4::UDP) => SocketType::DGRAM,
        _ => return Ok(None),
    };
    let fd = at("socket", net::socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, None))?;
    at("bind", net::bind(&fd, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)))?;
    Ok(Some(fd))
}

impl Device for Socket {
    fn receive(&mut self, batch: &mut Batch, now: Time) -> io::Result<usize> {
        self.accept()?;
        self.sources.clear();
        let before = batch.len();
        while !batch.is_full() {
            let Some(packet) = self.read_one(now) else { break };
            batch.push(packet);
        }
        Ok(batch.len() - before)
    }

    fn send(&mut self, batch: &mut Batch) -> io::Result<Sent> {
        let mut done = Sent::default();
        let mut blocked = false;
        batch.filter_map(|mut packet| {
            while !blocked && !packet.data().is_empty() {
                match self.write_one(&packet) {
                    // Of a stream, what went is taken off the front; a datagram goes as a whole.
                    Ok(Some(count)) if packet.strip_front(count) => {}
                    Ok(_) => {
                        done.refused += 1;
                        return None;
                    }
                    Err(Blocked) => blocked = true,
                }
            }
            if blocked {
                return Some(packet);
            }
            done.sent += 1;
            None
        });
        Ok(done)
    }

    fn as_socket(&mut self) -> Option<&mut Socket> {
        Some(self)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.active().unwrap_or_else(|| self.base.as_fd()))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let bound = if self.spec.client { &self.spec.local } else { &self.spec.place };
        if let Some(Place::File(name)) = bound
            && name.first().is_some_and(|first| *first != 0)
        {
            let _ = std::fs::remove_file(Path::new(std::ffi::OsStr::from_bytes(name)));
        }
    }
}
