//! Last stage: records what was decided, in the status, in events and in metrics.
//!
//! [`next_status`] and [`story`] are pure; [`record`] writes, and only what has changed. A phase that passed between
//! two looks is recorded as well, so that the story has no holes.

use std::time::Duration;

use anf_crds::names::{self as labels, migration_condition as condition};
use anf_crds::{
    Breakdown, Downtime, FunctionMigration, FunctionMigrationStatus, MigrationPhase, Packets,
    PhaseTransition, Progress,
};
use anf_sidecar::control::{self, HandoverStatus};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Resource;
use kube::api::{Api, Patch, PatchParams};

use super::machine::{Decision, View};
use super::observe::Observed;
use crate::conditions::{self, Is};
use crate::error::{Result, Tried};
use crate::function::{Context, Identity};

/// Phases in their order, for those that pass between two looks.
const ORDER: [MigrationPhase; 7] = [
    MigrationPhase::Pending,
    MigrationPhase::Scheduling,
    MigrationPhase::Preparing,
    MigrationPhase::Syncing,
    MigrationPhase::CuttingOver,
    MigrationPhase::Finishing,
    MigrationPhase::Succeeded,
];

/// Records it, and returns the new status.
///
/// # Errors
/// If the API server refuses or cannot be reached.
pub async fn record(
    id: &Identity,
    migration: &FunctionMigration,
    observed: &Observed<'_>,
    decision: Decision,
    cx: &Context,
) -> Result<FunctionMigrationStatus> {
    let view = &observed.view;
    let old = &view.status;
    let mut new = next_status(view, &decision);
    new.observed_generation = migration.metadata.generation;
    if migration.status.as_ref() == Some(&new) {
        return Ok(new);
    }
    if let Some(case) = &observed.case {
        adopt(id, migration, case, cx).await?;
    }
    write(id, &new, cx).await?;
    if old.phase != new.phase {
        cx.metrics.phase(old.phase.unwrap_or_default(), view.in_phase());
        tracing::info!(
            migration = %id.name, namespace = %id.namespace, phase = new.phase.unwrap_or_default().as_str(),
            reason = new.reason.as_deref().unwrap_or_default(), message = new.message.as_deref().unwrap_or_default(),
            "phase"
        );
    }
    if new.phase.is_some_and(MigrationPhase::is_over) && !migration.spec.plan {
        let ended = FunctionMigration { status: Some(new.clone()), ..migration.clone() };
        cx.metrics.ended(&ended);
    }
    let about = migration.object_ref(&());
    let related = observed.case.as_ref().map(|case| function_reference(id, case));
    for told in story(migration, old, &new) {
        if told.warning {
            cx.events.warning(&about, related.as_ref(), told.reason, &told.note).await;
        } else {
            cx.events.normal(&about, related.as_ref(), told.reason, &told.note).await;
        }
    }
    Ok(new)
}

/// Writes the status of a migration.
///
/// # Errors
/// If the API server refuses or cannot be reached.
pub async fn write(id: &Identity, status: &FunctionMigrationStatus, cx: &Context) -> Result<()> {
    let api: Api<FunctionMigration> = Api::namespaced(cx.clients.direct.clone(), &id.namespace);
    let patch = serde_json::json!({
        "apiVersion": FunctionMigration::api_version(&()), "kind": FunctionMigration::kind(&()), "status": status
    });
    let params = PatchParams::apply(labels::FIELD_MANAGER).force();
    api.patch_status(&id.name, &params, &Patch::Apply(patch))
        .await
        .map(drop)
        .tried(|| format!("write the status of migration {}/{}", id.namespace, id.name))
}

/// Makes the function the owner of the record, so that it goes when the function goes.
async fn adopt(
    id: &Identity,
    migration: &FunctionMigration,
    case: &super::case::Case,
    cx: &Context,
) -> Result<()> {
    let owners = migration.metadata.owner_references.clone().unwrap_or_default();
    if owners.iter().any(|owner| owner.uid == case.function.uid) {
        return Ok(());
    }
    let mut owner = case.owner.clone();
    (owner.controller, owner.block_owner_deletion) = (None, None);
    let api: Api<FunctionMigration> = Api::namespaced(cx.clients.direct.clone(), &id.namespace);
    let patch = serde_json::json!({"metadata": {
        "ownerReferences": owners.into_iter().chain([owner]).collect::<Vec<_>>(),
        "labels": {labels::LABEL_FUNCTION: case.function.name}
    }});
    api.patch(&id.name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .map(drop)
        .tried(|| format!("make {} the owner of migration {}/{}", case.function.name, id.namespace, id.name))
}

fn function_reference(id: &Identity, case: &super::case::Case) -> ObjectReference {
    ObjectReference {
        api_version: Some(case.owner.api_version.clone()),
        kind: Some(case.owner.kind.clone()),
        name: Some(case.function.name.clone()),
        namespace: Some(id.namespace.clone()),
        uid: Some(case.function.uid.clone()),
        ..ObjectReference::default()
    }
}

/// The status after a decision. Pure.
pub fn next_status(view: &View<'_>, decision: &Decision) -> FunctionMigrationStatus {
    let mut status = view.status.clone();
    let (from, to) = (status.phase, decision.phase);
    let now = MicroTime(view.now);
    for phase in
        passed(from, to, status.reason.as_deref() == Some("Queued") && decision_leaves_queue(decision))
    {
        status.phase_transitions.push(PhaseTransition { phase, at: now.clone() });
    }
    status.phase = Some(to);
    let said = decision.failure.as_ref().map(|f| (f.reason.clone(), f.message.clone()));
    let said = said.or_else(|| decision.why.as_ref().map(|why| (why.reason.clone(), why.message.clone())));
    (status.reason, status.message) = said.unzip();
    status.source = decision.source.clone().or(status.source);
    status.target = decision.target.clone().or(status.target);
    if view.spec.plan {
        status.plan = decision.plan.clone().or(status.plan);
    }
    status.failure = decision.failure.clone();
    if to.is_over() && status.finished_at.is_none() {
        status.finished_at = Some(now);
    }
    measured(&mut status, view);
    set_conditions(&mut status, view);
    status
}

fn decision_leaves_queue(decision: &Decision) -> bool {
    decision.why.as_ref().is_none_or(|why| why.reason != "Queued")
}

/// The phases that begin now: the new one, and those between that nobody saw.
fn passed(from: Option<MigrationPhase>, to: MigrationPhase, leaves_queue: bool) -> Vec<MigrationPhase> {
    if from == Some(to) {
        // Time in the queue is not time of the migration.
        return if leaves_queue { vec![to] } else { Vec::new() };
    }
    let Some(end) = ORDER.iter().position(|phase| *phase == to) else {
        return if from.is_none() { vec![MigrationPhase::Pending, to] } else { vec![to] };
    };
    let begin = from.and_then(|from| ORDER.iter().position(|phase| *phase == from)).map_or(0, |at| at + 1);
    let is_plan = begin <= 1 && to == MigrationPhase::Succeeded;
    if is_plan { vec![to] } else { ORDER.get(begin..=end).unwrap_or_default().to_vec() }
}

/// What sidecars measured.
fn measured(status: &mut FunctionMigrationStatus, view: &View<'_>) {
    let told: Vec<&HandoverStatus> =
        [&view.on_source, &view.on_target].into_iter().filter_map(super::machine::Told::status).collect();
    if told.is_empty() {
        return;
    }
    let total = told.iter().map(|t| t.flows_total).max().unwrap_or(0);
    let synced = told.iter().map(|t| t.flows_synced).max().unwrap_or(0).min(total);
    status.progress = Some(Progress {
        flows_total: number(total),
        flows_synced: number(synced),
        percent: (synced * 100).checked_div(total).map_or(100, number),
        eta: eta(total, synced, status.phase, view.in_phase()),
    });
    let Some(report) = view.report() else { return };
    let duration = anf_crds::Duration::from_millis_f64;
    let (gap, budget) = (duration(report.gap_ms), view.budget());
    status.downtime = Some(Downtime {
        measured: gap,
        baseline: duration(report.baseline_ms),
        budget,
        within_budget: gap <= budget,
        breakdown: Some(breakdown(&told)),
    });
    status.packets = Some(Packets {
        parked: number(report.parked),
        lost: number(report.lost),
        duplicated: number(report.duplicated),
        reordered: number(report.reordered),
    });
    status.flows_moved = Some(number(report.flows));
}

fn eta(
    total: u64,
    synced: u64,
    phase: Option<MigrationPhase>,
    spent: Duration,
) -> Option<anf_crds::Duration> {
    if phase != Some(MigrationPhase::Syncing) || synced == 0 || synced >= total {
        return None;
    }
    let left = spent.as_secs_f64() * 1e3 * (total - synced) as f64 / synced as f64;
    Some(anf_crds::Duration::from_millis_f64(left.round()))
}

/// Each step is told by the side that does it; the other tells zero.
fn breakdown(told: &[&HandoverStatus]) -> Breakdown {
    let step = |of: fn(&control::Breakdown) -> f64| {
        anf_crds::Duration::from_millis_f64(told.iter().map(|t| of(&t.breakdown)).fold(0.0, f64::max))
    };
    Breakdown {
        prepare: step(|b| b.prepare_ms),
        sync: step(|b| b.sync_ms),
        arm: step(|b| b.arm_ms),
        cut: step(|b| b.cut_ms),
        seal: step(|b| b.seal_ms),
        start: step(|b| b.start_ms),
    }
}

fn set_conditions(status: &mut FunctionMigrationStatus, view: &View<'_>) {
    let mut conditions = std::mem::take(&mut status.conditions);
    let generation = status.observed_generation;
    let mut set = |type_: &str, is: Is, reason: &str, message: &str| {
        conditions::set(&mut conditions, type_, is, reason, message, generation, view.now);
    };
    let phase = status.phase.unwrap_or_default();
    let reached = |wanted: MigrationPhase| status.phase_transitions.iter().any(|t| t.phase == wanted);
    let node = status
        .target
        .as_ref()
        .and_then(|target| target.node.as_deref())
        .unwrap_or("a node that the scheduler chooses");
    if reached(MigrationPhase::Scheduling) || (view.spec.plan && phase == MigrationPhase::Succeeded) {
        set(condition::PLANNED, Is::True, "NodeChosen", node);
    }
    if reached(MigrationPhase::Syncing) {
        set(condition::TARGET_READY, Is::True, "PodReady", "");
    }
    if reached(MigrationPhase::CuttingOver) {
        set(condition::STATE_SYNCED, Is::True, "CaughtUp", "");
    }
    if reached(MigrationPhase::Finishing) {
        set(condition::CUT_OVER, Is::True, "TargetOwns", "");
    }
    match (&status.downtime, phase == MigrationPhase::Succeeded && !view.spec.plan) {
        (Some(downtime), _) => {
            let text = format!("{} of {}", downtime.measured, downtime.budget);
            let reason = if downtime.within_budget { "WithinBudget" } else { "DowntimeBudgetExceeded" };
            set(condition::WITHIN_BUDGET, downtime.within_budget.into(), reason, &text);
        }
        (None, true) => {
            set(condition::WITHIN_BUDGET, Is::Unknown, "NoReport", "the neighbours did not report in time")
        }
        (None, false) => {}
    }
    let message = status.message.clone().unwrap_or_default();
    match phase {
        MigrationPhase::Succeeded => {
            set(condition::COMPLETE, Is::True, "Succeeded", "");
            set(condition::FAILED, Is::False, "Succeeded", "");
        }
        MigrationPhase::Failed | MigrationPhase::Aborted => {
            let reason = status.reason.as_deref().unwrap_or("Failed");
            set(condition::COMPLETE, Is::False, reason, &message);
            set(condition::FAILED, Is::True, reason, &message);
        }
        _ => set(condition::COMPLETE, Is::False, phase.as_str(), &message),
    }
    status.conditions = conditions;
}

/// An event that is due.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    warning: bool,
    reason: &'static str,
    note: String,
}

/// The events between two statuses. Pure. Each reason comes at most once in a migration, as the event recorder keeps
/// only the first text.
pub fn story(
    migration: &FunctionMigration,
    old: &FunctionMigrationStatus,
    new: &FunctionMigrationStatus,
) -> Vec<Told> {
    let sub = migration.spec.sub_function.as_deref().unwrap_or_default();
    let node = |end: &Option<anf_crds::Endpoint>| {
        end.as_ref().and_then(|end| end.node.clone()).unwrap_or_else(|| "?".into())
    };
    let mut told = Vec::new();
    let mut tell = |warning, reason, note: String| told.push(Told { warning, reason, note });
    let message = new.message.clone().unwrap_or_default();
    let newly = |reason: &str| new.reason.as_deref() == Some(reason) && old.reason.as_deref() != Some(reason);
    if newly("Queued") {
        tell(false, "MigrationQueued", message.clone());
    }
    if newly("TargetUnschedulable") {
        tell(true, "TargetUnschedulable", message.clone());
    }
    for transition in new.phase_transitions.iter().skip(old.phase_transitions.len()) {
        match transition.phase {
            MigrationPhase::Preparing => {
                tell(
                    false,
                    "TargetScheduled",
                    format!("{sub} is to move from {} to {}", node(&new.source), node(&new.target)),
                );
            }
            MigrationPhase::Syncing => {
                tell(false, "TargetReady", format!("the target on {} is ready", node(&new.target)));
                tell(false, "StateSyncStarted", "flow state is copied while packets flow".into());
            }
            MigrationPhase::CuttingOver => {
                let flows = new.progress.as_ref().map_or(0, |progress| progress.flows_total);
                tell(false, "StateSynced", format!("the target holds {flows} flows; neighbours turn to it"));
            }
            MigrationPhase::Succeeded => succeeded(migration, new, &mut tell),
            MigrationPhase::Failed => tell(true, "MigrationFailed", message.clone()),
            MigrationPhase::Aborted => tell(false, "MigrationAborted", message.clone()),
            MigrationPhase::Pending | MigrationPhase::Scheduling | MigrationPhase::Finishing => {}
        }
    }
    told
}

fn succeeded(
    migration: &FunctionMigration,
    new: &FunctionMigrationStatus,
    tell: &mut impl FnMut(bool, &'static str, String),
) {
    let sub = migration.spec.sub_function.as_deref().unwrap_or_default();
    let node = new.target.as_ref().and_then(|target| target.node.as_deref()).unwrap_or("another node");
    if migration.spec.plan {
        return;
    }
    match (&new.downtime, &new.packets) {
        (Some(downtime), Some(packets)) => {
            let flows = new.flows_moved.unwrap_or(0);
            tell(
                false,
                "CutOver",
                format!(
                    "{sub} forwards on {node}: gap {} (baseline {}), {} lost, {flows} flows",
                    downtime.measured, downtime.baseline, packets.lost
                ),
            );
            if !downtime.within_budget {
                let text = format!("the gap was {}, {} were allowed", downtime.measured, downtime.budget);
                tell(true, "DowntimeBudgetExceeded", text);
            }
        }
        _ => tell(false, "CutOver", format!("{sub} forwards on {node}; the neighbours reported no gap")),
    }
    tell(false, "MigrationSucceeded", format!("{sub} moved to {node}"));
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
