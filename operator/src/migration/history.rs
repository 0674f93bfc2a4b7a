//! What becomes of migrations that are over: they stay as records, but not for ever.

use std::time::Duration;

use anf_crds::FunctionMigration;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use kube::runtime::controller::Action;

use crate::error::{Result, Tried};
use crate::function::apply::delete;
use crate::function::{Context, Identity};

/// Deletes this record if its time is up, and the oldest of its function if there are too many.
///
/// # Errors
/// If the API server refuses or cannot be reached.
pub async fn tidy(id: &Identity, migration: &FunctionMigration, cx: &Context) -> Result<Action> {
    let api: Api<FunctionMigration> = Api::namespaced(cx.clients.patient.clone(), &id.namespace);
    let remove = async |name: &str| {
        tracing::info!(migration = name, namespace = %id.namespace, "deleting the record");
        delete(&api, name).await.tried(|| format!("delete migration {}/{name}", id.namespace))
    };
    if let Some(left) = time_left(migration, Timestamp::now()) {
        if left.is_zero() {
            remove(&id.name).await?;
            return Ok(Action::await_change());
        }
        return Ok(Action::requeue(left));
    }
    let ours = ListParams::default().fields(&format!("spec.functionName={}", migration.spec.function_name));
    let all = api.list(&ours).await.tried(|| format!("list migrations in {}", id.namespace))?.items;
    for name in surplus(&all, cx.settings.migration_history) {
        remove(&name).await?;
    }
    Ok(Action::await_change())
}

/// Time until a record with a time to live of its own is deleted.
fn time_left(migration: &FunctionMigration, now: Timestamp) -> Option<Duration> {
    let ttl = Duration::from_secs(u64::try_from(migration.spec.ttl_seconds_after_finished?).unwrap_or(0));
    let ended = migration.status.as_ref()?.finished_at.as_ref()?.0;
    Some(ttl.saturating_sub(Duration::try_from(now.duration_since(ended)).unwrap_or_default()))
}

/// Names of the records beyond the newest `keep`, without those that have a time to live of their own.
fn surplus(all: &[FunctionMigration], keep: usize) -> Vec<String> {
    let mut over: Vec<_> = all
        .iter()
        .filter(|m| m.spec.ttl_seconds_after_finished.is_none())
        .filter_map(|m| Some((m.status.as_ref()?.finished_at.clone()?, m.name_any())))
        .collect();
    over.sort_by(|a, b| b.cmp(a));
    over.into_iter().skip(keep).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ended(name: &str, second: u32, ttl: Option<i32>) -> FunctionMigration {
        serde_json::from_value(json!({
            "apiVersion": "atomicnf.dev/v1alpha1", "kind": "FunctionMigration", "metadata": {"name": name},
            "spec": {"functionName": "f", "subFunction": "s", "ttlSecondsAfterFinished": ttl},
            "status": {"phase": "Succeeded", "finishedAt": format!("2026-01-01T00:00:{second:02}.000000Z")}
        }))
        .expect("a migration")
    }

    #[test]
    fn the_newest_are_kept_and_those_with_a_time_to_live_are_left_alone() {
        let all = [ended("a", 1, None), ended("b", 3, None), ended("c", 2, None), ended("d", 0, Some(60))];
        assert_eq!(surplus(&all, 1), ["c", "a"]);
        assert!(surplus(&all, 3).is_empty());
    }

    #[test]
    fn the_time_to_live_runs_from_the_end() {
        let now = "2026-01-01T00:00:30Z".parse().expect("a time");
        assert_eq!(time_left(&ended("a", 10, Some(60)), now), Some(Duration::from_secs(40)));
        assert_eq!(time_left(&ended("a", 10, Some(5)), now), Some(Duration::ZERO));
        assert_eq!(time_left(&ended("a", 10, None), now), None);
    }
}
