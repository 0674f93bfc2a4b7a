//! Print: shows packets on standard error, one line each.

use std::fmt::Write as _;

use super::parse_handler;
use crate::element::{
    Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
};
use crate::packet::Anno;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "Print",
    summary: "prints packet contents",
    args: &[
        Arg::optional("LABEL", "string", "", "shown before each packet"),
        Arg::optional("MAXLENGTH", "integer", "24", "bytes shown; -1 for all"),
        Arg::keyword("LENGTH", "integer", "", "same as MAXLENGTH"),
        Arg::keyword("NBYTES", "integer", "", "same as MAXLENGTH"),
        Arg::keyword("CONTENTS", "NONE, HEX or ASCII", "HEX", "how bytes are shown"),
        Arg::keyword("TIMESTAMP", "bool", "false", "whether the timestamp is shown"),
        Arg::keyword(
            "PRINTANNO",
            "bool",
            "false",
            "whether annotations are shown, as they lie in Click's packets",
        ),
        Arg::keyword("HEADROOM", "bool", "false", "whether the room before and behind the packet is shown"),
        Arg::keyword("ACTIVE", "bool", "true", "whether anything is shown"),
    ],
    reads: Annotations(
        Annotations::TIMESTAMP.0
            | Annotations::DST_IP.0
            | Annotations::PAINT.0
            | Annotations::AGGREGATE.0
            | Annotations::VLAN.0
            | Annotations::EXTRA_LENGTH.0
            | Annotations::EXTRA_PACKETS.0
            | Annotations::FIRST_TIMESTAMP.0,
    ),
    handlers: &[Handler::both("active", "whether anything is shown")],
    state: StateKind::Small,
    example: r#"
        RatedSource(DATA "Hello, packet!", RATE 10, LIMIT 3, STOP true)
            -> Paint(5)
            -> Print(hex, 8)
            -> Print(CONTENTS ASCII)
            -> p :: Print("time", CONTENTS NONE, TIMESTAMP true)
            -> Print(annotations, 4, PRINTANNO true)
            -> Discard;
        DriverManager(wait 0.15s, write p.active false, wait_stop);
    "#,
    build,
    ..Descriptor::BASE
};

enum Contents {
    None,
    Hex,
    Ascii,
}

struct Print {
    label: String,
    max: usize,
    contents: Contents,
    timestamp: bool,
    annotations: bool,
    headroom: bool,
    active: bool,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let contents = match args.text("CONTENTS").unwrap_or("HEX").to_ascii_lowercase().as_str() {
        "none" | "false" | "0" | "no" => Contents::None,
        "hex" | "true" | "1" | "yes" => Contents::Hex,
        "ascii" => Contents::Ascii,
        other => {
            let other = other.to_ascii_uppercase();
            return Err(format!("bad contents value '{other}'; should be 'NONE', 'HEX', or 'ASCII'").into());
        }
    };
    let lengths = ["MAXLENGTH", "LENGTH", "NBYTES"].map(|name| args.get(name)).into_iter();
    let max: i64 = lengths.rev().find_map(Result::transpose).transpose()?.unwrap_or(24);
    Ok(Box::new(Print {
        label: args.or("LABEL", String::new())?,
        max: usize::try_from(max).unwrap_or(usize::MAX),
        contents,
        timestamp: args.or("TIMESTAMP", false)?,
        annotations: args.or("PRINTANNO", false)?,
        headroom: args.or("HEADROOM", false)?,
        active: args.or("ACTIVE", true)?,
    }))
}

/// What all printers begin a line with: the label, then the time.
pub(crate) fn heading(label: &str, timestamp: bool, packet: &Packet) -> String {
    let mut line = if label.is_empty() { String::new() } else { format!("{label}: ") };
    if timestamp {
        let _ = write!(line, "{}: ", packet.anno().timestamp);
    }
    line
}

impl Print {
    /// `label: timestamp: length (headroom) | annotations | contents`
    fn line(&self, packet: &Packet) -> String {
        let mut line = heading(&self.label, self.timestamp, packet);
        let _ = write!(line, "{:4}", packet.len());
        if self.headroom {
            let _ = write!(line, " (h{} t{})", packet.headroom(), packet.tailroom());
        }
        if self.annotations {
            line.push_str(" | ");
            annotations(packet.anno()).iter().for_each(|byte| {
                let _ = write!(line, "{byte:02x}");
            });
        }
        let shown = &packet.data()[..packet.len().min(self.max)];
        if shown.is_empty() {
            return line;
        }
        match self.contents {
            Contents::None => {}
            Contents::Hex => {
                line.push_str(" |");
                for (at, byte) in shown.iter().enumerate() {
                    let _ = write!(line, "{}{byte:02x}", if at % 4 == 0 { " " } else { "" });
                }
            }
            Contents::Ascii => {
                line.push_str(" | ");
                for (at, &byte) in shown.iter().enumerate() {
                    line.push_str(if at % 8 == 0 { " " } else { "" });
                    line.push(if byte.is_ascii_graphic() || byte == b' ' { byte as char } else { '.' });
                }
            }
        }
        line
    }
}

/// The annotations as they lie in a packet of Click's on a machine like this one.
fn annotations(anno: &Anno) -> [u8; 48] {
    let mut bytes = [0; 48];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &anno.dst_ip.octets());
    put(16, &[anno.paint, anno.icmp_param_prob, 0, u8::from(anno.fix_ip_src)]);
    // They share their place.
    put(20, &anno.aggregate.to_ne_bytes());
    if anno.aggregate == 0 {
        put(20, &anno.vlan_tci.to_be_bytes());
    }
    put(24, &anno.extra_packets.to_ne_bytes());
    put(28, &anno.extra_length.to_ne_bytes());
    put(32, &anno.first_timestamp.0.to_ne_bytes());
    bytes
}

impl Element for Print {
    fn action(&mut self, cx: &mut Cx<'_>, packet: Packet) -> Option<Packet> {
        if self.active {
            cx.message(self.line(&packet));
        }
        Some(packet)
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match handler {
            "active" => Ok(self.active.to_string()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        if handler != "active" {
            return Err(HandlerError::NoHandler(handler.to_owned()));
        }
        self.active = parse_handler(value)?;
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for Print {
    fn schema(&self) -> Schema {
        Schema { name: "print", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_bool(self.active);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.active = r.get_bool()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::Time;
    use crate::testing::{Bench, printed};

    fn print() -> Print {
        let label = "x".to_owned();
        let contents = Contents::Hex;
        Print { label, max: 6, contents, timestamp: false, annotations: false, headroom: false, active: true }
    }

    #[test]
    fn a_line_reads_like_click_s() {
        let packet = Packet::from_slice(b"\x01\x02AB DEFGH");
        assert_eq!(print().line(&packet), "x:   10 | 01024142 2044");
        let print = Print { contents: Contents::Ascii, max: usize::MAX, ..print() };
        assert_eq!(print.line(&packet), "x:   10 |  ..AB DEF GH");
        let print = Print { contents: Contents::None, label: String::new(), ..print };
        assert_eq!(print.line(&packet), "  10");
        assert_eq!(Print { contents: Contents::Hex, ..print }.line(&Packet::from_slice(b"")), "   0");
    }

    #[test]
    fn times_rooms_and_annotations_stand_before_the_contents() {
        let mut packet = Packet::from_slice(b"a");
        let anno = packet.anno_mut();
        (anno.timestamp, anno.paint, anno.vlan_tci) = (Time(1_500_000_000), 3, 0x1234);
        anno.dst_ip = [1, 2, 3, 4].into();
        let print = Print { timestamp: true, annotations: true, headroom: true, ..print() };
        let zeros = |count| "00".repeat(count);
        let rooms = format!("(h{} t{})", packet.headroom(), packet.tailroom());
        let anno = format!("01020304{}030000001234{}", zeros(12), zeros(26));
        assert_eq!(print.line(&packet), format!("x: 1.500000:    1 {rooms} | {anno} | 61"));
    }

    #[test]
    fn it_can_be_switched_off_and_stays_so() {
        let text = "TimedSource(1, DATA a, LIMIT 3, STOP true) -> p :: Print(NBYTES 0) -> Discard;
                    Script(wait 2.5, write p.active false);";
        assert_eq!(printed(text), "   1\n   1\n");
        let text = "in :: TestIn -> p :: Print -> out :: TestOut;";
        let (mut old, mut new) = (Bench::new(text), Bench::new(text));
        old.router.write_handler("p", "active", "false").unwrap();
        old.move_to(&mut new);
        assert_eq!(new.read("p", "active"), "false");
    }

    #[test]
    fn unknown_contents_are_refused() {
        let error = Bench::error("Idle -> Print(CONTENTS octal) -> Discard;");
        assert!(error.contains("bad contents value 'OCTAL'; should be 'NONE', 'HEX', or 'ASCII'"), "{error}");
    }
}
