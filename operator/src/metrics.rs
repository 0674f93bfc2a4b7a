//! The operator's metrics, in base units and with bounded labels.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anf_crds::{FunctionMigration, MigrationPhase};
use kube::ResourceExt;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Labels of the end of a migration.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Ended {
    trigger: &'static str,
    result: &'static str,
}

/// Label of a migration's phase.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Phase {
    phase: &'static str,
}

/// Label of an eviction that was asked for.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Eviction {
    decision: &'static str,
}

/// Labels of one sub-function.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct SubFunction {
    namespace: String,
    function: String,
    subfunction: String,
}

/// Labels of one function.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Function {
    namespace: String,
    function: String,
}

/// Labels of reconciles that failed.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Failed {
    controller: &'static str,
    error: &'static str,
}

/// Label of a controller.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Controller {
    controller: &'static str,
}

/// Gauge of a measurement that need not be whole.
type Measure = Gauge<f64, AtomicU64>;

/// All metrics; clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// 1 while this replica leads.
    pub leader: Gauge,
    migrations: Family<Ended, Counter>,
    active: Family<Phase, Gauge>,
    phase_seconds: Family<Phase, Histogram>,
    downtime: Histogram,
    last_downtime: Family<SubFunction, Measure>,
    lost: Counter,
    flows_moved: Counter,
    function_ready: Family<Function, Gauge>,
    reconciles: Family<Controller, Counter>,
    reconcile_seconds: Family<Controller, Histogram>,
    reconcile_errors: Family<Failed, Counter>,
    evictions: Family<Eviction, Counter>,
    /// What `active` is counted from.
    under_way: Arc<Mutex<HashMap<Function, Vec<MigrationPhase>>>>,
}

/// Phases that are not the end.
const UNDER_WAY: [MigrationPhase; 6] = [
    MigrationPhase::Pending,
    MigrationPhase::Scheduling,
    MigrationPhase::Preparing,
    MigrationPhase::Syncing,
    MigrationPhase::CuttingOver,
    MigrationPhase::Finishing,
];

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Arc::default(),
            leader: Gauge::default(),
            migrations: Family::default(),
            active: Family::default(),
            phase_seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.01, 2.0, 14))
            }),
            // 0.1 ms to 10 s, as the budgets of users span.
            downtime: Histogram::new(exponential_buckets(0.0001, 10f64.powf(0.25), 21)),
            last_downtime: Family::default(),
            lost: Counter::default(),
            flows_moved: Counter::default(),
            function_ready: Family::default(),
            reconciles: Family::default(),
            reconcile_seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 2.0, 14))
            }),
            reconcile_errors: Family::default(),
            evictions: Family::default(),
            under_way: Arc::default(),
        };
        metrics.registry = Arc::new(metrics.register());
        metrics
    }
}

impl Metrics {
    fn register(&self) -> Registry {
        let mut r = Registry::with_prefix("anf");
        r.register("leader", "1 while this replica holds the lease", self.leader.clone());
        r.register("migrations", "Migrations that have ended", self.migrations.clone());
        r.register("migrations_active", "Migrations under way", self.active.clone());
        r.register("migration_phase_seconds", "Time spent in a phase", self.phase_seconds.clone());
        r.register("migration_downtime_seconds", "Gap as the neighbours measured it", self.downtime.clone());
        r.register(
            "migration_last_downtime_seconds",
            "Gap of a sub-function's last migration",
            self.last_downtime.clone(),
        );
        r.register("migration_packets_lost", "Packets lost in migrations", self.lost.clone());
        r.register("migration_flows_moved", "Flows carried over in migrations", self.flows_moved.clone());
        r.register("function_ready", "1 while every sub-function forwards", self.function_ready.clone());
        r.register("reconciles", "Reconciles begun", self.reconciles.clone());
        r.register("reconcile_seconds", "Time of a reconcile", self.reconcile_seconds.clone());
        r.register("reconcile_errors", "Reconciles that failed", self.reconcile_errors.clone());
        r.register("evictions_intercepted", "Evictions of pods of functions", self.evictions.clone());
        r
    }

    /// What a scrape gets.
    ///
    /// # Errors
    /// Never, as writing to a string does not fail.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }

    /// A reconcile has ended.
    pub fn reconciled(&self, controller: &'static str, took: Duration) {
        self.reconciles.get_or_create(&Controller { controller }).inc();
        self.reconcile_seconds.get_or_create(&Controller { controller }).observe(took.as_secs_f64());
    }

    /// A reconcile has failed.
    pub fn failed(&self, controller: &'static str, error: &'static str) {
        self.reconcile_errors.get_or_create(&Failed { controller, error }).inc();
    }

    /// An eviction was answered.
    pub fn eviction(&self, decision: &'static str) {
        self.evictions.get_or_create(&Eviction { decision }).inc();
    }

    /// How ready a function is.
    pub fn function(&self, namespace: &str, function: &str, ready: bool) {
        let labels = Function { namespace: namespace.to_owned(), function: function.to_owned() };
        self.function_ready.get_or_create(&labels).set(ready.into());
    }

    /// A function is gone.
    pub fn function_gone(&self, namespace: &str, function: &str) {
        self.active(namespace, function, Vec::new());
        self.function_ready
            .remove(&Function { namespace: namespace.to_owned(), function: function.to_owned() });
    }

    /// A migration has spent this long in a phase.
    pub fn phase(&self, phase: MigrationPhase, spent: Duration) {
        self.phase_seconds.get_or_create(&Phase { phase: phase.as_str() }).observe(spent.as_secs_f64());
    }

    /// The phases of a function's migrations that are under way.
    pub fn active(&self, namespace: &str, function: &str, phases: Vec<MigrationPhase>) {
        let mut all = self.under_way.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let key = Function { namespace: namespace.to_owned(), function: function.to_owned() };
        if phases.is_empty() {
            all.remove(&key)
        } else {
            all.insert(key, phases)
        };
        for phase in UNDER_WAY {
            let count = all.values().flatten().filter(|found| **found == phase).count();
            self.active.get_or_create(&Phase { phase: phase.as_str() }).set(count as i64);
        }
    }

    /// A migration has ended.
    pub fn ended(&self, migration: &FunctionMigration) {
        let Some(status) = &migration.status else { return };
        let result = status.phase.unwrap_or_default().as_str();
        self.migrations.get_or_create(&Ended { trigger: migration.spec.trigger.as_str(), result }).inc();
        if let Some(downtime) = &status.downtime {
            self.downtime.observe(downtime.measured.as_secs_f64());
            let labels = SubFunction {
                namespace: migration.namespace().unwrap_or_default(),
                function: migration.spec.function_name.clone(),
                subfunction: migration.spec.sub_function.clone().unwrap_or_default(),
            };
            self.last_downtime.get_or_create(&labels).set(downtime.measured.as_secs_f64());
        }
        self.lost.inc_by(count(status.packets.as_ref().map(|p| p.lost)));
        self.flows_moved.inc_by(count(status.flows_moved));
    }
}

fn count(number: Option<i64>) -> u64 {
    number.and_then(|n| u64::try_from(n).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_shows_the_names_that_alerts_use() {
        let metrics = Metrics::default();
        metrics.leader.set(1);
        metrics.active("d", "f", vec![MigrationPhase::Scheduling]);
        let ended: FunctionMigration = serde_json::from_value(serde_json::json!({
            "apiVersion": "atomicnf.dev/v1alpha1", "kind": "FunctionMigration",
            "metadata": {"name": "m", "namespace": "d"},
            "spec": {"functionName": "f", "subFunction": "nat"},
            "status": {"phase": "Succeeded", "downtime": {
                "measured": "1.5ms", "baseline": "0s", "budget": "10ms", "withinBudget": true}}
        }))
        .expect("a migration");
        metrics.ended(&ended);
        metrics.eviction("waits");
        let text = metrics.encode().expect("text");
        for line in [
            "anf_leader 1",
            r#"anf_migrations_total{trigger="User",result="Succeeded"} 1"#,
            r#"anf_migrations_active{phase="Scheduling"} 1"#,
            r#"anf_migration_last_downtime_seconds{namespace="d",function="f",subfunction="nat"} 0.0015"#,
            "anf_migration_downtime_seconds_count 1",
            r#"anf_evictions_intercepted_total{decision="waits"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
