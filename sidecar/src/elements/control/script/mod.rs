//! Script and DriverManager: small programs of handler calls, and what decides when the router stops.
//!
//! `program` turns the configuration into instructions, `expand` replaces `$variables` and `$(handlers)`, `functions`
//! are the handlers that only scripts have (arithmetic, comparison, `now`). A script never blocks: waiting is a timer,
//! or a stop request still to come.

mod expand;
mod functions;
mod program;

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::Duration;

use self::program::{Instruction, Program};
use crate::config::{Value, unquote};
use crate::element::{Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError};
use crate::packet::Batch;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "Script",
    summary: "runs a script of handler calls",
    ports: "0/0",
    args: &[
        Arg::keyword(
            "TYPE",
            "ACTIVE, PASSIVE or DRIVER",
            "ACTIVE",
            "when it runs: at the start, when told, or as driver",
        ),
        Arg::rest("INSTRUCTION", "instruction", "what to do, in order"),
    ],
    ties,
    handlers: &[
        Handler::both("run", "runs the script from its start; reading gives what it returns"),
        Handler::write("step", "lets a waiting script go on"),
        Handler::write("goto", "goes on at a label"),
        Handler::read("status", "where it stands"),
    ],
    build: |args| build(args, None),
    ..Descriptor::BASE
};

pub(super) static DRIVER_MANAGER: Descriptor = Descriptor {
    class: "DriverManager",
    summary: "manages driver stop events",
    build: |args| build(args, Some(Kind::Driver)),
    ports: "0/0",
    args: &[Arg::rest("INSTRUCTION", "instruction", "what to do, in order; none: wait_stop")],
    ties,
    handlers: &[Handler::read("status", "where it stands")],
    ..Descriptor::BASE
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Active,
    Passive,
    Driver,
}

/// Why a script does not go on by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It has not begun, or it has ended.
    Idle,
    /// Until its timer is due.
    WaitTime,
    /// Until so many stop requests have come.
    WaitStop(u32),
    /// Until the `step` handler is called.
    WaitStep,
}

struct Script {
    kind: Kind,
    program: Program,
    at: usize,
    state: State,
    variables: HashMap<String, String>,
    /// Stop requests that came while it waited for something else.
    stops: u32,
    result: String,
}

/// Instructions of one run without waiting: a loop that never waits is an error, not a hang.
const MOST_STEPS: u32 = 100_000;

fn build(args: &Args<'_>, kind: Option<Kind>) -> Result<Box<dyn Element>, ConfigError> {
    let kind = match (kind, args.text("TYPE")) {
        (Some(kind), _) => kind,
        (None, None | Some("ACTIVE")) => Kind::Active,
        (None, Some("PASSIVE" | "PROXY")) => Kind::Passive,
        (None, Some("DRIVER")) => Kind::Driver,
        (None, Some(other)) => {
            return Err(format!("TYPE: '{other}' is not one of ACTIVE, PASSIVE, DRIVER").into());
        }
    };
    let mut program = Program::parse(args.rest())?;
    if kind == Kind::Driver && program.instructions.is_empty() {
        program.instructions.push(Instruction::WaitStop(1));
    }
    Ok(Box::new(Script {
        kind,
        program,
        at: 0,
        state: State::Idle,
        variables: HashMap::new(),
        stops: 0,
        result: String::new(),
    }))
}

/// The elements whose handlers a script calls: they stay in its part.
fn ties(config: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for argument in crate::config::split_arguments(config) {
        let words: Vec<&str> = argument.split_whitespace().collect();
        let direct = match words.as_slice() {
            ["read" | "readq" | "write" | "writeq", handler, ..] => Some(*handler),
            _ => None,
        };
        let inner = argument
            .split("$(")
            .skip(1)
            .map(|rest| rest.split(|c: char| c.is_whitespace() || c == ')').next().unwrap_or(""));
        for handler in direct.into_iter().chain(inner) {
            if let Some((element, _)) = handler.rsplit_once('.')
                && !found.iter().any(|known| known == element)
            {
                found.push(element.to_owned());
            }
        }
    }
    found
}

/// What one instruction leads to.
enum Step {
    Next,
    Wait,
    End,
}

impl Script {
    fn begin(&mut self, cx: &mut Cx<'_>) {
        self.at = 0;
        self.state = State::Idle;
        self.result.clear();
        self.run(cx);
    }

    /// Runs until the script waits or ends.
    fn run(&mut self, cx: &mut Cx<'_>) {
        for _ in 0..MOST_STEPS {
            let Some(instruction) = self.program.instructions.get(self.at).cloned() else {
                self.end(cx);
                return;
            };
            self.at += 1;
            match self.execute(cx, &instruction) {
                Ok(Step::Next) => {}
                Ok(Step::Wait) => return,
                Ok(Step::End) => {
                    self.end(cx);
                    return;
                }
                Err(problem) => cx.message(format_args!("{}: {problem}", cx.name())),
            }
        }
        cx.message(format_args!(
            "{}: script does not end, stopped after {MOST_STEPS} instructions",
            cx.name()
        ));
        self.end(cx);
    }

    fn end(&mut self, cx: &mut Cx<'_>) {
        self.state = State::Idle;
        self.at = self.program.instructions.len();
        if self.kind == Kind::Driver {
            cx.finish();
        }
    }

    fn execute(&mut self, cx: &mut Cx<'_>, instruction: &Instruction) -> Result<Step, String> {
        match instruction {
            Instruction::Set { name, value } => {
                let value = self.text(cx, value)?;
                self.variables.insert(name.clone(), value);
            }
            Instruction::Init { name, value } => {
                if !self.variables.contains_key(name) {
                    let value = self.text(cx, value)?;
                    self.variables.insert(name.clone(), value);
                }
            }
            Instruction::Print { file, append, newline, text } => {
                let text = self.text(cx, text)?;
                print(cx, file.as_deref(), *append, *newline, &text)?;
            }
            Instruction::Read { handler, quiet } => {
                let handler = self.text(cx, handler)?;
                let value = self.call(cx, &handler)?;
                if *quiet { cx.message(value) } else { cx.message(format_args!("{handler}:\n{value}\n")) }
            }
            Instruction::Write { handler, value } => {
                let value = self.text(cx, value)?;
                cx.write_handler(handler, &value).map_err(|error| format!("{handler}: {error}"))?;
            }
            Instruction::WaitTime(span) => {
                let span = Duration::parse_plain(&self.text(cx, span)?)?;
                self.state = State::WaitTime;
                cx.set_timer(cx.now() + span);
                return Ok(Step::Wait);
            }
            Instruction::WaitStop(count) => return Ok(self.wait_stop(*count)),
            Instruction::WaitStep => {
                self.state = State::WaitStep;
                return Ok(Step::Wait);
            }
            Instruction::Goto { label, condition } => {
                if self.holds(cx, condition)? {
                    self.at = *label;
                }
            }
            Instruction::Return(value) => {
                self.result = self.text(cx, value)?;
                return Ok(Step::End);
            }
            Instruction::End => return Ok(Step::End),
            Instruction::Stop => {
                if self.kind == Kind::Driver {
                    return Ok(Step::End);
                }
                cx.stop();
                return Ok(Step::End);
            }
            Instruction::Error(text) => {
                let line = self.text(cx, text)?;
                cx.message(line);
                return Ok(Step::End);
            }
        }
        Ok(Step::Next)
    }

    /// Stop requests that came before count.
    fn wait_stop(&mut self, count: u32) -> Step {
        let here = self.stops.min(count);
        self.stops -= here;
        if here == count {
            return Step::Next;
        }
        self.state = State::WaitStop(count - here);
        Step::Wait
    }

    fn holds(&mut self, cx: &mut Cx<'_>, condition: &str) -> Result<bool, String> {
        if condition.is_empty() {
            return Ok(true);
        }
        bool::parse_plain(&self.text(cx, condition)?)
    }

    /// Expands and unquotes.
    fn text(&mut self, cx: &mut Cx<'_>, text: &str) -> Result<String, String> {
        let expanded = expand::expand(text, &mut |reference| match reference {
            expand::Reference::Variable(name) => Ok(self.variables.get(name).cloned()),
            expand::Reference::Call(call) => self.call(cx, call).map(Some),
        })?;
        Ok(String::from_utf8_lossy(&unquote(&expanded)).into_owned())
    }

    /// The value of `handler arguments`: a function of scripts, or a read handler.
    fn call(&mut self, cx: &mut Cx<'_>, call: &str) -> Result<String, String> {
        let call = call.trim();
        let (name, argument) = call.split_once(char::is_whitespace).unwrap_or((call, ""));
        let argument = self.text(cx, argument.trim())?;
        if let Some(value) = functions::call(cx, name, &argument) {
            return value.map_err(|problem| format!("{name}: {problem}"));
        }
        cx.read_handler(name, &argument).map_err(|error| format!("{name}: {error}"))
    }

    fn status(&self) -> String {
        match self.state {
            State::Idle if self.at >= self.program.instructions.len() => "finished".to_owned(),
            State::Idle => "not started".to_owned(),
            State::WaitTime => format!("waiting for time, instruction {}", self.at),
            State::WaitStop(count) => format!("waiting for {count} stop requests, instruction {}", self.at),
            State::WaitStep => format!("waiting for a step, instruction {}", self.at),
        }
    }
}

/// Prints to standard output or to a file.
fn print(cx: &Cx<'_>, file: Option<&str>, append: bool, newline: bool, text: &str) -> Result<(), String> {
    let end = if newline && !text.ends_with('\n') { "\n" } else { "" };
    let Some(file) = file.filter(|file| *file != "-") else {
        let mut out = cx.standard_output();
        return write!(out, "{text}{end}").and_then(|()| out.flush()).map_err(|e| e.to_string());
    };
    let mut options = OpenOptions::new();
    options.create(true).append(append).truncate(!append).write(true);
    let mut out = options.open(file).map_err(|error| format!("{file}: {error}"))?;
    write!(out, "{text}{end}").map_err(|error| format!("{file}: {error}"))
}

impl Element for Script {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        if self.kind == Kind::Driver && !cx.become_driver() {
            return Err("only one DriverManager or driver script is allowed".to_owned());
        }
        Ok(())
    }

    fn start(&mut self, cx: &mut Cx<'_>) {
        if self.kind != Kind::Passive {
            self.begin(cx);
        }
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _batch: &mut Batch) {
        if self.state == State::WaitTime {
            self.run(cx);
        }
    }

    fn stop_requested(&mut self, cx: &mut Cx<'_>) {
        match self.state {
            State::WaitStop(count) if count > 1 => self.state = State::WaitStop(count - 1),
            State::WaitStop(_) => {
                self.state = State::Idle;
                self.run(cx);
            }
            _ => self.stops += 1,
        }
    }

    fn read(&mut self, cx: &mut Cx<'_>, handler: &str, param: &str) -> Result<String, HandlerError> {
        match handler {
            "run" if self.kind != Kind::Driver => {
                self.variables.insert("args".to_owned(), param.to_owned());
                self.begin(cx);
                Ok(self.result.clone())
            }
            "status" => Ok(self.status()),
            other => {
                let value = self.variables.get(other).cloned().map(Ok);
                value
                    .or_else(|| functions::call(cx, other, param))
                    .unwrap_or_else(|| Err(String::new()))
                    .map_err(|_| HandlerError::NoHandler(other.to_owned()))
            }
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        match handler {
            "run" if self.kind != Kind::Driver => {
                self.variables.insert("args".to_owned(), value.to_owned());
                self.begin(cx);
            }
            "step" => {
                cx.clear_timer();
                self.run(cx);
            }
            "goto" => {
                let label = self.program.labels.get(value.trim());
                self.at =
                    *label.ok_or_else(|| HandlerError::Refused(format!("no label '{}'", value.trim())))?;
                self.run(cx);
            }
            other => return Err(HandlerError::NoHandler(other.to_owned())),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::testing::Bench;

    #[test]
    fn a_script_sets_variables_loops_and_calls_handlers() {
        let mut bench = Bench::new(
            "s :: Script(set x 1, label again, set x $(add $x 1), goto again $(lt $x 5), write sw.switch $x);
             Idle -> sw :: Switch(0); sw[0] -> d :: Discard; sw[1] -> d; sw[2] -> d; sw[3] -> d; sw[4] -> d; sw[5] -> d;",
        );
        assert_eq!(bench.read("sw", "switch"), "5");
        assert_eq!(bench.read("s", "x"), "5");
        assert_eq!(bench.read("s", "status"), "finished");
    }

    #[test]
    fn a_counter_runs_a_passive_script_at_its_count() {
        let mut bench = Bench::new(
            "s :: Script(TYPE PASSIVE, set seen $(c.count));
             in :: TestIn -> c :: Counter(COUNT_CALL 3 s.run) -> out :: TestOut;",
        );
        for n in 0..5 {
            bench.push("in", &[n]);
        }
        assert_eq!(bench.read("s", "seen"), "3");
        assert_eq!(bench.take("out").len(), 5);
    }

    #[test]
    fn the_driver_waits_for_time_and_stop_requests() {
        let mut bench = Bench::new(
            "InfiniteSource(LIMIT 2, STOP true) -> c :: Counter -> Discard;
             d :: DriverManager(wait_stop, wait 0.5s, set seen $(c.count), stop, set seen no);",
        );
        while bench.pass().ready {}
        assert!(!bench.pass().stop);
        bench.advance(Duration::from_secs(1));
        assert!(bench.pass().stop);
        assert_eq!(bench.read("d", "seen"), "2");
    }

    #[test]
    fn without_a_driver_the_first_stop_request_ends_the_run() {
        let mut bench = Bench::new("InfiniteSource(LIMIT 2, STOP true) -> Discard;");
        assert!((0..9).any(|_| bench.pass().stop));
    }

    #[test]
    fn wrong_instructions_are_reported_with_their_text() {
        let error = Bench::error("s :: Script(sing a song, goto nowhere);");
        assert!(error.contains("unknown instruction 'sing'"), "{error}");
        assert!(error.contains("no label 'nowhere'"), "{error}");
    }

    #[test]
    fn a_script_is_tied_to_the_elements_it_calls() {
        let config = "print \"$(a/c.count) $(now)\", write b.reset, set x $(add $(d.e.length) 1)";
        assert_eq!(super::ties(config), ["a/c", "b", "d.e"]);
    }
}
