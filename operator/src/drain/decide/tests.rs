use super::*;
use serde_json::{Value, json};

const NOW: &str = "2026-01-01T00:10:00Z";

fn now() -> Timestamp {
    NOW.parse().expect("a time")
}

fn node(name: &str, cordoned: bool) -> Node {
    serde_json::from_value(json!({
        "metadata": {"name": name}, "spec": {"unschedulable": cordoned},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]}
    }))
    .expect("a node")
}

fn pod(role: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {
            "name": "p", "namespace": "default", "uid": "p-uid",
            "ownerReferences": [{"apiVersion": "a", "kind": "AtomicFunction", "name": "f", "uid": "f-uid", "controller": true}],
            "labels": {"atomicnf.dev/function": "f", "atomicnf.dev/subfunction": "nat", "atomicnf.dev/role": role}
        },
        "spec": {"nodeName": "w1", "containers": []}, "status": {"phase": "Running"}
    }))
    .expect("a pod")
}

/// `nat` runs on w1, which is cordoned; w2 could take it.
fn facts(strategy: &str, reason: &str) -> Facts {
    Facts {
        pod: pod("owner"),
        function: serde_json::from_value(json!({
            "apiVersion": "atomicnf.dev/v1alpha1", "kind": "AtomicFunction",
            "metadata": {"name": "f", "namespace": "default", "uid": "f-uid"},
            "spec": {"click": "", "migration": {"strategy": strategy}},
            "status": {"subFunctions": [{"name": "nat", "pod": "p", "node": "w1", "ready": true, "reason": reason}]}
        }))
        .expect("a function"),
        migrations: Vec::new(),
        nodes: vec![node("w1", true), node("w2", false)],
    }
}

fn movable() -> Facts {
    facts("LiveMigrate", "Eligible")
}

fn migration(name: &str, status: Value) -> FunctionMigration {
    serde_json::from_value(json!({
        "apiVersion": "atomicnf.dev/v1alpha1", "kind": "FunctionMigration",
        "metadata": {"name": name, "labels": {"atomicnf.dev/evicted-pod": "p"}},
        "spec": {"functionName": "f", "subFunction": "nat", "trigger": "Drain"}, "status": status
    }))
    .expect("a migration")
}

fn failed(name: &str, reason: &str, at: &str) -> FunctionMigration {
    migration(
        name,
        json!({
            "phase": "Failed", "finishedAt": format!("2026-01-01T00:{at}.000000Z"),
            "failure": {"reason": reason, "message": "the scheduler found no place on w2", "phase": "Scheduling"}
        }),
    )
}

#[track_caller]
fn waits(decision: Decision) -> String {
    match decision {
        Decision::Wait(text) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_eviction_begins_a_move_and_the_next_ones_tell_how_far_it_is() {
    let mut facts = movable();
    let Decision::Begin { after: None, message } = decide(&facts, now()) else { panic!("no move begins") };
    assert_eq!(message, "nat: starts to move from w1 to another node");
    facts.migrations.push(migration(
        "m",
        json!({"phase": "Syncing", "target": {"node": "w2"}, "progress": {"percent": 73, "eta": "4s"}}),
    ));
    assert_eq!(waits(decide(&facts, now())), "nat: moving to w2, Syncing 73 %, about 4s");
    facts.migrations = vec![migration("m", json!({"phase": "Pending", "message": "waits for other"}))];
    assert_eq!(waits(decide(&facts, now())), "nat: waits for other (m)");
}

#[test]
fn a_move_that_a_user_asked_for_holds_the_pod_as_well() {
    let mut facts = movable();
    let mut users = migration("m", json!({"phase": "CuttingOver", "target": {"node": "w2"}}));
    users.spec.trigger = Trigger::User;
    facts.migrations.push(users);
    assert!(waits(decide(&facts, now())).contains("moving to w2, CuttingOver"));
    facts.migrations[0].spec.plan = true;
    assert!(matches!(decide(&facts, now()), Decision::Begin { .. }), "a plan moves nothing");
}

#[test]
fn what_runs_nothing_may_go() {
    let mut another_runs = movable();
    another_runs.function.status.as_mut().expect("a status").sub_functions[0].pod = Some("other".into());
    let mut starting = movable();
    starting.pod.status.as_mut().expect("a status").phase = Some("Pending".into());
    let mut ended = movable();
    ended.pod.status.as_mut().expect("a status").phase = Some("Failed".into());
    let mut of_a_former_function = movable();
    of_a_former_function.function.metadata.uid = Some("younger".into());
    let mut left_over = movable();
    left_over.pod = pod("target");
    for facts in [another_runs, starting, ended, of_a_former_function, left_over] {
        assert_eq!(decide(&facts, now()), Decision::Allow, "{:?}", facts.pod.metadata);
    }
}

#[test]
fn the_target_of_a_move_is_held_until_that_is_over() {
    let mut facts = movable();
    facts.pod = pod("target");
    facts.pod.labels_mut().insert(labels::LABEL_MIGRATION.into(), "m".into());
    facts.migrations.push(migration("m", json!({"phase": "Syncing"})));
    assert!(waits(decide(&facts, now())).starts_with("nat moves here (m)"));
}

#[test]
fn with_no_other_node_nothing_is_begun_and_each_is_explained() {
    let mut facts = movable();
    facts.nodes = vec![node("w1", true), node("w2", true)];
    let text = waits(decide(&facts, now()));
    assert!(text.starts_with("nat: cannot leave w1, as no node can take it: w2 is cordoned"), "{text}");
    facts.nodes.pop();
    assert!(waits(decide(&facts, now())).ends_with("there is no other node"));
}

#[test]
fn a_move_that_failed_is_explained_and_tried_again_later_and_later() {
    let mut facts = movable();
    facts.migrations = vec![failed("m1", "TargetUnschedulable", "09:54")];
    let text = waits(decide(&facts, now()));
    assert!(text.contains("found no place on w2 (m1); tried again in 4 s"), "{text}");
    facts.migrations = vec![failed("m1", "TargetUnschedulable", "09:50")];
    assert!(matches!(decide(&facts, now()), Decision::Begin { after: Some(m), .. } if m == "m1"));
    facts.migrations.push(failed("m2", "TargetUnschedulable", "09:45"));
    assert!(waits(decide(&facts, now())).contains("(m1); tried again in 10 s"));
    assert_eq!([back_off(1), back_off(3), back_off(50)].map(|wait| wait.as_secs()), [10, 40, 120]);
}

#[test]
fn a_move_that_was_called_off_by_uncordon_begins_again_at_once() {
    let mut facts = movable();
    facts.migrations = vec![failed("m1", labels::REASON_UNCORDONED, "09:59")];
    assert!(matches!(decide(&facts, now()), Decision::Begin { after: Some(_), .. }));
}

#[test]
fn what_never_moves_live_waits_for_a_person_who_is_told_what_to_do() {
    for (reason, word) in [("PinnedByPort", "owns a port"), ("StrategyNone", "the migration strategy None")] {
        let Decision::Stuck(text) = decide(&facts("LiveMigrate", reason), now()) else {
            panic!("{reason} is not stuck")
        };
        assert!(text.contains(word) && text.contains("kubectl delete pod p -n default"), "{text}");
        assert!(text.contains("started anew on another node"), "{text}");
    }
    let mut alone = facts("LiveMigrateIfPossible", "PinnedByPort");
    alone.nodes = vec![node("w1", true), node("w2", true)];
    let Decision::Stuck(text) = decide(&alone, now()) else { panic!("it is not stuck") };
    assert!(text.contains("down until a node can take it (w2 is cordoned"), "{text}");
}

#[test]
fn what_may_be_started_anew_elsewhere_is_where_its_policy_says_so() {
    let decision = decide(&facts("LiveMigrateIfPossible", "PinnedByPort"), now());
    assert!(matches!(decision, Decision::StartElsewhere(text) if text.contains("interrupts it")));
    let mut not_drained = facts("LiveMigrateIfPossible", "PinnedByPort");
    not_drained.nodes[0] = node("w1", false);
    assert!(
        matches!(decide(&not_drained, now()), Decision::Stuck(_)),
        "packets are not lost for a mere eviction"
    );
}

#[test]
fn drain_asks_again_after_429_and_a_dry_run_ends() {
    let begin = Decision::Begin { after: None, message: "nat: starts".into() };
    let code = |verdict| if let Verdict::Deny { code, .. } = verdict { code } else { 200 };
    assert_eq!((code(begin.clone().verdict()), code(begin.dry_verdict())), (429, 409));
    assert_eq!((code(Decision::Allow.verdict()), code(Decision::Allow.dry_verdict())), (200, 200));
}

#[test]
fn a_request_that_was_noted_is_fresh_for_a_time() {
    let mut pod = pod("owner");
    let minute = Duration::from_secs(60);
    assert!(!requested_within(&pod, minute, now()));
    pod.annotations_mut().insert(labels::ANNOTATION_EVACUATION.into(), "2026-01-01T00:09:30Z".into());
    assert!(requested_within(&pod, minute, now()) && !requested_within(&pod, minute / 4, now()));
    pod.annotations_mut().insert(labels::ANNOTATION_EVACUATION.into(), "soon".into());
    assert!(!requested_within(&pod, minute, now()));
}
