//! How many moves there may be at once. Pure.
//!
//! Moves compete for processors and for the state store with the packets of everything else: a drain of a full node
//! must not turn all of its gaps into long ones.

use anf_crds::{Endpoint, FunctionMigration, MigrationPhase};

/// In the whole cluster.
const CLUSTER: usize = 5;
/// Out of one node, and into one.
const NODE: usize = 2;

/// What a move from `source` to `target`, as far as that is known, has to wait for; nothing if it may begin. `all` are
/// the migrations of all functions.
pub fn crowded(all: &[FunctionMigration], source: Option<&str>, target: Option<&str>) -> Option<String> {
    let begun: Vec<&FunctionMigration> = all.iter().filter(|m| is_under_way(m)).collect();
    if begun.len() >= CLUSTER {
        return Some(format!("waits for its turn: {CLUSTER} moves at once in the cluster"));
    }
    let at = |end: &Option<Endpoint>| end.as_ref().and_then(|end| end.node.clone());
    let out_of =
        |m: &&&FunctionMigration| at(&m.status.as_ref().and_then(|s| s.source.clone())).as_deref() == source;
    let into =
        |m: &&&FunctionMigration| at(&m.status.as_ref().and_then(|s| s.target.clone())).as_deref() == target;
    if let Some(source) = source
        && begun.iter().filter(out_of).count() >= NODE
    {
        return Some(format!("waits for its turn: {NODE} moves at once out of {source}"));
    }
    if let Some(target) = target
        && begun.iter().filter(into).count() >= NODE
    {
        return Some(format!("waits for its turn: {NODE} moves at once into {target}"));
    }
    None
}

/// It has left the queue, and moves a piece: a whole function moves in pieces, which are counted themselves.
fn is_under_way(migration: &FunctionMigration) -> bool {
    let phase = migration.status.as_ref().and_then(|status| status.phase).unwrap_or_default();
    let whole = migration.spec.sub_function.as_deref().unwrap_or_default().is_empty();
    phase > MigrationPhase::Pending && !phase.is_over() && !migration.spec.plan && !whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn moving(from: &str, to: &str, phase: &str) -> FunctionMigration {
        serde_json::from_value(json!({
            "apiVersion": "atomicnf.dev/v1alpha1", "kind": "FunctionMigration", "metadata": {"name": "m"},
            "spec": {"functionName": "f", "subFunction": "s"},
            "status": {"phase": phase, "source": {"node": from}, "target": {"node": to}}
        }))
        .expect("a migration")
    }

    #[test]
    fn two_leave_a_node_at_once_and_two_come_to_one() {
        let all = [moving("w1", "w2", "Syncing"), moving("w1", "w3", "Preparing")];
        let text = crowded(&all, Some("w1"), Some("w4")).expect("it waits");
        assert_eq!(text, "waits for its turn: 2 moves at once out of w1");
        assert_eq!(crowded(&all, Some("w5"), Some("w2")), None);
        let all = [moving("w1", "w2", "Syncing"), moving("w3", "w2", "Syncing")];
        assert!(crowded(&all, Some("w4"), Some("w2")).is_some_and(|text| text.ends_with("into w2")));
        assert_eq!(crowded(&all, Some("w4"), None), None);
    }

    #[test]
    fn five_move_in_the_cluster() {
        let all: Vec<_> = (0..5).map(|n| moving(&format!("a{n}"), &format!("b{n}"), "Syncing")).collect();
        assert!(crowded(&all, Some("c"), Some("d")).is_some_and(|text| text.ends_with("in the cluster")));
        assert_eq!(crowded(&all[1..], Some("c"), Some("d")), None);
    }

    #[test]
    fn what_waits_is_over_or_moves_nothing_does_not_count() {
        let mut plan = moving("w1", "w2", "Syncing");
        plan.spec.plan = true;
        let mut whole = moving("w1", "w2", "Syncing");
        whole.spec.sub_function = None;
        let all = [plan, whole, moving("w1", "w2", "Pending"), moving("w1", "w2", "Succeeded")];
        assert_eq!(crowded(&all, Some("w1"), Some("w2")), None);
    }
}
