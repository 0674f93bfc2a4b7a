//! The CEL rules, evaluated as the API server evaluates them, without one.

#![allow(clippy::expect_used, reason = "helpers of tests stand outside of test functions")]

use anf_crds::{AtomicFunction, FunctionMigration};
use serde_json::{Value, json};

fn function(spec: Value) -> AtomicFunction {
    named("edge-nat", spec)
}

fn named(name: &str, spec: Value) -> AtomicFunction {
    serde_json::from_value(json!({
        "apiVersion": "atomicnf.dev/v1alpha1", "kind": "AtomicFunction",
        "metadata": {"name": name}, "spec": spec
    }))
    .expect("the object has the form of an AtomicFunction")
}

fn migration(spec: Value) -> FunctionMigration {
    serde_json::from_value(json!({
        "apiVersion": "atomicnf.dev/v1alpha1", "kind": "FunctionMigration",
        "metadata": {"name": "m"}, "spec": spec
    }))
    .expect("the object has the form of a FunctionMigration")
}

#[track_caller]
fn accepts(function: &AtomicFunction) {
    if let Err(errors) = function.validate_cel() {
        panic!("refused: {errors:?}");
    }
}

#[track_caller]
fn refuses(function: &AtomicFunction, text: &str) {
    let errors = function.validate_cel().expect_err("a rule is broken");
    assert!(errors.iter().any(|e| e.message.contains(text)), "{errors:?} does not say {text:?}");
}

const ONE_TEXT: &str = "either one text in click";

#[test]
fn one_text_with_a_cut_is_accepted() {
    accepts(&function(json!({"click": "Idle -> Discard;"})));
    accepts(&function(
        json!({"click": "i :: Idle -> Discard;", "subFunctions": [{"name": "a", "elements": ["i"]}]}),
    ));
}

#[test]
fn a_text_for_each_sub_function_with_edges_is_accepted() {
    accepts(&function(json!({
        "subFunctions": [{"name": "a", "click": "Idle -> output"}, {"name": "b", "click": "input -> Discard"}],
        "edges": [{"from": "a", "to": "b"}]
    })));
}

#[test]
fn the_two_forms_do_not_mix_and_one_of_them_is_needed() {
    refuses(&function(json!({})), ONE_TEXT);
    refuses(&function(json!({"subFunctions": [{"name": "a", "elements": ["i"]}]})), ONE_TEXT);
    refuses(&function(json!({"click": "Idle;", "subFunctions": [{"name": "a", "click": "Idle"}]})), ONE_TEXT);
    refuses(
        &function(
            json!({"subFunctions": [{"name": "a", "click": "Idle"}, {"name": "b", "elements": ["x"]}]}),
        ),
        ONE_TEXT,
    );
    refuses(
        &function(json!({"subFunctions": [{"name": "a", "click": "Idle", "elements": ["x"]}]})),
        ONE_TEXT,
    );
    refuses(
        &function(
            json!({"click": "Idle;", "subFunctions": [{"name": "a"}], "edges": [{"from": "a", "to": "a"}]}),
        ),
        ONE_TEXT,
    );
}

#[test]
fn an_edge_joins_two_sub_functions_that_exist() {
    refuses(
        &function(json!({
            "subFunctions": [{"name": "a", "click": "Idle -> output"}],
            "edges": [{"from": "a", "to": "nat"}]
        })),
        "must join two of the subFunctions",
    );
}

#[test]
fn a_name_must_fit_into_the_names_of_pods() {
    let spec = || json!({"click": "Idle;"});
    for name in ["Edge", "9nat", "edge.nat", "nat-", &"n".repeat(33)] {
        refuses(&named(name, spec()), "DNS label");
    }
    accepts(&named(&"n".repeat(32), spec()));
}

#[test]
fn a_port_is_bound_to_exactly_one_thing() {
    let port = |port: Value| function(json!({"click": "Idle;", "ports": [port]}));
    accepts(&port(json!({"name": "lan", "node": {"interface": "eth0"}})));
    accepts(&port(json!({"name": "lan", "tun": {"addresses": ["10.9.0.1/24"]}})));
    refuses(&port(json!({"name": "lan"})), "exactly one of node, pod and tun");
    refuses(
        &port(json!({"name": "lan", "node": {"interface": "eth0"}, "pod": {"interface": "eth0"}})),
        "exactly one of node, pod and tun",
    );
}

#[test]
fn a_downtime_is_not_longer_than_the_deadline() {
    let policy = |policy: Value| function(json!({"click": "Idle;", "migration": policy}));
    accepts(&policy(json!({"maxDowntime": "60s", "deadline": "1m"})));
    refuses(&policy(json!({"maxDowntime": "61s"})), "must not be longer");
    let own =
        |own: Value| function(json!({"click": "Idle;", "subFunctions": [{"name": "a", "migration": own}]}));
    accepts(&own(json!({"maxDowntime": "0.5ms"})));
    refuses(&own(json!({"maxDowntime": "2s", "deadline": "1s"})), "must not be longer");
}

#[test]
fn defaults_are_those_of_the_design() {
    let spec = function(json!({"click": "Idle;"})).spec;
    assert_eq!(spec.migration.max_downtime.to_string(), "10ms");
    assert_eq!(spec.migration.deadline.to_string(), "60s");
    assert!(!spec.paused);
}

#[test]
fn a_migration_can_be_aborted_and_nothing_else_about_it_changed() {
    let before = json!({"functionName": "edge-nat", "subFunction": "nat", "targetNode": "worker2", "maxDowntime": "5ms"});
    let changed = |key: &str, value: Value| {
        let mut spec = before.clone();
        spec[key] = value;
        migration(spec).validate_cel_update(&migration(before.clone()))
    };
    assert!(changed("abort", json!(true)).is_ok());
    for (key, value) in [
        ("functionName", json!("other")),
        ("subFunction", json!("egress")),
        ("targetNode", json!("worker3")),
        ("targetNode", Value::Null),
        ("nodeSelector", json!({"disk": "fast"})),
        ("trigger", json!("Drain")),
        ("plan", json!(true)),
        ("maxDowntime", json!("6ms")),
        ("deadline", json!("30s")),
        ("ttlSecondsAfterFinished", json!(60)),
    ] {
        assert!(changed(key, value.clone()).is_err(), "{key} may be changed to {value}");
    }
}

#[test]
fn an_abort_cannot_be_taken_back() {
    let before = migration(json!({"functionName": "edge-nat", "abort": true}));
    let after = migration(json!({"functionName": "edge-nat", "abort": false}));
    let errors = after.validate_cel_update(&before).expect_err("a rule is broken");
    assert!(errors.iter().any(|e| e.message.contains("cannot be taken back")), "{errors:?}");
}

#[test]
fn a_migration_may_not_allow_more_downtime_than_it_has_time() {
    let errors = migration(json!({"functionName": "f", "maxDowntime": "2s", "deadline": "1s"}))
        .validate_cel()
        .expect_err("a rule is broken");
    assert!(errors.iter().any(|e| e.message.contains("must not be longer")), "{errors:?}");
}
