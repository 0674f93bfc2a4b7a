//! Patterns compiled to questions about four-byte words, with a jump for each answer.
//!
//! First a comparison for each word of each clause; those that the ways to them have decided already are skipped, those
//! of one word joined. Then comparisons of one word that follow each other become one question with many answers, looked up in a sorted list.
//! A packet shorter than the farthest byte of the program runs the comparisons one by one, on a copy padded with zeros;
//! those that reach beyond its end fail there.

use std::collections::HashMap;
use std::fmt;

use super::pattern::Clause;
use crate::element::NO_PORT;

/// Jump targets: instructions count up from 0, outputs down from here; `FAIL` is no output.
const LEAF: u32 = 0x8000_0000;
const FAIL: u32 = u32::MAX;
/// Comparisons followed in all while jumps are shortened: a bound on the work that a text can make.
const MOST_STEPS: u32 = 1 << 20;
/// Outcomes kept for each comparison while jumps are shortened.
const MOST_FACTS: usize = 32;
/// Answers of all questions together, beyond which questions are asked one value at a time.
const MOST_ANSWERS: usize = 1 << 18;

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

/// A question about a word: the answers are `first..first + count` of the program's values and targets.
#[derive(Debug, Clone, Copy)]
struct Question {
    offset: u32,
    mask: u32,
    first: u32,
    count: u32,
    /// Where any other value leads.
    other: u32,
}

#[derive(Debug)]
pub(super) struct Program {
    code: Vec<Compare>,
    start: u32,
    /// The same as `code`, question by question; jumps lead to questions.
    questions: Vec<Question>,
    first_question: u32,
    values: Vec<u32>,
    targets: Vec<u32>,
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
                if m != 0 {
                    needs = position as u32 + 1;
                }
            }
        }
        if mask != 0 {
            found.push(Compare { offset: at as u32, mask, value, yes: 0, no: 0, needs });
        }
        at += 4;
    }
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
        let mut program = Self {
            code,
            start: next,
            questions: Vec::new(),
            first_question: next,
            values: Vec::new(),
            targets: Vec::new(),
            safe_length: 0,
        };
        program.shorten();
        program.merge();
        program.remove_unreachable();
        program.safe_length = program.code.iter().map(|c| c.offset as usize + 4).max().unwrap_or(0);
        program.ask();
        Ok(program)
    }

    /// Lets each jump skip the comparisons that are decided on every way to it. Jumps lead to earlier instructions only,
    /// so each is looked at after all that lead to it.
    fn shorten(&mut self) {
        let mut incoming: Vec<Option<Facts>> = vec![None; self.code.len()];
        if let Some(first) = incoming.get_mut(self.start as usize) {
            *first = Some(Facts::default());
        }
        let mut steps = MOST_STEPS;
        for at in (0..self.code.len()).rev() {
            let Some(facts) = incoming[at].take() else { continue };
            for outcome in [true, false] {
                let known = facts.with(self.code[at], outcome);
                let compare = &self.code[at];
                let mut to = if outcome { compare.yes } else { compare.no };
                while let Some(next) = self.code.get(to as usize).filter(|_| steps > 0) {
                    steps -= 1;
                    let Some(decided) = known.decide(next) else { break };
                    to = if decided { next.yes } else { next.no };
                }
                let compare = &mut self.code[at];
                *(if outcome { &mut compare.yes } else { &mut compare.no }) = to;
                if let Some(there) = incoming.get_mut(to as usize) {
                    *there = Some(match there.take() {
                        None => known,
                        Some(others) => others.shared_with(&known),
                    });
                }
            }
        }
    }

    /// Makes one comparison of two of the same word that must both hold.
    fn merge(&mut self) {
        for at in 0..self.code.len() {
            let mut compare = self.code[at];
            while let Some(next) = self.code.get(compare.yes as usize) {
                let common = compare.mask & next.mask;
                let compatible = compare.value & common == next.value & common;
                if next.offset != compare.offset || next.no != compare.no || !compatible {
                    break;
                }
                compare.mask |= next.mask;
                compare.value |= next.value;
                compare.needs = compare.needs.max(next.needs);
                compare.yes = next.yes;
            }
            self.code[at] = compare;
        }
    }

    fn remove_unreachable(&mut self) {
        let mut reached = vec![false; self.code.len()];
        if let Some(first) = reached.get_mut(self.start as usize) {
            *first = true;
        }
        for at in (0..self.code.len()).rev() {
            let here = reached[at];
            for to in [self.code[at].yes, self.code[at].no] {
                if let Some(there) = reached.get_mut(to as usize) {
                    *there |= here;
                }
            }
        }
        let mut moved: Vec<u32> = Vec::with_capacity(self.code.len());
        let mut kept = Vec::new();
        for (compare, reached) in self.code.iter().zip(reached) {
            moved.push(kept.len() as u32);
            let follow = |to: u32| moved.get(to as usize).copied().unwrap_or(to);
            if reached {
                kept.push(Compare { yes: follow(compare.yes), no: follow(compare.no), ..*compare });
            }
        }
        self.start = moved.get(self.start as usize).copied().unwrap_or(self.start);
        self.code = kept;
    }

    /// Makes `questions` out of `code`.
    fn ask(&mut self) {
        let mut known = HashMap::new();
        // Comparisons jump to earlier ones only: those have become questions already.
        for at in 0..self.code.len() as u32 {
            let Compare { offset, mask, needs, .. } = self.code[at as usize];
            let mut answers: Vec<(u32, u32)> = Vec::new();
            let mut other = at;
            // Chains that start in the middle of others could add up to a square: beyond a bound they stay short.
            while other & LEAF == 0 && (answers.is_empty() || self.values.len() < MOST_ANSWERS) {
                let next = self.code[other as usize];
                if (next.offset, next.mask, next.needs) != (offset, mask, needs) {
                    break;
                }
                if !answers.iter().any(|(value, _)| *value == next.value) {
                    answers.push((next.value, question_of(&known, next.yes)));
                }
                other = next.no;
            }
            answers.sort_unstable();
            let (first, count) = (self.values.len() as u32, answers.len() as u32);
            self.values.extend(answers.iter().map(|(value, _)| *value));
            self.targets.extend(answers.iter().map(|(_, target)| *target));
            let other = question_of(&known, other);
            self.questions.push(Question { offset, mask, first, count, other });
            known.insert(at, self.questions.len() as u32 - 1);
        }
        self.first_question = question_of(&known, self.start);
    }

    /// The output for a packet with these bytes.
    #[inline]
    pub(super) fn run(&self, data: &[u8]) -> usize {
        if data.len() < self.safe_length {
            return self.run_short(data);
        }
        let mut at = self.first_question;
        while let Some(question) = self.questions.get(at as usize) {
            let Some(word) = data.get(question.offset as usize..).and_then(<[u8]>::first_chunk::<4>) else {
                break;
            };
            at = self.answer(question, u32::from_be_bytes(*word) & question.mask);
        }
        output(at)
    }

    #[inline]
    fn answer(&self, question: &Question, word: u32) -> u32 {
        let range = question.first as usize..(question.first + question.count) as usize;
        let (Some(values), Some(targets)) = (self.values.get(range.clone()), self.targets.get(range)) else {
            return FAIL;
        };
        if values.len() <= 4 {
            for (value, target) in values.iter().zip(targets) {
                if *value == word {
                    return *target;
                }
            }
            return question.other;
        }
        match values.binary_search(&word) {
            Ok(at) => targets[at],
            Err(_) => question.other,
        }
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

/// The question that a comparison became; outputs stay outputs.
fn question_of(known: &HashMap<u32, u32>, at: u32) -> u32 {
    if at & LEAF == 0 { known.get(&at).copied().unwrap_or(FAIL) } else { at }
}

fn output(at: u32) -> usize {
    if at == FAIL { NO_PORT } else { (at & !LEAF) as usize }
}

/// As Click writes it: a line a comparison, `step offset/value%mask  yes->step  no->[output]`.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = |to: u32| match to {
            FAIL => "[X]".to_owned(),
            to if to & LEAF != 0 => format!("[{}]", to & !LEAF),
            to => format!("step {}", self.code.len() as u32 - 1 - to),
        };
        for (step, compare) in self.code.iter().rev().enumerate() {
            let Compare { offset, value, mask, .. } = compare;
            let (yes, no) = (target(compare.yes), target(compare.no));
            writeln!(f, "{step:2} {offset:3}/{value:08x}%{mask:08x}  yes->{yes}  no->{no}")?;
        }
        if self.code.is_empty() {
            writeln!(f, "all->{}", target(self.start))?;
        }
        let safe_length = self.code.iter().map(|compare| compare.needs).max().unwrap_or(0);
        writeln!(f, "safe length {safe_length}\nalignment offset 0")
    }
}

/// Comparisons whose outcome is known at a place of the program.
#[derive(Debug, Clone, Default)]
struct Facts(Vec<(Compare, bool)>);

impl Facts {
    fn with(&self, compare: Compare, outcome: bool) -> Self {
        let mut facts = self.0.clone();
        if facts.len() == MOST_FACTS {
            // What does not hold says least.
            let least = facts.iter().position(|(_, outcome)| !outcome).unwrap_or(0);
            facts.remove(least);
        }
        facts.push((compare, outcome));
        Self(facts)
    }

    fn shared_with(mut self, other: &Self) -> Self {
        let same = |a: &(Compare, bool), b: &(Compare, bool)| a.0.asks_the_same(&b.0) && a.1 == b.1;
        self.0.retain(|fact| other.0.iter().any(|known| same(fact, known)));
        self
    }

    fn decide(&self, test: &Compare) -> Option<bool> {
        self.0.iter().rev().find_map(|(fact, outcome)| fact.implies(*outcome, test))
    }
}

impl Compare {
    fn asks_the_same(&self, other: &Self) -> bool {
        let key = |c: &Self| (c.offset, c.mask, c.value, c.needs);
        key(self) == key(other)
    }

    /// What the outcome of this comparison says about `test`. It may also have failed because the packet is too short;
    /// then `test` fails for certain only if it needs as much.
    fn implies(&self, outcome: bool, test: &Self) -> Option<bool> {
        if self.offset != test.offset {
            return None;
        }
        let common = self.mask & test.mask;
        let equal = self.value & common == test.value & common;
        match outcome {
            true if !equal => Some(false),
            true => (common == test.mask && test.needs <= self.needs).then_some(true),
            false => (equal && common == self.mask && test.needs >= self.needs).then_some(false),
        }
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
