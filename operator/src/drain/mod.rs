//! An eviction becomes a migration: *look → decide → do*.
//!
//! `kubectl drain` asks for the eviction of each pod of a node and asks again every five seconds while it is answered
//! 429; any other refusal makes it give up. So a pod that runs a sub-function is held with 429 and the progress of its
//! move, and deleted by the migration once another pod owns: the next question is answered "not found", and drain ends
//! by itself. [`decide`] is pure.

pub mod decide;

use std::time::Duration;

use anf_crds::{AtomicFunction, FunctionMigration, FunctionMigrationSpec, Trigger, names as labels};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};

use crate::error::is_status;
use crate::function::apply;
use crate::metrics::Metrics;
use crate::webhook::Verdict;
use crate::{names, pods};
use decide::{Decision, Facts};

/// Time for everything that an eviction asks of the API server, which waits for it meanwhile.
const PATIENCE: Duration = Duration::from_secs(4);
/// A request for evacuation that was noted this recently is not noted again.
const NOTE_AGAIN: Duration = Duration::from_secs(20);

/// Reviews the eviction of a pod. `client` must not repeat refused calls.
pub async fn review(
    client: &Client,
    metrics: &Metrics,
    namespace: &str,
    pod: &str,
    dry_run: bool,
) -> Verdict {
    let done = tokio::time::timeout(PATIENCE, evict(client, namespace, pod, dry_run)).await;
    let decision = match done {
        Ok(Ok(decision)) => decision,
        // Held: what cannot be looked at may be in the middle of a move.
        Ok(Err(error)) => Decision::Wait(format!("the operator cannot look at it now: {error}")),
        Err(_) => Decision::Wait("the operator cannot look at it now: the API server is too slow".into()),
    };
    metrics.eviction(decision.label());
    if dry_run { decision.dry_verdict() } else { decision.verdict() }
}

async fn evict(client: &Client, namespace: &str, pod: &str, dry_run: bool) -> kube::Result<Decision> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    // The API server says "not found" better than we do.
    let Some(pod) = pods.get_opt(pod).await? else { return Ok(Decision::Allow) };
    let Some(facts) = look(client, namespace, pod).await? else { return Ok(Decision::Allow) };
    let now = Timestamp::now();
    let decision = decide::decide(&facts, now);
    if !dry_run {
        carry_out(client, namespace, &facts, &decision, now).await?;
    }
    Ok(decision)
}

/// Nothing if the pod is none of ours.
async fn look(client: &Client, namespace: &str, pod: Pod) -> kube::Result<Option<Facts>> {
    let name = pods::label(&pod, labels::LABEL_FUNCTION).to_owned();
    if name.is_empty() || pods::label(&pod, labels::LABEL_SUB_FUNCTION).is_empty() {
        return Ok(None);
    }
    let functions: Api<AtomicFunction> = Api::namespaced(client.clone(), namespace);
    let Some(function) = functions.get_opt(&name).await? else { return Ok(None) };
    let all: Api<FunctionMigration> = Api::namespaced(client.clone(), namespace);
    let ours = ListParams::default().fields(&format!("spec.functionName={name}"));
    let nodes: Api<Node> = Api::all(client.clone());
    let everything = ListParams::default();
    let (migrations, nodes) = futures::try_join!(all.list(&ours), nodes.list(&everything))?;
    Ok(Some(Facts { pod, function, migrations: migrations.items, nodes: nodes.items }))
}

async fn carry_out(
    client: &Client,
    namespace: &str,
    facts: &Facts,
    decision: &Decision,
    now: Timestamp,
) -> kube::Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    if !matches!(decision, Decision::Allow) {
        note(&pods, &facts.pod, now).await?;
    }
    match decision {
        Decision::Begin { after, .. } => {
            let all: Api<FunctionMigration> = Api::namespaced(client.clone(), namespace);
            let made = all.create(&PostParams::default(), &migration(facts, after.as_deref())).await;
            // Another replica was asked at the same time.
            if is_status(&made, 409) { Ok(()) } else { made.map(drop) }
        }
        Decision::StartElsewhere(_) => apply::delete(&pods, &facts.pod.name_any()).await,
        Decision::Allow | Decision::Wait(_) | Decision::Stuck(_) => Ok(()),
    }
}

/// Leaves word on the pod that somebody wants it to go, for the function's condition.
async fn note(pods: &Api<Pod>, pod: &Pod, now: Timestamp) -> kube::Result<()> {
    if decide::requested_within(pod, NOTE_AGAIN, now) {
        return Ok(());
    }
    let patch = serde_json::json!({"metadata": {"annotations": {
        labels::ANNOTATION_EVACUATION: now.to_string()
    }}});
    let patched = pods.patch(&pod.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await;
    if is_status(&patched, 404) { Ok(()) } else { patched.map(drop) }
}

/// The migration that answers the eviction of a pod; the same after the same attempt.
fn migration(facts: &Facts, after: Option<&str>) -> FunctionMigration {
    let (function, pod) = (facts.function.name_any(), facts.pod.name_any());
    let sub_function = pods::label(&facts.pod, labels::LABEL_SUB_FUNCTION);
    let uid = facts.pod.uid().unwrap_or_default();
    let mut migration = FunctionMigration::new(
        &names::drain(&function, sub_function, &[&uid, after.unwrap_or_default()]),
        FunctionMigrationSpec {
            function_name: function.clone(),
            sub_function: Some(sub_function.to_owned()),
            trigger: Trigger::Drain,
            ..FunctionMigrationSpec::default()
        },
    );
    let cordoned = facts.cordoned_node().map(|node| (labels::ANNOTATION_DRAINED_NODE.to_owned(), node));
    migration.metadata = ObjectMeta {
        labels: Some(
            [(labels::LABEL_FUNCTION.to_owned(), function), (labels::LABEL_EVICTED.to_owned(), pod)].into(),
        ),
        annotations: Some(cordoned.into_iter().collect()),
        ..migration.metadata
    };
    migration
}
