//! A function as the API server and its sidecars would show it, for tests of the pure stages.

use std::collections::BTreeMap;

use anf_crds::{AtomicFunction, FunctionMigration};
use anf_sidecar::control::{Role, Status, StoreStatus};
use anf_sidecar::manifest::Manifest;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::Identity;
use super::dereference::Observed;
use super::pod::Image;
use super::validate::{Validated, validate};

pub(crate) const STORE: &str = "redis://redis:6379";

pub(crate) fn image() -> Image {
    Image { name: "sidecar:1".into(), log: "info".into(), link_directory: None }
}

/// `count` is a sub-function of its own, the rest is `main`.
pub(crate) fn function() -> AtomicFunction {
    function_with(json!({
        "click": "InfiniteSource(LIMIT 1) -> c :: Counter -> Discard;",
        "subFunctions": [{"name": "count", "elements": ["c"]}]
    }))
}

pub(crate) fn function_with(spec: Value) -> AtomicFunction {
    serde_json::from_value(json!({
        "apiVersion": "atomicnf.dev/v1alpha1", "kind": "AtomicFunction",
        "metadata": {"name": "f", "namespace": "default", "uid": "f-uid", "generation": 1}, "spec": spec
    }))
    .expect("a function")
}

pub(crate) fn observed(function: &AtomicFunction) -> Observed<'_> {
    Observed {
        id: Identity { namespace: "default".into(), name: "f".into(), uid: "f-uid".into() },
        function,
        key: Some(vec![7; 32]),
        manifests: BTreeMap::new(),
        budgets: Vec::new(),
        pods: Vec::new(),
        answers: BTreeMap::new(),
        migrations: Vec::new(),
        nodes: vec![node("w1"), node("w2")],
    }
}

/// As [`observed`], with the ConfigMaps that the function's spec asks for.
pub(crate) fn built_before(function: &AtomicFunction) -> (Observed<'_>, Validated) {
    let mut observed = observed(function);
    let validated = validate(&observed, STORE);
    observed.manifests =
        validated.parts.iter().map(|part| (part.name().to_owned(), part.manifest.clone())).collect();
    (observed, validated)
}

pub(crate) fn node(name: &str) -> Node {
    serde_json::from_value(json!({
        "metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}
    }))
    .expect("a node")
}

/// A pod that runs `manifest`.
pub(crate) fn pod(name: &str, role: &str, manifest: &Manifest) -> Pod {
    serde_json::from_value(json!({
        "metadata": {
            "name": name, "namespace": "default", "uid": format!("{name}-uid"),
            "labels": {
                "atomicnf.dev/function": "f", "atomicnf.dev/subfunction": manifest.sub_function,
                "atomicnf.dev/role": role
            },
            "annotations": {"atomicnf.dev/manifest-hash": crate::names::manifest_hash(manifest)}
        },
        "spec": {"nodeName": "w1", "containers": []}, "status": {"phase": "Running"}
    }))
    .expect("a pod")
}

pub(crate) fn migration(name: &str, sub_function: &str, phase: &str) -> FunctionMigration {
    serde_json::from_value(json!({
        "apiVersion": "atomicnf.dev/v1alpha1", "kind": "FunctionMigration",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"functionName": "f", "subFunction": sub_function}, "status": {"phase": phase}
    }))
    .expect("a migration")
}

impl Observed<'_> {
    /// Adds a pod whose sidecar answers.
    pub(crate) fn with_pod(&mut self, pod: Pod, role: Role, epoch: u64) {
        let status = Status {
            sub_function: crate::pods::label(&pod, "atomicnf.dev/subfunction").to_owned(),
            owner_id: pod.name_any(),
            role,
            epoch,
            graph_hash: String::new(),
            elements: 3,
            flows: 10,
            packet_rate: 99.6,
            packets: 1,
            links: Vec::new(),
            store: StoreStatus { reachable: true, lag_frames: 0, last_frame: 0, reason: None },
            handover: None,
            drops: BTreeMap::new(),
            link_ends: BTreeMap::new(),
            not_ready: None,
        };
        self.answers.insert(pod.name_any(), Ok(status));
        self.pods.push(pod);
    }
}
