//! The admission webhook: what cannot run is refused at `kubectl apply`, and an eviction becomes a migration.
//!
//! Every replica serves, the leader alone makes and renews the certificates. The API server goes on without the
//! webhook (`failurePolicy: Ignore`): a bad function is then reported in its condition `Accepted`, and a pod is held by
//! its PodDisruptionBudget.

pub mod admission;
pub mod certificates;
pub mod keeper;
pub mod server;

use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;

/// Path of reviews of functions and migrations.
pub const PATH_ADMISSION: &str = "/admission";
/// Path of reviews of evictions.
pub const PATH_EVICTION: &str = "/eviction";

/// The certificate that is served now, if there is one; clones share it.
#[derive(Clone, Default)]
pub struct Served(Arc<RwLock<Option<Arc<ServerConfig>>>>);

impl Served {
    /// What the next connection gets.
    pub fn current(&self) -> Option<Arc<ServerConfig>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces it; connections that are open keep theirs.
    pub fn set(&self, config: Arc<ServerConfig>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(config);
    }
}

/// What a review came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass; warnings are shown to whoever asked.
    Allow(Vec<String>),
    /// It may not.
    Deny {
        /// HTTP status.
        code: u16,
        /// Kubernetes' word for that status.
        reason: &'static str,
        /// What is wrong and what to do.
        message: String,
    },
}

impl Verdict {
    /// It may pass, and there is nothing to say.
    pub const fn allow() -> Self {
        Self::Allow(Vec::new())
    }

    /// The object cannot be.
    pub fn invalid(message: String) -> Self {
        Self::Deny { code: 422, reason: "Invalid", message }
    }
}
