//! Which annotations matter at each input: those that some element downstream may read before one on the way
//! has written them. A backward data-flow analysis to a fixed point on the whole graph, so that it sees across
//! other cut edges; inside an element it follows the class's flow code.

use std::collections::HashMap;

use crate::catalog::Annotations;
use crate::graph::{ElementId, PortRef};
use crate::settle::SettledGraph;

/// Of each element, what matters at each of its inputs.
pub(super) type Needs = Vec<Vec<Annotations>>;

pub(super) fn needs(graph: &SettledGraph) -> Needs {
    let mut needs: Needs = graph
        .inputs
        .iter()
        .zip(&graph.classes)
        .map(|(inputs, class)| vec![class.reads; inputs.len()])
        .collect();
    let mut upstream: HashMap<PortRef, Vec<PortRef>> = HashMap::new();
    for connection in &graph.flat.connections {
        upstream.entry(connection.to).or_default().push(connection.from);
    }
    let mut open: Vec<PortRef> = (0..)
        .map(ElementId)
        .zip(&needs)
        .flat_map(|(element, ports)| (0..ports.len() as u32).map(move |port| PortRef { element, port }))
        .collect();
    let mut inputs_of = InputsOf { graph, known: HashMap::new() };
    while let Some(port) = open.pop() {
        let need = needs[port.element.index()][port.port as usize];
        for output in upstream.get(&port).into_iter().flatten() {
            let element = output.element.index();
            // By other outputs leave packets that the class did not treat: errors, answers to others.
            let writes = if output.port == 0 { graph.classes[element].writes } else { Annotations::NONE };
            let passed_on = need.without(writes);
            for input in inputs_of.output(*output) {
                let before = &mut needs[element][*input as usize];
                if !before.contains(passed_on) {
                    *before |= passed_on;
                    open.push(PortRef { element: output.element, port: *input });
                }
            }
        }
    }
    needs
}

/// Inputs whose packets may leave by an output, worked out once an output.
struct InputsOf<'a> {
    graph: &'a SettledGraph,
    known: HashMap<PortRef, Vec<u32>>,
}

impl InputsOf<'_> {
    fn output(&mut self, output: PortRef) -> &[u32] {
        let graph = self.graph;
        self.known.entry(output).or_insert_with(|| {
            let index = output.element.index();
            let flow = crate::settle::codes::Flow::parse(graph.classes[index].flow);
            let inputs = 0..graph.inputs[index].len() as u32;
            inputs.filter(|input| flow.passes(*input, output.port)).collect()
        })
    }
}
