//! A summary dump being read: lines that begin with `!` say what the others mean, each other line is a packet.
//!
//! A dump is untrusted. What is wrong in it is told once by a message with file and line, and skipped.

use std::io;
use std::ops::Range;

use super::draft::{Defaults, Draft, Flow};
use super::field::{self, Field};
use super::text;
use super::{MAJOR_VERSION, MINOR_VERSION};
use crate::config::{split_words, unquote};
use crate::element::Packet;
use crate::elements::classify::ip_names;
use crate::elements::trace::file::{self, FileSource};
use crate::state::{Reader, StateError, Writer};
use crate::wire::ipv4;

/// The most fields that a dump is believed to have.
const MOST_FIELDS: usize = 1000;

/// What the next line of a dump is.
#[derive(Debug)]
pub(super) enum Line {
    Packet(Packet),
    /// A comment, a definition, or something wrong.
    Other,
    End,
}

/// What all packets of the dump have in common, as its lines said so far.
#[derive(Debug)]
struct Format {
    /// As they were named.
    names: Vec<String>,
    /// The fields of a line; `None` for those that are skipped.
    fields: Vec<Option<&'static Field>>,
    /// Which of them is put into a packet first, second …
    order: Vec<usize>,
    defaults: Defaults,
    binary: bool,
    /// Whether a line that could not be read was told of.
    complained: bool,
}

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// A dump, read line by line.
pub(super) struct Dump {
    pub(super) file: FileSource,
    format: Format,
    /// What was wrong with the file, to be shown.
    pub(super) messages: Vec<String>,
    /// Where the values of a line are.
    values: Vec<Range<usize>>,
    scratch: Vec<u8>,
}

/// The words of a line or an argument, their quotes undone.
fn words(text: &str) -> Vec<String> {
    split_words(text).iter().map(|word| String::from_utf8_lossy(&unquote(word)).into_owned()).collect()
}

/// A protocol by name, number or letter.
fn protocol(word: &str) -> Option<u8> {
    ip_names::protocol(word).or_else(|| super::ip::protocol(word.as_bytes()))
}

/// Source address, source port, destination address, destination port, each of them or `-`; perhaps a protocol.
pub(super) fn parse_flow(text: &str) -> Option<(Flow, Option<String>)> {
    let words = words(text);
    let [source, source_port, destination, destination_port, rest @ ..] = words.as_slice() else {
        return None;
    };
    let address = |word: &str| if word == "-" { Some(0) } else { text::address(word.as_bytes()) };
    let port = |word: &str| match word {
        "-" => Some(0),
        word => text::number_to(word.as_bytes(), 0xffff).map(|port| port as u16),
    };
    let flow = Flow {
        source: address(source)?,
        source_port: port(source_port)?,
        destination: address(destination)?,
        destination_port: port(destination_port)?,
    };
    Some((flow, rest.first().cloned()))
}

impl Format {
    fn new(protocol: u8) -> Self {
        Self {
            names: Vec::new(),
            fields: Vec::new(),
            order: Vec::new(),
            defaults: Defaults { protocol, flow: None, aggregate: None, minor_version: MINOR_VERSION },
            binary: false,
            complained: false,
        }
    }

    /// Takes the names of fields. The messages are about those that are skipped.
    fn set_fields(&mut self, names: Vec<String>) -> Vec<String> {
        let mut messages = Vec::new();
        let mut known = |name: &String| {
            let field = field::find_input(name);
            if field.is_none() && messages.len() < 10 {
                messages.push(format!("warning: unknown content type '{name}'"));
            }
            field
        };
        self.fields = names.iter().take(MOST_FIELDS).map(&mut known).collect();
        self.names = names;
        self.names.truncate(MOST_FIELDS);
        self.order = (0..self.fields.len()).filter(|at| self.input(*at).is_some()).collect();
        self.order
            .sort_by_key(|at| self.fields[*at].and_then(|field| field.input).map_or(0, |input| input.order));
        if self.fields.is_empty() {
            messages.push("no contents specified".to_owned());
        }
        messages
    }

    fn input(&self, at: usize) -> Option<field::Input> {
        self.fields.get(at).copied().flatten()?.input
    }

    /// Obeys a line that begins with `!`; those that mean nothing for packets are skipped.
    fn obey(&mut self, line: &str) -> Vec<String> {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let ended = word.len() < line.len();
        match word {
            "!data" | "!contents" if ended => self.set_fields(words(rest)),
            "!flowid" if ended => self.obey_flow(rest),
            "!proto" if ended => self.obey_protocol(&words(rest), "!proto"),
            "!aggregate" if ended => {
                let number = match words(rest).as_slice() {
                    [number] => text::number_to(number.as_bytes(), u32::MAX.into()),
                    _ => None,
                };
                self.defaults.aggregate = number.map(|number| number as u32);
                if number.is_none() { vec!["bad !aggregate specification".to_owned()] } else { Vec::new() }
            }
            "!binary" if ended => {
                self.binary = true;
                if words(rest).is_empty() { Vec::new() } else { vec!["bad !binary specification".to_owned()] }
            }
            _ => Vec::new(),
        }
    }

    fn obey_flow(&mut self, text: &str) -> Vec<String> {
        let Some((flow, protocol)) = parse_flow(text) else {
            self.defaults.flow = None;
            return vec!["bad !flowid specification".to_owned()];
        };
        self.defaults.flow = Some(flow);
        protocol.map_or_else(Vec::new, |protocol| self.obey_protocol(&[protocol], "!flowid"))
    }

    fn obey_protocol(&mut self, words: &[String], what: &str) -> Vec<String> {
        let [word] = words else { return vec![format!("bad {what}")] };
        match protocol(word) {
            Some(protocol) => {
                self.defaults.protocol = protocol;
                Vec::new()
            }
            None => vec![format!("bad protocol in {what}")],
        }
    }

    /// Finds the values in a line of text.
    fn cut_text(&self, line: &[u8], values: &mut Vec<Range<usize>>) {
        let mut at = 0;
        for _ in &self.fields {
            let start = at;
            while at < line.len() && !text::is_space(line[at]) {
                at += if line[at] == b'"' { quoted(&line[at..]) } else { 1 };
            }
            values.push(start..at);
            while at < line.len() && text::is_space(line[at]) {
                at += 1;
            }
        }
    }

    /// Finds the values in a binary record. Where one does not fit, it and those behind it are missing.
    fn cut_record(&self, record: &[u8], values: &mut Vec<Range<usize>>) {
        let mut at = 0;
        for field in &self.fields {
            let size = match field {
                Some(field) => field.form.size(&record[at..]),
                None => Some(0),
            };
            let end = size.map_or(record.len(), |size| at + size);
            values.push(if size.is_some() { at..end } else { end..end });
            at = end;
        }
    }

    /// The packet that a line or record says; `None` if it says nothing.
    fn packet(
        &self,
        (line, binary): (&[u8], bool),
        values: &[Range<usize>],
        scratch: &mut Vec<u8>,
        with_checksums: bool,
    ) -> Option<Packet> {
        let mut draft = Draft::new(self.defaults);
        let mut found = false;
        for &at in &self.order {
            let (Some(field), Some(value)) = (self.fields[at], values.get(at)) else { continue };
            let Some(input) = field.input else { continue };
            let value = match &line[value.clone()] {
                b"" => None,
                bytes if binary => field.form.decode(bytes),
                b"-" => None,
                bytes => (input.parse)(bytes, &draft, scratch),
            };
            if let Some(value) = value {
                (input.put)(&mut draft, value);
                found = true;
            }
        }
        found.then(|| draft.finish(with_checksums))
    }
}

/// Bytes of the double-quoted string at the start of `text`.
fn quoted(text: &[u8]) -> usize {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

impl Dump {
    pub(super) fn new(file: FileSource, protocol: u8) -> Self {
        let format = Format::new(protocol);
        Self { file, format, messages: Vec::new(), values: Vec::new(), scratch: Vec::new() }
    }

    /// Says what lines contain until the file says it.
    pub(super) fn set_fields(&mut self, names: &str) {
        let messages = self.format.set_fields(words(names));
        self.tell(messages);
    }

    /// Says the flow of packets until the file says it.
    pub(super) fn set_flow(&mut self, flow: Flow) {
        self.format.defaults.flow = Some(flow);
    }

    /// Says the protocol of packets until the file says it; `false` if there is none of that name.
    pub(super) fn set_protocol(&mut self, name: &str) -> bool {
        self.format.obey_protocol(&[name.to_owned()], "").is_empty()
    }

    /// Where in the file a message belongs.
    fn place(&self) -> String {
        let of = if self.format.binary { "record " } else { "" };
        format!("{}:{of}{}", self.file.name(), self.file.line)
    }

    fn tell(&mut self, messages: Vec<String>) {
        let place = self.place();
        self.messages.extend(messages.into_iter().map(|message| format!("{place}: {message}")));
    }

    fn tell_one(&mut self, message: &str) {
        self.tell(vec![message.to_owned()]);
    }

    /// Looks at the first line. The error is a phrase behind the file's name, which is empty or cannot be read.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        let start = self.file.position();
        let Some(range) = self.file.line()? else { return Ok(()) };
        let line = String::from_utf8_lossy(self.file.at(&range)).into_owned();
        self.file.line -= 1;
        if let Some(version) = line.strip_prefix("!IPSummaryDump") {
            self.begin_version(version);
            self.file.line += 1;
            return Ok(());
        }
        let begins = ["!creator", "!data", "!contents", "!proto", "!flowid"];
        if self.format.fields.is_empty() && !begins.iter().any(|begin| line.starts_with(begin)) {
            self.tell_one("warning: missing banner line; is this an IP summary dump?");
        }
        self.file.seek(start).map_err(io::Error::other)
    }

    fn begin_version(&mut self, version: &str) {
        let number = |text: &str| {
            let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            text[..digits].parse::<u32>().ok()
        };
        let Some((major, minor)) = version.trim_start().split_once('.') else { return };
        let (Ok(major), Some(minor)) = (major.parse::<u32>(), number(minor)) else { return };
        if major != MAJOR_VERSION || minor > MINOR_VERSION {
            self.tell_one(&format!("warning: unexpected IPSummaryDump version {major}.{minor}"));
        } else {
            self.format.defaults.minor_version = minor;
        }
    }

    /// Reads a line or a record.
    pub(super) fn next(&mut self, with_checksums: bool) -> Line {
        let read = if self.format.binary {
            self.record()
        } else {
            self.file.line().map(|line| line.map(|l| (l, false)))
        };
        let (range, binary) = match read {
            Ok(Some(read)) => read,
            Ok(None) => {
                self.file.close();
                return Line::End;
            }
            Err(error) => {
                self.tell_one(&file::reason(&error));
                self.file.close();
                return Line::End;
            }
        };
        let line = self.file.at(&range);
        if !binary {
            match line.first() {
                Some(b'!') => {
                    let line = String::from_utf8_lossy(line).into_owned();
                    let (was_binary, place) = (self.format.binary, self.place());
                    let messages = self.format.obey(&line).into_iter();
                    self.messages.extend(messages.map(|message| format!("{place}: {message}")));
                    if self.format.binary && !was_binary {
                        self.file.line = 1;
                    }
                    return Line::Other;
                }
                None | Some(b'#') => return Line::Other,
                _ => {}
            }
        }
        self.values.clear();
        match binary {
            true => self.format.cut_record(line, &mut self.values),
            false => self.format.cut_text(line, &mut self.values),
        }
        let packet = self.format.packet((line, binary), &self.values, &mut self.scratch, with_checksums);
        if let Some(packet) = packet {
            return Line::Packet(packet);
        }
        let blank = !binary && line.iter().all(|byte| text::is_space(*byte));
        if !blank && !std::mem::replace(&mut self.format.complained, true) {
            let unknown = self.format.fields.is_empty();
            self.tell_one(if unknown { "no '!data' provided" } else { "packet parse error" });
        }
        Line::Other
    }

    /// A record of a binary dump, and whether it is a packet: else it is a line of text.
    fn record(&mut self) -> io::Result<Option<(Range<usize>, bool)>> {
        let wrong = |message| Err(io::Error::new(io::ErrorKind::InvalidData, message));
        if !self.file.fill(4)? {
            return Ok(None);
        }
        let head = self.file.bytes(4).iter().fold(0_u32, |value, byte| value << 8 | u32::from(*byte));
        let (length, is_packet) = ((head & 0x7fff_ffff) as usize, head >> 31 == 0);
        if length < 4 {
            return wrong("binary record too short");
        }
        if length > file::LONGEST {
            return wrong("binary record too long");
        }
        // A record without data ends the dump, as one that is cut short does.
        if length == 4 || !self.file.fill(length)? {
            return Ok(None);
        }
        self.file.take(4);
        let mut range = self.file.take(length - 4);
        self.file.line += 1;
        if !is_packet {
            let line = self.file.at(&range);
            let end = line.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            range.end = range.start + end;
        }
        Ok(Some((range, is_packet)))
    }

    /// Writes how far the dump was read, and what it said so far.
    pub(super) fn save(&self, w: &mut Writer) {
        w.put_u64(self.file.position());
        w.put_u32(self.file.line);
        w.put_bool(self.file.is_closed());
        w.put_u16(self.format.names.len() as u16);
        self.format.names.iter().for_each(|name| w.put_str(name));
        let defaults = &self.format.defaults;
        w.put_u8(defaults.protocol);
        w.put_u8(defaults.minor_version as u8);
        w.put_bool(defaults.aggregate.is_some());
        w.put_u32(defaults.aggregate.unwrap_or(0));
        w.put_bool(defaults.flow.is_some());
        let flow = defaults.flow.unwrap_or_default();
        w.put_u32(flow.source);
        w.put_u16(flow.source_port);
        w.put_u32(flow.destination);
        w.put_u16(flow.destination_port);
        w.put_bool(self.format.binary);
        w.put_bool(self.format.complained);
    }

    /// Goes on where another reader of the same dump was.
    pub(super) fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        let (position, line, closed) = (r.get_u64()?, r.get_u32()?, r.get_bool()?);
        let count = r.get_u16()?;
        let names: Result<Vec<String>, StateError> =
            (0..count).map(|_| Ok(r.get_str()?.to_owned())).collect();
        self.format.set_fields(names?);
        let (protocol, minor) = (r.get_u8()?, r.get_u8()?);
        let aggregate = (r.get_bool()?, r.get_u32()?);
        let has_flow = r.get_bool()?;
        let flow = Flow {
            source: r.get_u32()?,
            source_port: r.get_u16()?,
            destination: r.get_u32()?,
            destination_port: r.get_u16()?,
        };
        self.format.defaults = Defaults {
            protocol,
            flow: has_flow.then_some(flow),
            aggregate: aggregate.0.then_some(aggregate.1),
            minor_version: u32::from(minor),
        };
        self.format.binary = r.get_bool()?;
        self.format.complained = r.get_bool()?;
        if closed {
            self.file.close();
        } else if let Err(problem) = self.file.seek(position) {
            self.tell_one(&problem);
            return Err(StateError::Invalid { what: "position in a file", value: position });
        }
        self.file.line = line;
        Ok(())
    }
}

/// The protocol that packets have when nothing says another.
pub(super) const DEFAULT_PROTOCOL: u8 = ipv4::TCP;
