//! Second stage: from a spec to the parts that are to run, or to what is wrong with it. Pure.
//!
//! A spec that is wrong yields the parts of the last good graph, so that what runs goes on running and is healed.

use anf_crds::{
    AtomicFunctionSpec, LinkEncryption, MigrationPolicy, OnUnavailable, Placement, Port, SubFunction,
};
use anf_sidecar::manifest::{
    FunctionRef, LinkEncryption as ManifestEncryption, LinkPolicy, Manifest, OnUnavailable as StoreAway,
    Port as ManifestPort, PortBinding, StoreSpec,
};
use k8s_openapi::api::core::v1::ResourceRequirements;

use super::Identity;
use super::dereference::Observed;
use crate::graph::{self, Rejection};

/// One sub-function that is to run.
#[derive(Debug, Clone)]
pub struct Part {
    /// What its pod is told.
    pub manifest: Manifest,
    /// Resources of its container.
    pub resources: Option<ResourceRequirements>,
    /// Where it may run.
    pub placement: Option<Placement>,
    /// How it is moved.
    pub policy: MigrationPolicy,
}

impl Part {
    /// The sub-function's name.
    pub fn name(&self) -> &str {
        &self.manifest.sub_function
    }

    /// A part with the spec's settings for it.
    pub fn new(manifest: Manifest, spec: &AtomicFunctionSpec) -> Self {
        let own: Option<&SubFunction> =
            spec.sub_functions.iter().find(|sub| sub.name == manifest.sub_function);
        Self {
            manifest,
            resources: own.and_then(|sub| sub.resources.clone()),
            placement: own.and_then(|sub| sub.placement.clone()),
            policy: spec.migration.with(own.and_then(|sub| sub.migration.as_ref())),
        }
    }
}

/// What is to run, and whether that is what the spec says.
#[derive(Debug, Clone)]
pub struct Validated {
    /// The sub-functions, by name.
    pub parts: Vec<Part>,
    /// What is wrong with the spec, if something is: then the parts are those of the last good one.
    pub rejection: Option<Rejection>,
}

/// Validates a function.
pub fn validate(observed: &Observed<'_>, default_store: &str) -> Validated {
    let spec = &observed.function.spec;
    let (manifests, rejection) = match manifests(&observed.id, spec, default_store) {
        Ok(manifests) => (manifests, None),
        Err(rejection) => (observed.manifests.values().cloned().collect(), Some(rejection)),
    };
    let mut parts: Vec<Part> = manifests.into_iter().map(|manifest| Part::new(manifest, spec)).collect();
    parts.sort_by(|a, b| a.name().cmp(b.name()));
    Validated { parts, rejection }
}

/// What is wrong with a spec, if something is.
pub fn rejection(spec: &AtomicFunctionSpec, default_store: &str) -> Option<Rejection> {
    // Whose it is makes no difference to whether it can run.
    let nobody = Identity { namespace: String::new(), name: String::new(), uid: String::new() };
    manifests(&nobody, spec, default_store).err()
}

/// One manifest for each sub-function of a spec.
fn manifests(
    id: &Identity,
    spec: &AtomicFunctionSpec,
    default_store: &str,
) -> Result<Vec<Manifest>, Rejection> {
    let store = store(spec, default_store)?;
    let cut = graph::compile(spec)?;
    let ports: Vec<ManifestPort> = spec.ports.iter().filter_map(port).collect();
    let function =
        FunctionRef { namespace: id.namespace.clone(), name: id.name.clone(), uid: id.uid.clone() };
    let links = links(spec);
    let manifests = cut.parts.iter().map(|part| {
        Manifest::from_cut(function.clone(), &cut, &part.name, &ports, store.clone())
            .map(|manifest| Manifest { links, ..manifest })
            .map_err(|error| Rejection { reason: "InvalidCut", messages: vec![error.to_string()] })
    });
    manifests.collect()
}

fn links(spec: &AtomicFunctionSpec) -> LinkPolicy {
    let encryption = match spec.links.encryption {
        LinkEncryption::ControlOnly => ManifestEncryption::ControlOnly,
        LinkEncryption::Required => ManifestEncryption::Required,
    };
    LinkPolicy { encryption }
}

fn store(spec: &AtomicFunctionSpec, default_store: &str) -> Result<StoreSpec, Rejection> {
    let Some(store) = &spec.state_store else {
        return Ok(StoreSpec { url: default_store.to_owned(), on_unavailable: StoreAway::default() });
    };
    if store.secret_ref.is_some() {
        return Err(Rejection {
            reason: "UnsupportedStateStore",
            messages: vec![
                "stateStore.secretRef cannot be used in this version; name a store that the pods reach without a password"
                    .into(),
            ],
        });
    }
    let on_unavailable = match store.on_unavailable {
        OnUnavailable::FailOpen => StoreAway::FailOpen,
        OnUnavailable::FailClosed => StoreAway::FailClosed,
    };
    Ok(StoreSpec { url: store.url.clone(), on_unavailable })
}

/// The rule that a port is bound to exactly one thing is the API server's.
fn port(port: &Port) -> Option<ManifestPort> {
    let binding = if let Some(node) = &port.node {
        PortBinding::Node { interface: node.interface.clone() }
    } else if let Some(pod) = &port.pod {
        PortBinding::Pod { interface: pod.interface.clone() }
    } else {
        PortBinding::Tun { addresses: port.tun.as_ref()?.addresses.clone() }
    };
    Some(ManifestPort { name: port.name.clone(), binding })
}

#[cfg(test)]
mod tests;
