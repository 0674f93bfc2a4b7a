//! Signals to a router that runs alone: those that a script asks for, and those that stop it.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

const ROUTER: &str = r#"
    Idle -> c :: Counter -> Discard;
    Script(print "ready");
    Script(TYPE SIGNAL USR1 HUP, print "told");
    DriverManager(wait_stop, print "asked once", wait_stop, print "asked twice");
"#;

/// Ends the router whatever becomes of the test.
struct Run(Child, BufReader<ChildStdout>);

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Run {
    fn start(text: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_anf-sidecar"));
        command.args(["run", "-e", text, "-h", "c.count"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut run = Self(child, output);
        assert_eq!(run.line(), "ready");
        run
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.0.id() as i32).unwrap(), signal).unwrap();
    }

    /// What is printed until the end, and the exit status.
    fn end(&mut self) -> (String, Option<i32>) {
        let mut rest = String::new();
        self.1.read_to_string(&mut rest).unwrap();
        (rest, self.0.wait().unwrap().code())
    }
}

#[test]
fn a_signal_runs_its_script_and_a_request_to_stop_goes_to_the_driver_script() {
    let mut run = Run::start(ROUTER);
    for signal in [Signal::USR1, Signal::HUP] {
        run.signal(signal);
        assert_eq!(run.line(), "told");
    }
    run.signal(Signal::INT);
    assert_eq!(run.line(), "asked once");
    run.signal(Signal::TERM);
    assert_eq!(run.end(), ("asked twice\n0\n".to_owned(), Some(0)));
}

#[test]
fn the_same_signal_again_ends_the_process() {
    let mut run = Run::start(ROUTER);
    run.signal(Signal::INT);
    assert_eq!(run.line(), "asked once");
    run.signal(Signal::INT);
    assert_eq!(run.end(), (String::new(), Some(128 + 2)));
}

#[test]
fn a_router_that_is_stopped_by_a_signal_still_prints_its_handlers() {
    let mut run = Run::start("Idle -> c :: Counter -> Discard; Script(print \"ready\");");
    run.signal(Signal::TERM);
    assert_eq!(run.end(), ("0\n".to_owned(), Some(0)));
}
