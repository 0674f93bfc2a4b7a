//! The parts' graphs, and the edges between them. A cut push edge becomes `ToLink` and `FromLink`, a cut pull
//! edge `ToLinkPull` and `FromLinkPull`; the link elements have the same modes as the ports that they replace,
//! so each part settles as the whole did.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::definitions;
use super::liveness::Needs;
use super::{CutEdge, Owners, Part, PartId};
use crate::diagnostic::{Diagnostic, Diagnostics, Report};
use crate::graph::{Connection, Element, ElementId, FlatGraph, PortRef};
use crate::settle::{Mode, SettledGraph};

/// Names of link elements begin so; a text must not use them.
const RESERVED: [&str; 2] = ["anf_in_", "anf_out_"];

/// An edge with what the parts' graphs need to know.
pub(super) struct Edge {
    pub(super) edge: CutEdge,
    pub(super) from_part: PartId,
    pub(super) to_part: PartId,
    pub(super) connection: Connection,
    /// The number of its signal.
    pub(super) signal: Option<u16>,
}

pub(super) fn refuse_reserved_names(flat: &FlatGraph) -> Result<(), Diagnostics> {
    let mut report = Report::default();
    for element in &flat.elements {
        if let Some(prefix) = RESERVED.iter().find(|prefix| element.name.starts_with(**prefix)) {
            let message = format!("element name ‘{}’ is reserved for links", element.name);
            let error = Diagnostic::error(&element.place(), message);
            report.push(error.with_help(format!("choose a name that does not begin with \"{prefix}\"")));
        }
    }
    report.finish(())
}

pub(super) fn edges(graph: &SettledGraph, owners: &Owners, needs: &Needs) -> Result<Vec<Edge>, Diagnostics> {
    let mut edges = Vec::new();
    for connection in &graph.flat.connections {
        let (from, to) = (connection.from, connection.to);
        let (from_part, to_part) = (owners.of[from.element.index()], owners.of[to.element.index()]);
        if from_part == to_part {
            continue;
        }
        let Ok(id) = u16::try_from(edges.len()) else {
            return Err(super::too_many_edges().into());
        };
        let edge = CutEdge {
            id,
            from_part: owners.names[from_part].clone(),
            to_part: owners.names[to_part].clone(),
            from: format!("{}[{}]", graph.flat[from.element].name, from.port),
            to: format!("[{}]{}", to.port, graph.flat[to.element].name),
            mode: graph.outputs(from.element)[from.port as usize],
            annotations: needs[to.element.index()][to.port as usize],
            in_cycle: false,
            ahead: 0,
        };
        edges.push(Edge { edge, from_part, to_part, connection: *connection, signal: None });
    }
    Ok(edges)
}

pub(super) fn parts(graph: &SettledGraph, owners: &Owners, edges: &[Edge]) -> Vec<Part> {
    let copies = definitions::copies(graph, owners);
    (0..owners.names.len()).map(|part| build_part(graph, owners, edges, &copies, part)).collect()
}

fn build_part(
    graph: &SettledGraph,
    owners: &Owners,
    edges: &[Edge],
    copies: &HashMap<PartId, Vec<(usize, String)>>,
    part: PartId,
) -> Part {
    let mut builder = Builder::default();
    builder.graph.requirements.clone_from(&graph.flat.requirements);
    let configs: HashMap<usize, &String> =
        copies.get(&part).into_iter().flatten().map(|(global, config)| (*global, config)).collect();
    for (index, element) in graph.flat.elements.iter().enumerate() {
        match configs.get(&index) {
            Some(config) => builder.add(index, Element { config: (*config).clone(), ..element.clone() }),
            None if owners.of[index] == part => builder.add(index, element.clone()),
            None => {}
        }
    }
    let own = owners.of.iter().filter(|owner| **owner == part).count();
    for connection in &graph.flat.connections {
        let here = |port: PortRef| owners.of[port.element.index()] == part;
        if here(connection.from) && here(connection.to) {
            let (from, to) = (builder.local(connection.from), builder.local(connection.to));
            builder.connect(from, to, connection);
        }
    }
    for edge in edges {
        if edge.from_part == part {
            let link = builder.link("anf_out", "ToLink", "TO", &edge.edge.to_part, edge, graph);
            let from = builder.local(edge.connection.from);
            builder.connect(from, link, &edge.connection);
        } else if edge.to_part == part {
            let link = builder.link("anf_in", "FromLink", "FROM", &edge.edge.from_part, edge, graph);
            let to = builder.local(edge.connection.to);
            builder.connect(link, to, &edge.connection);
        }
    }
    let pulled = graph.flat.connections.iter().map(|connection| connection.from).filter(|from| {
        owners.of[from.element.index()] == part
            && graph.outputs(from.element)[from.port as usize] == Mode::Pull
    });
    let pulled = pulled.map(|from| builder.local(from)).collect();
    Part { name: owners.names[part].clone(), graph: builder.graph, elements: own, pulled }
}

#[derive(Default)]
struct Builder {
    graph: FlatGraph,
    /// Element of the whole graph to element here.
    local: HashMap<usize, ElementId>,
}

impl Builder {
    fn push(&mut self, element: Element) -> ElementId {
        let id = ElementId(self.graph.elements.len() as u32);
        self.graph.elements.push(element);
        id
    }

    fn add(&mut self, index: usize, element: Element) {
        let id = self.push(element);
        self.local.insert(index, id);
    }

    /// Must be asked only for elements of this part.
    fn local(&self, port: PortRef) -> PortRef {
        PortRef { element: self.local[&port.element.index()], port: port.port }
    }

    fn connect(&mut self, from: PortRef, to: PortRef, written: &Connection) {
        self.graph.connections.push(Connection { from, to, pos: written.pos });
    }

    /// Adds the link element of an edge; its only port.
    fn link(
        &mut self,
        name: &str,
        class: &str,
        keyword: &str,
        peer: &str,
        edge: &Edge,
        graph: &SettledGraph,
    ) -> PortRef {
        let id = edge.edge.id;
        let pull = if edge.edge.mode == Mode::Pull { "Pull" } else { "" };
        let mut config = format!("EDGE {id}, {keyword} {peer}");
        if let Some(signal) = edge.signal {
            // Writing to a string cannot fail.
            let _ = write!(config, ", SIGNAL {signal}");
        }
        if edge.edge.ahead > 0 {
            let _ = write!(config, ", AHEAD {}", edge.edge.ahead);
        }
        let element = self.push(Element {
            name: format!("{name}_{id}"),
            class: format!("{class}{pull}"),
            config,
            pos: edge.connection.pos,
            file: graph.flat[edge.connection.from.element].file.clone(),
        });
        PortRef { element, port: 0 }
    }
}
