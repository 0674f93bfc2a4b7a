//! Labels, annotations, condition types and other names that are API.
//!
//! Everything a user, a dashboard or another program may match on stands here once.

/// The API group.
pub const GROUP: &str = "atomicnf.dev";
/// The API version.
pub const VERSION: &str = "v1alpha1";
/// The field manager of everything that the operator applies.
pub const FIELD_MANAGER: &str = "atomicnf";

/// Label of everything that belongs to a function: its name.
pub const LABEL_FUNCTION: &str = "atomicnf.dev/function";
/// Label of a pod or ConfigMap: the sub-function.
pub const LABEL_SUB_FUNCTION: &str = "atomicnf.dev/subfunction";
/// Label of a pod: `owner`, `target` or `retired`. Display and selection only: ownership is decided in the state store.
pub const LABEL_ROLE: &str = "atomicnf.dev/role";
/// Label of a pod made for a migration: the migration's name.
pub const LABEL_MIGRATION: &str = "atomicnf.dev/migration";
/// Label of a migration made for one piece of another: that one's name.
pub const LABEL_PARENT: &str = "atomicnf.dev/parent";
/// Label of a migration that answers an eviction: the pod that was to go.
pub const LABEL_EVICTED: &str = "atomicnf.dev/evicted-pod";
/// Annotation of a migration that answers an eviction: the node that was cordoned then.
pub const ANNOTATION_DRAINED_NODE: &str = "atomicnf.dev/drained-node";
/// Annotation of a pod: when its eviction was asked for last.
pub const ANNOTATION_EVACUATION: &str = "atomicnf.dev/evacuation-requested";
/// Annotation of a pod: hash of the manifest that it runs.
pub const ANNOTATION_MANIFEST: &str = "atomicnf.dev/manifest-hash";

/// Reason of a migration that was called off because its node takes pods again.
pub const REASON_UNCORDONED: &str = "Uncordoned";

/// Role of the pod that runs the sub-function.
pub const ROLE_OWNER: &str = "owner";
/// Role of a pod that a migration prepares.
pub const ROLE_TARGET: &str = "target";
/// Role of a pod whose sub-function has moved away.
pub const ROLE_RETIRED: &str = "retired";

/// Name of the container port for links between sub-functions.
pub const PORT_LINK: &str = "link";
/// Name of the container port for the control API, health and metrics.
pub const PORT_CONTROL: &str = "control";

/// Condition types of an AtomicFunction.
pub mod function_condition {
    /// The spec is valid and what runs was built from it.
    pub const ACCEPTED: &str = "Accepted";
    /// Every sub-function is owned and forwards.
    pub const READY: &str = "Ready";
    /// Pods are being created or moved.
    pub const PROGRESSING: &str = "Progressing";
    /// Something that should run does not.
    pub const DEGRADED: &str = "Degraded";
    /// Every sub-function that should be movable is.
    pub const MIGRATABLE: &str = "Migratable";
    /// The sidecars reach their state store.
    pub const STATE_STORE_REACHABLE: &str = "StateStoreReachable";
    /// A pod of the function is asked to leave its node.
    pub const EVACUATION_REQUESTED: &str = "EvacuationRequested";
}

/// Condition types of a FunctionMigration.
pub mod migration_condition {
    /// A target node was chosen.
    pub const PLANNED: &str = "Planned";
    /// The target pod runs and is ready to take over.
    pub const TARGET_READY: &str = "TargetReady";
    /// The target holds all flow state but the last changes.
    pub const STATE_SYNCED: &str = "StateSynced";
    /// The target owns the sub-function.
    pub const CUT_OVER: &str = "CutOver";
    /// The measured downtime is within the budget.
    pub const WITHIN_BUDGET: &str = "WithinBudget";
    /// The migration is over and has succeeded.
    pub const COMPLETE: &str = "Complete";
    /// The migration is over and has not succeeded.
    pub const FAILED: &str = "Failed";
}
