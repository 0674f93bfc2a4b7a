use super::super::machine::{Setting, Told as Said};
use super::*;
use anf_crds::{Endpoint, FunctionMigrationSpec, MigrationPolicy};
use anf_sidecar::control::{HandoverPhase, Report, Side};
use k8s_openapi::jiff::Timestamp;

fn migration() -> FunctionMigration {
    serde_json::from_value(serde_json::json!({
        "apiVersion": "atomicnf.dev/v1alpha1", "kind": "FunctionMigration", "metadata": {"name": "m"},
        "spec": {"functionName": "f", "subFunction": "nat"}
    }))
    .expect("a migration")
}

fn view<'a>(spec: &'a FunctionMigrationSpec, status: FunctionMigrationStatus, told: Said) -> View<'a> {
    View {
        now: Timestamp::from_second(1_800_000_000).expect("a time"),
        id: "u",
        name: "m",
        created: Timestamp::UNIX_EPOCH,
        spec,
        status,
        setting: Setting::Known { policy: MigrationPolicy::default(), pinned_by: None, movable: true },
        uncordoned: None,
        ahead: None,
        source: None,
        target: None,
        plan: None,
        shown: true,
        on_source: told,
        on_target: Said::Nothing,
    }
}

fn to(phase: MigrationPhase) -> Decision {
    Decision { phase, why: None, failure: None, acts: Vec::new(), source: None, target: None, plan: None }
}

fn in_phase(phase: MigrationPhase) -> FunctionMigrationStatus {
    let at = MicroTime(Timestamp::UNIX_EPOCH);
    FunctionMigrationStatus {
        phase: Some(phase),
        phase_transitions: vec![PhaseTransition { phase, at }],
        target: Some(Endpoint { node: Some("w2".into()), ..Endpoint::default() }),
        ..FunctionMigrationStatus::default()
    }
}

fn finished(gap_ms: f64) -> Said {
    Said::Status(Box::new(HandoverStatus {
        id: "u".into(),
        side: Side::Source,
        phase: HandoverPhase::Finished,
        flows_total: 1000,
        flows_synced: 1000,
        reason: None,
        message: None,
        breakdown: control::Breakdown { cut_ms: 0.4, ..control::Breakdown::default() },
        report: Some(Report { gap_ms, baseline_ms: 0.3, flows: 1000, parked: 5, ..Report::default() }),
    }))
}

fn reasons(old: &FunctionMigrationStatus, new: &FunctionMigrationStatus) -> Vec<&'static str> {
    story(&migration(), old, new).iter().map(|told| told.reason).collect()
}

#[test]
fn phases_that_passed_between_two_looks_are_recorded_and_told() {
    let (old, migration) = (in_phase(MigrationPhase::Syncing), migration());
    let new = next_status(&view(&migration.spec, old.clone(), finished(0.8)), &to(MigrationPhase::Succeeded));
    let phases: Vec<&str> = new.phase_transitions.iter().map(|t| t.phase.as_str()).collect();
    assert_eq!(phases, ["Syncing", "CuttingOver", "Finishing", "Succeeded"]);
    assert_eq!(reasons(&old, &new), ["StateSynced", "CutOver", "MigrationSucceeded"]);
    for type_ in [condition::STATE_SYNCED, condition::CUT_OVER, condition::WITHIN_BUDGET, condition::COMPLETE]
    {
        assert!(conditions::is_true(&new.conditions, type_), "{type_}");
    }
}

#[test]
fn what_the_neighbours_measured_is_recorded() {
    let migration = migration();
    let old = in_phase(MigrationPhase::Finishing);
    let new = next_status(&view(&migration.spec, old, finished(0.8)), &to(MigrationPhase::Succeeded));
    let downtime = new.downtime.expect("a downtime");
    assert_eq!((downtime.measured.to_string(), downtime.budget.to_string()), ("0.8ms".into(), "10ms".into()));
    assert!(downtime.within_budget);
    assert_eq!(downtime.breakdown.map(|b| b.cut.to_string()).as_deref(), Some("0.4ms"));
    assert_eq!(new.packets.map(|packets| (packets.parked, packets.lost)), Some((5, 0)));
    assert_eq!((new.flows_moved, new.finished_at.is_some()), (Some(1000), true));
}

#[test]
fn a_gap_beyond_the_budget_is_a_success_with_a_warning() {
    let migration = migration();
    let old = in_phase(MigrationPhase::Finishing);
    let new =
        next_status(&view(&migration.spec, old.clone(), finished(12.0)), &to(MigrationPhase::Succeeded));
    assert!(!conditions::is_true(&new.conditions, condition::WITHIN_BUDGET));
    assert_eq!(reasons(&old, &new), ["CutOver", "DowntimeBudgetExceeded", "MigrationSucceeded"]);
}

#[test]
fn a_failure_keeps_its_reason_its_text_and_its_phase() {
    let migration = migration();
    let old = in_phase(MigrationPhase::Preparing);
    let failure = anf_crds::Failure {
        reason: "TargetNotReady".into(),
        message: "ImagePullBackOff".into(),
        phase: MigrationPhase::Preparing,
    };
    let decision = Decision { failure: Some(failure.clone()), ..to(MigrationPhase::Failed) };
    let new = next_status(&view(&migration.spec, old.clone(), Said::Nothing), &decision);
    assert_eq!(new.failure, Some(failure));
    let failed = new.conditions.iter().find(|c| c.type_ == condition::FAILED).expect("the condition");
    assert_eq!((failed.status.as_str(), failed.reason.as_str()), ("True", "TargetNotReady"));
    assert_eq!(reasons(&old, &new), ["MigrationFailed"]);
}

#[test]
fn a_first_look_that_fails_begins_with_pending() {
    let migration = migration();
    let new = next_status(
        &view(&migration.spec, FunctionMigrationStatus::default(), Said::Nothing),
        &to(MigrationPhase::Failed),
    );
    let phases: Vec<&str> = new.phase_transitions.iter().map(|t| t.phase.as_str()).collect();
    assert_eq!(phases, ["Pending", "Failed"]);
}
