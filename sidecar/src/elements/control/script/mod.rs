//! Script and DriverManager: small programs of handler calls, and what decides when the router stops.
//!
//! `program` turns the configuration into instructions, `run` carries them out; `calls` reads and writes handlers, those
//! of the script itself among them, `expand` replaces `$variables` and `$(handlers)` in texts, `functions` (with `number`)
//! are the handlers that only scripts have; `report` is where complaints go. A script never blocks: waiting is a timer,
//! or a step still to come.

mod calls;
mod expand;
mod functions;
mod number;
mod program;
mod report;
mod run;
mod signals;
mod state;
#[cfg(test)]
mod tests;
mod variables;

pub(in crate::elements) use number::show_real;

use self::program::{Ending, Instruction, Program};
use self::report::Report;
use self::run::Origin;
use self::variables::Variables;
use crate::config::{Value, shift_word, split_arguments};
use crate::element::{
    Access, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Packet, StateKind,
};
use crate::state::Stateful;

const TYPE: &str = "ACTIVE, PASSIVE, DRIVER, PROXY, PACKET or SIGNAL SIGNO...";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "Script",
    summary: "scripts a router configuration",
    ports: "-/-",
    processing: "ah/ah",
    args: &[
        Arg::keyword("TYPE", TYPE, "ACTIVE", "when it runs; a script with ports is of type PACKET"),
        Arg::rest("INSTRUCTION", "instruction", "what to do, in order"),
    ],
    ties,
    handlers: &[
        Handler::both("run", "runs the script from its start; reading gives what it returns"),
        Handler::write("step", "goes past the instruction that waits, or past so many"),
        Handler::write("goto", "goes on at a label"),
        Handler::write("set", "VARIABLE VALUE: sets a variable"),
        Handler::read("get", "the value of the variable that is named"),
        Handler::read("shift", "takes the first word off a variable (`args`) and gives it"),
        Handler::read("vars", "all variables, a line each"),
        Handler::read("status", "where it stands"),
        Handler::read("add", "sum of numbers"),
        Handler::read("sub", "first number less all others"),
        Handler::read("mul", "product of numbers"),
        Handler::read("div", "first number divided by all others"),
        Handler::read("idiv", "the same, cut to an integer"),
        Handler::read("mod", "remainder of two integers"),
        Handler::read("rem", "remainder of two numbers"),
        Handler::read("neg", "negative of a number"),
        Handler::read("abs", "absolute value of a number"),
        Handler::read("min", "least of numbers"),
        Handler::read("max", "greatest of numbers"),
        Handler::read("eq", "whether two values are equal"),
        Handler::read("ne", "whether two values differ"),
        Handler::read("lt", "whether the first is less"),
        Handler::read("gt", "whether the first is greater"),
        Handler::read("le", "whether the first is not greater"),
        Handler::read("ge", "whether the first is not less"),
        Handler::read("not", "whether a truth value is false"),
        Handler::read("and", "whether all are true"),
        Handler::read("nand", "whether not all are true"),
        Handler::read("or", "whether one is true"),
        Handler::read("nor", "whether none is true"),
        Handler::read("if", "CONDITION A B: A if it is true, else B"),
        Handler::read("in", "whether the first word is among the others"),
        Handler::read("first", "the first word"),
        Handler::read("length", "bytes of the text"),
        Handler::read("unquote", "the text without a layer of quotes"),
        Handler::read("sprintf", "FORMAT VALUE...: formatted as in C"),
        Handler::read("random", "a random integer: up to RAND_MAX, below N, or from N1 to N2"),
        Handler::read("now", "the time"),
        Handler::read("htons", "16 bits in network byte order"),
        Handler::read("htonl", "32 bits in network byte order"),
        Handler::read("ntohs", "16 bits in host byte order"),
        Handler::read("ntohl", "32 bits in host byte order"),
        Handler::read("readable", "whether all handlers named can be read"),
        Handler::read("writable", "whether all handlers named can be written"),
    ],
    drops: &["not sent on"],
    state: StateKind::Small,
    details: "Runs its instructions one after the other: `set VAR TEXT`, `init VAR TEXT` (once, before all else), `export \
              VAR [TEXT]` (the same, and VAR becomes a read handler); `print [>FILE | >>FILE] [TEXT | HANDLER]` and \
              `printn` (no end of line), `save HANDLER FILE`, `append HANDLER FILE`; `read HANDLER [ARGS]` (to standard \
              error), `write HANDLER [ARGS]` (its status is `$?`); `pause [COUNT]`, also called `wait_step` and \
              `wait_stop`, until the handler `step` is called so often, `wait TIME` until then or until a step; `label \
              LABEL`, `goto LABEL [CONDITION]`, `loop`; `end`, `exit`, `stop` (asks the driver to stop), `return \
              [VALUE]`, `error [MSG]`, which are labels, too. The forms `setq`, `printq`, `returnq` … take a layer of \
              quotes off the result.\n\n\
              In texts `$VAR`, `${VAR}` and `$(HANDLER ARGS)` are replaced; the script's own handlers need no element \
              name, so `$(add $x 1)` adds. `$args`, `$1`, `$#`, `$0` and `$write` say how it was called. A script calls \
              `cat FILE`, `catq FILE` and `kill SIGNO PID...` as `$(...)`; from outside they are not to be seen.\n\n\
              An ACTIVE script starts with the router, a PASSIVE one when `run` is called, a PROXY for any handler that \
              is read or written, a PACKET script for each packet, whose output it returns, a SIGNAL script when the \
              process gets the signal (not in a pod), a DRIVER script as DriverManager says. After 1000 jumps without \
              waiting a script is given up.",
    example: r#"
        src :: RatedSource(DATA \<01 02 03 04>, RATE 10, LIMIT 20)
            -> pick :: Script(TYPE PACKET, set n $(add 0$n 1), return $(mod $n 2))
            -> even :: Counter -> Discard;
        pick[1] -> odd :: Counter -> Discard;
        sum :: Script(TYPE PASSIVE, return $(add $(odd.count) $(even.count) $1));
        store :: Script(TYPE PROXY, goto new $write, returnq "nothing under $0", label new, print "$0 is now $args");
        rounds :: Script(export round 0, label again, wait 0.5s, set round $(add $round 1),
            print "round $round: $(odd.count) + $(even.count) = $(sum.run 0)",
            goto again $(lt $round 3),
            write store.x 5, print store.y, write odd.nothing 1, print "status $?",
            print $(sprintf "'%05d%%'" $(idiv 100 8)), print $(if $(ge $round 3) done more),
            pause, print "stepped $(now)", stop);
        Script(wait 1.75s, write rounds.step);
    "#,
    build: |args| build(args, None),
    ..Descriptor::BASE
};

pub(super) static DRIVER_MANAGER: Descriptor = Descriptor {
    class: "DriverManager",
    summary: "manages driver stop events",
    details: "A Script that decides when the router stops. Every request to stop, by a source with `STOP true`, by \
              `stop` in a script, by the handler `stop`, takes it one step on, past `pause` (or `wait_stop`) or `wait`; \
              the router stops when the script ends. Without one, the first request stops the router.",
    example: r#"
        src :: RatedSource(DATA \<01 02 03 04>, RATE 10, LIMIT 5, STOP true)
            -> q :: Queue -> u :: Unqueue(ACTIVE false) -> c :: Counter -> Discard;
        DriverManager(print "begin", wait_stop, print "$(now): $(q.length) packets wait",
            write u.active true, wait 0.1s, print "$(now): $(c.count) packets passed",
            write src.reset, wait_stop, print "$(c.count) packets passed", stop);
    "#,
    args: &[
        Arg::keyword("TYPE", TYPE, "DRIVER", "when it runs"),
        Arg::rest("INSTRUCTION", "instruction", "what to do, in order; none: wait_stop"),
    ],
    build: |args| build(args, Some(Kind::Driver)),
    ports: DESCRIPTOR.ports,
    processing: DESCRIPTOR.processing,
    ties,
    handlers: DESCRIPTOR.handlers,
    drops: DESCRIPTOR.drops,
    state: StateKind::Small,
    ..Descriptor::BASE
};

/// When a script runs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Active,
    Passive,
    Driver,
    Proxy,
    Packet,
    Signal(Vec<i32>),
}

struct Script {
    kind: Kind,
    /// Whether its class is DriverManager.
    is_manager: bool,
    program: Program,
    /// The instruction that runs next, or that waits or ended it.
    at: usize,
    /// Per instruction: steps that a `wait_step` has had.
    counts: Vec<u32>,
    /// It has not begun.
    fresh: bool,
    variables: Variables,
    /// `$args`, `$0` and `$write`: how it was called.
    args: String,
    called: String,
    written: bool,
    /// `$?`
    write_status: i32,
    /// Whether signals run it now.
    armed: bool,
    /// While a handler of it runs: it is at work, and how many steps it was asked to go on meanwhile.
    running: bool,
    more_steps: i64,
}

fn build(args: &Args<'_>, default: Option<Kind>) -> Result<Box<dyn Element>, ConfigError> {
    let is_manager = default.is_some();
    let has_ports = args.inputs() + args.outputs() > 0;
    let kind = match (args.text("TYPE"), default) {
        (Some(text), _) => Kind::parse(text)?,
        (None, Some(kind)) => kind,
        (None, None) if has_ports => Kind::Packet,
        (None, None) => Kind::Active,
    };
    if kind == Kind::Packet && args.inputs() == 0 {
        return Err("PACKET script must have inputs".into());
    }
    if kind != Kind::Packet && has_ports {
        return Err("ports allowed only on PACKET scripts".into());
    }
    let ending = if kind == Kind::Driver { Ending::Stop } else { Ending::End };
    let mut program = Program::parse(args.rest(), ending)?;
    if kind == Kind::Driver && program.instructions.len() == 1 {
        program.instructions.insert(0, Instruction::WaitStep(1));
    }
    let mut variables = Variables::default();
    program.variables.iter().try_for_each(|name| variables.set(name, String::new()))?;
    Ok(Box::new(Script {
        is_manager,
        at: 0,
        counts: vec![0; program.instructions.len()],
        fresh: true,
        variables,
        args: String::new(),
        called: String::new(),
        written: false,
        write_status: 0,
        armed: false,
        running: false,
        more_steps: -1,
        kind,
        program,
    }))
}

impl Kind {
    fn parse(text: &str) -> Result<Self, String> {
        let (word, rest) = shift_word(text);
        match (word, rest) {
            ("ACTIVE" | "", "") => Ok(Self::Active),
            ("PASSIVE", "") => Ok(Self::Passive),
            ("DRIVER", "") => Ok(Self::Driver),
            ("PROXY", "") => Ok(Self::Proxy),
            ("PACKET" | "PUSH", "") => Ok(Self::Packet),
            ("SIGNAL", signals) => {
                let signals: Option<Vec<i32>> = signals.split_whitespace().map(signals::number).collect();
                let signals = signals.filter(|signals| !signals.is_empty());
                signals.map(Self::Signal).ok_or_else(|| "bad signal number".to_owned())
            }
            _ => Err("bad TYPE".to_owned()),
        }
    }
}

/// The elements whose handlers a script calls: they stay in its part.
fn ties(config: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for argument in split_arguments(config) {
        let (word, rest) = shift_word(&argument);
        let direct = match word {
            "read" | "readq" | "write" | "writeq" | "save" | "append" => Some(rest),
            "print" | "printq" | "printn" | "printnq" if rest.starts_with('>') => {
                Some(shift_word(rest.trim_start_matches('>')).1)
            }
            "print" | "printq" | "printn" | "printnq" => Some(rest),
            _ => None,
        };
        let called = argument.split("$(").skip(1).chain(direct);
        for call in called {
            let handler = call.split(|c: char| c.is_whitespace() || c == ')').next().unwrap_or_default();
            if let Some((element, _)) = handler.rsplit_once('.')
                && is_name(element)
                && !found.iter().any(|known| known == element)
            {
                found.push(element.to_owned());
            }
        }
    }
    found
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '@' | '.' | '-'))
}

impl Script {
    fn status(&self) -> String {
        match self.program.instructions.get(self.at) {
            None => "given up".to_owned(),
            Some(_) if self.fresh => "not started".to_owned(),
            Some(Instruction::WaitTime(_)) => format!("waiting for time, instruction {}", self.at + 1),
            Some(Instruction::WaitStep(count)) => {
                let missing = count.saturating_sub(self.counts.get(self.at).copied().unwrap_or(0));
                format!("waiting for {missing} steps, instruction {}", self.at + 1)
            }
            Some(_) => format!("ended, instruction {}", self.at + 1),
        }
    }

    /// Whether it has a handler that its class does not have.
    fn has_more(&self, handler: &str) -> bool {
        self.program.exports.iter().any(|known| known == handler) || self.kind == Kind::Proxy
    }

    /// What a handler of it allows.
    fn access(&self, handler: &str) -> Access {
        let known = DESCRIPTOR.handlers.iter().find(|known| known.name == handler);
        match known {
            Some(known) => Access { readable: known.readable, writable: known.writable },
            None => Access { readable: true, writable: self.kind == Kind::Proxy },
        }
    }

    /// Sets the variables that are to be set before anything happens.
    fn initialize_variables(&mut self, cx: &mut Cx<'_>, report: &mut Report) {
        for at in 0..self.program.instructions.len() {
            if let Some(Instruction::Init { name, text, unquote }) =
                self.program.instructions.get(at).cloned()
            {
                self.assign(cx, &name, &text, unquote, report);
            }
        }
    }

    /// Runs the script for a packet; the output that it says.
    fn output_for(&mut self, cx: &mut Cx<'_>, input: usize) -> Option<usize> {
        let mut report = Report::printed();
        report.within(format!("While executing '{}':", self.declaration(cx)));
        if let Err(problem) = self.variables.set("input", input.to_string()) {
            report.error(cx, &problem);
        }
        self.fresh = false;
        self.at = 0;
        self.step(cx, 0, Origin::Router, 0, &mut report);
        usize::parse_plain(&self.outcome().value).ok()
    }

    /// What a handler said, and what there was to complain of.
    fn answer(
        &self,
        cx: &Cx<'_>,
        result: Result<String, String>,
        report: Report,
    ) -> Result<String, HandlerError> {
        let mut lines = report.take();
        match result {
            Ok(value) => {
                if !lines.is_empty() {
                    cx.message(format_args!("While executing '{}':", self.declaration(cx)));
                    lines.iter().for_each(|line| cx.message(format_args!("  {line}")));
                }
                Ok(value)
            }
            Err(problem) => {
                lines.extend(Some(problem).filter(|problem| !problem.is_empty()));
                Err(HandlerError::Refused(lines.join("\n")))
            }
        }
    }
}

fn send(cx: &mut Cx<'_>, output: Option<usize>, packet: Packet) {
    match output {
        Some(output) if output < cx.outputs() => cx.emit(output, packet),
        _ => cx.drop("not sent on", packet),
    }
}

impl Element for Script {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        if self.kind == Kind::Driver && !cx.become_driver() {
            return Err("router has more than one driver script".to_owned());
        }
        Ok(())
    }

    fn start(&mut self, cx: &mut Cx<'_>) {
        let mut report = Report::printed();
        report.within(format!("While initializing '{}':", self.declaration(cx)));
        self.initialize_variables(cx, &mut report);
        match &self.kind {
            Kind::Active => cx.set_timer(cx.now()),
            // It is called before any other element does anything.
            Kind::Driver => cx.stop(),
            Kind::Signal(signals) => {
                self.armed = true;
                signals.iter().for_each(|signal| cx.watch_signal(*signal));
            }
            Kind::Passive | Kind::Proxy | Kind::Packet => {}
        }
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _batch: &mut Batch) {
        let mut report = Report::printed();
        report.within(format!("While executing '{}':", self.declaration(cx)));
        if std::mem::take(&mut self.fresh) {
            self.step(cx, 0, Origin::Router, 0, &mut report);
        } else if let Some(Instruction::WaitTime(_)) = self.program.instructions.get(self.at) {
            self.step(cx, 1, Origin::Router, 0, &mut report);
        }
    }

    fn stop_requested(&mut self, cx: &mut Cx<'_>) {
        let steps = if std::mem::take(&mut self.fresh) { 0 } else { 1 };
        self.step(cx, steps, Origin::StopRequest, 0, &mut Report::printed());
    }

    fn signalled(&mut self, cx: &mut Cx<'_>) -> bool {
        if !std::mem::take(&mut self.armed) {
            return false;
        }
        let mut report = Report::printed();
        report.within(format!("While executing '{}':", self.declaration(cx)));
        // What went wrong has been said.
        let _ = self.write_own(cx, "run", "", &mut report);
        true
    }

    fn push(&mut self, cx: &mut Cx<'_>, port: usize, batch: &mut Batch) {
        for packet in batch.drain() {
            let output = self.output_for(cx, port);
            send(cx, output, packet);
        }
    }

    fn pull(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch, max: usize) {
        while batch.is_empty() {
            cx.pull(0, batch, max);
            if batch.is_empty() {
                return;
            }
            batch.filter_map(|packet| match self.output_for(cx, 0) {
                Some(0) => Some(packet),
                output => {
                    send(cx, output, packet);
                    None
                }
            });
        }
    }

    fn read(&mut self, cx: &mut Cx<'_>, handler: &str, param: &str) -> Result<String, HandlerError> {
        let listed = DESCRIPTOR.handlers.iter().any(|known| known.name == handler && known.readable);
        if !listed && !self.has_more(handler) {
            return Err(HandlerError::NoHandler(handler.to_owned()));
        }
        let mut report = Report::kept();
        let result = self.read_own(cx, handler, param, &mut report);
        self.answer(cx, result, report)
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        let listed = DESCRIPTOR.handlers.iter().find(|known| known.name == handler);
        if !listed.map_or(self.kind == Kind::Proxy, |known| known.writable) {
            return Err(HandlerError::NoHandler(handler.to_owned()));
        }
        let mut report = Report::kept();
        let result = self.write_own(cx, handler, value, &mut report);
        self.answer(cx, result, report).map(|_| ())
    }

    fn more_handlers(&self) -> Vec<(String, Access)> {
        let read = Access { readable: true, writable: false };
        let exports = self.program.exports.iter().map(|name| (name.clone(), read));
        let any =
            (self.kind == Kind::Proxy).then(|| ("*".to_owned(), Access { readable: true, writable: true }));
        exports.chain(any).collect()
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}
