//! Keeps the webhook's certificates: in a Secret, in the webhook's configuration, and in the server.
//!
//! Every replica serves what the Secret holds. The leader makes it, renews it, and tells the API server whom to trust:
//! before the new certificate is stored, so that nobody ever serves one that is not believed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams, PostParams};

use super::Served;
use super::certificates::{Bundle, CertificateError};
use crate::error::{Error, Tried, is_status};

/// The Secret and the configuration are looked at this often; until there is a certificate, every second.
const LOOK: Duration = Duration::from_secs(10);
const FIRST: Duration = Duration::from_secs(1);

/// Whether this replica leads; clones share it.
#[derive(Clone, Default)]
pub struct Leading(Arc<AtomicBool>);

impl Leading {
    /// This replica leads from now on, or does not any more.
    pub fn set(&self, leading: bool) {
        self.0.store(leading, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
enum KeeperError {
    #[error(transparent)]
    Api(#[from] Error),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Where things are.
pub struct Keeper {
    /// Must not repeat refused calls.
    pub client: Client,
    /// The operator's namespace.
    pub namespace: String,
    /// The Secret.
    pub secret: String,
    /// The Service by which the API server reaches the webhook.
    pub service: String,
    /// The ValidatingWebhookConfiguration.
    pub configuration: String,
    /// Whether this replica leads.
    pub leading: Leading,
    /// What is served.
    pub served: Served,
}

impl Keeper {
    /// Runs for ever; what fails is logged and tried again.
    pub async fn run(self) {
        let mut serving = None;
        loop {
            match self.look(&mut serving).await {
                Ok(()) => {}
                Err(error) => tracing::warn!(%error, "the webhook's certificates were not looked after"),
            }
            tokio::time::sleep(if serving.is_some() { LOOK } else { FIRST }).await;
        }
    }

    async fn look(&self, serving: &mut Option<Bundle>) -> Result<(), KeeperError> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let found = secrets.get_opt(&self.secret).await.tried(|| self.doing("read"))?;
        let known = found.as_ref().and_then(Bundle::from_secret);
        let fit = known.as_ref().filter(|bundle| bundle.server_config().is_ok());
        let bundle = match fit {
            Some(bundle) if !(self.leading.get() && bundle.is_due(SystemTime::now())) => bundle.clone(),
            _ if self.leading.get() => match self.renew(&secrets, found.as_ref(), fit).await? {
                Some(made) => made,
                None => return Ok(()),
            },
            _ => return Ok(()),
        };
        if self.leading.get() {
            self.trust(&bundle).await?;
        }
        if serving.as_ref() != Some(&bundle) {
            self.served.set(bundle.server_config()?);
            tracing::info!("the webhook serves the certificate of Secret {}", self.secret);
            *serving = Some(bundle);
        }
        Ok(())
    }

    /// Nothing if another was faster: its bundle is as good, and the next look finds it.
    async fn renew(
        &self,
        secrets: &Api<Secret>,
        found: Option<&Secret>,
        before: Option<&Bundle>,
    ) -> Result<Option<Bundle>, KeeperError> {
        let names = [
            format!("{}.{}.svc", self.service, self.namespace),
            format!("{}.{}.svc.cluster.local", self.service, self.namespace),
        ];
        let bundle = Bundle::make(&names, before, SystemTime::now())?;
        self.trust(&bundle).await?;
        let params = PostParams::default();
        let new = bundle.to_secret(&self.secret, found.and_then(ResourceExt::resource_version));
        let written = match found {
            Some(_) => secrets.replace(&self.secret, &params, &new).await,
            None => secrets.create(&params, &new).await,
        };
        if is_status(&written, 409) {
            return Ok(None);
        }
        written.tried(|| self.doing("write"))?;
        Ok(Some(bundle))
    }

    /// Tells the API server whom to trust, if it does not know.
    async fn trust(&self, bundle: &Bundle) -> Result<(), KeeperError> {
        let name = &self.configuration;
        let api: Api<ValidatingWebhookConfiguration> = Api::all(self.client.clone());
        let found = api.get_opt(name).await.tried(|| format!("read the webhook configuration {name}"))?;
        let Some(webhooks) = found.and_then(|found| found.webhooks) else {
            tracing::warn!("there is no webhook configuration {name}: nothing is refused or moved by it");
            return Ok(());
        };
        let roots = ByteString(bundle.roots.clone().into_bytes());
        if webhooks.iter().all(|webhook| webhook.client_config.ca_bundle.as_ref() == Some(&roots)) {
            return Ok(());
        }
        // A strategic merge finds each by its name and leaves the rest to the chart.
        let webhooks = webhooks
            .iter()
            .map(|webhook| serde_json::json!({"name": webhook.name, "clientConfig": {"caBundle": roots}}));
        let patch = serde_json::json!({"webhooks": webhooks.collect::<Vec<_>>()});
        api.patch(name, &PatchParams::default(), &Patch::Strategic(patch))
            .await
            .map(drop)
            .tried(|| format!("write the roots into the webhook configuration {name}"))?;
        Ok(())
    }

    fn doing(&self, verb: &str) -> String {
        format!("{verb} Secret {}/{}", self.namespace, self.secret)
    }
}
