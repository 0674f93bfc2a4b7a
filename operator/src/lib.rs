//! The AtomicNF operator: it turns AtomicFunctions into pods and FunctionMigrations into handovers.
//!
//! Two controllers, each a folder: [`function`] and [`migration`]. Their middle is pure (what should exist, what comes
//! next); only the first and the last stages hold a client. No packet passes through here, and no packet waits for
//! what is decided here: with the operator dead, functions forward and a handover under way finishes by itself.
//! Beside them the [`webhook`] refuses what cannot run, and turns evictions into migrations ([`drain`]).

pub mod clients;
pub mod conditions;
pub mod drain;
pub mod error;
pub mod events;
pub mod function;
pub mod graph;
pub mod leader;
pub mod metrics;
pub mod migration;
pub mod names;
pub mod nodes;
pub mod pods;
pub mod serve;
pub mod settings;
pub mod sidecars;
pub mod webhook;

pub use error::{Error, Result};
