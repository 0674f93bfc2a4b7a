//! Fourth stage: makes and removes what build decided.
//!
//! Order matters: the key and the manifests before the pods that mount them; outdated pods before their successors
//! would not be needed, since a successor fences by its epoch, but frees their host ports.

use std::collections::BTreeMap;
use std::io::Read;

use anf_crds::names as labels;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Resource, ResourceExt};

use super::Context;
use super::build::Built;
use super::dereference::{Observed, SECRET_KEY};
use crate::error::{Error, Result, Tried, is_status};
use crate::names;

/// Length of a function's key.
const KEY_BYTES: usize = 32;

/// Carries out what build decided.
///
/// # Errors
/// If the API server refuses or cannot be reached.
pub async fn apply(observed: &Observed<'_>, built: Built, cx: &Context) -> Result<()> {
    let namespace = &observed.id.namespace;
    let client = &cx.clients.patient;
    if built.make_key {
        make_key(observed, cx).await?;
    }
    let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    for config_map in &built.config_maps {
        let name = config_map.name_any();
        let params = PatchParams::apply(labels::FIELD_MANAGER).force();
        config_maps
            .patch(&name, &params, &Patch::Apply(config_map))
            .await
            .tried(|| format!("apply ConfigMap {namespace}/{name}"))?;
    }
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(client.clone(), namespace);
    for budget in &built.budgets {
        let name = budget.name_any();
        let created = budgets.create(&PostParams::default(), budget).await;
        if !is_status(&created, 409) {
            created.tried(|| format!("create PodDisruptionBudget {namespace}/{name}"))?;
        }
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    for (name, why) in &built.delete {
        tracing::info!(pod = %name, %namespace, why, "deleting");
        delete(&pods, name).await.tried(|| format!("delete pod {namespace}/{name}"))?;
    }
    for name in &built.adopt {
        set_role(&pods, name, labels::ROLE_OWNER).await.tried(|| format!("label pod {namespace}/{name}"))?;
    }
    for pod in &built.create {
        create(&pods, pod).await?;
    }
    for name in &built.stale_budgets {
        delete(&budgets, name).await.tried(|| format!("delete PodDisruptionBudget {namespace}/{name}"))?;
    }
    for name in &built.stale_config_maps {
        delete(&config_maps, name).await.tried(|| format!("delete ConfigMap {namespace}/{name}"))?;
    }
    Ok(())
}

/// Creates a pod. One of that name that is there already was made by an earlier run of the same step.
///
/// # Errors
/// If the API server refuses or cannot be reached.
pub async fn create(pods: &Api<Pod>, pod: &Pod) -> Result<()> {
    let name = pod.name_any();
    let created = pods.create(&PostParams::default(), pod).await;
    if is_status(&created, 409) {
        return Ok(());
    }
    tracing::info!(pod = %name, namespace = ?pod.namespace(), "created");
    created.map(drop).tried(|| format!("create pod {name}"))
}

/// Deletes something that may be gone already.
///
/// # Errors
/// If the API server refuses or cannot be reached.
pub async fn delete<K>(api: &Api<K>, name: &str) -> kube::Result<()>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let deleted = api.delete(name, &DeleteParams::default()).await;
    if is_status(&deleted, 404) { Ok(()) } else { deleted.map(drop) }
}

/// Sets the role label of a pod that may be gone already.
///
/// # Errors
/// If the API server refuses or cannot be reached.
pub async fn set_role(pods: &Api<Pod>, name: &str, role: &str) -> kube::Result<()> {
    let patch = serde_json::json!({"metadata": {"labels": {labels::LABEL_ROLE: role}}});
    let patched = pods.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
    if is_status(&patched, 404) { Ok(()) } else { patched.map(drop) }
}

/// Makes the function's key, once: whoever comes second keeps the first.
async fn make_key(observed: &Observed<'_>, cx: &Context) -> Result<()> {
    let mut key = vec![0; KEY_BYTES];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut key))
        .map_err(Error::Random)?;
    let name = names::secret(&observed.id.name, &observed.id.uid);
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            labels: Some(BTreeMap::from([(labels::LABEL_FUNCTION.to_owned(), observed.id.name.clone())])),
            owner_references: observed.function.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(SECRET_KEY.to_owned(), ByteString(key))])),
        immutable: Some(true),
        ..Secret::default()
    };
    let secrets: Api<Secret> = Api::namespaced(cx.clients.patient.clone(), &observed.id.namespace);
    let created = secrets.create(&PostParams::default(), &secret).await;
    if is_status(&created, 409) {
        return Ok(());
    }
    created.map(drop).tried(|| format!("create Secret {}/{name}", observed.id.namespace))
}
