//! The two Kubernetes clients.
//!
//! The default client repeats a call that is answered 429, 503 or 504 up to fifteen times, which can take minutes.
//! That suits a reconcile that nobody waits for; on the path of a cut-over, and for the lease, an answer is needed
//! now, so those use a client that never repeats.

use std::time::Duration;

use kube::{Client, Config};

/// Time for a call of the direct client, all of which are short; watches go through the other.
const DIRECT_CALL: Duration = Duration::from_secs(10);

/// The clients.
#[derive(Clone)]
pub struct Clients {
    /// Repeats refused calls.
    pub patient: Client,
    /// Never repeats a call.
    pub direct: Client,
}

impl Clients {
    /// Clients from the pod's service account or the user's kubeconfig.
    ///
    /// # Errors
    /// If there is neither, or its certificates cannot be used.
    pub async fn from_environment() -> anyhow::Result<Self> {
        let config = Config::infer().await?;
        let mut direct = config.clone();
        direct.default_retry = false;
        direct.read_timeout = Some(DIRECT_CALL);
        Ok(Self { patient: Client::try_from(config)?, direct: Client::try_from(direct)? })
    }
}
