//! ToDump: writes packets to a capture file.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use super::file::reason;
use super::link_type;
use super::pcap::{Format, write_header, write_packet};
use crate::config::split_words;
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Outside,
    StateKind, Time,
};
use crate::packet::BATCH;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

/// Bytes written of a packet that is not to be cut.
const WHOLE: usize = 1 << 18;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "ToDump",
    summary: "writes packets to a tcpdump(1) file",
    ports: "1/0-1",
    args: &[
        Arg::required(
            "FILENAME",
            "string",
            "the file, compressed if it ends in .gz or .bz2; - for standard output",
        ),
        Arg::optional("SNAPLEN", "unsigned", "2000", "bytes written of a packet; 0 for all"),
        Arg::optional("ENCAP", "ETHER, IP, SLL, PPP, …", "ETHER", "the link type of the file"),
        Arg::keyword("USE_ENCAP_FROM", "elements", "", "elements whose encap handlers say the link type"),
        Arg::keyword("EXTRA_LENGTH", "bool", "true", "whether lengths count what was not captured"),
        Arg::keyword("UNBUFFERED", "bool", "false", "whether each batch is written at once"),
        Arg::keyword("NANO", "bool", "false", "whether times are written in nanoseconds"),
    ],
    reads: Annotations::TIMESTAMP.union(Annotations::EXTRA_LENGTH),
    ties,
    handlers: &[
        Handler::read("count", "packets written"),
        Handler::write("reset_counts", "sets count to 0"),
        Handler::write("flush", "writes what is buffered"),
        Handler::read("filename", "the file"),
    ],
    details: "Writes what tcpdump(1) and Wireshark read. A name that ends in .gz or .bz2 makes a compressed file.",
    example: r#"
        RatedSource(DATA "data", RATE 10, LIMIT 2, STOP true)
            -> UDPIPEncap(10.0.0.1, 1024, 10.0.0.9, 53)
            -> ToDump(-, ENCAP IP)
            -> Discard;
    "#,
    build,
    outside: Outside::File,
    state: StateKind::Small,
    ..Descriptor::BASE
};

struct ToDump {
    file: String,
    out: Option<BufWriter<Box<dyn Write + Send>>>,
    link: u32,
    encap_from: Vec<String>,
    format: Format,
    /// As it stands in the file.
    snaplen: u32,
    unbuffered: bool,
    count: u64,
}

/// The elements that USE_ENCAP_FROM names.
fn ties(config: &str) -> Vec<String> {
    let arguments = crate::config::split_arguments(config);
    arguments.iter().filter_map(|text| text.strip_prefix("USE_ENCAP_FROM ")).flat_map(split_words).collect()
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let snaplen = args.or("SNAPLEN", 2000_u32)?;
    let link = match (args.text("ENCAP"), args.text("USE_ENCAP_FROM")) {
        (Some(_), Some(_)) => return Err("specify at most one of 'ENCAP' and 'USE_ENCAP_FROM'".into()),
        (Some(name), None) => link_type::parse(name).ok_or("bad encapsulation type")?,
        _ => link_type::ETHER,
    };
    let encap_from = args.text("USE_ENCAP_FROM").map(split_words);
    if encap_from.as_ref().is_some_and(Vec::is_empty) {
        return Err("element names missing after 'USE_ENCAP_FROM'".into());
    }
    Ok(Box::new(ToDump {
        file: args.need("FILENAME")?,
        out: None,
        link,
        encap_from: encap_from.unwrap_or_default(),
        format: Format {
            snaplen: if snaplen == 0 { WHOLE } else { (snaplen as usize).min(WHOLE) },
            nano: args.or("NANO", false)?,
            extra_length: args.or("EXTRA_LENGTH", true)?,
        },
        snaplen: if snaplen == 0 { u32::MAX } else { snaplen },
        unbuffered: args.or("UNBUFFERED", false)?,
        count: 0,
    }))
}

/// Creates a file, which packs what is written if its name says so.
fn create(name: &str) -> Result<Box<dyn Write + Send>, String> {
    if name.ends_with(".Z") {
        return Err("files of compress(1) are not written; use .gz".to_owned());
    }
    let file = File::create(name).map_err(|error| reason(&error))?;
    Ok(if name.ends_with(".gz") {
        Box::new(flate2::write::GzEncoder::new(file, flate2::Compression::default()))
    } else if name.ends_with(".bz2") {
        Box::new(bzip2::write::BzEncoder::new(file, bzip2::Compression::default()))
    } else {
        Box::new(file)
    })
}

impl ToDump {
    fn fail(&mut self, cx: &Cx<'_>, error: &io::Error) {
        cx.message(format_args!("ToDump({}): {}", self.file, reason(error)));
        self.out = None;
    }

    fn write_all(&mut self, cx: &Cx<'_>, batch: &Batch) {
        let Some(out) = &mut self.out else { return };
        let mut written = Ok(());
        for packet in batch.iter() {
            let stamp = packet.anno().timestamp;
            let at = if stamp == Time(0) { cx.now() } else { stamp };
            written = write_packet(out, packet, at, self.format);
            if written.is_err() {
                break;
            }
            self.count += 1;
        }
        if self.unbuffered {
            written = written.and_then(|()| out.flush());
        }
        if let Err(error) = written {
            self.fail(cx, &error);
        }
    }

    /// The link type that the elements of USE_ENCAP_FROM agree on.
    fn agreed_link(&self, cx: &mut Cx<'_>) -> Result<u32, String> {
        let mut said: Vec<(&str, String, u32)> = Vec::new();
        for name in &self.encap_from {
            let encap = cx.read_handler(&format!("{name}.encap"), "").map_err(|error| error.to_string())?;
            let link = link_type::parse(encap.trim())
                .ok_or_else(|| format!("'{name}.encap' did not return a valid encapsulation type"))?;
            said.push((name, encap, link));
        }
        let link = said.first().map_or(link_type::ETHER, |(_, _, link)| *link);
        if said.iter().all(|(_, _, other)| *other == link) {
            return Ok(link);
        }
        let lines = said.iter().map(|(name, encap, _)| format!("\n  {name} has {encap}"));
        Err(format!("source encapsulation types disagree:{}", lines.collect::<String>()))
    }
}

impl Element for ToDump {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        for name in &self.encap_from {
            let id = cx.find(name).ok_or_else(|| format!("no element named '{name}'"))?;
            let class = cx.all_elements().find(|(known, ..)| *known == id).map(|(_, _, class)| class);
            let says = class.is_some_and(|class| {
                class.handlers.iter().any(|handler| handler.name == "encap" && handler.readable)
            });
            if !says {
                return Err(format!("'{name}' has no 'encap' read handler"));
            }
        }
        if cx.dry() {
            return Ok(());
        }
        let inner: Box<dyn Write + Send> = match self.file.as_str() {
            "-" => cx.standard_output(),
            name => create(name).map_err(|problem| format!("{name}: {problem}"))?,
        };
        if self.file == "-" {
            self.file = "<stdout>".to_owned();
        }
        self.out = Some(BufWriter::with_capacity(1 << 16, inner));
        if cx.input_is_pull(0) && cx.outputs() == 0 {
            cx.schedule();
        }
        Ok(())
    }

    /// Only now do all elements know their link types.
    fn start(&mut self, cx: &mut Cx<'_>) {
        match self.agreed_link(cx) {
            Ok(link) if !self.encap_from.is_empty() => self.link = link,
            Ok(_) => {}
            Err(problem) => {
                cx.message(format_args!("{}: {problem}", cx.name()));
                self.out = None;
                cx.finish();
            }
        }
        let Some(out) = &mut self.out else { return };
        if let Err(error) = write_header(out, self.link, self.snaplen, self.format.nano) {
            self.fail(cx, &error);
        }
    }

    fn push(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        self.write_all(cx, batch);
        if cx.outputs() == 0 {
            batch.clear();
        }
    }

    fn task(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) -> bool {
        if !cx.input_is_pull(0) {
            return false;
        }
        cx.pull(0, batch, BATCH);
        if batch.is_empty() {
            return false; // The queue upstream wakes this task.
        }
        self.push(cx, 0, batch);
        cx.schedule();
        true
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "count" => Ok(self.count.to_string()),
            "filename" => Ok(self.file.clone()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, _value: &str) -> Result<(), HandlerError> {
        match handler {
            "reset_counts" => self.count = 0,
            "flush" => {
                if let Some(out) = &mut self.out {
                    out.flush().map_err(|error| HandlerError::Refused(reason(&error)))?;
                }
            }
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }
}

/// What was written stays where it was written; a router that goes on writes a file of its own.
impl Stateful for ToDump {
    fn schema(&self) -> Schema {
        Schema { name: "to-dump", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u64(self.count);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.count = r.get_u64()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
