//! Running a script: what each instruction does, and how far one step goes.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::Duration;

use super::program::{Ending, Instruction, Output, RESULT, Target};
use super::report::Report;
use super::{Kind, Script};
use crate::config::{Value, unquote};
use crate::element::Cx;

/// Jumps in one step: a loop that never waits is given up, not followed for ever.
const MOST_JUMPS: u32 = 1000;

/// Who makes a script go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Its timer, a handler or a packet.
    Router,
    /// A request to stop the router, which a driver script answers.
    StopRequest,
}

/// What one instruction leads to.
enum After {
    /// The next instruction, wherever it is by now.
    Next,
    /// The script waits.
    Wait,
    /// The script has ended and stands at this instruction.
    End,
}

/// What a script ended with.
pub(super) struct Outcome {
    pub(super) value: String,
    pub(super) ending: Option<Ending>,
}

impl Script {
    /// Passes up to `steps` instructions that wait, and goes on to the next one that waits or to an end. Returns the
    /// jumps so far, `jumps` included.
    pub(super) fn step(
        &mut self,
        cx: &mut Cx<'_>,
        mut steps: i64,
        origin: Origin,
        mut jumps: u32,
        report: &mut Report,
    ) -> u32 {
        while jumps < MOST_JUMPS {
            let here = self.at;
            let Some(instruction) = self.program.instructions.get(here).cloned() else { break };
            // Moved on first, as the instruction may move it itself.
            self.at += 1;
            match self.execute(cx, here, &instruction, &mut steps, report) {
                After::Next => {}
                After::Wait => return jumps + 1,
                After::End => {
                    self.at = here;
                    self.ended(cx, origin);
                    return jumps + 1;
                }
            }
            if self.at != here + 1 {
                jumps += 1;
            }
        }
        if jumps >= MOST_JUMPS {
            cx.message(format_args!("{}: too many jumps, giving up", self.declaration(cx)));
            self.at = self.program.instructions.len();
            cx.clear_timer();
        }
        if self.at >= self.program.instructions.len() && origin == Origin::StopRequest {
            cx.finish(); // A driver that has given up does not keep the router from ending.
        }
        jumps + 1
    }

    /// The script stands at an instruction that ends it.
    fn ended(&mut self, cx: &mut Cx<'_>, origin: Origin) {
        let ending = self.ending();
        if origin == Origin::StopRequest {
            cx.finish();
        } else if ending == Some(Ending::Stop) {
            cx.stop();
        }
        if ending == Some(Ending::End) && matches!(self.kind, Kind::Signal(_)) {
            self.armed = true;
        }
    }

    fn execute(
        &mut self,
        cx: &mut Cx<'_>,
        here: usize,
        instruction: &Instruction,
        steps: &mut i64,
        report: &mut Report,
    ) -> After {
        match instruction {
            Instruction::Init { .. } => {}
            Instruction::Set { name, text, unquote } => {
                self.assign(cx, name, text, *unquote, report);
            }
            Instruction::Print { to, text, newline, unquote } => {
                self.print(cx, to, text, *newline, *unquote, report);
            }
            Instruction::Read { call, unquote } => {
                let call = self.expand(cx, call, false, report);
                if let Some((name, value)) = self.read_in_context(cx, &call, *unquote, report) {
                    cx.message(format_args!("{name}:\n{value}\n"));
                }
            }
            Instruction::Write { call, unquote } => {
                let call = self.expand(cx, call, false, report);
                self.write_in_context(cx, &call, *unquote, report);
            }
            Instruction::WaitStep(count) => return self.wait_step(here, *count, steps),
            Instruction::WaitTime(span) => return self.wait_time(cx, here, span, steps, report),
            Instruction::Goto { target, condition } => {
                if self.holds(cx, condition, report) {
                    match target {
                        Target::End(_) => return After::End,
                        Target::At(target) => {
                            self.forget_steps(*target, here);
                            self.at = *target;
                        }
                    }
                }
            }
            Instruction::Return { text, unquote } => {
                self.assign(cx, RESULT, text, *unquote, report);
                // What it returns may have called `goto`.
                if self.at == here + 1 {
                    return After::End;
                }
            }
            Instruction::Error { text, unquote: quoted } => {
                let text = self.expand(cx, text, false, report);
                let text = if *quoted { plain(&text) } else { text };
                if !text.is_empty() {
                    report.error(cx, &text);
                }
                return After::End;
            }
            Instruction::End(_) => return After::End,
        }
        After::Next
    }

    fn wait_step(&mut self, here: usize, count: u32, steps: &mut i64) -> After {
        let missing = i64::from(count.saturating_sub(self.counts[here]));
        let taken = missing.min(*steps);
        self.counts[here] += taken as u32;
        *steps -= taken;
        if taken == missing {
            return After::Next;
        }
        self.at = here;
        After::Wait
    }

    fn wait_time(
        &mut self,
        cx: &mut Cx<'_>,
        here: usize,
        span: &str,
        steps: &mut i64,
        report: &mut Report,
    ) -> After {
        if *steps > 0 {
            *steps -= 1;
            cx.clear_timer();
            return After::Next;
        }
        let span = self.expand(cx, span, false, report);
        match Duration::parse_plain(&span) {
            Ok(span) => {
                cx.set_timer(cx.now() + span);
                self.at = here;
            }
            Err(_) => report.error(cx, "syntax error at 'wait'"),
        }
        After::Wait
    }

    /// Whether a `goto` is taken; without condition it is.
    fn holds(&mut self, cx: &mut Cx<'_>, condition: &str, report: &mut Report) -> bool {
        let condition = self.expand(cx, condition, false, report);
        if condition.is_empty() {
            return true;
        }
        bool::parse_plain(&condition).unwrap_or_else(|_| {
            report.error(cx, &format!("bad condition '{condition}'"));
            false
        })
    }

    /// `wait_step` from `first` on, up to `last`, begins anew.
    pub(super) fn forget_steps(&mut self, first: usize, last: usize) {
        let counts = self.counts.iter_mut().take(last).skip(first);
        counts.for_each(|count| *count = 0);
    }

    /// Gives a variable its value.
    pub(super) fn assign(
        &mut self,
        cx: &mut Cx<'_>,
        name: &str,
        text: &str,
        unquote: bool,
        report: &mut Report,
    ) {
        let value = self.expand(cx, text, false, report);
        let value = if unquote { plain(&value) } else { value };
        if let Err(problem) = self.variables.set(name, value) {
            report.error(cx, &problem);
        }
    }

    /// Prints text, or the value of a handler if it looks like the name of one.
    fn print(
        &mut self,
        cx: &mut Cx<'_>,
        to: &Output,
        text: &str,
        newline: bool,
        unquote: bool,
        report: &mut Report,
    ) {
        let before = report.errors;
        let mut result = if text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '@' || c == '_') {
            let call = self.expand(cx, text, false, report);
            self.read_in_context(cx, &call, unquote, report).map(|(_, value)| value).unwrap_or_default()
        } else {
            plain(&self.expand(cx, text, true, report))
        };
        if newline && report.errors == before && !result.ends_with('\n') {
            result.push('\n');
        }
        if let Err(problem) = print_to(cx, to, &result) {
            report.error(cx, &problem);
        }
    }

    /// How the instruction where the script stands ends it.
    pub(super) fn ending(&self) -> Option<Ending> {
        match self.program.instructions.get(self.at)? {
            Instruction::End(ending) | Instruction::Goto { target: Target::End(ending), .. } => Some(*ending),
            Instruction::Error { .. } => Some(Ending::Error),
            _ => None,
        }
    }

    /// What a run has come to by now.
    pub(super) fn outcome(&self) -> Outcome {
        let ending = self.ending();
        let value = match (self.program.instructions.get(self.at), ending) {
            (Some(Instruction::Return { .. }), _) => self.variables.get(RESULT).unwrap_or_default(),
            (_, Some(Ending::End)) if self.kind == Kind::Packet => "0",
            _ => "",
        };
        Outcome { value: value.to_owned(), ending }
    }
}

pub(super) fn plain(text: &str) -> String {
    String::from_utf8_lossy(&unquote(text)).into_owned()
}

/// Prints to standard output or to a file.
fn print_to(cx: &Cx<'_>, to: &Output, text: &str) -> Result<(), String> {
    let Output::File { name, append } = to else {
        let mut out = cx.standard_output();
        return out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| error.to_string());
    };
    let mut options = OpenOptions::new();
    options.create(true).write(true).append(*append).truncate(!*append);
    let written = options.open(name).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| trouble(name, &error))
}

/// What went wrong with a file, without the number of the error.
pub(super) fn trouble(file: &str, error: &std::io::Error) -> String {
    let reason = error.to_string();
    format!("{file}: {}", reason.split(" (os error").next().unwrap_or_default())
}
