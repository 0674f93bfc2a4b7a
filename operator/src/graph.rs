//! From the text of a function to its cut, checked with the sidecar's own code.
//!
//! Pure. A spec becomes one Click text (texts of sub-functions become compound elements), which is parsed, flattened,
//! settled, cut and configured; what passes here runs. All that is wrong is reported at once, with line and column in
//! the text that the user wrote.

use std::collections::BTreeSet;
use std::fmt;
use std::fmt::Write as _;

use anf_click::{Cut, Diagnostic, Diagnostics, FlatGraph, PartSpec};
use anf_crds::AtomicFunctionSpec;
use anf_sidecar::engine::Router;
use anf_sidecar::manifest::device_names;
use anf_sidecar::registry::Registry;

/// What is wrong with a spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// One word, for conditions and events.
    pub reason: &'static str,
    /// What is wrong, one sentence each.
    pub messages: Vec<String>,
}

impl Rejection {
    /// The first few messages in one text.
    pub fn text(&self) -> String {
        const SHOWN: usize = 5;
        let mut text = self.messages.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("\n");
        if self.messages.len() > SHOWN {
            let _ = write!(text, "\nand {} more", self.messages.len() - SHOWN);
        }
        text
    }
}

/// One thing that is wrong, with its place in the text that the user wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The sub-function whose own text it is in; none where the function has one text.
    pub part: Option<String>,
    /// Line in that text, from 1; 0 where it is about no place in particular.
    pub line: u32,
    /// Column in that line, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    fn anywhere(message: String) -> Self {
        Self { part: None, line: 0, column: 0, message, help: None }
    }
}

/// `line 7, column 12: no element class "IPRewrite"; did you mean "IPRewriter"?`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(part) = &self.part {
            write!(f, "sub-function {part}, ")?;
        }
        if self.line > 0 {
            write!(f, "line {}, column {}: ", self.line, self.column)?;
        }
        f.write_str(&self.message)?;
        self.help.iter().try_for_each(|help| write!(f, "; {help}"))
    }
}

/// The cut of a function's graph.
///
/// # Errors
/// Everything that is wrong with the text, the cut or the ports, as sentences.
pub fn compile(spec: &AtomicFunctionSpec) -> Result<Cut, Rejection> {
    examine(spec).map_err(|(reason, problems)| Rejection {
        reason,
        messages: problems.iter().map(ToString::to_string).collect(),
    })
}

/// As [`compile`], for a reader who knows where the texts stand: the places are numbers.
///
/// # Errors
/// One word, and everything that is wrong.
pub fn examine(spec: &AtomicFunctionSpec) -> Result<Cut, (&'static str, Vec<Problem>)> {
    let registry = Registry::standard();
    let source = Source::of(spec);
    let reject = |diagnostics: Diagnostics| source.rejection(&diagnostics);
    let flat = anf_click::parse("click", &source.text)
        .and_then(|ast| anf_click::flatten(&ast, &[]))
        .map_err(reject)?;
    check_ports(spec, &flat)?;
    let settled = anf_click::settle(flat, &registry).map_err(reject)?;
    let cut = anf_click::cut(&settled, &source.parts, &registry).map_err(reject)?;
    for part in &cut.parts {
        anf_click::settle(part.graph.clone(), &registry)
            .and_then(|settled| Router::check(&settled, &registry))
            .map_err(reject)?;
    }
    Ok(cut)
}

/// The device names of a text; none if it cannot be read.
pub fn devices(text: &str) -> Vec<String> {
    let flat = anf_click::parse("click", text).and_then(|ast| anf_click::flatten(&ast, &[]));
    flat.map(|flat| device_names(&flat)).unwrap_or_default()
}

/// Every device name of the text needs a port, and every port a device name.
fn check_ports(spec: &AtomicFunctionSpec, flat: &FlatGraph) -> Result<(), (&'static str, Vec<Problem>)> {
    let devices: BTreeSet<String> = device_names(flat).into_iter().collect();
    let ports: BTreeSet<String> = spec.ports.iter().map(|port| port.name.clone()).collect();
    let list = |names: &BTreeSet<String>| {
        if names.is_empty() { "none".to_owned() } else { names.iter().cloned().collect::<Vec<_>>().join(", ") }
    };
    let unbound = devices.difference(&ports).map(|device| {
        format!("the device \"{device}\" of the graph is bound to nothing; spec.ports has: {}", list(&ports))
    });
    let unused = ports.difference(&devices).map(|port| {
        format!("the port \"{port}\" names no device of the graph; its devices are: {}", list(&devices))
    });
    let problems: Vec<Problem> = unbound.chain(unused).map(Problem::anywhere).collect();
    if problems.is_empty() { Ok(()) } else { Err(("InvalidPorts", problems)) }
}

/// One Click text, and where its lines come from.
struct Source {
    text: String,
    parts: Vec<PartSpec>,
    /// First line (from 1) of each sub-function's own text, ascending; empty if the function has one text.
    own: Vec<(u32, String)>,
}

impl Source {
    fn of(spec: &AtomicFunctionSpec) -> Self {
        match &spec.click {
            Some(text) => Self { text: text.clone(), parts: parts(spec), own: Vec::new() },
            None => Self::joined(spec),
        }
    }

    /// `nat :: {` newline, the text of nat, newline `};`, and one connection for each edge.
    fn joined(spec: &AtomicFunctionSpec) -> Self {
        let mut text = String::new();
        let mut own = Vec::new();
        for sub in &spec.sub_functions {
            let _ = writeln!(text, "{} :: {{", sub.name);
            own.push((lines(&text) + 1, sub.name.clone()));
            let _ = writeln!(text, "{}\n}};", sub.click.as_deref().unwrap_or_default());
        }
        own.push((lines(&text) + 1, String::new()));
        for edge in &spec.edges {
            let _ = writeln!(text, "{} [{}] -> [{}] {};", edge.from, edge.from_port, edge.to_port, edge.to);
        }
        let parts = spec.sub_functions.iter();
        let parts = parts.map(|sub| PartSpec { name: sub.name.clone(), elements: vec![sub.name.clone()] });
        Self { parts: parts.collect(), text, own }
    }

    fn rejection(&self, diagnostics: &Diagnostics) -> (&'static str, Vec<Problem>) {
        ("InvalidGraph", diagnostics.0.iter().map(|diagnostic| self.problem(diagnostic)).collect())
    }

    fn problem(&self, diagnostic: &Diagnostic) -> Problem {
        let line = diagnostic.pos.line;
        let (part, line) = match self.own.iter().rev().find(|(first, _)| *first <= line) {
            Some((_, name)) if name.is_empty() => return Problem::anywhere(format!("edges: {}", diagnostic.message)),
            Some((first, name)) => (Some(name.clone()), line - first + 1),
            None => (None, line),
        };
        Problem {
            part,
            line,
            column: diagnostic.pos.column,
            message: diagnostic.message.clone(),
            help: diagnostic.help.clone(),
        }
    }
}

fn parts(spec: &AtomicFunctionSpec) -> Vec<PartSpec> {
    let named = spec.sub_functions.iter().filter(|sub| !sub.elements.is_empty());
    named.map(|sub| PartSpec { name: sub.name.clone(), elements: sub.elements.clone() }).collect()
}

fn lines(text: &str) -> u32 {
    u32::try_from(text.matches('\n').count()).unwrap_or(u32::MAX)
}
