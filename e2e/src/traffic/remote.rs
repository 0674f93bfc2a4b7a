//! A traffic client in another namespace or container, steered through its standard input and output.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::client::Event;
use super::ledger::Report;
use crate::Error;

/// A running client. It ends when its standard input does, so with this handle.
#[derive(Debug)]
pub struct RemoteClient {
    child: Child,
    commands: Option<ChildStdin>,
    events: Receiver<Event>,
}

/// The end of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The whole run.
    pub total: Report,
    /// Share of one core that the client used, in percent.
    pub cpu_percent: f64,
}

impl RemoteClient {
    /// Starts `command`, which runs `anf-traffic client --stdin`, and waits until its first packet came back.
    pub fn start(mut command: Command, patience: Duration) -> Result<Self, Error> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(Error::io(format!("start the traffic client {command:?}")))?;
        let commands = child.stdin.take();
        let output =
            child.stdout.take().ok_or_else(|| Error::invalid("traffic client", "it has no output"))?;
        let (sender, events) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                match serde_json::from_str(&line) {
                    // Without a receiver the run is over.
                    Ok(event) => drop(sender.send(event)),
                    Err(error) => eprintln!("traffic client printed {line:?}: {error}"),
                }
            }
        });
        let client = Self { child, commands, events };
        match client.next_event("the first answer to the traffic client", patience)? {
            Event::Started { .. } => Ok(client),
            other => Err(Error::invalid("traffic client", format!("it began with {other:?}"))),
        }
    }

    /// Ends an interval and answers its counts once they are settled.
    pub fn mark(&mut self, name: &str, patience: Duration) -> Result<Report, Error> {
        self.command(&format!("mark {name}"))?;
        match self.next_event(&format!("the counts of interval {name}"), patience)? {
            Event::Interval(report) if report.name == name => Ok(report),
            other => Err(Error::invalid("traffic client", format!("asked for {name}, it said {other:?}"))),
        }
    }

    /// Ends the run.
    pub fn stop(mut self, patience: Duration) -> Result<Outcome, Error> {
        self.command("stop")?;
        match self.next_event("the end of the traffic", patience)? {
            Event::Report { total, cpu_percent, .. } => Ok(Outcome { total, cpu_percent }),
            other => Err(Error::invalid("traffic client", format!("asked to stop, it said {other:?}"))),
        }
    }

    fn command(&mut self, line: &str) -> Result<(), Error> {
        let commands =
            self.commands.as_mut().ok_or_else(|| Error::invalid("traffic client", "it has no input"))?;
        writeln!(commands, "{line}").map_err(Error::io(format!("tell the traffic client to {line}")))
    }

    fn next_event(&self, what: &str, patience: Duration) -> Result<Event, Error> {
        self.events.recv_timeout(patience).map_err(|error| match error {
            RecvTimeoutError::Timeout => {
                Error::Timeout { what: what.into(), seconds: patience.as_secs_f64(), last: "nothing".into() }
            }
            RecvTimeoutError::Disconnected => {
                Error::invalid("traffic client", "it ended; its reason is above")
            }
        })
    }
}

impl Drop for RemoteClient {
    fn drop(&mut self) {
        // The end of its input ends it; what hangs is ended, and what has ended needs nothing.
        drop(self.commands.take());
        for _ in 0..300 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
