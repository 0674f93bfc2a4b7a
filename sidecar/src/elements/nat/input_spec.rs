//! What a rewriter does with packets of unknown flows, one specification for each input.

use std::fmt;

use super::pattern::{AddressOf, Choice, Pattern, Variation};
use crate::config::{split_arguments, split_words};
use crate::element::ElementId;

/// Outputs of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outputs {
    pub(super) forward: u16,
    pub(super) reply: u16,
}

impl Outputs {
    /// Whether a rewriter with so many outputs has both.
    pub(super) fn are_among(self, outputs: usize) -> bool {
        usize::from(self.forward) < outputs && usize::from(self.reply) < outputs
    }

    /// Parses the two words at the end of a specification. A number that no output can have becomes the highest.
    fn parse(words: &[&str]) -> Result<Self, String> {
        let port = |word: &str| word.parse::<i32>().ok().map(|port| u16::try_from(port).unwrap_or(u16::MAX));
        let [forward, reply] = *words else { return Err("bad forward port".to_owned()) };
        Ok(Self {
            forward: port(forward).ok_or("bad forward port")?,
            reply: port(reply).ok_or("bad reply port")?,
        })
    }
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
    Named { name: String, outputs: Outputs, next: u32 },
    /// `endpoint FOUTPUT ROUTPUT`: to the internal endpoint that holds the public one, whoever sends it. Not in Click.
    Endpoint(Outputs),
    /// `ELEMENT`, an IPMapper, before it is found.
    Element { name: String, alone: bool },
    /// An IPMapper.
    Mapper(ElementId),
}

const WORDS: &[&str] =
    &["drop", "discard", "pass", "passthrough", "nochange", "keep", "endpoint", "pattern", "xpattern"];

impl InputSpec {
    /// Parses one specification of a rewriter with `outputs` connected outputs.
    pub(super) fn parse(text: &str, outputs: usize, address_of: AddressOf<'_>) -> Result<Self, String> {
        let words: Vec<_> = text.split_whitespace().collect();
        let (word, rest) = words.split_first().ok_or("empty argument")?;
        let spec = match *word {
            "drop" | "discard" if rest.is_empty() => Self::Drop,
            "drop" | "discard" => return Err(format!("syntax error, expected '{word}'")),
            "pass" | "passthrough" | "nochange" => {
                let port = match *rest {
                    [] => Ok(0),
                    [port] => port.parse().map(|port: i32| u16::try_from(port).unwrap_or(u16::MAX)),
                    _ => "".parse().map(|_: i32| 0),
                };
                Self::Pass(port.map_err(|_| "syntax error, expected 'nochange [OUTPUT]'")?)
            }
            "keep" => Self::Keep(Outputs::parse(rest)?),
            "endpoint" => Self::Endpoint(Outputs::parse(rest)?),
            "pattern" | "xpattern" => Self::parse_pattern(rest, address_of)?,
            name => Self::Element { name: name.to_owned(), alone: rest.is_empty() },
        };
        let fits = match &spec {
            Self::Pass(port) => usize::from(*port) < outputs,
            Self::Keep(ports)
            | Self::Endpoint(ports)
            | Self::Rewrite { outputs: ports, .. }
            | Self::Named { outputs: ports, .. } => ports.are_among(outputs),
            Self::Drop | Self::Element { .. } | Self::Mapper(_) => true,
        };
        if fits { Ok(spec) } else { Err("output port out of range".to_owned()) }
    }

    /// Parses a pattern, or the name of one, with the outputs after it.
    pub(super) fn parse_pattern(words: &[&str], address_of: AddressOf<'_>) -> Result<Self, String> {
        let (fields, ports) = words.split_at(words.len().saturating_sub(2));
        match *fields {
            [] => Err("syntax error".to_owned()),
            [name] => Ok(Self::Named { name: name.to_owned(), outputs: Outputs::parse(ports)?, next: 0 }),
            _ => Ok(Self::Rewrite {
                pattern: Pattern::parse(fields, address_of)?,
                outputs: Outputs::parse(ports)?,
                next: 0,
            }),
        }
    }

    /// How far a sequential pattern has come.
    pub(super) fn next(&self) -> u32 {
        match self {
            Self::Rewrite { next, .. } | Self::Named { next, .. } => *next,
            _ => 0,
        }
    }

    pub(super) fn set_next(&mut self, saved: u32) {
        if let Self::Rewrite { next, .. } | Self::Named { next, .. } = self {
            *next = saved;
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

/// As the handler `patterns` prints it.
impl fmt::Display for InputSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drop => f.write_str("<drop>"),
            Self::Pass(_) => f.write_str("<nochange>"),
            Self::Keep(_) => f.write_str("<keep>"),
            Self::Endpoint(_) => f.write_str("<endpoint>"),
            Self::Rewrite { pattern, .. } => write!(f, "{pattern}"),
            Self::Named { name, .. } => f.write_str(name),
            Self::Element { .. } | Self::Mapper(_) => f.write_str("<mapper>"),
        }
    }
}

/// The elements that a rewriter's configuration names: mappers, and rewriters whose capacity it shares.
pub(super) fn ties(config: &str) -> Vec<String> {
    let named = |argument: &String| {
        let words = split_words(argument);
        match words.as_slice() {
            [name] if !WORDS.contains(&name.as_str()) => Some(name.clone()),
            [keyword, name] if matches!(keyword.as_str(), "MAPPING_CAPACITY" | "CAPACITY") => {
                name.parse::<i64>().is_err().then(|| name.clone())
            }
            _ => None,
        }
    };
    split_arguments(config).iter().filter_map(named).collect()
}
