//! Scopes to instances: each compound element becomes a copy of the version that fits its arguments and
//! ports, with variables put in. Elements come in Click's order: a scope's own first, then what is inside its
//! compounds. Copies are bounded in number, depth and bytes.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::environment::Environment;
use super::scope::{Class, ClassId, Is, Scope, Scopes};
use crate::config;
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Pos, Report};
use crate::graph::{Element, ElementId, FlatGraph};
use crate::limits;

/// Index of a node of the instantiated text.
pub(super) type Node = usize;

/// A member of an instance.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Element(ElementId),
    /// The outside of a compound or group, with its ends inside.
    Outside {
        input: Node,
        output: Node,
    },
    /// `input` of a compound or group.
    Input,
    /// `output` of the compound or group whose outside this is.
    Output {
        outside: Node,
    },
    /// Was refused; connections to it mean nothing.
    Broken,
}

/// A connection between nodes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Joint {
    pub(super) from: (Node, u32),
    pub(super) to: (Node, u32),
    pub(super) pos: Pos,
}

/// An instantiated text: elements are final, connections still pass through compounds.
#[derive(Debug, Default)]
pub(super) struct Instances {
    pub(super) graph: FlatGraph,
    pub(super) nodes: Vec<Kind>,
    /// Name and place of each compound, for messages.
    pub(super) outsides: Vec<(Node, String, Place)>,
    pub(super) joints: Vec<Joint>,
    pub(super) report: Report,
}

/// Instantiates a resolved text.
pub(super) fn expand(scopes: &Scopes, params: &[(String, String)]) -> Result<Instances, Diagnostics> {
    let mut expansion = Expansion {
        scopes,
        made: Instances::default(),
        names: HashSet::new(),
        config_bytes: 0,
        stopped: false,
    };
    expansion.made.graph.requirements.clone_from(&scopes.requirements);
    if let Some(file) = &scopes.file {
        let environment = Rc::new(Environment::of_file(file, params));
        expansion.scope(file, "", &environment, None, 0);
    }
    if expansion.made.report.is_empty() {
        return Ok(expansion.made);
    }
    std::mem::take(&mut expansion.made.report).finish(expansion.made)
}

struct Expansion<'a> {
    scopes: &'a Scopes,
    made: Instances,
    names: HashSet<String>,
    config_bytes: usize,
    /// A bound was hit: nothing more is made.
    stopped: bool,
}

/// A compound waiting to be filled, after all members of its scope exist.
struct Pending<'a> {
    node: Node,
    version: &'a Scope,
    name: String,
    environment: Rc<Environment>,
}

impl<'a> Expansion<'a> {
    /// Makes the members of a scope, its connections, then what is inside its compounds.
    fn scope(
        &mut self,
        scope: &'a Scope,
        prefix: &str,
        environment: &Rc<Environment>,
        outside: Option<Node>,
        depth: usize,
    ) {
        let first = self.made.nodes.len();
        let used = ports_used(scope);
        let mut pending = Vec::new();
        for (slot, member) in scope.members.iter().enumerate() {
            if self.stopped {
                return;
            }
            let kind = match (&member.is, outside) {
                (Is::Group, _) => Kind::Outside { input: first + slot + 1, output: first + slot + 2 },
                (Is::Passage, Some(_)) if slot == 0 => Kind::Input,
                (Is::Passage, Some(outside)) if slot == 1 => Kind::Output { outside },
                (Is::Passage, _) => group_end(scope, slot, first),
                (Is::Element(class), _) => {
                    let name = format!("{prefix}{}", member.name);
                    self.member(scope, slot, class, name, environment, &used, &mut pending)
                }
            };
            self.made.nodes.push(kind);
        }
        self.made.joints.extend(scope.wires.iter().map(|wire| Joint {
            from: (first + wire.from.0, wire.from.1),
            to: (first + wire.to.0, wire.to.1),
            pos: wire.pos,
        }));
        if self.made.joints.len() > limits::CONNECTIONS * 2 {
            self.stop(&scope.place, format!("more than {} connections", limits::CONNECTIONS));
        }
        for Pending { node, version, name, environment } in pending {
            if depth + 1 >= limits::DEPTH {
                let message = format!("compound elements nest more than {} deep", limits::DEPTH);
                self.stop(&version.place, message);
            }
            if self.stopped {
                return;
            }
            let input = self.made.nodes.len();
            self.made.nodes[node] = Kind::Outside { input, output: input + 1 };
            self.scope(version, &format!("{name}/"), &environment, Some(node), depth + 1);
        }
    }

    #[allow(clippy::too_many_arguments, reason = "one member in all its context")]
    fn member(
        &mut self,
        scope: &Scope,
        slot: usize,
        class: &Class,
        name: String,
        environment: &Rc<Environment>,
        used: &HashMap<usize, (u32, u32)>,
        pending: &mut Vec<Pending<'a>>,
    ) -> Kind {
        let member = &scope.members[slot];
        let Some(config) = self.config(&member.config, environment, &name, &member.place) else {
            return Kind::Broken;
        };
        if name.len() > limits::NAME_BYTES {
            self.stop(&member.place, format!("an element name of {} letters is too long", name.len()));
            return Kind::Broken;
        }
        if !self.names.insert(name.clone()) {
            self.made.report.error(&member.place, format!("redeclaration of element ‘{name}’"));
            return Kind::Broken;
        }
        let ports = used.get(&slot).copied().unwrap_or_default();
        match self.choose(class, &config, ports, &member.place) {
            Some(Choice::Primitive(class)) => self.element(name, class, config, &member.place),
            Some(Choice::Version(version, arguments)) => {
                let environment = Rc::new(Environment::of_version(version, arguments, environment));
                let node = self.made.nodes.len();
                self.made.outsides.push((node, name.clone(), member.place.clone()));
                pending.push(Pending { node, version, name, environment });
                Kind::Broken // until it is filled
            }
            None => Kind::Broken,
        }
    }

    fn element(&mut self, name: String, class: String, config: String, place: &Place) -> Kind {
        let id = self.made.graph.elements.len();
        if id >= limits::ELEMENTS {
            self.stop(place, format!("more than {} elements", limits::ELEMENTS));
            return Kind::Broken;
        }
        let config = config::normal(&config);
        if !config::is_balanced(&config) {
            let message = format!("configuration of ‘{name}’ has unbalanced quotes or parentheses");
            self.made.report.error(place, message);
            return Kind::Broken;
        }
        self.made.graph.elements.push(Element {
            name,
            class,
            config,
            pos: place.pos,
            file: place.file.clone(),
        });
        Kind::Element(ElementId(id as u32))
    }

    fn config(
        &mut self,
        config: &str,
        environment: &Environment,
        name: &str,
        place: &Place,
    ) -> Option<String> {
        let room = limits::CONFIG_BYTES - self.config_bytes;
        match config::expand(config, environment, room) {
            Ok(config) => {
                self.config_bytes += config.len();
                Some(config)
            }
            Err(config::TooLarge) => {
                self.stop(
                    place,
                    format!("configuration of ‘{name}’ grows too large when variables are put in"),
                );
                None
            }
        }
    }

    fn stop(&mut self, place: &Place, message: String) {
        self.made.report.error(place, message);
        self.made.report.close();
        self.stopped = true;
    }

    /// The version whose parameters and ports fit; if only the ports do not, the one whose parameters do, so
    /// that the ports are reported as such.
    fn choose(
        &mut self,
        class: &Class,
        config: &str,
        ports: (u32, u32),
        place: &Place,
    ) -> Option<Choice<'a>> {
        let first = match class {
            Class::Primitive(name) => return Some(Choice::Primitive(name.clone())),
            Class::Compound(first) => *first,
        };
        let arguments = config::split(config);
        let mut closest = None;
        let mut tried: Vec<&Scope> = Vec::new();
        let mut next = Some(first);
        while let Some(id) = next {
            let version = self.scopes.version(id);
            tried.push(version);
            if let Some(assigned) = assign(version, &arguments) {
                if (version.inputs, version.outputs) == ports {
                    return Some(Choice::Version(version, assigned));
                }
                closest = Some(Choice::Version(version, assigned));
            }
            next = match &version.next {
                Some(Class::Compound(id)) => Some(*id),
                Some(Class::Primitive(name)) => return Some(Choice::Primitive(name.clone())),
                None => None,
            };
        }
        if tried.len() == 1 && closest.is_some() {
            return closest;
        }
        self.report_no_match(first, &tried, arguments.len(), ports, place);
        closest
    }

    fn report_no_match(
        &mut self,
        first: ClassId,
        tried: &[&Scope],
        args: usize,
        ports: (u32, u32),
        place: &Place,
    ) {
        let name = self.scopes.version(first).printable_name();
        let arguments = match args {
            0 => String::new(),
            n => format!("{n} argument{}, ", plural(n)),
        };
        let wanted = format!("{name}[{arguments}{}]", count_ports(ports.0, ports.1));
        let candidates: Vec<String> =
            tried.iter().map(|v| format!("  line {}: {}", v.place.pos.line, signature(v))).collect();
        let error = Diagnostic::error(place, format!("no match for ‘{wanted}’"));
        self.made.report.push(error.with_help(format!("candidates are:\n{}", candidates.join("\n"))));
    }
}

enum Choice<'a> {
    Version(&'a Scope, Vec<String>),
    Primitive(String),
}

/// A group's `input` and `output` follow its outside.
fn group_end(scope: &Scope, slot: usize, first: Node) -> Kind {
    let is_group = |slot: Option<usize>| slot.is_some_and(|s| matches!(scope.members[s].is, Is::Group));
    if is_group(slot.checked_sub(1)) {
        Kind::Input
    } else if is_group(slot.checked_sub(2)) {
        Kind::Output { outside: first + slot - 2 }
    } else {
        Kind::Broken
    }
}

/// How many inputs and outputs of each member its scope uses.
fn ports_used(scope: &Scope) -> HashMap<usize, (u32, u32)> {
    let mut used: HashMap<usize, (u32, u32)> = HashMap::new();
    for wire in &scope.wires {
        let to = used.entry(wire.to.0).or_default();
        to.0 = to.0.max(wire.to.1 + 1);
        let from = used.entry(wire.from.0).or_default();
        from.1 = from.1.max(wire.from.1 + 1);
    }
    used
}

/// Arguments to parameters: positional ones in order, then keywords (all of them wanted), the rest to
/// `__REST__`.
fn assign(version: &Scope, arguments: &[String]) -> Option<Vec<String>> {
    let formals = &version.formals;
    let positional = formals.iter().take_while(|f| f.keyword.is_none()).count();
    if arguments.len() < positional {
        return None;
    }
    let mut values: Vec<Option<String>> = vec![None; formals.len()];
    let mut rest = Vec::new();
    for (index, argument) in arguments.iter().enumerate() {
        if index < positional {
            values[index] = Some(argument.clone());
            continue;
        }
        let (word, value) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
        let keyword = |f: &crate::ast::Formal| f.keyword.as_deref() == Some(word) && word != "__REST__";
        match formals.iter().position(keyword) {
            Some(formal) => values[formal] = Some(value.trim().to_owned()),
            None => rest.push(argument.clone()),
        }
    }
    match formals.iter().position(|f| f.keyword.as_deref() == Some("__REST__")) {
        Some(formal) => values[formal] = Some(config::join(&rest)),
        None if !rest.is_empty() => return None,
        None => {}
    }
    values.into_iter().collect()
}

fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}

fn count_ports(inputs: u32, outputs: u32) -> String {
    format!("{inputs} input{}, {outputs} output{}", plural(inputs as usize), plural(outputs as usize))
}

fn signature(version: &Scope) -> String {
    let formals: Vec<&str> = version
        .formals
        .iter()
        .map(|f| match f.keyword.as_deref() {
            None => "<arg>",
            Some("__REST__") => "...",
            Some(keyword) => keyword,
        })
        .collect();
    let formals = if formals.is_empty() { String::new() } else { format!("({})", formals.join(", ")) };
    format!("{}{formals}[{}]", version.printable_name(), count_ports(version.inputs, version.outputs))
}
