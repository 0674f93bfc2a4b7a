//! FromDump: packets of a capture file, pushed as fast as they go, at the pace of the capture, or pulled.

use std::time::Duration;

use super::file::{reason, shown_name};
use super::link_type;
use super::pcap::{Capture, Head};
use super::sampling::Sampling;
use crate::config::Value;
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Outside,
    Packet, Queueing, StateKind, Time,
};
use crate::elements::basic::parse_handler;
use crate::elements::source::split_call;
use crate::packet::BATCH;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

const NOT_IP: &str = "not an IP packet";
/// Packets that are left out, one after the other, before others get a turn.
const MOST_LEFT_OUT: usize = 1000;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "FromDump",
    summary: "reads packets from a tcpdump(1) file",
    ports: "0/1-2",
    processing: "a/ah",
    flow: "x/y",
    args: &[
        Arg::required("FILENAME", "string", "the file, which may be compressed; - for standard input"),
        Arg::optional("TIMING", "bool", "false", "whether packets keep the time between them"),
        Arg::keyword("STOP", "bool", "false", "whether the router stops at the end"),
        Arg::keyword("ACTIVE", "bool", "true", "whether packets are read"),
        Arg::keyword("SAMPLE", "number from 0 to 1", "1", "probability that a packet is read"),
        Arg::keyword("FORCE_IP", "bool", "false", "whether only IP packets leave, their IP header marked"),
        Arg::keyword("START", "time", "", "packets before this time are left out"),
        Arg::keyword("START_AFTER", "time", "", "START, counted from the first packet"),
        Arg::keyword("END", "time", "", "the end: the time of the first packet that is left out"),
        Arg::keyword("END_AFTER", "time", "", "END, counted from the first packet"),
        Arg::keyword("INTERVAL", "time", "", "END, counted from START"),
        Arg::keyword("END_CALL", "HANDLER [VALUE]", "", "write handler called at the end"),
        Arg::keyword("FILEPOS", "unsigned", "", "where in the file the first packet is"),
        Arg::keyword("BURST", "unsigned", "32", "packets pushed each time it runs"),
        Arg::keyword("MMAP", "bool", "false", "accepted as in Click"),
    ],
    writes: Annotations(
        Annotations::TIMESTAMP.0
            | Annotations::EXTRA_LENGTH.0
            | Annotations::MAC_HEADER.0
            | Annotations::NETWORK_HEADER.0
            | Annotations::TRANSPORT_HEADER.0
            | Annotations::DST_IP.0,
    ),
    queueing: Queueing { heeds_full: true, ..Queueing::NONE },
    ties,
    handlers: &[
        Handler::read("count", "packets sent"),
        Handler::write("reset_counts", "sets count to 0"),
        Handler::read("sampling_prob", "probability that a packet is read"),
        Handler::both("active", "whether packets are read"),
        Handler::read("encap", "the link type of the file"),
        Handler::read("filename", "the file"),
        Handler::read("filesize", "bytes of the file; - if that is not known"),
        Handler::both("filepos", "bytes of the file read"),
        Handler::read("packet_filepos", "where in the file the last packet began"),
        Handler::write("extend_interval", "moves the end by a time and goes on"),
        Handler::write("reset_timing", "begins to count times anew with the next packet"),
        Handler::write("stop", "stops reading and the router"),
    ],
    drops: &[NOT_IP],
    state: StateKind::Small,
    details: "Reads captures of tcpdump(1) in any of their forms, compressed or not. With TIMING true packets keep the time between them.",
    example: r#"
        FromDump(examples/traces/sample.pcap, STOP true, TIMING true)
            -> Strip(14) -> CheckIPHeader
            -> IPPrint(packet)
            -> c :: Counter -> Discard;
        DriverManager(wait_stop, print "$(c.count) packets");
    "#,
    build,
    outside: Outside::File,
    ..Descriptor::BASE
};

/// What a configured time counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Epoch,
    /// The first packet of the file.
    FirstPacket,
    /// The start.
    Start,
}

/// A time that packets are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit {
    at: Time,
    origin: Origin,
    /// Whether it is still to come.
    armed: bool,
}

/// What happens at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
enum AtEnd {
    Nothing,
    Stop,
    Rest,
    Call { handler: String, value: String },
}

struct FromDump {
    file: String,
    capture: Option<Capture>,
    start_at: u64,
    active: bool,
    timing: bool,
    force_ip: bool,
    link: u32,
    burst: usize,
    sampling: Sampling,
    first: Limit,
    last: Limit,
    at_end: AtEnd,
    /// Whether `first` and `last` count from the epoch by now.
    settled: bool,
    /// Engine time and capture time of the first packet.
    base: (Time, Time),
    /// The next packet, read and waiting for its time.
    ahead: Option<Packet>,
    count: u64,
    packet_position: u64,
    ended: bool,
}

/// The element that END_CALL names.
fn ties(config: &str) -> Vec<String> {
    let arguments = crate::config::split_arguments(config);
    let calls = arguments.iter().filter_map(|text| text.trim().strip_prefix("END_CALL "));
    let handlers = calls.filter_map(|call| Some(split_call(&String::parse_plain(call).ok()?).0));
    handlers.filter_map(|handler| Some(handler.rsplit_once('.')?.0.to_owned())).collect()
}

/// The one argument of these that is given (zero stands for none); `refusal` if there are several.
fn one_of(args: &Args<'_>, names: &[(&str, Origin)], refusal: &str) -> Result<Limit, ConfigError> {
    let mut limit = Limit { at: Time(0), origin: Origin::FirstPacket, armed: false };
    for &(name, origin) in names {
        let span = args.or(name, Duration::ZERO)?;
        if span.is_zero() {
            continue;
        }
        if limit.armed {
            return Err(refusal.into());
        }
        limit = Limit { at: Time(0) + span, origin, armed: true };
    }
    Ok(limit)
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    args.or("MMAP", false)?;
    let first = one_of(
        args,
        &[("START", Origin::Epoch), ("START_AFTER", Origin::FirstPacket)],
        "START and START_AFTER are mutually exclusive",
    )?;
    let last = one_of(
        args,
        &[("END", Origin::Epoch), ("END_AFTER", Origin::FirstPacket), ("INTERVAL", Origin::Start)],
        "END, END_AFTER, and INTERVAL are mutually exclusive",
    )?;
    let at_end = match (args.get::<String>("END_CALL")?, args.or("STOP", false)?) {
        (Some(_), true) => return Err("END_CALL and STOP are mutually exclusive".into()),
        (Some(call), false) => {
            let (handler, value) = split_call(&call);
            AtEnd::Call { handler, value }
        }
        (None, true) => AtEnd::Stop,
        (None, false) if last.armed => AtEnd::Rest,
        (None, false) => AtEnd::Nothing,
    };
    Ok(Box::new(FromDump {
        file: args.need("FILENAME")?,
        capture: None,
        start_at: args.or("FILEPOS", 0)?,
        active: args.or("ACTIVE", true)?,
        timing: args.or("TIMING", false)?,
        force_ip: args.or("FORCE_IP", false)?,
        link: link_type::ETHER,
        burst: args.or("BURST", BATCH)?.clamp(1, BATCH),
        sampling: Sampling::from_args(args)?,
        first,
        last,
        at_end,
        settled: false,
        base: (Time(0), Time(0)),
        ahead: None,
        count: 0,
        packet_position: 0,
        ended: false,
    }))
}

/// What the next packet of the file has come to.
enum Step {
    Packet(Packet),
    /// It is left out.
    LeftOut,
    /// Those before it have to go on first.
    Wait,
    End,
}

impl FromDump {
    fn complain(&mut self, cx: &Cx<'_>, error: &std::io::Error) {
        cx.message(format_args!("{}: {}", shown_name(&self.file), reason(error)));
    }

    /// Settles what is counted from the first packet, which was captured at `at`.
    fn settle(&mut self, now: Time, at: Time) {
        let from = |limit: Limit, origin| {
            limit.at + Duration::from_nanos(if limit.origin == origin { at.0 } else { 0 })
        };
        self.first.at = from(self.first, Origin::FirstPacket);
        self.last.at = match self.last.origin {
            Origin::Start => self.last.at + Duration::from_nanos(self.first.at.0),
            _ => from(self.last, Origin::FirstPacket),
        };
        (self.first.origin, self.last.origin) = (Origin::Epoch, Origin::Epoch);
        self.base = (now, at);
        self.settled = true;
    }

    /// The next packet of the file. `alone`: no packet before it waits to be sent.
    #[inline]
    fn step(&mut self, cx: &mut Cx<'_>, alone: bool) -> Step {
        let Some(capture) = self.capture.as_mut() else { return Step::End };
        let head = match capture.head() {
            Ok(Some(head)) => head,
            Ok(None) => return Step::End,
            Err(error) => return self.give_up(cx, &error),
        };
        if !self.settled || self.first.armed || self.last.armed {
            match self.check_times(cx, head, alone) {
                Step::LeftOut => {}
                other => return other,
            }
            if self.first.armed {
                return self.leave_out(cx, head);
            }
        }
        if !self.sampling.takes(cx) {
            return self.leave_out(cx, head);
        }
        self.packet_position = head.position;
        match self.capture.as_mut().map(|capture| capture.packet(head)) {
            Some(Ok(packet)) => Step::Packet(packet),
            Some(Err(error)) => self.give_up(cx, &error),
            None => Step::End,
        }
    }

    #[cold]
    fn give_up(&mut self, cx: &Cx<'_>, error: &std::io::Error) -> Step {
        self.complain(cx, error);
        self.capture = None;
        Step::End
    }

    fn leave_out(&mut self, cx: &Cx<'_>, head: Head) -> Step {
        match self.capture.as_mut().map(|capture| capture.skip(head)) {
            Some(Err(error)) => self.give_up(cx, &error),
            _ => Step::LeftOut,
        }
    }

    /// Compares the time of the next packet with start and end: `first.armed` stays if it is too early. `LeftOut` means
    /// that reading goes on.
    #[cold]
    fn check_times(&mut self, cx: &mut Cx<'_>, head: Head, alone: bool) -> Step {
        if !self.settled {
            self.settle(cx.now(), head.at);
        }
        if self.first.armed && head.at < self.first.at {
            return Step::LeftOut;
        }
        self.first.armed = false;
        while self.last.armed && head.at >= self.last.at {
            if !alone {
                // What the end calls may look at what was sent: the packets before it go on first.
                if let Some(capture) = self.capture.as_mut()
                    && capture.file.seek(head.position).is_err()
                {
                    return Step::End;
                }
                return Step::Wait;
            }
            self.last.armed = false;
            self.call_end(cx);
            if !self.active {
                return match self.leave_out(cx, head) {
                    Step::LeftOut => Step::Wait,
                    other => other,
                };
            }
        }
        Step::LeftOut
    }

    fn call_end(&mut self, cx: &mut Cx<'_>) {
        match self.at_end.clone() {
            AtEnd::Nothing => {}
            AtEnd::Stop => {
                self.active = false;
                cx.stop();
            }
            AtEnd::Rest => self.active = false,
            AtEnd::Call { handler, value } => {
                let called = match handler.rsplit_once('.') {
                    Some((element, own)) if cx.find(element) == Some(cx.id()) => self.write(cx, own, &value),
                    _ => cx.write_handler(&handler, &value),
                };
                if let Err(error) = called {
                    cx.message(format_args!("{}: {handler}: {error}", cx.name()));
                }
            }
        }
    }

    /// Adds up to `max` packets that are due to `batch`. Returns whether there will be more without waiting.
    #[inline]
    fn read_batch(&mut self, cx: &mut Cx<'_>, batch: &mut Batch, max: usize) -> bool {
        let mut left_out = 0;
        while batch.len() < max && !batch.is_full() {
            let packet = match self.ahead.take() {
                Some(packet) => packet,
                None => match self.step(cx, batch.is_empty()) {
                    Step::Packet(packet) => packet,
                    Step::LeftOut if left_out == MOST_LEFT_OUT => return true,
                    Step::LeftOut => {
                        left_out += 1;
                        continue;
                    }
                    Step::Wait => return true,
                    // What was read goes on before the end is told.
                    Step::End if !batch.is_empty() => return true,
                    Step::End => {
                        self.end(cx);
                        return false;
                    }
                },
            };
            if self.timing {
                let due = self.base.0 + packet.anno().timestamp.since(self.base.1);
                if due > cx.now() {
                    self.ahead = Some(packet);
                    cx.set_timer(due);
                    return false;
                }
            }
            batch.extend(self.send(cx, packet));
        }
        true
    }

    #[inline]
    fn send(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        if self.force_ip && !link_type::mark_ip(self.link, &mut packet) {
            cx.emit_or_drop(1, NOT_IP, packet);
            return None;
        }
        self.count += 1;
        Some(packet)
    }

    fn end(&mut self, cx: &mut Cx<'_>) {
        if !std::mem::replace(&mut self.ended, true) {
            self.call_end(cx);
        }
    }

    fn go_on(&mut self, cx: &mut Cx<'_>) {
        self.ended = false;
        if cx.output_is_pull(0) { cx.wake_pullers(0) } else { cx.schedule() }
    }

    fn seek(&mut self, position: u64) -> Result<(), String> {
        self.ahead = None;
        self.capture.as_mut().map_or(Ok(()), |capture| capture.file.seek(position))
    }
}

impl Element for FromDump {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        if cx.dry() {
            return Ok(());
        }
        let capture = Capture::open(&self.file)?;
        self.link = capture.link;
        self.capture = Some(capture);
        if self.force_ip && !link_type::can_find_ip(self.link) {
            let name = shown_name(&self.file);
            return Err(format!("{name}: unknown linktype {}; can't force IP packets", self.link));
        }
        self.force_ip |= self.link == link_type::RAW_IP;
        if self.start_at > 0 {
            self.seek(self.start_at).map_err(|problem| format!("{}: {problem}", shown_name(&self.file)))?;
        }
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
            cx.schedule();
            return true;
        }
        self.count > before
    }

    fn pull(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch, max: usize) {
        while self.active && batch.is_empty() {
            if !self.read_batch(cx, batch, max) {
                return;
            }
        }
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _batch: &mut Batch) {
        if cx.output_is_pull(0) { cx.wake_pullers(0) } else { cx.schedule() }
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        let file = self.capture.as_ref().map(|capture| &capture.file);
        match handler {
            "count" => Ok(self.count.to_string()),
            "sampling_prob" => Ok(self.sampling.to_string()),
            "active" => Ok(self.active.to_string()),
            "encap" => Ok(link_type::name(self.link)),
            "filename" => Ok(shown_name(&self.file).to_owned()),
            "filesize" => Ok(file.map_or_else(|| "-".to_owned(), |file| file.size())),
            "filepos" => Ok(file.map_or(0, |file| file.position()).to_string()),
            "packet_filepos" => Ok(self.packet_position.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        let refused = |text: &str| HandlerError::Refused(text.to_owned());
        match handler {
            "reset_counts" => self.count = 0,
            "active" => {
                self.active = parse_handler(value).map_err(|_| refused("type mismatch"))?;
                if self.active {
                    self.go_on(cx);
                }
            }
            "filepos" => {
                let position = parse_handler(value).map_err(|_| refused("argument must be file offset"))?;
                self.seek(position).map_err(HandlerError::Refused)?;
                self.go_on(cx);
            }
            "extend_interval" => {
                let span: Duration =
                    parse_handler(value).map_err(|_| refused("'extend_interval' takes a time interval"))?;
                self.last.at += span;
                if self.at_end != AtEnd::Nothing {
                    (self.last.armed, self.active) = (true, true);
                    self.go_on(cx);
                }
            }
            "reset_timing" => {
                (self.first.origin, self.last.origin) = (Origin::Epoch, Origin::Epoch);
                self.settled = false;
            }
            "stop" => {
                self.active = false;
                cx.stop();
            }
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for FromDump {
    fn schema(&self) -> Schema {
        Schema { name: "from-dump", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        let position = self.capture.as_ref().map(|capture| capture.file.position());
        w.put_bool(position.is_some());
        w.put_u64(position.unwrap_or(0));
        w.put_u64(self.packet_position);
        w.put_u64(self.count);
        w.put_bool(self.active);
        w.put_bool(self.ended);
        w.put_bool(self.settled);
        w.put_u64(self.base.0.0);
        w.put_u64(self.base.1.0);
        for limit in [self.first, self.last] {
            w.put_u64(limit.at.0);
            w.put_bool(limit.armed);
            w.put_u8(match limit.origin {
                Origin::Epoch => 0,
                Origin::FirstPacket => 1,
                Origin::Start => 2,
            });
        }
        w.put_bool(self.ahead.is_some());
        self.ahead.iter().for_each(|packet| packet.save(w));
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        let (open, position) = (r.get_bool()?, r.get_u64()?);
        if !open {
            self.capture = None;
        } else if self.seek(position).is_err() {
            return Err(StateError::Invalid { what: "position in a file", value: position });
        }
        self.packet_position = r.get_u64()?;
        self.count = r.get_u64()?;
        self.active = r.get_bool()?;
        self.ended = r.get_bool()?;
        self.settled = r.get_bool()?;
        self.base = (Time(r.get_u64()?), Time(r.get_u64()?));
        for limit in [&mut self.first, &mut self.last] {
            limit.at = Time(r.get_u64()?);
            limit.armed = r.get_bool()?;
            limit.origin = match r.get_u8()? {
                0 => Origin::Epoch,
                1 => Origin::FirstPacket,
                2 => Origin::Start,
                other => return Err(StateError::Invalid { what: "origin of a time", value: other.into() }),
            };
        }
        self.ahead = if r.get_bool()? { Some(Packet::restore(r)?) } else { None };
        Ok(())
    }
}

#[cfg(test)]
mod tests;
