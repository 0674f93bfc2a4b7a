//! First stage: fetches everything that the next phase of a migration depends on.
//!
//! What cannot be fetched from the API server is an error; what a sidecar does not answer is an observation.

use std::sync::Arc;

use anf_crds::{
    AtomicFunction, FunctionMigration, FunctionMigrationStatus, MigrationPhase, MigrationStrategy,
    names as labels,
};
use anf_sidecar::control::Role;
use futures::future::{OptionFuture, join_all};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use super::case::{self, Case, Found};
use super::machine::{Runner, Setting, Told, View};
use super::{choose, limits};
use crate::error::{Result, Tried};
use crate::function::{Context, Identity};
use crate::{nodes, pods, sidecars};

/// The view that the machine decides on, and what acts need beside it.
pub struct Observed<'a> {
    /// For the machine.
    pub view: View<'a>,
    /// For acts; nothing if the function is not there.
    pub case: Option<Arc<Case>>,
}

/// Fetches it all.
///
/// # Errors
/// If the API server refuses or cannot be reached.
pub async fn observe<'a>(
    id: &'a Identity,
    migration: &'a FunctionMigration,
    cx: &Context,
) -> Result<Observed<'a>> {
    let status = migration.status.clone().unwrap_or_default();
    let phase = status.phase.unwrap_or_default();
    let sub_function = migration.spec.sub_function.as_deref().unwrap_or_default();
    let found = find(id, migration, sub_function, phase, cx).await?;
    let mut view = View {
        now: Timestamp::now(),
        id: &id.uid,
        name: &id.name,
        created: migration.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
        spec: &migration.spec,
        status,
        setting: setting(&found),
        uncordoned: None,
        ahead: None,
        source: None,
        target: None,
        plan: None,
        shown: false,
        on_source: Told::Nothing,
        on_target: Told::Nothing,
    };
    let Found::Case(case) = found else { return Ok(Observed { view, case: None }) };
    let pods = list_pods(&case, sub_function, cx).await?;
    if phase == MigrationPhase::Pending {
        view.uncordoned = uncordoned(migration, cx);
        view.source = owner(&pods, &case.token).await;
        let nodes: Vec<_> = cx.nodes.state().iter().map(|node| (**node).clone()).collect();
        let source_node = view.source.as_ref().and_then(|source| source.node.as_deref()).unwrap_or_default();
        view.plan = Some(choose::choose(&migration.spec, case.part.placement.as_ref(), source_node, &nodes));
        let target =
            view.plan.as_ref().and_then(|plan| plan.as_ref().ok()).and_then(|plan| plan.node.as_deref());
        let all: Api<FunctionMigration> = Api::all(cx.clients.direct.clone());
        let all = all.list(&ListParams::default()).await.tried(|| "list migrations".into())?.items;
        view.ahead = ahead(id, migration, &all)
            .or_else(|| limits::crowded(&all, Some(source_node).filter(|node| !node.is_empty()), target));
    } else {
        let pod = |end: &Option<anf_crds::Endpoint>| {
            let name = end.as_ref()?.pod.as_deref()?;
            pods.iter().find(|pod| pod.name_any() == name)
        };
        let (source, target) = (pod(&view.status.source), pod(&view.status.target));
        let handing_over = phase >= MigrationPhase::Preparing;
        let (source, target) = tokio::join!(
            OptionFuture::from(source.map(|pod| look(pod, &case.token, &id.uid, handing_over))),
            OptionFuture::from(target.map(|pod| look(pod, &case.token, &id.uid, handing_over))),
        );
        (view.source, view.on_source) =
            source.map_or((None, Told::Nothing), |(runner, told)| (Some(runner), told));
        (view.target, view.on_target) =
            target.map_or((None, Told::Nothing), |(runner, told)| (Some(runner), told));
        view.shown =
            phase == MigrationPhase::Finishing && shown(&case, sub_function, &view.status, cx).await?;
    }
    Ok(Observed { view, case: Some(Arc::from(case)) })
}

/// The function; in later phases from memory, since it cannot change what is under way.
async fn find(
    id: &Identity,
    migration: &FunctionMigration,
    sub_function: &str,
    phase: MigrationPhase,
    cx: &Context,
) -> Result<Found> {
    if phase > MigrationPhase::Pending
        && let Some(case) = cx.migrations.get(&id.uid)
    {
        return Ok(Found::Case(Box::new((*case).clone())));
    }
    let found = case::load(&id.namespace, &migration.spec.function_name, sub_function, cx).await?;
    if let Found::Case(case) = &found {
        cx.migrations.put(&id.uid, Arc::new((**case).clone()));
    }
    Ok(found)
}

fn setting(found: &Found) -> Setting {
    match found {
        Found::NoFunction => Setting::NoFunction,
        Found::NoSubFunction(known) => Setting::NoSubFunction(known.clone()),
        Found::NotBuilt => Setting::NotBuilt,
        Found::Case(case) => Setting::Known {
            policy: case.part.policy.clone(),
            pinned_by: case.part.manifest.ports.first().map(|port| port.name.clone()),
            movable: case.part.policy.strategy != MigrationStrategy::None,
        },
    }
}

async fn list_pods(case: &Case, sub_function: &str, cx: &Context) -> Result<Vec<Pod>> {
    let pods: Api<Pod> = Api::namespaced(cx.clients.direct.clone(), &case.function.namespace);
    let selector = format!(
        "{}={},{}={sub_function}",
        labels::LABEL_FUNCTION,
        case.function.name,
        labels::LABEL_SUB_FUNCTION
    );
    let found = pods.list(&ListParams::default().labels(&selector)).await;
    let mut found =
        found.tried(|| format!("list pods of {}/{}", case.function.namespace, case.function.name))?.items;
    found.retain(|pod| pod.owner_references().iter().any(|owner| owner.uid == case.function.uid));
    Ok(found)
}

/// Whether the function's status names the target as the sub-function's pod.
async fn shown(
    case: &Case,
    sub_function: &str,
    status: &FunctionMigrationStatus,
    cx: &Context,
) -> Result<bool> {
    let Identity { namespace, name, .. } = &case.function;
    let functions: Api<AtomicFunction> = Api::namespaced(cx.clients.direct.clone(), namespace);
    let function =
        functions.get_opt(name).await.tried(|| format!("read AtomicFunction {namespace}/{name}"))?;
    let target = status.target.as_ref().and_then(|target| target.pod.as_ref());
    let subs = function.and_then(|function| function.status).map(|status| status.sub_functions);
    Ok(subs
        .iter()
        .flatten()
        .any(|sub| sub.name == sub_function && sub.pod.is_some() && sub.pod.as_ref() == target))
}

/// The node whose drain asked for this migration, if it takes pods again.
fn uncordoned(migration: &FunctionMigration, cx: &Context) -> Option<String> {
    let drained = migration.annotations().get(labels::ANNOTATION_DRAINED_NODE)?;
    let nodes = cx.nodes.state();
    let cordoned = nodes.iter().any(|node| node.name_any() == *drained && nodes::is_cordoned(node));
    (!cordoned).then(|| drained.clone())
}

/// A migration of the same function that is under way, or was asked for earlier, has to end first.
fn ahead(id: &Identity, migration: &FunctionMigration, all: &[FunctionMigration]) -> Option<String> {
    let function = &migration.spec.function_name;
    let rank = |m: &FunctionMigration| (m.creation_timestamp(), m.name_any());
    let ours = all.iter().filter(|other| {
        other.namespace().as_ref() == Some(&id.namespace) && other.spec.function_name == *function
    });
    let blocking = ours.filter(|other| other.name_any() != id.name && !other.spec.plan).filter(|other| {
        let phase = other.status.as_ref().and_then(|status| status.phase).unwrap_or_default();
        let whole_function = other.spec.sub_function.as_deref().unwrap_or_default().is_empty();
        !phase.is_over()
            && !whole_function
            && (phase > MigrationPhase::Pending || rank(other) < rank(migration))
    });
    let first = blocking.min_by_key(|other| rank(other))?;
    Some(format!("waits for {}; one move of {function} at a time", first.name_any()))
}

/// The pod that owns the sub-function now, by what sidecars say.
async fn owner(pods: &[Pod], token: &str) -> Option<Runner> {
    let looks = join_all(pods.iter().map(|pod| look(pod, token, "", false))).await;
    let runners = looks.into_iter().map(|(runner, _)| runner);
    runners
        .filter(|runner| runner.role == Some(Role::Owner) && !runner.leaving)
        .max_by_key(|runner| runner.epoch)
}

/// One pod, and what its sidecar says of itself and of the handover.
async fn look(pod: &Pod, token: &str, handover: &str, ask_handover: bool) -> (Runner, Told) {
    let control = pods::control(pod, token);
    let (status, told) = match &control {
        None => (None, Told::Silent("it has no address yet".into())),
        Some(at) => {
            let asked = OptionFuture::from(ask_handover.then(|| sidecars::handover(at, handover)));
            let (status, told) = tokio::join!(sidecars::status(at), asked);
            let told = match told {
                None => Told::Nothing,
                Some(Ok(None)) => Told::Unknown,
                Some(Ok(Some(status))) => Told::Status(Box::new(status)),
                Some(Err(error)) => Told::Silent(error.to_string()),
            };
            (status.ok(), told)
        }
    };
    let runner = Runner {
        pod: pod.name_any(),
        node: pods::node(pod).map(str::to_owned),
        leaving: pods::is_leaving(pod),
        ready: pods::is_ready(pod),
        unschedulable: pods::unschedulable(pod).map(str::to_owned),
        trouble: pods::trouble(pod),
        role: status.as_ref().map(|status| status.role),
        epoch: status.as_ref().map_or(0, |status| status.epoch),
        store_reachable: status.as_ref().map(|status| status.store.reachable),
        link: pods::link_address(pod),
        control,
    };
    (runner, told)
}
