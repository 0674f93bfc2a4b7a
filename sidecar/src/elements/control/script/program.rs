//! Instructions of a script.

use std::collections::HashMap;

use crate::config::{Value, shift_word};
use crate::element::ConfigError;

/// The variable that keeps what a script returns.
pub(super) const RESULT: &str = "_";

/// One instruction; texts are expanded when it runs, and lose a layer of quotes then if `unquote` says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Instruction {
    Set { name: String, text: String, unquote: bool },
    Init { name: String, text: String, unquote: bool },
    Print { to: Output, text: String, newline: bool, unquote: bool },
    Read { call: String, unquote: bool },
    Write { call: String, unquote: bool },
    WaitTime(String),
    WaitStep(u32),
    Goto { target: Target, condition: String },
    Return { text: String, unquote: bool },
    End(Ending),
    Error { text: String, unquote: bool },
}

/// Where `print` prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Output {
    Standard,
    File { name: String, append: bool },
}

/// Where `goto` leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    At(usize),
    End(Ending),
}

/// How a script ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// A packet goes on by output 0; a signal script is armed again.
    End,
    Exit,
    /// The driver is asked to stop.
    Stop,
    Error,
}

impl Ending {
    fn named(label: &str) -> Option<Self> {
        match label {
            "end" => Some(Self::End),
            "exit" => Some(Self::Exit),
            "stop" => Some(Self::Stop),
            "error" | "errorq" => Some(Self::Error),
            _ => None,
        }
    }
}

/// A script: instructions, the last of which ends it, and where its labels are.
#[derive(Debug, Clone, Default)]
pub(super) struct Program {
    pub(super) instructions: Vec<Instruction>,
    labels: HashMap<String, usize>,
    /// Variables that some instruction sets: they are there, empty, from the start.
    pub(super) variables: Vec<String>,
    /// Variables that are read handlers, too.
    pub(super) exports: Vec<String>,
}

impl Program {
    /// Parses instructions; `ending` is what happens behind the last one.
    pub(super) fn parse(arguments: &[String], ending: Ending) -> Result<Self, ConfigError> {
        let mut program = Self::default();
        let (mut gotos, mut problems) = (Vec::new(), Vec::new());
        for argument in arguments {
            let (word, rest) = shift_word(argument);
            let rest = rest.trim_end();
            match word {
                "" => {}
                "label" => match shift_word(rest) {
                    (name, "") if !name.is_empty() => {
                        program.labels.entry(name.to_owned()).or_insert(program.instructions.len());
                    }
                    _ => problems.push(syntax_error(word)),
                },
                // Labels may come later.
                "goto" if !rest.is_empty() => {
                    gotos.push((program.instructions.len(), shift_word(rest)));
                    program.instructions.push(Instruction::End(ending));
                }
                _ => match program.instruction(word, rest) {
                    Some(instruction) => program.instructions.push(instruction),
                    None => problems.push(syntax_error(word)),
                },
            }
        }
        for (at, (label, condition)) in gotos {
            match program.target(label) {
                Some(target) => {
                    program.instructions[at] = Instruction::Goto { target, condition: condition.to_owned() };
                }
                None => problems.push(format!("no such label '{label}'")),
            }
        }
        program.instructions.push(Instruction::End(ending));
        if problems.is_empty() { Ok(program) } else { Err(ConfigError(problems)) }
    }

    fn instruction(&mut self, word: &str, rest: &str) -> Option<Instruction> {
        let unquote = word.ends_with('q');
        let text = rest.to_owned();
        Some(match word {
            "set" | "setq" => {
                let (name, text) = shift_word(rest);
                let name = self.variable(name).filter(|_| !text.is_empty())?;
                Instruction::Set { name, text: text.to_owned(), unquote }
            }
            "init" | "initq" | "export" | "exportq" => {
                let (name, text) = shift_word(rest);
                let name = self.variable(name)?;
                if word.starts_with("export") {
                    self.exports.push(name.clone());
                }
                Instruction::Init { name, text: text.to_owned(), unquote }
            }
            "print" | "printq" => print(rest, true, unquote),
            "printn" | "printnq" => print(rest, false, unquote),
            "save" | "append" => {
                let (call, file) = shift_word(rest);
                let to = Output::named(file, word == "append");
                Instruction::Print { to, text: call.to_owned(), newline: true, unquote: false }
            }
            "read" | "readq" => Instruction::Read { call: text, unquote },
            "write" | "writeq" => Instruction::Write { call: text, unquote },
            "wait" if !rest.is_empty() => Instruction::WaitTime(text),
            "wait_time" | "wait_for" => Instruction::WaitTime(text),
            "wait" | "pause" | "wait_step" | "wait_stop" if rest.is_empty() => Instruction::WaitStep(1),
            "pause" | "wait_step" | "wait_stop" => Instruction::WaitStep(u32::parse_plain(rest).ok()?),
            "goto" | "loop" if rest.is_empty() => {
                Instruction::Goto { target: Target::At(0), condition: text }
            }
            "return" | "returnq" => {
                self.variable(RESULT);
                Instruction::Return { text, unquote }
            }
            "error" | "errorq" => Instruction::Error { text, unquote },
            "end" | "exit" | "stop" if rest.is_empty() => Instruction::End(Ending::named(word)?),
            _ => return None,
        })
    }

    /// Notes a variable that an instruction sets.
    fn variable(&mut self, name: &str) -> Option<String> {
        let name = Some(name.to_owned()).filter(|name| !name.is_empty())?;
        if !self.variables.contains(&name) {
            self.variables.push(name.clone());
        }
        Some(name)
    }

    fn target(&self, label: &str) -> Option<Target> {
        let ending = || Ending::named(label).map(Target::End);
        self.labels
            .get(label)
            .map(|at| Target::At(*at))
            .or_else(ending)
            .or_else(|| begin(label).map(Target::At))
    }

    /// Where a label is.
    pub(super) fn label(&self, name: &str) -> Option<usize> {
        self.labels.get(name).copied().or_else(|| begin(name))
    }
}

/// The first instruction has labels of its own.
fn begin(label: &str) -> Option<usize> {
    matches!(label, "begin" | "loop").then_some(0)
}

fn syntax_error(word: &str) -> String {
    format!("syntax error at '{word}'")
}

/// `[>FILE | >>FILE] TEXT`
fn print(rest: &str, newline: bool, unquote: bool) -> Instruction {
    let Some(redirected) = rest.strip_prefix('>') else {
        return Instruction::Print { to: Output::Standard, text: rest.to_owned(), newline, unquote };
    };
    let appended = redirected.strip_prefix('>');
    let (file, text) = shift_word(appended.unwrap_or(redirected));
    let to = Output::named(file, appended.is_some());
    Instruction::Print { to, text: text.to_owned(), newline, unquote }
}

impl Output {
    fn named(file: &str, append: bool) -> Self {
        match file {
            "" | "-" => Self::Standard,
            name => Self::File { name: name.to_owned(), append },
        }
    }
}
