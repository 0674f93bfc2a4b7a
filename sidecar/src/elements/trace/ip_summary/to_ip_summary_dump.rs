//! ToIPSummaryDump: writes a line about each packet.

use std::fs::File;
use std::io::{BufWriter, Write};

use super::field::{self, Field, Form};
use super::text::{quote, show_time};
use super::view::{Rules, View};
use super::{ANNOTATIONS, MAJOR_VERSION, MINOR_VERSION};
use crate::config::{Bytes, split_words, unquote};
use crate::element::{
    Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Outside, Packet, Time,
};
use crate::elements::trace::file::reason;

pub(in crate::elements::trace) static DESCRIPTOR: Descriptor = Descriptor {
    class: "ToIPSummaryDump",
    summary: "writes packet summary information to an ASCII file",
    ports: "1/0-1",
    processing: "a/h",
    args: &[
        Arg::required("FILENAME", "string", "the file; - for standard output"),
        Arg::keyword("FIELDS", "words", "timestamp ip_src", "what a line contains, see below"),
        Arg::keyword("CONTENTS", "words", "", "same as FIELDS"),
        Arg::keyword("DATA", "words", "", "same as FIELDS; deprecated"),
        Arg::keyword("VERBOSE", "bool", "false", "whether the header names host and time"),
        Arg::keyword("HEADER", "bool", "true", "whether the dump has a header"),
        Arg::keyword("BANNER", "string", "", "who made the dump, for the header"),
        Arg::keyword(
            "MULTIPACKET",
            "bool",
            "false",
            "a line for each packet that a packet stands for, unless FIELDS has count",
        ),
        Arg::keyword("BAD_PACKETS", "bool", "false", "whether a !bad line precedes packets with bad headers"),
        Arg::keyword("CAREFUL_TRUNC", "bool", "true", "whether packets shorter than their IP length are bad"),
        Arg::keyword("EXTRA_LENGTH", "bool", "true", "whether lengths count what was not captured"),
        Arg::keyword("BINARY", "bool", "false", "whether records are packed"),
    ],
    reads: ANNOTATIONS,
    handlers: &[Handler::write("flush", "writes what is buffered")],
    details: "Writes a line for each packet, with the fields that FIELDS names; a field that the packet does not have \
              is written as a hyphen. FromIPSummaryDump reads the file back.",
    example: r#"
        RatedSource(DATA "payload", RATE 10, LIMIT 6, STOP true)
            -> s :: RoundRobinSwitch;
        s[0] -> UDPIPEncap(1.0.0.1, 1000, 2.0.0.2, 53) -> t :: Null;
        s[1] -> ICMPPingEncap(1.0.0.1, 2.0.0.3) -> t;
        t -> ToIPSummaryDump(-, FIELDS timestamp ip_src sport ip_dst dport ip_proto ip_len icmp_type payload)
            -> Discard;
    "#,
    notes: super::field::reference,
    build,
    outside: Outside::File,
    ..Descriptor::BASE
};

/// Where lines go.
enum Output {
    None,
    File(BufWriter<File>),
    /// Written through after each batch: others write there too.
    Stdout,
}

struct ToIpSummaryDump {
    name: String,
    output: Output,
    fields: Vec<&'static Field>,
    rules: Rules,
    verbose: bool,
    header: bool,
    banner: Vec<u8>,
    multipacket: bool,
    bad_packets: bool,
    binary: bool,
    /// Lines that are not written yet, of standard output those of a batch.
    lines: Vec<u8>,
    bad: Vec<u8>,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let binary = args.or("BINARY", false)?;
    let listed = ["DATA", "CONTENTS", "FIELDS"].into_iter().find_map(|name| args.text(name));
    if args.text("DATA").is_some() {
        eprintln!("{}: DATA: warning: argument deprecated", args.element());
    }
    let (mut fields, mut problems) = (Vec::new(), Vec::new());
    for word in split_words(listed.unwrap_or("timestamp ip_src")) {
        let word = String::from_utf8_lossy(&unquote(&word)).into_owned();
        match field::find(&word) {
            None => problems.push(format!("unknown content type '{word}'")),
            Some(field) if binary && field.form == Form::TextOnly => {
                problems.push(format!("cannot use field {word} with BINARY"));
            }
            Some(field) => fields.push(field),
        }
    }
    if fields.is_empty() && problems.is_empty() {
        problems.push("no contents specified".to_owned());
    }
    if !problems.is_empty() {
        return Err(ConfigError(problems));
    }
    let counted = fields.iter().any(|field| field.name == "count");
    Ok(Box::new(ToIpSummaryDump {
        name: args.need("FILENAME")?,
        output: Output::None,
        rules: Rules {
            headers: fields.iter().any(|field| field.headers),
            careful: args.or("CAREFUL_TRUNC", true)?,
            with_extra: args.or("EXTRA_LENGTH", true)?,
        },
        fields,
        verbose: args.or("VERBOSE", false)?,
        header: args.or("HEADER", true)?,
        banner: args.get::<Bytes>("BANNER")?.map_or_else(Vec::new, |banner| banner.0),
        multipacket: args.or("MULTIPACKET", false)? && !counted,
        bad_packets: args.or("BAD_PACKETS", false)?,
        binary,
        lines: Vec::new(),
        bad: Vec::new(),
    }))
}

/// The date and time of day here, as ctime(3) writes it.
fn local_time(at: Time) -> String {
    let stamp = jiff::Timestamp::from_nanosecond(i128::from(at.0)).unwrap_or_default();
    stamp.to_zoned(jiff::tz::TimeZone::system()).strftime("%a %b %e %H:%M:%S %Y").to_string()
}

/// Writes a line into a binary dump: its length, the length's own four bytes included, marked as no packet.
fn push_text_record(line: &[u8], out: &mut Vec<u8>) {
    let length = (line.len() + 4) as u32 | 0x8000_0000;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(line);
}

impl ToIpSummaryDump {
    fn push_header(&mut self, now: Time) {
        let out = &mut self.lines;
        out.extend_from_slice(format!("!IPSummaryDump {MAJOR_VERSION}.{MINOR_VERSION}\n").as_bytes());
        if !self.banner.is_empty() {
            out.extend_from_slice(b"!creator ");
            quote(&self.banner, out);
            out.push(b'\n');
        }
        if self.verbose {
            let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
            out.extend_from_slice(format!("!host {host}\n!runtime ").as_bytes());
            show_time(now, out);
            out.extend_from_slice(format!(" ({})\n", local_time(now)).as_bytes());
        }
        out.extend_from_slice(b"!data");
        for field in &self.fields {
            out.push(b' ');
            // In text, the two are the same.
            let name = if field.name == "ntimestamp" && !self.binary { "timestamp" } else { field.name };
            out.extend_from_slice(name.as_bytes());
        }
        out.push(b'\n');
        if self.binary {
            out.extend_from_slice(b"!binary\n");
        }
    }

    /// Writes the line about one packet, whose extra length annotation is put in order on the way.
    fn push_line(&mut self, packet: &mut Packet) {
        self.bad.clear();
        let start = self.lines.len();
        let bad = self.bad_packets.then_some(&mut self.bad);
        let mut view = View::new(packet, self.rules, bad);
        if self.binary {
            self.lines.extend_from_slice(&[0; 4]);
            for field in &self.fields {
                let value = (field.get)(&mut view);
                field.form.encode(value, &mut self.lines);
            }
            let length = (self.lines.len() - start) as u32;
            self.lines[start..start + 4].copy_from_slice(&length.to_be_bytes());
        } else {
            for (at, field) in self.fields.iter().enumerate() {
                if at > 0 {
                    self.lines.push(b' ');
                }
                match (field.get)(&mut view) {
                    Some(value) => (field.show)(&view, value, &mut self.lines),
                    None => self.lines.push(b'-'),
                }
            }
            self.lines.push(b'\n');
        }
        let extra = view.extra;
        packet.anno_mut().extra_length = extra;
        if !self.bad.is_empty() {
            self.push_bad(start);
        }
    }

    /// Puts the line about what is bad before the packet's, which begins at `start`.
    #[cold]
    fn push_bad(&mut self, start: usize) {
        let line = self.lines.split_off(start);
        if self.binary {
            push_text_record(&self.bad, &mut self.lines);
        } else {
            self.lines.extend_from_slice(&self.bad);
        }
        self.lines.extend_from_slice(&line);
    }

    /// Writes a line for each packet that this one stands for: the length is shared out, and the time.
    fn push_lines(&mut self, cx: &Cx<'_>, packet: &mut Packet) {
        let anno = *packet.anno();
        let count = u64::from(anno.extra_packets) + 1;
        let length = packet.len() as u64;
        let extra = if self.rules.with_extra { u64::from(anno.extra_length) } else { 0 };
        let mut left = (length + extra).max(count * length);
        let step = match anno.first_timestamp {
            Time(0) => Time(0),
            first => {
                packet.anno_mut().timestamp = first;
                Time(anno.timestamp.0.saturating_sub(first.0) / (count - 1))
            }
        };
        packet.anno_mut().extra_packets = 0;
        for rest in (1..=count).rev() {
            let share = left / rest;
            left -= share;
            if rest == 1 {
                packet.anno_mut().timestamp = anno.timestamp;
            }
            packet.anno_mut().extra_length = u32::try_from(share - length).unwrap_or(u32::MAX);
            self.push_line(packet);
            packet.anno_mut().timestamp.0 += step.0;
            // One packet can stand for very many.
            if self.lines.len() > 1 << 16 {
                self.write(cx);
            }
        }
        packet.anno_mut().timestamp = anno.timestamp;
    }

    /// Writes what is in `lines`. Nothing more is written after an error.
    fn write(&mut self, cx: &Cx<'_>) {
        let written = match &mut self.output {
            Output::None => Ok(()),
            Output::File(file) => file.write_all(&self.lines),
            Output::Stdout => {
                let mut stdout = cx.standard_output();
                stdout.write_all(&self.lines).and_then(|()| stdout.flush())
            }
        };
        self.lines.clear();
        if let Err(error) = written {
            cx.message(format_args!("{}: {}: {}", cx.name(), self.name, reason(&error)));
            self.output = Output::None;
        }
    }
}

impl Element for ToIpSummaryDump {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        if cx.dry() {
            return Ok(());
        }
        if self.name == "-" {
            self.output = Output::Stdout;
            self.name = "<stdout>".to_owned();
        } else {
            let file =
                File::create(&self.name).map_err(|error| format!("{}: {}", self.name, reason(&error)))?;
            self.output = Output::File(BufWriter::with_capacity(1 << 16, file));
        }
        if self.header {
            self.push_header(cx.now());
            self.write(cx);
        }
        if cx.input_is_pull(0) {
            cx.schedule();
        }
        Ok(())
    }

    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        for packet in batch.iter_mut() {
            if matches!(self.output, Output::None) {
                break;
            }
            if self.multipacket && packet.anno().extra_packets > 0 {
                self.push_lines(cx, packet);
            } else {
                self.push_line(packet);
            }
        }
        self.write(cx);
        if cx.outputs() == 0 {
            batch.clear();
        }
    }

    fn task(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) -> bool {
        if !cx.input_is_pull(0) {
            return false;
        }
        cx.pull(0, batch, 1);
        if batch.is_empty() {
            return false; // The queue upstream wakes this task.
        }
        self.push(cx, 0, batch);
        cx.schedule();
        true
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, _value: &str) -> Result<(), HandlerError> {
        match handler {
            "flush" => {
                Self::write(self, cx);
                match &mut self.output {
                    Output::File(file) => file.flush().map_err(|error| HandlerError::Refused(reason(&error))),
                    _ => Ok(()),
                }
            }
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests;
