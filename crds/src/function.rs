//! AtomicFunction: one Click graph, cut into sub-functions that run as pods.
//!
//! The graph comes in one of two forms: one text (`click`) with a cut (`subFunctions[].elements`), or a text for each
//! sub-function (`subFunctions[].click`) joined by `edges`. CEL rules hold the forms apart; what the text means is
//! checked by the operator with the sidecar's own code.

#![allow(clippy::duplicated_attributes, reason = "printer columns have the same keys")]
#![allow(unreachable_pub, reason = "KubeSchema repeats the item, pub and all, inside a function body")]

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, ResourceRequirements, Toleration, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Duration;
use crate::migration::{MigrationPhase, MigrationResult};

/// A network function: a Click graph, cut into sub-functions that run as pods and can each be moved live.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "atomicnf.dev",
    version = "v1alpha1",
    kind = "AtomicFunction",
    plural = "atomicfunctions",
    shortname = "af",
    category = "anf",
    namespaced,
    status = "AtomicFunctionStatus",
    derive = "PartialEq",
    cel,
    doc = "A network function: a Click graph, cut into sub-functions that run as pods and can each be moved live.",
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 32")
        .message("the name must be a DNS label that starts with a letter, of at most 32 characters"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.ready",
        description = "Sub-functions that are owned and forward, of all"
    ),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.phase", description = "Summary of the conditions"),
    printcolumn(
        name = "Migrating",
        type_ = "string",
        json_path = ".status.activeMigration.subFunction",
        description = "The sub-function that is on its way to another node"
    ),
    printcolumn(
        name = "Downtime",
        type_ = "string",
        json_path = ".status.lastMigration.downtime",
        description = "Gap of the last migration as the neighbours of the sub-function measured it"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "Time since creation"),
    printcolumn(
        name = "Nodes",
        type_ = "string",
        json_path = ".status.nodes",
        description = "Nodes that run its sub-functions",
        priority = 1
    ),
    printcolumn(
        name = "Flows",
        type_ = "integer",
        json_path = ".status.flows",
        description = "Flows in the tables of all sub-functions",
        priority = 1
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.reason",
        description = "Why it is not ready",
        priority = 1
    )
)]
#[x_kube(
    validation = Rule::new("has(self.click) ? self.subFunctions.all(s, !has(s.click)) && size(self.edges) == 0 : size(self.subFunctions) > 0 && self.subFunctions.all(s, has(s.click) && size(s.elements) == 0)")
        .message("give either one text in click, cut by subFunctions[].elements, or a text in every subFunctions[].click, joined by edges"),
    validation = Rule::new("self.edges.all(e, self.subFunctions.exists(s, s.name == e.from) && self.subFunctions.exists(s, s.name == e.to))")
        .message("every edge must join two of the subFunctions")
)]
#[serde(rename_all = "camelCase")]
pub struct AtomicFunctionSpec {
    /// The whole graph as one Click text. Leave it out to give each sub-function a text of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 262_144))]
    pub click: Option<String>,

    /// What the device names in the text are bound to.
    #[serde(default)]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub ports: Vec<Port>,

    /// The cut. Elements that no sub-function names form the sub-function "main".
    #[serde(default)]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub sub_functions: Vec<SubFunction>,

    /// Joins the texts of the sub-functions, where each has its own.
    #[serde(default)]
    #[schemars(length(max = 128))]
    pub edges: Vec<Edge>,

    /// How sub-functions are moved, unless they say otherwise.
    #[serde(default)]
    pub migration: MigrationPolicy,

    /// Where flow state is logged. Without it the operator's own store is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_store: Option<StateStore>,

    /// How packets travel between nodes.
    #[serde(default)]
    pub links: Links,

    /// Whether sub-functions should share a node.
    #[serde(default)]
    pub co_location: CoLocation,

    /// Stops the operator from changing anything; what runs goes on running.
    #[serde(default)]
    pub paused: bool,
}

/// A device name in the Click text and what it is bound to.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(
    validation = Rule::new("(has(self.node) ? 1 : 0) + (has(self.pod) ? 1 : 0) + (has(self.tun) ? 1 : 0) == 1")
        .message("a port is bound to exactly one of node, pod and tun")
)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// The device name as the Click text has it, e.g. in `FromDevice(lan)`.
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"))]
    pub name: String,
    /// An interface of the node, shared with the node: the graph has its own addresses there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodePort>,
    /// An interface in the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodPort>,
    /// A TUN device that the sidecar makes in the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tun: Option<TunPort>,
}

/// An interface of the node.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NodePort {
    /// Name of the interface on the node.
    #[schemars(length(min = 1, max = 15))]
    pub interface: String,
}

/// An interface in the pod.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PodPort {
    /// Name of the interface in the pod.
    #[schemars(length(min = 1, max = 15))]
    pub interface: String,
}

/// A TUN device in the pod.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TunPort {
    /// Addresses of the device with prefix length.
    #[schemars(length(min = 1, max = 16), inner(length(max = 64)))]
    pub addresses: Vec<String>,
}

/// A set of elements that run in one pod: the unit of placement and migration.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SubFunction {
    /// Name within the function.
    #[schemars(length(min = 1, max = 20), regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,

    /// Names or globs of elements of the function's text; the name of a compound takes everything inside it.
    #[serde(default)]
    #[schemars(length(max = 256), inner(length(min = 1, max = 128)))]
    pub elements: Vec<String>,

    /// A text of its own with ports `input` and `output`, where the function has no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65_536))]
    pub click: Option<String>,

    /// Resources of the sidecar's container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,

    /// Where the pod may run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,

    /// How this sub-function is moved, where it differs from the function's policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<MigrationOverride>,
}

/// Where a pod may run, in the words of a pod's spec.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// Labels that the node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub node_selector: BTreeMap<String, String>,
    /// Scheduling constraints of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// Taints that the pod tolerates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub tolerations: Vec<Toleration>,
    /// How pods are spread over the topology.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
}

/// A connection between the texts of two sub-functions.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Edge {
    /// The sub-function whose output it is.
    #[schemars(length(min = 1, max = 20))]
    pub from: String,
    /// Number of the output.
    #[serde(default)]
    #[schemars(range(min = 0, max = 255))]
    pub from_port: i32,
    /// The sub-function whose input it is.
    #[schemars(length(min = 1, max = 20))]
    pub to: String,
    /// Number of the input.
    #[serde(default)]
    #[schemars(range(min = 0, max = 255))]
    pub to_port: i32,
}

/// Whether a sub-function may be moved under traffic.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MigrationStrategy {
    /// Move it live, or not at all.
    #[default]
    LiveMigrate,
    /// Move it live where that is possible, else start it anew elsewhere.
    LiveMigrateIfPossible,
    /// Never move it.
    None,
}

/// How sub-functions are moved.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(
    validation = Rule::new("duration(self.maxDowntime) <= duration(self.deadline)")
        .message("maxDowntime must not be longer than deadline")
)]
#[serde(rename_all = "camelCase")]
pub struct MigrationPolicy {
    /// Whether sub-functions may be moved under traffic.
    #[serde(default)]
    pub strategy: MigrationStrategy,
    /// The gap that neighbours may see at most; a handover that would be longer is called off before the commit.
    #[serde(default = "default_max_downtime")]
    pub max_downtime: Duration,
    /// Time for the whole migration, target pod included.
    #[serde(default = "default_deadline")]
    pub deadline: Duration,
}

impl Default for MigrationPolicy {
    fn default() -> Self {
        Self {
            strategy: MigrationStrategy::default(),
            max_downtime: default_max_downtime(),
            deadline: default_deadline(),
        }
    }
}

const fn default_max_downtime() -> Duration {
    Duration::from_millis(10)
}

const fn default_deadline() -> Duration {
    Duration::from_secs(60)
}

/// How one sub-function is moved, where it differs from the function's policy.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(
    validation = Rule::new("!has(self.maxDowntime) || !has(self.deadline) || duration(self.maxDowntime) <= duration(self.deadline)")
        .message("maxDowntime must not be longer than deadline")
)]
#[serde(rename_all = "camelCase")]
pub struct MigrationOverride {
    /// Whether the sub-function may be moved under traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<MigrationStrategy>,
    /// The gap that neighbours may see at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_downtime: Option<Duration>,
    /// Time for the whole migration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Duration>,
}

impl MigrationPolicy {
    /// The policy of a sub-function with the given override.
    pub fn with(&self, other: Option<&MigrationOverride>) -> Self {
        let Some(other) = other else { return self.clone() };
        Self {
            strategy: other.strategy.unwrap_or(self.strategy),
            max_downtime: other.max_downtime.unwrap_or(self.max_downtime),
            deadline: other.deadline.unwrap_or(self.deadline),
        }
    }
}

/// Where flow state is logged.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StateStore {
    /// Address of the Redis server.
    #[schemars(length(min = 1, max = 512), regex(pattern = "^rediss?://"))]
    pub url: String,
    /// Key of a Secret that holds the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
    /// What happens to packets that need a stored record while the store is away.
    #[serde(default)]
    pub on_unavailable: OnUnavailable,
}

/// A key of a Secret in the function's namespace.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in the Secret.
    #[serde(default = "password_key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

fn password_key() -> String {
    "password".to_owned()
}

/// What happens while the state store is away.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnavailable {
    /// Go on from memory; migration is refused until the store is back.
    #[default]
    FailOpen,
    /// Hold packets that make new flows; known flows go on.
    FailClosed,
}

/// How packets travel between nodes.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Links {
    /// What is sealed on links between nodes. If the two ends differ, as during a change, everything is.
    #[serde(default)]
    pub encryption: LinkEncryption,
}

/// What is sealed on links between nodes. No value is a word that YAML takes for a boolean, as `Off` would be.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkEncryption {
    /// All that changes ownership. Packets are in the clear, with authenticated headers: for networks that encrypt.
    ControlOnly,
    /// Everything.
    #[default]
    Required,
}

/// Whether sub-functions should share a node.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CoLocation {
    /// On one node where possible.
    #[default]
    Prefer,
    /// On one node or not at all.
    Require,
    /// On different nodes where possible.
    Spread,
}

/// What the operator observed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AtomicFunctionStatus {
    /// Generation of the spec that the rest of the status speaks about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Summary for people; programs read the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<FunctionPhase>,
    /// Why it is not ready, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Sub-functions that are owned and forward, of all: `3/3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<String>,
    /// Nodes that run its sub-functions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<String>,
    /// Flows in the tables of all sub-functions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flows: Option<i64>,
    /// Hash of the graph that the pods run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph_hash: Option<String>,
    /// The sub-functions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub sub_functions: Vec<SubFunctionStatus>,
    /// The links between them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<LinkState>,
    /// The migration that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_migration: Option<ActiveMigration>,
    /// The last migration that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_migration: Option<LastMigration>,
    /// How many migrations have ended, and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrations: Option<MigrationCounts>,
    /// Accepted, Ready, Progressing, Degraded, Migratable, StateStoreReachable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Summary of a function's state.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionPhase {
    /// Not yet built.
    Pending,
    /// The spec cannot be built; pods of the last good one go on.
    Invalid,
    /// Pods are starting.
    Progressing,
    /// Every sub-function forwards.
    Ready,
    /// A sub-function is on its way to another node.
    Migrating,
    /// A sub-function that ran does not.
    Degraded,
    /// The operator was told to leave it alone.
    Paused,
}

/// One sub-function as observed.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SubFunctionStatus {
    /// Name within the function.
    pub name: String,
    /// The pod that runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The node of that pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The owner's epoch; it only grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
    /// It is owned and forwards.
    #[serde(default)]
    pub ready: bool,
    /// Number of elements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elements: Option<i64>,
    /// Flows in its tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flows: Option<i64>,
    /// Packets a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packet_rate: Option<i64>,
    /// It could be moved now.
    #[serde(default)]
    pub migratable: bool,
    /// Why it can or cannot be moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<MigratableReason>,
    /// What keeps it from being ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Why a sub-function can or cannot be moved.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MigratableReason {
    /// It can be moved.
    Eligible,
    /// No other node can take it.
    NoEligibleNode,
    /// The state store is away, so state cannot be handed over.
    StateStoreDown,
    /// It owns a port, which cannot be taken along.
    PinnedByPort,
    /// Its strategy forbids it.
    StrategyNone,
    /// It does not run.
    NotReady,
}

impl MigratableReason {
    /// The reason as conditions and columns show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eligible => "Eligible",
            Self::NoEligibleNode => "NoEligibleNode",
            Self::StateStoreDown => "StateStoreDown",
            Self::PinnedByPort => "PinnedByPort",
            Self::StrategyNone => "StrategyNone",
            Self::NotReady => "NotReady",
        }
    }
}

/// One link between two sub-functions.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LinkState {
    /// The sub-function that sends.
    pub from: String,
    /// The sub-function that receives.
    pub to: String,
    /// `unix` or `tcp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// Number of cut edges that it carries.
    #[serde(default)]
    pub edges: i64,
    /// Both ends are connected.
    #[serde(default)]
    pub connected: bool,
}

/// A migration that is under way.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ActiveMigration {
    /// Name of the FunctionMigration.
    pub name: String,
    /// The sub-function that moves.
    pub sub_function: String,
    /// The node that it leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The node that it goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// How far it is.
    pub phase: MigrationPhase,
}

/// The last migration that ended.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LastMigration {
    /// Name of the FunctionMigration.
    pub name: String,
    /// The sub-function that moved.
    pub sub_function: String,
    /// The node that it left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The node that it went to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// How it ended.
    pub result: MigrationResult,
    /// The gap that neighbours measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downtime: Option<Duration>,
    /// Packets lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<i64>,
    /// Flows carried over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flows: Option<i64>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<MicroTime>,
}

/// How many migrations have ended, and how.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct MigrationCounts {
    /// Migrations that succeeded.
    pub succeeded: i64,
    /// Migrations that failed or were aborted.
    pub failed: i64,
}
