//! Print: shows packets on standard error, one line each.

use std::fmt::Write as _;

use super::parse_handler;
use crate::element::{
    Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
};
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
        Arg::keyword("PRINTANNO", "bool", "false", "whether annotations are shown"),
        Arg::keyword("ACTIVE", "bool", "true", "whether anything is shown"),
    ],
    reads: Annotations::TIMESTAMP,
    handlers: &[Handler::both("active", "whether anything is shown")],
    state: StateKind::Small,
    details: "A line on standard error for each packet: label, time, length, and the first bytes in groups of \
              four.",
    example: r#"
        RatedSource(DATA "GET / HTTP/1.1", RATE 10, LIMIT 3, STOP true)
            -> Print(hex, 6)
            -> Print(all, -1)
            -> Print(text, CONTENTS ASCII)
            -> p :: Print(TIMESTAMP true, CONTENTS NONE)
            -> c :: Counter(COUNT_CALL 2 p.active false)
            -> Discard;
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
    active: bool,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let contents = match args.text("CONTENTS").unwrap_or("HEX").to_ascii_lowercase().as_str() {
        "none" | "false" | "0" | "no" => Contents::None,
        "hex" | "true" | "1" | "yes" => Contents::Hex,
        "ascii" => Contents::Ascii,
        _ => return Err(bad_contents(args.text("CONTENTS").unwrap_or(""))),
    };
    let max = ["NBYTES", "LENGTH", "MAXLENGTH"].into_iter().find(|name| args.text(name).is_some());
    let max: i64 = args.or(max.unwrap_or("MAXLENGTH"), 24)?;
    Ok(Box::new(Print {
        label: args.or("LABEL", String::new())?,
        max: usize::try_from(max).unwrap_or(usize::MAX),
        contents,
        timestamp: args.or("TIMESTAMP", false)?,
        annotations: args.or("PRINTANNO", false)?,
        active: args.or("ACTIVE", true)?,
    }))
}

fn bad_contents(value: &str) -> ConfigError {
    format!("bad contents value '{value}'; should be 'NONE', 'HEX', or 'ASCII'").into()
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
    /// `label: timestamp: length | annotations | contents`
    fn line(&self, packet: &Packet) -> String {
        let mut line = heading(&self.label, self.timestamp, packet);
        let _ = write!(line, "{:4}", packet.len());
        if self.annotations {
            let _ = write!(line, " | {:?}", packet.anno());
        }
        let shown = &packet.data()[..packet.len().min(self.max)];
        match self.contents {
            _ if shown.is_empty() => {}
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
                    // A space stands before each eight, the first included.
                    line.push_str(if at % 8 == 0 { " " } else { "" });
                    line.push(if byte.is_ascii_graphic() || byte == b' ' { byte as char } else { '.' });
                }
            }
        }
        line
    }
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
    use crate::testing::Bench;

    fn line(contents: Contents, label: &str, bytes: &[u8]) -> String {
        let label = label.to_owned();
        let print = Print { label, max: 9, contents, timestamp: false, annotations: false, active: true };
        print.line(&Packet::from_slice(bytes))
    }

    #[test]
    fn a_line_reads_like_click_s() {
        assert_eq!(line(Contents::Hex, "x", b"0123456789"), "x:   10 | 30313233 34353637 38");
        assert_eq!(line(Contents::Ascii, "x", b"0123 5\n789"), "x:   10 |  0123 5.7 8");
        assert_eq!(line(Contents::None, "", b"0123456789"), "  10");
        assert_eq!(line(Contents::Hex, "x", b""), "x:    0");
    }

    #[test]
    fn whether_it_prints_moves_and_wrong_contents_are_refused() {
        let text = "TestIn -> p :: Print(NBYTES 3) -> Discard;";
        let (mut from, mut to) = (Bench::new(text), Bench::new(text));
        from.router.write_handler("p", "active", "false").unwrap();
        from.move_to(&mut to);
        assert_eq!(to.read("p", "active"), "false");
        let error = Bench::error("Idle -> Print(CONTENTS some) -> Discard;");
        let wanted = "bad contents value 'some'; should be 'NONE', 'HEX', or 'ASCII'";
        assert!(error.contains(wanted), "{error}");
    }
}
