//! What can go wrong on the command line, with the way out, and the exit status of each.

use std::path::PathBuf;

use anf_crds::MigrationResult;

/// Everything that ends a command early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    #[error(
        "no cluster is configured: {0}\n  help: set KUBECONFIG or --kubeconfig; lint, cut and graph FILE need none"
    )]
    NoCluster(String),
    #[error(
        "cannot reach the cluster at {url}: {cause}\n  help: see whether `kubectl cluster-info` answers; another cluster is chosen with --context"
    )]
    Unreachable { url: String, cause: String },
    #[error(
        "the cluster has no AtomicNF (it knows no {0})\n  help: helm install atomicnf charts/atomicnf --namespace atomicnf-system --create-namespace"
    )]
    NotInstalled(&'static str),
    #[error("you may not do this: {0}")]
    Forbidden(String),
    #[error("refused: {0}")]
    Refused(String),
    #[error("the cluster answered with an error: {0}")]
    Api(String),
    #[error("namespace {namespace} has no {kind} \"{name}\"{hint}")]
    NotFound { namespace: String, kind: &'static str, name: String, hint: String },
    #[error("function {function} has no sub-function \"{name}\"{hint}")]
    NoSubFunction { function: String, name: String, hint: String },
    #[error("function {function} has no migration under way{hint}")]
    NothingUnderWay { function: String, hint: String },
    #[error("function {function} has {} migrations under way: name one of {}", .migrations.len(), .migrations.join(", "))]
    Ambiguous { function: String, migrations: Vec<String> },
    #[error("there is no node \"{name}\"{hint}")]
    NoNode { name: String, hint: String },
    #[error("migration {0} was deleted while it was followed")]
    Deleted(String),
    #[error(
        "{name} is still under way after {seconds:.0} s; it goes on\n  help: kubectl anf watch {name}, or kubectl anf abort {name}"
    )]
    TimedOut { name: String, seconds: f64 },
    #[error(
        "{name} is still under way; it goes on without this command\n  help: kubectl anf watch {name}, or kubectl anf abort {name}"
    )]
    Interrupted { name: String },
    /// The last line has been printed already.
    #[error("the migration ended as {0:?}")]
    Ended(MigrationResult),
    #[error("cannot read {}: {cause}", .path.display())]
    Read { path: PathBuf, cause: String },
    #[error("cannot write {}: {cause}", .path.display())]
    Write { path: PathBuf, cause: String },
    #[error("{}: {message}", .path.display())]
    File { path: PathBuf, message: String },
    /// The messages have been printed already.
    #[error("{0} with errors")]
    Lint(String),
    #[error("cannot print the answer: {0}")]
    Output(String),
}

impl CliError {
    /// The status that the program ends with.
    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Self::Ended(MigrationResult::Failed) => 3,
            Self::Ended(MigrationResult::Aborted) => 4,
            Self::TimedOut { .. } => 5,
            Self::Interrupted { .. } => 130,
            _ => 1,
        }
    }

    /// Whether the user has seen why already.
    pub(crate) fn is_told(&self) -> bool {
        matches!(self, Self::Ended(_) | Self::Lint(_))
    }
}
