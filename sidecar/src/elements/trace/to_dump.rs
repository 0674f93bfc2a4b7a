//! ToDump: writes packets to a capture file.

use std::fs::File;
use std::io::{BufWriter, Write};

use super::pcap::{LINK_ETHER, link_type, write_header, write_packet};
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Outside, Time,
};
use crate::packet::BATCH;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "ToDump",
    summary: "writes packets to a tcpdump(1) file",
    ports: "1/0-1",
    processing: "a/h",
    args: &[
        Arg::required("FILENAME", "string", "the file; - for standard output"),
        Arg::keyword("SNAPLEN", "unsigned", "2000", "bytes written of a packet; 0 for all"),
        Arg::keyword("ENCAP", "ETHER, IP, SLL, PPP or NULL", "ETHER", "the link type of the file"),
        Arg::keyword("NANO", "bool", "false", "whether times are written in nanoseconds"),
        Arg::keyword("UNBUFFERED", "bool", "false", "whether each batch is written at once"),
        Arg::keyword("EXTRA_LENGTH", "bool", "true", "accepted as in Click"),
    ],
    reads: Annotations::TIMESTAMP.union(Annotations::EXTRA_LENGTH),
    handlers: &[
        Handler::read("count", "packets written"),
        Handler::write("reset_counts", "sets count to 0"),
        Handler::write("flush", "writes what is buffered"),
        Handler::read("filename", "the file"),
    ],
    outside: Outside::File,
    build,
    ..Descriptor::BASE
};

struct ToDump {
    file: String,
    out: Option<BufWriter<Box<dyn Write + Send>>>,
    snaplen: usize,
    link: u32,
    nano: bool,
    unbuffered: bool,
    count: u64,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let snaplen = args.or("SNAPLEN", 2000_usize)?;
    let link = match args.text("ENCAP") {
        None => LINK_ETHER,
        Some(name) => link_type(name).ok_or_else(|| format!("ENCAP: unknown encapsulation type '{name}'"))?,
    };
    Ok(Box::new(ToDump {
        file: args.need("FILENAME")?,
        out: None,
        snaplen: if snaplen == 0 { 1 << 18 } else { snaplen.min(1 << 18) },
        link,
        nano: args.or("NANO", false)?,
        unbuffered: args.or("UNBUFFERED", false)?,
        count: 0,
    }))
}

impl ToDump {
    fn write_all(&mut self, cx: &Cx<'_>, batch: &Batch) {
        let Some(out) = &mut self.out else { return };
        for packet in batch.iter() {
            let stamp = packet.anno().timestamp;
            let at = if stamp == Time(0) { cx.now() } else { stamp };
            if let Err(error) = write_packet(out, packet, at, self.snaplen, self.nano) {
                cx.message(format_args!("{}: {}: {error}", cx.name(), self.file));
                self.out = None;
                return;
            }
            self.count += 1;
        }
        if self.unbuffered && out.flush().is_err() {
            self.out = None;
        }
    }
}

impl Element for ToDump {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        if cx.dry() {
            return Ok(());
        }
        let inner: Box<dyn Write + Send> = match self.file.as_str() {
            "-" => cx.standard_output(),
            name => Box::new(File::create(name).map_err(|error| format!("{name}: {error}"))?),
        };
        let mut out = BufWriter::with_capacity(1 << 16, inner);
        write_header(&mut out, self.link, self.snaplen as u32, self.nano)
            .map_err(|error| format!("{}: {error}", self.file))?;
        self.out = Some(out);
        if cx.input_is_pull(0) && cx.outputs() == 0 {
            cx.schedule();
        }
        Ok(())
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
                    out.flush().map_err(|error| HandlerError::Refused(error.to_string()))?;
                }
            }
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::packet::Packet;
    use crate::testing::Bench;

    fn scratch(name: &str) -> String {
        std::env::temp_dir().join(format!("anf-{}-{name}.pcap", std::process::id())).display().to_string()
    }

    #[test]
    fn a_dump_is_read_back_with_its_times() {
        let file = scratch("back");
        let mut bench = Bench::new(&format!("in :: TestIn -> t :: ToDump({file}, NANO true);"));
        for n in 0..3_u8 {
            let mut packet = Packet::from_slice(&[n; 60]);
            packet.anno_mut().timestamp.0 = 5_000_000_000 + u64::from(n) * 100_000_000;
            bench.push_packets("in", 0, [packet]);
        }
        assert_eq!(bench.read("t", "count"), "3");
        bench.router.write_handler("t", "flush", "").unwrap();
        let mut bench =
            Bench::new(&format!("f :: FromDump({file}, TIMING true, STOP true) -> out :: TestOut;"));
        bench.advance(Duration::from_millis(150));
        assert_eq!(bench.take("out").len(), 2);
        bench.advance(Duration::from_millis(100));
        assert_eq!(bench.take("out"), [vec![2; 60]]);
        assert!(bench.pass().stop);
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn only_ip_packets_leave_when_asked() {
        let file = scratch("ip");
        let mut bench = Bench::new(&format!("in :: TestIn -> t :: ToDump({file});"));
        let mut frame = vec![0; 12];
        frame.extend([8, 0, 0x45]);
        frame.resize(60, 0);
        bench.push("in", &frame);
        bench.push("in", &[0; 60]);
        bench.router.write_handler("t", "flush", "").unwrap();
        let mut bench = Bench::new(&format!("f :: FromDump({file}, FORCE_IP true) -> out :: TestOut;"));
        bench.settle(9);
        assert_eq!(bench.take_packets("out")[0].network().len(), 46);
        assert_eq!(bench.drops("f", "not an IP packet"), 1);
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn a_file_that_is_no_dump_is_refused() {
        let error = Bench::error("f :: FromDump(/dev/null) -> Discard;");
        assert!(error.contains("/dev/null: too short for a pcap file"), "{error}");
        let error = Bench::error("f :: FromDump(/nonexistent/x.pcap) -> Discard;");
        assert!(error.contains("No such file"), "{error}");
    }
}
