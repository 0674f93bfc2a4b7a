//! An AtomicFunction and its migrations as kubectl shows them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::Environment;
use super::kubectl::{count, feed_ok, get_json, kubectl, milliseconds, text, wait_condition};
use crate::Error;
use crate::process::wait_until;
use crate::report::Move;

const POLL: Duration = Duration::from_millis(200);
/// The cluster's name in the examples.
const EXAMPLE_CLUSTER: &str = "atomicnf";

/// A function that was applied.
#[derive(Debug, Clone)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its manifest, for this cluster.
    pub manifest: String,
}

impl Function {
    /// Applies an example, with its nodes' names turned into those of this cluster.
    pub fn apply(path: &Path, environment: &Environment) -> Result<Self, Error> {
        let file = path.display().to_string();
        let example = fs::read_to_string(path).map_err(Error::io(format!("read {file}")))?;
        let nodes = |cluster: &str| format!("kubernetes.io/hostname: {cluster}-");
        let manifest = example.replace(&nodes(EXAMPLE_CLUSTER), &nodes(&environment.cluster));
        let object: Value = serde_yaml::from_str(&manifest).map_err(|error| Error::invalid(&file, error))?;
        let function = Self { name: text(&object, "/metadata/name"), manifest };
        feed_ok("apply", &function.manifest)?;
        Ok(function)
    }

    /// The object as it is now.
    pub fn object(&self) -> Result<Value, Error> {
        get_json(&["get", "atomicfunction", &self.name])
    }

    /// Waits until every sub-function forwards.
    pub fn wait_ready(&self, patience: Duration) -> Result<(), Error> {
        wait_condition("atomicfunction", &self.name, "Ready", "True", patience).map(drop)
    }

    /// The entry of a sub-function in the status.
    pub fn sub_function(&self, name: &str) -> Result<Value, Error> {
        let object = self.object()?;
        let all = object.pointer("/status/subFunctions").and_then(Value::as_array);
        all.and_then(|all| all.iter().find(|each| each["name"] == name).cloned())
            .ok_or_else(|| Error::invalid(&self.name, format!("its status has no sub-function {name}")))
    }

    /// The node on which a sub-function is.
    pub fn node_of(&self, sub_function: &str) -> Result<String, Error> {
        Ok(text(&self.sub_function(sub_function)?, "/node"))
    }

    /// A worker on which a sub-function is not.
    pub fn other_worker(&self, sub_function: &str) -> Result<String, Error> {
        let here = self.node_of(sub_function)?;
        workers()?
            .into_iter()
            .find(|worker| *worker != here)
            .ok_or_else(|| Error::invalid("cluster", format!("it has no worker but {here}")))
    }

    /// Moves a sub-function as a user does, and answers the migration at its end, whatever that was.
    pub fn migrate(&self, sub_function: &str, node: &str) -> Result<Migration, Error> {
        let output = Command::new("kubectl")
            .args(["anf", "migrate", &self.name, sub_function, "--to", node, "-o", "json"])
            .stdin(Stdio::null())
            .output()
            .map_err(Error::io("start kubectl anf"))?;
        // It prints the migration when that failed as well, and then ends with another status.
        serde_json::from_slice(&output.stdout).map(Migration).map_err(|_| Error::Command {
            command: format!("kubectl anf migrate {} {sub_function} --to {node}", self.name),
            status: output.status.to_string(),
            output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    /// Creates a FunctionMigration without waiting.
    pub fn ask_migration(
        &self,
        name: &str,
        sub_function: &str,
        node: &str,
        deadline: &str,
    ) -> Result<(), Error> {
        let object = json!({
            "apiVersion": "atomicnf.dev/v1alpha1",
            "kind": "FunctionMigration",
            "metadata": {"name": name},
            "spec": {
                "functionName": self.name, "subFunction": sub_function, "targetNode": node, "deadline": deadline,
            },
        });
        feed_ok("create", &object.to_string())
    }
}

/// A FunctionMigration.
#[derive(Debug, Clone)]
pub struct Migration(pub Value);

impl Migration {
    /// Reads it.
    pub fn get(name: &str) -> Result<Self, Error> {
        get_json(&["get", "functionmigration", name]).map(Self)
    }

    /// Waits until it is in this phase or a later one.
    pub fn wait_phase(name: &str, phase: &str, patience: Duration) -> Result<Self, Error> {
        wait_until(&format!("phase {phase} of migration {name}"), patience, POLL, |last| {
            let migration = Self::get(name)?;
            *last = format!("{} {}", migration.phase(), migration.reason());
            Ok((migration.rank() >= rank(phase)).then_some(migration))
        })
    }

    /// Waits for its end.
    pub fn wait_end(name: &str, patience: Duration) -> Result<Self, Error> {
        Self::wait_phase(name, "Succeeded", patience)
    }

    /// Its phase.
    pub fn phase(&self) -> String {
        text(&self.0, "/status/phase")
    }

    /// Whether it succeeded.
    pub fn has_succeeded(&self) -> bool {
        self.phase() == "Succeeded"
    }

    /// Why it waits or failed: a word and a sentence.
    pub fn reason(&self) -> String {
        let of = |object: &str| {
            let at = |field: &str| text(&self.0, &format!("/status{object}/{field}"));
            format!("{}: {}", at("reason"), at("message"))
        };
        let failure = of("/failure");
        if failure == ": " { of("") } else { failure }
    }

    fn rank(&self) -> usize {
        rank(&self.phase())
    }

    /// As a row of the report; number, client counts and total time are the caller's.
    pub fn as_move(&self) -> Move {
        let object = &self.0;
        Move {
            sub_function: text(object, "/spec/subFunction"),
            from: text(object, "/status/source/node"),
            to: text(object, "/status/target/node"),
            gap_ms: milliseconds(object, "/status/downtime/measured"),
            baseline_ms: milliseconds(object, "/status/downtime/baseline"),
            lost: count(object, "/status/packets/lost"),
            duplicated: count(object, "/status/packets/duplicated"),
            reordered: count(object, "/status/packets/reordered"),
            parked: count(object, "/status/packets/parked"),
            flows: count(object, "/status/flowsMoved"),
            breakdown: object.pointer("/status/downtime/breakdown").cloned().unwrap_or_default(),
            failure: self.verdict(),
            ..Move::default()
        }
    }

    /// Empty if it succeeded and was measured: a gap that nobody measured is no short gap.
    fn verdict(&self) -> String {
        if !self.has_succeeded() {
            return format!("{} {}", self.phase(), self.reason());
        }
        let measured = self.0.pointer("/status/downtime/measured").is_some();
        if measured { String::new() } else { "it reports no measured downtime".into() }
    }
}

/// Phases in their order; the three ends count alike.
fn rank(phase: &str) -> usize {
    const ORDER: [&str; 6] = ["Pending", "Scheduling", "Preparing", "Syncing", "CuttingOver", "Finishing"];
    match phase {
        "Succeeded" | "Failed" | "Aborted" => ORDER.len() + 1,
        _ => ORDER.iter().position(|each| *each == phase).map_or(0, |at| at + 1),
    }
}

/// The nodes that carry pods.
pub fn workers() -> Result<Vec<String>, Error> {
    let names = kubectl(&["get", "nodes", "-l", "!node-role.kubernetes.io/control-plane", "-o", "name"])?;
    Ok(names.lines().map(|name| name.trim_start_matches("node/").to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migration(status: Value) -> Migration {
        Migration(json!({"spec": {"subFunction": "nat"}, "status": status}))
    }

    #[test]
    fn a_migration_becomes_a_row() {
        let row = migration(json!({
            "phase": "Succeeded", "source": {"node": "a"}, "target": {"node": "b"}, "flowsMoved": 1000,
            "downtime": {"measured": "840us", "baseline": "0.2ms"}, "packets": {"parked": 4, "lost": 0},
        }))
        .as_move();
        assert_eq!((row.from.as_str(), row.to.as_str(), row.flows, row.parked), ("a", "b", 1000, 4));
        assert!((row.gap_ms - 0.84).abs() < 1e-9);
        assert_eq!(row.failure, "");
    }

    #[test]
    fn a_failed_or_unmeasured_migration_is_no_success() {
        let failed =
            json!({"phase": "Failed", "failure": {"reason": "StateStoreDown", "message": "no answer"}});
        assert_eq!(migration(failed).as_move().failure, "Failed StateStoreDown: no answer");
        assert_ne!(migration(json!({"phase": "Succeeded"})).as_move().failure, "");
    }

    #[test]
    fn every_end_comes_after_every_phase() {
        assert!(rank("Aborted") > rank("Finishing") && rank("Failed") == rank("Succeeded"));
        assert!(rank("Pending") > rank(""));
    }
}
