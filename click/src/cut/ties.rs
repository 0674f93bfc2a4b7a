//! Elements that refer to each other by name live in one part: a name is looked up where the element runs.
//! An element that no part names goes where what it is tied to goes; two parts' elements tied together are
//! refused.

use std::collections::HashMap;

use super::select::Claims;
use super::{MAIN, Owners, PartId, PartSpec};
use crate::catalog::Catalog;
use crate::diagnostic::{Diagnostic, Diagnostics, Report};
use crate::graph::{Connection, ElementId, FlatGraph};
use crate::settle::{Mode, SettledGraph};

pub(super) fn owners(
    graph: &SettledGraph,
    parts: &[PartSpec],
    claims: &Claims,
    catalog: &dyn Catalog,
) -> Result<Owners, Diagnostics> {
    let groups = groups(graph, catalog);
    let part_of_group = parts_of_groups(graph, parts, claims, &groups)?;
    let mut names: Vec<String> = parts.iter().map(|part| part.name.clone()).collect();
    let main = names.iter().position(|name| name == MAIN).unwrap_or(names.len());
    let mut of: Vec<PartId> = (0..claims.len())
        .map(|element| part_of_group.get(&groups[element]).map_or(main, |(part, _)| *part))
        .collect();
    let is_global = |element: usize| graph.classes[element].global;
    let main_is_used =
        (0..of.len()).any(|element| of[element] == main && !is_global(element)) || of.is_empty();
    if main == names.len() && (main_is_used || names.is_empty()) {
        names.push(MAIN.to_owned());
    }
    if main >= names.len() {
        // Only definitions are left over: the first part keeps them, the others copy what they use.
        of.iter_mut().filter(|part| **part == main).for_each(|part| *part = 0);
    }
    Ok(Owners { names, of })
}

/// The element that stands for each element's group of tied elements. A global definition is tied to nothing:
/// it can be in many parts.
pub(super) fn groups(graph: &SettledGraph, catalog: &dyn Catalog) -> Vec<usize> {
    let mut leader: Vec<usize> = (0..graph.flat.elements.len()).collect();
    let names = graph.flat.names();
    for (id, _) in graph.flat.ids() {
        for other in tied(graph, &names, id, catalog) {
            let (a, b) = (find(&mut leader, id.index()), find(&mut leader, other.index()));
            leader[a.max(b)] = a.min(b);
        }
    }
    (0..leader.len()).map(|element| find(&mut leader, element)).collect()
}

fn find(leader: &mut [usize], mut element: usize) -> usize {
    while leader[element] != element {
        leader[element] = leader[leader[element]];
        element = leader[element];
    }
    element
}

fn tied(
    graph: &SettledGraph,
    names: &HashMap<&str, ElementId>,
    id: ElementId,
    catalog: &dyn Catalog,
) -> Vec<ElementId> {
    let element = &graph.flat[id];
    if graph.classes[id.index()].global {
        return Vec::new();
    }
    let others = catalog.ties(&element.class, &element.config);
    let mut found: Vec<ElementId> =
        others.iter().filter_map(|name| resolve(names, &element.name, name)).collect();
    if found.is_empty() && graph.classes[id.index()].queueing.looks_for_queues {
        found = nearest_queues(graph, id);
    }
    let found = found.into_iter();
    found.filter(|other| *other != id && !graph.classes[other.index()].global).collect()
}

/// The queues that an element finds by itself: the nearest behind its first output, or before its first input if
/// it is pulled.
fn nearest_queues(graph: &SettledGraph, id: ElementId) -> Vec<ElementId> {
    let pull = graph.outputs(id).first() == Some(&Mode::Pull);
    let neighbours = |element: ElementId| -> Vec<ElementId> {
        let connections = graph.flat.connections.iter();
        if pull {
            let pulled = connections.filter(|c| c.to.element == element && mode_of(graph, c) == Mode::Pull);
            pulled.map(|c| c.from.element).collect()
        } else {
            let pushed = connections.filter(|c| c.from.element == element && mode_of(graph, c) == Mode::Push);
            pushed.map(|c| c.to.element).collect()
        }
    };
    let mut open: Vec<ElementId> = neighbours(id).into_iter().take(1).collect();
    let (mut seen, mut found) = (vec![id], Vec::new());
    while let Some(element) = open.pop() {
        if seen.contains(&element) {
            continue;
        }
        seen.push(element);
        if graph.classes[element.index()].queueing.stores {
            found.push(element);
        } else {
            open.extend(neighbours(element));
        }
    }
    found
}

fn mode_of(graph: &SettledGraph, connection: &Connection) -> Mode {
    graph.outputs(connection.from.element)[connection.from.port as usize]
}

/// A name in a configuration: of the element's own compound, else of one around it.
fn resolve(names: &HashMap<&str, ElementId>, user: &str, name: &str) -> Option<ElementId> {
    let mut scope = user;
    while let Some((outer, _)) = scope.rsplit_once('/') {
        if let Some(id) = names.get(format!("{outer}/{name}").as_str()) {
            return Some(*id);
        }
        scope = outer;
    }
    names.get(name).copied()
}

/// The one part that names elements of a group, with the first element that it names.
fn parts_of_groups(
    graph: &SettledGraph,
    parts: &[PartSpec],
    claims: &Claims,
    groups: &[usize],
) -> Result<HashMap<usize, (PartId, usize)>, Diagnostics> {
    let mut report = Report::default();
    let mut part_of_group: HashMap<usize, (PartId, usize)> = HashMap::new();
    for (element, claim) in claims.iter().enumerate() {
        let Some(part) = claim else { continue };
        match part_of_group.get(&groups[element]) {
            None => {
                part_of_group.insert(groups[element], (*part, element));
            }
            Some((other_part, _)) if other_part == part => {}
            Some((other_part, other)) => {
                let error =
                    parted(&graph.flat, (*other, &parts[*other_part].name), (element, &parts[*part].name));
                report.push(error);
            }
        }
    }
    report.finish(part_of_group)
}

fn parted(flat: &FlatGraph, a: (usize, &str), b: (usize, &str)) -> Diagnostic {
    let (first, second) = (&flat.elements[a.0], &flat.elements[b.0]);
    let message = format!(
        "cannot cut between ‘{}’ in sub-function \"{}\" and ‘{}’ in sub-function \"{}\": \
         they are tied by name and share what is kept in memory",
        first.declaration(),
        a.1,
        second.declaration(),
        b.1
    );
    let help = format!(
        "put \"{}\" and \"{}\" into one sub-function, or take the reference between them out of the Click text",
        first.name, second.name
    );
    Diagnostic::error(&second.place(), message).with_help(help)
}
