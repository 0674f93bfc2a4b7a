//! Whether a node can take a sub-function, and if not, why, in words for the user.
//!
//! Pure. This is only what can be known without the scheduler; room and affinity are the scheduler's business, whose
//! text is shown when it finds no place.

use std::collections::BTreeMap;

use anf_crds::Placement;
use k8s_openapi::api::core::v1::{Node, Taint, Toleration};
use kube::ResourceExt;

/// What a node must offer.
#[derive(Debug, Clone, Copy)]
pub struct Demand<'a> {
    /// Placement of the sub-function.
    pub placement: Option<&'a Placement>,
    /// Further labels, from the migration.
    pub selector: Option<&'a BTreeMap<String, String>>,
}

/// Why a node cannot take it; `None` if it can as far as we know.
pub fn objection(node: &Node, demand: Demand<'_>) -> Option<String> {
    if node.metadata.deletion_timestamp.is_some() {
        return Some("is being removed from the cluster".into());
    }
    if is_cordoned(node) {
        return Some("is cordoned; `kubectl uncordon` it first".into());
    }
    if !is_ready(node) {
        return Some("is not ready".into());
    }
    let labels = demand
        .selector
        .into_iter()
        .flatten()
        .chain(demand.placement.map(|placement| &placement.node_selector).into_iter().flatten());
    for (key, value) in labels {
        match node.labels().get(key) {
            Some(found) if found == value => {}
            Some(found) => return Some(format!("has the label {key}={found}, not {key}={value}")),
            None => return Some(format!("has no label {key}={value}")),
        }
    }
    let tolerations = demand.placement.map_or(&[][..], |placement| &placement.tolerations);
    untolerated(node, tolerations).map(|taint| {
        format!(
            "has the taint {}:{}, which the sub-function does not tolerate",
            taint_text(taint),
            taint.effect
        )
    })
}

/// It takes no new pods.
pub fn is_cordoned(node: &Node) -> bool {
    node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false)
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

fn untolerated<'a>(node: &'a Node, tolerations: &[Toleration]) -> Option<&'a Taint> {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    taints
        .into_iter()
        .filter(|taint| taint.effect == "NoSchedule" || taint.effect == "NoExecute")
        .find(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint)))
}

/// The rule of `core/v1.Toleration`: an empty key with `Exists` tolerates all, an empty effect all effects.
fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let key = toleration.key.as_deref().unwrap_or_default();
    let same_value =
        toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default();
    let exists = toleration.operator.as_deref() == Some("Exists");
    (effect.is_empty() || effect == taint.effect)
        && (key == taint.key || (key.is_empty() && exists))
        && (exists || same_value)
}

fn taint_text(taint: &Taint) -> String {
    match taint.value.as_deref().filter(|value| !value.is_empty()) {
        Some(value) => format!("{}={value}", taint.key),
        None => taint.key.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(spec: serde_json::Value, ready: &str) -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": "worker", "labels": {"disk": "fast"}}, "spec": spec,
            "status": {"conditions": [{"type": "Ready", "status": ready}]}
        }))
        .expect("a node")
    }

    fn demand() -> Demand<'static> {
        Demand { placement: None, selector: None }
    }

    #[test]
    fn a_plain_ready_node_is_fine() {
        assert_eq!(objection(&node(json!({}), "True"), demand()), None);
    }

    #[test]
    fn every_objection_says_what_is_wrong() {
        let cordoned = node(json!({"unschedulable": true}), "True");
        assert!(objection(&cordoned, demand()).is_some_and(|text| text.contains("cordoned")));
        assert!(
            objection(&node(json!({}), "Unknown"), demand()).is_some_and(|text| text.contains("not ready"))
        );
        let tainted =
            node(json!({"taints": [{"key": "role", "value": "db", "effect": "NoSchedule"}]}), "True");
        assert!(objection(&tainted, demand()).is_some_and(|text| text.contains("role=db:NoSchedule")));
        let labels = BTreeMap::from([("disk".to_owned(), "slow".to_owned())]);
        let demand = Demand { selector: Some(&labels), ..demand() };
        assert!(
            objection(&node(json!({}), "True"), demand)
                .is_some_and(|text| text.contains("disk=fast, not disk=slow"))
        );
    }

    #[test]
    fn a_taint_that_is_tolerated_is_no_objection() {
        let tainted =
            node(json!({"taints": [{"key": "role", "value": "db", "effect": "NoSchedule"}]}), "True");
        for toleration in [
            json!({"operator": "Exists"}),
            json!({"key": "role", "operator": "Exists"}),
            json!({"key": "role", "value": "db", "effect": "NoSchedule"}),
        ] {
            let placement: Placement =
                serde_json::from_value(json!({"tolerations": [toleration]})).expect("placement");
            let demand = Demand { placement: Some(&placement), selector: None };
            assert_eq!(objection(&tainted, demand), None, "{placement:?}");
        }
        let other: Placement =
            serde_json::from_value(json!({"tolerations": [{"key": "role", "value": "web"}]}))
                .expect("placement");
        assert!(objection(&tainted, Demand { placement: Some(&other), selector: None }).is_some());
    }
}
