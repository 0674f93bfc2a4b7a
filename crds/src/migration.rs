//! FunctionMigration: one move of a sub-function from the node where it runs to another.
//!
//! The record of a move: its spec cannot change but for `abort`, which goes from false to true once. How far it is
//! stands in `status.phase`; what it cost, as the neighbours measured it, in `status.downtime` and `status.packets`.

#![allow(clippy::duplicated_attributes, reason = "printer columns have the same keys")]
#![allow(unreachable_pub, reason = "KubeSchema repeats the item, pub and all, inside a function body")]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Duration;

/// A live move of one sub-function to another node.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "atomicnf.dev",
    version = "v1alpha1",
    kind = "FunctionMigration",
    plural = "functionmigrations",
    shortname = "fm",
    category = "anf",
    namespaced,
    status = "FunctionMigrationStatus",
    derive = "PartialEq",
    cel,
    doc = "A live move of one sub-function to another node.",
    selectable = ".spec.functionName",
    printcolumn(
        name = "Function",
        type_ = "string",
        json_path = ".spec.functionName",
        description = "The function that it belongs to"
    ),
    printcolumn(
        name = "SubFunction",
        type_ = "string",
        json_path = ".spec.subFunction",
        description = "What moves; empty for the whole function, piece by piece"
    ),
    printcolumn(
        name = "Phase",
        type_ = "string",
        json_path = ".status.phase",
        description = "How far it is"
    ),
    printcolumn(
        name = "From",
        type_ = "string",
        json_path = ".status.source.node",
        description = "The node that it leaves"
    ),
    printcolumn(
        name = "To",
        type_ = "string",
        json_path = ".status.target.node",
        description = "The node that it goes to"
    ),
    printcolumn(
        name = "Downtime",
        type_ = "string",
        json_path = ".status.downtime.measured",
        description = "Gap as the neighbours of the sub-function measured it"
    ),
    printcolumn(
        name = "Trigger",
        type_ = "string",
        json_path = ".spec.trigger",
        description = "What asked for it"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Time since creation"
    ),
    printcolumn(
        name = "Lost",
        type_ = "integer",
        json_path = ".status.packets.lost",
        description = "Packets lost",
        priority = 1
    ),
    printcolumn(
        name = "Flows",
        type_ = "integer",
        json_path = ".status.flowsMoved",
        description = "Flows carried over",
        priority = 1
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.reason",
        description = "Why it waits, or why it failed",
        priority = 1
    )
)]
#[x_kube(
    validation = Rule::new("self.functionName == oldSelf.functionName && has(self.subFunction) == has(oldSelf.subFunction) && (!has(self.subFunction) || self.subFunction == oldSelf.subFunction) && has(self.targetNode) == has(oldSelf.targetNode) && (!has(self.targetNode) || self.targetNode == oldSelf.targetNode) && has(self.nodeSelector) == has(oldSelf.nodeSelector) && (!has(self.nodeSelector) || self.nodeSelector == oldSelf.nodeSelector)")
        .message("what moves and where to cannot be changed; abort this migration and make another"),
    validation = Rule::new("self.trigger == oldSelf.trigger && self.plan == oldSelf.plan && has(self.maxDowntime) == has(oldSelf.maxDowntime) && (!has(self.maxDowntime) || self.maxDowntime == oldSelf.maxDowntime) && has(self.deadline) == has(oldSelf.deadline) && (!has(self.deadline) || self.deadline == oldSelf.deadline) && has(self.ttlSecondsAfterFinished) == has(oldSelf.ttlSecondsAfterFinished) && (!has(self.ttlSecondsAfterFinished) || self.ttlSecondsAfterFinished == oldSelf.ttlSecondsAfterFinished)")
        .message("only abort can be changed, from false to true"),
    validation = Rule::new("!oldSelf.abort || self.abort").message("an abort cannot be taken back"),
    validation = Rule::new("!has(self.maxDowntime) || !has(self.deadline) || duration(self.maxDowntime) <= duration(self.deadline)")
        .message("maxDowntime must not be longer than deadline")
)]
#[serde(rename_all = "camelCase")]
pub struct FunctionMigrationSpec {
    /// The AtomicFunction in the same namespace.
    #[schemars(length(min = 1, max = 32))]
    pub function_name: String,

    /// The sub-function to move. Empty: all that can be moved, one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    pub sub_function: Option<String>,

    /// The node to move to. Without it the scheduler chooses another one than the present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub target_node: Option<String>,

    /// Labels that the target node must have. Only restricts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<NodeLabels>")]
    pub node_selector: Option<BTreeMap<String, String>>,

    /// What asked for it.
    #[serde(default)]
    pub trigger: Trigger,

    /// The gap that neighbours may see at most. Without it the function's policy holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_downtime: Option<Duration>,

    /// Time for the whole migration. Without it the function's policy holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Duration>,

    /// Move nothing: say where it would go, why not elsewhere, and the expected gap.
    #[serde(default)]
    pub plan: bool,

    /// Call it off. Legal in every phase; after the commit it changes nothing any more.
    #[serde(default)]
    pub abort: bool,

    /// Delete the record this long after the end. Without it the newest few are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub ttl_seconds_after_finished: Option<i32>,
}

/// Schema of a bounded label selector: the API server must know how long a comparison can take.
struct NodeLabels;

impl JsonSchema for NodeLabels {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NodeLabels".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "maxProperties": 16,
            "additionalProperties": {"type": "string", "maxLength": 63}
        })
    }
}

/// What asked for a migration.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// A user.
    #[default]
    User,
    /// A node that is drained.
    Drain,
    /// A node that is lost.
    NodeFailure,
    /// A changed spec or image.
    Update,
    /// A better place.
    Rebalance,
}

impl Trigger {
    /// The word used in metrics and columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Drain => "Drain",
            Self::NodeFailure => "NodeFailure",
            Self::Update => "Update",
            Self::Rebalance => "Rebalance",
        }
    }
}

/// How far a migration is.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
pub enum MigrationPhase {
    /// Accepted or waiting in the queue.
    #[default]
    Pending,
    /// A node is chosen and the target pod waits for its place there.
    Scheduling,
    /// The target pod starts.
    Preparing,
    /// Flow state is copied while packets flow.
    Syncing,
    /// Neighbours turn from the source to the target.
    CuttingOver,
    /// The target owns the sub-function; the source is wound up.
    Finishing,
    /// Over: the target forwards.
    Succeeded,
    /// Over: the source forwards as if nothing had been tried.
    Failed,
    /// Over by request: the source forwards as if nothing had been tried.
    Aborted,
}

impl MigrationPhase {
    /// The word used in metrics and columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Scheduling => "Scheduling",
            Self::Preparing => "Preparing",
            Self::Syncing => "Syncing",
            Self::CuttingOver => "CuttingOver",
            Self::Finishing => "Finishing",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Aborted => "Aborted",
        }
    }

    /// No further phase follows.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Aborted)
    }
}

/// How a migration ended.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MigrationResult {
    /// The target forwards.
    Succeeded,
    /// The source forwards as if nothing had been tried.
    Failed,
    /// As Failed, by request.
    Aborted,
}

/// What the operator observed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FunctionMigrationStatus {
    /// Generation of the spec that the rest of the status speaks about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<MigrationPhase>,
    /// Why it waits or why it failed, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it waits for, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When each phase began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phase_transitions: Vec<PhaseTransition>,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Endpoint>,
    /// Where it goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Endpoint>,
    /// How much state is copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// The gap as neighbours measured it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downtime: Option<Downtime>,
    /// What happened to packets, by the sequence numbers of the links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packets: Option<Packets>,
    /// Flows carried over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flows_moved: Option<i64>,
    /// Where it would go and why not elsewhere, if only that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// The moves that this one consists of, if it is for a whole function.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<PieceStatus>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<MicroTime>,
    /// Planned, TargetReady, StateSynced, CutOver, WithinBudget, Complete, Failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// The beginning of a phase.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PhaseTransition {
    /// The phase.
    pub phase: MigrationPhase,
    /// When it began.
    pub at: MicroTime,
}

/// One end of a move.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// The node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The epoch in which that pod owns or owned the sub-function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
}

/// How much state is copied.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Progress {
    /// Flows to copy.
    pub flows_total: i64,
    /// Flows copied.
    pub flows_synced: i64,
    /// The same in percent.
    pub percent: i64,
    /// Expected time to the end of the copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta: Option<Duration>,
}

/// The gap as neighbours measured it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Downtime {
    /// The longest time between two probes during the move, less the interval of the probes.
    pub measured: Duration,
    /// The same over an equally long time just before.
    pub baseline: Duration,
    /// What was allowed.
    pub budget: Duration,
    /// measured ≤ budget.
    pub within_budget: bool,
    /// Where the time of the handover went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breakdown: Option<Breakdown>,
}

/// Where the time of a handover went.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Breakdown {
    /// Neighbours dial the target.
    pub prepare: Duration,
    /// State is copied while packets flow.
    pub sync: Duration,
    /// Everybody says that they could.
    pub arm: Duration,
    /// Upstreams turn to the target.
    pub cut: Duration,
    /// The source finishes and gives the ownership away.
    pub seal: Duration,
    /// The target begins.
    pub start: Duration,
}

/// What happened to packets.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Packets {
    /// Waited at the target between the cut and its start.
    pub parked: i64,
    /// Sent by an upstream and accepted by nobody.
    pub lost: i64,
    /// Accepted twice.
    pub duplicated: i64,
    /// Accepted out of order.
    pub reordered: i64,
}

/// Where a migration would go.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The node that would be tried first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Nodes that are out of the question.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<RejectedNode>,
    /// The gap to expect, from the last migration of this sub-function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_downtime: Option<Duration>,
}

/// A node that is out of the question.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RejectedNode {
    /// The node.
    pub node: String,
    /// Why.
    pub reason: String,
}

/// One move of several.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PieceStatus {
    /// The sub-function.
    pub sub_function: String,
    /// The FunctionMigration that moves it; empty where none is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<String>,
    /// How far that is.
    pub phase: MigrationPhase,
    /// Why it is left where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Why a migration failed.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// One word.
    pub reason: String,
    /// What happened and what to do.
    pub message: String,
    /// The phase in which it happened.
    pub phase: MigrationPhase,
}
