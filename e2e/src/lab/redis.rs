//! A real redis-server that keeps nothing on a disk.

use std::path::Path;

use nix::sys::signal::Signal;

use super::hosts::SWITCH_ADDRESS;
use crate::Error;
use crate::netns::Namespace;
use crate::process::Process;

const PORT: &str = "6379";

/// Where the sidecars find it.
pub(super) const URL: &str = "redis://10.77.0.1:6379";

/// The lab's state store.
#[derive(Debug)]
pub struct Redis {
    process: Process,
}

impl Redis {
    pub(super) fn start(switch: &Namespace, work: &Path) -> Result<Self, Error> {
        let mut command = switch.command("redis-server");
        command.args(["--bind", SWITCH_ADDRESS, "--port", PORT, "--protected-mode", "no"]);
        command.args(["--save", "", "--appendonly", "no", "--daemonize", "no"]).current_dir(work);
        Ok(Self { process: Process::start("redis-server", &mut command, &work.join("redis.log"))? })
    }

    /// Stops it in its tracks: connections stand and nothing is answered.
    pub fn freeze(&self) -> Result<(), Error> {
        self.process.signal(Signal::SIGSTOP)
    }

    /// Lets it go on.
    pub fn thaw(&self) -> Result<(), Error> {
        self.process.signal(Signal::SIGCONT)
    }
}
