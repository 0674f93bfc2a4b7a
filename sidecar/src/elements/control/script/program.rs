//! Instructions of a script.

use std::collections::HashMap;

use crate::element::ConfigError;

/// One instruction; texts are expanded when it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Instruction {
    Set { name: String, value: String },
    Init { name: String, value: String },
    Print { file: Option<String>, append: bool, newline: bool, text: String },
    Read { handler: String, quiet: bool },
    Write { handler: String, value: String },
    WaitTime(String),
    WaitStop(u32),
    WaitStep,
    Goto { label: usize, condition: String },
    Return(String),
    End,
    Stop,
    Error(String),
}

/// A script: instructions, and where its labels are.
#[derive(Debug, Clone, Default)]
pub(super) struct Program {
    pub(super) instructions: Vec<Instruction>,
    pub(super) labels: HashMap<String, usize>,
}

fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim())
}

impl Program {
    pub(super) fn parse(arguments: &[String]) -> Result<Self, ConfigError> {
        let mut program = Self::default();
        // Labels first: `goto` may go forward.
        let mut at = 0;
        for argument in arguments {
            match first_word(argument) {
                ("", _) => {}
                ("label", name) => {
                    program.labels.insert(name.to_owned(), at);
                }
                _ => at += 1,
            }
        }
        program.labels.entry("begin".to_owned()).or_insert(0);
        program.labels.entry("end".to_owned()).or_insert(at);
        let mut problems = Vec::new();
        for argument in arguments {
            match program.instruction(argument) {
                Ok(instruction) => program.instructions.extend(instruction),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(program) } else { Err(ConfigError(problems)) }
    }

    fn instruction(&self, argument: &str) -> Result<Option<Instruction>, String> {
        let (word, rest) = first_word(argument);
        let needs = |what: &str| {
            if rest.is_empty() { Err(format!("'{word}' needs {what}")) } else { Ok(rest.to_owned()) }
        };
        Ok(Some(match word {
            "" | "label" | "export" | "exportq" => return Ok(None),
            "set" => {
                let (name, value) = first_word(rest);
                needs("a variable")?;
                Instruction::Set { name: name.to_owned(), value: value.to_owned() }
            }
            "init" => {
                let (name, value) = first_word(rest);
                needs("a variable")?;
                Instruction::Init { name: name.to_owned(), value: value.to_owned() }
            }
            "print" | "printq" | "printn" | "printnq" => print(word, rest),
            "read" => Instruction::Read { handler: needs("a handler")?, quiet: false },
            "readq" => Instruction::Read { handler: needs("a handler")?, quiet: true },
            "write" | "writeq" => {
                needs("a handler")?;
                let (handler, value) = first_word(rest);
                Instruction::Write { handler: handler.to_owned(), value: value.to_owned() }
            }
            "wait_time" => Instruction::WaitTime(needs("a time")?),
            "wait" if rest.is_empty() => Instruction::WaitStep,
            "wait" => Instruction::WaitTime(rest.to_owned()),
            "wait_step" => Instruction::WaitStep,
            "wait_stop" | "pause" | "wait_for_stop" => {
                let count = if rest.is_empty() { Ok(1) } else { rest.parse::<u32>() };
                Instruction::WaitStop(count.map_err(|_| format!("'{word}' needs a number, got '{rest}'"))?)
            }
            "goto" => self.goto(rest)?,
            "loop" => Instruction::Goto { label: 0, condition: rest.to_owned() },
            "return" | "returnq" => Instruction::Return(rest.to_owned()),
            "end" | "exit" => Instruction::End,
            "stop" => Instruction::Stop,
            "error" | "errorq" => Instruction::Error(rest.to_owned()),
            other => return Err(format!("unknown instruction '{other}'")),
        }))
    }

    fn goto(&self, rest: &str) -> Result<Instruction, String> {
        let (label, condition) = first_word(rest);
        let at = self.labels.get(label).ok_or_else(|| format!("no label '{label}'"))?;
        Ok(Instruction::Goto { label: *at, condition: condition.to_owned() })
    }
}

/// `[>FILE | >>FILE] TEXT`
fn print(word: &str, rest: &str) -> Instruction {
    let newline = !word.starts_with("printn");
    let Some(redirected) = rest.strip_prefix('>') else {
        return Instruction::Print { file: None, append: false, newline, text: rest.to_owned() };
    };
    let (append, redirected) = match redirected.strip_prefix('>') {
        Some(redirected) => (true, redirected),
        None => (false, redirected),
    };
    let (file, text) = first_word(redirected);
    Instruction::Print { file: Some(file.to_owned()), append, newline, text: text.to_owned() }
}
