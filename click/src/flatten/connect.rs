//! Connections through compounds. A connection starts at an element's output and is followed through every
//! compound's ends until it reaches inputs of elements; loops that hold no element lead nowhere.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::instance::{Instances, Kind, Node};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Pos};
use crate::graph::{Connection, FlatGraph, PortRef};
use crate::limits;

/// Resolves all connections.
pub(super) fn join(mut instances: Instances) -> Result<FlatGraph, Diagnostics> {
    check_ports(&mut instances);
    if instances.report.is_empty() {
        let connections = follow_all(&instances)?;
        instances.graph.connections = connections;
    }
    instances.report.finish(instances.graph)
}

fn follow_all(instances: &Instances) -> Result<Vec<Connection>, Diagnostics> {
    let mut targets: HashMap<(Node, u32), Vec<(Node, u32)>> = HashMap::new();
    for joint in &instances.joints {
        targets.entry(joint.from).or_default().push(joint.to);
    }
    let mut connections = Vec::new();
    let mut known = HashSet::new();
    let mut steps = 0;
    for joint in &instances.joints {
        let Kind::Element(element) = instances.nodes[joint.from.0] else { continue };
        let from = PortRef { element, port: joint.from.1 };
        let mut seen = HashSet::new();
        let mut open = vec![joint.to];
        while let Some((node, port)) = open.pop() {
            steps += 1;
            let inside = match instances.nodes[node] {
                Kind::Element(element) => {
                    let to = PortRef { element, port };
                    if known.insert((from, to)) {
                        connections.push(Connection { from, to, pos: joint.pos });
                    }
                    continue;
                }
                Kind::Outside { input, .. } => input,
                Kind::Output { outside } => outside,
                Kind::Input | Kind::Broken => continue,
            };
            if seen.insert((inside, port)) {
                open.extend(targets.get(&(inside, port)).into_iter().flatten().rev());
            }
            if connections.len() > limits::CONNECTIONS || steps > limits::CONNECTION_STEPS {
                return Err(too_many(instances, joint.pos));
            }
        }
    }
    Ok(connections)
}

fn too_many(instances: &Instances, pos: Pos) -> Diagnostics {
    let file = instances.graph.elements.first().map(|e| e.file.clone()).unwrap_or_default();
    let message = "connections through compound elements multiply beyond bounds";
    Diagnostic::error(&Place { file, pos }, message).into()
}

/// A compound must be used with exactly the ports that it has.
fn check_ports(instances: &mut Instances) {
    let mut ends: HashMap<Node, [BTreeSet<u32>; 2]> = HashMap::new();
    for joint in &instances.joints {
        ends.entry(joint.from.0).or_default()[1].insert(joint.from.1);
        ends.entry(joint.to.0).or_default()[0].insert(joint.to.1);
    }
    let none = BTreeSet::new();
    let ports = |node: Node, side: usize| ends.get(&node).map_or(&none, |sides| &sides[side]);
    let mut found = Vec::new();
    for (node, name, place) in &instances.outsides {
        let Kind::Outside { input, output } = instances.nodes[*node] else { continue };
        for (kind, used, has) in
            [("input", ports(*node, 0), ports(input, 1)), ("output", ports(*node, 1), ports(output, 0))]
        {
            for port in used.difference(has) {
                found.push((place.clone(), format!("‘{name}’ has no {kind} {port}")));
            }
            for port in has.difference(used) {
                found.push((place.clone(), format!("‘{name}’ {kind} {port} unused")));
            }
        }
    }
    for (place, message) in found {
        instances.report.error(&place, message);
    }
}
