//! What a migration needs to know of its function: fetched once, kept while it is under way.
//!
//! A handover is looked at five times a second; asking the API server for the function, its key and its manifest each
//! time would put load where the traffic is measured.

use anf_crds::{AtomicFunction, CoLocation};
use anf_sidecar::manifest::Manifest;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use kube::api::Api;

use crate::error::{Result, Tried};
use crate::function::dereference::{MANIFEST_KEY, fetch_key};
use crate::function::validate::Part;
use crate::function::{Context, Identity};
use crate::{names, pods};

/// The function and the sub-function that moves.
#[derive(Debug, Clone)]
pub struct Case {
    /// The function.
    pub function: Identity,
    /// Its reference, as the controller of pods.
    pub owner: OwnerReference,
    /// Whether its pods keep together.
    pub co_location: CoLocation,
    /// Token of the sidecars' control API.
    pub token: String,
    /// The sub-function.
    pub part: Part,
}

/// What came of looking for it.
#[derive(Debug, Clone)]
pub enum Found {
    /// It is there.
    Case(Box<Case>),
    /// There is no such function.
    NoFunction,
    /// The function has no such sub-function; these it has.
    NoSubFunction(Vec<String>),
    /// The function was not built yet.
    NotBuilt,
}

/// Fetches it.
///
/// # Errors
/// If the API server refuses or cannot be reached.
pub async fn load(namespace: &str, function: &str, sub_function: &str, cx: &Context) -> Result<Found> {
    let client = cx.clients.direct.clone();
    let functions: Api<AtomicFunction> = Api::namespaced(client.clone(), namespace);
    let found =
        functions.get_opt(function).await.tried(|| format!("read AtomicFunction {namespace}/{function}"))?;
    let Some(found) = found.filter(|function| function.metadata.deletion_timestamp.is_none()) else {
        return Ok(Found::NoFunction);
    };
    let name = names::config_map(function, sub_function);
    let config_maps: Api<ConfigMap> = Api::namespaced(client, namespace);
    let config_map =
        config_maps.get_opt(&name).await.tried(|| format!("read ConfigMap {namespace}/{name}"))?;
    let text = config_map.and_then(|map| map.data).and_then(|mut data| data.remove(MANIFEST_KEY));
    let Some(manifest) = text.and_then(|text| serde_json::from_str::<Manifest>(&text).ok()) else {
        let known: Vec<String> = found
            .status
            .iter()
            .flat_map(|status| &status.sub_functions)
            .map(|sub| sub.name.clone())
            .collect();
        let not_built = known.is_empty() || known.iter().any(|name| name == sub_function);
        return Ok(if not_built { Found::NotBuilt } else { Found::NoSubFunction(known) });
    };
    let id = Identity::of(&found, "an AtomicFunction")?;
    let (Some(key), Some(owner)) = (fetch_key(&id, cx).await?, found.controller_owner_ref(&())) else {
        return Ok(Found::NotBuilt);
    };
    Ok(Found::Case(Box::new(Case {
        function: id,
        owner,
        co_location: found.spec.co_location,
        token: pods::token(&key),
        part: Part::new(manifest, &found.spec),
    })))
}
