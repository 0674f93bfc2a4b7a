//! Whether somebody wants pods of the function to leave their nodes, and how that goes. Pure.
//!
//! The webhook leaves word on a pod whose eviction is asked for, again and again as long as it is asked for; so what is
//! not repeated has been given up.

use std::time::Duration;

use anf_crds::names::function_condition as condition;
use anf_crds::{AtomicFunctionStatus, FunctionMigration, MigratableReason, SubFunctionStatus, Trigger};
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use k8s_openapi::jiff::Timestamp;

use super::dereference::Observed;
use super::status::{Kind, News, phase};
use crate::conditions::Is;
use crate::drain::decide::{progress, requested_within};
use crate::pods;

/// Drain asks every five seconds, and word of it is renewed every twenty.
const FRESH: Duration = Duration::from_secs(45);

/// One pod that is asked to leave its node.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    node: String,
    blocked: bool,
    text: String,
}

/// What is asked of this sub-function's pod, if something is.
pub fn request(
    observed: &Observed<'_>,
    sub: &SubFunctionStatus,
    pod: &Pod,
    now: Timestamp,
) -> Option<Request> {
    if !requested_within(pod, FRESH, now) {
        return None;
    }
    let node = pods::node(pod)?.to_owned();
    let of_sub = |m: &&FunctionMigration| !m.spec.plan && m.spec.sub_function.as_deref() == Some(&sub.name);
    let moves = || observed.migrations.iter().filter(of_sub);
    let blocked = |text: String| Some(Request { node: node.clone(), blocked: true, text });
    if let Some(live) = moves().find(|m| !phase(m).is_over()) {
        return Some(Request { node, blocked: false, text: progress(live) });
    }
    if let Some(
        reason @ (MigratableReason::PinnedByPort
        | MigratableReason::StrategyNone
        | MigratableReason::NoEligibleNode),
    ) = sub.reason
    {
        return blocked(format!("{} cannot leave {node}: {}", sub.name, reason.as_str()));
    }
    let drains = moves().filter(|m| m.spec.trigger == Trigger::Drain);
    let last = drains.filter_map(|m| m.status.as_ref()).max_by_key(|status| status.finished_at.clone());
    match last.and_then(|status| status.failure.as_ref()) {
        Some(failure) => blocked(format!("{} cannot leave {node} yet: {}", sub.name, failure.message)),
        None => Some(Request { text: format!("{} leaves {node}", sub.name), node, blocked: false }),
    }
}

/// The condition.
pub fn condition(requests: &[Request]) -> (Is, &'static str, String) {
    let text = requests.iter().map(|request| request.text.as_str()).collect::<Vec<_>>().join("\n");
    match requests.iter().any(|request| request.blocked) {
        _ if requests.is_empty() => (Is::False, "NotRequested", text),
        true => (Is::True, "Blocked", text),
        false => (Is::True, "Moving", text),
    }
}

/// What to tell on the function.
pub fn news(old: &AtomicFunctionStatus, new: &AtomicFunctionStatus) -> Vec<News> {
    let (before, after) = (stands(old), stands(new));
    let text = |status: &AtomicFunctionStatus| {
        let found = status.conditions.iter().find(|c| c.type_ == condition::EVACUATION_REQUESTED);
        found.map(|found| found.message.clone()).unwrap_or_default()
    };
    let mut news = Vec::new();
    match (before, after) {
        (None, Some(_)) => news.push(News::new(Kind::Normal, "EvacuationRequested", text(new))),
        (Some(_), None) if left(old, new).is_empty() => news.push(News::new(
            Kind::Normal,
            "EvacuationCancelled",
            "nobody asks its pods to leave any more".to_owned(),
        )),
        _ => {}
    }
    if after == Some("Blocked") && before != Some("Blocked") {
        news.push(News::new(Kind::Warning, "EvacuationBlocked", text(new)));
    }
    news
}

/// What to tell on the nodes.
pub fn node_news(
    function: &str,
    old: &AtomicFunctionStatus,
    new: &AtomicFunctionStatus,
    requests: &[Request],
) -> Vec<(ObjectReference, News)> {
    let (before, after) = (stands(old), stands(new));
    let mut told = Vec::new();
    let mut tell = |node: &str, kind, reason, text: &str| {
        told.push((reference(node), News::new(kind, reason, format!("{function}: {text}"))));
    };
    for request in requests {
        if before.is_none() {
            tell(&request.node, Kind::Normal, "EvacuationStarted", &request.text);
        }
        if request.blocked && after == Some("Blocked") && before != Some("Blocked") {
            tell(&request.node, Kind::Warning, "EvacuationBlocked", &request.text);
        }
    }
    if before.is_some() {
        for (node, sub) in left(old, new) {
            let place = sub.node.as_deref().unwrap_or("no node");
            tell(node, Kind::Normal, "EvacuationCompleted", &format!("{} runs on {place}", sub.name));
        }
    }
    told
}

/// The reason of the condition, while it is true.
fn stands(status: &AtomicFunctionStatus) -> Option<&str> {
    let found = status.conditions.iter().find(|c| c.type_ == condition::EVACUATION_REQUESTED)?;
    (found.status == "True").then_some(found.reason.as_str())
}

/// Nodes that sub-functions have left for others.
fn left<'a>(
    old: &'a AtomicFunctionStatus,
    new: &'a AtomicFunctionStatus,
) -> Vec<(&'a str, &'a SubFunctionStatus)> {
    let moved = new.sub_functions.iter().filter_map(|sub| {
        let before = old.sub_functions.iter().find(|before| before.name == sub.name)?;
        let node = before.node.as_deref()?;
        (sub.node.is_some() && sub.node.as_deref() != Some(node)).then_some((node, sub))
    });
    moved.collect()
}

/// `kubectl describe node` looks for events with the node's name as UID.
fn reference(node: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Node".into()),
        name: Some(node.to_owned()),
        uid: Some(node.to_owned()),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{built_before, function, migration, pod};
    use super::super::status::assess;
    use super::*;
    use anf_crds::names as labels;
    use anf_sidecar::control::Role;
    use kube::ResourceExt;

    fn now() -> Timestamp {
        "2026-01-01T00:10:00Z".parse().expect("a time")
    }

    /// The fixture's function with the pod of `count` asked to leave w1, after a migration in this phase.
    fn status(phase: Option<&str>, old: &AtomicFunctionStatus) -> AtomicFunctionStatus {
        let function = function();
        let (mut observed, validated) = built_before(&function);
        let part = validated.parts.iter().find(|part| part.name() == "count").expect("a part");
        let mut pod = pod("a", "owner", &part.manifest);
        pod.annotations_mut().insert(labels::ANNOTATION_EVACUATION.into(), "2026-01-01T00:09:50Z".into());
        observed.with_pod(pod, Role::Owner, 3);
        observed.migrations.extend(phase.map(|phase| migration("m", "count", phase)));
        assess(&observed, &validated, old, now())
    }

    fn reasons(news: &[News]) -> Vec<&'static str> {
        news.iter().map(News::reason).collect()
    }

    #[test]
    fn a_pod_that_is_asked_to_leave_shows_in_the_condition_with_the_progress_of_its_move() {
        let quiet = AtomicFunctionStatus::default();
        let moving = status(Some("Syncing"), &quiet);
        assert_eq!(stands(&moving), Some("Moving"));
        let text = &moving.conditions.iter().find(|c| c.type_ == "EvacuationRequested").expect("it").message;
        assert_eq!(text, "count: moving to another node, Syncing");
        assert_eq!(reasons(&news(&quiet, &moving)), ["EvacuationRequested"]);
        assert!(news(&moving, &moving).is_empty());
    }

    #[test]
    fn what_is_not_asked_for_any_more_is_called_off_unless_it_was_done() {
        let moving = status(Some("Syncing"), &AtomicFunctionStatus::default());
        let mut quiet = moving.clone();
        quiet.conditions.retain(|c| c.type_ != "EvacuationRequested");
        assert_eq!(reasons(&news(&moving, &quiet)), ["EvacuationCancelled"]);
        let sub = quiet.sub_functions.iter_mut().find(|sub| sub.name == "count").expect("it");
        sub.node = Some("w2".into());
        assert!(news(&moving, &quiet).is_empty());
        let told = node_news("default/f", &moving, &quiet, &[]);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].0.name.as_deref(), Some("w1"));
        assert_eq!(told[0].1.reason(), "EvacuationCompleted");
    }

    #[test]
    fn what_cannot_leave_is_told_on_function_and_node_once() {
        let request =
            || vec![Request { node: "w1".into(), blocked: true, text: "count cannot leave".into() }];
        let quiet = AtomicFunctionStatus::default();
        let mut blocked = status(None, &quiet);
        let shown = blocked.conditions.iter_mut().find(|c| c.type_ == "EvacuationRequested").expect("it");
        shown.reason = "Blocked".into();
        assert_eq!(reasons(&news(&quiet, &blocked)), ["EvacuationRequested", "EvacuationBlocked"]);
        let told = node_news("default/f", &quiet, &blocked, &request());
        let reasons =
            |told: &[(ObjectReference, News)]| told.iter().map(|(_, n)| n.reason()).collect::<Vec<_>>();
        assert_eq!(reasons(&told), ["EvacuationStarted", "EvacuationBlocked"]);
        assert!(node_news("default/f", &blocked, &blocked, &request()).is_empty());
    }
}
