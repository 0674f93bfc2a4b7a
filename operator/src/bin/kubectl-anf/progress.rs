//! A migration as lines: each phase as it begins, and one closing line with what it cost.
//!
//! Pure: the same sequence of objects gives the same lines. A watch may skip states; phases that were missed are told
//! from `status.phaseTransitions`.

use anf_crds::{Endpoint, FunctionMigration, FunctionMigrationStatus, MigrationPhase, MigrationResult};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use crate::status::way;
use crate::text;

/// Remembers what has been told of one migration.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    begun: bool,
    phases: usize,
    detail: String,
}

impl Teller {
    /// The lines that are new in this state of the migration.
    pub(crate) fn tell(&mut self, migration: &FunctionMigration) -> Vec<String> {
        let status = migration.status.clone().unwrap_or_default();
        let mut lines = Vec::new();
        if !self.begun {
            self.begun = true;
            lines.push(format!("{}: {}", migration.name_any(), what(migration)));
        }
        let start = began(migration, &status);
        for transition in status.phase_transitions.iter().skip(self.phases) {
            let seconds =
                start.map_or(0.0, |start| transition.at.0.duration_since(start).as_secs_f64().max(0.0));
            let note = remark(transition.phase, &status);
            lines.push(
                format!("{seconds:7.1} s  {:<11} {note}", transition.phase.as_str()).trim_end().to_owned(),
            );
        }
        let told = self.phases;
        self.phases = self.phases.max(status.phase_transitions.len());
        let detail = waiting(&status);
        if detail != self.detail {
            // A phase that has just been told has its remark already.
            if !detail.is_empty() && told == self.phases {
                lines.push(format!("           {detail}"));
            }
            self.detail = detail;
        }
        lines
    }
}

/// How it ended, if it has.
pub(crate) fn result(migration: &FunctionMigration) -> Option<MigrationResult> {
    match migration.status.as_ref()?.phase? {
        MigrationPhase::Succeeded => Some(MigrationResult::Succeeded),
        MigrationPhase::Failed => Some(MigrationResult::Failed),
        MigrationPhase::Aborted => Some(MigrationResult::Aborted),
        _ => None,
    }
}

/// The line that sums up a migration that has ended.
pub(crate) fn closing(migration: &FunctionMigration) -> String {
    let status = migration.status.clone().unwrap_or_default();
    match result(migration) {
        Some(MigrationResult::Succeeded) if !status.pieces.is_empty() => moved_whole(migration, &status),
        Some(MigrationResult::Succeeded) => moved(migration, &status),
        Some(MigrationResult::Failed) => unmoved(migration, &status, "failed"),
        Some(MigrationResult::Aborted) => unmoved(migration, &status, "aborted"),
        None => format!("{} is under way", migration.name_any()),
    }
}

fn moved(migration: &FunctionMigration, status: &FunctionMigrationStatus) -> String {
    let mut facts = Vec::new();
    facts.extend(status.downtime.as_ref().map(|downtime| {
        let mut frame = vec![format!("baseline {}", text::gap(downtime.baseline))];
        if downtime.budget != anf_crds::Duration::default() {
            let word = if downtime.within_budget { "budget" } else { "OVER the budget of" };
            frame.push(format!("{word} {}", downtime.budget));
        }
        format!("gap {} ({})", text::gap(downtime.measured), frame.join(", "))
    }));
    facts.extend(status.packets.as_ref().map(|packets| {
        let counts =
            [("lost", packets.lost), ("duplicated", packets.duplicated), ("reordered", packets.reordered)];
        counts.map(|(name, n)| format!("{name} {}", text::count(n))).join(", ")
    }));
    facts.extend(status.flows_moved.map(|flows| text::counted(flows, "flow")));
    let facts = if facts.is_empty() { String::new() } else { format!(": {}", facts.join(", ")) };
    format!("moved {}{facts}", what(migration))
}

fn moved_whole(migration: &FunctionMigration, status: &FunctionMigrationStatus) -> String {
    let moved = status.pieces.iter().filter(|piece| piece.phase == MigrationPhase::Succeeded).count();
    format!("moved {moved} of {} sub-functions of {}", status.pieces.len(), migration.spec.function_name)
}

fn unmoved(migration: &FunctionMigration, status: &FunctionMigrationStatus, word: &str) -> String {
    let cause = match &status.failure {
        Some(failure) => {
            format!(" in phase {}: {}: {}", failure.phase.as_str(), failure.reason, failure.message)
        }
        None => status.message.as_ref().map_or(String::new(), |message| format!(": {message}")),
    };
    let after = match status.source.as_ref().and_then(|source| source.node.as_deref()) {
        Some(node) => format!("; it still runs on {node}"),
        None => String::new(),
    };
    format!("{word}: {}{cause}{after}", subject(migration))
}

fn subject(migration: &FunctionMigration) -> String {
    let spec = &migration.spec;
    match spec.sub_function.as_deref() {
        Some(sub) if !sub.is_empty() => format!("{}/{sub}", spec.function_name),
        _ => spec.function_name.clone(),
    }
}

/// `edge-nat/nat: worker -> worker2`, as far as it is known.
fn what(migration: &FunctionMigration) -> String {
    let node = |end: &Option<Endpoint>| end.as_ref().and_then(|end| end.node.clone());
    let status = migration.status.clone().unwrap_or_default();
    let target = node(&status.target).or_else(|| migration.spec.target_node.clone());
    match (node(&status.source), target) {
        (None, None) => subject(migration),
        (None, Some(to)) => format!("{} to {to}", subject(migration)),
        (from, to) => format!("{} {}", subject(migration), way(from.as_deref(), to.as_deref())),
    }
}

fn began(migration: &FunctionMigration, status: &FunctionMigrationStatus) -> Option<Timestamp> {
    // Creation is kept in whole seconds, so the first phase is the better start.
    status.phase_transitions.first().map(|t| t.at.0).or(migration
        .metadata
        .creation_timestamp
        .as_ref()
        .map(|t| t.0))
}

/// What is worth saying beside the phase.
fn remark(phase: MigrationPhase, status: &FunctionMigrationStatus) -> String {
    match phase {
        MigrationPhase::Preparing => status
            .target
            .as_ref()
            .and_then(|t| t.pod.as_ref())
            .map_or(String::new(), |pod| format!("pod {pod}")),
        MigrationPhase::Syncing if status.phase == Some(phase) => synced(status),
        MigrationPhase::Pending | MigrationPhase::Scheduling if status.phase == Some(phase) => {
            status.message.clone().unwrap_or_default()
        }
        _ => String::new(),
    }
}

/// What a migration waits for in the present phase.
fn waiting(status: &FunctionMigrationStatus) -> String {
    match status.phase {
        Some(MigrationPhase::Syncing) => synced(status),
        Some(MigrationPhase::Pending | MigrationPhase::Scheduling | MigrationPhase::Preparing) => {
            status.message.clone().unwrap_or_default()
        }
        _ => String::new(),
    }
}

fn synced(status: &FunctionMigrationStatus) -> String {
    let Some(progress) = &status.progress else { return String::new() };
    let eta = progress.eta.map_or(String::new(), |eta| format!(", about {eta}"));
    format!("{} %, {}{eta}", progress.percent, text::counted(progress.flows_total, "flow"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migration(status: &str) -> FunctionMigration {
        let manifest = "apiVersion: atomicnf.dev/v1alpha1\nkind: FunctionMigration\n\
                        metadata: {name: edge-nat-nat-x7k2p, namespace: default}\n\
                        spec: {functionName: edge-nat, subFunction: nat, targetNode: worker2}\n";
        serde_yaml::from_str(&format!("{manifest}{status}")).expect("a manifest")
    }

    const PHASES: [&str; 7] =
        ["Pending", "Scheduling", "Preparing", "Syncing", "CuttingOver", "Finishing", "Succeeded"];

    fn reached(last: usize, more: &str) -> FunctionMigration {
        let transitions: Vec<String> = PHASES[..=last]
            .iter()
            .enumerate()
            .map(|(i, phase)| format!("  - {{phase: {phase}, at: '2026-01-01T00:00:{:02}.500000Z'}}\n", i))
            .collect();
        migration(&format!(
            "status:\n  phase: {}\n  phaseTransitions:\n{}{more}",
            PHASES[last],
            transitions.concat()
        ))
    }

    const DONE: &str = "  source: {node: worker, pod: a, epoch: 1}
  target: {node: worker2, pod: anf-edge-nat-nat-4c5d6, epoch: 2}
  downtime: {measured: 0.84ms, baseline: 0.31ms, budget: 10ms, withinBudget: true}
  packets: {parked: 12, lost: 0, duplicated: 0, reordered: 0}
  flowsMoved: 1204
";

    #[test]
    fn a_move_is_told_phase_by_phase_and_each_phase_once() {
        let mut teller = Teller::default();
        assert_eq!(teller.tell(&migration("")), ["edge-nat-nat-x7k2p: edge-nat/nat to worker2"]);
        assert_eq!(teller.tell(&reached(0, "")), ["    0.0 s  Pending"]);
        assert_eq!(teller.tell(&reached(0, "")), [""; 0]);
        let syncing = |percent| {
            reached(3, &format!("  progress: {{flowsTotal: 1204, flowsSynced: 0, percent: {percent}}}\n"))
        };
        assert_eq!(
            teller.tell(&syncing(10)),
            ["    1.0 s  Scheduling", "    2.0 s  Preparing", "    3.0 s  Syncing     10 %, 1,204 flows"]
        );
        assert_eq!(teller.tell(&syncing(73)), ["           73 %, 1,204 flows"]);
        assert_eq!(
            teller.tell(&reached(6, DONE)),
            ["    4.0 s  CuttingOver", "    5.0 s  Finishing", "    6.0 s  Succeeded"]
        );
    }

    #[test]
    fn what_a_migration_waits_for_is_told_once() {
        let mut teller = Teller::default();
        let waits = reached(1, "  message: 0/3 nodes are available\n");
        assert_eq!(teller.tell(&waits)[2], "    1.0 s  Scheduling  0/3 nodes are available");
        assert_eq!(teller.tell(&waits), [""; 0]);
    }

    #[test]
    fn a_success_ends_with_its_cost() {
        assert_eq!(
            closing(&reached(6, DONE)),
            "moved edge-nat/nat worker -> worker2: gap 0.84 ms (baseline 0.31 ms, budget 10ms), \
             lost 0, duplicated 0, reordered 0, 1,204 flows"
        );
    }

    #[test]
    fn a_broken_budget_is_said_aloud() {
        let over = DONE.replace("withinBudget: true", "withinBudget: false").replace("0.84ms", "12ms");
        assert!(
            closing(&reached(6, &over)).contains("gap 12.00 ms (baseline 0.31 ms, OVER the budget of 10ms)")
        );
    }

    #[test]
    fn a_failure_says_why_and_where_it_still_runs() {
        let failed = migration(
            "status:
  phase: Failed
  source: {node: worker}
  failure: {reason: TargetUnschedulable, message: 0/3 nodes are available, phase: Scheduling}
",
        );
        assert_eq!(result(&failed), Some(MigrationResult::Failed));
        assert_eq!(
            closing(&failed),
            "failed: edge-nat/nat in phase Scheduling: TargetUnschedulable: 0/3 nodes are available; it still runs on worker"
        );
    }

    #[test]
    fn a_whole_function_counts_its_pieces() {
        let whole = migration(
            "status:
  phase: Succeeded
  pieces: [{subFunction: nat, phase: Succeeded}, {subFunction: egress, phase: Failed}]
",
        );
        assert_eq!(closing(&whole), "moved 1 of 2 sub-functions of edge-nat");
    }
}
