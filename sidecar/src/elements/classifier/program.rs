//! Patterns compiled to comparisons of four-byte words, with a jump for each outcome.
//!
//! A comparison that the way to it has decided already is skipped: jumps go where the next open question is. A packet
//! shorter than the farthest byte of the program runs the same program on a copy padded with zeros; comparisons that
//! reach beyond its end fail there.

use std::fmt;

use super::pattern::Clause;
use crate::element::NO_PORT;

/// Jump targets: instructions count up from 0, outputs down from here; `FAIL` is no output.
const LEAF: u32 = 0x8000_0000;
const FAIL: u32 = u32::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Compare {
    offset: u32,
    mask: u32,
    value: u32,
    yes: u32,
    no: u32,
    /// The packet length that the comparison needs.
    needs: u32,
}

#[derive(Debug)]
pub(super) struct Program {
    code: Vec<Compare>,
    start: u32,
    /// Packets of this length take the fast way: every word of every comparison lies inside.
    safe_length: usize,
}

/// One comparison of a clause before it has jumps.
fn words(clause: &Clause) -> Vec<Compare> {
    let end = clause.offset + clause.value.len();
    let mut found = Vec::new();
    let mut at = clause.offset & !3;
    while at < end {
        let (mut mask, mut value, mut needs) = (0_u32, 0_u32, 0);
        for byte in 0..4 {
            let position = at + byte;
            mask <<= 8;
            value <<= 8;
            if position >= clause.offset && position < end {
                let m = clause.mask[position - clause.offset];
                mask |= u32::from(m);
                value |= u32::from(clause.value[position - clause.offset] & m);
                needs = position as u32 + 1;
            }
        }
        found.push(Compare { offset: at as u32, mask, value, yes: 0, no: 0, needs });
        at += 4;
    }
    // Even an empty mask asks that the bytes are there.
    found
}

impl Program {
    pub(super) fn compile(patterns: &[Vec<Clause>]) -> Result<Self, String> {
        let mut code: Vec<Compare> = Vec::new();
        let mut next = FAIL;
        // From the last pattern to the first, so that the place to go on a failure is known.
        for (output, pattern) in patterns.iter().enumerate().rev() {
            let mut at = LEAF | output as u32;
            for clause in pattern.iter().rev() {
                let (hit, miss) = if clause.negated { (next, at) } else { (at, next) };
                let mut on = hit;
                for mut compare in words(clause).into_iter().rev() {
                    compare.yes = on;
                    compare.no = miss;
                    code.push(compare);
                    on = code.len() as u32 - 1;
                }
                at = on;
            }
            next = at;
        }
        if code.len() > 1 << 16 {
            return Err("too many patterns".to_owned());
        }
        let safe_length = code.iter().map(|c| c.offset as usize + 4).max().unwrap_or(0);
        let mut program = Self { code, start: next, safe_length };
        program.shorten();
        Ok(program)
    }

    /// Lets each jump skip comparisons that its own comparison has decided. Jumps lead to earlier instructions only, so
    /// those are short already when they are followed.
    fn shorten(&mut self) {
        for at in 0..self.code.len() {
            let known = self.code[at];
            self.code[at].yes = self.follow(known, true, known.yes);
            self.code[at].no = self.follow(known, false, known.no);
        }
    }

    fn follow(&self, known: Compare, outcome: bool, mut to: u32) -> u32 {
        while to & LEAF == 0 {
            let next = self.code[to as usize];
            // Only the same bytes of the same word: then both need the same length.
            if (next.offset, next.mask, next.needs) != (known.offset, known.mask, known.needs) {
                break;
            }
            to = match (outcome, next.value == known.value) {
                (true, true) => next.yes,
                (true, false) | (false, true) => next.no,
                (false, false) => break,
            };
        }
        to
    }

    /// The output for a packet with these bytes.
    #[inline]
    pub(super) fn run(&self, data: &[u8]) -> usize {
        let mut at = self.start;
        if data.len() < self.safe_length {
            return self.run_short(data);
        }
        while let Some(compare) = self.code.get(at as usize) {
            let offset = compare.offset as usize;
            let Some(word) = data.get(offset..).and_then(<[u8]>::first_chunk::<4>) else { break };
            let equal = u32::from_be_bytes(*word) & compare.mask == compare.value;
            at = if equal { compare.yes } else { compare.no };
        }
        output(at)
    }

    #[cold]
    fn run_short(&self, data: &[u8]) -> usize {
        let mut at = self.start;
        while let Some(compare) = self.code.get(at as usize) {
            let mut word = [0; 4];
            let there = data.get(compare.offset as usize..).unwrap_or(&[]);
            let count = there.len().min(4);
            word[..count].copy_from_slice(&there[..count]);
            let equal = data.len() >= compare.needs as usize
                && u32::from_be_bytes(word) & compare.mask == compare.value;
            at = if equal { compare.yes } else { compare.no };
        }
        output(at)
    }
}

fn output(at: u32) -> usize {
    if at == FAIL { NO_PORT } else { (at & !LEAF) as usize }
}

impl fmt::Display for Program {
    /// A line a comparison: `step offset/value%mask yes->step no->[output]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = |to: u32| match to {
            FAIL => "[X]".to_owned(),
            to if to & LEAF != 0 => format!("[{}]", to & !LEAF),
            to => format!("step {}", self.code.len() as u32 - 1 - to),
        };
        for (step, compare) in self.code.iter().rev().enumerate() {
            writeln!(
                f,
                "{step:3}  {:3}/{:08x}%{:08x}  yes->{}  no->{}",
                compare.offset,
                compare.value,
                compare.mask,
                target(compare.yes),
                target(compare.no)
            )?;
        }
        writeln!(f, "safe length {}", self.safe_length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::pattern::parse;
    use super::*;

    fn slowly(patterns: &[Vec<Clause>], data: &[u8]) -> usize {
        patterns.iter().position(|p| p.iter().all(|c| c.matches(data))).unwrap_or(NO_PORT)
    }

    #[test]
    fn a_question_is_not_asked_twice() {
        let patterns: Vec<_> =
            ["9/06 22/0050", "9/06 22/01bb", "9/11 22/0035", "-"].map(|t| parse(t).unwrap()).into();
        let program = Program::compile(&patterns).unwrap();
        let first = program.code.iter().find(|c| c.yes & LEAF == 0 && c.value == 0x0006_0000).unwrap();
        // Not TCP: the second TCP pattern is skipped.
        let next = program.code[first.no as usize];
        assert_eq!((next.offset, next.value), (8, 0x0011_0000));
    }

    proptest! {
        #[test]
        fn the_program_says_what_the_patterns_say(
            texts in prop::collection::vec("(!?[0-9]/([01?][01]){1,6}( !?[0-3]/0[01]%0[013]){0,2}|-)", 1..6),
            data in prop::collection::vec(0_u8..0x12, 0..20),
        ) {
            let patterns: Vec<_> = texts.iter().map(|t| parse(t).unwrap()).collect();
            let program = Program::compile(&patterns).unwrap();
            prop_assert_eq!(program.run(&data), slowly(&patterns, &data));
        }

        #[test]
        fn no_pattern_panics(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}
