//! FromIPSummaryDump: makes packets of the lines of a summary dump, pushed or pulled, as fast as they go or at the pace
//! of their times.

use super::ANNOTATIONS;
use super::draft::set_packet_length;
use super::dump::{DEFAULT_PROTOCOL, Dump, Line, parse_flow};
use crate::config::{Bytes, split_words};
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Outside,
    Packet, StateKind, Time,
};
use crate::elements::basic::parse_handler;
use crate::elements::trace::file::{FileSource, reason};
use crate::elements::trace::sampling::Sampling;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

pub(in crate::elements::trace) static DESCRIPTOR: Descriptor = Descriptor {
    class: "FromIPSummaryDump",
    summary: "reads packets from an IP summary dump file",
    ports: "0/1",
    flow: "x/y",
    args: &[
        Arg::optional("FILENAME", "string", "", "the file, which may be compressed; - for standard input"),
        Arg::keyword("STOP", "bool", "false", "whether the router stops at the end of the file"),
        Arg::keyword("ACTIVE", "bool", "true", "whether packets are read"),
        Arg::keyword(
            "ZERO",
            "bool",
            "true",
            "accepted as in Click: bytes that no field says are always zero",
        ),
        Arg::keyword("TIMING", "bool", "false", "whether packets keep the time between them"),
        Arg::keyword(
            "CHECKSUM",
            "bool",
            "false",
            "whether checksums are set, for which packets get all their bytes",
        ),
        Arg::keyword("SAMPLE", "number from 0 to 1", "1", "probability that a packet is read"),
        Arg::keyword("PROTO", "0-255", "6", "IP protocol of packets that do not say it"),
        Arg::keyword(
            "MULTIPACKET",
            "bool",
            "false",
            "whether a line makes as many packets as its count says",
        ),
        Arg::keyword("DEFAULT_CONTENTS", "words", "", "what lines contain, until the file says it"),
        Arg::keyword("DEFAULT_FIELDS", "words", "", "same as DEFAULT_CONTENTS"),
        Arg::keyword("DEFAULT_FLOWID", "words", "", "same as FLOWID"),
        Arg::keyword("CONTENTS", "words", "", "same as DEFAULT_CONTENTS"),
        Arg::keyword("FIELDS", "words", "", "same as DEFAULT_CONTENTS"),
        Arg::keyword("FLOWID", "SRC SPORT DST DPORT [PROTO]", "", "flow of packets that do not say it"),
        Arg::keyword("ALLOW_NONEXISTENT", "bool", "false", "whether the file may be missing or empty"),
        Arg::keyword("DATA", "string", "", "the dump itself, in place of a file"),
    ],
    writes: ANNOTATIONS.union(Annotations::DST_IP),
    handlers: &[
        Handler::read("sampling_prob", "probability that a packet is read"),
        Handler::both("active", "whether packets are read"),
        Handler::read("encap", "IP, the link type of the packets"),
        Handler::write("stop", "stops reading and the router"),
        Handler::read("filename", "the file"),
        Handler::read("filesize", "bytes of the file; - if that is not known"),
        Handler::read("filepos", "bytes of the file read"),
    ],
    state: StateKind::Small,
    details: "Makes a packet of each line of a dump. What a line does not say is filled in: TTL 100, a header without \
              options, lengths that fit, zero bytes as payload. A line that makes no sense is reported once, with its \
              number, and left out.",
    example: r#"
        FromIPSummaryDump(DATA "1.0.0.1 1024 2.0.0.2 80 T S 1
        2.0.0.2 80 1.0.0.1 1024 T SA 1
        1.0.0.1 53 3.0.0.3 53 U - 2
        nonsense
        3.0.0.3 53 1.0.0.1 53 U - 1",
            FIELDS ip_src sport ip_dst dport ip_proto tcp_flags count,
            MULTIPACKET true, CHECKSUM true, STOP true)
            -> IPPrint(packet)
            -> c :: Counter -> Discard;
        DriverManager(wait_stop, print "$(c.count) packets");
    "#,
    notes: super::field::reference,
    build,
    outside: Outside::File,
    ..Descriptor::BASE
};

/// Lines without a packet that are read at a time.
const MOST_LINES: usize = 1000;

/// Where packets come from.
enum Source {
    File(String),
    Data(Vec<u8>),
}

/// A packet that stands for several, which are given out one by one.
struct Several {
    packet: Packet,
    /// Length of all but the last one.
    length: u32,
    /// Nanoseconds between them.
    step: u64,
    /// Time of the last one.
    end: Time,
}

struct FromIpSummaryDump {
    source: Source,
    dump: Dump,
    allow_nonexistent: bool,
    stop: bool,
    active: bool,
    timing: bool,
    checksum: bool,
    multipacket: bool,
    sampling: Sampling,
    /// The next packet, read and waiting for its time.
    ahead: Option<Packet>,
    /// More packets of the last line.
    several: Option<Several>,
    /// Engine time and time in the dump of the first packet.
    base: Option<(Time, Time)>,
    ended: bool,
}

/// The text of the last of these arguments that is given, as Click takes it.
fn one_of<'a>(args: &'a Args<'_>, names: &[&str]) -> Option<&'a str> {
    names.iter().rev().find_map(|name| args.text(name))
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let data = args.get::<Bytes>("DATA")?.map(|data| data.0).filter(|data| !data.is_empty());
    let source = match (args.get::<String>("FILENAME")?.filter(|name| !name.is_empty()), data) {
        (Some(_), Some(_)) => return Err("FILENAME and DATA conflict".into()),
        (None, Some(data)) => Source::Data(data),
        (Some(name), None) => Source::File(name),
        (None, None) => return Err("FILENAME: required argument missing".into()),
    };
    args.or("ZERO", true)?;
    let name = match &source {
        Source::File(name) => name,
        Source::Data(_) => "<data>",
    };
    let mut dump = Dump::new(FileSource::nothing(name), args.or("PROTO", DEFAULT_PROTOCOL)?);
    if let Some(fields) = one_of(args, &["DEFAULT_CONTENTS", "DEFAULT_FIELDS", "CONTENTS", "FIELDS"]) {
        dump.set_fields(fields);
    }
    if let Some(text) = one_of(args, &["DEFAULT_FLOWID", "FLOWID"]) {
        set_flow(args, text, &mut dump)?;
    }
    Ok(Box::new(FromIpSummaryDump {
        source,
        dump,
        allow_nonexistent: args.or("ALLOW_NONEXISTENT", false)?,
        stop: args.or("STOP", false)?,
        active: args.or("ACTIVE", true)?,
        timing: args.or("TIMING", false)?,
        checksum: args.or("CHECKSUM", false)?,
        multipacket: args.or("MULTIPACKET", false)?,
        sampling: Sampling::from_args(args)?,
        ahead: None,
        several: None,
        base: None,
        ended: false,
    }))
}

/// A flow as it stands behind `!flowid`, which may be there, too; words or one string.
fn set_flow(args: &Args<'_>, text: &str, dump: &mut Dump) -> Result<(), ConfigError> {
    let text = match split_words(text).as_slice() {
        [_] => args.parse::<String>("FLOWID", text)?,
        _ => text.to_owned(),
    };
    let text = match text.trim_start().strip_prefix('!') {
        Some(rest) => rest.split_once(char::is_whitespace).map_or("", |(_, rest)| rest),
        None => &text,
    };
    let (flow, protocol) = parse_flow(text).ok_or("bad !flowid specification")?;
    dump.set_flow(flow);
    if !protocol.is_none_or(|protocol| dump.set_protocol(&protocol)) {
        return Err("bad protocol in !flowid".into());
    }
    Ok(())
}

impl Several {
    /// Shares out length and time of `packet` among the packets that it stands for.
    fn new(mut packet: Packet) -> Self {
        let anno = *packet.anno();
        let own = packet.len() as u64;
        let count = u64::from(anno.extra_packets) + 1;
        let share = (own + u64::from(anno.extra_length)) / count;
        let length = share.max(own);
        if share < own {
            packet.anno_mut().extra_length = u32::try_from(length * (count - 1)).unwrap_or(u32::MAX);
        }
        let mut step = 0;
        if anno.first_timestamp != Time(0) && count > 1 {
            step = anno.timestamp.0.saturating_sub(anno.first_timestamp.0) / (count - 1);
            packet.anno_mut().timestamp = anno.first_timestamp;
        }
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        if count > 1 {
            set_packet_length(&mut packet, length);
        }
        Self { packet, length, step, end: anno.timestamp }
    }

    /// The next packet, and the rest.
    fn next(mut self) -> (Packet, Option<Self>) {
        if self.packet.anno().extra_packets == 0 {
            return (self.packet, None);
        }
        let mut packet = self.packet.clone();
        let own = packet.len() as u32;
        packet.anno_mut().extra_packets = 0;
        packet.anno_mut().extra_length = self.length.saturating_sub(own);
        let rest = self.packet.anno_mut();
        rest.extra_packets -= 1;
        rest.extra_length = rest.extra_length.saturating_sub(self.length);
        if rest.extra_packets == 0 {
            rest.timestamp = self.end;
            let length = own.saturating_add(rest.extra_length);
            set_packet_length(&mut self.packet, length);
        } else {
            rest.timestamp.0 = rest.timestamp.0.saturating_add(self.step);
        }
        (packet, Some(self))
    }

    fn save(&self, w: &mut Writer) {
        self.packet.save(w);
        w.put_u32(self.length);
        w.put_u64(self.step);
        w.put_u64(self.end.0);
    }

    fn restore(r: &mut Reader<'_>) -> Result<Self, StateError> {
        let packet = Packet::restore(r)?;
        Ok(Self { packet, length: r.get_u32()?, step: r.get_u64()?, end: Time(r.get_u64()?) })
    }
}

/// What reading on has come to.
enum Step {
    Packet(Packet),
    /// It is not its time yet.
    Early,
    /// Many lines had no packet.
    Nothing,
    End,
}

impl FromIpSummaryDump {
    fn show_messages(&mut self, cx: &Cx<'_>) {
        self.dump.messages.drain(..).for_each(|message| cx.message(message));
    }

    fn open(&mut self) -> Result<(), String> {
        let opened = match &mut self.source {
            Source::Data(data) => Ok(FileSource::of_data(std::mem::take(data))),
            Source::File(name) => FileSource::open(name),
        };
        match opened {
            Ok(file) => self.dump.file = file,
            // That is all that opening says of files that are not there.
            Err(problem) if self.allow_nonexistent && problem == "No such file or directory" => return Ok(()),
            Err(problem) => return Err(format!("{}: {problem}", self.dump.file.name())),
        }
        let begun = match self.dump.file.fill(1) {
            Ok(false) if self.allow_nonexistent => {
                self.dump.file.close();
                Ok(())
            }
            Ok(false) => Err("0: empty file".to_owned()),
            Ok(true) => self.dump.begin().map_err(|error| format!("0: {}", reason(&error))),
            Err(error) => Err(format!("0: {}", reason(&error))),
        };
        begun.map_err(|problem| format!("{}:{problem}", self.dump.file.name()))
    }

    /// The next packet, whether it is its time or not.
    fn read_packet(&mut self, cx: &Cx<'_>) -> Step {
        if let Some(packet) = self.ahead.take() {
            return Step::Packet(packet);
        }
        if let Some(several) = self.several.take() {
            let (packet, rest) = several.next();
            self.several = rest;
            return Step::Packet(packet);
        }
        for _ in 0..MOST_LINES {
            let line = self.dump.next(self.checksum);
            self.show_messages(cx);
            match line {
                Line::Packet(packet) if self.multipacket => {
                    let (packet, rest) = Several::new(packet).next();
                    self.several = rest;
                    return Step::Packet(packet);
                }
                Line::Packet(packet) => return Step::Packet(packet),
                Line::Other => {}
                Line::End => return Step::End,
            }
        }
        Step::Nothing
    }

    /// The next packet that is due and sampled.
    fn next(&mut self, cx: &mut Cx<'_>) -> Step {
        for _ in 0..MOST_LINES {
            let packet = match self.read_packet(cx) {
                Step::Packet(packet) => packet,
                other => return other,
            };
            if self.timing
                && let Some(due) = self.due(cx.now(), packet.anno().timestamp)
            {
                self.ahead = Some(packet);
                cx.set_timer(due);
                return Step::Early;
            }
            if self.sampling.takes(cx) {
                return Step::Packet(packet);
            }
        }
        Step::Nothing
    }

    /// When a packet is due, if it is not yet.
    fn due(&mut self, now: Time, at: Time) -> Option<Time> {
        let (start, first) = *self.base.get_or_insert((now, at));
        Some(start + at.since(first)).filter(|due| *due > now)
    }

    fn end(&mut self, cx: &mut Cx<'_>) {
        if !std::mem::replace(&mut self.ended, true) && self.stop {
            cx.stop();
        }
    }

    fn go_on(&mut self, cx: &mut Cx<'_>) {
        if cx.output_is_pull(0) { cx.wake_pullers(0) } else { cx.schedule() }
    }
}

impl Element for FromIpSummaryDump {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        if cx.dry() {
            return Ok(());
        }
        let opened = self.open();
        self.show_messages(cx);
        if !cx.output_is_pull(0) {
            cx.schedule();
        }
        opened
    }

    fn start(&mut self, cx: &mut Cx<'_>) {
        if cx.output_is_pull(0) {
            cx.wake_pullers(0);
        }
    }

    fn task(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) -> bool {
        if !self.active || cx.output_is_pull(0) {
            return false;
        }
        match self.next(cx) {
            // One packet each time it runs, as in Click: sources and queues take turns.
            Step::Packet(packet) => {
                batch.push(packet);
                cx.schedule();
                true
            }
            Step::Early => false,
            Step::Nothing => {
                cx.schedule();
                true
            }
            Step::End => {
                self.end(cx);
                false
            }
        }
    }

    fn pull(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch, max: usize) {
        while self.active && batch.len() < max && !batch.is_full() {
            match self.next(cx) {
                Step::Packet(packet) => batch.push(packet),
                Step::Early => return,
                Step::Nothing => return cx.wake_pullers(0),
                Step::End => {
                    // What was read goes on before the router stops.
                    if batch.is_empty() {
                        self.end(cx);
                    }
                    return;
                }
            }
        }
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _batch: &mut Batch) {
        if self.active {
            self.go_on(cx);
        }
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "sampling_prob" => Ok(self.sampling.to_string()),
            "active" => Ok(self.active.to_string()),
            "encap" => Ok("IP".to_owned()),
            "filename" => Ok(self.dump.file.name().to_owned()),
            "filesize" => Ok(self.dump.file.size()),
            "filepos" => Ok(self.dump.file.position().to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "active" => {
                let mismatch = |_| HandlerError::Refused("type mismatch".to_owned());
                self.active = parse_handler(value).map_err(mismatch)?;
                if self.active {
                    self.ended = false;
                    self.go_on(cx);
                }
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

impl Stateful for FromIpSummaryDump {
    fn schema(&self) -> Schema {
        Schema { name: "from-ip-summary-dump", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        self.dump.save(w);
        w.put_bool(self.active);
        w.put_bool(self.ended);
        w.put_bool(self.ahead.is_some());
        self.ahead.iter().for_each(|packet| packet.save(w));
        w.put_bool(self.several.is_some());
        self.several.iter().for_each(|several| several.save(w));
        w.put_bool(self.base.is_some());
        let (now, at) = self.base.unwrap_or_default();
        w.put_u64(now.0);
        w.put_u64(at.0);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.dump.restore(r)?;
        self.active = r.get_bool()?;
        self.ended = r.get_bool()?;
        self.ahead = if r.get_bool()? { Some(Packet::restore(r)?) } else { None };
        self.several = if r.get_bool()? { Some(Several::restore(r)?) } else { None };
        let has_base = r.get_bool()?;
        let base = (Time(r.get_u64()?), Time(r.get_u64()?));
        self.base = has_base.then_some(base);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
