//! Socket: packets over TCP and UNIX streams, UDP and UNIX datagrams.
//!
//! A stream keeps no boundaries: what is read at once is a packet. Click blocks when pushed packets do not fit into the
//! kernel's buffer; here they wait, in bounded number, and say upstream that there is no room.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::config::{Bytes, split_arguments, split_words};
use crate::device::{self, DeviceKind, DeviceRequest, Direction, Place, SocketSpec, Transport};
use crate::element::{
    Annotations, Arg, ArgKind, Args, Batch, ConfigError, Cx, Descriptor, Element, ElementId, Outside, Packet,
    StateKind, Time,
};
use crate::elements::classify::ip_names;
use crate::elements::ip::IpLookup;
use crate::engine::DeviceId;
use crate::packet::{BATCH, HEADROOM};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

const FULL: &str = "socket is full";
const LOST: &str = "nobody to send to";
const UNREAD: &str = "no output";
const DENIED: &str = "sender not allowed";

/// Packets that wait for the kernel; more are dropped.
const MOST_WAITING: usize = 1024;
/// How long to wait when the kernel does not say when it takes more.
const BACK_OFF: Duration = Duration::from_millis(1);
/// The longest name of a UNIX socket, with the zero behind it.
const LONGEST_NAME: usize = 108;

pub(super) const SNAPLEN: Arg =
    Arg::keyword("SNAPLEN", "unsigned", "2048", "longest packet that is read whole");
pub(super) const ROOM: Arg =
    Arg::keyword("HEADROOM", "unsigned", "66", "bytes before each packet that is read");

const fn place(name: &'static str, ty: &'static str, summary: &'static str) -> Arg {
    Arg { name, ty, default: "", kind: ArgKind::Keyword, summary }
}

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "Socket",
    details: "Packets in and out by a socket: each read is a packet, or over a stream a piece of it.",
    example: r#"
        // A server that answers each datagram with itself.
        s :: Socket(UDP, 127.0.0.1, 9000) -> Print(got) -> s;
    "#,
    summary: "a socket transport",
    ports: "0-1/0-1",
    processing: "a/h",
    flow: "x/y",
    args: &[
        Arg::required("TYPE", "TCP, UDP, UNIX or UNIX_DGRAM", "the kind of socket"),
        Arg::rest("PLACE", "ADDR, PORT[, LOCAL_ADDR, LOCAL_PORT] or FILENAME[, LOCAL_FILENAME]", "its ends"),
        place("ADDR", "IP address", "where a client connects or sends to, and a server waits"),
        place("PORT", "port", "see ADDR"),
        place("LOCAL_ADDR", "IP address", "where a client is bound"),
        place("LOCAL_PORT", "port", "see LOCAL_ADDR"),
        place("FILENAME", "string", "as ADDR, for UNIX sockets"),
        place("LOCAL_FILENAME", "string", "as LOCAL_ADDR, for UNIX sockets"),
        Arg::keyword("CLIENT", "bool", "whether it has no output, or a local place", "connect, do not wait"),
        Arg::keyword("VERBOSE", "bool", "false", "print when connections come and go"),
        SNAPLEN,
        ROOM,
        Arg::keyword("TIMESTAMP", "bool", "true", "whether packets carry the time they were read"),
        Arg::keyword("RCVBUF", "unsigned", "", "size of the kernel's buffer for what is received"),
        Arg::keyword("SNDBUF", "unsigned", "", "size of the kernel's buffer for what is sent"),
        Arg::keyword("NODELAY", "bool", "true", "TCP: send small segments at once"),
        Arg::keyword("PROPER", "bool", "false", "accepted as in Click"),
        Arg::keyword("ALLOW", "lookup element", "", "senders with a route there are let in"),
        Arg::keyword("DENY", "lookup element", "", "others with a route there are not"),
    ],
    reads: Annotations::DST_IP,
    writes: Annotations::TIMESTAMP.union(Annotations::EXTRA_LENGTH),
    ties,
    drops: &[FULL, LOST, UNREAD, DENIED],
    outside: Outside::Socket,
    state: StateKind::Small,
    build,
    ..Descriptor::BASE
};

fn ties(config: &str) -> Vec<String> {
    let tables = |argument: &String| match split_words(argument).as_slice() {
        [keyword, name] if matches!(keyword.as_str(), "ALLOW" | "DENY") => Some(name.clone()),
        _ => None,
    };
    split_arguments(config).iter().filter_map(tables).collect()
}

/// Positional arguments that may be given by keyword, in order.
struct Places<'a> {
    args: &'a Args<'a>,
    rest: std::slice::Iter<'a, String>,
}

impl<'a> Places<'a> {
    fn text(&mut self, name: &str) -> Option<&'a str> {
        self.args.text(name).or_else(|| self.rest.next().map(String::as_str))
    }

    fn address(&mut self, name: &str) -> Result<Option<Ipv4Addr>, ConfigError> {
        self.text(name).map(|text| self.args.parse(name, text)).transpose()
    }

    /// A port by number or by name.
    fn port(&mut self, name: &str) -> Result<Option<u16>, ConfigError> {
        self.text(name).map(|text| port(self.args, name, text)).transpose()
    }

    fn file(&mut self, name: &str, what: &str) -> Result<Option<Place>, ConfigError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let Bytes(file) = self.args.parse(name, text)?;
        let is_abstract = file.first() == Some(&0);
        if file.len() > LONGEST_NAME - usize::from(!is_abstract) {
            let shown = String::from_utf8_lossy(&file).into_owned();
            return Err(format!("{what} filename '{shown}' too long").into());
        }
        Ok((!file.is_empty()).then_some(Place::File(file)))
    }
}

/// A port by number or by name.
pub(super) fn port(args: &Args<'_>, what: &str, text: &str) -> Result<u16, ConfigError> {
    let name = text.trim();
    let named = args.scope().find(name).and_then(|named| named.port).or_else(|| ip_names::port(name));
    named.map_or_else(|| args.parse(what, text), Ok)
}

/// Which kind of socket, where it is, and where a client is bound.
fn places(args: &Args<'_>) -> Result<(Transport, Place, Option<Place>), ConfigError> {
    let kind: String = args.need("TYPE")?;
    let kind = kind.to_ascii_uppercase();
    let mut places = Places { args, rest: args.rest().iter() };
    let few = |name: &str, ty: &str| ConfigError::from(format!("too few arguments; need '{name}' ({ty})"));
    let found = match kind.as_str() {
        "TCP" | "UDP" => {
            let address = places.address("ADDR")?.ok_or_else(|| few("ADDR", "IP address"))?;
            let port = places.port("PORT")?.ok_or_else(|| few("PORT", "port"))?;
            let local = (places.address("LOCAL_ADDR")?, places.port("LOCAL_PORT")?);
            let local = match local {
                (None, None) => None,
                (address, port) => {
                    Some(Place::Inet(address.unwrap_or(Ipv4Addr::UNSPECIFIED), port.unwrap_or(0)))
                }
            };
            let transport = if kind == "TCP" { Transport::Tcp } else { Transport::Udp };
            (transport, Place::Inet(address, port), local)
        }
        "UNIX" | "UNIX_DGRAM" => {
            let file = places.file("FILENAME", "remote")?.ok_or_else(|| few("FILENAME", "string"))?;
            let local = places.file("LOCAL_FILENAME", "local")?;
            (if kind == "UNIX" { Transport::Unix } else { Transport::UnixDatagram }, file, local)
        }
        other => return Err(format!("unknown socket type `{other}'").into()),
    };
    match places.rest.next() {
        Some(text) => Err(format!("too many arguments, '{text}' is left over").into()),
        None => Ok(found),
    }
}

struct Socket {
    request: DeviceRequest,
    device: Option<DeviceId>,
    timestamp: bool,
    pulls: bool,
    reads: bool,
    names: [Option<String>; 2],
    /// Tables of senders that are let in, and that are not.
    allow: Option<ElementId>,
    deny: Option<ElementId>,
    waiting: VecDeque<Packet>,
    failed: bool,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    args.or("PROPER", false)?;
    let (transport, place, local) = places(args)?;
    let client = args.or("CLIENT", args.outputs() == 0 || local.is_some())?;
    let names = [args.get("ALLOW")?, args.get("DENY")?];
    let spec = SocketSpec {
        transport,
        client,
        place: Some(place),
        local: local.filter(|_| client),
        claim: None,
        asks: !client && names.iter().any(Option::is_some),
        snaplen: args.or("SNAPLEN", 2048_usize)?.clamp(1, 65_535),
        headroom: args.or("HEADROOM", HEADROOM)?.min(8192),
        send_buffer: args.get("SNDBUF")?,
        receive_buffer: args.get("RCVBUF")?,
        no_delay: args.or("NODELAY", true)?,
        verbose: args.or("VERBOSE", false)?,
    };
    Ok(Box::new(Socket {
        timestamp: args.or("TIMESTAMP", true)?,
        request: request(spec, args.outputs()),
        device: None,
        pulls: false,
        reads: false,
        names,
        allow: None,
        deny: None,
        waiting: VecDeque::new(),
        failed: false,
    }))
}

/// The request for a socket. It has no name: nobody shares it.
pub(super) fn request(spec: SocketSpec, outputs: usize) -> DeviceRequest {
    // A stream is read without outputs, too, to see when the other side ends it.
    let reads = outputs > 0 || matches!(spec.transport, Transport::Tcp | Transport::Unix);
    let direction = if reads { Direction::Both } else { Direction::Send };
    DeviceRequest { name: String::new(), direction, kind: DeviceKind::Socket(spec) }
}

/// Prints what happened to a socket.
fn print_news(cx: &mut Cx<'_>, device: DeviceId) {
    let news = cx.device(device).as_socket().map(device::Socket::take_news).unwrap_or_default();
    for line in news {
        cx.message(format_args!("{} :: {}: {line}", cx.name(), DESCRIPTOR.class));
    }
}

impl Socket {
    fn table(cx: &mut Cx<'_>, name: Option<&String>) -> Result<Option<ElementId>, String> {
        let Some(name) = name else { return Ok(None) };
        let id = cx.find(name).ok_or_else(|| format!("no element named '{name}'"))?;
        let good = cx.element_mut::<IpLookup>(id).is_some();
        if good { Ok(Some(id)) } else { Err(format!("{name} is not an IPRouteTable")) }
    }

    fn lets_in(&self, cx: &mut Cx<'_>, sender: Option<Ipv4Addr>) -> bool {
        let Some(sender) = sender else { return true };
        let mut listed = |table: Option<ElementId>| {
            table.and_then(|id| cx.element_mut::<IpLookup>(id)).is_some_and(|table| table.has_route(sender))
        };
        listed(self.allow) || !listed(self.deny)
    }

    /// Reads what has come, from senders that are let in.
    fn receive(&mut self, cx: &mut Cx<'_>, device: DeviceId, batch: &mut Batch) -> bool {
        let now = cx.now();
        loop {
            if let Err(error) = cx.device(device).receive(batch, now) {
                if !std::mem::replace(&mut self.failed, true) {
                    cx.message(format_args!("{} :: {}: {error}", cx.name(), DESCRIPTOR.class));
                }
                cx.set_timer(now + Duration::from_millis(100));
            }
            let caller = cx.device(device).as_socket().and_then(|socket| socket.caller());
            if caller.is_none() {
                break;
            }
            let allow = self.lets_in(cx, caller);
            if let Some(socket) = cx.device(device).as_socket() {
                socket.decide(allow);
            }
        }
        if matches!(&self.request.kind, DeviceKind::Socket(spec) if spec.asks && spec.transport == Transport::Udp)
        {
            let mut at = 0;
            batch.filter_map(|packet| {
                let source = cx.device(device).as_socket().and_then(|socket| socket.source(at));
                let allow = self.lets_in(cx, source);
                if let Some(socket) = cx.device(device).as_socket() {
                    if allow { socket.answer_to(at) } else { socket.refuse(at) }
                }
                at += 1;
                if allow {
                    return Some(packet);
                }
                cx.drop(DENIED, packet);
                None
            });
        }
        print_news(cx, device);
        let got = !batch.is_empty();
        if !self.reads {
            // Read all the same, to see when the other side ends the stream.
            cx.drop_all(UNREAD, batch);
        }
        if !self.timestamp {
            batch.iter_mut().for_each(|packet| packet.anno_mut().timestamp = Time(0));
        }
        got
    }

    /// Sends what the kernel takes; the rest waits. Whether anything went.
    fn send(&mut self, cx: &mut Cx<'_>, device: DeviceId, batch: &mut Batch) -> bool {
        let mut worked = false;
        if let Ok(done) = cx.device(device).send(batch) {
            cx.count_drops(LOST, done.refused as u64);
            worked = done.sent + done.refused > 0;
        }
        for packet in batch.drain() {
            if self.waiting.len() < MOST_WAITING {
                self.waiting.push_back(packet);
            } else {
                cx.drop(FULL, packet);
            }
        }
        if !self.waiting.is_empty() {
            cx.wait_writable(device);
            cx.set_timer(cx.now() + BACK_OFF);
        }
        cx.set_full(!self.waiting.is_empty());
        print_news(cx, device);
        worked
    }

    /// Sends what waits.
    fn flush(&mut self, cx: &mut Cx<'_>, device: DeviceId) -> bool {
        let mut batch = Batch::new();
        let mut worked = false;
        while !self.waiting.is_empty() {
            let count = self.waiting.len().min(batch.room());
            batch.extend(self.waiting.drain(..count));
            let later = std::mem::take(&mut self.waiting);
            worked |= self.send(cx, device, &mut batch);
            let blocked = !self.waiting.is_empty();
            self.waiting.extend(later);
            if blocked {
                cx.set_full(true);
                break;
            }
        }
        worked
    }
}

impl Element for Socket {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        let [allow, deny] = self.names.clone();
        self.allow = Self::table(cx, allow.as_ref())?;
        self.deny = Self::table(cx, deny.as_ref())?;
        self.pulls = cx.inputs() > 0 && cx.input_is_pull(0);
        self.reads = cx.outputs() > 0;
        let device = cx.open_device(&self.request)?;
        self.device = Some(device);
        if !cx.dry() {
            print_news(cx, device);
        }
        cx.schedule();
        Ok(())
    }

    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        let Some(device) = self.device else { return batch.clear() };
        if self.waiting.is_empty() {
            self.send(cx, device, batch);
            return;
        }
        for packet in batch.drain() {
            if self.waiting.len() < MOST_WAITING {
                self.waiting.push_back(packet);
            } else {
                cx.drop(FULL, packet);
            }
        }
    }

    fn task(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) -> bool {
        let Some(device) = self.device else { return false };
        let mut worked = self.flush(cx, device);
        let connected = cx.device(device).as_socket().is_none_or(|socket| socket.is_connected());
        if self.pulls && connected && self.waiting.is_empty() {
            let mut pulled = Batch::new();
            cx.pull(0, &mut pulled, BATCH);
            if !pulled.is_empty() {
                worked |= self.send(cx, device, &mut pulled);
                cx.schedule();
            }
        }
        let reads = self.request.direction == Direction::Both;
        if reads && self.receive(cx, device, batch) {
            worked = true;
            cx.schedule();
        } else if !connected && cx.device(device).as_socket().is_some_and(|socket| socket.is_connected()) {
            // Somebody to send to has come.
            cx.schedule();
        }
        worked
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _batch: &mut Batch) {
        cx.schedule();
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for Socket {
    fn schema(&self) -> Schema {
        Schema { name: "socket", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u32(self.waiting.len() as u32);
        self.waiting.iter().for_each(|packet| packet.save(w));
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        let count = r.get_u32()?;
        if count as usize > MOST_WAITING {
            return Err(StateError::Invalid { what: "number of packets", value: count.into() });
        }
        self.waiting = (0..count).map(|_| Packet::restore(r)).collect::<Result<_, _>>()?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
