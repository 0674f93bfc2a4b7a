use super::super::fixtures::{STORE, built_before, function, function_with, observed};
use super::*;
use serde_json::json;

#[test]
fn a_spec_that_is_wrong_keeps_the_parts_of_the_last_good_one() {
    let mut function = function();
    let good = {
        let (before, _) = built_before(&function);
        before.manifests
    };
    function.spec.click = Some("Idle -> Countr -> Discard;".into());
    let mut observed = observed(&function);
    observed.manifests = good.clone();
    let validated = validate(&observed, STORE);
    assert_eq!(validated.rejection.as_ref().map(|r| r.reason), Some("InvalidGraph"));
    let parts: Vec<&Manifest> = validated.parts.iter().map(|part| &part.manifest).collect();
    assert_eq!(parts, good.values().collect::<Vec<_>>());
}

#[test]
fn a_spec_that_was_never_right_has_no_parts() {
    let function = function_with(json!({"click": "Idle -> ;"}));
    let validated = validate(&observed(&function), STORE);
    assert!(validated.parts.is_empty() && validated.rejection.is_some());
}

#[test]
fn settings_of_a_sub_function_go_before_those_of_the_function() {
    let function = function_with(json!({
        "click": "InfiniteSource(LIMIT 1) -> c :: Counter -> Discard;",
        "migration": {"maxDowntime": "20ms"},
        "subFunctions": [{"name": "count", "elements": ["c"], "migration": {"strategy": "None"},
                          "placement": {"nodeSelector": {"disk": "fast"}}}]
    }));
    let validated = validate(&observed(&function), STORE);
    let part = |name: &str| validated.parts.iter().find(|part| part.name() == name).expect("the part");
    assert_eq!(part("count").policy.strategy, anf_crds::MigrationStrategy::None);
    assert_eq!(part("count").policy.max_downtime.to_string(), "20ms");
    assert!(part("count").placement.is_some() && part("main").placement.is_none());
}

#[test]
fn the_functions_own_store_goes_before_the_operators() {
    let click = "Idle -> Discard;";
    let own = function_with(
        json!({"click": click, "stateStore": {"url": "redis://own", "onUnavailable": "FailClosed"}}),
    );
    let store = |validated: Validated| validated.parts[0].manifest.store.clone();
    let found = store(validate(&observed(&own), STORE));
    assert_eq!((found.url.as_str(), found.on_unavailable), ("redis://own", StoreAway::FailClosed));
    let none = function_with(json!({"click": click}));
    assert_eq!(store(validate(&observed(&none), STORE)).url, STORE);
}

#[test]
fn packets_between_nodes_are_sealed_unless_the_function_says_otherwise() {
    let encryption = |links: serde_json::Value| {
        let function = function_with(json!({"click": "Idle -> Discard;", "links": links}));
        validate(&observed(&function), STORE).parts[0].manifest.links.encryption
    };
    assert_eq!(encryption(json!({})), ManifestEncryption::Required);
    assert_eq!(encryption(json!({"encryption": "ControlOnly"})), ManifestEncryption::ControlOnly);
}

#[test]
fn a_store_with_a_secret_is_refused_with_the_way_out() {
    let function = function_with(json!({
        "click": "Idle -> Discard;", "stateStore": {"url": "redis://own", "secretRef": {"name": "s"}}
    }));
    let rejection = validate(&observed(&function), STORE).rejection.expect("a rejection");
    assert_eq!(rejection.reason, "UnsupportedStateStore");
    assert!(rejection.text().contains("without a password"));
}
