//! What the tests share: the example on the cluster, and a client whose counts have to stay perfect.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anf_e2e::Error;
use anf_e2e::cluster::hosts::Traffic;
use anf_e2e::cluster::kubectl::{feed, kubectl, text, wait_condition};
use anf_e2e::cluster::{Environment, Function, Hosts, Migration};
use anf_e2e::process::wait_until;

/// The sub-function that moves.
pub(crate) const MOVING: &str = "nat";
const FLOWS: u32 = 1000;
const PACKETS_PER_SECOND: u32 = 2000;
const TCP_MBIT: f64 = 10.0;
const READY_PATIENCE: Duration = Duration::from_secs(180);
const VERDICT_PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) environment: Environment,
    pub(crate) function: Function,
    traffic: Option<Traffic>,
    hosts: Hosts,
}

impl World {
    pub(crate) fn build() -> Result<Self, Error> {
        let environment = Environment::read()?;
        let function = Function::apply(Path::new("examples/nat.yaml"), &environment)?;
        function.wait_ready(READY_PATIENCE)?;
        let hosts = Hosts::start(&environment, "anf-cluster-test")?;
        Ok(Self { environment, function, traffic: None, hosts })
    }

    /// Every test begins with a function that is ready, and traffic that has nothing to complain of.
    pub(crate) fn begin(&mut self, name: &str) -> Result<(), Error> {
        self.function.wait_ready(READY_PATIENCE)?;
        if self.traffic.is_none() {
            self.traffic = Some(self.hosts.start_traffic(FLOWS, PACKETS_PER_SECOND, TCP_MBIT)?);
            thread::sleep(Duration::from_secs(2));
        }
        self.judge(&format!("before {name}"))
    }

    /// For tests that cost packets: a client of its own for what comes after, with nothing to complain of.
    pub(crate) fn begin_anew(&mut self, name: &str) -> Result<(), Error> {
        self.traffic = None;
        self.begin(name)
    }

    /// Fails unless nothing was lost, doubled, reordered or altered since the last call and TCP stands. A client with
    /// a complaint is replaced, so that one failure does not make all others.
    pub(crate) fn judge(&mut self, interval: &str) -> Result<(), Error> {
        let Some(traffic) = &mut self.traffic else {
            return Err(Error::invalid("client", "it does not run"));
        };
        // TCP has to have had the time to bring something.
        thread::sleep(Duration::from_millis(300));
        let judged = traffic.mark(&interval.replace(' ', "-")).and_then(|counts| {
            if counts.is_perfect() { Ok(()) } else { Err(Error::invalid("client", format!("{counts:?}"))) }
        });
        if judged.is_err() {
            self.traffic = None;
        }
        judged
    }

    /// Moves the example's sub-function, which has to succeed.
    pub(crate) fn move_once(&mut self) -> Result<Migration, Error> {
        let node = self.function.other_worker(MOVING)?;
        let migration = self.function.migrate(MOVING, &node)?;
        if !migration.has_succeeded() {
            return Err(Error::invalid("migration", migration.as_move().failure));
        }
        Ok(migration)
    }

    /// Asks for a move in a fresh FunctionMigration of this name.
    pub(crate) fn ask_move(&self, name: &str, node: &str, deadline: &str) -> Result<(), Error> {
        kubectl(&["delete", "functionmigration", name, "--ignore-not-found"])?;
        self.function.ask_migration(name, MOVING, node, deadline)
    }

    pub(crate) fn show(&self) {
        for what in ["atomicfunctions,functionmigrations,pods", "events"] {
            // For the eyes only.
            let _ = Command::new("kubectl").args(["get", what, "-o", "wide"]).status();
        }
    }
}

/// Applies a manifest that is to be refused, and answers what its author is told: at once, or in the condition.
pub(crate) fn refusal(name: &str, manifest: &str) -> Result<String, Error> {
    let output = feed("apply", manifest)?;
    let told = if output.status.success() {
        wait_condition("atomicfunction", name, "Accepted", "False", VERDICT_PATIENCE)
            .map(|(reason, message)| format!("{reason}: {message}"))
    } else {
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    kubectl(&["delete", "atomicfunction", name, "--ignore-not-found", "--wait=false"])?;
    told
}

/// Fails unless the text contains all of these.
pub(crate) fn expect_words(told: &str, words: &[&str]) -> Result<(), Error> {
    match words.iter().find(|word| !told.contains(**word)) {
        None => Ok(()),
        Some(word) => Err(Error::invalid("message", format!("it lacks {word:?}: {told}"))),
    }
}

/// Waits for the first pod with these labels, and answers its name.
pub(crate) fn wait_pod(labels: &str, patience: Duration) -> Result<String, Error> {
    wait_until(&format!("a pod with {labels}"), patience, Duration::from_millis(50), |_| {
        let names = kubectl(&["get", "pods", "-l", labels, "-o", "name"])?;
        Ok(names.lines().next().map(|name| name.trim_start_matches("pod/").to_owned()))
    })
}

/// The end of a migration that must not have succeeded: what it says.
pub(crate) fn expect_failure(name: &str, patience: Duration) -> Result<String, Error> {
    let migration = Migration::wait_end(name, patience)?;
    let told = text(&migration.0, "/status/failure/message");
    if migration.has_succeeded() {
        return Err(Error::invalid(name, "it succeeded"));
    }
    if told.is_empty() {
        return Err(Error::invalid(name, format!("it is {} without a message", migration.phase())));
    }
    Ok(format!("{}: {told}", text(&migration.0, "/status/failure/reason")))
}
