//! The API types of `atomicnf.dev/v1alpha1`: what users write and what the operator answers.
//!
//! The types here are the single source of the definitions in `crds/*.yaml` (`cargo run -p anf-crds --bin gen-crds`;
//! a test compares them). Every list, map and string of a spec is bounded, because the API server refuses rules
//! whose cost it cannot bound. Field comments are the text of `kubectl explain`.

pub mod definition;
pub mod duration;
pub mod function;
pub mod migration;
pub mod names;

pub use duration::{Duration, ParseDurationError};
pub use function::{
    ActiveMigration, AtomicFunction, AtomicFunctionSpec, AtomicFunctionStatus, CoLocation, Edge,
    FunctionPhase, LastMigration, LinkEncryption, LinkState, Links, MigratableReason, MigrationCounts,
    MigrationOverride, MigrationPolicy, MigrationStrategy, NodePort, OnUnavailable, Placement, PodPort, Port,
    SecretKeyRef, StateStore, SubFunction, SubFunctionStatus, TunPort,
};
pub use migration::{
    Breakdown, Downtime, Endpoint, Failure, FunctionMigration, FunctionMigrationSpec,
    FunctionMigrationStatus, MigrationPhase, MigrationResult, Packets, PhaseTransition, PieceStatus, Plan,
    Progress, RejectedNode, Trigger,
};
