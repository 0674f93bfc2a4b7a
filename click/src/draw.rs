//! A cut drawn for people: plain text for a terminal, SVG, Graphviz and Mermaid for documents. Link elements are
//! not drawn; a cut edge is one arrow from the element before it to the element behind it.

mod layout;
mod svg;

use std::collections::HashMap;
use std::fmt::Write;

use crate::cut::{Cut, CutEdge, Part};
use crate::graph::{Connection, Element};

pub use svg::svg;

/// Each part with its elements and where each output leads.
pub fn text(cut: &Cut) -> String {
    let mut out = String::new();
    for part in &cut.parts {
        let plural = if part.elements == 1 { "" } else { "s" };
        line(&mut out, format_args!("{} ({} element{plural})", part.name, part.elements));
        for (id, element) in part.graph.ids().filter(|(_, element)| !is_link(element)) {
            line(&mut out, format_args!("  {}", element.declaration()));
            for connection in part.graph.connections.iter().filter(|c| c.from.element == id) {
                let port = connection.from.port;
                let to = &part.graph[connection.to.element];
                match edge_of(cut, to) {
                    Some(edge) => line(&mut out, format_args!("    [{port}] => {}", far_end(edge))),
                    None => {
                        line(&mut out, format_args!("    [{port}] -> [{}]{}", connection.to.port, to.name))
                    }
                }
            }
        }
    }
    out
}

fn far_end(edge: &CutEdge) -> String {
    let cycle = if edge.in_cycle { ", in a cycle" } else { "" };
    format!(
        "{}: {}  (edge {}, {}, carries {}{cycle})",
        edge.to_part, edge.to, edge.id, edge.mode, edge.annotations
    )
}

/// Graphviz: a cluster for each part, cut edges bold.
pub fn dot(cut: &Cut) -> String {
    let nodes = Nodes::new(cut);
    let mut out = String::from("digraph function {\n  rankdir=LR;\n  node [shape=box, fontsize=10];\n");
    for (index, part) in cut.parts.iter().enumerate() {
        line(&mut out, format_args!("  subgraph cluster_{index} {{\n    label=\"{}\";", part.name));
        for element in part.graph.elements.iter().filter(|element| !is_link(element)) {
            let node = nodes.of(part, element);
            line(&mut out, format_args!("    {node} [label=\"{}\\n{}\"];", element.name, element.class));
        }
        out.push_str("  }\n");
        for (connection, from, to) in inner(part) {
            let (from, to) = (nodes.of(part, from), nodes.of(part, to));
            let ports = (connection.from.port, connection.to.port);
            line(
                &mut out,
                format_args!("  {from} -> {to} [taillabel=\"{}\", headlabel=\"{}\"];", ports.0, ports.1),
            );
        }
    }
    for edge in &cut.edges {
        if let Some((from, to)) = nodes.ends(edge) {
            line(
                &mut out,
                format_args!(
                    "  {from} -> {to} [label=\"edge {} {}\", style=bold, color=red];",
                    edge.id, edge.mode
                ),
            );
        }
    }
    out.push_str("}\n");
    out
}

/// Mermaid: a subgraph for each part, cut edges thick.
pub fn mermaid(cut: &Cut) -> String {
    let nodes = Nodes::new(cut);
    let mut out = String::from("flowchart LR\n");
    for (index, part) in cut.parts.iter().enumerate() {
        line(&mut out, format_args!("  subgraph part{index}[\"{}\"]", part.name));
        for element in part.graph.elements.iter().filter(|element| !is_link(element)) {
            let node = nodes.of(part, element);
            line(&mut out, format_args!("    {node}[\"{}<br/>{}\"]", element.name, element.class));
        }
        for (connection, from, to) in inner(part) {
            let (from, to) = (nodes.of(part, from), nodes.of(part, to));
            let ports = (connection.from.port, connection.to.port);
            line(&mut out, format_args!("    {from} -->|{}:{}| {to}", ports.0, ports.1));
        }
        out.push_str("  end\n");
    }
    for edge in &cut.edges {
        if let Some((from, to)) = nodes.ends(edge) {
            line(&mut out, format_args!("  {from} ==>|edge {} {}| {to}", edge.id, edge.mode));
        }
    }
    out
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}

fn is_link(element: &Element) -> bool {
    edge_number(element).is_some()
}

/// `anf_in_3`, `anf_out_3`: names that no text may use.
fn edge_number(element: &Element) -> Option<u16> {
    let rest = element.name.strip_prefix("anf_in_").or_else(|| element.name.strip_prefix("anf_out_"))?;
    rest.parse().ok()
}

fn edge_of<'a>(cut: &'a Cut, element: &Element) -> Option<&'a CutEdge> {
    let number = edge_number(element)?;
    cut.edges.iter().find(|edge| edge.id == number)
}

/// Connections between elements of the text.
fn inner(part: &Part) -> impl Iterator<Item = (&Connection, &Element, &Element)> {
    part.graph.connections.iter().filter_map(|connection| {
        let (from, to) = (&part.graph[connection.from.element], &part.graph[connection.to.element]);
        (!is_link(from) && !is_link(to)).then_some((connection, from, to))
    })
}

/// A short identifier for each element of each part (a definition may be in several).
struct Nodes<'a> {
    of_part: HashMap<&'a str, HashMap<&'a str, String>>,
}

impl<'a> Nodes<'a> {
    fn new(cut: &'a Cut) -> Self {
        let mut of_part: HashMap<&str, HashMap<&str, String>> = HashMap::new();
        let mut count = 0;
        for part in &cut.parts {
            for element in &part.graph.elements {
                of_part.entry(&part.name).or_default().insert(&element.name, format!("n{count}"));
                count += 1;
            }
        }
        Self { of_part }
    }

    fn of(&self, part: &Part, element: &Element) -> &str {
        self.find(&part.name, &element.name).unwrap_or_default()
    }

    fn find(&self, part: &str, element: &str) -> Option<&str> {
        self.of_part.get(part)?.get(element).map(String::as_str)
    }

    fn ends(&self, edge: &CutEdge) -> Option<(&str, &str)> {
        let from = edge.from.split('[').next()?;
        let to = edge.to.split(']').nth(1)?;
        Some((self.find(&edge.from_part, from)?, self.find(&edge.to_part, to)?))
    }
}
