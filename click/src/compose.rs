//! The other form of a function: each sub-function with a text of its own, with `input` and `output` ports,
//! joined by a list of edges. It is the same thing as one text of compound elements, and is turned into that:
//! from here on there is one form only. Messages about a sub-function's text carry the sub-function's name as
//! their file.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::cut::PartSpec;
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Pos, Report};
use crate::{limits, parse, suggest};

/// A sub-function's own text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubText {
    /// Name of the sub-function.
    pub name: String,
    /// Its Click text; `input` and `output` are its ports.
    pub text: String,
}

/// A connection between two sub-functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubEdge {
    /// Sub-function that packets leave.
    pub from: String,
    /// By this output.
    pub from_port: u32,
    /// Sub-function that they enter.
    pub to: String,
    /// By this input.
    pub to_port: u32,
}

/// One text for the whole, and the cut that gives the sub-functions back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// A Click text with a compound element for each sub-function.
    pub text: String,
    /// Each sub-function and its compound element.
    pub parts: Vec<PartSpec>,
}

/// Turns sub-functions' texts and their edges into one text.
///
/// # Errors
/// Syntax errors of the texts (each must be complete by itself), edges that name no sub-function, names that
/// cannot be told apart.
pub fn compose(subs: &[SubText], edges: &[SubEdge]) -> Result<Composed, Diagnostics> {
    let mut report = Report::default();
    let mut compounds: BTreeMap<&str, String> = BTreeMap::new();
    let mut text = String::new();
    let mut parts = Vec::new();
    for sub in subs {
        let compound = compound_name(&sub.name);
        if let Some((other, _)) = compounds.iter().find(|(_, taken)| **taken == compound) {
            let message = format!("sub-functions \"{other}\" and \"{}\" cannot be told apart", sub.name);
            report.push(about(&sub.name, message).with_help("rename one of them"));
            continue;
        }
        if let Err(Diagnostics(found)) = parse::parse_body(&sub.name, &sub.text) {
            found.into_iter().for_each(|error| report.push(error));
        }
        let file: String = sub.name.chars().filter(|c| !c.is_control() && *c != '"').collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{compound} :: {{\n#line 1 \"{file}\"\n{}\n#line 1 \"\"\n}};", sub.text);
        parts.push(PartSpec { name: sub.name.clone(), elements: vec![compound.clone()] });
        compounds.insert(&sub.name, compound);
    }
    for edge in edges {
        let find = |name: &str| compounds.get(name).ok_or_else(|| unknown(name, &compounds));
        match (find(&edge.from), find(&edge.to)) {
            _ if edge.from_port.max(edge.to_port) > limits::PORT => {
                report.push(about(&edge.from, format!("port numbers go to {}", limits::PORT)));
            }
            (Ok(from), Ok(to)) => {
                let _ = writeln!(text, "{from}[{}] -> [{}]{to};", edge.from_port, edge.to_port);
            }
            (from, to) => [from, to].into_iter().filter_map(Result::err).for_each(|error| report.push(error)),
        }
    }
    report.finish(Composed { text, parts })
}

/// A name in Click: hyphens are no letters there, and some words mean something.
fn compound_name(name: &str) -> String {
    let word = name.replace('-', "_");
    match word.as_str() {
        "input" | "output" | "define" | "require" | "elementclass" => format!("{word}_"),
        _ => word,
    }
}

fn unknown(name: &str, compounds: &BTreeMap<&str, String>) -> Diagnostic {
    let error = about(name, format!("an edge names sub-function \"{name}\", which does not exist"));
    match suggest::did_you_mean(name, compounds.keys().copied()) {
        Some(help) => error.with_help(help),
        None => error,
    }
}

fn about(name: &str, message: String) -> Diagnostic {
    Diagnostic::error(&Place { file: name.into(), pos: Pos::default() }, message)
}
