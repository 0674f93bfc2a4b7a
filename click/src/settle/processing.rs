//! Push and pull. Ports with a fixed letter spread it along connections and, where a class is agnostic, along
//! its flow code from port to port, until nothing changes; what nothing reaches is push, as in Click.

use std::collections::{HashMap, HashSet, VecDeque};

use super::Mode;
use super::classes::PortCounts;
use super::codes::{Flow, Letter, Processing};
use crate::catalog::ClassInfo;
use crate::diagnostic::{Diagnostic, Diagnostics, Report};
use crate::graph::{ElementId, FlatGraph, PortRef};

/// Modes of all ports of one direction, by element.
type Modes = Vec<Vec<Mode>>;
type Letters = Vec<Vec<Letter>>;

/// Two ports that must have the same mode: a connection, or a way through an agnostic element.
#[derive(Clone, Copy)]
struct Pair {
    output: PortRef,
    input: PortRef,
    through: bool,
}

pub(super) fn resolve(
    flat: &FlatGraph,
    classes: &[ClassInfo],
    counts: &PortCounts,
) -> Result<(Modes, Modes), Diagnostics> {
    let (mut inputs, mut outputs): (Letters, Letters) = classes
        .iter()
        .zip(counts)
        .map(|(class, (inputs, outputs))| {
            let code = Processing::parse(class.processing);
            let letter = |find: fn(&Processing, usize) -> Letter, port| {
                code.as_ref().map_or(Letter::Agnostic, |code| find(code, port))
            };
            let inputs = (0..*inputs as usize).map(|port| letter(Processing::input, port));
            let outputs = (0..*outputs as usize).map(|port| letter(Processing::output, port));
            (inputs.collect::<Vec<_>>(), outputs.collect::<Vec<_>>())
        })
        .unzip();
    let pairs = pairs(flat, classes, &inputs, &outputs);
    spread(&pairs, &mut inputs, &mut outputs);
    check_pairs(flat, &pairs, &inputs, &outputs)?;
    let modes = |letters: Letters| -> Modes {
        let mode = |letter| if letter == Letter::Pull { Mode::Pull } else { Mode::Push };
        letters.into_iter().map(|ports| ports.into_iter().map(mode).collect()).collect()
    };
    Ok((modes(inputs), modes(outputs)))
}

fn pairs(flat: &FlatGraph, classes: &[ClassInfo], inputs: &Letters, outputs: &Letters) -> Vec<Pair> {
    let mut pairs: Vec<Pair> =
        flat.connections.iter().map(|c| Pair { output: c.from, input: c.to, through: false }).collect();
    for (index, class) in classes.iter().enumerate() {
        let flow = Flow::parse(class.flow);
        let element = ElementId(index as u32);
        let agnostic = |letters: &[Letter]| -> Vec<u32> {
            let ports = letters.iter().zip(0_u32..);
            ports.filter(|(letter, _)| **letter == Letter::Agnostic).map(|(_, port)| port).collect()
        };
        let outputs = agnostic(&outputs[index]);
        for input in agnostic(&inputs[index]) {
            let reached = outputs.iter().filter(|output| flow.passes(input, **output));
            pairs.extend(reached.map(|output| Pair {
                output: PortRef { element, port: *output },
                input: PortRef { element, port: input },
                through: true,
            }));
        }
    }
    pairs
}

/// A work list over ports: each port gets its letter once, from the nearest port that has one, so that a
/// conflict is reported where it is and not at the far end.
fn spread(pairs: &[Pair], inputs: &mut Letters, outputs: &mut Letters) {
    let mut of_output: HashMap<PortRef, Vec<PortRef>> = HashMap::new();
    let mut of_input: HashMap<PortRef, Vec<PortRef>> = HashMap::new();
    for pair in pairs {
        of_output.entry(pair.output).or_default().push(pair.input);
        of_input.entry(pair.input).or_default().push(pair.output);
    }
    let settled = |letters: &Letters, is_output: bool| -> Vec<(bool, PortRef)> {
        let mut ports = Vec::new();
        for (element, letters) in (0..).map(ElementId).zip(letters) {
            let fixed = letters.iter().zip(0..).filter(|(letter, _)| **letter != Letter::Agnostic);
            ports.extend(fixed.map(|(_, port)| (is_output, PortRef { element, port })));
        }
        ports
    };
    let mut open = VecDeque::from(settled(inputs, false));
    open.extend(settled(outputs, true));
    while let Some((is_output, port)) = open.pop_front() {
        let (from, to, pairs) = if is_output {
            (&*outputs, &mut *inputs, &of_output)
        } else {
            (&*inputs, &mut *outputs, &of_input)
        };
        let letter = from[port.element.index()][port.port as usize];
        for other in pairs.get(&port).into_iter().flatten() {
            let theirs = &mut to[other.element.index()][other.port as usize];
            if *theirs == Letter::Agnostic {
                *theirs = letter;
                open.push_back((!is_output, *other));
            }
        }
    }
}

fn check_pairs(
    flat: &FlatGraph,
    pairs: &[Pair],
    inputs: &Letters,
    outputs: &Letters,
) -> Result<(), Diagnostics> {
    let mut report = Report::default();
    for pair in pairs {
        let output = outputs[pair.output.element.index()][pair.output.port as usize];
        let input = inputs[pair.input.element.index()][pair.input.port as usize];
        if output == input {
            continue;
        }
        let (out_word, in_word) = if output == Letter::Push { ("push", "pull") } else { ("pull", "push") };
        let (from, to) = (&flat[pair.output.element], &flat[pair.input.element]);
        let message = if pair.through {
            format!(
                "agnostic ‘{}’ in mixed context: {in_word} input {}, {out_word} output {}",
                from.declaration(),
                pair.input.port,
                pair.output.port
            )
        } else {
            format!(
                "‘{}’ {out_word} output {} connected to ‘{}’ {in_word} input {}",
                from.declaration(),
                pair.output.port,
                to.declaration(),
                pair.input.port
            )
        };
        let help = match (pair.through, output) {
            (false, Letter::Push) | (true, Letter::Pull) => "put a Queue between push and pull",
            _ => "put an Unqueue between pull and push",
        };
        report.push(Diagnostic::error(&from.place(), message).with_help(help));
    }
    report.finish(())
}

/// Ports that nothing is connected to, and push outputs or pull inputs with more than one connection.
pub(super) fn check_use(flat: &FlatGraph, inputs: &Modes, outputs: &Modes) -> Result<(), Diagnostics> {
    let mut report = Report::default();
    let mut used_inputs = HashSet::new();
    let mut used_outputs = HashSet::new();
    for connection in &flat.connections {
        let (from, to) = (connection.from, connection.to);
        if !used_outputs.insert(from) && outputs[from.element.index()][from.port as usize] == Mode::Push {
            let message =
                format!("illegal reuse of ‘{}’ push output {}", flat[from.element].declaration(), from.port);
            let error = Diagnostic::error(&flat[from.element].place(), message);
            report.push(error.with_help("put a Tee after it to send copies to several elements"));
        }
        if !used_inputs.insert(to) && inputs[to.element.index()][to.port as usize] == Mode::Pull {
            let message =
                format!("illegal reuse of ‘{}’ pull input {}", flat[to.element].declaration(), to.port);
            let error = Diagnostic::error(&flat[to.element].place(), message);
            report.push(error.with_help("put a scheduler (RoundRobinSched, PrioSched) before it"));
        }
    }
    for (kind, modes, used) in [("input", inputs, &used_inputs), ("output", outputs, &used_outputs)] {
        for (id, element) in flat.ids() {
            for port in 0..modes[id.index()].len() as u32 {
                if !used.contains(&PortRef { element: id, port }) {
                    let message = format!("‘{}’ {kind} {port} unused", element.declaration());
                    report.error(&element.place(), message);
                }
            }
        }
    }
    report.finish(())
}
