use super::*;
use anf_crds::PhaseTransition;
use anf_sidecar::control::{Breakdown, Side};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde_json::json;

const START: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(START + second).expect("a time")
}

/// What was asked for, in the words of a manifest.
fn spec(more: serde_json::Value) -> FunctionMigrationSpec {
    let mut spec = json!({"functionName": "edge-nat", "subFunction": "nat", "targetNode": "w2"});
    if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
        spec.extend(more.clone());
    }
    serde_json::from_value(spec).expect("a spec")
}

fn owner() -> Runner {
    Runner {
        pod: "source".into(),
        node: Some("w1".into()),
        ready: true,
        role: Some(Role::Owner),
        epoch: 4,
        store_reachable: Some(true),
        ..Runner::default()
    }
}

fn target() -> Runner {
    Runner {
        pod: "target".into(),
        node: Some("w2".into()),
        ready: true,
        role: Some(Role::Standby),
        epoch: 4,
        store_reachable: Some(true),
        ..Runner::default()
    }
}

fn told(phase: Phase) -> Told {
    Told::Status(Box::new(HandoverStatus {
        id: "u".into(),
        side: Side::Source,
        phase,
        flows_total: 1000,
        flows_synced: 1000,
        reason: (phase == Phase::Aborted).then(|| "NotConverging".into()),
        message: (phase == Phase::Aborted).then(|| "the log grows faster than it is read".into()),
        breakdown: Breakdown::default(),
        report: (phase == Phase::Finished).then(Report::default),
    }))
}

/// A migration that has been in `phase` for `seconds`, with both pods there.
fn view(spec: &FunctionMigrationSpec, phase: MigrationPhase, seconds: i64) -> View<'_> {
    let endpoint =
        |node: &str, pod: &str| Endpoint { node: Some(node.into()), pod: Some(pod.into()), epoch: None };
    let begun = |phase, second| PhaseTransition { phase, at: MicroTime(at(second)) };
    View {
        now: at(seconds),
        id: "u",
        name: "move",
        created: at(0),
        spec,
        status: FunctionMigrationStatus {
            phase: Some(phase),
            phase_transitions: vec![begun(MigrationPhase::Scheduling, 0), begun(phase, 0)],
            source: Some(endpoint("w1", "source")),
            target: Some(endpoint("w2", "target")),
            ..FunctionMigrationStatus::default()
        },
        setting: Setting::Known { policy: MigrationPolicy::default(), pinned_by: None, movable: true },
        uncordoned: None,
        ahead: None,
        source: Some(owner()),
        target: Some(target()),
        plan: None,
        shown: true,
        on_source: Told::Unknown,
        on_target: Told::Unknown,
    }
}

fn fresh(spec: &FunctionMigrationSpec) -> View<'_> {
    View {
        status: FunctionMigrationStatus::default(),
        target: None,
        plan: Some(Ok(Plan { node: Some("w2".into()), ..Plan::default() })),
        ..view(spec, MigrationPhase::Pending, 1)
    }
}

#[track_caller]
fn failed(decision: &Decision, reason: &str, text: &str) {
    let failure = decision.failure.as_ref().unwrap_or_else(|| panic!("no failure: {decision:?}"));
    assert_eq!(decision.phase, MigrationPhase::Failed);
    assert_eq!(failure.reason, reason);
    assert!(failure.message.contains(text), "{:?} does not say {text:?}", failure.message);
}

#[track_caller]
fn waits(decision: &Decision, phase: MigrationPhase, reason: &str) {
    assert_eq!(decision.phase, phase);
    assert_eq!(decision.why.as_ref().map(|why| why.reason.as_str()), Some(reason));
}

#[test]
fn uncordon_calls_off_what_waits_and_nothing_that_has_begun() {
    let spec = spec(json!({"trigger": "Drain"}));
    let uncordoned = |view| View { uncordoned: Some("w1".into()), ahead: Some("other".into()), ..view };
    let decision = decide(&View { now: at(5), ..uncordoned(fresh(&spec)) });
    assert_eq!(decision.phase, MigrationPhase::Aborted);
    assert_eq!(decision.failure.map(|failure| failure.reason).as_deref(), Some("Uncordoned"));
    // Whoever has only just cordoned the node may be ahead of our watch of it.
    waits(&decide(&uncordoned(fresh(&spec))), MigrationPhase::Pending, "Queued");
    let begun = decide(&View { now: at(5), ..uncordoned(view(&spec, MigrationPhase::Scheduling, 5)) });
    assert_eq!(begun.phase, MigrationPhase::Preparing);
}

#[test]
fn what_cannot_be_moved_is_refused_with_the_way_out() {
    let spec = spec(json!({}));
    let with = |setting| View { setting, ..fresh(&spec) };
    failed(&decide(&with(Setting::NoFunction)), "FunctionNotFound", "\"edge-nat\"");
    let known = vec!["classify".to_owned(), "egress".to_owned()];
    failed(&decide(&with(Setting::NoSubFunction(known))), "SubFunctionNotFound", "it has: classify, egress");
    let setting = |pinned_by: Option<&str>, movable| Setting::Known {
        policy: MigrationPolicy::default(),
        pinned_by: pinned_by.map(str::to_owned),
        movable,
    };
    failed(&decide(&with(setting(Some("lan"), true))), "PinnedByPort", "port \"lan\"");
    failed(&decide(&with(setting(None, false))), "StrategyNone", "nat has");
    let refusal = Refusal { reason: "UnknownNode", message: "there is no node \"w9\"".into() };
    failed(&decide(&View { plan: Some(Err(refusal)), ..fresh(&spec) }), "UnknownNode", "w9");
    let cut_off = Runner { store_reachable: Some(false), ..owner() };
    failed(&decide(&View { source: Some(cut_off), ..fresh(&spec) }), "StateStoreDown", "state store");
}

#[test]
fn a_refusal_before_a_target_was_made_deletes_nothing() {
    let spec = spec(json!({}));
    assert!(decide(&View { setting: Setting::NoFunction, ..fresh(&spec) }).acts.is_empty());
}

#[test]
fn the_second_migration_of_a_function_waits_and_names_the_first() {
    let spec = spec(json!({}));
    let decision = decide(&View { ahead: Some("waits for first".into()), now: at(9999), ..fresh(&spec) });
    waits(&decision, MigrationPhase::Pending, "Queued");
    assert!(decision.why.is_some_and(|why| why.message.contains("waits for first")));
}

#[test]
fn a_source_that_is_not_there_yet_is_waited_for_until_the_deadline() {
    let spec = spec(json!({}));
    waits(&decide(&View { source: None, ..fresh(&spec) }), MigrationPhase::Pending, "SourceNotReady");
    failed(&decide(&View { source: None, now: at(61), ..fresh(&spec) }), "SourceNotReady", "no pod owns nat");
}

#[test]
fn a_free_migration_records_both_ends_and_begins() {
    let spec = spec(json!({}));
    let decision = decide(&fresh(&spec));
    assert_eq!(decision.phase, MigrationPhase::Scheduling);
    let source = decision.source.expect("a source");
    assert_eq!((source.pod.as_deref(), source.epoch), (Some("source"), Some(4)));
    assert_eq!(decision.target.and_then(|target| target.node).as_deref(), Some("w2"));
}

#[test]
fn a_plan_moves_nothing_and_does_not_queue() {
    let spec = spec(json!({"plan": true}));
    let decision = decide(&View { ahead: Some("first".into()), ..fresh(&spec) });
    assert_eq!(decision.phase, MigrationPhase::Succeeded);
    assert!(decision.acts.is_empty() && decision.plan.is_some());
}

#[test]
fn the_target_is_made_once_and_its_loss_is_noticed() {
    let spec = spec(json!({}));
    let mut view = View { target: None, ..view(&spec, MigrationPhase::Scheduling, 1) };
    failed(&decide(&view), "TargetLost", "target");
    view.status.target = Some(Endpoint { node: Some("w2".into()), ..Endpoint::default() });
    assert_eq!(decide(&view).acts, [Act::CreateTarget]);
}

#[test]
fn a_target_without_a_place_carries_the_schedulers_text_and_fails_in_time() {
    let spec = spec(json!({}));
    let no_place =
        Runner { node: None, unschedulable: Some("0/3 nodes: Insufficient cpu".into()), ..target() };
    let at_second =
        |second| View { target: Some(no_place.clone()), ..view(&spec, MigrationPhase::Scheduling, second) };
    let early = decide(&at_second(5));
    waits(&early, MigrationPhase::Scheduling, "TargetUnschedulable");
    let late = decide(&at_second(25));
    failed(&late, "TargetUnschedulable", "on w2: 0/3 nodes: Insufficient cpu");
    assert_eq!(late.acts, [Act::DeleteTarget]);
}

#[test]
fn a_target_that_does_not_start_fails_with_its_containers_text() {
    let spec = spec(json!({}));
    let broken = Runner { ready: false, trouble: Some("ImagePullBackOff: no such image".into()), ..target() };
    let at_second =
        |second| View { target: Some(broken.clone()), ..view(&spec, MigrationPhase::Preparing, second) };
    waits(&decide(&at_second(5)), MigrationPhase::Preparing, "TargetNotReady");
    failed(&decide(&at_second(31)), "TargetNotReady", "ImagePullBackOff: no such image");
}

#[test]
fn a_ready_target_lets_the_source_be_asked_with_what_is_left_of_the_deadline() {
    let spec = spec(json!({}));
    let decision = decide(&view(&spec, MigrationPhase::Preparing, 10));
    assert_eq!(decision.acts, [Act::StartHandover { deadline_ms: 50_000 }]);
    assert_eq!(
        started(&view(&spec, MigrationPhase::Preparing, 10), decision, None).phase,
        MigrationPhase::Syncing
    );
}

#[test]
fn a_source_that_refuses_ends_the_migration_with_its_words_and_the_target_goes() {
    let spec = spec(json!({}));
    let view = view(&spec, MigrationPhase::Preparing, 10);
    let refused = Refused::No { reason: "WrongEpoch".into(), message: "the owner is at epoch 5".into() };
    let decision = started(&view, decide(&view), Some(refused));
    failed(&decision, "WrongEpoch", "epoch 5");
    assert_eq!(decision.acts, [Act::DeleteTarget]);
}

#[test]
fn a_new_leader_finds_a_handover_that_was_begun_and_does_not_begin_another() {
    let spec = spec(json!({}));
    let decision =
        decide(&View { on_source: told(Phase::Armed), ..view(&spec, MigrationPhase::Preparing, 1) });
    assert_eq!((decision.phase, decision.acts.len()), (MigrationPhase::Syncing, 0));
}

#[test]
fn phases_follow_what_the_source_tells() {
    let spec = spec(json!({}));
    for (phase, next) in [
        (Phase::Preparing, MigrationPhase::Syncing),
        (Phase::Syncing, MigrationPhase::Syncing),
        (Phase::Armed, MigrationPhase::Syncing),
        (Phase::Cutting, MigrationPhase::CuttingOver),
        (Phase::Sealed, MigrationPhase::CuttingOver),
        (Phase::Started, MigrationPhase::Finishing),
        (Phase::Finished, MigrationPhase::Finishing),
    ] {
        let decision = decide(&View { on_source: told(phase), ..view(&spec, MigrationPhase::Syncing, 1) });
        assert_eq!((decision.phase, decision.acts.len()), (next, 0), "{phase:?}");
    }
}

#[test]
fn an_abort_by_the_source_fails_with_its_words_and_removes_the_target() {
    let spec = spec(json!({}));
    let decision =
        decide(&View { on_source: told(Phase::Aborted), ..view(&spec, MigrationPhase::CuttingOver, 1) });
    failed(&decision, "NotConverging", "grows faster");
    assert_eq!(decision.acts, [Act::DeleteTarget]);
}

#[test]
fn a_target_that_is_lost_before_the_seal_makes_the_source_abort_before_anything_is_decided() {
    let spec = spec(json!({}));
    let mut view =
        View { target: None, on_source: told(Phase::Syncing), ..view(&spec, MigrationPhase::Syncing, 1) };
    let decision = decide(&view);
    waits(&decision, MigrationPhase::Syncing, "TargetLost");
    assert_eq!(decision.acts, [Act::AbortHandover]);
    view.on_source = told(Phase::Aborted);
    failed(&decide(&view), "TargetLost", "lost before the commit");
}

#[test]
fn a_target_that_owns_is_final_whatever_else_is_said() {
    let spec = spec(json!({"abort": true}));
    let owns = Runner { role: Some(Role::Owner), epoch: 5, ..target() };
    let view = View { target: Some(owns), source: None, ..view(&spec, MigrationPhase::CuttingOver, 99) };
    assert_eq!(decide(&view).phase, MigrationPhase::Finishing);
}

#[test]
fn an_abort_is_legal_in_every_phase() {
    let spec = spec(json!({"abort": true}));
    assert_eq!(decide(&fresh(&spec)).phase, MigrationPhase::Aborted);
    for phase in [MigrationPhase::Scheduling, MigrationPhase::Preparing] {
        let decision = decide(&view(&spec, phase, 1));
        assert_eq!(
            (decision.phase, decision.acts),
            (MigrationPhase::Aborted, vec![Act::DeleteTarget]),
            "{phase:?}"
        );
    }
    for phase in [Phase::Syncing, Phase::Armed, Phase::Cutting] {
        let decision = decide(&View { on_source: told(phase), ..view(&spec, MigrationPhase::Syncing, 1) });
        assert_eq!(decision.acts, [Act::AbortHandover], "{phase:?}");
    }
    let aborted = View { on_source: told(Phase::Aborted), ..view(&spec, MigrationPhase::Syncing, 1) };
    assert_eq!(decide(&aborted).phase, MigrationPhase::Aborted);
    let sealed = View { on_source: told(Phase::Sealed), ..view(&spec, MigrationPhase::CuttingOver, 1) };
    assert_eq!((decide(&sealed).phase, decide(&sealed).acts), (MigrationPhase::CuttingOver, vec![]));
}

#[test]
fn a_handover_that_is_late_is_called_off_by_the_source_not_by_us() {
    let spec = spec(json!({"deadline": "10s"}));
    let mut view = View { on_source: told(Phase::Syncing), ..view(&spec, MigrationPhase::Syncing, 11) };
    let decision = decide(&view);
    waits(&decision, MigrationPhase::Syncing, "DeadlineExceeded");
    assert_eq!(decision.acts, [Act::AbortHandover]);
    view.on_source = Told::Silent("no answer".into());
    assert_eq!(decide(&view).phase, MigrationPhase::Syncing);
    view.now = at(21);
    failed(&decide(&view), "SourceUnreachable", "does not answer");
}

#[test]
fn a_source_that_is_lost_gives_the_target_time_to_own() {
    let spec = spec(json!({}));
    let gone = |second| View {
        source: None,
        on_source: Told::Nothing,
        ..view(&spec, MigrationPhase::CuttingOver, second)
    };
    waits(&decide(&gone(1)), MigrationPhase::CuttingOver, "SourceLost");
    failed(&decide(&gone(6)), "SourceLost", "heals by itself");
}

#[test]
fn the_report_is_waited_for_but_its_absence_fails_nothing() {
    let spec = spec(json!({}));
    let started =
        |second| View { on_target: told(Phase::Started), ..view(&spec, MigrationPhase::Finishing, second) };
    waits(&decide(&started(1)), MigrationPhase::Finishing, "WaitingForReport");
    let decision = decide(&started(16));
    assert_eq!((decision.phase, decision.acts), (MigrationPhase::Succeeded, vec![Act::Promote]));
    let reported = View { on_source: told(Phase::Finished), ..started(1) };
    assert_eq!(decide(&reported).phase, MigrationPhase::Succeeded);
}

#[test]
fn a_move_is_over_when_the_functions_status_shows_it() {
    let spec = spec(json!({}));
    let hidden = |second| View {
        shown: false,
        on_source: told(Phase::Finished),
        ..view(&spec, MigrationPhase::Finishing, second)
    };
    waits(&decide(&hidden(1)), MigrationPhase::Finishing, "WaitingForStatus");
    assert_eq!(decide(&hidden(16)).phase, MigrationPhase::Succeeded, "but nothing is held up by a status");
}

#[test]
fn what_is_over_stays_over() {
    let spec = spec(json!({"abort": true}));
    for phase in [MigrationPhase::Succeeded, MigrationPhase::Failed, MigrationPhase::Aborted] {
        let decision = decide(&view(&spec, phase, 1));
        assert_eq!((decision.phase, decision.acts.len()), (phase, 0));
    }
}
