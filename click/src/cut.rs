//! A settled graph cut into parts, one a pod. Every element belongs to exactly one part (global definitions
//! are copied as well), every connection is either inside a part or one cut edge, and each part is a graph of
//! its own that settles to the same modes as the whole: where an edge was cut stand link elements.

mod build;
mod cycles;
mod definitions;
mod liveness;
mod select;
mod signals;
mod ties;

use crate::catalog::{Annotations, Catalog};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Pos};
use crate::graph::{ElementId, FlatGraph, PortRef};
use crate::hash::Hasher;
use crate::settle::{Mode, SettledGraph};

pub(crate) use signals::{blind_chooser, pulled_ahead};

/// Part that takes what no other part names.
pub const MAIN: &str = "main";

/// Packets of a queue that may wait at the far end of a cut pull edge, to be pulled there at once. The queue counts
/// them as its own until they are.
const PULLED_AHEAD: u16 = 64;

/// What one part is to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartSpec {
    /// Name of the part: lower-case letters, digits and hyphens, as Kubernetes names are.
    pub name: String,
    /// Names of elements or of compounds (which stand for all inside), or of element classes (all elements of the
    /// class); `*` and `?` match within one component of a name.
    pub elements: Vec<String>,
}

/// The result of a cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// In order of the specification, [`MAIN`] last unless it is specified.
    pub parts: Vec<Part>,
    /// In order of the connections of the whole graph; an edge's id is its index.
    pub edges: Vec<CutEdge>,
    /// The ways back beside edges that need one, numbered on from the edges.
    pub signals: Vec<Signal>,
}

/// One part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Runnable: cut edges end in link elements.
    pub graph: FlatGraph,
    /// Number of own elements; link elements and copied definitions do not count.
    pub elements: usize,
    /// Outputs (of the part's graph) that are pulled.
    pub pulled: Vec<PortRef>,
}

/// A connection between elements of two parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutEdge {
    /// Unique in the cut.
    pub id: u16,
    /// Part that packets leave.
    pub from_part: String,
    /// Part that they enter.
    pub to_part: String,
    /// Output that they leave by: `rw[0]`.
    pub from: String,
    /// Input that they enter by: `[1]out`.
    pub to: String,
    /// Push or pull.
    pub mode: Mode,
    /// What the far side may read before it writes it: this must cross with the packet, nothing else need.
    pub annotations: Annotations,
    /// Packets may come back to `from_part` over links: such a link may drop where others hold back.
    pub in_cycle: bool,
    /// Of a pull edge: packets that may cross before they are asked for. Not 0 directly behind a queue only.
    pub ahead: u16,
}

/// The way back beside an edge: by it the downstream end says how many packets may cross the edge in all. It
/// carries nothing else, and no packet of it is worth waiting for: the next one says all that it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// Unique among edges and signals of the cut.
    pub id: u16,
    /// The edge that it is about.
    pub edge: u16,
    /// Where that edge ends.
    pub from_part: String,
    /// Where that edge begins.
    pub to_part: String,
}

impl Cut {
    /// The part of that name.
    pub fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == name)
    }

    /// Names the cut: the same for the same parts and edges, on every machine and in every version.
    pub fn hash(&self) -> String {
        let mut hasher = Hasher::new();
        for part in &self.parts {
            hasher.field(&part.name);
            hasher.field(&part.graph.to_string());
        }
        for edge in &self.edges {
            hasher.field(&edge.id.to_string());
            for text in [&edge.from_part, &edge.to_part, &edge.from, &edge.to] {
                hasher.field(text);
            }
            hasher.field(&edge.mode.to_string());
            hasher.field(&edge.annotations.0.to_string());
        }
        hasher.finish()
    }
}

/// Index of a part.
type PartId = usize;

/// Which part each element belongs to.
struct Owners {
    names: Vec<String>,
    of: Vec<PartId>,
}

/// Cuts a graph; what no part names goes to [`MAIN`], except that elements tied by name to one part's
/// elements go with them.
///
/// # Errors
/// Bad part names, patterns that match nothing, elements that two parts name, elements tied by name that
/// would be parted: all at once, each with the way out.
pub fn cut(graph: &SettledGraph, parts: &[PartSpec], catalog: &dyn Catalog) -> Result<Cut, Diagnostics> {
    build::refuse_reserved_names(&graph.flat)?;
    let claims = select::claims(&graph.flat, parts)?;
    let owners = ties::owners(graph, parts, &claims, catalog)?;
    let needs = liveness::needs(graph);
    let mut edges = build::edges(graph, &owners, &needs)?;
    cycles::mark(&mut edges);
    let signals = signals::add(graph, &mut edges)?;
    let parts = build::parts(graph, &owners, &edges);
    Ok(Cut { parts, edges: edges.into_iter().map(|edge| edge.edge).collect(), signals })
}

/// Of each element, the first of those that are tied to it by name and must stay in its part: itself, if none is.
/// Global definitions are tied to nothing.
pub fn tied_groups(graph: &SettledGraph, catalog: &dyn Catalog) -> Vec<ElementId> {
    ties::groups(graph, catalog).into_iter().map(|first| ElementId(first as u32)).collect()
}

fn too_many_edges() -> Diagnostic {
    specification_error(format!("the cut has more than {} edges", u16::MAX))
        .with_help("cut where fewer connections cross")
}

/// An error about the specification of the parts, which has no place in a text.
pub(crate) fn specification_error(message: String) -> Diagnostic {
    Diagnostic::error(&Place { file: "".into(), pos: Pos::default() }, message)
}
