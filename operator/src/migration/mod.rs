//! The controller of FunctionMigrations: *observe → decide → act → record*.
//!
//! [`machine`] decides and is pure: the next phase is a function of what is observed. Acts are idempotent and done
//! before the phase that presumes them is written, so that a new leader that finds a migration in the middle goes on
//! from its status and the sidecars' answers alone. The handover itself is the sidecars' business: it ends, one way or
//! the other, without the operator.

pub mod act;
pub mod case;
pub mod choose;
pub mod history;
pub mod limits;
pub mod machine;
pub mod observe;
pub mod pieces;
pub mod record;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anf_crds::{FunctionMigration, MigrationPhase, names as labels};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Resource, ResourceExt};

use crate::error::{Error, Result, Tried};
use crate::function::{Context, Identity};
use crate::pods;
use case::Case;

/// A handover is looked at this often: it takes milliseconds, and people watch it.
const FAST: Duration = Duration::from_millis(200);
/// Pods and queues are looked at this often; changes of pods come by a watch anyway.
const SLOW: Duration = Duration::from_millis(500);

/// What is known of migrations under way, between two looks at them.
#[derive(Default)]
pub struct Registry {
    /// By the migration's UID.
    cases: Mutex<HashMap<String, Arc<Case>>>,
    /// Held while a migration is let out of the queue, so that two cannot both be first.
    admission: tokio::sync::Mutex<()>,
}

impl Registry {
    fn get(&self, uid: &str) -> Option<Arc<Case>> {
        self.cases.lock().unwrap_or_else(PoisonError::into_inner).get(uid).cloned()
    }

    fn put(&self, uid: &str, case: Arc<Case>) {
        self.cases.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.to_owned(), case);
    }

    fn forget(&self, uid: &str) {
        self.cases.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// Runs until `stop` ends.
pub async fn run(cx: Arc<Context>, stop: impl Future<Output = ()> + Send + Sync + 'static) {
    let client = cx.clients.patient.clone();
    let pods = watcher::Config::default().labels(labels::LABEL_MIGRATION);
    Controller::new(Api::<FunctionMigration>::all(client.clone()), watcher::Config::default())
        .with_config(Config::default().concurrency(8))
        .watches(Api::<Pod>::all(client.clone()), pods, |pod| {
            let namespace = pod.namespace()?;
            Some(ObjectRef::new(pods::label(&pod, labels::LABEL_MIGRATION)).within(&namespace))
        })
        // The pieces of a whole function's move.
        .owns(Api::<FunctionMigration>::all(client), watcher::Config::default().labels(labels::LABEL_PARENT))
        .graceful_shutdown_on(stop)
        .run(reconcile, on_error, cx)
        .for_each(|result| async move {
            if let Err(error) = result {
                tracing::debug!(%error, "migration controller");
            }
        })
        .await;
}

async fn reconcile(migration: Arc<FunctionMigration>, cx: Arc<Context>) -> Result<Action> {
    let begun = Instant::now();
    let next = stages(&migration, &cx).await;
    cx.metrics.reconciled("migration", begun.elapsed());
    next
}

async fn stages(migration: &FunctionMigration, cx: &Context) -> Result<Action> {
    let id = Identity::of(migration, "a FunctionMigration")?;
    if migration.metadata.deletion_timestamp.is_some() {
        cx.migrations.forget(&id.uid);
        return Ok(Action::await_change());
    }
    // The cache may not have seen our own last write; deciding on an older phase would end a migration twice.
    let Some(migration) = &fetch(&id, cx).await? else { return Ok(Action::await_change()) };
    let phase = migration.status.as_ref().and_then(|status| status.phase).unwrap_or_default();
    if phase.is_over() {
        cx.migrations.forget(&id.uid);
        return history::tidy(&id, migration, cx).await;
    }
    if migration.spec.sub_function.as_deref().unwrap_or_default().is_empty() {
        return pieces::advance(&id, migration, cx).await;
    }
    let admission = match phase {
        MigrationPhase::Pending => Some(cx.migrations.admission.lock().await),
        _ => None,
    };
    let observed = observe::observe(&id, migration, cx).await?;
    let decided = machine::decide(&observed.view);
    let decided = act::act(&id, &observed, decided, cx).await?;
    let status = record::record(&id, migration, &observed, decided, cx).await?;
    drop(admission);
    Ok(match status.phase.unwrap_or_default() {
        phase if phase.is_over() => Action::requeue(Duration::ZERO),
        MigrationPhase::Pending | MigrationPhase::Scheduling | MigrationPhase::Preparing => {
            Action::requeue(SLOW)
        }
        _ => Action::requeue(FAST),
    })
}

async fn fetch(id: &Identity, cx: &Context) -> Result<Option<FunctionMigration>> {
    let api: Api<FunctionMigration> = Api::namespaced(cx.clients.direct.clone(), &id.namespace);
    let found =
        api.get_opt(&id.name).await.tried(|| format!("read migration {}/{}", id.namespace, id.name))?;
    Ok(found.filter(|migration| migration.metadata.uid.as_deref() == Some(&id.uid)))
}

fn on_error(migration: Arc<FunctionMigration>, error: &Error, cx: Arc<Context>) -> Action {
    cx.metrics.failed("migration", error.kind());
    tracing::warn!(
        migration = %migration.name_any(), namespace = ?migration.namespace(), kind = %FunctionMigration::kind(&()), %error,
        "reconcile failed"
    );
    Action::requeue(Duration::from_secs(1))
}
