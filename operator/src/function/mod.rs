//! The controller of AtomicFunctions: *dereference → validate → build → apply → assess*.
//!
//! Only the first and the last two stages hold a client; validate and build are pure. Each stage has its own output
//! type, so that a spec that was not validated cannot reach build. A spec that is wrong changes nothing that runs:
//! what is built then is the last one that was right.

pub mod apply;
pub mod build;
pub mod dereference;
pub mod evacuation;
#[cfg(test)]
mod fixtures;
pub mod pod;
pub mod status;
pub mod validate;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anf_crds::{AtomicFunction, FunctionMigration};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::Api;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Resource, ResourceExt};

use crate::clients::Clients;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::metrics::Metrics;
use crate::settings::Settings;

/// What both controllers work with.
pub struct Context {
    /// The clients.
    pub clients: Clients,
    /// The nodes of the cluster, kept up to date by a watch.
    pub nodes: Store<Node>,
    /// Events.
    pub events: Events,
    /// Metrics.
    pub metrics: Metrics,
    /// Settings.
    pub settings: Settings,
    /// What is known of the migrations under way.
    pub migrations: crate::migration::Registry,
}

/// Name of a namespaced object, with the UID that state is keyed by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
}

impl Identity {
    /// The identity of an object that the API server sent.
    ///
    /// # Errors
    /// If it lacks one of the three, which the API server never sends.
    pub fn of<K: Resource<DynamicType = ()>>(object: &K, kind: &'static str) -> Result<Self> {
        let missing = |field| Error::Incomplete { kind, field };
        Ok(Self {
            namespace: object.namespace().ok_or_else(|| missing("namespace"))?,
            name: object.meta().name.clone().ok_or_else(|| missing("name"))?,
            uid: object.uid().ok_or_else(|| missing("uid"))?,
        })
    }
}

/// Runs until `stop` ends.
pub async fn run(cx: Arc<Context>, stop: impl Future<Output = ()> + Send + Sync + 'static) {
    let client = cx.clients.patient.clone();
    let functions = Api::<AtomicFunction>::all(client.clone());
    let pods = watcher::Config::default().labels(anf_crds::names::LABEL_SUB_FUNCTION);
    Controller::new(functions, watcher::Config::default())
        .with_config(Config::default().concurrency(4))
        .owns(Api::<Pod>::all(client.clone()), pods)
        .watches(Api::<FunctionMigration>::all(client), watcher::Config::default(), |migration| {
            let namespace = migration.namespace()?;
            Some(ObjectRef::new(&migration.spec.function_name).within(&namespace))
        })
        .graceful_shutdown_on(stop)
        .run(reconcile, on_error, cx)
        .for_each(|result| async move {
            if let Err(error) = result {
                tracing::debug!(%error, "function controller");
            }
        })
        .await;
}

async fn reconcile(function: Arc<AtomicFunction>, cx: Arc<Context>) -> Result<Action> {
    let begun = Instant::now();
    let next = stages(&function, &cx).await;
    cx.metrics.reconciled("function", begun.elapsed());
    next
}

async fn stages(function: &AtomicFunction, cx: &Context) -> Result<Action> {
    let id = Identity::of(function, "an AtomicFunction")?;
    if function.metadata.deletion_timestamp.is_some() {
        // Owner references take everything along.
        cx.metrics.function_gone(&id.namespace, &id.name);
        return Ok(Action::await_change());
    }
    let observed = dereference::dereference(id, function, cx).await?;
    let validated = validate::validate(&observed, &cx.settings.redis_url);
    let built = build::build(&observed, &validated, &pod::Image::of(&cx.settings));
    apply::apply(&observed, built, cx).await?;
    status::update(&observed, &validated, cx).await?;
    Ok(Action::requeue(cx.settings.poll()))
}

fn on_error(function: Arc<AtomicFunction>, error: &Error, cx: Arc<Context>) -> Action {
    cx.metrics.failed("function", error.kind());
    tracing::warn!(function = %function.name_any(), namespace = ?function.namespace(), %error, "reconcile failed");
    Action::requeue(Duration::from_secs(5))
}
