use super::super::fixtures::{built_before, function, function_with, migration, observed, pod};
use super::super::validate::validate;
use super::*;
use serde_json::json;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("a time")
}

fn condition<'a>(status: &'a AtomicFunctionStatus, type_: &str) -> (&'a str, &'a str, &'a str) {
    let found = status.conditions.iter().find(|c| c.type_ == type_).expect("the condition");
    (&found.status, &found.reason, &found.message)
}

/// Both sub-functions owned.
fn running(function: &AtomicFunction) -> (Observed<'_>, Validated) {
    let (mut observed, validated) = built_before(function);
    for part in &validated.parts {
        observed.with_pod(pod(&format!("p-{}", part.name()), "owner", &part.manifest), Role::Owner, 2);
    }
    (observed, validated)
}

#[test]
fn a_function_whose_parts_all_own_is_ready() {
    let function = function();
    let (observed, validated) = running(&function);
    let status = assess(&observed, &validated, &AtomicFunctionStatus::default(), at(0));
    assert_eq!((status.ready.as_deref(), status.phase), (Some("2/2"), Some(FunctionPhase::Ready)));
    assert_eq!((status.nodes.as_deref(), status.flows), (Some("w1"), Some(20)));
    assert_eq!(condition(&status, "Ready").0, "True");
    assert_eq!(condition(&status, "Migratable").1, "Eligible");
    assert_eq!(condition(&status, "StateStoreReachable").0, "True");
    assert_eq!(status.sub_functions[0].epoch, Some(2));
}

#[test]
fn a_wrong_graph_is_not_accepted_while_what_runs_stays_ready() {
    let mut function = function();
    let (before, _) = running(&function);
    let (pods, answers, manifests) = (before.pods, before.answers, before.manifests);
    function.spec.click = Some("Idle\n -> Countr -> Discard;".into());
    let mut observed = observed(&function);
    (observed.pods, observed.answers, observed.manifests) = (pods, answers, manifests);
    let validated = validate(&observed, super::super::fixtures::STORE);
    let status = assess(&observed, &validated, &AtomicFunctionStatus::default(), at(0));
    let (is, reason, message) = condition(&status, "Accepted");
    assert_eq!((is, reason), ("False", "InvalidGraph"));
    assert!(message.contains("line 2"), "{message}");
    assert_eq!((status.phase, status.ready.as_deref()), (Some(FunctionPhase::Invalid), Some("2/2")));
}

#[test]
fn a_part_that_was_up_and_is_gone_makes_it_degraded() {
    let function = function();
    let (mut observed, validated) = running(&function);
    let before = assess(&observed, &validated, &AtomicFunctionStatus::default(), at(0));
    observed.pods.retain(|pod| pod.name_any() != "p-count");
    let after = assess(&observed, &validated, &before, at(1));
    assert_eq!((after.phase, after.ready.as_deref()), (Some(FunctionPhase::Degraded), Some("1/2")));
    assert!(condition(&after, "Degraded").2.contains("count: has no pod yet"));
    let reasons: Vec<&str> = news(&before, &after).iter().map(|piece| piece.reason).collect();
    assert_eq!(reasons, ["SubFunctionUnhealthy"]);
    assert_eq!(after.sub_functions[0].epoch, Some(2), "an epoch is never forgotten");
}

#[test]
fn every_reason_against_a_move_is_told() {
    let reason = |spec: serde_json::Value, change: &dyn Fn(&mut Observed<'_>)| {
        let function = function_with(spec);
        let (mut observed, validated) = running(&function);
        change(&mut observed);
        let status = assess(&observed, &validated, &AtomicFunctionStatus::default(), at(0));
        (status.sub_functions[0].reason, condition(&status, "Migratable").1.to_owned())
    };
    let plain = || json!({"click": "Idle -> Discard;"});
    let told = |reason: MigratableReason| (Some(reason), reason.as_str().to_owned());
    assert_eq!(reason(plain(), &|_| ()), told(MigratableReason::Eligible));
    assert_eq!(reason(plain(), &|o| o.nodes.truncate(1)), told(MigratableReason::NoEligibleNode));
    assert_eq!(reason(plain(), &|o| o.answers.clear()), told(MigratableReason::NotReady));
    let store_down = |o: &mut Observed<'_>| {
        for status in o.answers.values_mut().flatten() {
            status.store.reachable = false;
        }
    };
    assert_eq!(reason(plain(), &store_down), told(MigratableReason::StateStoreDown));
    let none = json!({"click": "Idle -> Discard;", "migration": {"strategy": "None"}});
    assert_eq!(reason(none, &|_| ()), told(MigratableReason::StrategyNone));
    let port = json!({"click": "FromDevice(lan) -> Discard;", "ports": [{"name": "lan", "pod": {"interface": "eth0"}}]});
    assert_eq!(reason(port, &|_| ()), told(MigratableReason::PinnedByPort));
}

#[test]
fn each_ended_migration_is_counted_once() {
    let function = function();
    let (mut observed, validated) = running(&function);
    let ended = |name: &str, phase: &str, second: u32| {
        let mut migration = migration(name, "count", phase);
        if let Some(status) = &mut migration.status {
            status.finished_at =
                serde_json::from_value(json!(format!("2026-01-01T00:00:{second:02}.500000Z")))
                    .expect("a time");
        }
        migration
    };
    observed.migrations.push(ended("a", "Succeeded", 1));
    let first = assess(&observed, &validated, &AtomicFunctionStatus::default(), at(0));
    observed.migrations.push(ended("b", "Failed", 2));
    let second = assess(&observed, &validated, &first, at(1));
    let third = assess(&observed, &validated, &second, at(2));
    assert_eq!(third.migrations, Some(MigrationCounts { succeeded: 1, failed: 1 }));
    assert_eq!(third.last_migration.map(|last| last.name).as_deref(), Some("b"));
}

#[test]
fn a_migration_under_way_is_shown_and_changes_no_readiness() {
    let function = function();
    let (mut observed, validated) = running(&function);
    observed.migrations.push(migration("m", "count", "Syncing"));
    let status = assess(&observed, &validated, &AtomicFunctionStatus::default(), at(0));
    assert_eq!(status.phase, Some(FunctionPhase::Migrating));
    assert_eq!(status.active_migration.map(|active| active.name).as_deref(), Some("m"));
    assert_eq!(status.ready.as_deref(), Some("2/2"));
}

#[test]
fn counts_alone_are_written_only_now_and_then() {
    let function = function();
    let (mut observed, validated) = running(&function);
    let before = assess(&observed, &validated, &AtomicFunctionStatus::default(), at(0));
    for status in observed.answers.values_mut().flatten() {
        status.flows += 1;
    }
    let after = assess(&observed, &validated, &before, at(1));
    let mut written = function.clone();
    written.metadata.managed_fields = serde_json::from_value(json!([{
        "manager": "atomicnf", "operation": "Apply", "time": at(0).to_string()
    }]))
    .ok();
    assert!(!worth_writing(&written, &before, &after, at(1)));
    assert!(worth_writing(&written, &before, &after, at(10)));
}

#[test]
fn the_store_is_news_when_it_goes_and_when_it_comes_back() {
    let function = function();
    let (mut observed, validated) = running(&function);
    let up = assess(&observed, &validated, &AtomicFunctionStatus::default(), at(0));
    for status in observed.answers.values_mut().flatten() {
        status.store.reachable = false;
    }
    let down = assess(&observed, &validated, &up, at(1));
    let reasons = |old, new| news(old, new).iter().map(|piece| piece.reason).collect::<Vec<_>>();
    assert_eq!(reasons(&up, &down), ["StateStoreUnavailable"]);
    assert_eq!(reasons(&down, &up), ["StateStoreRecovered"]);
}
