//! FromDump: packets of a capture file, pushed as fast as they go, at the pace of the capture, or pulled.

use std::fs::File;

use super::pcap::{LINK_ETHER, LINK_RAW_IP, Reader, link_name};
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Outside,
    Packet, Time,
};
use crate::elements::basic::parse_handler;
use crate::packet::BATCH;

const NOT_IP: &str = "not an IP packet";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "FromDump",
    summary: "reads packets from a tcpdump(1) file",
    ports: "0/1-2",
    processing: "a/ah",
    flow: "x/y",
    args: &[
        Arg::required("FILENAME", "string", "the file; - for standard input"),
        Arg::keyword("STOP", "bool", "false", "whether the router stops at the end of the file"),
        Arg::keyword("TIMING", "bool", "false", "whether packets keep the time between them"),
        Arg::keyword("ACTIVE", "bool", "true", "whether packets are read"),
        Arg::keyword(
            "FORCE_IP",
            "bool",
            "false",
            "whether only IP packets leave, marked and without link header",
        ),
        Arg::keyword("BURST", "unsigned", "32", "packets pushed each time it runs"),
        Arg::keyword("END_CALL", "HANDLER [VALUE]", "", "write handler called at the end of the file"),
        Arg::keyword("MMAP", "bool", "false", "accepted as in Click"),
    ],
    writes: Annotations::TIMESTAMP.union(Annotations::EXTRA_LENGTH),
    handlers: &[
        Handler::read("count", "packets read"),
        Handler::write("reset_counts", "sets count to 0"),
        Handler::both("active", "whether packets are read"),
        Handler::read("filename", "the file"),
        Handler::read("filepos", "bytes of the file read"),
        Handler::read("encap", "the link type of the file"),
        Handler::write("stop", "stops reading and the router"),
    ],
    drops: &[NOT_IP],
    outside: Outside::File,
    build,
    ..Descriptor::BASE
};

struct FromDump {
    file: String,
    reader: Option<Reader<Box<dyn std::io::Read + Send>>>,
    link: u32,
    stop: bool,
    timing: bool,
    active: bool,
    force_ip: bool,
    burst: usize,
    end_call: Option<(String, String)>,
    count: u64,
    position: u64,
    /// The next packet, read and waiting for its time.
    ahead: Option<Packet>,
    /// Engine time and capture time of the first packet.
    base: Option<(Time, Time)>,
    ended: bool,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    args.or("MMAP", false)?;
    Ok(Box::new(FromDump {
        file: args.need("FILENAME")?,
        reader: None,
        link: LINK_ETHER,
        stop: args.or("STOP", false)?,
        timing: args.or("TIMING", false)?,
        active: args.or("ACTIVE", true)?,
        force_ip: args.or("FORCE_IP", false)?,
        burst: args.or("BURST", BATCH)?.clamp(1, BATCH),
        end_call: args.text("END_CALL").map(crate::elements::source::split_call),
        count: 0,
        position: 0,
        ahead: None,
        base: None,
        ended: false,
    }))
}

impl FromDump {
    /// The next packet of the file; `None` at its end, which a damaged packet is, too.
    #[inline]
    fn next(&mut self, cx: &Cx<'_>) -> Option<Packet> {
        if let Some(packet) = self.ahead.take() {
            return Some(packet);
        }
        let reader = self.reader.as_mut()?;
        match reader.next() {
            Ok(found) => {
                self.position = reader.position;
                found
            }
            Err(error) => {
                cx.message(format_args!("{}: {}: {error}", cx.name(), self.file));
                self.reader = None;
                None
            }
        }
    }

    /// Adds up to `max` packets that are due to `batch`. Returns whether the file is at its end.
    #[inline]
    fn read_batch(&mut self, cx: &mut Cx<'_>, batch: &mut Batch, max: usize) -> bool {
        for _ in 0..max.min(batch.room()) {
            let Some(packet) = self.next(cx) else { return true };
            if self.timing {
                let captured = packet.anno().timestamp;
                let (start, first) = *self.base.get_or_insert((cx.now(), captured));
                let due = start + captured.since(first);
                if due > cx.now() {
                    self.ahead = Some(packet);
                    cx.set_timer(due);
                    return false;
                }
            }
            self.count += 1;
            if self.force_ip {
                batch.extend(only_ip(cx, self.link, packet));
            } else {
                batch.push(packet);
            }
        }
        false
    }

    fn end(&mut self, cx: &mut Cx<'_>) {
        self.reader = None;
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        if let Some((handler, value)) = &self.end_call {
            cx.write_later(handler, value);
        }
        if self.stop {
            cx.stop();
        }
    }
}

/// Takes the link header away and marks the IP header; what is no IP packet goes to output 1 or is dropped.
fn only_ip(cx: &mut Cx<'_>, link: u32, mut packet: Packet) -> Option<Packet> {
    let data = packet.data();
    let start = match link {
        LINK_RAW_IP => Some(0),
        LINK_ETHER if data.get(12..14) == Some(&[8, 0]) => Some(14),
        LINK_ETHER if data.get(12..14) == Some(&[0x81, 0]) && data.get(16..18) == Some(&[8, 0]) => Some(18),
        _ => None,
    };
    let header = start.and_then(|start| data.get(start..)?.first_chunk::<20>().copied());
    let length = header.map_or(0, |header| usize::from(header[0] & 0xf) * 4);
    let valid = header.is_some_and(|header| header[0] >> 4 == 4) && length >= 20;
    match start {
        Some(start) if valid && packet.strip_front(start) => {
            packet.set_network_header(0, length);
            let destination = header.map(|h| [h[16], h[17], h[18], h[19]]).unwrap_or_default();
            packet.anno_mut().dst_ip = destination.into();
            Some(packet)
        }
        _ => {
            cx.emit_or_drop(1, NOT_IP, packet);
            None
        }
    }
}

impl Element for FromDump {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        if cx.dry() {
            return Ok(());
        }
        let source: Box<dyn std::io::Read + Send> = match self.file.as_str() {
            "-" => Box::new(std::io::stdin()),
            name => Box::new(File::open(name).map_err(|error| format!("{name}: {error}"))?),
        };
        let reader = Reader::new(source).map_err(|problem| format!("{}: {problem}", self.file))?;
        self.link = reader.link;
        self.reader = Some(reader);
        if !cx.output_is_pull(0) {
            cx.watch_downstream();
            cx.schedule();
        }
        Ok(())
    }

    fn start(&mut self, cx: &mut Cx<'_>) {
        if cx.output_is_pull(0) {
            cx.wake_pullers(0);
        }
    }

    fn task(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) -> bool {
        if !self.active || cx.output_is_pull(0) || cx.downstream_full() {
            return false;
        }
        let before = self.count;
        if self.read_batch(cx, batch, self.burst) {
            // What was read goes on before the router stops.
            if self.count > before {
                cx.schedule();
            } else {
                self.end(cx);
            }
        } else if self.ahead.is_none() {
            cx.schedule();
        }
        self.count > before
    }

    fn pull(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch, max: usize) {
        if self.active && self.read_batch(cx, batch, max) && batch.is_empty() {
            self.end(cx);
        }
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _batch: &mut Batch) {
        if cx.output_is_pull(0) { cx.wake_pullers(0) } else { cx.schedule() }
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "count" => Ok(self.count.to_string()),
            "active" => Ok(self.active.to_string()),
            "filename" => Ok(self.file.clone()),
            "filepos" => Ok(self.position.to_string()),
            "encap" => Ok(link_name(self.link)),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "reset_counts" => self.count = 0,
            "active" => {
                self.active = parse_handler(value)?;
                if cx.output_is_pull(0) { cx.wake_pullers(0) } else { cx.schedule() }
            }
            "stop" => {
                self.active = false;
                cx.stop();
            }
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }
}
