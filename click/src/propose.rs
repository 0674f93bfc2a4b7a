//! A proposal where to cut: parts of balanced cost that few and cheap packets cross between, and that keep together
//! what must stay together.
//!
//! Costs are estimates, in nanoseconds a packet that enters the graph: how many packets take each way
//! ([`traffic`]), times what a packet costs each class ([`Load`](crate::catalog::Load)), times what a crossing costs.
//! The slowest part decides how fast the cut function is, so it is what the search ([`partition`]) makes fast.

mod partition;
mod traffic;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::catalog::Catalog;
use crate::cut::{Cut, PartSpec, blind_chooser, cut, pulled_ahead, specification_error, tied_groups};
use crate::diagnostic::Diagnostics;
use crate::graph::{Connection, ElementId};
use crate::settle::{Mode, SettledGraph};

/// What each end of a link spends on a packet that crosses, in nanoseconds.
const CROSSING: f64 = 40.0;
/// A signal beside the edge costs so much more.
const SIGNAL: f64 = 1.2;
/// A pull that waits for a round trip costs as many crossings.
const ROUND_TRIP: f64 = 50.0;

/// Packets that were counted, by element name: as many as came into the element, or left it if it is a source.
pub type Counts = HashMap<String, f64>;

/// A cut that was found, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// The parts, upstream first.
    pub parts: Vec<ProposedPart>,
    /// The connections that cross, in order of the whole graph's connections.
    pub crossings: Vec<Crossing>,
    /// Elements that had to stay together, for each group of more than one.
    pub together: Vec<Vec<String>>,
    /// Nanoseconds a packet of the whole graph.
    pub whole: f64,
}

/// One part of a proposal.
#[derive(Debug, Clone, PartialEq)]
pub struct ProposedPart {
    /// What the cut is to be given.
    pub spec: PartSpec,
    /// How many elements it holds.
    pub elements: usize,
    /// Nanoseconds a packet for its elements.
    pub work: f64,
    /// Nanoseconds a packet for its ends of links.
    pub links: f64,
}

/// A connection that crosses.
#[derive(Debug, Clone, PartialEq)]
pub struct Crossing {
    /// `name[port] -> [port]name`.
    pub connection: String,
    /// Push or pull.
    pub mode: Mode,
    /// Packets that cross for each that enters the graph.
    pub packets: f64,
}

impl Proposal {
    /// What the cut is to be given.
    pub fn specs(&self) -> Vec<PartSpec> {
        self.parts.iter().map(|part| part.spec.clone()).collect()
    }

    /// Nanoseconds a packet of the slowest part.
    pub fn slowest(&self) -> f64 {
        self.parts.iter().map(|part| part.work + part.links).fold(0.0, f64::max)
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "estimated costs, in ns for each packet that enters the graph (whole: {:.0})",
            self.whole
        )?;
        for part in &self.parts {
            let total = part.work + part.links;
            let plural = if part.elements == 1 { "" } else { "s" };
            writeln!(
                f,
                "  {}: {total:.0} = {:.0} for {} element{plural} + {:.0} for links",
                part.spec.name, part.work, part.elements, part.links
            )?;
        }
        let faster = if self.slowest() > 0.0 { self.whole / self.slowest() } else { 1.0 };
        writeln!(f, "with a core for each part {faster:.1} times the rate of the whole")?;
        if !self.crossings.is_empty() {
            writeln!(f, "crossed by, of 100 packets:")?;
        }
        for crossing in &self.crossings {
            writeln!(f, "  {:.0} {} ({})", crossing.packets * 100.0, crossing.connection, crossing.mode)?;
        }
        for group in &self.together {
            writeln!(f, "stay together: {}", group.join(", "))?;
        }
        Ok(())
    }
}

/// Proposes a cut into `count` parts. `counts` says how many packets elements had, where that is known; without, the
/// ways behind a switch are taken to be equally likely and errors to be rare.
///
/// # Errors
/// Fewer than `count` groups of elements can be told apart, or a name in `counts` is no element.
pub fn propose(
    graph: &SettledGraph,
    catalog: &dyn Catalog,
    count: usize,
    counts: &Counts,
) -> Result<Proposal, Diagnostics> {
    if let Some(name) = counts.keys().filter(|name| graph.flat.element(name).is_none()).min() {
        let message = format!("the counts name \"{name}\", which is no element of the graph");
        let help = "count packets in the graph that is to be cut".to_owned();
        return Err(specification_error(message).with_help(help).into());
    }
    let traffic = traffic::estimate(graph, counts);
    let groups = Groups::of(graph, catalog);
    let problem = problem(graph, &groups, &traffic);
    let most = problem.weights.len().min(partition::MOST);
    if count == 0 || count > most {
        let message = format!("cannot cut into {count} parts: 1 to {most} are possible");
        let help = "elements that are tied by name, and a scheduler and what it chooses from, stay together";
        return Err(specification_error(message).with_help(help.to_owned()).into());
    }
    let part_of_node = partition::partition(&problem, count);
    let part_of: Vec<Option<usize>> =
        groups.node.iter().map(|node| node.map(|node| part_of_node[node])).collect();
    Ok(describe(graph, &traffic, &groups, &part_of, count))
}

/// Proposes a cut and carries it out.
///
/// # Errors
/// As [`propose`] and [`cut`].
pub fn propose_cut(
    graph: &SettledGraph,
    catalog: &dyn Catalog,
    count: usize,
    counts: &Counts,
) -> Result<(Proposal, Cut), Diagnostics> {
    let proposal = propose(graph, catalog, count, counts)?;
    let cut = cut(graph, &proposal.specs(), catalog)?;
    Ok((proposal, cut))
}

/// Elements that stay together, as nodes of the problem.
struct Groups {
    /// Of each element its node; none of a global definition, which goes where it is used.
    node: Vec<Option<usize>>,
}

impl Groups {
    fn of(graph: &SettledGraph, catalog: &dyn Catalog) -> Self {
        let mut leader: Vec<usize> = tied_groups(graph, catalog).iter().map(|id| id.index()).collect();
        for connection in &graph.flat.connections {
            if blind_chooser(graph, connection).is_some() {
                let (a, b) = (connection.from.element.index(), connection.to.element.index());
                let (keep, join) = (leader[a].min(leader[b]), leader[a].max(leader[b]));
                leader.iter_mut().filter(|leader| **leader == join).for_each(|leader| *leader = keep);
            }
        }
        let mut numbers = BTreeMap::new();
        let node = leader.iter().enumerate().map(|(element, leader)| {
            let next = numbers.len();
            (!graph.classes[element].global).then(|| *numbers.entry(*leader).or_insert(next))
        });
        Self { node: node.collect() }
    }

    fn together(&self, graph: &SettledGraph) -> Vec<Vec<String>> {
        let mut names: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for (node, element) in self.node.iter().zip(&graph.flat.elements) {
            if let Some(node) = node {
                names.entry(*node).or_default().push(element.name.clone());
            }
        }
        names.into_values().filter(|group| group.len() > 1).collect()
    }
}

fn problem(graph: &SettledGraph, groups: &Groups, traffic: &traffic::Traffic) -> partition::Problem {
    let count = groups.node.iter().flatten().max().map_or(0, |last| last + 1);
    let mut weights = vec![0.0; count];
    for (element, node) in groups.node.iter().enumerate() {
        if let Some(node) = node {
            weights[*node] += work(graph, traffic, element);
        }
    }
    let edges =
        graph.flat.connections.iter().zip(&traffic.connections).filter_map(|(connection, packets)| {
            let from = groups.node[connection.from.element.index()]?;
            let to = groups.node[connection.to.element.index()]?;
            (from != to).then(|| partition::Edge { from, to, price: packets * crossing(graph, connection) })
        });
    partition::Problem { weights, edges: edges.collect() }
}

fn work(graph: &SettledGraph, traffic: &traffic::Traffic, element: usize) -> f64 {
    traffic.elements[element] * f64::from(graph.classes[element].load.nanoseconds)
}

/// What a packet that crosses costs each end.
fn crossing(graph: &SettledGraph, connection: &Connection) -> f64 {
    match graph.outputs(connection.from.element)[connection.from.port as usize] {
        Mode::Push => CROSSING,
        Mode::Pull if pulled_ahead(graph, connection.from) > 0 => CROSSING * SIGNAL,
        Mode::Pull => CROSSING * ROUND_TRIP,
    }
}

fn describe(
    graph: &SettledGraph,
    traffic: &traffic::Traffic,
    groups: &Groups,
    part_of: &[Option<usize>],
    count: usize,
) -> Proposal {
    let mut parts: Vec<ProposedPart> = (0..count)
        .map(|part| ProposedPart {
            spec: PartSpec { name: format!("part{}", part + 1), elements: names(graph, part_of, part) },
            elements: part_of.iter().filter(|of| **of == Some(part)).count(),
            work: 0.0,
            links: 0.0,
        })
        .collect();
    for (element, part) in part_of.iter().enumerate() {
        if let Some(part) = part {
            parts[*part].work += work(graph, traffic, element);
        }
    }
    let mut crossings = Vec::new();
    for (connection, packets) in graph.flat.connections.iter().zip(&traffic.connections) {
        let (from, to) = (connection.from, connection.to);
        let (Some(a), Some(b)) = (part_of[from.element.index()], part_of[to.element.index()]) else {
            continue;
        };
        if a == b {
            continue;
        }
        for part in [a, b] {
            parts[part].links += packets * crossing(graph, connection);
        }
        let name = |id: ElementId| &graph.flat[id].name;
        crossings.push(Crossing {
            connection: format!("{}[{}] -> [{}]{}", name(from.element), from.port, to.port, name(to.element)),
            mode: graph.outputs(from.element)[from.port as usize],
            packets: *packets,
        });
    }
    let whole = parts.iter().map(|part| part.work).sum();
    Proposal { parts, crossings, together: groups.together(graph), whole }
}

/// The elements of a part, by the names of compounds that it holds whole.
fn names(graph: &SettledGraph, part_of: &[Option<usize>], part: usize) -> Vec<String> {
    let elements = graph.flat.elements.iter().zip(part_of);
    let parted: Vec<&str> = elements
        .clone()
        .filter(|(_, of)| of.is_some_and(|of| of != part))
        .map(|(element, _)| element.name.as_str())
        .collect();
    let whole = |compound: &str| {
        !parted.iter().any(|name| name.strip_prefix(compound).is_some_and(|rest| rest.starts_with('/')))
    };
    let mut names: Vec<String> = Vec::new();
    for (element, _) in elements.filter(|(_, of)| **of == Some(part)) {
        let name = element.name.as_str();
        let compound = name.match_indices('/').map(|(at, _)| &name[..at]).find(|compound| whole(compound));
        let name = compound.unwrap_or(name).to_owned();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
