//! What a rewriter does with packets of unknown flows, one specification for each input.

use super::pattern::{AddressOf, Choice, Pattern, Variation};

/// Outputs of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outputs {
    pub(super) forward: u16,
    pub(super) reply: u16,
}

/// A parsed INPUTSPEC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum InputSpec {
    /// `drop`, `discard`: no new flows.
    Drop,
    /// `pass OUTPUT`, `nochange OUTPUT`: out as it is, no mapping.
    Pass(u16),
    /// `keep FOUTPUT ROUTPUT`: a mapping that changes nothing.
    Keep(Outputs),
    /// `pattern SADDR SPORT DADDR DPORT FOUTPUT ROUTPUT`.
    Rewrite { pattern: Pattern, outputs: Outputs, next: u32 },
    /// `pattern NAME FOUTPUT ROUTPUT`, before the name is found.
    Named { name: String, outputs: Outputs },
}

impl InputSpec {
    /// Parses one specification of a rewriter with `outputs` connected outputs.
    pub(super) fn parse(text: &str, outputs: usize, address_of: AddressOf<'_>) -> Result<Self, String> {
        let words: Vec<_> = text.split_whitespace().collect();
        let output = |word: &str| match word.parse::<u16>() {
            Ok(port) if usize::from(port) < outputs => Ok(port),
            Ok(port) => Err(format!("output port {port} is not connected")),
            Err(_) => Err(format!("bad output port '{word}'")),
        };
        let both = |forward: &str, reply: &str| {
            Ok::<_, String>(Outputs { forward: output(forward)?, reply: output(reply)? })
        };
        match *words.as_slice() {
            ["drop" | "discard"] => Ok(Self::Drop),
            ["pass" | "passthrough" | "nochange"] => Ok(Self::Pass(output("0")?)),
            ["pass" | "passthrough" | "nochange", port] => Ok(Self::Pass(output(port)?)),
            ["keep", forward, reply] => Ok(Self::Keep(both(forward, reply)?)),
            ["pattern" | "xpattern", name, forward, reply] => {
                Ok(Self::Named { name: name.to_owned(), outputs: both(forward, reply)? })
            }
            ["pattern" | "xpattern", ref fields @ .., forward, reply] if fields.len() >= 2 => {
                Ok(Self::Rewrite {
                    pattern: Pattern::parse(fields, address_of)?,
                    outputs: both(forward, reply)?,
                    next: 0,
                })
            }
            [
                "pattern" | "xpattern" | "keep" | "drop" | "discard" | "pass" | "passthrough" | "nochange",
                ..,
            ] => Err(format!("syntax error in '{text}'")),
            [name] => Err(format!("no mapper named '{name}'; use drop, pass, keep or pattern")),
            _ => Err(format!("bad input specification '{text}'; use drop, pass, keep or pattern")),
        }
    }

    /// Where the search for what varies starts: after the last one, or at random. Sequential patterns move on.
    pub(super) fn start(pattern: &Pattern, next: u32, random: impl FnOnce() -> u32) -> u32 {
        match pattern.variation {
            Variation::None => 0,
            Variation::Port { choice: Choice::Sequential, .. }
            | Variation::Address { choice: Choice::Sequential, .. } => next,
            Variation::Port { .. } | Variation::Address { .. } => random(),
        }
    }
}
