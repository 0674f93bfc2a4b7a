//! The way back beside a cut edge. An uncut graph knows two things at once that a cut one must be told: that
//! somebody downstream pulls, and that queues downstream are full. Each cut pull edge, and each cut push edge on
//! a way from a source that heeds full queues to such queues, gets a *signal*: an edge of its own in the opposite
//! direction, by which the downstream end says how many packets may come in all.

use std::collections::HashSet;

use super::build::Edge;
use super::{PULLED_AHEAD, Signal};
use crate::diagnostic::{Diagnostic, Diagnostics, Report};
use crate::graph::{Connection, ElementId, PortRef};
use crate::settle::{Mode, SettledGraph};

/// Gives each edge that needs one a signal; signals are numbered on from the edges.
pub(super) fn add(graph: &SettledGraph, edges: &mut [Edge]) -> Result<Vec<Signal>, Diagnostics> {
    let heeded = heeded(graph);
    let mut signals = Vec::new();
    let count = edges.len();
    for edge in edges.iter_mut() {
        let pull = edge.edge.mode == Mode::Pull;
        if !pull && !heeded.contains(&edge.connection.from) {
            continue;
        }
        let Ok(id) = u16::try_from(count + signals.len()) else {
            return Err(super::too_many_edges().into());
        };
        edge.signal = Some(id);
        edge.edge.ahead = if pull { pulled_ahead(graph, edge.connection.from) } else { 0 };
        signals.push(Signal {
            id,
            edge: edge.edge.id,
            from_part: edge.edge.to_part.clone(),
            to_part: edge.edge.from_part.clone(),
        });
    }
    let mut report = Report::default();
    edges.iter().filter_map(|edge| blind_choice(graph, edge)).for_each(|error| report.push(error));
    report.finish(signals)
}

/// How many packets of a pull output may be pulled over a link before they are asked for.
pub(crate) fn pulled_ahead(graph: &SettledGraph, from: PortRef) -> u16 {
    let queue = graph.classes[from.element.index()].queueing.fifo && from.port == 0;
    if queue { PULLED_AHEAD } else { 0 }
}

/// The elements that pull through a pull connection to `to`, nearest first.
fn pullers(graph: &SettledGraph, to: ElementId) -> Vec<ElementId> {
    let (mut found, mut at) = (vec![to], 0);
    while let Some(element) = found.get(at).copied() {
        at += 1;
        for connection in graph.flat.connections.iter().filter(|c| c.from.element == element) {
            let pull = graph.outputs(element)[connection.from.port as usize] == Mode::Pull;
            if pull && !found.contains(&connection.to.element) {
                found.push(connection.to.element);
            }
        }
    }
    found
}

/// The scheduler that could not see what waits before a connection if it were cut: it chooses by what waits at its
/// inputs, and across a link that is known at once only directly behind a queue, whose packets can be pulled ahead.
pub(crate) fn blind_chooser(graph: &SettledGraph, connection: &Connection) -> Option<ElementId> {
    let from = connection.from;
    let pull = graph.outputs(from.element)[from.port as usize] == Mode::Pull;
    if !pull || pulled_ahead(graph, from) > 0 {
        return None;
    }
    let pulls = |id: &ElementId| graph.inputs(*id).iter().filter(|mode| **mode == Mode::Pull).count();
    pullers(graph, connection.to.element).into_iter().find(|id| pulls(id) > 1)
}

fn blind_choice(graph: &SettledGraph, edge: &Edge) -> Option<Diagnostic> {
    let to = blind_chooser(graph, &edge.connection)?;
    let (first, second) = (&graph.flat[edge.connection.from.element], &graph.flat[to]);
    let message = format!(
        "cannot cut between ‘{}’ in sub-function \"{}\" and ‘{}’, behind it in sub-function \"{}\": \
         ‘{}’ chooses by what waits at its inputs, and what waits before ‘{}’ is not known across a link",
        first.declaration(),
        edge.edge.from_part,
        second.declaration(),
        edge.edge.to_part,
        second.name,
        first.name
    );
    let help = format!(
        "put \"{}\" into sub-function \"{}\", so that the cut is directly behind a queue",
        first.name, edge.edge.to_part
    );
    Some(Diagnostic::error(&second.place(), message).with_help(help))
}

/// Push outputs on the ways from a source that heeds full queues, if all its ways end in queues that tell.
fn heeded(graph: &SettledGraph) -> HashSet<PortRef> {
    let mut heeded = HashSet::new();
    let sources = graph.flat.ids().filter(|(id, _)| graph.classes[id.index()].queueing.heeds_full);
    let next = push_targets(graph);
    for (source, _) in sources {
        let (ways, ends) = reach(graph, &next, source);
        if !ends.is_empty() && ends.iter().all(|end| graph.classes[end.index()].queueing.tells_full) {
            heeded.extend(ways);
        }
    }
    heeded
}

/// Of each element, its connected push outputs and where they lead.
fn push_targets(graph: &SettledGraph) -> Vec<Vec<(PortRef, ElementId)>> {
    let mut next = vec![Vec::new(); graph.flat.elements.len()];
    for connection in &graph.flat.connections {
        let (from, to) = (connection.from, connection.to.element);
        if graph.outputs(from.element).get(from.port as usize) == Some(&Mode::Push) {
            next[from.element.index()].push((from, to));
        }
    }
    next
}

/// The push outputs that packets of `source` may pass, and the elements in which they end: as the engine finds
/// them (elements without a push output of their own).
fn reach(
    graph: &SettledGraph,
    next: &[Vec<(PortRef, ElementId)>],
    source: ElementId,
) -> (Vec<PortRef>, Vec<ElementId>) {
    let mut seen = vec![false; graph.flat.elements.len()];
    let (mut open, mut ways, mut ends) = (vec![source], Vec::new(), Vec::new());
    while let Some(element) = open.pop() {
        let outputs = &next[element.index()];
        if outputs.is_empty() {
            ends.push(element);
        }
        for (output, to) in outputs {
            ways.push(*output);
            if !std::mem::replace(&mut seen[to.index()], true) {
                open.push(*to);
            }
        }
    }
    (ways, ends)
}
