//! Reviews of functions and migrations: what the controllers would report as wrong is refused at once.
//!
//! [`function`] and [`migration`] are pure. What cannot be found out is let through, since the controllers say the
//! same a moment later.

use std::time::Duration;

use anf_crds::{AtomicFunction, FunctionMigration};
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::api::Api;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, Operation};

use super::Verdict;
use crate::clients::Clients;
use crate::drain;
use crate::function::validate;
use crate::metrics::Metrics;

/// Time for everything that a review asks of the API server, which waits for it meanwhile.
const LOOKUP: Duration = Duration::from_secs(3);

/// Answers reviews.
pub struct Reviewer {
    /// For what a review has to know.
    pub clients: Clients,
    /// Redis for functions that name no state store of their own.
    pub default_store: String,
    /// Counts evictions.
    pub metrics: Metrics,
}

impl Reviewer {
    /// Of a function or a migration.
    pub async fn admission(&self, request: &AdmissionRequest<DynamicObject>) -> Verdict {
        match request.kind.kind.as_str() {
            "AtomicFunction" => {
                let (new, old) = (parse(request.object.as_ref()), parse(request.old_object.as_ref()));
                let store = self.default_store.clone();
                let Some(new) = new else { return unreadable() };
                // A large graph takes a while, which other reviews and the controllers need not wait for.
                let judged = tokio::task::spawn_blocking(move || function(&new, old.as_ref(), &store)).await;
                judged.unwrap_or_else(|error| {
                    Verdict::Allow(vec![format!("the graph could not be checked here: {error}")])
                })
            }
            "FunctionMigration" if request.operation == Operation::Create => {
                let Some(new) = parse::<FunctionMigration>(request.object.as_ref()) else {
                    return unreadable();
                };
                let namespace = request.namespace.as_deref().unwrap_or_default();
                match tokio::time::timeout(LOOKUP, self.surroundings(namespace, &new)).await {
                    Ok(Ok((found, nodes))) => migration(&new, found.as_ref(), nodes.as_deref()),
                    _ => Verdict::allow(),
                }
            }
            _ => Verdict::allow(),
        }
    }

    /// Of an eviction.
    pub async fn eviction(&self, request: &AdmissionRequest<DynamicObject>) -> Verdict {
        let namespace = request.namespace.as_deref().unwrap_or_default();
        let dry_run = request.dry_run || request.object.as_ref().is_some_and(is_dry_run);
        drain::review(&self.clients.direct, &self.metrics, namespace, &request.name, dry_run).await
    }

    /// The function, and the names of all nodes if one was asked for.
    async fn surroundings(
        &self,
        namespace: &str,
        migration: &FunctionMigration,
    ) -> kube::Result<(Option<AtomicFunction>, Option<Vec<String>>)> {
        let client = &self.clients.direct;
        let functions: Api<AtomicFunction> = Api::namespaced(client.clone(), namespace);
        let function = functions.get_opt(&migration.spec.function_name).await?;
        if migration.spec.target_node.is_none() {
            return Ok((function, None));
        }
        let nodes = Api::<Node>::all(client.clone()).list_metadata(&Default::default()).await?;
        Ok((function, Some(nodes.items.iter().map(ResourceExt::name_any).collect())))
    }
}

fn parse<T: serde::de::DeserializeOwned>(object: Option<&DynamicObject>) -> Option<T> {
    serde_json::from_value(serde_json::to_value(object?).ok()?).ok()
}

/// Whether an Eviction asks for a dry run of the deletion: `kubectl drain` says it there and not of the request.
fn is_dry_run(eviction: &DynamicObject) -> bool {
    let asked = eviction.data.pointer("/deleteOptions/dryRun").and_then(|asked| asked.as_array());
    asked.is_some_and(|asked| !asked.is_empty())
}

/// The API server has checked it against its schema: then the schema is of another version than this program.
fn unreadable() -> Verdict {
    Verdict::Allow(vec!["the operator's version does not know all of this; it was not checked".into()])
}

/// A function may pass if it can be cut and configured, or is no more wrong than it was.
pub fn function(new: &AtomicFunction, old: Option<&AtomicFunction>, default_store: &str) -> Verdict {
    let unchanged = old.is_some_and(|old| old.spec == new.spec);
    if unchanged || new.metadata.deletion_timestamp.is_some() {
        return Verdict::allow();
    }
    let Some(rejection) = validate::rejection(&new.spec, default_store) else { return Verdict::allow() };
    let before = old.and_then(|old| validate::rejection(&old.spec, default_store));
    if before.as_ref() == Some(&rejection) {
        return Verdict::Allow(vec![format!("still wrong: {}", rejection.text())]);
    }
    Verdict::invalid(rejection.text())
}

/// A migration may pass if what it names is there. `nodes` are all nodes, if it names one.
pub fn migration(
    new: &FunctionMigration,
    function: Option<&AtomicFunction>,
    nodes: Option<&[String]>,
) -> Verdict {
    let spec = &new.spec;
    let Some(function) = function else {
        return Verdict::invalid(format!(
            "spec.functionName: there is no AtomicFunction \"{}\" in this namespace",
            spec.function_name
        ));
    };
    let known: Vec<&str> =
        function.status.iter().flat_map(|s| &s.sub_functions).map(|sub| sub.name.as_str()).collect();
    let current = function.status.as_ref().and_then(|status| status.observed_generation)
        == function.metadata.generation;
    let wanted = spec.sub_function.as_deref().filter(|wanted| !wanted.is_empty());
    if let Some(wanted) = wanted.filter(|wanted| current && !known.is_empty() && !known.contains(wanted)) {
        return Verdict::invalid(format!(
            "spec.subFunction: {} has no sub-function \"{wanted}\"; it has: {}",
            spec.function_name,
            known.join(", ")
        ));
    }
    match (&spec.target_node, nodes) {
        (Some(wanted), Some(nodes)) if !nodes.contains(wanted) => Verdict::invalid(format!(
            "spec.targetNode: there is no node \"{wanted}\"; the nodes are: {}",
            nodes.join(", ")
        )),
        _ => Verdict::allow(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const STORE: &str = "redis://redis:6379";

    fn af(click: &str) -> AtomicFunction {
        serde_json::from_value(json!({
            "apiVersion": "atomicnf.dev/v1alpha1", "kind": "AtomicFunction",
            "metadata": {"name": "f", "generation": 2}, "spec": {"click": click},
            "status": {"observedGeneration": 2, "subFunctions": [{"name": "main"}, {"name": "nat"}]}
        }))
        .expect("a function")
    }

    fn fm(spec: Value) -> FunctionMigration {
        serde_json::from_value(json!({
            "apiVersion": "atomicnf.dev/v1alpha1", "kind": "FunctionMigration",
            "metadata": {"name": "m"}, "spec": spec
        }))
        .expect("a migration")
    }

    #[track_caller]
    fn refused(verdict: Verdict) -> String {
        match verdict {
            Verdict::Deny { code: 422, message, .. } => message,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn a_bad_graph_is_refused_with_its_place_and_a_suggestion() {
        let text = refused(function(&af("Idle\n -> Countr -> Discard;"), None, STORE));
        assert!(text.contains("line 2, column") && text.contains("did you mean \"Counter\""), "{text}");
        assert_eq!(function(&af("Idle -> Discard;"), None, STORE), Verdict::allow());
    }

    #[test]
    fn a_store_that_cannot_be_used_is_refused_as_the_controller_does() {
        let mut bad = af("Idle -> Discard;");
        bad.spec.state_store =
            serde_json::from_value(json!({"url": "redis://r", "secretRef": {"name": "s"}})).ok();
        assert!(refused(function(&bad, None, STORE)).contains("stateStore.secretRef"));
    }

    #[test]
    fn what_was_wrong_already_may_be_paused_and_deleted_and_labelled() {
        let old = af("Idle -> Countr -> Discard;");
        assert_eq!(function(&old, Some(&old), STORE), Verdict::allow());
        let mut paused = old.clone();
        paused.spec.paused = true;
        assert!(
            matches!(function(&paused, Some(&old), STORE), Verdict::Allow(warnings) if warnings.len() == 1)
        );
        refused(function(&old, Some(&af("Idle -> Discard;")), STORE));
    }

    #[test]
    fn a_dry_run_is_found_where_drain_says_it() {
        let eviction = |options: Value| {
            let object = json!({
                "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}, "deleteOptions": options
            });
            serde_json::from_value::<DynamicObject>(object).expect("an Eviction")
        };
        assert!(is_dry_run(&eviction(json!({"dryRun": ["All"]}))));
        assert!(!is_dry_run(&eviction(json!({"dryRun": []}))));
        assert!(!is_dry_run(&eviction(json!({"gracePeriodSeconds": 1}))));
        assert!(!is_dry_run(&eviction(json!(null))));
    }

    #[test]
    fn a_migration_of_what_is_not_there_is_refused_with_what_is() {
        let spec = json!({"functionName": "f", "subFunction": "not", "targetNode": "w9"});
        let found = af("Idle -> Discard;");
        let text = refused(migration(&fm(spec.clone()), None, None));
        assert!(text.contains("no AtomicFunction \"f\""), "{text}");
        let text = refused(migration(&fm(spec), Some(&found), None));
        assert!(text.contains("\"not\"; it has: main, nat"), "{text}");
        let spec = json!({"functionName": "f", "subFunction": "nat", "targetNode": "w9"});
        let nodes = ["w1".to_owned(), "w2".to_owned()];
        let text = refused(migration(&fm(spec.clone()), Some(&found), Some(&nodes)));
        assert!(text.contains("no node \"w9\"; the nodes are: w1, w2"), "{text}");
        assert_eq!(migration(&fm(spec), Some(&found), Some(&["w9".to_owned()])), Verdict::allow());
    }

    #[test]
    fn a_sub_function_of_a_graph_that_was_not_looked_at_yet_may_be_named() {
        let mut found = af("Idle -> Discard;");
        found.metadata.generation = Some(3);
        let spec = json!({"functionName": "f", "subFunction": "new"});
        assert_eq!(migration(&fm(spec), Some(&found), None), Verdict::allow());
    }
}
