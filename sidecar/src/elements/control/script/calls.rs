//! Texts of a script with their references replaced, and the handlers that it calls: its own and those of others.

use super::expand::{Form, expand};
use super::program::Ending;
use super::report::Report;
use super::run::{Origin, plain};
use super::{DESCRIPTOR, Kind, Script, functions};
use crate::config::{Value, shift_word};
use crate::element::{Cx, HandlerError};
use crate::engine::is_common;

/// A handler as a script names it.
enum Callee {
    /// One of its own, by name.
    Own(String),
    /// `element.handler`, or a handler of the router.
    Other(String),
}

/// Why a handler gave nothing.
enum Failure {
    /// There is no such handler.
    Missing(String),
    /// The handler says so.
    Refused(String),
}

/// What a write handler that failed leaves in `$?`.
const FAILED: i32 = -22; // EINVAL

impl Script {
    /// `name :: Class`
    pub(super) fn declaration(&self, cx: &Cx<'_>) -> String {
        let class = if self.is_manager { "DriverManager" } else { "Script" };
        format!("{} :: {class}", cx.name())
    }

    /// Replaces variables and handler calls.
    pub(super) fn expand(&mut self, cx: &mut Cx<'_>, text: &str, quote: bool, report: &mut Report) -> String {
        expand(text, quote, &mut |name, form| {
            self.variable(cx, name).or_else(|| match form {
                Form::Call => self.read(cx, name, report),
                Form::Bare | Form::Braces => None,
            })
        })
    }

    fn variable(&self, cx: &Cx<'_>, name: &str) -> Option<String> {
        if let Some(value) = self.variables.get(name) {
            return Some(value.to_owned());
        }
        let words = || {
            let mut rest = self.args.as_str();
            std::iter::from_fn(move || {
                let (word, after) = shift_word(rest);
                rest = after;
                (!word.is_empty()).then_some(word)
            })
        };
        match name {
            "?" => Some(self.write_status.to_string()),
            "args" => Some(self.args.clone()),
            "$" if !cx.simulated() => Some(std::process::id().to_string()),
            "$" => Some("1".to_owned()),
            "0" => Some(self.called.clone()),
            "#" => Some(words().count().to_string()),
            "write" => Some(self.written.to_string()),
            name if name.starts_with(|c: char| ('1'..='9').contains(&c)) => {
                let at: usize = name.parse().ok()?;
                Some(words().nth(at - 1).unwrap_or_default().to_owned())
            }
            _ => None,
        }
    }

    /// Whether the script itself has that handler.
    fn has(&self, handler: &str) -> bool {
        is_fixed(handler) || functions::PRIVATE.contains(&handler) || self.has_more(handler)
    }

    fn callee(&self, cx: &Cx<'_>, word: &str) -> Result<Callee, String> {
        let name = plain(word);
        if let Some(root) = name.strip_prefix('.') {
            return Ok(Callee::Other(root.to_owned()));
        }
        match name.rsplit_once('.') {
            None if name.is_empty() => Err("syntax error".to_owned()),
            None if self.has(&name) => Ok(Callee::Own(name)),
            None if is_common(&name) => Ok(Callee::Other(format!("{}.{name}", cx.name()))),
            None => Ok(Callee::Other(name)),
            Some((_, "")) => Err("syntax error".to_owned()),
            Some((element, handler)) => match cx.find(element) {
                None => Err(format!("no element named '{element}'")),
                Some(id) if id == cx.id() && self.has(handler) => Ok(Callee::Own(handler.to_owned())),
                Some(_) => Ok(Callee::Other(name)),
            },
        }
    }

    /// The value of `handler arguments`. What is wrong is reported.
    fn read(&mut self, cx: &mut Cx<'_>, call: &str, report: &mut Report) -> Option<String> {
        let (callee, param) = self.parse_call(cx, call, false, report)?;
        match self.read_callee(cx, &callee, &param, report) {
            Ok(value) => Some(value),
            Err(Failure::Missing(problem) | Failure::Refused(problem)) => {
                report.error(cx, &problem);
                None
            }
        }
    }

    /// The same for an instruction, with the name of the handler: what the handler complains of is said below its name.
    pub(super) fn read_in_context(
        &mut self,
        cx: &mut Cx<'_>,
        call: &str,
        unquote: bool,
        report: &mut Report,
    ) -> Option<(String, String)> {
        let (callee, param) = self.parse_call(cx, call, unquote, report)?;
        let name = callee.name(cx);
        report.within(context(&name, &param));
        let value = self.read_callee(cx, &callee, &param, report);
        let value = Self::settle(cx, value, report)?;
        Some((name, value.ok()?))
    }

    /// Calls a write handler for an instruction.
    pub(super) fn write_in_context(
        &mut self,
        cx: &mut Cx<'_>,
        call: &str,
        unquote: bool,
        report: &mut Report,
    ) {
        let Some((callee, value)) = self.parse_call(cx, call, unquote, report) else { return };
        report.within(context(&callee.name(cx), &value));
        let written = match &callee {
            Callee::Own(handler) => self.write_own(cx, handler, &value, report).map_err(Failure::Refused),
            Callee::Other(path) => match cx.write_handler(path, &value) {
                // It waits for this script: let it do so no longer.
                Err(HandlerError::Busy(_)) => {
                    cx.write_later(path.as_str(), value.as_str());
                    Ok(String::new())
                }
                Err(error) => Err(failure(error, "write")),
                Ok(()) => Ok(String::new()),
            },
        };
        if let Some(written) = Self::settle(cx, written, report) {
            self.write_status = if written.is_ok() { 0 } else { FAILED };
        }
    }

    /// Leaves the context of a call. `None` if there was nothing to call.
    fn settle(
        cx: &Cx<'_>,
        result: Result<String, Failure>,
        report: &mut Report,
    ) -> Option<Result<String, ()>> {
        match result {
            Err(Failure::Missing(problem)) => {
                report.leave();
                report.error(cx, &problem);
                None
            }
            Err(Failure::Refused(problem)) => {
                report.error(cx, &problem);
                report.leave();
                Some(Err(()))
            }
            Ok(value) => {
                report.leave();
                Some(Ok(value))
            }
        }
    }

    /// Splits `handler arguments`; what is wrong is reported.
    fn parse_call(
        &mut self,
        cx: &Cx<'_>,
        call: &str,
        unquote: bool,
        report: &mut Report,
    ) -> Option<(Callee, String)> {
        let (word, param) = shift_word(call);
        let callee = self.callee(cx, word).map_err(|problem| report.error(cx, &problem)).ok()?;
        Some((callee, if unquote { plain(param) } else { param.to_owned() }))
    }

    fn read_callee(
        &mut self,
        cx: &mut Cx<'_>,
        callee: &Callee,
        param: &str,
        report: &mut Report,
    ) -> Result<String, Failure> {
        match callee {
            Callee::Own(handler) => self.read_own(cx, handler, param, report).map_err(Failure::Refused),
            Callee::Other(path) => cx.read_handler(path, param).map_err(|error| failure(error, "read")),
        }
    }

    /// A read handler of the script, called by itself or from elsewhere.
    pub(super) fn read_own(
        &mut self,
        cx: &mut Cx<'_>,
        handler: &str,
        param: &str,
        report: &mut Report,
    ) -> Result<String, String> {
        match handler {
            "run" => return self.begin(cx, handler, param, false, report),
            "status" => return Ok(self.status()),
            "vars" => return Ok(self.variables.show()),
            "get" => return self.variable_named(param).map(str::to_owned),
            "shift" => return self.shift(param),
            "readable" => return Ok(accesses(cx, self, param, |access| access.readable).to_string()),
            "writable" => return Ok(accesses(cx, self, param, |access| access.writable).to_string()),
            _ => {}
        }
        if let Some(name) = self.program.exports.iter().find(|name| *name == handler) {
            return Ok(self.variables.get(name).unwrap_or_default().to_owned());
        }
        match functions::call(cx, handler, param) {
            Some(value) => value,
            None if self.kind == Kind::Proxy => self.begin(cx, handler, param, false, report),
            None => Err(format!("no '{}.{handler}' read handler", cx.name())),
        }
    }

    /// A write handler of the script. What `run` returns is returned.
    pub(super) fn write_own(
        &mut self,
        cx: &mut Cx<'_>,
        handler: &str,
        value: &str,
        report: &mut Report,
    ) -> Result<String, String> {
        match handler {
            "run" => self.begin(cx, handler, value, true, report),
            "goto" => self.jump(cx, value.trim(), report),
            "step" => self.step_on(cx, value.trim(), report),
            "set" => self.set(value).map(|()| String::new()),
            other if self.kind == Kind::Proxy && !is_fixed(other) => {
                self.begin(cx, handler, value, true, report)
            }
            other => Err(format!("no '{}.{other}' write handler", cx.name())),
        }
    }

    fn begin(
        &mut self,
        cx: &mut Cx<'_>,
        handler: &str,
        args: &str,
        written: bool,
        report: &mut Report,
    ) -> Result<String, String> {
        if args.len() > super::variables::LONGEST {
            return Err("arguments are too long".to_owned());
        }
        cx.clear_timer();
        self.fresh = false;
        self.called = handler.to_owned();
        self.args = args.to_owned();
        self.written = written;
        self.forget_steps(0, usize::MAX);
        self.at = 0;
        self.go_on(cx, 0, report)
    }

    fn jump(&mut self, cx: &mut Cx<'_>, label: &str, report: &mut Report) -> Result<String, String> {
        let target = self.program.label(label).ok_or("jump to nonexistent label")?;
        cx.clear_timer();
        self.fresh = false;
        self.called_by("goto");
        self.forget_steps(target, usize::MAX);
        self.at = target;
        self.go_on(cx, 0, report)
    }

    fn step_on(&mut self, cx: &mut Cx<'_>, count: &str, report: &mut Report) -> Result<String, String> {
        let count = if count.is_empty() { Ok(1) } else { i32::parse_plain(count) };
        let count = count.map_err(|_| "syntax error")?;
        self.called_by("step");
        if self.running {
            self.more_steps += i64::from(count);
            return Ok(String::new());
        }
        self.go_on(cx, i64::from(count), report)
    }

    fn called_by(&mut self, handler: &str) {
        self.called = handler.to_owned();
        self.args.clear();
        self.written = true;
    }

    /// Runs from where the script stands, and as many steps more as it asks of itself meanwhile.
    pub(super) fn go_on(
        &mut self,
        cx: &mut Cx<'_>,
        steps: i64,
        report: &mut Report,
    ) -> Result<String, String> {
        if self.running {
            return Ok(String::new()); // Whoever runs it goes on from here.
        }
        let (mut steps, mut jumps) = (steps, 0);
        self.running = true;
        while steps >= 0 {
            self.more_steps = -1;
            jumps = self.step(cx, steps, Origin::Router, jumps, report);
            steps = self.more_steps;
        }
        self.running = false;
        let outcome = self.outcome();
        match outcome.ending {
            Some(Ending::Error) => Err(String::new()), // The reason is in the report, if there is one.
            _ => Ok(outcome.value),
        }
    }

    fn variable_named(&self, name: &str) -> Result<&str, String> {
        match shift_word(name) {
            ("", _) => Err("no variable".to_owned()),
            ("args", "") => Ok(&self.args),
            (name, "") => self.variables.get(name).ok_or_else(|| format!("undefined variable '{name}'")),
            _ => Err("too many arguments".to_owned()),
        }
    }

    fn set(&mut self, value: &str) -> Result<(), String> {
        match shift_word(value) {
            ("", _) => Err("no variable".to_owned()),
            ("args", value) => {
                self.args = value.to_owned();
                Ok(())
            }
            (name, value) => self.variables.set(name, value.to_owned()),
        }
    }

    /// Takes the first word off a variable.
    fn shift(&mut self, name: &str) -> Result<String, String> {
        let name = if name.is_empty() { "args" } else { name };
        let value = self.variable_named(name)?.to_owned();
        let (word, rest) = shift_word(&value);
        self.set(&format!("{name} {rest}"))?;
        Ok(word.to_owned())
    }
}

impl Callee {
    /// The full name.
    fn name(&self, cx: &Cx<'_>) -> String {
        match self {
            Self::Own(handler) => format!("{}.{handler}", cx.name()),
            Self::Other(path) => path.clone(),
        }
    }
}

fn context(name: &str, param: &str) -> String {
    let space = if param.is_empty() { "" } else { " " };
    format!("While calling '{name}{space}{param}':")
}

/// Whether a handler is the script's own, proxy or not.
fn is_fixed(handler: &str) -> bool {
    DESCRIPTOR.handlers.iter().any(|known| known.name == handler)
}

/// Whether all the handlers named are there and allow it.
fn accesses(
    cx: &Cx<'_>,
    script: &Script,
    names: &str,
    allows: impl Fn(crate::engine::Access) -> bool,
) -> bool {
    let mut rest = names;
    loop {
        let (word, after) = shift_word(rest);
        rest = after;
        let access = match script.callee(cx, word) {
            _ if word.is_empty() => return true,
            Ok(Callee::Own(handler)) => Ok(script.access(&handler)),
            Ok(Callee::Other(path)) => cx.handler_access(&path),
            Err(_) => return false,
        };
        if !access.is_ok_and(&allows) {
            return false;
        }
    }
}

/// What Click says of a handler that could not be called.
fn failure(error: HandlerError, operation: &str) -> Failure {
    match error {
        HandlerError::NoHandler(path) => Failure::Missing(format!("no '{path}' {operation} handler")),
        HandlerError::NoElement(_) => Failure::Missing(error.to_string()),
        other => Failure::Refused(other.to_string()),
    }
}
