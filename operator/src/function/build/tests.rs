use super::super::fixtures::{built_before, function, image, migration, observed, pod};
use super::super::validate::validate;
use super::*;

/// Both parts of the fixture, and the fate of `count` alone.
fn count(validated: &Validated) -> &Part {
    validated.parts.iter().find(|part| part.name() == "count").expect("the part")
}

fn created(built: &Built, sub_function: &str) -> Option<Pod> {
    built.create.iter().find(|pod| pods::label(pod, labels::LABEL_SUB_FUNCTION) == sub_function).cloned()
}

fn claim(pod: &Pod) -> Option<String> {
    let containers = &pod.spec.as_ref()?.containers;
    let env = containers.iter().flat_map(|container| container.env.iter().flatten());
    env.into_iter().find(|env| env.name == "ANF_CLAIM_EPOCH")?.value.clone()
}

#[test]
fn a_new_function_gets_a_key_and_a_config_map_and_a_pod_for_each_sub_function() {
    let function = function();
    let mut observed = observed(&function);
    observed.key = None;
    let validated = validate(&observed, super::super::fixtures::STORE);
    assert!(validated.rejection.is_none(), "{:?}", validated.rejection);
    let built = build(&observed, &validated, &image());
    assert!(built.make_key);
    assert_eq!(built.config_maps.len(), 2);
    assert_eq!(
        built.budgets.iter().map(ResourceExt::name_any).collect::<Vec<_>>(),
        ["anf-f-count", "anf-f-main"]
    );
    assert_eq!(created(&built, "count").as_ref().and_then(claim).as_deref(), Some("0"));
    assert!(created(&built, "main").is_some() && built.delete.is_empty());
}

#[test]
fn repeating_the_step_names_the_same_pods() {
    let function = function();
    let (observed, validated) = built_before(&function);
    let names = |built: Built| built.create.iter().map(ResourceExt::name_any).collect::<Vec<_>>();
    assert_eq!(names(build(&observed, &validated, &image())), names(build(&observed, &validated, &image())));
}

#[test]
fn an_owner_is_left_alone() {
    let function = function();
    let (mut observed, validated) = built_before(&function);
    observed.with_pod(pod("a", "owner", &count(&validated).manifest), Role::Owner, 3);
    let built = build(&observed, &validated, &image());
    assert!(created(&built, "count").is_none() && built.delete.is_empty() && built.config_maps.is_empty());
}

#[test]
fn a_pod_that_is_gone_is_made_anew_with_the_last_epoch_and_another_name() {
    let mut function = function();
    function.status =
        serde_json::from_value(serde_json::json!({"subFunctions": [{"name": "count", "epoch": 3}]})).ok();
    let (mut observed, validated) = built_before(&function);
    let first = created(&build(&observed, &validated, &image()), "count").expect("a pod");
    assert_eq!(claim(&first).as_deref(), Some("3"));
    let mut lingering = pod("lingering", "owner", &count(&validated).manifest);
    lingering.metadata.deletion_timestamp =
        serde_json::from_value(serde_json::json!("2026-01-01T00:00:00Z")).ok();
    observed.pods.push(lingering);
    let second = created(&build(&observed, &validated, &image()), "count").expect("a pod");
    assert_ne!(first.name_any(), second.name_any());
}

#[test]
fn a_pod_that_came_too_late_to_own_is_replaced_by_one_that_tries_the_next_epoch() {
    let function = function();
    let (mut observed, validated) = built_before(&function);
    let mut late = pod("late", "owner", &count(&validated).manifest);
    late.spec = serde_json::from_value(serde_json::json!({
        "containers": [{"name": "sidecar", "env": [{"name": "ANF_CLAIM_EPOCH", "value": "7"}]}]
    }))
    .ok();
    observed.with_pod(late, Role::Standby, 0);
    let built = build(&observed, &validated, &image());
    assert_eq!(built.delete, [("late".to_owned(), "another pod owns the sub-function")]);
    assert_eq!(created(&built, "count").as_ref().and_then(claim).as_deref(), Some("8"));
}

#[test]
fn an_owner_below_the_recorded_epoch_is_replaced_by_one_that_goes_on_from_it() {
    let mut function = function();
    function.status =
        serde_json::from_value(serde_json::json!({"subFunctions": [{"name": "count", "epoch": 3}]})).ok();
    let (mut observed, validated) = built_before(&function);
    let manifest = &count(&validated).manifest;
    observed.with_pod(pod("restarted", "owner", manifest), Role::Owner, 1);
    let built = build(&observed, &validated, &image());
    assert_eq!(built.delete, [("restarted".to_owned(), "the store has forgotten the sub-function's epoch")]);
    assert_eq!(created(&built, "count").as_ref().and_then(claim).as_deref(), Some("3"));
    // Its successor owns at the next one and stays, while the first one ends.
    observed.pods[0].metadata.deletion_timestamp =
        serde_json::from_value(serde_json::json!("2026-01-01T00:00:00Z")).ok();
    observed.with_pod(pod("successor", "owner", manifest), Role::Owner, 4);
    let built = build(&observed, &validated, &image());
    assert!(built.delete.is_empty() && created(&built, "count").is_none(), "{:?}", built.delete);
}

#[test]
fn pods_of_a_migration_under_way_are_left_alone() {
    let function = function();
    let (mut observed, validated) = built_before(&function);
    let manifest = &count(&validated).manifest;
    let mut target = pod("target", "target", manifest);
    target.labels_mut().insert(labels::LABEL_MIGRATION.into(), "m".into());
    observed.with_pod(pod("source", "owner", manifest), Role::Sealed, 3);
    observed.with_pod(target, Role::Standby, 3);
    observed.migrations.push(migration("m", "count", "CuttingOver"));
    let built = build(&observed, &validated, &image());
    assert!(built.delete.is_empty() && created(&built, "count").is_none() && built.adopt.is_empty());
}

#[test]
fn a_target_that_owns_after_its_migration_is_adopted_and_any_other_is_removed() {
    let function = function();
    let (mut observed, validated) = built_before(&function);
    let manifest = &count(&validated).manifest;
    observed.with_pod(pod("owns", "target", manifest), Role::Owner, 5);
    observed.with_pod(pod("left", "target", manifest), Role::Standby, 5);
    let built = build(&observed, &validated, &image());
    assert_eq!(built.adopt, ["owns"]);
    assert_eq!(built.delete, [("left".to_owned(), "its migration is over")]);
}

#[test]
fn of_two_that_claim_to_own_the_higher_epoch_is_kept() {
    let function = function();
    let (mut observed, validated) = built_before(&function);
    let manifest = &count(&validated).manifest;
    observed.with_pod(pod("old", "owner", manifest), Role::Owner, 3);
    observed.with_pod(pod("new", "owner", manifest), Role::Owner, 4);
    let built = build(&observed, &validated, &image());
    assert_eq!(built.delete, [("old".to_owned(), "the sub-function has another pod")]);
}

#[test]
fn while_a_migration_is_under_way_two_owners_are_left_to_it() {
    let function = function();
    let (mut observed, validated) = built_before(&function);
    let manifest = &count(&validated).manifest;
    let mut target = pod("target", "target", manifest);
    target.labels_mut().insert(labels::LABEL_MIGRATION.into(), "m".into());
    observed.with_pod(pod("source", "owner", manifest), Role::Owner, 3);
    observed.with_pod(target, Role::Owner, 4);
    observed.migrations.push(migration("m", "count", "Finishing"));
    let built = build(&observed, &validated, &image());
    assert!(built.delete.is_empty() && built.adopt.is_empty() && created(&built, "count").is_none());
}

#[test]
fn a_pod_of_an_older_graph_is_replaced() {
    let function = function();
    let (mut observed, validated) = built_before(&function);
    let mut older = count(&validated).manifest.clone();
    older.graph_hash = "older".into();
    observed.with_pod(pod("older", "owner", &older), Role::Owner, 3);
    let built = build(&observed, &validated, &image());
    assert_eq!(built.delete, [("older".to_owned(), "it runs an older graph")]);
    assert_eq!(created(&built, "count").as_ref().and_then(claim).as_deref(), Some("3"));
}

#[test]
fn what_belongs_to_a_sub_function_that_is_no_more_is_removed() {
    let function = function();
    let (mut observed, validated) = built_before(&function);
    let mut gone = count(&validated).manifest.clone();
    gone.sub_function = "gone".into();
    observed.with_pod(pod("p", "owner", &gone), Role::Owner, 1);
    observed.manifests.insert("gone".into(), gone);
    let built = build(&observed, &validated, &image());
    assert_eq!(built.stale_config_maps, ["anf-f-gone"]);
    assert_eq!(built.delete, [("p".to_owned(), "its sub-function is no more")]);
}

#[test]
fn a_budget_holds_the_owner_alone_and_goes_with_its_sub_function() {
    let function = function();
    let (mut observed, validated) = built_before(&function);
    let built = build(&observed, &validated, &image());
    let spec = built.budgets[0].spec.as_ref().expect("a spec");
    let selected =
        spec.selector.as_ref().and_then(|selector| selector.match_labels.as_ref()).expect("labels");
    let owner = pod("a", "owner", &count(&validated).manifest);
    for key in [labels::LABEL_FUNCTION, labels::LABEL_SUB_FUNCTION, labels::LABEL_ROLE] {
        assert_eq!(selected.get(key).map(String::as_str), Some(pods::label(&owner, key)), "{key}");
    }
    assert_eq!(spec.min_available, Some(IntOrString::Int(1)));
    observed.budgets = vec!["anf-f-count".into(), "anf-f-main".into(), "anf-f-gone".into()];
    let built = build(&observed, &validated, &image());
    assert!(built.budgets.is_empty());
    assert_eq!(built.stale_budgets, ["anf-f-gone"]);
}

#[test]
fn a_paused_function_is_left_as_it_is() {
    let mut function = function();
    function.spec.paused = true;
    let mut observed = observed(&function);
    observed.key = None;
    let validated = validate(&observed, super::super::fixtures::STORE);
    let built = build(&observed, &validated, &image());
    assert!(!built.make_key && built.config_maps.is_empty() && built.create.is_empty());
}
