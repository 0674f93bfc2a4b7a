//! Which edges lie on a cycle of parts: back-pressure there could wait for itself.

use std::collections::{BTreeMap, BTreeSet};

use super::PartId;
use super::build::Edge;

/// Marks the edges whose two parts can reach each other. Parts are few, so reachability is simply worked out
/// for each.
pub(super) fn mark(edges: &mut [Edge]) {
    let mut next: BTreeMap<PartId, BTreeSet<PartId>> = BTreeMap::new();
    for edge in edges.iter() {
        next.entry(edge.from_part).or_default().insert(edge.to_part);
    }
    let reachable: BTreeMap<PartId, BTreeSet<PartId>> =
        next.keys().map(|part| (*part, reachable(*part, &next))).collect();
    for edge in edges {
        let back = reachable.get(&edge.to_part).is_some_and(|parts| parts.contains(&edge.from_part));
        edge.edge.in_cycle = back;
    }
}

fn reachable(from: PartId, next: &BTreeMap<PartId, BTreeSet<PartId>>) -> BTreeSet<PartId> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(part) = open.pop() {
        for other in next.get(&part).into_iter().flatten() {
            if found.insert(*other) {
                open.push(*other);
            }
        }
    }
    found
}
