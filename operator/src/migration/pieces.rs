//! A whole function moves piece by piece: one migration for each sub-function that can be moved, one after the other.
//!
//! The first piece that fails ends the whole; pieces that were moved stay where they are. [`next`] is pure.

use anf_crds::{
    AtomicFunction, AtomicFunctionStatus, Downtime, Failure, FunctionMigration, FunctionMigrationSpec,
    FunctionMigrationStatus, MigratableReason, MigrationPhase, PhaseTransition, PieceStatus, names as labels,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};

use super::{SLOW, record};
use crate::conditions::{self, Is};
use crate::error::{Result, Tried, is_status};
use crate::function::{Context, Identity};

/// One look at such a migration.
///
/// # Errors
/// If the API server refuses or cannot be reached.
pub async fn advance(id: &Identity, migration: &FunctionMigration, cx: &Context) -> Result<Action> {
    let client = cx.clients.direct.clone();
    let name = &migration.spec.function_name;
    let functions: Api<AtomicFunction> = Api::namespaced(client.clone(), &id.namespace);
    let function =
        functions.get_opt(name).await.tried(|| format!("read AtomicFunction {}/{name}", id.namespace))?;
    let api: Api<FunctionMigration> = Api::namespaced(client, &id.namespace);
    let ours = ListParams::default().labels(&format!("{}={}", labels::LABEL_PARENT, label(id)));
    let children = api.list(&ours).await.tried(|| format!("list the pieces of {}", id.name))?.items;
    let status = function.as_ref().and_then(|function| function.status.as_ref());
    let step = next(migration, status, &children);
    if let Some(sub_function) = &step.begin {
        let child = child(id, migration, sub_function);
        let created = api.create(&PostParams::default(), &child).await;
        if !is_status(&created, 409) {
            created.tried(|| format!("create migration {}/{}", id.namespace, child.name_any()))?;
        }
    }
    for child in step.abort.iter() {
        let patch = serde_json::json!({"spec": {"abort": true}});
        api.patch(child, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .tried(|| format!("abort migration {}/{child}", id.namespace))?;
    }
    let mut new = next_status(migration, &step, &children, Timestamp::now());
    new.observed_generation = migration.metadata.generation;
    if migration.status.as_ref() != Some(&new) {
        record::write(id, &new, cx).await?;
        tell(migration, &new, cx).await;
    }
    Ok(if step.phase.is_over() { Action::requeue(std::time::Duration::ZERO) } else { Action::requeue(SLOW) })
}

async fn tell(migration: &FunctionMigration, new: &FunctionMigrationStatus, cx: &Context) {
    let about = migration.object_ref(&());
    let message = new.message.clone().unwrap_or_default();
    match new.phase.unwrap_or_default() {
        MigrationPhase::Succeeded => {
            let moved = new
                .pieces
                .iter()
                .filter(|piece| piece.phase == MigrationPhase::Succeeded && piece.migration.is_some());
            let note = format!("{} sub-functions moved", moved.count());
            cx.events.normal(&about, None, "MigrationSucceeded", &note).await;
        }
        MigrationPhase::Failed => cx.events.warning(&about, None, "MigrationFailed", &message).await,
        MigrationPhase::Aborted => cx.events.normal(&about, None, "MigrationAborted", &message).await,
        _ => {}
    }
}

fn label(id: &Identity) -> String {
    crate::function::pod::label_value(&id.name)
}

fn child(id: &Identity, parent: &FunctionMigration, sub_function: &str) -> FunctionMigration {
    let mut child = FunctionMigration::new(
        &format!("{}-{sub_function}", id.name),
        FunctionMigrationSpec {
            sub_function: Some(sub_function.to_owned()),
            abort: false,
            ..parent.spec.clone()
        },
    );
    child.metadata = ObjectMeta {
        labels: Some([(labels::LABEL_PARENT.to_owned(), label(id))].into()),
        owner_references: parent.controller_owner_ref(&()).map(|owner| vec![owner]),
        ..child.metadata
    };
    child
}

/// What is next for the whole.
#[derive(Debug, PartialEq)]
struct Step {
    phase: MigrationPhase,
    pieces: Vec<PieceStatus>,
    begin: Option<String>,
    abort: Option<String>,
    failure: Option<(String, String)>,
}

/// Decides. Pure.
fn next(
    migration: &FunctionMigration,
    function: Option<&AtomicFunctionStatus>,
    children: &[FunctionMigration],
) -> Step {
    let end = |phase, pieces, reason: &str, message: String| Step {
        phase,
        pieces,
        begin: None,
        abort: None,
        failure: Some((reason.to_owned(), message)),
    };
    let known =
        migration.status.as_ref().map(|status| status.pieces.clone()).filter(|pieces| !pieces.is_empty());
    let Some(mut pieces) = known.or_else(|| function.map(|function| plan(migration, function))) else {
        let text =
            format!("there is no AtomicFunction \"{}\" in this namespace", migration.spec.function_name);
        return end(MigrationPhase::Failed, Vec::new(), "FunctionNotFound", text);
    };
    for piece in pieces.iter_mut().filter(|piece| piece.message.is_none()) {
        let child =
            children.iter().find(|child| child.spec.sub_function.as_deref() == Some(&piece.sub_function));
        if let Some(child) = child {
            piece.migration = Some(child.name_any());
            piece.phase = child.status.as_ref().and_then(|status| status.phase).unwrap_or_default();
        }
    }
    if pieces.iter().all(|piece| piece.message.is_some()) {
        let reasons: Vec<String> = pieces
            .iter()
            .filter_map(|p| Some(format!("{}: {}", p.sub_function, p.message.as_ref()?)))
            .collect();
        return end(
            MigrationPhase::Failed,
            pieces,
            "NothingToMove",
            format!("no sub-function can be moved: {}", reasons.join(", ")),
        );
    }
    let failed =
        pieces.iter().find(|piece| matches!(piece.phase, MigrationPhase::Failed | MigrationPhase::Aborted));
    if let Some(failed) = failed {
        let phase = if migration.spec.abort { MigrationPhase::Aborted } else { MigrationPhase::Failed };
        let text = format!(
            "{} did not move; see {}",
            failed.sub_function,
            failed.migration.as_deref().unwrap_or_default()
        );
        return end(phase, pieces, "PieceFailed", text);
    }
    let Some(current) = pieces.iter().find(|piece| !piece.phase.is_over()).cloned() else {
        return Step { phase: MigrationPhase::Succeeded, pieces, begin: None, abort: None, failure: None };
    };
    match (&current.migration, migration.spec.abort) {
        (None, true) => {
            end(MigrationPhase::Aborted, pieces, "AbortedByUser", "called off between two pieces".into())
        }
        (Some(child), true) => Step {
            phase: MigrationPhase::Syncing,
            pieces,
            begin: None,
            abort: Some(child.clone()),
            failure: None,
        },
        (begun, false) => {
            let begin = begun.is_none().then_some(current.sub_function);
            Step { phase: MigrationPhase::Syncing, pieces, begin, abort: None, failure: None }
        }
    }
}

/// The pieces: those that cannot be moved, or are there already, are left where they are.
fn plan(migration: &FunctionMigration, function: &AtomicFunctionStatus) -> Vec<PieceStatus> {
    let pieces = function.sub_functions.iter().map(|sub| {
        let message = match sub.reason {
            Some(reason @ (MigratableReason::PinnedByPort | MigratableReason::StrategyNone)) => {
                Some(reason.as_str().to_owned())
            }
            _ if sub.node.is_some() && sub.node == migration.spec.target_node => {
                Some("runs there already".to_owned())
            }
            _ => None,
        };
        let phase = if message.is_some() { MigrationPhase::Succeeded } else { MigrationPhase::Pending };
        PieceStatus { sub_function: sub.name.clone(), migration: None, phase, message }
    });
    pieces.collect()
}

fn next_status(
    migration: &FunctionMigration,
    step: &Step,
    children: &[FunctionMigration],
    now: Timestamp,
) -> FunctionMigrationStatus {
    let mut status = migration.status.clone().unwrap_or_default();
    if status.phase != Some(step.phase) {
        status.phase_transitions.push(PhaseTransition { phase: step.phase, at: MicroTime(now) });
    }
    let was = status.phase.unwrap_or_default();
    status.phase = Some(step.phase);
    status.pieces = step.pieces.clone();
    (status.reason, status.message) = step.failure.clone().unzip();
    status.failure = step.failure.clone().map(|(reason, message)| Failure { reason, message, phase: was });
    status.target = migration
        .spec
        .target_node
        .clone()
        .map(|node| anf_crds::Endpoint { node: Some(node), ..Default::default() });
    let done = children.iter().filter_map(|child| child.status.as_ref());
    status.flows_moved = done.clone().filter_map(|child| child.flows_moved).reduce(|a, b| a + b);
    // The longest gap of all, since pieces move one after the other.
    status.downtime = done
        .filter_map(|child| child.downtime.clone())
        .max_by_key(|downtime| downtime.measured)
        .map(|downtime| Downtime { breakdown: None, ..downtime });
    let complete = step.phase == MigrationPhase::Succeeded;
    let reason = status.reason.clone().unwrap_or_else(|| step.phase.as_str().to_owned());
    let message = status.message.clone().unwrap_or_default();
    let generation = migration.metadata.generation;
    let mut set = |type_: &str, is: Is| {
        conditions::set(&mut status.conditions, type_, is, &reason, &message, generation, now)
    };
    set(labels::migration_condition::COMPLETE, complete.into());
    if step.phase.is_over() {
        set(labels::migration_condition::FAILED, (!complete).into());
        status.finished_at = status.finished_at.or(Some(MicroTime(now)));
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn whole(abort: bool) -> FunctionMigration {
        serde_json::from_value(json!({
            "apiVersion": "atomicnf.dev/v1alpha1", "kind": "FunctionMigration", "metadata": {"name": "all"},
            "spec": {"functionName": "f", "targetNode": "w2", "abort": abort}
        }))
        .expect("a migration")
    }

    fn function() -> AtomicFunctionStatus {
        serde_json::from_value(json!({"subFunctions": [
            {"name": "classify", "node": "w1", "reason": "PinnedByPort"},
            {"name": "nat", "node": "w1", "reason": "Eligible"},
            {"name": "stats", "node": "w1", "reason": "Eligible"},
            {"name": "there", "node": "w2", "reason": "Eligible"}
        ]}))
        .expect("a status")
    }

    fn piece(sub: &str, phase: &str) -> FunctionMigration {
        serde_json::from_value(json!({
            "apiVersion": "atomicnf.dev/v1alpha1", "kind": "FunctionMigration", "metadata": {"name": format!("all-{sub}")},
            "spec": {"functionName": "f", "subFunction": sub}, "status": {"phase": phase}
        }))
        .expect("a migration")
    }

    #[test]
    fn pieces_are_begun_one_after_the_other() {
        let step = next(&whole(false), Some(&function()), &[]);
        assert_eq!((step.phase, step.begin.as_deref()), (MigrationPhase::Syncing, Some("nat")));
        let step = next(&whole(false), Some(&function()), &[piece("nat", "Syncing")]);
        assert_eq!(step.begin, None);
        let step = next(&whole(false), Some(&function()), &[piece("nat", "Succeeded")]);
        assert_eq!(step.begin.as_deref(), Some("stats"));
        let step =
            next(&whole(false), Some(&function()), &[piece("nat", "Succeeded"), piece("stats", "Succeeded")]);
        assert_eq!(step.phase, MigrationPhase::Succeeded);
    }

    #[test]
    fn a_piece_that_fails_ends_the_whole() {
        let step = next(&whole(false), Some(&function()), &[piece("nat", "Failed")]);
        assert_eq!(step.phase, MigrationPhase::Failed);
        assert!(step.failure.is_some_and(|(_, text)| text.contains("see all-nat")));
    }

    #[test]
    fn an_abort_is_passed_on_to_the_piece_that_moves() {
        let step = next(&whole(true), Some(&function()), &[piece("nat", "Syncing")]);
        assert_eq!(step.abort.as_deref(), Some("all-nat"));
        assert_eq!(next(&whole(true), Some(&function()), &[]).phase, MigrationPhase::Aborted);
    }

    #[test]
    fn with_nothing_to_move_each_sub_function_is_explained() {
        let mut function = function();
        function.sub_functions.retain(|sub| sub.name == "classify" || sub.name == "there");
        let step = next(&whole(false), Some(&function), &[]);
        assert_eq!(step.phase, MigrationPhase::Failed);
        let (_, text) = step.failure.expect("a failure");
        assert!(text.contains("classify: PinnedByPort, there: runs there already"), "{text}");
    }
}
