//! What the operator is told by its command line and environment.

use std::net::SocketAddr;
use std::time::Duration;

/// Log lines for people or for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One readable line.
    Text,
    /// One JSON object a line.
    Json,
}

/// The AtomicNF operator.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "anf-operator", version, about)]
pub struct Settings {
    /// Image of the sidecar that runs each sub-function.
    #[arg(long, env = "ANF_SIDECAR_IMAGE")]
    pub sidecar_image: String,
    /// Redis for functions that name no state store of their own.
    #[arg(long, env = "ANF_REDIS_URL")]
    pub redis_url: String,
    /// Filter of the sidecars' logs.
    #[arg(long, env = "ANF_SIDECAR_LOG", default_value = "info")]
    pub sidecar_log: String,
    /// Directory of the nodes under which the pods of a function share one, so that links on a node run through memory.
    #[arg(long, env = "ANF_LINK_DIRECTORY", value_name = "PATH")]
    pub link_directory: Option<String>,
    /// Namespace of the lease.
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    pub namespace: String,
    /// This replica's name, the lease's holder.
    #[arg(long, env = "POD_NAME", default_value = "anf-operator")]
    pub pod_name: String,
    /// Address of metrics and health.
    #[arg(long, env = "ANF_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Address of the webhook.
    #[arg(long, env = "ANF_WEBHOOK_LISTEN", default_value = "0.0.0.0:8443")]
    pub webhook_listen: SocketAddr,
    /// Service by which the API server reaches the webhook; without it there is none.
    #[arg(long, env = "ANF_WEBHOOK_SERVICE")]
    pub webhook_service: Option<String>,
    /// ValidatingWebhookConfiguration that is told whom to trust.
    #[arg(long, env = "ANF_WEBHOOK_CONFIGURATION", default_value = "atomicnf")]
    pub webhook_configuration: String,
    /// Secret for the webhook's certificate.
    #[arg(long, env = "ANF_WEBHOOK_SECRET", default_value = "atomicnf-webhook")]
    pub webhook_secret: String,
    /// Seconds between two looks at a function's sidecars.
    #[arg(long, env = "ANF_POLL_SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub poll_seconds: u64,
    /// Ended migrations that are kept for each function, where they have no time to live of their own.
    #[arg(long, env = "ANF_MIGRATION_HISTORY", default_value_t = 30)]
    pub migration_history: usize,
    /// Form of log lines.
    #[arg(long, env = "ANF_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
}

impl Settings {
    /// Time between two looks at a function's sidecars.
    pub fn poll(&self) -> Duration {
        Duration::from_secs(self.poll_seconds)
    }
}
