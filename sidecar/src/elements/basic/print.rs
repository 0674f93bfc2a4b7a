//! Print: shows packets on standard error, one line each.

use std::fmt::Write as _;

use super::parse_handler;
use crate::element::{
    Annotations, Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet,
};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "Print",
    summary: "prints packet contents",
    args: &[
        Arg::optional("LABEL", "string", "", "shown before each packet"),
        Arg::optional("MAXLENGTH", "integer", "24", "bytes shown; -1 for all"),
        Arg::keyword("LENGTH", "integer", "", "same as MAXLENGTH"),
        Arg::keyword("CONTENTS", "NONE, HEX or ASCII", "HEX", "how bytes are shown"),
        Arg::keyword("TIMESTAMP", "bool", "false", "whether the timestamp is shown"),
        Arg::keyword("PRINTANNO", "bool", "false", "whether annotations are shown"),
        Arg::keyword("ACTIVE", "bool", "true", "whether anything is shown"),
    ],
    reads: Annotations::TIMESTAMP,
    handlers: &[Handler::both("active", "whether anything is shown")],
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
        _ => return Err("CONTENTS: expected one of NONE, HEX, ASCII".into()),
    };
    let max: i64 = args.get("LENGTH")?.map_or_else(|| args.or("MAXLENGTH", 24), Ok)?;
    Ok(Box::new(Print {
        label: args.or("LABEL", String::new())?,
        max: usize::try_from(max).unwrap_or(usize::MAX),
        contents,
        timestamp: args.or("TIMESTAMP", false)?,
        annotations: args.or("PRINTANNO", false)?,
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
    /// `label: timestamp: length | contents`
    fn line(&self, packet: &Packet) -> String {
        let mut line = heading(&self.label, self.timestamp, packet);
        let _ = write!(line, "{:4}", packet.len());
        let shown = &packet.data()[..packet.len().min(self.max)];
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
                line.extend(
                    shown.iter().map(|&b| if b.is_ascii_graphic() || b == b' ' { b as char } else { '.' }),
                );
            }
        }
        if self.annotations {
            let _ = write!(line, " | {:?}", packet.anno());
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_like_click_s() {
        let print = Print {
            label: "x".into(),
            max: 6,
            contents: Contents::Hex,
            timestamp: false,
            annotations: false,
            active: true,
        };
        assert_eq!(print.line(&Packet::from_slice(&[1, 2, 3, 4, 5, 6, 7])), "x:    7 | 01020304 0506");
    }
}
