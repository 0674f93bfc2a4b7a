//! Flat graph to settled graph: every class is known, every element has the ports that it wants, every port
//! is used, and each is push or pull, on the whole graph before anything is cut. Checks go in Click's order
//! and with Click's texts; each check reports all that it finds, and the next one runs only if it found nothing.

mod classes;
pub(crate) mod codes;
mod processing;

use crate::catalog::{Catalog, ClassInfo};
use crate::diagnostic::Diagnostics;
use crate::graph::{ElementId, FlatGraph};

/// How packets move through a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The upstream element hands packets on.
    Push,
    /// The downstream element asks for them.
    Pull,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Mode::Push => "push",
            Mode::Pull => "pull",
        })
    }
}

/// A flat graph whose ports are all push or pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettledGraph {
    /// The graph.
    pub flat: FlatGraph,
    /// Of each element, the modes of its inputs.
    pub inputs: Vec<Vec<Mode>>,
    /// Of each element, the modes of its outputs.
    pub outputs: Vec<Vec<Mode>>,
    /// Of each element, its class.
    pub classes: Vec<ClassInfo>,
}

impl SettledGraph {
    /// Modes of an element's inputs.
    pub fn inputs(&self, id: ElementId) -> &[Mode] {
        &self.inputs[id.index()]
    }

    /// Modes of an element's outputs.
    pub fn outputs(&self, id: ElementId) -> &[Mode] {
        &self.outputs[id.index()]
    }

    /// Outputs that a packet which came in by `input` may leave by (the class's flow code).
    pub fn flow_from(&self, id: ElementId, input: u32) -> Vec<u32> {
        let flow = codes::Flow::parse(self.classes[id.index()].flow);
        let outputs = 0..self.outputs[id.index()].len() as u32;
        outputs.filter(|output| flow.passes(input, *output)).collect()
    }
}

/// Whether a class's codes can be read: for the tests of a catalogue.
///
/// # Errors
/// Names the code that cannot.
pub fn check_class(class: &ClassInfo) -> Result<(), String> {
    if codes::Counts::parse(class.ports).is_none() {
        return Err(format!("bad port count code ‘{}’", class.ports));
    }
    if codes::Processing::parse(class.processing).is_none() {
        return Err(format!("bad processing code ‘{}’", class.processing));
    }
    if codes::Flow::try_parse(class.flow).is_none() {
        return Err(format!("bad flow code ‘{}’", class.flow));
    }
    Ok(())
}

/// Checks a graph against the catalogue and settles push and pull.
///
/// # Errors
/// Unknown classes (all at once, with suggestions); then wrong port numbers; then push connected to pull;
/// then unused ports and ports used twice.
pub fn settle(flat: FlatGraph, catalog: &dyn Catalog) -> Result<SettledGraph, Diagnostics> {
    let classes = classes::look_up(&flat, catalog)?;
    let counts = classes::count_ports(&flat, &classes)?;
    let (inputs, outputs) = processing::resolve(&flat, &classes, &counts)?;
    processing::check_use(&flat, &inputs, &outputs)?;
    Ok(SettledGraph { flat, inputs, outputs, classes })
}
