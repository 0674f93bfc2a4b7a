//! What can go wrong while reconciling.
//!
//! A variant is a metric label ([`Error::kind`]), its text names the object and the way out. What is wrong with a
//! user's object is not an error here: that goes into the object's conditions.

use crate::sidecars::SidecarError;

/// The operator's error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Kubernetes API refused or could not be reached.
    #[error("cannot {action}: {source}")]
    Kubernetes {
        /// What was tried, with the object's name.
        action: String,
        /// The client's error.
        source: Box<kube::Error>,
    },
    /// An object of a namespaced kind came without a namespace, name or UID.
    #[error("the API server sent {kind} without {field}")]
    Incomplete {
        /// The kind.
        kind: &'static str,
        /// The missing field.
        field: &'static str,
    },
    /// A sidecar refused or could not be reached.
    #[error(transparent)]
    Sidecar(#[from] SidecarError),
    /// Something of ours could not be written as JSON.
    #[error("cannot write {what} as JSON: {source}")]
    Json {
        /// What.
        what: &'static str,
        /// The cause.
        source: serde_json::Error,
    },
    /// No random bytes for a new key.
    #[error("cannot read random bytes from /dev/urandom for a key: {0}")]
    Random(std::io::Error),
    /// A call took too long.
    #[error("the API server did not answer within {seconds} s when asked to {action}")]
    Timeout {
        /// What was tried.
        action: String,
        /// How long we waited.
        seconds: u64,
    },
}

/// Shorthand.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The metric label of this kind of error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Kubernetes { .. } => "kubernetes",
            Self::Incomplete { .. } => "incomplete",
            Self::Sidecar(_) => "sidecar",
            Self::Json { .. } => "json",
            Self::Random(_) => "random",
            Self::Timeout { .. } => "timeout",
        }
    }
}

/// Says what was tried when a call to the API server fails.
pub trait Tried<T> {
    /// `action` completes "cannot …" and names the object.
    fn tried(self, action: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Tried<T> for kube::Result<T> {
    fn tried(self, action: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Kubernetes { action: action(), source: Box::new(source) })
    }
}

/// Whether the API server answered with this HTTP status.
pub fn is_status<T>(result: &kube::Result<T>, code: u16) -> bool {
    matches!(result, Err(kube::Error::Api(status)) if status.code == code)
}
