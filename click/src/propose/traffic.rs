//! How many packets take each way through a graph: counted, or estimated from what classes do with them.

use super::Counts;
use crate::graph::Connection;
use crate::settle::{Mode, SettledGraph};

/// Rounds until the estimate of a loop counts as settled.
const ROUNDS: usize = 40;
/// Share of an element's packets that leave by its error outputs.
const ERRORS: f64 = 0.05;
/// A loop without losses would multiply packets without end: no way carries more than this.
const MOST: f64 = 8.0;

/// Packets for each that enters the graph.
pub(super) struct Traffic {
    /// Of each connection.
    pub(super) connections: Vec<f64>,
    /// Of each element: what comes in, or what it sends if it has no input.
    pub(super) elements: Vec<f64>,
}

pub(super) fn estimate(graph: &SettledGraph, counts: &Counts) -> Traffic {
    let known = known(graph, counts);
    let wires = &graph.flat.connections;
    let count = graph.flat.elements.len();
    let mut has_input = vec![false; count];
    wires.iter().for_each(|wire| has_input[wire.to.element.index()] = true);
    let sources = (0..count).filter(|id| !has_input[*id] && !graph.outputs[*id].is_empty()).count().max(1);
    let mut elements: Vec<f64> = (0..count)
        .map(|id| {
            known[id].unwrap_or(if has_input[id] || graph.outputs[id].is_empty() {
                0.0
            } else {
                1.0 / sources as f64
            })
        })
        .collect();
    let fixed = fixed(graph, &known);
    let mut connections = vec![0.0; wires.len()];
    for _ in 0..ROUNDS {
        for (at, wire) in wires.iter().enumerate() {
            let from = wire.from.element.index();
            connections[at] = fixed[at].unwrap_or(elements[from] * share(graph, wire)).min(MOST);
        }
        for id in (0..count).filter(|id| has_input[*id] && known[*id].is_none()) {
            let into = wires.iter().zip(&connections).filter(|(wire, _)| wire.to.element.index() == id);
            elements[id] = into.map(|(_, packets)| packets).sum();
        }
    }
    Traffic { connections, elements }
}

/// Counts as shares of all that the counted sources sent; of the largest count, if no source was counted.
fn known(graph: &SettledGraph, counts: &Counts) -> Vec<Option<f64>> {
    let is_source = |id: usize| graph.inputs[id].is_empty();
    let count = |id: usize| counts.get(&graph.flat.elements[id].name).copied();
    let all = 0..graph.flat.elements.len();
    let sent: f64 = all.clone().filter(|id| is_source(*id)).filter_map(count).sum();
    let unit = if sent > 0.0 { sent } else { counts.values().copied().fold(1.0, f64::max) };
    all.map(|id| count(id).map(|count| count / unit)).collect()
}

/// Connections that are the only way into an element whose packets were counted.
fn fixed(graph: &SettledGraph, known: &[Option<f64>]) -> Vec<Option<f64>> {
    let wires = &graph.flat.connections;
    let alone = |id: usize| wires.iter().filter(|wire| wire.to.element.index() == id).count() == 1;
    let to = wires.iter().map(|wire| wire.to.element.index());
    to.map(|to| known[to].filter(|_| alone(to))).collect()
}

/// The share of an element's packets that leaves by a connection.
fn share(graph: &SettledGraph, wire: &Connection) -> f64 {
    let (element, port) = (wire.from.element, wire.from.port as usize);
    let outputs = graph.outputs(element);
    let load = graph.classes[element.index()].load;
    if outputs[port] == Mode::Pull {
        return pulled_share(graph, wire);
    }
    if outputs.len() < 2 || load.copies {
        return 1.0;
    }
    match (has_error_output(graph.classes[element.index()].ports), port) {
        (true, 0) => 1.0 - ERRORS,
        (true, _) => ERRORS / (outputs.len() - 1) as f64,
        (false, _) => 1.0 / outputs.len() as f64,
    }
}

/// Whether a class needs one output only: what leaves by others is wrong, or too much.
fn has_error_output(ports: &str) -> bool {
    ports.split('/').nth(1).is_some_and(|outputs| outputs.starts_with("1-"))
}

/// Packets of a pull output go to all that pull there, in equal shares; a queue's other output is for what is too much.
fn pulled_share(graph: &SettledGraph, wire: &Connection) -> f64 {
    let pullers = graph.flat.connections.iter().filter(|other| other.from == wire.from).count();
    1.0 / pullers.max(1) as f64
}
