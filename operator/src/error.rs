//! What can go wrong while reconciling.
//!
//! A variant is a metric label ([`Error::kind`]), its text names the object and the way out. What is wrong with a
//! user's object is not an error here: that goes into the object's conditions.

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
    /// No random bytes for a new key.
    #[error("cannot read random bytes from /dev/urandom for a key: {0}")]
    Random(std::io::Error),
}

/// Shorthand.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The metric label of this kind of error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Kubernetes { .. } => "kubernetes",
            Self::Incomplete { .. } => "incomplete",
            Self::Random(_) => "random",
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
