//! Where a sub-function may go, and why not elsewhere. Pure.

use anf_crds::{FunctionMigrationSpec, Placement, Plan, RejectedNode};
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;

use crate::nodes::{Demand, objection};

/// Why a migration cannot be begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// One word.
    pub reason: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}

/// Judges the nodes. The plan's node is the one that is asked for, or the only one left; with several left, the
/// scheduler chooses among them.
///
/// # Errors
/// If no node is left, or the one asked for cannot be used.
pub fn choose(
    spec: &FunctionMigrationSpec,
    placement: Option<&Placement>,
    source: &str,
    nodes: &[Node],
) -> Result<Plan, Refusal> {
    let demand = Demand { placement, selector: spec.node_selector.as_ref() };
    if let Some(wanted) = &spec.target_node {
        return asked_for(wanted, source, nodes, demand);
    }
    let mut rejected = Vec::new();
    let mut left = Vec::new();
    for node in nodes {
        let name = node.name_any();
        let reason = if name == source { Some("runs it now".to_owned()) } else { objection(node, demand) };
        match reason {
            Some(reason) => rejected.push(RejectedNode { node: name, reason }),
            None => left.push(name),
        }
    }
    rejected.sort_by(|a, b| a.node.cmp(&b.node));
    left.sort();
    if left.is_empty() {
        let reasons: Vec<String> = rejected.iter().map(|r| format!("{} {}", r.node, r.reason)).collect();
        return Err(Refusal {
            reason: "NoEligibleNode",
            message: format!("no node can take it: {}", reasons.join("; ")),
        });
    }
    let node = (left.len() == 1).then(|| left.remove(0));
    Ok(Plan { node, rejected, expected_downtime: None })
}

fn asked_for(wanted: &str, source: &str, nodes: &[Node], demand: Demand<'_>) -> Result<Plan, Refusal> {
    let Some(node) = nodes.iter().find(|node| node.name_any() == wanted) else {
        let mut names: Vec<String> = nodes.iter().map(ResourceExt::name_any).collect();
        names.sort();
        return Err(Refusal {
            reason: "UnknownNode",
            message: format!("there is no node \"{wanted}\"; the nodes are: {}", names.join(", ")),
        });
    };
    if wanted == source {
        return Err(Refusal { reason: "SameNode", message: format!("it runs on {wanted} already") });
    }
    match objection(node, demand) {
        Some(text) => {
            Err(Refusal { reason: "NodeNotEligible", message: format!("{wanted} cannot take it: it {text}") })
        }
        None => Ok(Plan { node: Some(wanted.to_owned()), ..Plan::default() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(name: &str, cordoned: bool) -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": name}, "spec": {"unschedulable": cordoned},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]}
        }))
        .expect("a node")
    }

    fn to(target: Option<&str>) -> FunctionMigrationSpec {
        FunctionMigrationSpec { target_node: target.map(str::to_owned), ..FunctionMigrationSpec::default() }
    }

    #[test]
    fn every_refusal_names_the_node_and_the_way_out() {
        let nodes = [node("w1", false), node("w2", false), node("w3", true)];
        for (target, reason, text) in [
            ("w9", "UnknownNode", "there is no node \"w9\"; the nodes are: w1, w2, w3"),
            ("w1", "SameNode", "it runs on w1 already"),
            ("w3", "NodeNotEligible", "w3 cannot take it: it is cordoned; `kubectl uncordon` it first"),
        ] {
            let refusal = choose(&to(Some(target)), None, "w1", &nodes).expect_err(target);
            assert_eq!((refusal.reason, refusal.message.as_str()), (reason, text));
        }
    }

    #[test]
    fn the_only_node_left_is_chosen_and_the_others_are_explained() {
        let nodes = [node("w1", false), node("w2", false), node("w3", true)];
        let plan = choose(&to(None), None, "w1", &nodes).expect("a plan");
        assert_eq!(plan.node.as_deref(), Some("w2"));
        assert_eq!(plan.rejected.iter().map(|r| r.node.as_str()).collect::<Vec<_>>(), ["w1", "w3"]);
    }

    #[test]
    fn among_several_the_scheduler_chooses() {
        let nodes = [node("w1", false), node("w2", false), node("w3", false)];
        assert_eq!(choose(&to(None), None, "w1", &nodes).expect("a plan").node, None);
    }

    #[test]
    fn with_no_node_left_each_is_explained() {
        let refusal =
            choose(&to(None), None, "w1", &[node("w1", false), node("w3", true)]).expect_err("none");
        assert_eq!(refusal.reason, "NoEligibleNode");
        assert!(refusal.message.contains("w1 runs it now; w3 is cordoned"), "{}", refusal.message);
    }
}
