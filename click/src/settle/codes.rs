//! Click's three little codes of a class: port counts, processing, flow. They come from descriptors, not from
//! users; a code that makes no sense reads as the most permissive one and is caught by the catalogue's tests
//! with [`crate::check_class`].

use std::collections::BTreeSet;

/// Letters of a processing code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Letter {
    Push,
    Pull,
    Agnostic,
}

/// `1/1-2`: how many inputs and outputs an element may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    inputs: (u32, u32),
    outputs: Outputs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outputs {
    Between(u32, u32),
    /// As many as inputs, and so many more: `=`, `=+`.
    AsInputs(u32),
}

impl Counts {
    /// Reads a code; nothing if it is none.
    pub(crate) fn parse(code: &str) -> Option<Self> {
        let (inputs, outputs) = code.split_once('/').unwrap_or((code, code));
        let plus = outputs.strip_prefix('=').filter(|rest| rest.bytes().all(|b| b == b'+'));
        let outputs = match plus {
            Some(plus) => Outputs::AsInputs(u32::try_from(plus.len()).ok()?),
            None => range(outputs).map(|(low, high)| Outputs::Between(low, high))?,
        };
        Some(Self { inputs: range(inputs)?, outputs })
    }

    /// The numbers of ports an element gets that uses so many: the nearest allowed.
    pub(crate) fn nearest(self, inputs: u32, outputs: u32) -> (u32, u32) {
        let inputs = inputs.clamp(self.inputs.0, self.inputs.1);
        let outputs = match self.outputs {
            Outputs::Between(low, high) => outputs.clamp(low, high),
            Outputs::AsInputs(more) => inputs + more,
        };
        (inputs, outputs)
    }
}

/// `2`, `1-`, `-`, `1-2`, `-3`.
fn range(code: &str) -> Option<(u32, u32)> {
    match code.split_once('-') {
        None => code.parse().ok().map(|n| (n, n)),
        Some((low, high)) => {
            let low = if low.is_empty() { 0 } else { low.parse().ok()? };
            let high = if high.is_empty() { u32::MAX / 2 } else { high.parse().ok()? };
            (low <= high).then_some((low, high))
        }
    }
}

/// `a/ah`: the letter of every port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Processing {
    inputs: Vec<Letter>,
    outputs: Vec<Letter>,
}

impl Processing {
    /// Reads a code; nothing if it is none.
    pub(crate) fn parse(code: &str) -> Option<Self> {
        let (inputs, outputs) = code.split_once('/').unwrap_or((code, code));
        Some(Self { inputs: letters(inputs)?, outputs: letters(outputs)? })
    }

    pub(crate) fn input(&self, port: usize) -> Letter {
        nth_or_last(&self.inputs, port).copied().unwrap_or(Letter::Agnostic)
    }

    pub(crate) fn output(&self, port: usize) -> Letter {
        nth_or_last(&self.outputs, port).copied().unwrap_or(Letter::Agnostic)
    }
}

fn letters(code: &str) -> Option<Vec<Letter>> {
    let letter = |b| match b {
        b'h' => Some(Letter::Push),
        b'l' => Some(Letter::Pull),
        b'a' => Some(Letter::Agnostic),
        _ => None,
    };
    code.bytes().map(letter).collect()
}

fn nth_or_last<T>(list: &[T], index: usize) -> Option<&T> {
    list.get(index).or(list.last())
}

/// `xy/x`, `#/[^#]`: which inputs lead to which outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flow {
    inputs: Vec<Places>,
    outputs: Vec<Places>,
}

/// The places a port's packets are at: letters, and the port's own number where `#` stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Places {
    letters: BTreeSet<u8>,
    own_number: bool,
    negated: bool,
}

impl Flow {
    /// Reads a code; one that makes no sense lets everything pass.
    pub(crate) fn parse(code: &str) -> Self {
        Self::try_parse(code).unwrap_or(Self { inputs: Vec::new(), outputs: Vec::new() })
    }

    pub(crate) fn try_parse(code: &str) -> Option<Self> {
        let (inputs, outputs) = code.split_once('/').unwrap_or((code, code));
        Some(Self { inputs: places(inputs)?, outputs: places(outputs)? })
    }

    /// Whether a packet from that input may leave by that output.
    pub(crate) fn passes(&self, input: u32, output: u32) -> bool {
        let of = |list: &[Places], port: u32| nth_or_last(list, port as usize).cloned();
        match (of(&self.inputs, input), of(&self.outputs, output)) {
            (Some(from), Some(to)) => meet(&from, input, &to, output),
            _ => true,
        }
    }
}

/// Whether two ports share a place.
fn meet(a: &Places, a_port: u32, b: &Places, b_port: u32) -> bool {
    let holds = |p: &Places, port: u32, place: Place| {
        let named = match place {
            Place::Letter(letter) => p.letters.contains(&letter),
            Place::Number(number) => p.own_number && number == port,
        };
        named != p.negated
    };
    if a.negated && b.negated {
        return true; // both leave out finitely many of more places than that
    }
    let letters = a.letters.iter().chain(&b.letters).map(|letter| Place::Letter(*letter));
    let numbers = [a_port, b_port].into_iter().map(Place::Number);
    letters.chain(numbers).any(|place| holds(a, a_port, place) && holds(b, b_port, place))
}

#[derive(Clone, Copy)]
enum Place {
    Letter(u8),
    Number(u32),
}

fn places(code: &str) -> Option<Vec<Places>> {
    let mut list = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let (inner, after) = if first == '[' {
            let end = rest.find(']')?;
            (&rest[1..end], &rest[end + 1..])
        } else {
            rest.split_at(first.len_utf8())
        };
        let (negated, inner) = match inner.strip_prefix('^') {
            Some(inner) if first == '[' => (true, inner),
            _ => (false, inner),
        };
        if !inner.bytes().all(|b| b.is_ascii_alphabetic() || b == b'#') {
            return None;
        }
        let letters = inner.bytes().filter(u8::is_ascii_alphabetic).collect();
        list.push(Places { letters, own_number: inner.contains('#'), negated });
        rest = after;
    }
    Some(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_counts_clamp_to_the_nearest_allowed() {
        for (code, used, gets) in [
            ("1/1", (0, 3), (1, 1)),
            ("1/1-2", (1, 2), (1, 2)),
            ("1", (1, 1), (1, 1)),
            ("-/-", (0, 7), (0, 7)),
            ("1-/=", (3, 1), (3, 3)),
            ("1-/=+", (3, 1), (3, 4)),
            ("-1/2", (5, 0), (1, 2)),
        ] {
            let counts = Counts::parse(code).unwrap();
            assert_eq!(counts.nearest(used.0, used.1), gets, "{code}");
        }
        assert_eq!(Counts::parse("x/1"), None);
        assert_eq!(Counts::parse("3-1/1"), None);
    }

    #[test]
    fn the_last_processing_letter_repeats() {
        let code = Processing::parse("hl/ah").unwrap();
        assert_eq!((code.input(0), code.input(1), code.input(5)), (Letter::Push, Letter::Pull, Letter::Pull));
        assert_eq!((code.output(0), code.output(9)), (Letter::Agnostic, Letter::Push));
        assert_eq!(Processing::parse("h").unwrap().output(0), Letter::Push);
        assert_eq!(Processing::parse("q/h"), None);
    }

    #[test]
    fn flow_codes_say_which_ports_meet() {
        for (code, pairs, expected) in [
            ("x/x", vec![(0, 0), (3, 2)], true),
            ("x/y", vec![(0, 0), (1, 1)], false),
            ("xy/x", vec![(0, 0)], true),
            ("xy/x", vec![(1, 0)], false),
            ("#/#", vec![(2, 2)], true),
            ("#/#", vec![(2, 1)], false),
            ("#/[^#]", vec![(0, 1), (1, 0)], true),
            ("#/[^#]", vec![(1, 1)], false),
            ("xy/[xy]x", vec![(0, 0), (1, 0), (0, 1)], true),
            ("xy/[xy]x", vec![(1, 1)], false),
        ] {
            let flow = Flow::parse(code);
            for (input, output) in pairs {
                assert_eq!(flow.passes(input, output), expected, "{code} {input}->{output}");
            }
        }
        assert_eq!(Flow::try_parse("[x/x"), None);
    }
}
