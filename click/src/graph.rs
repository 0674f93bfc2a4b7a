//! A flat graph: elements with class and configuration, connections between their ports, nothing nested.
//! Every later stage works on it. Names are unique, connections join ports of elements that exist, and
//! printing a graph and reading it back gives the same graph.

use std::collections::HashMap;
use std::sync::Arc;

use crate::diagnostic::{Place, Pos};

/// Index of an element in its graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ElementId(pub u32);

impl ElementId {
    /// As an index into `FlatGraph::elements`.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One port of one element; whether an input or an output is said by where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRef {
    /// The element.
    pub element: ElementId,
    /// Port number, from 0.
    pub port: u32,
}

/// One element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// Full name, `p0/cl` for `cl` in the compound element `p0`.
    pub name: String,
    /// Element class.
    pub class: String,
    /// Configuration string, variables put in, comments gone.
    pub config: String,
    /// Where it is declared.
    pub pos: Pos,
    /// File of `pos`.
    pub file: Arc<str>,
}

impl Element {
    /// Where it is declared, with the file.
    pub fn place(&self) -> Place {
        Place { file: self.file.clone(), pos: self.pos }
    }

    /// As Click writes an element in a message: `name :: Class`.
    pub fn declaration(&self) -> String {
        format!("{} :: {}", self.name, self.class)
    }
}

/// One connection, from an output to an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// Output port.
    pub from: PortRef,
    /// Input port.
    pub to: PortRef,
    /// Where it is written.
    pub pos: Pos,
}

/// Elements and connections without compounds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlatGraph {
    /// In order of declaration; what a compound holds comes after the elements of its scope.
    pub elements: Vec<Element>,
    /// In order of writing; no two the same.
    pub connections: Vec<Connection>,
    /// Packages of `require(...)`.
    pub requirements: Vec<String>,
}

impl FlatGraph {
    /// The element of that full name.
    pub fn element(&self, name: &str) -> Option<ElementId> {
        let index = self.elements.iter().position(|e| e.name == name)?;
        u32::try_from(index).ok().map(ElementId)
    }

    /// Name to element, for who looks up many.
    pub fn names(&self) -> HashMap<&str, ElementId> {
        self.elements.iter().zip(0..).map(|(e, id)| (e.name.as_str(), ElementId(id))).collect()
    }

    /// All elements with their ids.
    pub fn ids(&self) -> impl Iterator<Item = (ElementId, &Element)> {
        (0..).map(ElementId).zip(&self.elements)
    }
}

impl std::ops::Index<ElementId> for FlatGraph {
    type Output = Element;

    fn index(&self, id: ElementId) -> &Element {
        &self.elements[id.index()]
    }
}

/// Graphs are the same if they would run the same: places do not count.
impl FlatGraph {
    /// Whether both have the same elements, connections and requirements, in the same order.
    pub fn same_as(&self, other: &FlatGraph) -> bool {
        let same_element =
            |(a, b): (&Element, &Element)| a.name == b.name && a.class == b.class && a.config == b.config;
        let same_connection = |(a, b): (&Connection, &Connection)| a.from == b.from && a.to == b.to;
        self.elements.len() == other.elements.len()
            && self.connections.len() == other.connections.len()
            && self.requirements == other.requirements
            && self.elements.iter().zip(&other.elements).all(same_element)
            && self.connections.iter().zip(&other.connections).all(same_connection)
    }
}
