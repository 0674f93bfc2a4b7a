//! Programs that a test starts: each is stopped when its handle goes, and dies with the test program itself.
//!
//! Nothing is ever stopped by name: only what a handle stands for.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::Error;

const STOP_PATIENCE: Duration = Duration::from_secs(5);
const LOG_TAIL_BYTES: usize = 2000;

static INTERRUPTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// From now on SIGINT and SIGTERM only ask the program to end: [`wait_until`] fails, and what was started is stopped
/// on the way out.
///
/// Handlers, not a blocked mask: children would inherit the mask and never hear that they are asked to end.
pub fn end_orderly_on_signals() -> Result<(), Error> {
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, Arc::clone(&INTERRUPTED)).map_err(Error::io("handle signals"))?;
    }
    Ok(())
}

/// Whether the user wants the program to end.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// A command that dies with the thread that starts it, whatever way that ends.
pub fn bound_to_us(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Runs a command to its end and answers what it printed.
pub fn run(command: &mut Command) -> Result<String, Error> {
    let output = command.stdin(Stdio::null()).output().map_err(Error::io(describe(command)))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    Err(Error::Command {
        command: describe(command),
        status: output.status.to_string(),
        output: tail(&format!("{stdout}{}", String::from_utf8_lossy(&output.stderr))).trim().to_owned(),
    })
}

/// Asks again and again until the answer is `Ok(Some(_))`; an `Err` ends it. The text says what was seen last.
pub fn wait_until<T>(
    what: &str,
    patience: Duration,
    interval: Duration,
    mut ask: impl FnMut(&mut String) -> Result<Option<T>, Error>,
) -> Result<T, Error> {
    let started = Instant::now();
    let mut last = String::from("nothing");
    loop {
        if let Some(answer) = ask(&mut last)? {
            return Ok(answer);
        }
        if interrupted() {
            return Err(Error::invalid(what, "interrupted"));
        }
        if started.elapsed() > patience {
            return Err(Error::Timeout { what: what.into(), seconds: patience.as_secs_f64(), last });
        }
        thread::sleep(interval);
    }
}

/// A program that runs beside the test.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it; what it prints goes to `log`.
    pub fn start(name: impl Into<String>, command: &mut Command, log: &Path) -> Result<Self, Error> {
        let name = name.into();
        let open = || File::options().create(true).append(true).open(log);
        let (output, errors) = (open(), open());
        let problem = || Error::io(format!("open {}", log.display()));
        command.stdin(Stdio::null()).stdout(output.map_err(problem())?).stderr(errors.map_err(problem())?);
        let child = command.spawn().map_err(Error::io(format!("start {name}: {}", describe(command))))?;
        Ok(Self { name, child, log: log.to_owned() })
    }

    /// The name given at the start.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails, with the end of the log, if it has ended.
    pub fn check_running(&mut self) -> Result<(), Error> {
        match self.child.try_wait().map_err(Error::io(format!("look after {}", self.name)))? {
            None => Ok(()),
            Some(status) => Err(Error::Command {
                command: self.name.clone(),
                status: status.to_string(),
                output: self.log_tail(),
            }),
        }
    }

    /// The end of what it printed.
    pub fn log_tail(&self) -> String {
        tail(&std::fs::read_to_string(&self.log).unwrap_or_default()).to_owned()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        let id = i32::try_from(self.child.id()).map_err(|error| Error::invalid(&self.name, error))?;
        kill(Pid::from_raw(id), signal).map_err(Error::errno(format!("send {signal} to {}", self.name)))
    }

    /// Asks it to end, and ends it if it does not.
    pub fn stop(mut self) {
        self.end(STOP_PATIENCE);
    }

    /// Ends it at once, as a crash does.
    pub fn kill(mut self) {
        self.end(Duration::ZERO);
    }

    fn end(&mut self, patience: Duration) {
        let started = Instant::now();
        if !patience.is_zero() && self.signal(Signal::SIGTERM).is_ok() {
            while started.elapsed() < patience && matches!(self.child.try_wait(), Ok(None)) {
                thread::sleep(Duration::from_millis(5));
            }
        }
        // Both fail only for a child that has ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn tail(text: &str) -> &str {
    let mut from = text.len().saturating_sub(LOG_TAIL_BYTES);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_reported_with_its_line_and_output() {
        let error = run(Command::new("sh").args(["-c", "echo why >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.contains("sh -c echo why") && error.ends_with("why"), "{error}");
    }

    #[test]
    fn a_wait_in_vain_says_what_was_seen_last() {
        let ask = |last: &mut String| -> Result<Option<()>, Error> {
            *last = "half".into();
            Ok(None)
        };
        let error =
            wait_until("the whole", Duration::from_millis(5), Duration::from_millis(1), ask).unwrap_err();
        assert_eq!(error.to_string(), "the whole did not happen within 0.0 s; last seen: half");
    }

    #[test]
    fn a_tail_never_cuts_a_character() {
        let text = "ä".repeat(LOG_TAIL_BYTES);
        assert!(tail(&format!("x{text}")).chars().all(|c| c == 'ä'));
    }
}
