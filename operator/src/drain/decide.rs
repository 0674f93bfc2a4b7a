//! What to answer to the eviction of a pod. Pure.

use std::time::Duration;

use anf_crds::{
    AtomicFunction, FunctionMigration, FunctionMigrationStatus, MigratableReason, MigrationPhase,
    MigrationPolicy, MigrationStrategy, Placement, SubFunctionStatus, Trigger, names as labels,
};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use crate::nodes::{self, Demand};
use crate::pods;
use crate::webhook::Verdict;

/// A move that failed is tried again after this time, then twice as long, and so on.
const BACK_OFF: Duration = Duration::from_secs(10);
/// But never later than this.
const MAX_BACK_OFF: Duration = Duration::from_secs(120);

/// Everything that the answer depends on.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The pod that is to go.
    pub pod: Pod,
    /// Its function.
    pub function: AtomicFunction,
    /// Migrations of the function.
    pub migrations: Vec<FunctionMigration>,
    /// The nodes of the cluster.
    pub nodes: Vec<Node>,
}

/// The answer. All but the first hold the pod and say why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It may go: nothing runs in it that has to be kept.
    Allow,
    /// Its move is under way, or is tried again by itself.
    Wait(String),
    /// A move begins.
    Begin {
        /// The attempt before, if there was one.
        after: Option<String>,
        /// What is told.
        message: String,
    },
    /// It cannot be moved live, its node is cordoned, and its policy lets it start anew on another: it is deleted.
    StartElsewhere(String),
    /// It cannot go without somebody's decision.
    Stuck(String),
}

impl Decision {
    /// For whoever evicts in earnest: 429 makes drain ask again.
    pub fn verdict(self) -> Verdict {
        self.refused(429, "TooManyRequests")
    }

    /// For a dry run, which asks again for ever when it is answered 429, and so never would end.
    pub fn dry_verdict(self) -> Verdict {
        self.refused(409, "Conflict")
    }

    fn refused(self, code: u16, reason: &'static str) -> Verdict {
        match self {
            Self::Allow => Verdict::allow(),
            Self::Wait(message)
            | Self::Begin { message, .. }
            | Self::StartElsewhere(message)
            | Self::Stuck(message) => Verdict::Deny { code, reason, message },
        }
    }

    /// The metric label.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Allow => "allowed",
            Self::Wait(_) => "waits",
            Self::Begin { .. } => "migration",
            Self::StartElsewhere(_) => "restart",
            Self::Stuck(_) => "stuck",
        }
    }
}

impl Facts {
    fn sub_function(&self) -> &str {
        pods::label(&self.pod, labels::LABEL_SUB_FUNCTION)
    }

    fn status(&self) -> Option<&SubFunctionStatus> {
        let subs = &self.function.status.as_ref()?.sub_functions;
        subs.iter().find(|sub| sub.name == self.sub_function())
    }

    fn policy(&self) -> MigrationPolicy {
        let own = self.function.spec.sub_functions.iter().find(|sub| sub.name == self.sub_function());
        self.function.spec.migration.with(own.and_then(|sub| sub.migration.as_ref()))
    }

    fn placement(&self) -> Option<&Placement> {
        let own = self.function.spec.sub_functions.iter().find(|sub| sub.name == self.sub_function());
        own.and_then(|sub| sub.placement.as_ref())
    }

    fn node(&self) -> &str {
        pods::node(&self.pod).unwrap_or("its node")
    }

    /// The pod's node, if it takes no more pods.
    pub fn cordoned_node(&self) -> Option<String> {
        let name = pods::node(&self.pod)?;
        let node = self.nodes.iter().find(|node| node.name_any() == name)?;
        nodes::is_cordoned(node).then(|| name.to_owned())
    }

    /// What other nodes have against it; nothing if one could take it.
    fn no_other_node(&self) -> Option<String> {
        let demand = Demand { placement: self.placement(), selector: None };
        let others = self.nodes.iter().filter(|node| pods::node(&self.pod) != Some(&node.name_any()));
        let objections: Option<Vec<String>> = others
            .map(|node| nodes::objection(node, demand).map(|text| format!("{} {text}", node.name_any())))
            .collect();
        objections.map(|all| if all.is_empty() { "there is no other node".into() } else { all.join("; ") })
    }
}

/// Whether the pod's evacuation was asked for in this time before `now`.
pub fn requested_within(pod: &Pod, time: Duration, now: Timestamp) -> bool {
    let noted = pod.annotations().get(labels::ANNOTATION_EVACUATION);
    let noted = noted.and_then(|at| at.parse::<Timestamp>().ok());
    noted.is_some_and(|at| Duration::try_from(now.duration_since(at)).unwrap_or_default() < time)
}

/// Decides.
pub fn decide(facts: &Facts, now: Timestamp) -> Decision {
    let pod = &facts.pod;
    let owned = pod.owner_references().iter().any(|owner| Some(&owner.uid) == facts.function.uid().as_ref());
    if pods::is_leaving(pod) || !owned || facts.function.metadata.deletion_timestamp.is_some() {
        return Decision::Allow;
    }
    let migration = pods::label(pod, labels::LABEL_MIGRATION);
    let under_way =
        |m: &&FunctionMigration| !m.spec.plan && !phase(m).is_over() && m.spec.sub_function.is_some();
    let mut live = facts.migrations.iter().filter(under_way);
    if pods::label(pod, labels::LABEL_ROLE) == labels::ROLE_TARGET {
        let of = live.find(|m| crate::function::pod::label_value(&m.name_any()) == migration);
        return of.map_or(Decision::Allow, |m| {
            Decision::Wait(format!(
                "{} moves here ({}); it goes on from here when that is over",
                sub(m),
                m.name_any()
            ))
        });
    }
    // Whoever does not run it, or has only just been made, has nothing to hand over.
    let Some(status) = facts.status().filter(|sub| sub.pod.as_deref() == Some(&pod.name_any())) else {
        return Decision::Allow;
    };
    if !pods::is_running(pod) {
        return Decision::Allow;
    }
    if let Some(m) = live.find(|m| m.spec.sub_function.as_deref() == Some(facts.sub_function())) {
        return Decision::Wait(progress(m));
    }
    match status.reason {
        Some(reason @ (MigratableReason::PinnedByPort | MigratableReason::StrategyNone)) => {
            fixed(facts, reason)
        }
        _ => attempt(facts, now),
    }
}

fn attempt(facts: &Facts, now: Timestamp) -> Decision {
    let (name, node) = (facts.sub_function(), facts.node());
    if let Some(objections) = facts.no_other_node() {
        return Decision::Wait(format!("{name}: cannot leave {node}, as no node can take it: {objections}"));
    }
    let pod = facts.pod.name_any();
    let ours = |m: &&FunctionMigration| {
        m.spec.trigger == Trigger::Drain && m.labels().get(labels::LABEL_EVICTED) == Some(&pod)
    };
    let mut ended: Vec<&FunctionMigration> =
        facts.migrations.iter().filter(ours).filter(|m| phase(m).is_over()).collect();
    ended.sort_by_key(|m| (finished(m), m.name_any()));
    if let Some((last, failure)) = ended.last().and_then(|m| Some((*m, m.status.as_ref()?.failure.as_ref()?)))
        && failure.reason != labels::REASON_UNCORDONED
    {
        let since = finished(last).and_then(|at| Duration::try_from(now.duration_since(at)).ok());
        let left = back_off(ended.len()).saturating_sub(since.unwrap_or_default());
        if !left.is_zero() {
            return Decision::Wait(format!(
                "{name}: cannot leave {node} yet: {} ({}); tried again in {} s",
                failure.message,
                last.name_any(),
                left.as_secs().max(1)
            ));
        }
    }
    Decision::Begin {
        after: ended.last().map(|last| last.name_any()),
        message: format!("{name}: starts to move from {node} to another node"),
    }
}

fn back_off(failures: usize) -> Duration {
    let doubled = u32::try_from(failures.saturating_sub(1)).unwrap_or(u32::MAX).min(8);
    BACK_OFF.saturating_mul(1 << doubled).min(MAX_BACK_OFF)
}

/// A sub-function that does not move live, ever.
fn fixed(facts: &Facts, reason: MigratableReason) -> Decision {
    let (name, node) = (facts.sub_function(), facts.node());
    let cause = match reason {
        MigratableReason::PinnedByPort => "owns a port and cannot move live",
        _ => "has the migration strategy None",
    };
    let elsewhere = facts.no_other_node();
    let may_start_anew = facts.policy().strategy == MigrationStrategy::LiveMigrateIfPossible;
    // It costs packets, so that an eviction alone is not enough: the node has to be on its way out.
    if may_start_anew && elsewhere.is_none() && facts.cordoned_node().is_some() {
        return Decision::StartElsewhere(format!(
            "{name}: {cause}; it is started anew on another node, which interrupts it for seconds"
        ));
    }
    let pod = facts.pod.name_any();
    let namespace = facts.pod.namespace().unwrap_or_default();
    let then = elsewhere.map_or_else(
        || "it is then started anew on another node, interrupted for seconds".to_owned(),
        |objections| format!("it is then down until a node can take it ({objections})"),
    );
    Decision::Stuck(format!(
        "{name}: {cause}, so {node} waits for you: `kubectl delete pod {pod} -n {namespace}`; {then}"
    ))
}

fn sub(migration: &FunctionMigration) -> &str {
    migration.spec.sub_function.as_deref().unwrap_or_default()
}

fn phase(migration: &FunctionMigration) -> MigrationPhase {
    migration.status.as_ref().and_then(|status| status.phase).unwrap_or_default()
}

fn finished(migration: &FunctionMigration) -> Option<Timestamp> {
    Some(migration.status.as_ref()?.finished_at.as_ref()?.0)
}

/// `nat: moving to worker2, Syncing 73 %, about 4 s`
pub fn progress(migration: &FunctionMigration) -> String {
    let nothing = FunctionMigrationStatus::default();
    let status = migration.status.as_ref().unwrap_or(&nothing);
    let phase = status.phase.unwrap_or_default();
    if phase == MigrationPhase::Pending {
        let why = status.message.as_deref().unwrap_or("its move begins");
        return format!("{}: {why} ({})", sub(migration), migration.name_any());
    }
    let to = status.target.as_ref().and_then(|target| target.node.as_deref()).unwrap_or("another node");
    let mut text = format!("{}: moving to {to}, {}", sub(migration), phase.as_str());
    if let Some(progress) = &status.progress {
        text.push_str(&format!(" {} %", progress.percent));
        if let Some(eta) = &progress.eta {
            text.push_str(&format!(", about {eta}"));
        }
    } else if let Some(message) = status.message.as_deref().filter(|message| !message.is_empty()) {
        text.push_str(&format!(" ({message})"));
    }
    text
}

#[cfg(test)]
mod tests;
