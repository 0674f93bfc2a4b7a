//! Network namespaces with one interface each on a common bridge: a machine room in one kernel.
//!
//! Every name carries the id of this process, so labs run side by side, and what a killed run left behind is found
//! and removed by the next.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use nix::sched::{CloneFlags, setns};

use crate::Error;
use crate::process::{bound_to_us, run};

const PREFIX: &str = "anflab";
const FOLDER: &str = "/run/netns";

/// Distinguishes the rooms of one process.
static ROOMS: AtomicU32 = AtomicU32::new(0);

/// A namespace, deleted with its handle.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    fn create(name: String) -> Result<Self, Error> {
        run(Command::new("ip").args(["netns", "add", &name]))?;
        let namespace = Self { name };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Its name, for `ip netns exec`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that runs in it.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = bound_to_us("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs `ip` on it.
    pub fn ip(&self, arguments: &[&str]) -> Result<String, Error> {
        run(Command::new("ip").args(["-n", &self.name]).args(arguments))
    }

    /// Runs a piece of work on a thread inside it.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
        let doing = format!("enter the namespace {}", self.name);
        let file = File::open(Path::new(FOLDER).join(&self.name)).map_err(Error::io(doing.clone()))?;
        let entered = thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(&file, CloneFlags::CLONE_NEWNET).map_err(Error::errno(doing.clone()))?;
                work()
            });
            thread.join()
        });
        entered.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The next run removes what could not be removed now.
        let _ = run(Command::new("ip").args(["netns", "delete", &self.name]));
    }
}

/// A bridge in a namespace of its own, and namespaces joined to it.
#[derive(Debug)]
pub struct Room {
    id: String,
    hosts: u32,
    switch: Namespace,
}

impl Room {
    /// Builds the bridge; `address` (with prefix length) is its own.
    pub fn open(address: &str) -> Result<Self, Error> {
        remove_leftovers();
        let id = format!("{PREFIX}{}-{}", std::process::id(), ROOMS.fetch_add(1, Ordering::Relaxed));
        let switch = Namespace::create(format!("{id}-switch"))?;
        switch.ip(&["link", "add", "lan", "type", "bridge"])?;
        switch.ip(&["address", "add", address, "dev", "lan"])?;
        switch.ip(&["link", "set", "lan", "up"])?;
        Ok(Self { id, hosts: 0, switch })
    }

    /// The namespace of the bridge.
    pub fn switch(&self) -> &Namespace {
        &self.switch
    }

    /// Adds a namespace whose `eth0` is on the bridge and has `address` (with prefix length).
    pub fn add(&mut self, name: &str, address: &str) -> Result<Namespace, Error> {
        let namespace = Namespace::create(format!("{}-{name}", self.id))?;
        self.hosts += 1;
        let port = format!("port{}", self.hosts);
        self.switch.ip(&[
            "link",
            "add",
            &port,
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            namespace.name(),
        ])?;
        self.switch.ip(&["link", "set", &port, "master", "lan", "up"])?;
        namespace.ip(&["address", "add", address, "dev", "eth0"])?;
        namespace.ip(&["link", "set", "eth0", "up"])?;
        Ok(namespace)
    }
}

/// Makes an interface behave like a wire: frames as large as the MTU, with complete checksums.
pub fn switch_offloads_off(namespace: &Namespace) -> Result<(), Error> {
    let features = ["-K", "eth0", "tso", "off", "gso", "off", "gro", "off", "tx", "off"];
    run(namespace.command("ethtool").args(features)).map(drop)
}

/// Deletes namespaces whose process is gone.
fn remove_leftovers() {
    let Ok(names) = fs::read_dir(FOLDER) else { return };
    for name in names.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner.to_string()).exists()) {
            // Somebody else removed it at the same time.
            let _ = run(Command::new("ip").args(["netns", "delete", &name]));
        }
    }
}
