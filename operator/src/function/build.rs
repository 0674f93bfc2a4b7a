//! Third stage: what has to be made and removed, given what is there. Pure.
//!
//! Each sub-function has one pod that owns it, or is to. A pod that is gone is made anew with the last epoch that is
//! known, so that it can claim the next; one that came too late (another owns) is removed. So is an owner whose epoch is
//! below one that was recorded: it restarted while the store was empty, and its neighbours, who remember, refuse it.
//! Pods of a migration that is under way are the migration's business. Labels only tell what a pod was made for: who
//! owns is what sidecars say.
//!
//! A pod that runs an older manifest is replaced: parts of different graphs do not talk to each other.

use std::collections::BTreeMap;

use anf_crds::{MigrationPhase, names as labels};
use anf_sidecar::control::Role;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{Resource, ResourceExt};

use super::dereference::{MANIFEST_KEY, Observed};
use super::pod::{self, Family, Image, Purpose};
use super::validate::{Part, Validated};
use crate::{names, pods};

/// What has to be made and removed.
#[derive(Debug, Default)]
pub struct Built {
    /// The function has no key yet.
    pub make_key: bool,
    /// ConfigMaps to apply.
    pub config_maps: Vec<ConfigMap>,
    /// ConfigMaps of sub-functions that are no more.
    pub stale_config_maps: Vec<String>,
    /// PodDisruptionBudgets to create.
    pub budgets: Vec<PodDisruptionBudget>,
    /// PodDisruptionBudgets of sub-functions that are no more.
    pub stale_budgets: Vec<String>,
    /// Pods to create.
    pub create: Vec<Pod>,
    /// Pods that own although they were made for something else: they get the owner's label.
    pub adopt: Vec<String>,
    /// Pods to delete, with the reason for the log.
    pub delete: Vec<(String, &'static str)>,
}

/// Decides.
pub fn build(observed: &Observed<'_>, validated: &Validated, image: &Image) -> Built {
    let mut built = Built::default();
    if observed.function.spec.paused {
        return built;
    }
    let Some(owner) = observed.function.controller_owner_ref(&()) else { return built };
    built.make_key = observed.key.is_none();
    let family =
        Family { id: &observed.id, owner: &owner, co_location: observed.function.spec.co_location, image };
    for part in &validated.parts {
        if observed.manifests.get(part.name()) != Some(&part.manifest) {
            built.config_maps.push(config_map(family, part));
        }
        if !observed.budgets.contains(&names::budget(&family.id.name, part.name())) {
            built.budgets.push(budget(family, part));
        }
        pods_of_part(observed, family, part, &mut built);
    }
    // With no part at all the first graph was never valid: there is nothing to remove either.
    if !validated.parts.is_empty() {
        leftovers(observed, validated, &mut built);
    }
    built
}

fn config_map(family: Family<'_>, part: &Part) -> ConfigMap {
    // A manifest is made of strings and numbers: it can always be written.
    let text = serde_json::to_string_pretty(&part.manifest).unwrap_or_default();
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(names::config_map(&family.id.name, part.name())),
            namespace: Some(family.id.namespace.clone()),
            labels: Some(pod::labels(family.id, part.name())),
            owner_references: Some(vec![OwnerReference::clone(family.owner)]),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(MANIFEST_KEY.to_owned(), text)])),
        ..ConfigMap::default()
    }
}

/// Holds the owner's pod against evictions while the webhook, which makes migrations of them, cannot be reached. A pod
/// that is not ready is not held, since nothing is lost with it. For a moment in each move both pods are owners by their
/// labels, so that the source may go.
fn budget(family: Family<'_>, part: &Part) -> PodDisruptionBudget {
    let mut owners = pod::labels(family.id, part.name());
    owners.insert(labels::LABEL_ROLE.into(), labels::ROLE_OWNER.into());
    PodDisruptionBudget {
        metadata: ObjectMeta {
            name: Some(names::budget(&family.id.name, part.name())),
            namespace: Some(family.id.namespace.clone()),
            labels: Some(pod::labels(family.id, part.name())),
            owner_references: Some(vec![OwnerReference::clone(family.owner)]),
            ..ObjectMeta::default()
        },
        spec: Some(PodDisruptionBudgetSpec {
            min_available: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector { match_labels: Some(owners), ..LabelSelector::default() }),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}

/// What one pod of a sub-function is, as far as this decision goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It runs an older manifest.
    Outdated,
    /// It owns, or starts to: the one to keep.
    Owner,
    /// It owns at an epoch that was passed already: its neighbours refuse it.
    Behind,
    /// It was made to own and does not (yet): it starts or cannot be asked.
    Hopeful,
    /// It was made to own, but another does, or did after it.
    Late,
    /// A live migration is using it.
    InUse,
    /// It was made for a migration that is over.
    Leftover,
}

fn standing(observed: &Observed<'_>, part: &Part, pod: &Pod) -> Standing {
    let status = observed.status_of(pod);
    let role = status.map(|status| status.role);
    let passed = status.is_some_and(|status| status.epoch < observed.recorded_epoch(part.name()));
    let moving = observed.moving(part.name());
    let of_migration =
        moving.is_some_and(|m| pods::label(pod, labels::LABEL_MIGRATION) == pod::label_value(&m.name_any()));
    if of_migration && role != Some(Role::Owner) {
        return Standing::InUse;
    }
    if pod.annotations().get(labels::ANNOTATION_MANIFEST) != Some(&names::manifest_hash(&part.manifest)) {
        return if moving.is_some() { Standing::InUse } else { Standing::Outdated };
    }
    match (role, pods::label(pod, labels::LABEL_ROLE)) {
        (Some(Role::Owner), _) if passed && moving.is_none() => Standing::Behind,
        (Some(Role::Owner), _) => Standing::Owner,
        // A source that has sealed is still needed until its migration ends.
        (_, labels::ROLE_OWNER | labels::ROLE_RETIRED) if moving.is_some() => Standing::InUse,
        (Some(Role::Standby | Role::Sealed), labels::ROLE_OWNER) => Standing::Late,
        (_, labels::ROLE_OWNER) => Standing::Hopeful,
        _ => Standing::Leftover,
    }
}

fn pods_of_part(observed: &Observed<'_>, family: Family<'_>, part: &Part, built: &mut Built) {
    let alive: Vec<(&Pod, Standing)> = observed
        .pods_of(part.name())
        .filter(|pod| !pods::is_leaving(pod))
        .map(|pod| (pod, standing(observed, part, pod)))
        .collect();
    let owner = alive
        .iter()
        .filter(|(_, standing)| *standing == Standing::Owner)
        .max_by_key(|(pod, _)| observed.status_of(pod).map_or(0, |status| status.epoch))
        .map(|(pod, _)| pod.name_any());
    let hopeful =
        alive.iter().find(|(_, standing)| *standing == Standing::Hopeful).map(|(pod, _)| pod.name_any());
    let keep = owner.clone().or(hopeful);
    for (pod, standing) in &alive {
        let name = pod.name_any();
        match standing {
            Standing::InUse => {}
            Standing::Owner if owner.as_ref() == Some(&name) => {
                if pods::label(pod, labels::LABEL_ROLE) != labels::ROLE_OWNER
                    && observed.moving(part.name()).is_none()
                {
                    built.adopt.push(name);
                }
            }
            Standing::Hopeful if keep.as_ref() == Some(&name) => {}
            Standing::Outdated => built.delete.push((name, "it runs an older graph")),
            Standing::Behind => built.delete.push((name, "the store has forgotten the sub-function's epoch")),
            Standing::Late => built.delete.push((name, "another pod owns the sub-function")),
            // What two pods say at two moments of a handover is no contradiction.
            Standing::Owner if observed.moving(part.name()).is_some() => {}
            Standing::Owner | Standing::Hopeful => {
                built.delete.push((name, "the sub-function has another pod"))
            }
            Standing::Leftover => built.delete.push((name, "its migration is over")),
        }
    }
    if keep.is_none() && !undecided(observed, part.name(), &alive) {
        built.create.push(new_owner(observed, family, part));
    }
    built.delete.extend(ended(observed, part.name()));
}

/// A handover may just have made a pod the owner, although no sidecar says so yet: a new pod would only be in the way.
fn undecided(observed: &Observed<'_>, sub_function: &str, alive: &[(&Pod, Standing)]) -> bool {
    let phase = observed.moving(sub_function).and_then(|m| m.status.as_ref()).and_then(|status| status.phase);
    let cutting = matches!(phase, Some(MigrationPhase::CuttingOver | MigrationPhase::Finishing));
    let source_there = alive.iter().any(|(pod, standing)| {
        *standing == Standing::InUse && pods::label(pod, labels::LABEL_ROLE) != labels::ROLE_TARGET
    });
    let target_there =
        alive.iter().any(|(pod, _)| pods::label(pod, labels::LABEL_ROLE) == labels::ROLE_TARGET);
    source_there || (cutting && target_there)
}

fn new_owner(observed: &Observed<'_>, family: Family<'_>, part: &Part) -> Pod {
    // A pod that was refused proves that its epoch is past, although nobody may have told us the one that followed.
    let refused = observed.pods_of(part.name()).filter(|pod| standing(observed, part, pod) == Standing::Late);
    let beyond = refused.filter_map(pod::claimed_epoch).map(|epoch| epoch + 1).max().unwrap_or(0);
    let epoch = observed.last_epoch(part.name()).max(beyond);
    // The name depends on what is there, so that repeating the step finds the pod, and a pod that lingers (a lost
    // node's) does not keep its successor from being made.
    let mut there: Vec<String> =
        observed.pods_of(part.name()).map(|pod| pod.uid().unwrap_or_default()).collect();
    there.sort();
    let epoch_text = epoch.to_string();
    let hash = names::manifest_hash(&part.manifest);
    let mut seed = vec![observed.id.uid.as_str(), epoch_text.as_str(), hash.as_str()];
    seed.extend(there.iter().map(String::as_str));
    let name = names::pod(&observed.id.name, part.name(), &seed);
    pod::pod(family, part, name, &Purpose::Own { epoch })
}

/// Pods that have ended for good (evicted by the kubelet) and only clutter.
fn ended(observed: &Observed<'_>, sub_function: &str) -> Vec<(String, &'static str)> {
    let ended = observed.pods_of(sub_function);
    let ended = ended.filter(|pod| pods::is_leaving(pod) && pod.metadata.deletion_timestamp.is_none());
    ended.map(|pod| (pod.name_any(), "it has ended")).collect()
}

/// Pods and ConfigMaps of sub-functions that the cut does not have any more.
fn leftovers(observed: &Observed<'_>, validated: &Validated, built: &mut Built) {
    let known = |name: &str| validated.parts.iter().any(|part| part.name() == name);
    for pod in &observed.pods {
        let sub_function = pods::label(pod, labels::LABEL_SUB_FUNCTION);
        if !known(sub_function) && pod.metadata.deletion_timestamp.is_none() {
            built.delete.push((pod.name_any(), "its sub-function is no more"));
        }
    }
    let stale = observed.manifests.keys().filter(|name| !known(name));
    let budgets: Vec<String> =
        validated.parts.iter().map(|part| names::budget(&observed.id.name, part.name())).collect();
    built.stale_budgets.extend(observed.budgets.iter().filter(|name| !budgets.contains(name)).cloned());
    built.stale_config_maps.extend(stale.map(|name| names::config_map(&observed.id.name, name)));
}

#[cfg(test)]
mod tests;
