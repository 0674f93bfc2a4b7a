//! First stage: fetches everything that the decision about a function depends on.
//!
//! What cannot be fetched from the API server is an error; what a sidecar does not answer is an observation.

use std::collections::BTreeMap;

use anf_crds::{AtomicFunction, FunctionMigration, names as labels};
use anf_sidecar::control;
use anf_sidecar::manifest::Manifest;
use futures::future::join_all;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, Secret};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use super::{Context, Identity};
use crate::error::{Result, Tried};
use crate::{names, pods, sidecars};

/// Key of the manifest in a sub-function's ConfigMap.
pub const MANIFEST_KEY: &str = "manifest.json";
/// Key of the function's key in its Secret.
pub const SECRET_KEY: &str = "key";

/// What a pod's sidecar says, or why it says nothing.
pub type Answer = Result<control::Status, String>;

/// Everything that the decision about a function depends on.
pub struct Observed<'a> {
    /// Which function.
    pub id: Identity,
    /// The function itself.
    pub function: &'a AtomicFunction,
    /// Its key, if it has one.
    pub key: Option<Vec<u8>>,
    /// The manifests that its ConfigMaps hold, by sub-function: the last good graph.
    pub manifests: BTreeMap<String, Manifest>,
    /// Names of its PodDisruptionBudgets.
    pub budgets: Vec<String>,
    /// Its pods.
    pub pods: Vec<Pod>,
    /// What their sidecars say, by pod.
    pub answers: BTreeMap<String, Answer>,
    /// Its migrations.
    pub migrations: Vec<FunctionMigration>,
    /// The nodes of the cluster.
    pub nodes: Vec<Node>,
}

impl Observed<'_> {
    /// The pods of one sub-function.
    pub fn pods_of<'a>(&'a self, sub_function: &'a str) -> impl Iterator<Item = &'a Pod> {
        self.pods.iter().filter(move |pod| pods::label(pod, labels::LABEL_SUB_FUNCTION) == sub_function)
    }

    /// What a pod's sidecar said, if it said something.
    pub fn status_of(&self, pod: &Pod) -> Option<&control::Status> {
        self.answers.get(&pod.name_any())?.as_ref().ok()
    }

    /// The migration that moves this sub-function now.
    pub fn moving(&self, sub_function: &str) -> Option<&FunctionMigration> {
        self.migrations.iter().find(|migration| {
            let phase = migration.status.as_ref().and_then(|status| status.phase).unwrap_or_default();
            phase > anf_crds::MigrationPhase::Pending
                && !phase.is_over()
                && migration.spec.sub_function.as_deref() == Some(sub_function)
        })
    }

    /// The epoch of this sub-function in the function's status; 0 if it was never owned.
    pub fn recorded_epoch(&self, sub_function: &str) -> u64 {
        let recorded = self.function.status.iter().flat_map(|status| &status.sub_functions);
        let recorded = recorded.filter(|sub| sub.name == sub_function).filter_map(|sub| sub.epoch);
        recorded.filter_map(|epoch| u64::try_from(epoch).ok()).max().unwrap_or(0)
    }

    /// The highest epoch that anybody ever told of this sub-function; 0 if it was never owned.
    pub fn last_epoch(&self, sub_function: &str) -> u64 {
        let told =
            self.pods_of(sub_function).filter_map(|pod| self.status_of(pod)).map(|status| status.epoch);
        told.max().unwrap_or(0).max(self.recorded_epoch(sub_function))
    }
}

/// Fetches it all.
///
/// # Errors
/// If the API server refuses or cannot be reached.
pub async fn dereference<'a>(
    id: Identity,
    function: &'a AtomicFunction,
    cx: &Context,
) -> Result<Observed<'a>> {
    let (key, config_maps, budgets, pods, migrations) = futures::try_join!(
        fetch_key(&id, cx),
        list::<ConfigMap>(&id, cx, "ConfigMaps"),
        list::<PodDisruptionBudget>(&id, cx, "PodDisruptionBudgets"),
        list::<Pod>(&id, cx, "pods"),
        fetch_migrations(&id, cx),
    )?;
    let answers = ask(&pods, key.as_deref()).await;
    let manifests = config_maps.iter().filter_map(manifest).collect();
    let nodes = cx.nodes.state().iter().map(|node| (**node).clone()).collect();
    let budgets = budgets.iter().map(ResourceExt::name_any).collect();
    Ok(Observed { id, function, key, manifests, budgets, pods, answers, migrations, nodes })
}

/// The key of a function, from its Secret.
///
/// # Errors
/// If the API server refuses or cannot be reached.
pub async fn fetch_key(id: &Identity, cx: &Context) -> Result<Option<Vec<u8>>> {
    let name = names::secret(&id.name, &id.uid);
    let secrets: Api<Secret> = Api::namespaced(cx.clients.patient.clone(), &id.namespace);
    let secret = secrets.get_opt(&name).await.tried(|| format!("read Secret {}/{name}", id.namespace))?;
    let key = secret.and_then(|secret| secret.data).and_then(|mut data| data.remove(SECRET_KEY));
    Ok(key.map(|key| key.0).filter(|key| !key.is_empty()))
}

/// What is labelled with the function's name and controlled by it.
async fn list<K>(id: &Identity, cx: &Context, what: &str) -> Result<Vec<K>>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(cx.clients.patient.clone(), &id.namespace);
    let ours = ListParams::default().labels(&format!("{}={}", labels::LABEL_FUNCTION, id.name));
    let mut found =
        api.list(&ours).await.tried(|| format!("list {what} of {}/{}", id.namespace, id.name))?.items;
    found.retain(|object| is_controlled_by(object, &id.uid));
    Ok(found)
}

fn is_controlled_by<K: kube::Resource>(object: &K, uid: &str) -> bool {
    object.owner_references().iter().any(|owner| owner.uid == uid && owner.controller == Some(true))
}

async fn fetch_migrations(id: &Identity, cx: &Context) -> Result<Vec<FunctionMigration>> {
    let api: Api<FunctionMigration> = Api::namespaced(cx.clients.patient.clone(), &id.namespace);
    let ours = ListParams::default().fields(&format!("spec.functionName={}", id.name));
    Ok(api.list(&ours).await.tried(|| format!("list migrations of {}/{}", id.namespace, id.name))?.items)
}

/// Asks all sidecars at once: the slowest costs one timeout, not their sum.
async fn ask(pods: &[Pod], key: Option<&[u8]>) -> BTreeMap<String, Answer> {
    let Some(token) = key.map(pods::token) else { return BTreeMap::new() };
    let questions = pods.iter().filter_map(|pod| Some((pod.name_any(), pods::control(pod, &token)?)));
    let answers = questions.map(|(pod, at)| async move {
        let answer = sidecars::status(&at).await.map_err(|error| error.to_string());
        (pod, answer)
    });
    join_all(answers).await.into_iter().collect()
}

fn manifest(config_map: &ConfigMap) -> Option<(String, Manifest)> {
    let text = config_map.data.as_ref()?.get(MANIFEST_KEY)?;
    let manifest: Manifest = serde_json::from_str(text).ok()?;
    Some((manifest.sub_function.clone(), manifest))
}
