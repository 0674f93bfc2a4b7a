//! What one pod runs: the part of the graph, its ports, its links and where its state is kept.
//!
//! The operator writes a manifest as JSON into a ConfigMap, the lab writes the same into a file, the sidecar reads it.

use std::path::Path;

use anf_click::Cut;
use serde::{Deserialize, Serialize};

use crate::link_map::LinkMap;
use crate::registry::Registry;

/// The function that a sub-function belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionRef {
    /// Namespace of the AtomicFunction.
    pub namespace: String,
    /// Name of the AtomicFunction.
    pub name: String,
    /// Its UID: state and links are keyed by it, never by the name.
    pub uid: String,
}

/// What a device name in the Click text is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// The device name in the text, for example `lan`.
    pub name: String,
    /// What it is bound to.
    #[serde(flatten)]
    pub binding: PortBinding,
}

/// The kinds of device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PortBinding {
    /// An interface of the node (host network).
    Node {
        /// Its name, for example `eth0`.
        interface: String,
    },
    /// An interface in the pod.
    Pod {
        /// Its name, for example `net1`.
        interface: String,
    },
    /// A TUN device made by the sidecar.
    Tun {
        /// Addresses with prefix length that the device gets.
        #[serde(default)]
        addresses: Vec<String>,
    },
}

/// A cut edge as one end of a link sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EdgeSpec {
    /// The edge's number within the function.
    pub id: u16,
    /// The annotations that cross with each packet (bits of `anf_click::Annotations`).
    pub annotations: u64,
}

/// All edges to or from one peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkSpec {
    /// The sub-function at the other end.
    pub peer: String,
    /// The edges that it carries.
    pub edges: Vec<EdgeSpec>,
    /// Whether the link is part of a cycle of sub-functions: such a link drops (and counts) when it is full,
    /// any other makes its sender wait.
    pub in_cycle: bool,
}

/// What to do with new flows while the state store is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OnUnavailable {
    /// Serve from memory and store again later.
    #[default]
    FailOpen,
    /// Hold the packets of new flows until the store is back.
    FailClosed,
}

/// Where the state is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreSpec {
    /// For example `redis://atomicnf-redis:6379`.
    pub url: String,
    /// What to do while it is away.
    #[serde(default)]
    pub on_unavailable: OnUnavailable,
}

/// What is sealed on links between nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum LinkEncryption {
    /// Packets are in the clear. The headers of their frames are authenticated, and all other frames are sealed.
    ControlOnly,
    /// Everything is sealed.
    #[default]
    Required,
}

/// How links between nodes behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkPolicy {
    /// Whether packets are sealed.
    #[serde(default)]
    pub encryption: LinkEncryption,
}

/// Everything that a sidecar needs to know about its sub-function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The function.
    pub function: FunctionRef,
    /// The sub-function's name.
    pub sub_function: String,
    /// [`Cut::hash`]: only parts of the same cut talk to each other.
    pub graph_hash: String,
    /// The part's Click text.
    pub click: String,
    /// Bindings of the device names in this part.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// Links that bring packets.
    #[serde(default)]
    pub in_links: Vec<LinkSpec>,
    /// Links that take packets away.
    #[serde(default)]
    pub out_links: Vec<LinkSpec>,
    /// How links to other nodes behave.
    #[serde(default)]
    pub links: LinkPolicy,
    /// Where the state is kept.
    pub store: StoreSpec,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file cannot be read.
    #[error("cannot read the manifest {path}")]
    Read {
        /// The file.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is not a manifest.
    #[error("the manifest {path} is not valid")]
    Parse {
        /// The file.
        path: String,
        /// The cause.
        source: serde_json::Error,
    },
    /// The cut has no such part.
    #[error("the cut has no sub-function \"{0}\"")]
    NoSuchPart(String),
}

impl Manifest {
    /// The manifest of one part of a cut. `ports` may hold more than the part uses; it keeps those that it names.
    pub fn from_cut(
        function: FunctionRef,
        cut: &Cut,
        part: &str,
        ports: &[Port],
        store: StoreSpec,
    ) -> Result<Self, ManifestError> {
        let found = cut
            .parts
            .iter()
            .find(|p| p.name == part)
            .ok_or_else(|| ManifestError::NoSuchPart(part.into()))?;
        let devices = device_names(&found.graph);
        let map = LinkMap::of(cut);
        Ok(Self {
            function,
            sub_function: part.to_string(),
            graph_hash: map.graph_hash.clone(),
            click: found.graph.to_string(),
            ports: ports.iter().filter(|port| devices.contains(&port.name)).cloned().collect(),
            in_links: map.in_links(part),
            out_links: map.out_links(part),
            links: LinkPolicy::default(),
            store,
        })
    }

    /// Reads a manifest file.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|source| ManifestError::Read { path: shown.clone(), source })?;
        serde_json::from_str(&text).map_err(|source| ManifestError::Parse { path: shown, source })
    }
}

/// The device names that a graph's elements use.
pub fn device_names(graph: &anf_click::FlatGraph) -> Vec<String> {
    let registry = Registry::standard();
    let mut names: Vec<String> = graph
        .elements
        .iter()
        .filter_map(|element| registry.descriptor(&element.class)?.device_name(&element.config))
        .collect();
    names.sort();
    names.dedup();
    names
}
