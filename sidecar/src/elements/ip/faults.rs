//! What checkers of headers turn away: counts by reason, and the message about the first one.

use crate::element::{Arg, Args, ConfigError, Cx, Handler, HandlerError, Packet};
use crate::state::{Reader, StateError, Writer};

/// Arguments of every checker.
pub(super) const VERBOSE: Arg =
    Arg::keyword("VERBOSE", "bool", "false", "print a message about every bad packet, not just the first");
pub(super) const DETAILS: Arg =
    Arg::keyword("DETAILS", "bool", "false", "taken for Click's sake: reasons are always counted");
pub(super) const HANDLERS: &[Handler] = &[
    Handler::read("drops", "bad packets seen"),
    Handler::read("drop_details", "bad packets seen, a line a reason"),
];

/// Bad packets by reason.
pub(super) struct Faults {
    /// What is checked.
    what: &'static str,
    reasons: &'static [&'static str],
    counts: Vec<u64>,
    verbose: bool,
}

impl Faults {
    pub(super) fn new(
        what: &'static str,
        reasons: &'static [&'static str],
        args: &Args<'_>,
    ) -> Result<Self, ConfigError> {
        args.or("DETAILS", false)?;
        Ok(Self { what, reasons, counts: vec![0; reasons.len()], verbose: args.or("VERBOSE", false)? })
    }

    fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Counts a bad packet; it leaves by output 1 or is dropped.
    #[cold]
    pub(super) fn note(&mut self, cx: &mut Cx<'_>, reason: &'static str, packet: Packet) {
        if self.verbose || self.total() == 0 {
            let (name, what) = (cx.name(), self.what);
            // Click begins these messages in three ways.
            let who = match what {
                "IP" => format!("{name}: "),
                "UDP" => String::new(),
                _ => format!("{name} :: Check{what}Header: "),
            };
            cx.message(format_args!("{who}{what} header check failed: {reason}"));
        }
        let places = self.reasons.iter().zip(&mut self.counts);
        places.filter(|(known, _)| **known == reason).for_each(|(_, count)| *count += 1);
        cx.emit_or_drop(1, reason, packet);
    }

    pub(super) fn read(&self, handler: &str) -> Result<String, HandlerError> {
        let lines = || self.reasons.iter().zip(&self.counts);
        match handler {
            "drops" => Ok(self.total().to_string()),
            "drop_details" => Ok(lines().map(|(reason, count)| format!("{count}\t{reason}\n")).collect()),
            other => Err(HandlerError::NoHandler(other.to_owned())),
        }
    }

    pub(super) fn save(&self, w: &mut Writer) {
        self.counts.iter().for_each(|count| w.put_u64(*count));
    }

    pub(super) fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        for count in &mut self.counts {
            *count = r.get_u64()?;
        }
        Ok(())
    }
}
