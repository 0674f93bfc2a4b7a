//! Third stage: does what the machine decided, before the phase is recorded. Every act may be repeated.

use anf_crds::names as labels;
use anf_sidecar::control::{HandoverRequest, WATCH_MS};
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;

use super::case::Case;
use super::machine::{self, Act, Decision, Refused, View};
use super::observe::Observed;
use crate::error::{Result, Tried};
use crate::function::apply;
use crate::function::pod::{self, Family, Image, Place, Purpose};
use crate::function::{Context, Identity};
use crate::names;
use crate::sidecars::{self, SidecarError};

/// Does it; the answer of the source may change the decision.
///
/// # Errors
/// If the API server refuses or cannot be reached.
pub async fn act(
    id: &Identity,
    observed: &Observed<'_>,
    decision: Decision,
    cx: &Context,
) -> Result<Decision> {
    let Some(case) = &observed.case else { return Ok(decision) };
    let view = &observed.view;
    let pods: Api<Pod> = Api::namespaced(cx.clients.direct.clone(), &id.namespace);
    let mut decision = decision;
    for act in decision.acts.clone() {
        match act {
            Act::CreateTarget => {
                let pod = target(id, case, view, cx);
                apply::create(&pods, &pod).await?;
                let made =
                    decision.target.get_or_insert_with(|| view.status.target.clone().unwrap_or_default());
                made.pod = pod.metadata.name;
            }
            Act::StartHandover { deadline_ms } => {
                let refused = start(view, deadline_ms).await;
                decision = machine::started(view, decision, refused);
                // A refusal ends the migration, which has acts of its own.
                delete_target(&decision, view, &pods).await?;
            }
            Act::AbortHandover => abort(view).await,
            Act::Promote => promote(view, &pods).await?,
            Act::DeleteTarget => delete_target(&decision, view, &pods).await?,
        }
    }
    Ok(decision)
}

fn target(id: &Identity, case: &Case, view: &View<'_>, cx: &Context) -> Pod {
    let image = Image::of(&cx.settings);
    let family =
        Family { id: &case.function, owner: &case.owner, co_location: case.co_location, image: &image };
    let node = view.status.target.as_ref().and_then(|target| target.node.as_deref());
    let source = view.status.source.as_ref().and_then(|source| source.node.as_deref()).unwrap_or_default();
    let purpose = Purpose::Target {
        migration: &id.name,
        place: node.map_or(Place::NotOn(source), Place::On),
        selector: view.spec.node_selector.as_ref(),
    };
    // By the migration's UID, so that a repeated step finds the pod that it made before.
    let name = names::pod(&case.function.name, case.part.name(), &[&id.uid]);
    pod::pod(family, &case.part, name, &purpose)
}

async fn start(view: &View<'_>, deadline_ms: u64) -> Option<Refused> {
    let (Some(source), Some(target)) = (&view.source, &view.target) else { return None };
    let (Some(at), Some(link)) = (&source.control, target.link) else {
        return Some(Refused::Unreachable("a pod has no address yet".into()));
    };
    let request = HandoverRequest {
        id: view.id.to_owned(),
        target_owner_id: target.pod.clone(),
        target_link_addr: link.to_string(),
        target_node: target.node.clone().unwrap_or_default(),
        expected_epoch: source.epoch,
        max_downtime_ms: view.budget().as_millis().max(1),
        deadline_ms,
        watch_ms: WATCH_MS,
    };
    match sidecars::start_handover(at, &request).await {
        Ok(()) => None,
        Err(SidecarError::Refused { reason, message, .. }) => Some(Refused::No { reason, message }),
        Err(error) => Some(Refused::Unreachable(error.to_string())),
    }
}

/// An abort that fails is repeated at the next look; one that is refused came after the commit.
async fn abort(view: &View<'_>) {
    let Some(at) = view.source.as_ref().and_then(|source| source.control.as_ref()) else { return };
    if let Err(error) = sidecars::abort_handover(at, view.id).await {
        tracing::info!(migration = view.name, %error, "the handover was not called off");
    }
}

/// The target gets the owner's label before the source goes, so that a selector of owners always finds one. The source
/// loses its own only once it is on its way out: Kubernetes does not count a budget's pods again when one of them loses
/// the label that it is selected by, but when one is deleted.
async fn promote(view: &View<'_>, pods: &Api<Pod>) -> Result<()> {
    let name = |end: &Option<anf_crds::Endpoint>| end.as_ref().and_then(|end| end.pod.clone());
    if let Some(target) = name(&view.status.target) {
        apply::set_role(pods, &target, labels::ROLE_OWNER).await.tried(|| format!("label pod {target}"))?;
    }
    if let Some(source) = name(&view.status.source) {
        apply::delete(pods, &source).await.tried(|| format!("delete pod {source}"))?;
        apply::set_role(pods, &source, labels::ROLE_RETIRED).await.tried(|| format!("label pod {source}"))?;
    }
    Ok(())
}

async fn delete_target(decision: &Decision, view: &View<'_>, pods: &Api<Pod>) -> Result<()> {
    let Some(target) = view.status.target.as_ref().and_then(|target| target.pod.as_deref()) else {
        return Ok(());
    };
    if !decision.acts.contains(&Act::DeleteTarget) {
        return Ok(());
    }
    apply::delete(pods, target).await.tried(|| format!("delete pod {target}"))
}
