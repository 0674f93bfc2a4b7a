//! Last stage: says what was observed, in the status, in events and in metrics.
//!
//! [`assess`] and [`news`] are pure; [`update`] writes. Rates and flow counts change all the time: they alone make a
//! write only every ten seconds, so that a busy function does not fill the API server.

use std::collections::BTreeSet;
use std::time::Duration;

use anf_crds::names::function_condition as condition;
use anf_crds::{
    ActiveMigration, AtomicFunction, AtomicFunctionStatus, FunctionMigration, FunctionPhase, LastMigration,
    LinkState, MigratableReason, MigrationCounts, MigrationPhase, MigrationResult, MigrationStrategy,
    SubFunctionStatus, names as labels,
};
use anf_sidecar::control::{Direction, Role, Status};
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::{Resource, ResourceExt};

use super::Context;
use super::dereference::Observed;
use super::evacuation::{self, Request};
use super::validate::{Part, Validated};
use crate::conditions::{self, Is};
use crate::error::{Result, Tried};
use crate::nodes::{self, Demand};
use crate::pods;

/// Changes of rates and counts alone are written this often.
const QUIET: Duration = Duration::from_secs(10);

/// Writes the status if it has changed, and tells the news.
///
/// # Errors
/// If the API server refuses or cannot be reached.
pub async fn update(observed: &Observed<'_>, validated: &Validated, cx: &Context) -> Result<()> {
    let now = Timestamp::now();
    let old = observed.function.status.clone().unwrap_or_default();
    let new = assess(observed, validated, &old, now);
    cx.metrics.function(
        &observed.id.namespace,
        &observed.id.name,
        conditions::is_true(&new.conditions, condition::READY),
    );
    let under_way = observed.migrations.iter().map(phase).filter(|phase| !phase.is_over()).collect();
    cx.metrics.active(&observed.id.namespace, &observed.id.name, under_way);
    if !worth_writing(observed.function, &old, &new, now) {
        return Ok(());
    }
    let about = observed.function.object_ref(&());
    for piece in news(&old, &new) {
        tell(&about, None, &piece, cx).await;
    }
    let name = format!("{}/{}", observed.id.namespace, observed.id.name);
    let requests = requests(observed, validated, &new.sub_functions, now);
    for (node, piece) in evacuation::node_news(&name, &old, &new, &requests) {
        tell(&node, Some(&about), &piece, cx).await;
    }
    let name = &observed.id.name;
    let api: Api<AtomicFunction> = Api::namespaced(cx.clients.patient.clone(), &observed.id.namespace);
    let patch = serde_json::json!({
        "apiVersion": AtomicFunction::api_version(&()), "kind": AtomicFunction::kind(&()), "status": new
    });
    let params = PatchParams::apply(labels::FIELD_MANAGER).force();
    api.patch_status(name, &params, &Patch::Apply(patch))
        .await
        .map(drop)
        .tried(|| format!("write the status of {}/{name}", observed.id.namespace))
}

async fn tell(about: &ObjectReference, related: Option<&ObjectReference>, news: &News, cx: &Context) {
    match news.kind {
        Kind::Normal => cx.events.normal(about, related, news.reason, &news.note).await,
        Kind::Warning => cx.events.warning(about, related, news.reason, &news.note).await,
    }
}

/// Pods that are asked to leave their nodes.
fn requests(
    observed: &Observed<'_>,
    validated: &Validated,
    subs: &[SubFunctionStatus],
    now: Timestamp,
) -> Vec<Request> {
    let parts = validated.parts.iter().zip(subs);
    parts
        .filter_map(|(part, sub)| evacuation::request(observed, sub, running(observed, part)?, now))
        .collect()
}

fn worth_writing(
    function: &AtomicFunction,
    old: &AtomicFunctionStatus,
    new: &AtomicFunctionStatus,
    now: Timestamp,
) -> bool {
    if without_counts(old) != without_counts(new) {
        return true;
    }
    let fields = function.metadata.managed_fields.iter().flatten();
    let ours = fields.filter(|f| f.manager.as_deref() == Some(labels::FIELD_MANAGER));
    let last = ours.filter_map(|f| f.time.as_ref().map(|time| time.0)).max();
    let age = last.and_then(|last| Duration::try_from(now.duration_since(last)).ok());
    old != new && age.is_none_or(|age| age >= QUIET)
}

fn without_counts(status: &AtomicFunctionStatus) -> AtomicFunctionStatus {
    let mut status = status.clone();
    status.flows = None;
    for sub in &mut status.sub_functions {
        (sub.flows, sub.packet_rate) = (None, None);
    }
    status
}

/// What to say about a function. Pure.
pub fn assess(
    observed: &Observed<'_>,
    validated: &Validated,
    old: &AtomicFunctionStatus,
    now: Timestamp,
) -> AtomicFunctionStatus {
    let subs: Vec<SubFunctionStatus> =
        validated.parts.iter().map(|part| sub_function(observed, part, old)).collect();
    let ready = subs.iter().filter(|sub| sub.ready).count();
    let (active, last, counts) = migrations(observed, old);
    let nodes: BTreeSet<&str> = subs.iter().filter_map(|sub| sub.node.as_deref()).collect();
    let mut status = AtomicFunctionStatus {
        observed_generation: observed.function.metadata.generation,
        phase: None,
        reason: None,
        ready: Some(format!("{ready}/{}", subs.len())),
        nodes: (!nodes.is_empty()).then(|| nodes.into_iter().collect::<Vec<_>>().join(",")),
        flows: Some(subs.iter().filter_map(|sub| sub.flows).sum()),
        graph_hash: validated.parts.first().map(|part| part.manifest.graph_hash.clone()),
        links: links(observed, validated),
        sub_functions: subs,
        active_migration: active,
        last_migration: last,
        migrations: counts,
        conditions: old.conditions.clone(),
    };
    set_conditions(&mut status, observed, validated, old, now);
    (status.phase, status.reason) = summary(&status, observed, validated);
    status
}

/// The pod that runs a sub-function: the owner by what sidecars say, else the one that was made to own.
fn running<'a>(observed: &'a Observed<'_>, part: &'a Part) -> Option<&'a Pod> {
    let owner = observed
        .pods_of(part.name())
        .filter(|pod| observed.status_of(pod).is_some_and(|status| status.role == Role::Owner))
        .max_by_key(|pod| observed.status_of(pod).map_or(0, |status| status.epoch));
    owner.or_else(|| {
        let made = observed.pods_of(part.name()).filter(|pod| !pods::is_leaving(pod));
        made.into_iter().find(|pod| pods::label(pod, labels::LABEL_ROLE) == labels::ROLE_OWNER)
    })
}

fn sub_function(observed: &Observed<'_>, part: &Part, old: &AtomicFunctionStatus) -> SubFunctionStatus {
    let pod = running(observed, part);
    let answer = pod.and_then(|pod| observed.status_of(pod));
    let before = old.sub_functions.iter().find(|sub| sub.name == part.name());
    let obstacle = obstacle(observed, part, pod, answer);
    let reason = migratable(observed, part, pod, answer, obstacle.is_none());
    SubFunctionStatus {
        name: part.name().to_owned(),
        pod: pod.map(ResourceExt::name_any),
        node: pod.and_then(pods::node).map(str::to_owned),
        epoch: number(observed.last_epoch(part.name()))
            .filter(|epoch| *epoch > 0)
            .max(before.and_then(|sub| sub.epoch)),
        ready: obstacle.is_none(),
        elements: answer.map_or(before.and_then(|sub| sub.elements), |status| Some(status.elements.into())),
        flows: answer.and_then(|status| number(status.flows)),
        packet_rate: answer.map(|status| status.packet_rate.round() as i64),
        migratable: reason == MigratableReason::Eligible,
        reason: Some(reason),
        message: obstacle,
    }
}

/// What keeps a sub-function from forwarding; nothing if it does.
fn obstacle(
    observed: &Observed<'_>,
    part: &Part,
    pod: Option<&Pod>,
    answer: Option<&Status>,
) -> Option<String> {
    let Some(pod) = pod else { return Some("has no pod yet".into()) };
    let name = pod.name_any();
    let Some(status) = answer else {
        let cause = pods::trouble(pod)
            .or_else(|| pods::unschedulable(pod).map(|text| format!("cannot be scheduled: {text}")))
            .or_else(|| observed.answers.get(&name)?.as_ref().err().cloned())
            .unwrap_or_else(|| "is starting".into());
        return Some(format!("pod {name}: {cause}"));
    };
    let said = match status.role {
        Role::Owner => status.not_ready.as_deref(),
        Role::Starting => Some(status.not_ready.as_deref().unwrap_or("is starting")),
        Role::Sealed => Some("has handed over"),
        Role::Standby => Some("waits, as another pod owns the sub-function"),
    };
    if let Some(said) = said {
        return Some(format!("pod {name}: {said}"));
    }
    // While a neighbour moves, links are dialled anew; that is no outage.
    let moving =
        observed.migrations.iter().any(|m| phase(m) > MigrationPhase::Pending && !phase(m).is_over());
    let broken: Vec<&str> = status
        .links
        .iter()
        .filter(|link| !link.connected && !moving)
        .map(|link| link.peer.as_str())
        .collect();
    (!broken.is_empty() && part.name() == status.sub_function)
        .then(|| format!("pod {name}: is not connected to {}", broken.join(", ")))
}

fn migratable(
    observed: &Observed<'_>,
    part: &Part,
    pod: Option<&Pod>,
    answer: Option<&Status>,
    ready: bool,
) -> MigratableReason {
    if part.policy.strategy == MigrationStrategy::None {
        return MigratableReason::StrategyNone;
    }
    if !part.manifest.ports.is_empty() {
        return MigratableReason::PinnedByPort;
    }
    let (Some(pod), Some(status), true) = (pod, answer, ready) else { return MigratableReason::NotReady };
    if !status.store.reachable {
        return MigratableReason::StateStoreDown;
    }
    let demand = Demand { placement: part.placement.as_ref(), selector: None };
    let elsewhere =
        |node: &&k8s_openapi::api::core::v1::Node| pods::node(pod) != Some(node.name_any().as_str());
    if observed.nodes.iter().filter(elsewhere).all(|node| nodes::objection(node, demand).is_some()) {
        return MigratableReason::NoEligibleNode;
    }
    MigratableReason::Eligible
}

fn links(observed: &Observed<'_>, validated: &Validated) -> Vec<LinkState> {
    let mut links = Vec::new();
    for part in &validated.parts {
        let answer = running(observed, part).and_then(|pod| observed.status_of(pod));
        for spec in &part.manifest.out_links {
            let told = answer.and_then(|status| {
                status.links.iter().find(|link| link.direction == Direction::Out && link.peer == spec.peer)
            });
            links.push(LinkState {
                from: part.name().to_owned(),
                to: spec.peer.clone(),
                transport: told.map(|link| link.transport.clone()).filter(|transport| !transport.is_empty()),
                edges: number(spec.edges.len() as u64).unwrap_or_default(),
                connected: told.is_some_and(|link| link.connected),
            });
        }
    }
    links
}

pub(super) fn phase(migration: &FunctionMigration) -> MigrationPhase {
    migration.status.as_ref().and_then(|status| status.phase).unwrap_or_default()
}

/// The migration under way, the last that ended, and how many have. Each is counted once: those that ended after the
/// last one counted.
fn migrations(
    observed: &Observed<'_>,
    old: &AtomicFunctionStatus,
) -> (Option<ActiveMigration>, Option<LastMigration>, Option<MigrationCounts>) {
    let node = |end: &Option<anf_crds::Endpoint>| end.as_ref().and_then(|end| end.node.clone());
    let moves = || observed.migrations.iter().filter(|m| !m.spec.plan && m.spec.sub_function.is_some());
    let active = moves()
        .filter(|m| phase(m) > MigrationPhase::Pending && !phase(m).is_over())
        .min_by_key(|m| (m.creation_timestamp(), m.name_any()))
        .map(|m| ActiveMigration {
            name: m.name_any(),
            sub_function: m.spec.sub_function.clone().unwrap_or_default(),
            from: m.status.as_ref().and_then(|status| node(&status.source)),
            to: m.status.as_ref().and_then(|status| node(&status.target)),
            phase: phase(m),
        });
    let counted: Option<&MicroTime> = old.last_migration.as_ref().and_then(|last| last.finished_at.as_ref());
    let mut fresh: Vec<(&MicroTime, &FunctionMigration)> = moves()
        .filter(|m| phase(m).is_over())
        .filter_map(|m| Some((m.status.as_ref()?.finished_at.as_ref()?, m)))
        .filter(|(at, _)| counted.is_none_or(|counted| *at > counted))
        .collect();
    fresh.sort_by_key(|(at, _)| *at);
    let mut counts = old.migrations.unwrap_or_default();
    let mut last = old.last_migration.clone();
    for (at, migration) in fresh {
        let Some(status) = &migration.status else { continue };
        let result = match phase(migration) {
            MigrationPhase::Succeeded => MigrationResult::Succeeded,
            MigrationPhase::Aborted => MigrationResult::Aborted,
            _ => MigrationResult::Failed,
        };
        match result {
            MigrationResult::Succeeded => counts.succeeded += 1,
            MigrationResult::Failed | MigrationResult::Aborted => counts.failed += 1,
        }
        last = Some(LastMigration {
            name: migration.name_any(),
            sub_function: migration.spec.sub_function.clone().unwrap_or_default(),
            from: node(&status.source),
            to: node(&status.target),
            result,
            downtime: status.downtime.as_ref().map(|downtime| downtime.measured),
            lost: status.packets.as_ref().map(|packets| packets.lost),
            flows: status.flows_moved,
            finished_at: Some(at.clone()),
        });
    }
    (active, last, Some(counts))
}

fn set_conditions(
    status: &mut AtomicFunctionStatus,
    observed: &Observed<'_>,
    validated: &Validated,
    old: &AtomicFunctionStatus,
    now: Timestamp,
) {
    let generation = observed.function.metadata.generation;
    let mut conditions = std::mem::take(&mut status.conditions);
    let mut set = |type_: &str, is: Is, reason: &str, message: &str| {
        conditions::set(&mut conditions, type_, is, reason, message, generation, now);
    };
    match &validated.rejection {
        None => set(condition::ACCEPTED, Is::True, "Valid", "the graph can be cut and configured"),
        Some(rejection) => set(condition::ACCEPTED, Is::False, rejection.reason, &rejection.text()),
    }
    let missing: Vec<String> = status
        .sub_functions
        .iter()
        .filter_map(|sub| Some(format!("{}: {}", sub.name, sub.message.as_ref()?)))
        .collect();
    let complete = missing.is_empty() && !status.sub_functions.is_empty();
    let shown = if status.sub_functions.is_empty() {
        "there is no valid graph yet".into()
    } else {
        missing.join("\n")
    };
    match complete {
        true => set(condition::READY, Is::True, "AllForwarding", "every sub-function is owned and forwards"),
        false => set(condition::READY, Is::False, "NotForwarding", &shown),
    }
    let lost: Vec<String> = degraded(status, observed, old);
    match lost.is_empty() {
        true => set(condition::DEGRADED, Is::False, "AsExpected", ""),
        false => set(condition::DEGRADED, Is::True, "SubFunctionDown", &lost.join("\n")),
    }
    match (&status.active_migration, complete || validated.parts.is_empty()) {
        (Some(active), _) => {
            let text = format!("{} moves {}", active.name, active.sub_function);
            set(condition::PROGRESSING, Is::True, "Migrating", &text);
        }
        (None, false) => set(condition::PROGRESSING, Is::True, "Starting", &shown),
        (None, true) => set(condition::PROGRESSING, Is::False, "Settled", ""),
    }
    let (is, reason, message) = can_migrate(&status.sub_functions);
    set(condition::MIGRATABLE, is, reason, &message);
    let (is, reason, message) = store(observed);
    set(condition::STATE_STORE_REACHABLE, is, reason, &message);
    let requests = requests(observed, validated, &status.sub_functions, now);
    let (is, reason, message) = evacuation::condition(&requests);
    set(condition::EVACUATION_REQUESTED, is, reason, &message);
    status.conditions = conditions;
}

/// Sub-functions that were up and are not, or whose container fails.
fn degraded(
    status: &AtomicFunctionStatus,
    observed: &Observed<'_>,
    old: &AtomicFunctionStatus,
) -> Vec<String> {
    let down = status.sub_functions.iter().filter(|sub| !sub.ready).filter(|sub| {
        let was_up = old.sub_functions.iter().any(|before| before.name == sub.name && before.epoch.is_some());
        let fails = observed
            .pods
            .iter()
            .any(|pod| sub.pod.as_deref() == Some(&pod.name_any()) && pods::trouble(pod).is_some());
        was_up || fails
    });
    down.map(|sub| format!("{}: {}", sub.name, sub.message.as_deref().unwrap_or("is not ready"))).collect()
}

/// True if everything that may be moved at all could be moved now.
fn can_migrate(subs: &[SubFunctionStatus]) -> (Is, &'static str, String) {
    let pinned = |sub: &&SubFunctionStatus| {
        matches!(sub.reason, Some(MigratableReason::PinnedByPort | MigratableReason::StrategyNone))
    };
    let movable: Vec<&SubFunctionStatus> = subs.iter().filter(|sub| !pinned(sub)).collect();
    let text = subs
        .iter()
        .filter_map(|sub| Some(format!("{}: {}", sub.name, sub.reason?.as_str())))
        .collect::<Vec<_>>()
        .join(", ");
    let Some(first) = subs.first() else {
        return (Is::Unknown, "NotReady", "there is no valid graph yet".into());
    };
    if movable.is_empty() {
        return (Is::False, first.reason.map_or("NotReady", MigratableReason::as_str), text);
    }
    match movable.iter().find(|sub| !sub.migratable) {
        None => (Is::True, "Eligible", text),
        Some(sub) => (Is::False, sub.reason.map_or("NotReady", MigratableReason::as_str), text),
    }
}

fn store(observed: &Observed<'_>) -> (Is, &'static str, String) {
    let told: Vec<(&String, bool)> = observed
        .answers
        .iter()
        .filter_map(|(pod, answer)| Some((pod, answer.as_ref().ok()?.store.reachable)))
        .collect();
    let without: Vec<&str> =
        told.iter().filter(|(_, reachable)| !reachable).map(|(pod, _)| pod.as_str()).collect();
    match (told.is_empty(), without.is_empty()) {
        (true, _) => (Is::Unknown, "NotAsked", "no sidecar answers yet".into()),
        (false, true) => (Is::True, "Reachable", String::new()),
        (false, false) => {
            (Is::False, "Unreachable", format!("the store is not reached from {}", without.join(", ")))
        }
    }
}

fn summary(
    status: &AtomicFunctionStatus,
    observed: &Observed<'_>,
    validated: &Validated,
) -> (Option<FunctionPhase>, Option<String>) {
    let first = |text: String| text.lines().next().map(str::to_owned);
    let waits =
        status.sub_functions.iter().find_map(|sub| Some(format!("{}: {}", sub.name, sub.message.as_ref()?)));
    let is = |type_| conditions::is_true(&status.conditions, type_);
    let phase = if observed.function.spec.paused {
        FunctionPhase::Paused
    } else if validated.rejection.is_some() {
        FunctionPhase::Invalid
    } else if status.active_migration.is_some() {
        FunctionPhase::Migrating
    } else if is(condition::DEGRADED) {
        FunctionPhase::Degraded
    } else if is(condition::READY) {
        FunctionPhase::Ready
    } else if status.sub_functions.iter().all(|sub| sub.pod.is_none()) {
        FunctionPhase::Pending
    } else {
        FunctionPhase::Progressing
    };
    (Some(phase), validated.rejection.as_ref().map(|r| r.text()).or(waits).and_then(first))
}

/// An event that is due.
#[derive(Debug, PartialEq, Eq)]
pub struct News {
    kind: Kind,
    reason: &'static str,
    note: String,
}

impl News {
    pub(super) fn new(kind: Kind, reason: &'static str, note: String) -> Self {
        Self { kind, reason, note }
    }

    #[cfg(test)]
    pub(super) fn reason(&self) -> &'static str {
        self.reason
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Warning,
}

/// What has changed between two statuses that is worth an event. Pure.
pub fn news(old: &AtomicFunctionStatus, new: &AtomicFunctionStatus) -> Vec<News> {
    let mut news = Vec::new();
    let find = |status: &AtomicFunctionStatus, type_: &str| {
        status.conditions.iter().find(|c| c.type_ == type_).map(|c| (c.status.clone(), c.message.clone()))
    };
    let (before, after) = (find(old, condition::ACCEPTED), find(new, condition::ACCEPTED));
    if let Some((status, message)) = after.filter(|after| before.as_ref() != Some(after)) {
        news.push(if status == "True" {
            News { kind: Kind::Normal, reason: "Accepted", note: message }
        } else {
            News { kind: Kind::Warning, reason: "InvalidGraph", note: message }
        });
    }
    for sub in &new.sub_functions {
        let was_ready = old.sub_functions.iter().any(|before| before.name == sub.name && before.ready);
        let place = sub.node.as_deref().unwrap_or("no node");
        if sub.ready && !was_ready {
            let note = format!("{} forwards on {place}", sub.name);
            news.push(News { kind: Kind::Normal, reason: "SubFunctionReady", note });
        } else if !sub.ready && was_ready {
            let note = format!("{}: {}", sub.name, sub.message.as_deref().unwrap_or("is not ready"));
            news.push(News { kind: Kind::Warning, reason: "SubFunctionUnhealthy", note });
        }
    }
    let status =
        |of| find(of, condition::STATE_STORE_REACHABLE).map(|(status, _)| status).unwrap_or_default();
    match (status(old).as_str(), status(new).as_str()) {
        ("True", "False") => {
            let note = "flows are served from memory; nothing can be moved until the store is back".into();
            news.push(News { kind: Kind::Warning, reason: "StateStoreUnavailable", note });
        }
        ("False", "True") => {
            let note = "the state store is reached again".into();
            news.push(News { kind: Kind::Normal, reason: "StateStoreRecovered", note });
        }
        _ => {}
    }
    news.extend(evacuation::news(old, new));
    news
}

/// A number as the API has it.
fn number(value: u64) -> Option<i64> {
    i64::try_from(value).ok()
}

#[cfg(test)]
mod tests;
