//! Processes that keep every core busy, at the same priority as everything else.

use std::thread;

use crate::Error;
use crate::process::{Process, bound_to_us};

/// One busy loop for each core; they end with the handle.
#[derive(Debug)]
pub struct Hogs(#[allow(dead_code, reason = "held for its end")] Vec<Process>);

impl Hogs {
    /// Starts them.
    pub fn start(log: &std::path::Path) -> Result<Self, Error> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        (0..cores)
            .map(|core| {
                let mut command = bound_to_us("sh");
                command.args(["-c", "while :; do :; done"]);
                Process::start(format!("hog {core}"), &mut command, log)
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}
